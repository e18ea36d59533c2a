//! How long rankings take: long ones must not block the threads that serve connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sparrow_engine::{Candidates, Engine, Request};

/// Longer rankings leave the threads that serve connections.
const SHORT: Duration = Duration::from_millis(1);

/// The time of a model that has not ranked yet.
const UNKNOWN: u64 = u64::MAX;

/// Where a ranking runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// On the thread that serves the connection.
    Inline,
    /// On another thread.
    Blocking,
    /// On another thread, and only a few at a time.
    LimitedBlocking,
}

/// A moving average of the time of rankings of recalled candidates, by model.
#[derive(Debug)]
pub(crate) struct RankingTimes {
    default: Arc<str>,
    /// In microseconds; at first `UNKNOWN`.
    models: Vec<(Arc<str>, AtomicU64)>,
}

impl RankingTimes {
    pub(crate) fn new(engine: &Engine) -> Self {
        // Waiting for a model server takes no time of a thread.
        let local = engine.models().into_iter().filter(|model| model.kind != "tf-serving");
        let unknown = || AtomicU64::new(UNKNOWN);
        Self {
            default: Arc::from(engine.default_model()),
            models: local.map(|model| (model.name, unknown())).collect(),
        }
    }

    /// Rankings of the whole catalogue and those by a slow model are long. A model that has not ranked yet may be
    /// slow.
    pub(crate) fn schedule(&self, request: &Request<'_>) -> Schedule {
        if request.candidates == Candidates::All {
            return Schedule::LimitedBlocking;
        }
        let time = self.of(request.model.unwrap_or(&self.default));
        match time.map(|micros| micros.load(Ordering::Relaxed)) {
            Some(UNKNOWN) => Schedule::Blocking,
            Some(micros) if u128::from(micros) > SHORT.as_micros() => Schedule::LimitedBlocking,
            _ => Schedule::Inline,
        }
    }

    /// Records the time of a ranking.
    pub(crate) fn record(&self, candidates: Candidates, model: &str, took: Duration) {
        if candidates == Candidates::All {
            return;
        }
        let Some(time) = self.of(model) else { return };
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 8);
        // Updates that are lost between threads do not matter.
        let average = match time.load(Ordering::Relaxed) {
            UNKNOWN => took,
            average => average.saturating_mul(3).saturating_add(took) / 4,
        };
        time.store(average, Ordering::Relaxed);
    }

    /// The time of a model by its name. A model that is requested by an alias counts as short until it was
    /// requested by its name.
    fn of(&self, name: &str) -> Option<&AtomicU64> {
        self.models.iter().find(|(model, _)| **model == *name).map(|(_, micros)| micros)
    }
}
