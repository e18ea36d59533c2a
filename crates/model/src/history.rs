use crate::ids::IdIndex;
use crate::{MovieIndex, Stars, UserId, UserIndex};

/// One entry of a user's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rated {
    /// The movie.
    pub movie: MovieIndex,
    /// The user's rating of it.
    pub stars: Stars,
    /// Unix time in seconds.
    pub timestamp: u32,
}

/// A rating in eight bytes, from the most significant bit: timestamp (32 bits), movie index (28), half
/// stars (4). The integer order is the order of (timestamp, movie).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Packed(u64);

impl Packed {
    pub(crate) fn new(rated: Rated) -> Self {
        debug_assert!(rated.movie.0 < 1 << 28);
        Self(
            u64::from(rated.timestamp) << 32
                | u64::from(rated.movie.0) << 4
                | u64::from(rated.stars.half_stars()),
        )
    }

    pub(crate) const fn movie(self) -> MovieIndex {
        MovieIndex(self.0 as u32 >> 4)
    }

    pub(crate) fn timestamp(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn unpack(self) -> Rated {
        Rated {
            movie: self.movie(),
            // `new` packs valid stars only.
            stars: Stars::from_half_stars(self.0 as u8 & 15).unwrap_or(Stars::MIN),
            timestamp: self.timestamp(),
        }
    }
}

/// The ratings of all users, sorted by (user id, timestamp, movie id), at most one per user and movie. Takes
/// eight bytes per rating.
#[derive(Debug, Clone, Default)]
pub struct Histories {
    users: IdIndex,
    /// `ratings[starts[u]..starts[u + 1]]` are the ratings of user `u`.
    starts: Vec<usize>,
    ratings: Vec<Packed>,
}

impl Histories {
    pub(crate) fn new(users: Vec<u32>, starts: Vec<usize>, ratings: Vec<Packed>) -> Self {
        debug_assert_eq!(starts.len(), users.len() + 1);
        Self { users: IdIndex::new(users), starts, ratings }
    }

    /// Returns the index of the user with this id.
    pub fn index_of(&self, id: UserId) -> Option<UserIndex> {
        self.users.index_of(id.0).map(UserIndex)
    }

    /// Returns the history of the user with this index.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn get(&self, user: UserIndex) -> History<'_> {
        let (start, end) = (self.starts[user.index()], self.starts[user.index() + 1]);
        History { user: UserId(self.users.ids()[user.index()]), ratings: &self.ratings[start..end] }
    }

    /// Returns the history of the user with this id.
    pub fn find(&self, id: UserId) -> Option<History<'_>> {
        self.index_of(id).map(|index| self.get(index))
    }

    /// Iterates over all histories in order of user id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = History<'_>> {
        (0..self.len()).map(|user| self.get(UserIndex(user as u32)))
    }

    /// The number of users.
    pub fn len(&self) -> usize {
        self.users.ids().len()
    }

    /// Returns whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.users.ids().is_empty()
    }

    /// The number of ratings.
    pub fn rating_count(&self) -> usize {
        self.ratings.len()
    }
}

/// The ratings of one user in order of (timestamp, movie id), at most one per movie.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    user: UserId,
    ratings: &'a [Packed],
}

/// An owned history, for a user outside the catalogue.
#[derive(Debug, Clone)]
pub struct OwnedHistory {
    user: UserId,
    ratings: Vec<Packed>,
}

impl OwnedHistory {
    /// Sorts the ratings of a user, at most one per movie.
    ///
    /// # Panics
    /// In debug builds, if a movie index has more than 28 bits, which no catalogue allows.
    pub fn new(user: UserId, ratings: impl IntoIterator<Item = Rated>) -> Self {
        let mut ratings: Vec<Packed> = ratings.into_iter().map(Packed::new).collect();
        if !ratings.is_sorted() {
            ratings.sort_unstable();
        }
        Self { user, ratings }
    }

    /// Borrows the history.
    pub fn get(&self) -> History<'_> {
        History { user: self.user, ratings: &self.ratings }
    }
}

impl<'a> History<'a> {
    /// The user.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Iterates over the ratings, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Rated> + ExactSizeIterator + use<'a> {
        self.ratings.iter().map(|packed| packed.unpack())
    }

    /// Iterates over the rated movies, oldest rating first.
    pub fn movies(&self) -> impl ExactSizeIterator<Item = MovieIndex> + use<'a> {
        self.ratings.iter().map(|packed| packed.movie())
    }

    /// The mean rating in stars; 0 without ratings.
    pub fn average(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        self.half_stars() as f64 / 2.0 / self.len() as f64
    }

    /// The sum of the ratings in half stars.
    pub fn half_stars(&self) -> u64 {
        self.iter().map(|rated| u64::from(rated.stars.half_stars())).sum()
    }

    /// The number of ratings.
    pub const fn len(&self) -> usize {
        self.ratings.len()
    }

    /// Returns whether there are no ratings.
    pub const fn is_empty(&self) -> bool {
        self.ratings.is_empty()
    }
}
