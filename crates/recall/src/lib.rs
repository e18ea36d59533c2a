//! Recall (candidate generation): the strategies that pick, out of the whole catalogue, the few
//! hundred movies worth ranking for a user.
//!
//! [`Recall`] is the contract; [`ByOrder`], [`ByGenre`], [`ByEmbedding`] and [`ByScores`] implement it. A strategy does
//! not score for the final order, does not fetch data about the user, and is independent of the others: the engine
//! merges their candidates. [`STRATEGIES`] is the list of those that configurations can name.

mod registry;
mod scores;
mod strategies;

pub use registry::{Inputs, Parameter, ParameterError, StrategyKind};
pub use scores::ByScores;
pub use strategies::{ByEmbedding, ByGenre, ByOrder, FAVOURITE_GENRES};

use sparrow_model::{Catalog, GenreSet, MovieIndex, MovieSet, UserState};

/// The strategies that configurations can name, in the order in which the standard engine uses them.
pub static STRATEGIES: [StrategyKind; 5] = [
    strategies::EMBEDDING,
    strategies::GENRE,
    strategies::RATING,
    strategies::RECENCY,
    strategies::POPULARITY,
];

/// Why a strategy found nothing where it should have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the strategy depends on is not there or answers no more.
    #[error("recall {strategy} is unavailable")]
    Unavailable {
        /// The strategy's name.
        strategy: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The user's vector has another length than the items'.
    #[error("user {user} has a vector of {found} numbers where the items have {expected}")]
    Dimension {
        /// Whose vector.
        user: sparrow_model::UserId,
        /// Its length.
        found: usize,
        /// The items' length.
        expected: usize,
    },
}

/// What a strategy may look at.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The movies.
    pub catalog: &'a Catalog,
    /// The user.
    pub user: &'a UserState<'a>,
    /// The genres that the request asks for; empty for all. Movies of no other are wanted, and
    /// `excluded` already holds the rest.
    pub genres: GenreSet,
    /// Movies that must not be found: those the user has seen, those of other genres.
    pub excluded: &'a MovieSet,
    /// The scores of the model that the strategy names ([`Recall::model`]), one per movie of the catalogue, by index;
    /// `None` if it names none, or if the model has no scores for the user.
    pub scores: Option<&'a [f32]>,
}

/// A way to find candidates.
///
/// The contract:
/// * `found` gets at most `limit` movies appended, best first, each once, none of `query.excluded`.
///   Fewer are right where there are no more; a user whom the strategy cannot serve (no vector, no
///   favourite genre) gets none, and that is no error.
/// * Equal queries give equal answers; ties go to the lesser movie index.
/// * On an error nothing is promised of what was appended: the caller drops it, goes on with the
///   other strategies, and marks the answer as degraded. Nobody retries within a request.
/// * It computes in memory within microseconds, on the thread that calls.
pub trait Recall: Send + Sync {
    /// A short name that answers show, such as `genre`.
    fn name(&self) -> &str;

    /// The name of the ranking model whose scores it needs in [`Query::scores`]. The model must score the whole
    /// catalogue at once, and the engine computes these scores once per request.
    fn model(&self) -> Option<&str> {
        None
    }

    /// Appends up to `limit` movies for the query to `found`.
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

    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        (**self).recall(query, limit, found)
    }
}
