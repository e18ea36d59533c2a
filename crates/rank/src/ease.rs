use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{MovieIndex, UserState};
use sparrow_neural::ease::Scorer;

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
    /// Over these weights, whose items are the catalogue's movie indexes. `liked_only` where only the
    /// liked movies of a history count.
    pub const fn new(scorer: Arc<Scorer>, liked_only: bool) -> Self {
        Self { scorer, liked_only }
    }

    /// How many of the catalogue's movies the model knows.
    pub fn known_movies(&self) -> usize {
        self.scorer.contained_count()
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
            scores.push(if self.scorer.contains(movie.0) {
                scores[movie.index()]
            } else {
                UNSCORED
            });
        }
        scores.drain(..all);
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{OwnedHistory, Rated, Stars, UserId};
    use sparrow_neural::ease::ItemWeights;

    use super::*;
    use crate::tests::ready;

    /// Movies 10, 20, 30, 40; 10 speaks for 20 and against 30, 20 for 10. The model does not know 40.
    fn ranker(liked_only: bool) -> EaseRanker {
        let (targets, weights) = (vec![1, 2, 0], vec![0.5, -0.25, 0.75]);
        let weights = ItemWeights::new(vec![10, 20, 30], vec![0, 2, 3, 3], targets, weights);
        let scorer = Scorer::new(&weights.unwrap(), 4, |id| Some(id / 10 - 1));
        EaseRanker::new(Arc::new(scorer), liked_only)
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
