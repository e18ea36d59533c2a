use std::sync::{Arc, Mutex};

use sparrow_model::MovieIndex;
use sparrow_neural::TopK;
use sparrow_neural::ease::Scorer;

use crate::{Error, Query, Recall};

/// The movies that the user's history speaks for most, by item–item weights (EASE); none that it does not
/// speak for.
#[derive(Debug)]
pub struct ByEase {
    scorer: Arc<Scorer>,
    liked_only: bool,
    /// Room for scores, kept from request to request.
    rooms: Mutex<Vec<Vec<f32>>>,
}

impl ByEase {
    /// Over these weights, whose items are the catalogue's movie indexes. `liked_only` where only the
    /// liked movies of a history count.
    pub fn new(scorer: Arc<Scorer>, liked_only: bool) -> Self {
        Self { scorer, liked_only, rooms: Mutex::default() }
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
        let mut scores = match self.rooms.lock() {
            Ok(mut rooms) => rooms.pop().unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        let history = query.user.rated_movies(self.liked_only).map(|movie| movie.0);
        if self.scorer.score_all(history, &mut scores) {
            let mut top = TopK::new(limit);
            for (&score, movie) in scores.iter().zip(0..) {
                if score > 0.0 && top.accepts(score) && !query.excluded.contains(MovieIndex(movie))
                {
                    top.push(score, movie);
                }
            }
            found.extend(top.sorted().map(|(_, movie)| MovieIndex(movie)));
        }
        if let Ok(mut rooms) = self.rooms.lock() {
            rooms.push(scores);
        }
        Ok(())
    }
}
