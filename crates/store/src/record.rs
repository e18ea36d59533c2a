use sparrow_model::{MovieId, Stars, TopRating, UserId};

use crate::Error;

/// A key whose value is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The key.
    pub key: String,
    /// What is wrong with its value.
    pub what: String,
}

/// The fields of a hash, as text, in the order in which the store gave them.
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
    /// The user's rating of it.
    pub stars: Stars,
    /// When, in seconds since 1970 (UTC).
    pub timestamp: u32,
}

/// What a store knows of a user.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredUser {
    /// The features, named as [`USER_FIELDS`](sparrow_features::USER_FIELDS) has them.
    pub features: Option<Fields>,
    /// The user's vector.
    pub embedding: Option<Vec<f32>>,
    /// All ratings by (timestamp, movie id), each movie at most once.
    pub ratings: Option<Vec<StoredRating>>,
    /// What is there but cannot be read, and so counts as missing above.
    pub malformed: Vec<Malformed>,
}

impl StoredUser {
    /// Whether the store has nothing under the user's id.
    pub const fn is_empty(&self) -> bool {
        self.features.is_none()
            && self.embedding.is_none()
            && self.ratings.is_none()
            && self.malformed.is_empty()
    }
}

/// What a store knows of a movie.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredMovie {
    /// The features, named as [`MOVIE_FIELDS`](sparrow_features::MOVIE_FIELDS) has them.
    pub features: Option<Fields>,
    /// The movie's vector.
    pub embedding: Option<Vec<f32>>,
    /// What the features round away.
    pub ratings: Option<MovieRatings>,
    /// What is there but cannot be read, and so counts as missing above.
    pub malformed: Vec<Malformed>,
}

impl StoredMovie {
    /// Whether the store has nothing under the movie's id.
    pub const fn is_empty(&self) -> bool {
        self.features.is_none()
            && self.embedding.is_none()
            && self.ratings.is_none()
            && self.malformed.is_empty()
    }
}

/// The ratings of a movie in sum, and the best of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MovieRatings {
    /// Number of ratings.
    pub count: u32,
    /// Their sum in half stars.
    pub half_stars: u32,
    /// The best ratings, as a catalogue lists them.
    pub top: Vec<TopRating>,
}

/// Users for lists of users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserList {
    /// How many users there are in all.
    pub total: u32,
    /// The most active of them: id, number of ratings, their sum in half stars; by number of
    /// ratings, most first, ties by id.
    pub most_active: Vec<(UserId, u32, u32)>,
}

/// Something to write.
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
    /// A movie's ratings in sum.
    MovieRatings(MovieId, MovieRatings),
    /// The users for lists.
    UserList(UserList),
    /// How the vectors were made and how they compare: the content of the file `embedding.json` beside
    /// them. The store hands it on as it is.
    EmbeddingInfo(String),
}

/// The kinds of entries; each is replaced as a whole by a push.
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
    /// Movies' ratings in sum.
    MovieRatings,
    /// The users for lists.
    UserList,
    /// How the vectors were made and how they compare.
    EmbeddingInfo,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::UserFeatures,
        Self::UserEmbedding,
        Self::UserRatings,
        Self::MovieFeatures,
        Self::MovieEmbedding,
        Self::MovieRatings,
        Self::UserList,
        Self::EmbeddingInfo,
    ];

    /// What the keys of this kind start with; behind it comes the id.
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

    /// Whether a store has one entry of this kind, whose id is 0, and not one for each user or movie.
    pub const fn is_single(self) -> bool {
        matches!(self, Self::UserList | Self::EmbeddingInfo)
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

/// Whether a push replaces a kind, given the kinds of which it put something. A description of vectors goes
/// with the vectors that it describes.
#[cfg(any(feature = "file", feature = "redis"))]
pub(crate) fn is_replaced(kind: Kind, put: impl Fn(Kind) -> bool) -> bool {
    put(kind) || (kind == Kind::EmbeddingInfo && put(Kind::MovieEmbedding))
}

impl Entry {
    /// Its kind.
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
        }
    }

    /// The user's or movie's id; 0 for the kinds of which there is one entry.
    pub const fn id(&self) -> u32 {
        match self {
            Self::UserFeatures(UserId(id), _)
            | Self::UserEmbedding(UserId(id), _)
            | Self::UserRatings(UserId(id), _)
            | Self::MovieFeatures(MovieId(id), _)
            | Self::MovieEmbedding(MovieId(id), _)
            | Self::MovieRatings(MovieId(id), _) => *id,
            Self::UserList(_) | Self::EmbeddingInfo(_) => 0,
        }
    }

    /// The key under which Redis has it, without the store's prefix.
    pub fn key(&self) -> String {
        self.kind().key(self.id())
    }

    /// Refuses what could not be read back: hashes without fields or with an unnamed one, vectors
    /// without numbers or with infinite ones, ratings that are out of order, empty descriptions.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let what = match self {
            Self::UserFeatures(_, fields) | Self::MovieFeatures(_, fields) => fields.fault(),
            Self::UserEmbedding(_, vector) | Self::MovieEmbedding(_, vector) => {
                if vector.is_empty() {
                    Some("a vector without numbers")
                } else if vector.iter().any(|value| !value.is_finite()) {
                    Some("a vector with a number that is not finite")
                } else {
                    None
                }
            }
            Self::UserRatings(_, ratings) => {
                let ordered = |a: &StoredRating, b: &StoredRating| {
                    (a.timestamp, a.movie) < (b.timestamp, b.movie)
                };
                (!ratings.is_sorted_by(ordered)).then_some("ratings that are out of order")
            }
            Self::EmbeddingInfo(text) => text.is_empty().then_some("an empty description"),
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
    fn keys_have_the_kind_they_were_made_from() {
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
