use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{Catalog, MovieId, MovieIndex, UserState};
use sparrow_neural::ease::{ItemWeights, Scorer};

use crate::{Error, Ranker, UNSCORED};

/// Scores by item–item weights (EASE): how much the movies of the user's history speak for each movie.
///
/// Users need not have been in the model's training: their histories come with them. One whose history has
/// no movie that the model knows is [`Error::UnknownUser`].
#[derive(Debug, Clone)]
pub struct EaseRanker {
    scorer: Arc<Scorer>,
    liked_only: bool,
}

impl EaseRanker {
    /// Lays out weights for the movies of a catalogue. `liked_only` where only the liked movies of a
    /// history count.
    pub fn new(weights: &ItemWeights, liked_only: bool, catalog: &Catalog) -> Self {
        let position = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
        Self { scorer: Arc::new(Scorer::new(weights, catalog.len(), position)), liked_only }
    }

    /// How many of the catalogue's movies the model knows.
    pub fn known_movies(&self) -> usize {
        self.scorer.known()
    }

    /// The weights, to share with recall.
    pub const fn scorer(&self) -> &Arc<Scorer> {
        &self.scorer
    }
}

#[async_trait]
impl Ranker for EaseRanker {
    fn kind(&self) -> &'static str {
        "ease"
    }

    async fn score(
        &self,
        user: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let history = user.rated_movies(self.liked_only).map(|movie| movie.0);
        if !self.scorer.score_all(history, scores) {
            return Err(Error::UnknownUser(user.id));
        }
        // All are scored in the caller's buffer, and the wanted ones picked behind them.
        let all = scores.len();
        scores.reserve(movies.len());
        for movie in movies {
            scores.push(if self.scorer.knows(movie.0) { scores[movie.at()] } else { UNSCORED });
        }
        scores.drain(..all);
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{MovieRecord, Movies, OwnedHistory, Rated, RatingLog, Stars, UserId};

    use super::*;
    use crate::tests::ready;

    /// Movies 10, 20, 30, 40; 10 speaks for 20 and against 30, 20 for 10. The model does not know 40.
    fn ranker(liked_only: bool) -> EaseRanker {
        let record = |id| MovieRecord {
            id: MovieId(id),
            title: format!("Movie {id}"),
            year: None,
            genres: Vec::new(),
            imdb_id: None,
            tmdb_id: None,
        };
        let movies = Movies::new((1..=4).map(|ten| record(ten * 10)).collect()).unwrap();
        let catalog = Catalog::new(movies, RatingLog::default().into_histories().0);
        let (targets, weights) = (vec![1, 2, 0], vec![0.5, -0.25, 0.75]);
        let weights = ItemWeights::new(vec![10, 20, 30], vec![0, 2, 3, 3], targets, weights);
        EaseRanker::new(&weights.unwrap(), liked_only, &catalog)
    }

    fn scored(ranker: &EaseRanker, rated: &[(u32, Stars)]) -> Result<Vec<f32>, Error> {
        let rated = rated.iter().map(|&(movie, stars)| Rated {
            movie: MovieIndex(movie),
            stars,
            timestamp: 0,
        });
        let history = OwnedHistory::new(UserId(1), rated);
        let user = UserState { history: Some(history.get()), ..UserState::unknown(UserId(1)) };
        let mut scores = vec![9.0];
        ready(ranker.score(&user, &[3, 2, 1, 0, 1].map(MovieIndex), &mut scores))?;
        Ok(scores)
    }

    #[test]
    fn the_history_speaks_for_movies() {
        let all = ranker(false);
        assert_eq!((all.kind(), all.known_movies()), ("ease", 3));
        let history = [(0, Stars::MIN), (1, Stars::MAX), (3, Stars::MAX)];
        assert_eq!(scored(&all, &history).unwrap(), [UNSCORED, -0.25, 0.5, 0.75, 0.5]);
        let liked = ranker(true);
        assert_eq!(scored(&liked, &history).unwrap(), [UNSCORED, 0.0, 0.0, 0.75, 0.0]);
    }

    #[test]
    fn a_history_without_known_movies_is_an_error_and_not_an_order() {
        for history in [&[][..], &[(3, Stars::MAX)]] {
            assert!(matches!(scored(&ranker(false), history), Err(Error::UnknownUser(UserId(1)))));
        }
        let disliked = scored(&ranker(true), &[(0, Stars::MIN)]);
        assert!(matches!(disliked, Err(Error::UnknownUser(_))));
    }
}
