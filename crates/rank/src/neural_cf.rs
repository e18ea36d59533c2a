use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::Catalog;
use sparrow_neural::neural_cf::{Model, Scorer};

use crate::{Error, Query, Ranker};

/// Scores by a NeuralCF model in this process: the probability that the user likes the movie.
///
/// Movies and users outside the training data are scored with the trained embedding of unknown ids, as in the
/// TensorFlow graph of the same model. Anonymous users are [`Error::UnknownUser`].
#[derive(Debug, Clone)]
pub struct NeuralCfRanker {
    scorer: Arc<Scorer>,
}

impl NeuralCfRanker {
    /// A ranker over the movies of a catalogue.
    pub fn new(model: &Model, catalog: &Catalog) -> Self {
        let ids = catalog.movies().iter().map(|movie| movie.id.0);
        Self { scorer: Arc::new(Scorer::new(model, ids)) }
    }

    /// The number of movies of the catalogue that were in the training data.
    pub fn known_movies(&self) -> usize {
        self.scorer.known_items()
    }
}

#[async_trait]
impl Ranker for NeuralCfRanker {
    fn kind(&self) -> &'static str {
        "neuralcf"
    }

    fn dimension(&self) -> Option<usize> {
        Some(self.scorer.dimension())
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        if query.user.is_anonymous {
            return Err(Error::UnknownUser(query.user.id));
        }
        let movies = query.movies;
        let query = self.scorer.query(query.user.id.0);
        scores.clear();
        // Scoring a movie costs less than gathering its embedding: from a quarter of the catalogue on it is faster
        // to score all movies and to copy the requested scores.
        if movies.len() >= self.scorer.len() / 4 {
            self.scorer.score_all(&query, scores);
            let all = scores.len();
            scores.reserve(movies.len());
            for movie in movies {
                scores.push(scores[movie.index()]);
            }
            scores.drain(..all);
        } else {
            self.scorer.score(&query, movies.iter().map(|movie| movie.0), scores);
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{MovieIndex, UserId, UserState};
    use sparrow_neural::TableBuilder;
    use sparrow_neural::neural_cf::{Dense, Embedding, Network};
    use sparrow_test_support::catalogue;

    use super::*;
    use crate::tests::ready;
    use crate::testsuite;

    /// The sum of the embeddings of the movie and of the user, through a ReLU.
    fn model() -> Model {
        let embedding = |rows: &[(u32, f32)], unknown| {
            let mut table = TableBuilder::default();
            for &(id, value) in rows {
                table.push(id, &[value]).unwrap();
            }
            Embedding { table: table.build().unwrap(), unknown: vec![unknown] }
        };
        let sum = Dense { weight: vec![1.0, 1.0], bias: vec![0.0] };
        let output = Dense { weight: vec![1.0], bias: vec![0.0] };
        Model::new(
            embedding(&[(10, 1.0), (30, 3.0)], 2.0),
            embedding(&[(7, 0.5)], -1.0),
            Network::NeuralCf { hidden: vec![sum] },
            output,
        )
        .unwrap()
    }

    fn catalog() -> Catalog {
        let movie = |ten: u32| catalogue::movie(ten * 10, None, catalogue::NO_GENRES);
        catalogue::unrated((1..=20).map(movie))
    }

    #[test]
    fn neural_cf_fulfils_the_contract() {
        let users = [7, 8].map(|id| UserState::unknown(UserId(id)));
        let catalog = catalog();
        let ranker = NeuralCfRanker::new(&model(), &catalog);
        ready(testsuite::check(&ranker, catalog.len(), &users, &[]));
    }

    #[test]
    fn anonymous_users_have_no_scores() {
        let ranker = NeuralCfRanker::new(&model(), &catalog());
        let user = UserState::anonymous();
        let query = Query::new(&user, &[MovieIndex(0)]);
        let outcome = ready(ranker.score(&query, &mut Vec::new()));
        assert!(matches!(outcome, Err(Error::UnknownUser(_))));
    }

    #[test]
    fn subset_and_whole_catalogue_have_equal_scores() {
        let ranker = NeuralCfRanker::new(&model(), &catalog());
        assert_eq!((ranker.kind(), ranker.known_movies()), ("neuralcf", 2));
        let sigmoid = |logit: f32| 1.0 / (1.0 + (-logit).exp());
        for (user, logits) in [(7, [1.5, 2.5, 3.5]), (8, [0.0, 1.0, 2.0])] {
            let user = UserState::unknown(UserId(user));
            let (mut few, mut all) = (vec![9.0], Vec::new());
            let chosen = [2, 1, 0].map(MovieIndex);
            ready(ranker.score(&Query::new(&user, &chosen), &mut few)).unwrap();
            let every: Vec<MovieIndex> = (0..20).map(MovieIndex).collect();
            ready(ranker.score(&Query::new(&user, &every), &mut all)).unwrap();
            assert_eq!(few, [all[2], all[1], all[0]]);
            for (score, logit) in all.iter().zip(logits) {
                assert!((score - sigmoid(logit)).abs() < 1e-6, "{score} {logit}");
            }
        }
    }
}
