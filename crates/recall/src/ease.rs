use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sparrow_model::MovieIndex;
use sparrow_neural::TopK;
use sparrow_neural::ease::Scorer;

use crate::{Error, Query, Recall};

/// The movies that the user's history speaks for most, by item–item weights (EASE); none that it does not
/// speak for.
///
/// The weights can be exchanged while requests run. Without any, nothing is found.
#[derive(Debug, Default)]
pub struct ByEase {
    weights: RwLock<Option<Weights>>,
    /// Room for scores, kept from request to request.
    rooms: Mutex<Vec<Vec<f32>>>,
}

#[derive(Debug, Clone)]
struct Weights {
    scorer: Arc<Scorer>,
    liked_only: bool,
}

impl ByEase {
    /// Over these weights, whose items are the catalogue's movie indexes. `liked_only` where only the
    /// liked movies of a history count.
    pub fn new(scorer: Arc<Scorer>, liked_only: bool) -> Self {
        let by_ease = Self::default();
        by_ease.set(scorer, liked_only);
        by_ease
    }

    /// Requests from now on go by these weights.
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
        let rooms = || self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scores = rooms().pop().unwrap_or_default();
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
        rooms().push(scores);
        Ok(())
    }
}
