use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::UserState;
use sparrow_neural::ease::Scorer;

use crate::{Error, Query, Ranker, UNSCORED};

/// Scores by item–item weights (EASE): the score of a movie is the sum of the weights for it over the movies of the
/// user's history.
///
/// Users need not be in the training data, because their histories are part of the query. A history without any movie
/// of the model is [`Error::UnknownUser`].
#[derive(Debug, Clone)]
pub struct EaseRanker {
    scorer: Arc<Scorer>,
    liked_only: bool,
}

impl EaseRanker {
    /// A ranker over weights that are indexed by movie. With `liked_only`, only the liked movies of a history count.
    pub const fn new(scorer: Arc<Scorer>, liked_only: bool) -> Self {
        Self { scorer, liked_only }
    }

    /// The number of movies of the catalogue that the model contains.
    pub fn known_movies(&self) -> usize {
        self.scorer.contained_count()
    }

    fn score_catalog(&self, user: &UserState<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let history = user.rated_movies(self.liked_only).map(|movie| movie.0);
        if !self.scorer.score_all(history, UNSCORED, scores) {
            return Err(Error::UnknownUser(user.id));
        }
        Ok(())
    }
}

#[async_trait]
impl Ranker for EaseRanker {
    fn kind(&self) -> &'static str {
        "ease"
    }

    fn score_all(&self, user: &UserState<'_>, scores: &mut Vec<f32>) -> Option<Result<(), Error>> {
        Some(self.score_catalog(user, scores))
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        self.score_catalog(query.user, scores)?;
        // The scores of the catalogue are in the caller's buffer. The requested ones are appended, then the rest removed.
        let all = scores.len();
        scores.reserve(query.movies.len());
        for movie in query.movies {
            scores.push(scores[movie.index()]);
        }
        scores.drain(..all);
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{MovieIndex, OwnedHistory, Rated, Stars, UserId};
    use sparrow_neural::ease::ItemWeights;

    use super::*;
    use crate::tests::ready;
    use crate::testsuite;

    /// Movies 10, 20, 30, 40; 10 has a positive weight for 20 and a negative one for 30, 20 has one for 10. The model
    /// does not contain 40.
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
        let (mut scores, mut all) = (vec![9.0], vec![9.0]);
        let movies = [3, 2, 1, 0, 1].map(MovieIndex);
        ready(ranker.score(&Query::new(&user, &movies), &mut scores))?;
        ranker.score_all(&user, &mut all).unwrap()?;
        assert_eq!(scores, movies.map(|movie| all[movie.index()]));
        Ok(scores)
    }

    #[test]
    fn scores_are_sums_of_weights_over_the_history() {
        let all = ranker(false);
        assert_eq!((all.kind(), all.known_movies()), ("ease", 3));
        let history = [(0, Stars::MIN), (1, Stars::MAX), (3, Stars::MAX)];
        assert_eq!(scored(&all, &history).unwrap(), [UNSCORED, -0.25, 0.5, 0.75, 0.5]);
        let liked = ranker(true);
        assert_eq!(scored(&liked, &history).unwrap(), [UNSCORED, 0.0, 0.0, 0.75, 0.0]);
    }

    #[test]
    fn ease_fulfils_the_contract() {
        let history = |movie| {
            let rated = Rated { movie: MovieIndex(movie), stars: Stars::MAX, timestamp: 0 };
            OwnedHistory::new(UserId(1), [rated])
        };
        let (known, unknown) = (history(0), history(3));
        let with = |history| UserState { history: Some(history), ..UserState::unknown(UserId(1)) };
        let scored = [with(known.get())];
        let unscored = [with(unknown.get()), UserState::unknown(UserId(2))];
        ready(testsuite::check(&ranker(false), 4, &scored, &unscored));
    }

    #[test]
    fn history_without_movies_of_the_model_is_an_error() {
        for history in [&[][..], &[(3, Stars::MAX)]] {
            assert!(matches!(scored(&ranker(false), history), Err(Error::UnknownUser(UserId(1)))));
        }
        let disliked = scored(&ranker(true), &[(0, Stars::MIN)]);
        assert!(matches!(disliked, Err(Error::UnknownUser(_))));
    }
}
