use crate::ids::IdIndex;
use crate::{MovieIndex, Stars, UserId, UserIndex};

/// One entry of a user's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rated {
    /// The movie.
    pub movie: MovieIndex,
    /// The user's rating of it.
    pub stars: Stars,
    /// When it was rated, in seconds since 1970 (UTC).
    pub timestamp: u32,
}

/// A rating in eight bytes: timestamp, movie index (28 bits), half stars (4 bits), from the top, so
/// that the order of the numbers is the order of (timestamp, movie).
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
            // Only `new` makes packed ratings, from a valid `Stars`.
            stars: Stars::from_half_stars(self.0 as u8 & 15).unwrap_or(Stars::MIN),
            timestamp: self.timestamp(),
        }
    }
}

/// The ratings of all users, grouped by user in order of user id; each user's in order of
/// (timestamp, movie id), at most one of each movie. Eight bytes a rating.
#[derive(Debug, Clone, Default)]
pub struct Histories {
    users: IdIndex,
    /// `ratings[starts[u]..starts[u + 1]]` are those of user `u`.
    starts: Vec<usize>,
    ratings: Vec<Packed>,
}

impl Histories {
    pub(crate) fn new(users: Vec<u32>, starts: Vec<usize>, ratings: Vec<Packed>) -> Self {
        debug_assert_eq!(starts.len(), users.len() + 1);
        Self { users: IdIndex::new(users), starts, ratings }
    }

    /// The position of the user with this id.
    pub fn index_of(&self, id: UserId) -> Option<UserIndex> {
        self.users.position(id.0).map(UserIndex)
    }

    /// The history of the user at this position.
    ///
    /// # Panics
    /// If the index comes from another catalogue with more users.
    pub fn get(&self, user: UserIndex) -> History<'_> {
        let (start, end) = (self.starts[user.at()], self.starts[user.at() + 1]);
        History { user: UserId(self.users.ids()[user.at()]), ratings: &self.ratings[start..end] }
    }

    /// The history of the user with this id.
    pub fn find(&self, id: UserId) -> Option<History<'_>> {
        self.index_of(id).map(|index| self.get(index))
    }

    /// All histories, in order of user id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = History<'_>> {
        (0..self.len()).map(|user| self.get(UserIndex(user as u32)))
    }

    /// How many users there are.
    pub fn len(&self) -> usize {
        self.users.ids().len()
    }

    /// Whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.users.ids().is_empty()
    }

    /// How many ratings there are.
    pub fn rating_count(&self) -> usize {
        self.ratings.len()
    }
}

/// One user's ratings in order of (timestamp, movie id), each movie at most once.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    user: UserId,
    ratings: &'a [Packed],
}

/// A history of its own, for a user that no catalogue holds.
#[derive(Debug, Clone)]
pub struct OwnedHistory {
    user: UserId,
    ratings: Vec<Packed>,
}

impl OwnedHistory {
    /// The ratings of a user, each movie at most once, in any order.
    ///
    /// # Panics
    /// In debug builds, if a movie's index has more than 28 bits: no catalogue has such a movie.
    pub fn new(user: UserId, ratings: impl IntoIterator<Item = Rated>) -> Self {
        let mut ratings: Vec<Packed> = ratings.into_iter().map(Packed::new).collect();
        if !ratings.is_sorted() {
            ratings.sort_unstable();
        }
        Self { user, ratings }
    }

    /// The history.
    pub fn get(&self) -> History<'_> {
        History { user: self.user, ratings: &self.ratings }
    }
}

impl<'a> History<'a> {
    /// Whose history it is.
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The ratings, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Rated> + ExactSizeIterator + use<'a> {
        self.ratings.iter().map(|packed| packed.unpack())
    }

    /// The movies that the user rated, oldest rating first.
    pub fn movies(&self) -> impl ExactSizeIterator<Item = MovieIndex> + use<'a> {
        self.ratings.iter().map(|packed| packed.movie())
    }

    /// The mean rating in stars; 0 without ratings.
    pub fn average(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        let half_stars: u64 = self.iter().map(|rated| u64::from(rated.stars.half_stars())).sum();
        half_stars as f64 / 2.0 / self.len() as f64
    }

    /// How many ratings there are.
    pub const fn len(&self) -> usize {
        self.ratings.len()
    }

    /// Whether there are no ratings.
    pub const fn is_empty(&self) -> bool {
        self.ratings.is_empty()
    }
}
