use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::Catalog;

use crate::{Error, Query, Ranker};

/// Scores by the number of ratings of a movie, which is the same for every user.
#[derive(Debug, Clone)]
pub struct PopularityRanker {
    catalog: Arc<Catalog>,
}

impl PopularityRanker {
    /// A ranker over the movies of a catalogue.
    pub const fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog }
    }
}

#[async_trait]
impl Ranker for PopularityRanker {
    fn kind(&self) -> &'static str {
        "popularity"
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        scores.clear();
        scores.extend(query.movies.iter().map(|&movie| self.catalog.stats(movie).count as f32));
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{MovieIndex, UserId, UserState};
    use sparrow_test_support::catalogue;

    use super::*;
    use crate::tests::ready;
    use crate::testsuite;

    #[test]
    fn scores_are_numbers_of_ratings() {
        let movies = [5, 6].map(|id| catalogue::movie(id, None, catalogue::NO_GENRES));
        let ratings = (0..3).map(|user| (user, 1, 1, 0));
        let ranker = PopularityRanker::new(Arc::new(catalogue::catalog(movies, ratings)));
        ready(testsuite::check(&ranker, 2, &[UserState::unknown(UserId(0))], &[]));
        let mut scores = Vec::new();
        let user = UserState::unknown(UserId(404));
        let movies = [0, 1].map(MovieIndex);
        ready(ranker.score(&Query::new(&user, &movies), &mut scores)).unwrap();
        assert_eq!(scores, [0.0, 3.0]);
    }
}
