//! Ranking: the models that score candidate movies for a user.
//!
//! [`Ranker`] is the contract; [`EmbeddingRanker`], [`NeuralCfRanker`], [`EaseRanker`] and [`PopularityRanker`] fulfil it.
//! A ranker fetches nothing about the user and does not order: it gives scores, the engine selects.
//!
//! A [`Slot`] is a ranker whose version can be exchanged, [`Status`] says how a model is doing, and
//! [`Counters`] count what it answered.

mod counters;
mod ease;
mod neural_cf;
mod slot;
mod status;

pub use counters::{Counters, Counts, Latency};
pub use ease::EaseRanker;
pub use neural_cf::NeuralCfRanker;
pub use slot::Slot;
pub use status::{State, Status};

use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_neural::{EmbeddingTable, ItemVectors, has_direction};

/// The score of a movie that the model does not know. Such movies come after all that it scored.
pub const UNSCORED: f32 = f32::NEG_INFINITY;

/// Why a model has no scores for a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The user has no vector, or one of zeros.
    #[error("user {0} has no vector other than zero")]
    NoUserEmbedding(UserId),
    /// The model was made for other users, and cannot tell what it does not know of this one.
    #[error("the model does not know user {0}")]
    UnknownUser(UserId),
    /// The model, or what serves it, is not there.
    #[error("the model is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer did not come within the deadline.
    #[error("the model did not answer in time")]
    TimedOut,
    /// The model takes none of what it was asked, such as an id beyond those that it knows.
    #[error("the model refused the request: {0}")]
    Refused(String),
    /// The answer cannot be right: wrong in number, in form, or not finite.
    #[error("the model's answer is malformed: {0}")]
    Malformed(String),
}

/// A model that scores movies for a user.
///
/// The contract:
/// * `scores` holds exactly one score for each of `movies`, in their order, and nothing else; each is
///   finite, or [`UNSCORED`] for a movie that the model does not know. Greater is better. Scores
///   compare within one call only.
/// * An error means that there are no scores; what `scores` then holds is not looked at. A user
///   whom the model cannot serve is an error ([`Error::NoUserEmbedding`], [`Error::UnknownUser`]), never an
///   arbitrary order.
/// * The caller may drop the future at any time; that leaves nothing behind.
/// * Retries, deadlines and counting are put around a ranker; it does none of them by itself.
#[async_trait]
pub trait Ranker: Send + Sync {
    /// What sort of model this is, such as `embedding`.
    fn kind(&self) -> &'static str;

    /// The length of its vectors, for models that have them.
    fn dimension(&self) -> Option<usize> {
        None
    }

    /// How it is doing; asks nobody, and answers at once.
    fn status(&self) -> Status {
        Status::default()
    }

    /// Grows with every exchange of the version that scores in this process, so that what was measured of one
    /// version is not taken for the next one's.
    fn revision(&self) -> u64 {
        0
    }

    /// Scores `movies` for `user`.
    async fn score(
        &self,
        user: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<(), Error>;
}

/// Scores by the user's vector and the movie's: cosine or dot product, as the vectors are set up.
#[derive(Debug, Clone)]
pub struct EmbeddingRanker {
    items: Arc<ItemVectors>,
    users: Option<Arc<EmbeddingTable>>,
}

impl EmbeddingRanker {
    /// Over these vectors, whose items are the catalogue's movie indexes; users come with their own.
    pub const fn new(items: Arc<ItemVectors>) -> Self {
        Self { items, users: None }
    }

    /// The same with the users' vectors by user id, of length 1 where the items are compared by cosine:
    /// for a model beside the one whose vectors users come with.
    pub const fn with_users(items: Arc<ItemVectors>, users: Arc<EmbeddingTable>) -> Self {
        Self { items, users: Some(users) }
    }
}

#[async_trait]
impl Ranker for EmbeddingRanker {
    fn kind(&self) -> &'static str {
        "embedding"
    }

    fn dimension(&self) -> Option<usize> {
        Some(self.items.dimension())
    }

    async fn score(
        &self,
        user: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let vector = match &self.users {
            Some(users) => users.get(user.id.0),
            None => user.embedding,
        };
        let vector = vector.ok_or(Error::NoUserEmbedding(user.id))?;
        if vector.len() != self.items.dimension() {
            return Err(Error::Malformed(format!(
                "user {} has a vector of {} numbers where the items have {}",
                user.id,
                vector.len(),
                self.items.dimension()
            )));
        }
        if !has_direction(vector) {
            return Err(Error::NoUserEmbedding(user.id));
        }
        scores.clear();
        self.items.score(vector, movies.iter().map(|movie| movie.0), UNSCORED, scores);
        Ok(())
    }
}

/// Scores by the number of ratings a movie has: the same for every user.
#[derive(Debug, Clone)]
pub struct PopularityRanker {
    catalog: Arc<Catalog>,
}

impl PopularityRanker {
    /// Over the movies of this catalogue.
    pub const fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }
}

#[async_trait]
impl Ranker for PopularityRanker {
    fn kind(&self) -> &'static str {
        "popularity"
    }

    async fn score(
        &self,
        _user: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<(), Error> {
        scores.clear();
        scores.extend(movies.iter().map(|&movie| self.catalog.stats(movie).count as f32));
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use sparrow_model::{MovieId, MovieRecord, Movies, RatingLog, Stars};
    use sparrow_neural::{Similarity, TableBuilder};

    use super::*;

    /// These rankers never wait, so one poll is the answer.
    pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("a ranker in memory waited"),
        }
    }

    fn embedding_ranker() -> EmbeddingRanker {
        let mut builder = TableBuilder::default();
        builder.push(0, &[3.0, 4.0]).unwrap();
        builder.push(2, &[0.0, -2.0]).unwrap();
        let table = builder.build().unwrap();
        EmbeddingRanker::new(Arc::new(ItemVectors::new(&table, 3, Similarity::Cosine, Some)))
    }

    #[test]
    fn embedding_scores_are_cosines_in_request_order() {
        let ranker = embedding_ranker();
        let user = UserState { embedding: Some(&[0.0, 1.0]), ..UserState::unknown(UserId(1)) };
        let mut scores = vec![7.0];
        ready(ranker.score(&user, &[2, 1, 0, 2].map(MovieIndex), &mut scores)).unwrap();
        assert_eq!(scores, [-1.0, UNSCORED, 0.8, -1.0]);
    }

    #[test]
    fn a_model_of_its_own_has_its_own_users() {
        let mut users = TableBuilder::default();
        users.push(4, &[0.0, 1.0]).unwrap();
        let items = embedding_ranker().items;
        let ranker = EmbeddingRanker::with_users(items, Arc::new(users.build().unwrap()));
        let score = |id| {
            let elsewhere = [1.0, 0.0];
            let user = UserState { embedding: Some(&elsewhere), ..UserState::unknown(UserId(id)) };
            let mut scores = Vec::new();
            ready(ranker.score(&user, &[MovieIndex(0)], &mut scores)).map(|()| scores)
        };
        assert_eq!(score(4).unwrap(), [0.8]);
        assert!(matches!(score(5), Err(Error::NoUserEmbedding(UserId(5)))));
    }

    #[test]
    fn a_user_without_a_vector_is_an_error_and_not_an_order() {
        let ranker = embedding_ranker();
        let nobody = UserState::unknown(UserId(1));
        let error = ready(ranker.score(&nobody, &[MovieIndex(0)], &mut Vec::new()));
        assert!(matches!(error, Err(Error::NoUserEmbedding(UserId(1)))));
        let zero = UserState { embedding: Some(&[0.0, -0.0]), ..nobody };
        let error = ready(ranker.score(&zero, &[MovieIndex(0)], &mut Vec::new()));
        assert!(matches!(error, Err(Error::NoUserEmbedding(UserId(1)))));
        let short = UserState { embedding: Some(&[1.0]), ..nobody };
        let error = ready(ranker.score(&short, &[MovieIndex(0)], &mut Vec::new()));
        assert!(matches!(error, Err(Error::Malformed(_))));
    }

    #[test]
    fn popularity_counts_ratings() {
        let record = |id| MovieRecord {
            id: MovieId(id),
            title: format!("Movie {id}"),
            year: None,
            genres: Vec::new(),
            imdb_id: None,
            tmdb_id: None,
        };
        let mut log = RatingLog::default();
        for user in 0..3 {
            log.push(UserId(user), MovieIndex(1), Stars::MIN, 0);
        }
        let movies = Movies::new(vec![record(5), record(6)]).unwrap();
        let ranker = PopularityRanker::new(Arc::new(Catalog::new(movies, log.into_histories().0)));
        let mut scores = Vec::new();
        let nobody = UserState::unknown(UserId(404));
        ready(ranker.score(&nobody, &[0, 1].map(MovieIndex), &mut scores)).unwrap();
        assert_eq!(scores, [0.0, 3.0]);
    }
}
