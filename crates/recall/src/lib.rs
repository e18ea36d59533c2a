//! Recall (candidate generation): strategies that select a few hundred movies of the catalogue for ranking.
//!
//! [`Recall`] is the contract; [`ByOrder`], [`ByGenre`], [`ByEmbedding`] and [`ByScores`] implement it. A strategy does
//! not score for the final order, does not fetch data about the user, and is independent of the others: the engine
//! merges their candidates. [`STRATEGIES`] is the list of those that configurations can name.

mod registry;
mod scores;
mod strategies;
#[cfg(any(test, feature = "testsuite"))]
pub mod testsuite;

// The name by which the module's code refers to this crate, as tests elsewhere do.
#[cfg(any(test, feature = "testsuite"))]
extern crate self as sparrow_recall;

pub use registry::{Inputs, Parameter, ParameterError, StrategyKind};
pub use scores::ByScores;
pub use strategies::{ByEmbedding, ByGenre, ByOrder, FAVOURITE_GENRES};

use std::sync::Arc;

use sparrow_model::{Catalog, GenreSet, MovieIndex, MovieSet, UserState};
use sparrow_neural::{ItemScores, ItemVectors};

/// The strategies that configurations can name, in the order in which the standard engine uses them.
pub static STRATEGIES: [StrategyKind; 5] = [
    strategies::EMBEDDING,
    strategies::GENRE,
    strategies::RATING,
    strategies::RECENCY,
    strategies::POPULARITY,
];

/// The error of a recall strategy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A dependency of the strategy is unavailable.
    #[error("recall {strategy} is unavailable")]
    Unavailable {
        /// The strategy's name.
        strategy: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The dimensions of the user's vector and of the item vectors differ.
    #[error("the vector of user {user} has {found} dimensions, the item vectors have {expected}")]
    Dimension {
        /// The user.
        user: sparrow_model::UserId,
        /// The dimension of the user's vector.
        found: usize,
        /// The dimension of the item vectors.
        expected: usize,
    },
}

/// The input of a strategy.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The catalogue.
    pub catalog: &'a Catalog,
    /// The user.
    pub user: &'a UserState<'a>,
    /// The requested genres; empty for all. `excluded` already contains the movies without any of them.
    pub genres: GenreSet,
    /// Movies that must not be returned: those that the user has rated, and those of other genres.
    pub excluded: &'a MovieSet,
    /// The scores of the model that the strategy names ([`Recall::model`]), one per movie of the catalogue, by index;
    /// `None` if it names none, or if the model has no scores for the user.
    pub scores: Option<&'a ItemScores>,
}

/// A strategy for candidate generation.
///
/// Contract of [`recall`](Self::recall), which the module `testsuite` checks (Cargo feature `testsuite`):
/// * It appends at most `limit` distinct movies to `found`, best first, none of them in `query.excluded`. It
///   appends fewer if there are no more, and none for a user without the required input (vector, favourite
///   genres), which is no error. A smaller limit returns the first of the same candidates.
/// * It is deterministic; ties break by the lower movie index.
/// * After an error, the appended movies are unspecified. The caller discards them, continues with the other
///   strategies, and marks the response as degraded. There are no retries within a request.
/// * It runs on the calling thread, without I/O, within microseconds.
pub trait Recall: Send + Sync {
    /// A short name for responses, such as `genre`.
    fn name(&self) -> &str;

    /// The name of the ranking model whose scores it needs in [`Query::scores`]. The model must score the whole
    /// catalogue at once, and the engine computes these scores once per request.
    fn model(&self) -> Option<&str> {
        None
    }

    /// The movies' vectors, if it returns the best by them for the user's vector: the best of a ranking model over the same
    /// vectors.
    fn vectors(&self) -> Option<&Arc<ItemVectors>> {
        None
    }

    /// Appends up to `limit` candidates to `found`.
    ///
    /// # Errors
    /// If a dependency is unavailable, or the dimension of the user's vector is wrong.
    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error>;
}

impl<R: Recall + ?Sized> Recall for Box<R> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn model(&self) -> Option<&str> {
        (**self).model()
    }

    fn vectors(&self) -> Option<&Arc<ItemVectors>> {
        (**self).vectors()
    }

    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        (**self).recall(query, limit, found)
    }
}
