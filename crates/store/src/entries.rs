use sparrow_live::{LiveUser, Watermark};
use sparrow_model::{MovieId, Stars, TopRating, UserId};

use crate::Error;

/// A key with a malformed value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The key.
    pub key: String,
    /// The fault.
    pub what: String,
}

/// The fields of a hash as text, in the order of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    fn fault(&self) -> Option<&'static str> {
        if self.0.is_empty() {
            return Some("no fields");
        }
        self.0.iter().any(|(name, _)| name.is_empty()).then_some("a field without a name")
    }
}

impl sparrow_model::Features for Fields {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name)
    }
}

/// A rating in a stored history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredRating {
    /// The movie.
    pub movie: MovieId,
    /// The rating.
    pub stars: Stars,
    /// Seconds since 1970 (UTC).
    pub timestamp: u32,
}

/// The stored data of a user.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredUser {
    /// The features, with the names in [`USER_FIELDS`](sparrow_features::USER_FIELDS).
    pub features: Option<Fields>,
    /// The user's vector.
    pub embedding: Option<Vec<f32>>,
    /// All ratings by (timestamp, movie id), each movie at most once.
    pub ratings: Option<Vec<StoredRating>>,
    /// The live data, from a store that was opened with [`Options::live`](crate::Options::live); not yet applied to
    /// the values above. `None` if they are malformed, or from other stores.
    pub live: Option<LiveUser>,
    /// Malformed values, which are missing above.
    pub malformed: Vec<Malformed>,
}

impl StoredUser {
    /// Whether the store has nothing for this user.
    pub fn is_empty(&self) -> bool {
        self.features.is_none()
            && self.embedding.is_none()
            && self.ratings.is_none()
            && self.live.as_ref().is_none_or(LiveUser::is_empty)
            && self.malformed.is_empty()
    }
}

/// The stored data of a movie.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredMovie {
    /// The features, with the names in [`MOVIE_FIELDS`](sparrow_features::MOVIE_FIELDS).
    pub features: Option<Fields>,
    /// The movie's vector.
    pub embedding: Option<Vec<f32>>,
    /// The exact number and sum of the ratings, which the features round.
    pub ratings: Option<MovieRatings>,
    /// Malformed values, which are missing above.
    pub malformed: Vec<Malformed>,
}

impl StoredMovie {
    /// Whether the store has nothing for this movie.
    pub const fn is_empty(&self) -> bool {
        self.features.is_none()
            && self.embedding.is_none()
            && self.ratings.is_none()
            && self.malformed.is_empty()
    }
}

/// Number, sum and best ones of the ratings of a movie.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MovieRatings {
    /// Number of ratings.
    pub count: u32,
    /// Their sum in half stars.
    pub half_stars: u32,
    /// The best ratings, as a catalogue lists them.
    pub top: Vec<TopRating>,
}

/// The users for lists of users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserList {
    /// The number of all users.
    pub total: u32,
    /// The most active users: id, number of ratings, sum in half stars. Ordered by number of
    /// ratings, descending; ties by id.
    pub most_active: Vec<(UserId, u32, u32)>,
}

/// A value to write.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A user's features.
    UserFeatures(UserId, Fields),
    /// A user's vector.
    UserEmbedding(UserId, Vec<f32>),
    /// A user's ratings by (timestamp, movie id).
    UserRatings(UserId, Vec<StoredRating>),
    /// A movie's features.
    MovieFeatures(MovieId, Fields),
    /// A movie's vector.
    MovieEmbedding(MovieId, Vec<f32>),
    /// Number, sum and best ones of a movie's ratings.
    MovieRatings(MovieId, MovieRatings),
    /// The users for lists.
    UserList(UserList),
    /// How the vectors were made and how they compare: the content of the file `embedding.json`
    /// beside them, stored unchanged.
    EmbeddingInfo(String),
    /// Which live data the users' ratings contain. Precedes the entries of users in a push.
    Watermark(Watermark),
}

/// The kinds of entries. A push replaces each kind as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Users' features.
    UserFeatures,
    /// Users' vectors.
    UserEmbedding,
    /// Users' ratings.
    UserRatings,
    /// Movies' features.
    MovieFeatures,
    /// Movies' vectors.
    MovieEmbedding,
    /// Number, sum and best ones of movies' ratings.
    MovieRatings,
    /// The users for lists.
    UserList,
    /// How the vectors were made and how they compare.
    EmbeddingInfo,
    /// Which live data the users' ratings contain.
    Watermark,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::UserFeatures,
        Self::UserEmbedding,
        Self::UserRatings,
        Self::MovieFeatures,
        Self::MovieEmbedding,
        Self::MovieRatings,
        Self::UserList,
        Self::EmbeddingInfo,
        Self::Watermark,
    ];

    /// The prefix of keys of this kind, before the id.
    pub const fn key_prefix(self) -> &'static str {
        match self {
            Self::UserFeatures => "uf:",
            Self::UserEmbedding => "uEmb:",
            Self::UserRatings => "sparrow:ratings:",
            Self::MovieFeatures => "mf:",
            Self::MovieEmbedding => "i2vEmb:",
            Self::MovieRatings => "sparrow:movie:",
            Self::UserList => "sparrow:users",
            Self::EmbeddingInfo => "sparrow:embedding",
            Self::Watermark => "sparrow:watermark",
        }
    }

    /// The kind of the value under a key, whatever prefix the key has.
    pub fn of_key(key: &str) -> Option<Self> {
        let start = key.rfind(':').map_or("", |colon| &key[..=colon]);
        Self::ALL.into_iter().find(|kind| {
            let key = if kind.is_single() { key } else { start };
            key.ends_with(kind.key_prefix())
        })
    }

    /// Whether the store has a single entry of this kind (with id 0) instead of one per user or
    /// movie.
    pub const fn is_single(self) -> bool {
        matches!(self, Self::UserList | Self::EmbeddingInfo | Self::Watermark)
    }

    /// The key of the entry with this id.
    pub fn key(self, id: u32) -> String {
        if self.is_single() {
            self.key_prefix().to_owned()
        } else {
            format!("{}{id}", self.key_prefix())
        }
    }
}

/// Whether a push replaces a kind, given the kinds of its entries. A description of vectors is
/// replaced together with them.
#[cfg(any(feature = "file", feature = "redis"))]
pub(crate) fn is_replaced(kind: Kind, put: impl Fn(Kind) -> bool) -> bool {
    put(kind) || (kind == Kind::EmbeddingInfo && put(Kind::MovieEmbedding))
}

/// Rejects a watermark of data that are older than those of the generation in force: the live data between them are no
/// longer with the users.
pub(crate) fn check_watermark(
    address: &str,
    in_force: Option<&Watermark>,
    new: &Watermark,
) -> Result<(), Error> {
    let Some(in_force) = in_force.filter(|it| it.partitions() == new.partitions()) else {
        return Ok(());
    };
    let Some((partition, contained, last)) = in_force.beyond(new) else { return Ok(()) };
    let what = format!(
        "the data contain the live data of partition {partition} up to {contained}, but the generation in force up to {last}: \
         export them again"
    );
    Err(Error::refused(address, what))
}

impl Entry {
    /// The kind of the entry.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::UserFeatures(..) => Kind::UserFeatures,
            Self::UserEmbedding(..) => Kind::UserEmbedding,
            Self::UserRatings(..) => Kind::UserRatings,
            Self::MovieFeatures(..) => Kind::MovieFeatures,
            Self::MovieEmbedding(..) => Kind::MovieEmbedding,
            Self::MovieRatings(..) => Kind::MovieRatings,
            Self::UserList(_) => Kind::UserList,
            Self::EmbeddingInfo(_) => Kind::EmbeddingInfo,
            Self::Watermark(_) => Kind::Watermark,
        }
    }

    /// The id of the user or movie; 0 for kinds with a single entry.
    pub const fn id(&self) -> u32 {
        match self {
            Self::UserFeatures(UserId(id), _)
            | Self::UserEmbedding(UserId(id), _)
            | Self::UserRatings(UserId(id), _)
            | Self::MovieFeatures(MovieId(id), _)
            | Self::MovieEmbedding(MovieId(id), _)
            | Self::MovieRatings(MovieId(id), _) => *id,
            Self::UserList(_) | Self::EmbeddingInfo(_) | Self::Watermark(_) => 0,
        }
    }

    /// The user whom it is about.
    pub const fn user(&self) -> Option<UserId> {
        match self {
            Self::UserFeatures(user, _)
            | Self::UserEmbedding(user, _)
            | Self::UserRatings(user, _) => Some(*user),
            _ => None,
        }
    }

    /// The key in Redis, without the store's prefix.
    pub fn key(&self) -> String {
        self.kind().key(self.id())
    }

    /// Rejects entries that could not be read back: hashes without fields or with an unnamed field,
    /// empty vectors, non-finite components, ratings out of order, empty descriptions.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let what = match self {
            Self::UserFeatures(_, fields) | Self::MovieFeatures(_, fields) => fields.fault(),
            Self::UserEmbedding(_, vector) | Self::MovieEmbedding(_, vector) => {
                if vector.is_empty() {
                    Some("an empty vector")
                } else if vector.iter().any(|value| !value.is_finite()) {
                    Some("a vector with a component that is not finite")
                } else {
                    None
                }
            }
            Self::UserRatings(_, ratings) => {
                let ordered = |a: &StoredRating, b: &StoredRating| {
                    (a.timestamp, a.movie) < (b.timestamp, b.movie)
                };
                (!ratings.is_sorted_by(ordered)).then_some("ratings out of order")
            }
            Self::EmbeddingInfo(text) => text.is_empty().then_some("an empty description"),
            Self::Watermark(watermark) => {
                (watermark.partitions() == 0).then_some("a watermark without partitions")
            }
            Self::MovieRatings(..) | Self::UserList(_) => None,
        };
        match what {
            Some(what) => Err(Error::Malformed { key: self.key(), what: what.to_owned() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_key_is_found_behind_any_prefix() {
        for kind in Kind::ALL {
            for prefix in ["", "p:", "{movies}:"] {
                let key = format!("{prefix}{}", kind.key(6));
                assert_eq!(Kind::of_key(&key), Some(kind), "{key}");
            }
        }
        assert_eq!(Kind::of_key("sparrow:generation"), None);
        assert_eq!(Kind::of_key("other"), None);
    }
}
