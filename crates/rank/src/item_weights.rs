use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{Catalog, MovieId, MovieIndex, UserState};
use sparrow_neural::item_weights::{InputWeights, ItemWeights, Scorer};

use crate::recent_sums::{Input, RecentSums};
use crate::{Error, ItemScores, Query, Ranker, UNSCORED};

/// Scores by item–item weights (EASE, next-item, item-kNN): the score of a movie is the sum of the weights for it over the movies
/// of the user's history, each times its input weight.
///
/// Users need not be in the training data, because their histories are part of the query. A history without any movie
/// of the model is [`Error::UnknownUser`]. The scores of recent users are kept until their histories change, in at most
/// 32 MiB; clones share them.
#[derive(Debug, Clone)]
pub struct ItemWeightsRanker {
    kind: &'static str,
    scorer: Arc<Scorer>,
    input: InputWeights,
    recent: RecentSums,
}

impl ItemWeightsRanker {
    /// A ranker of the kind `kind` over weights that are indexed by movie.
    pub fn new(kind: &'static str, scorer: Arc<Scorer>, input: InputWeights) -> Self {
        let recent = RecentSums::new(scorer.len());
        Self { kind, scorer, input, recent }
    }

    /// A ranker of the kind `kind` over the movies of a catalogue.
    pub fn over(
        kind: &'static str,
        weights: &ItemWeights,
        input: InputWeights,
        catalog: &Catalog,
    ) -> Self {
        let index = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
        Self::new(kind, Arc::new(Scorer::new(weights, catalog.len(), index)), input)
    }

    /// The number of movies of the catalogue that the model contains.
    pub fn known_movies(&self) -> usize {
        self.scorer.contained_count()
    }

    fn score_catalog(&self, user: &UserState<'_>) -> Result<Arc<ItemScores>, Error> {
        let input = self.input(user);
        if let Some(scores) = self.recent.find(&input) {
            return Ok(scores);
        }
        let mut scores = self.recent.spare();
        if !self.scorer.score_all(input.iter().copied(), UNSCORED, &mut scores) {
            return Err(Error::UnknownUser(user.id));
        }
        let scores = Arc::new(ItemScores::new(scores));
        self.recent.keep(input, Arc::clone(&scores));
        Ok(scores)
    }

    /// The movies of the user's history that count, with their input weights.
    fn input(&self, user: &UserState<'_>) -> Vec<Input> {
        let InputWeights { liked_only, .. } = self.input;
        if !self.input.by_age() {
            let movies = user.rated_movies(liked_only);
            return movies.map(|MovieIndex(movie)| (movie, 1.0)).collect();
        }
        // The times of ratings outside the history are unknown, so these ratings do not count.
        let history = user.history.iter().flat_map(|history| history.iter().rev());
        let counted = history.filter(|rated| !liked_only || rated.stars.is_liked());
        let window = self.input.window.unwrap_or(usize::MAX);
        let weighted = counted.take(window).enumerate();
        weighted.map(|(age, rated)| (rated.movie.0, self.input.at(age))).collect()
    }
}

#[async_trait]
impl Ranker for ItemWeightsRanker {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn score_all(&self, user: &UserState<'_>) -> Option<Result<Arc<ItemScores>, Error>> {
        Some(self.score_catalog(user))
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let all = self.score_catalog(query.user)?;
        scores.clear();
        scores.extend(query.movies.iter().map(|movie| all.as_slice()[movie.index()]));
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{OwnedHistory, Rated, Stars, UserId};

    use super::*;
    use crate::tests::ready;
    use crate::testsuite;

    const LIKED: InputWeights = InputWeights { liked_only: true, ..InputWeights::EQUAL };

    /// Movies 10, 20, 30, 40; 10 has a positive weight for 20 and a negative one for 30, 20 has one for 10. The model
    /// does not contain 40.
    fn ranker(input: InputWeights) -> ItemWeightsRanker {
        let (targets, weights) = (vec![1, 2, 0], vec![0.5, -0.25, 0.75]);
        let weights = ItemWeights::new(vec![10, 20, 30], vec![0, 2, 3, 3], targets, weights);
        let scorer = Scorer::new(&weights.unwrap(), 4, |id| Some(id / 10 - 1));
        ItemWeightsRanker::new("ease", Arc::new(scorer), input)
    }

    /// Scores for movies that were rated in this order.
    fn scored(ranker: &ItemWeightsRanker, rated: &[(u32, Stars)]) -> Result<Vec<f32>, Error> {
        let rated = rated.iter().zip(0..).map(|(&(movie, stars), timestamp)| Rated {
            movie: MovieIndex(movie),
            stars,
            timestamp,
        });
        let history = OwnedHistory::new(UserId(1), rated);
        let user = UserState { history: Some(history.get()), ..UserState::unknown(UserId(1)) };
        let mut scores = vec![9.0];
        let movies = [3, 2, 1, 0, 1].map(MovieIndex);
        ready(ranker.score(&Query::new(&user, &movies), &mut scores))?;
        let all = ranker.score_all(&user).unwrap()?;
        assert_eq!(scores, movies.map(|movie| all.as_slice()[movie.index()]));
        Ok(scores)
    }

    #[test]
    fn scores_are_sums_of_weights_over_the_history() {
        let all = ranker(InputWeights::EQUAL);
        assert_eq!((all.kind(), all.known_movies()), ("ease", 3));
        let history = [(0, Stars::MIN), (1, Stars::MAX), (3, Stars::MAX)];
        assert_eq!(scored(&all, &history).unwrap(), [UNSCORED, -0.25, 0.5, 0.75, 0.5]);
        let liked = ranker(LIKED);
        assert_eq!(scored(&liked, &history).unwrap(), [UNSCORED, 0.0, 0.0, 0.75, 0.0]);
    }

    #[test]
    fn item_weights_fulfil_the_contract() {
        let history = |movie| {
            let rated = Rated { movie: MovieIndex(movie), stars: Stars::MAX, timestamp: 0 };
            OwnedHistory::new(UserId(1), [rated])
        };
        let (known, unknown) = (history(0), history(3));
        let with = |history| UserState { history: Some(history), ..UserState::unknown(UserId(1)) };
        let scored = [with(known.get())];
        let unscored = [with(unknown.get()), UserState::unknown(UserId(2))];
        let recent = InputWeights { decay: Some(1.0), window: Some(2), ..InputWeights::EQUAL };
        for input in [InputWeights::EQUAL, LIKED, recent] {
            ready(testsuite::check(&ranker(input), 4, &scored, &unscored));
        }
    }

    #[test]
    fn newer_ratings_weigh_more_inside_the_window() {
        let recent = InputWeights { decay: Some(1.0), window: Some(2), ..InputWeights::EQUAL };
        let recent = ranker(recent);
        let older = (-1.0_f32).exp();
        let history = [(2, Stars::MAX), (0, Stars::MAX), (1, Stars::MAX)];
        let expected = [UNSCORED, -0.25 * older, 0.5 * older, 0.75, 0.5 * older];
        assert_eq!(scored(&recent, &history).unwrap(), expected);
        let outside = [(0, Stars::MAX), (2, Stars::MAX), (1, Stars::MAX)];
        assert_eq!(scored(&recent, &outside).unwrap(), [UNSCORED, 0.0, 0.0, 0.75, 0.0]);
    }

    #[test]
    fn history_without_movies_of_the_model_is_an_error() {
        for history in [&[][..], &[(3, Stars::MAX)]] {
            let all = ranker(InputWeights::EQUAL);
            assert!(matches!(scored(&all, history), Err(Error::UnknownUser(UserId(1)))));
        }
        let disliked = scored(&ranker(LIKED), &[(0, Stars::MIN)]);
        assert!(matches!(disliked, Err(Error::UnknownUser(_))));
    }
}
