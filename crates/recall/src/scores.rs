use std::sync::Arc;

use sparrow_model::MovieIndex;

use crate::{Error, Query, Recall};

/// The movies with the best scores of a ranking model that scores the whole catalogue, such as EASE.
///
/// It returns no candidates if the model has no scores for the user.
#[derive(Debug, Clone)]
pub struct ByScores {
    name: Arc<str>,
    model: Arc<str>,
    above: f32,
}

impl ByScores {
    /// A strategy with this name over the scores of the model named `model`. Candidates are only movies with a score
    /// greater than `above`.
    pub fn new(name: impl Into<Arc<str>>, model: impl Into<Arc<str>>, above: f32) -> Self {
        Self { name: name.into(), model: model.into(), above }
    }
}

impl Recall for ByScores {
    fn name(&self) -> &str {
        &self.name
    }

    fn model(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        let Some(scores) = query.scores else { return Ok(()) };
        let skip = |movie| query.excluded.contains(MovieIndex(movie));
        scores.select(limit, self.above, skip, |movie| found.push(MovieIndex(movie)));
        Ok(())
    }
}
