//! The trial of a new version: it scores a whole catalogue before it is served.

use std::pin::pin;
use std::sync::Arc;
use std::task;
use std::time::{Duration, Instant};

use sparrow_model::{Catalog, MovieIndex, UserState};
use sparrow_rank::{Query, Ranker, UNSCORED};

use super::{LoadedModel, ModelError};

/// The number of movies that are scored at a time.
pub(super) const CHUNK: usize = 256;

/// The ranker of a model over a catalogue, after it has scored all of it within `limit`.
pub(super) fn ranker(
    model: &dyn LoadedModel,
    catalog: &Catalog,
    limit: Duration,
) -> Result<Arc<dyn Ranker>, ModelError> {
    let estimate = model.estimated_time(catalog);
    if estimate > limit {
        return Err(ModelError::Trial(format!(
            "scoring {} movies would take about {estimate:.1?}, and its trial may take {limit:?} \
             (ranking.trial_timeout)",
            catalog.len()
        )));
    }
    let ranker = model.ranker(catalog)?;
    let history = model.trial_user(catalog);
    let history = history.get();
    let user = UserState { history: Some(history), ..UserState::unknown(history.user()) };
    score_all(&*ranker, &user, catalog, limit)?;
    Ok(ranker)
}

/// Scores the whole catalogue for a user by a ranker in memory, within `limit`, and checks the scores.
fn score_all(
    ranker: &dyn Ranker,
    user: &UserState<'_>,
    catalog: &Catalog,
    limit: Duration,
) -> Result<(), ModelError> {
    let failed = |message: &str| Err(ModelError::Trial(message.to_owned()));
    let movies: Vec<MovieIndex> = (0..catalog.len() as u32).map(MovieIndex).collect();
    let start = Instant::now();
    let mut scores = Vec::new();
    let (mut done, mut has_scores) = (0, false);
    for chunk in movies.chunks(CHUNK) {
        {
            let query = Query::new(user, chunk);
            let mut score = pin!(ranker.score(&query, &mut scores));
            match score.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop())) {
                task::Poll::Ready(outcome) => outcome.map_err(ModelError::Score)?,
                task::Poll::Pending => return failed("it does not score at once"),
            }
        }
        if scores.len() != chunk.len() {
            return failed(&format!("{} scores for {} movies", scores.len(), chunk.len()));
        }
        let is_valid = |score: &f32| score.is_finite() || *score == UNSCORED;
        if !scores.iter().all(is_valid) {
            return failed("a score is not finite");
        }
        has_scores |= scores.iter().any(|score| *score != UNSCORED);
        done += chunk.len();
        let took = start.elapsed();
        if took > limit {
            return failed(&format!(
                "scoring {done} of {} movies took {took:.1?}, and its trial may take {limit:?} \
                 (ranking.trial_timeout)",
                movies.len()
            ));
        }
    }
    if movies.is_empty() || has_scores { Ok(()) } else { failed("it scores no movie") }
}
