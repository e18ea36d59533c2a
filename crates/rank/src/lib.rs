//! Ranking: the models that score candidate movies for a user.
//!
//! [`Ranker`] is the contract; [`EmbeddingRanker`], [`NeuralCfRanker`], [`ItemWeightsRanker`] and [`PopularityRanker`]
//! implement it. A ranker does not fetch data about the user and does not sort: it returns scores, and the engine
//! selects the best.
//!
//! [`VersionedRanker`] is a ranker whose version can be replaced while requests run, [`Unavailable`] is one that
//! cannot rank, [`Status`] is the state of a model, and [`Counters`] count its answers.

mod counters;
mod embedding;
mod item_weights;
mod neural_cf;
mod popularity;
mod recent_sums;
mod status;
#[cfg(any(test, feature = "testsuite"))]
pub mod testsuite;
mod unavailable;
mod versioned;

// The name by which the module's code refers to this crate, as tests elsewhere do.
#[cfg(any(test, feature = "testsuite"))]
extern crate self as sparrow_rank;

pub use counters::{Counters, Counts, Latency};
pub use embedding::EmbeddingRanker;
pub use item_weights::ItemWeightsRanker;
pub use neural_cf::NeuralCfRanker;
pub use popularity::PopularityRanker;
pub use sparrow_neural::ItemScores;
pub use status::{State, Status};
pub use unavailable::Unavailable;
pub use versioned::VersionedRanker;

use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{MovieIndex, UserId, UserState};
use sparrow_neural::ItemVectors;

/// The score of a movie that the model cannot score. Such movies follow all scored ones.
pub const UNSCORED: f32 = f32::NEG_INFINITY;

/// Why a model has no scores for a query.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user has no vector, or only a zero vector.
    #[error("user {0} has no vector, or only a zero vector")]
    NoUserEmbedding(UserId),
    /// The user was not in the training data of a model that cannot score other users.
    #[error("user {0} is not in the model")]
    UnknownUser(UserId),
    /// The model is not loaded, or its server cannot be reached.
    #[error("the model is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The model did not return scores within its deadline.
    #[error("the model did not answer in time")]
    TimedOut,
    /// The model does not accept the query, for example an id beyond its largest.
    #[error("the model refused the request: {0}")]
    Refused(String),
    /// The scores are invalid: wrong in number or form, or not finite.
    #[error("the model's answer is malformed: {0}")]
    Malformed(String),
}

/// What a ranker scores: movies for a user.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Query<'a> {
    /// The user.
    pub user: &'a UserState<'a>,
    /// The movies, in the order of the scores.
    pub movies: &'a [MovieIndex],
    /// The scores of the models that this one combines, in the order in which the engine's `Model` lists them: one
    /// score per movie of `movies`, or `None` if that model has no scores for the user. Empty for other models.
    pub inputs: &'a [Option<&'a [f32]>],
}

impl<'a> Query<'a> {
    /// Movies for a user, without scores of other models.
    pub const fn new(user: &'a UserState<'a>, movies: &'a [MovieIndex]) -> Self {
        Self { user, movies, inputs: &[] }
    }

    /// The same with the scores of other models.
    #[must_use]
    pub const fn with_inputs(self, inputs: &'a [Option<&'a [f32]>]) -> Self {
        Self { inputs, ..self }
    }
}

/// A part of the scores of movies.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The name of the part.
    pub name: &'static str,
    /// Its value for each movie, in the order of the query.
    pub scores: Vec<f32>,
}

/// A model that scores movies for a user.
///
/// The contract, which the module `testsuite` checks (Cargo feature `testsuite`):
/// * `scores` contains exactly one score per movie of the query, in the same order, and nothing else. Each is
///   finite, or [`UNSCORED`] if the model cannot score the movie. Greater is better. Scores are comparable only
///   within one call.
/// * After an error the content of `scores` is undefined, and the caller ignores it. A user whom the model cannot
///   score is an error ([`Error::NoUserEmbedding`], [`Error::UnknownUser`]), never an arbitrary order. The same holds
///   for an anonymous user (`UserState::is_anonymous`) and a model that scores by the user's id.
/// * The caller may drop the future at any time, without consequences for other calls.
/// * A ranker that waits for a server has a deadline of its own and returns [`Error::TimedOut`] when it is exceeded, because
///   only the ranker can close the connection. `GuardedRanker` of the crate `sparrow-guarded-ranker` adds a deadline, a circuit
///   breaker and retries to any ranker. The engine adds none of these: it counts the error, and the fallback answers.
#[async_trait]
pub trait Ranker: Send + Sync {
    /// The kind of the model, such as `embedding`.
    fn kind(&self) -> &'static str;

    /// The dimension of its vectors, for models that have vectors.
    fn dimension(&self) -> Option<usize> {
        None
    }

    /// The state of the model. Returns at once, without I/O.
    fn status(&self) -> Status {
        Status::default()
    }

    /// A number that grows whenever the version that scores in this process is replaced, so that measurements of one
    /// version do not apply to the next.
    fn revision(&self) -> u64 {
        0
    }

    /// Whether the scores of an input of the query are used, by its index. The engine computes no others.
    fn uses_input(&self, _index: usize) -> bool {
        true
    }

    /// Scores the whole catalogue for a user, for models that compute all scores at once in memory: one score per movie,
    /// by index, under the same contract as [`score`](Self::score). `None` for all other models.
    ///
    /// Recall takes candidates from these scores, and the engine reuses them for ranking in the same request. They are
    /// shared, so that a ranker can keep them for later requests.
    fn score_all(&self, _user: &UserState<'_>) -> Option<Result<Arc<ItemScores>, Error>> {
        None
    }

    /// The movies' vectors, for models that score by the user's vector in the query and by these alone.
    fn vectors(&self) -> Option<&Arc<ItemVectors>> {
        None
    }

    /// The parts that the scores of the movies of a query are sums of, for models that have such parts. Does not wait.
    fn explain(&self, _query: &Query<'_>) -> Vec<Contribution> {
        Vec::new()
    }

    /// Scores the movies of a query.
    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error>;
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::future::Future;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A ranker whose scores a function writes.
    struct By<F>(F);

    #[async_trait]
    impl<F: Fn(&[MovieIndex], &mut Vec<f32>) + Sync + Send> Ranker for By<F> {
        fn kind(&self) -> &'static str {
            "by"
        }

        async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
            (self.0)(query.movies, scores);
            Ok(())
        }
    }

    fn violation(ranker: &dyn Ranker) -> Option<String> {
        let user = UserState::unknown(UserId(1));
        let check = || ready(testsuite::check(ranker, 4, &[user], &[]));
        let panic = catch_unwind(AssertUnwindSafe(check)).err()?;
        Some(panic.downcast_ref::<String>().expect("a formatted message").clone())
    }

    #[test]
    fn testsuite_finds_violations_of_the_contract() {
        let index = |movie: &MovieIndex| movie.0 as f32;
        let good = By(|movies: &[MovieIndex], scores: &mut Vec<f32>| {
            scores.clear();
            scores.extend(movies.iter().map(index));
        });
        assert_eq!(violation(&good), None);
        let appended = By(|movies: &[MovieIndex], scores: &mut Vec<f32>| {
            scores.extend(movies.iter().map(index));
        });
        assert!(violation(&appended).unwrap().contains("scores for 4 movies"));
        let infinite = By(|movies: &[MovieIndex], scores: &mut Vec<f32>| {
            scores.clear();
            scores.extend(movies.iter().map(|movie| 1.0 / (movie.0 as f32)));
        });
        assert!(violation(&infinite).unwrap().contains("has a score of inf"));
        let sorted = By(|movies: &[MovieIndex], scores: &mut Vec<f32>| {
            scores.clear();
            scores.extend(movies.iter().map(index));
            scores.sort_by(f32::total_cmp);
        });
        assert!(violation(&sorted).unwrap().contains("with the movies reversed"));
    }

    /// Rankers in memory never wait, so they are ready after one poll.
    pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("a ranker in memory waited"),
        }
    }
}
