use std::fmt::Debug;

use crate::{Genre, History, MovieIndex, UserId};

/// Lookup of a user's features by their names in stores, such as `userAvgRating`.
pub trait Features: Debug + Sync {
    /// Returns the value of a feature as text; `None` if it is missing.
    fn get(&self, name: &str) -> Option<&str>;
}

/// The state of the requesting user: read once per request, and passed to recall and ranking.
#[derive(Debug, Clone, Copy)]
pub struct UserState<'a> {
    /// The user's id.
    pub id: UserId,
    /// Whether the user has no id: `id` is then no user's, and models that score by id alone have no scores.
    pub is_anonymous: bool,
    /// The ratings; `None` if they are unavailable.
    pub history: Option<History<'a>>,
    /// Rated or seen movies outside the history. Incomplete if the history is unavailable.
    pub also_rated: &'a [MovieIndex],
    /// Movies of the history that do not count as seen, in ascending order: the user likes them without having rated them.
    pub unseen: &'a [MovieIndex],
    /// Movies that must not be recommended to the user, whatever the request.
    pub hidden: &'a [MovieIndex],
    /// Whether the history is newer than what models store by user id, such as trained vectors: they then compute it from
    /// the history.
    pub is_updated: bool,
    /// The user's top genres, most liked first.
    pub favourite_genres: &'a [Genre],
    /// The user's vector in the space of the item vectors, if any.
    pub embedding: Option<&'a [f32]>,
    /// The features from a store; if `None`, they are computed from the history.
    pub features: Option<&'a dyn Features>,
}

impl UserState<'_> {
    /// A user without any data.
    pub const fn unknown(id: UserId) -> Self {
        Self {
            id,
            is_anonymous: false,
            history: None,
            also_rated: &[],
            unseen: &[],
            hidden: &[],
            is_updated: false,
            favourite_genres: &[],
            embedding: None,
            features: None,
        }
    }

    /// A user without an id and without any data.
    pub const fn anonymous() -> Self {
        Self { is_anonymous: true, ..Self::unknown(UserId(u32::MAX)) }
    }

    /// Iterates over the rated movies in unspecified order; with `liked_only`, over those rated 3.5 stars or more.
    pub fn rated_movies(&self, liked_only: bool) -> impl Iterator<Item = MovieIndex> {
        let history = self.history.iter().flat_map(History::iter);
        let counted = history.filter(move |rated| !liked_only || rated.stars.is_liked());
        // The stars of these ratings are unknown.
        let others = if liked_only { &[] } else { self.also_rated };
        counted.map(|rated| rated.movie).chain(others.iter().copied())
    }

    /// Iterates over the movies that count as seen, in unspecified order.
    pub fn seen_movies(&self) -> impl Iterator<Item = MovieIndex> {
        let is_seen = |movie: &MovieIndex| {
            self.unseen.is_empty() || self.unseen.binary_search(movie).is_err()
        };
        let history = self.history.iter().flat_map(History::movies).filter(is_seen);
        history.chain(self.also_rated.iter().copied())
    }
}
