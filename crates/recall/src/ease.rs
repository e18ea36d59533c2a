use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sparrow_model::MovieIndex;
use sparrow_neural::TopK;
use sparrow_neural::ease::Scorer;

use crate::{Error, Query, Recall};

/// The movies with the highest positive scores by item–item weights (EASE; Steck 2019, arXiv:1905.03375).
///
/// The weights can be replaced while requests run. Returns no candidates if no weights are loaded.
#[derive(Debug, Default)]
pub struct ByEase {
    weights: RwLock<Option<Weights>>,
    /// Score buffers for reuse by later requests.
    buffers: Mutex<Vec<Vec<f32>>>,
}

#[derive(Debug, Clone)]
struct Weights {
    scorer: Arc<Scorer>,
    liked_only: bool,
}

impl ByEase {
    /// Creates the strategy. The items of `scorer` must be the catalogue's movie indexes. With `liked_only`, only the
    /// liked movies of a history are its input.
    pub fn new(scorer: Arc<Scorer>, liked_only: bool) -> Self {
        let by_ease = Self::default();
        by_ease.set(scorer, liked_only);
        by_ease
    }

    /// Replaces the weights for subsequent requests.
    pub fn set(&self, scorer: Arc<Scorer>, liked_only: bool) {
        let weights = Some(Weights { scorer, liked_only });
        *self.weights.write().unwrap_or_else(PoisonError::into_inner) = weights;
    }
}

impl Recall for ByEase {
    fn name(&self) -> &'static str {
        "ease"
    }

    fn recall(
        &self,
        query: &Query<'_>,
        limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        let weights = self.weights.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(Weights { scorer, liked_only }) = weights else { return Ok(()) };
        let buffers = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scores = buffers().pop().unwrap_or_default();
        let history = query.user.rated_movies(liked_only).map(|movie| movie.0);
        if scorer.score_all(history, &mut scores) {
            let mut top = TopK::new(limit);
            for (&score, movie) in scores.iter().zip(0..) {
                if score > 0.0 && top.accepts(score) && !query.excluded.contains(MovieIndex(movie))
                {
                    top.push(score, movie);
                }
            }
            found.extend(top.sorted().map(|(_, movie)| MovieIndex(movie)));
        }
        buffers().push(scores);
        Ok(())
    }
}
