use std::sync::Arc;

use async_trait::async_trait;
use sparrow_model::{Catalog, UserState};
use sparrow_rank::{Error, ItemScores, Query, Ranker};

/// Scores movies by the decade of their release, in the same way for all users.
pub struct DecadeRanker {
    /// The score of each movie of the catalogue.
    scores: Arc<ItemScores>,
}

impl DecadeRanker {
    /// A ranker over a catalogue, with a weight for each decade such as 1990; 0 for other decades.
    pub fn new(weights: &[(u16, f32)], catalog: &Catalog) -> Self {
        let weight = |year: u16| weights.iter().find(|(decade, _)| *decade == year / 10 * 10);
        let score = |year| weight(year).map_or(0.0, |(_, weight)| *weight);
        let years = catalog.movies().iter().map(|movie| movie.year);
        let scores = years.map(|year| year.map_or(0.0, score)).collect();
        Self { scores: Arc::new(ItemScores::new(scores)) }
    }
}

#[async_trait]
impl Ranker for DecadeRanker {
    fn kind(&self) -> &'static str {
        "decade"
    }

    // Optional: for recall, and for ranking in the same request.
    fn score_all(&self, _: &UserState<'_>) -> Option<Result<Arc<ItemScores>, Error>> {
        Some(Ok(Arc::clone(&self.scores)))
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        scores.clear();
        scores.extend(query.movies.iter().map(|movie| self.scores.as_slice()[movie.index()]));
        Ok(())
    }
}
