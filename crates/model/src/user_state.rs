use std::fmt::Debug;

use crate::{Genre, History, MovieIndex, UserId};

/// A user's features by the names that stores have for them (`userAvgRating`), as text.
pub trait Features: Debug + Sync {
    /// The value of a feature; `None` where there is none of this name.
    fn get(&self, name: &str) -> Option<&str>;
}

/// What a request knows of its user: fetched once, and handed to recall and ranking.
#[derive(Debug, Clone, Copy)]
pub struct UserState<'a> {
    /// Who it is.
    pub id: UserId,
    /// The ratings; `None` where they are not known.
    pub history: Option<History<'a>>,
    /// Movies that the user is known to have rated beside those of the history: some of them, where
    /// the history is not known.
    pub also_rated: &'a [MovieIndex],
    /// Genres of liked movies, most liked first; only the first few.
    pub favourite_genres: &'a [Genre],
    /// The user's vector in the space of the item vectors, where there is one.
    pub embedding: Option<&'a [f32]>,
    /// The features, as a store has them; `None` where they have to be computed from the history.
    pub features: Option<&'a dyn Features>,
}

impl UserState<'_> {
    /// A user of whom nothing is known.
    pub const fn unknown(id: UserId) -> Self {
        Self {
            id,
            history: None,
            also_rated: &[],
            favourite_genres: &[],
            embedding: None,
            features: None,
        }
    }

    /// The movies that the user is known to have rated, in no order that means anything; only those rated 3.5
    /// stars or more with `liked_only`.
    pub fn rated_movies(&self, liked_only: bool) -> impl Iterator<Item = MovieIndex> {
        let history = self.history.iter().flat_map(History::iter);
        let counted = history.filter(move |rated| !liked_only || rated.stars.is_liked());
        // Of these the ratings are not known.
        let others = if liked_only { &[] } else { self.also_rated };
        counted.map(|rated| rated.movie).chain(others.iter().copied())
    }
}
