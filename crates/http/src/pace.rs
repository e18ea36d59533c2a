//! How long rankings take: long ones must not hold up the threads that serve connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sparrow_engine::{Candidates, Engine, Request};

/// What may take the time of a thread that serves connections.
const SHORT: Duration = Duration::from_millis(1);

/// The pace of a model that was not asked yet.
const UNKNOWN: u64 = u64::MAX;

/// Where an answer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the thread that serves the connection.
    Here,
    /// On another.
    Elsewhere,
    /// On another, and only a few at a time.
    ElsewhereLimited,
}

/// The time that recent rankings of recalled candidates took, by model.
#[derive(Debug)]
pub(crate) struct Pace {
    default: Arc<str>,
    /// In microseconds; at first `UNKNOWN`.
    models: Vec<(Arc<str>, AtomicU64)>,
}

impl Pace {
    pub(crate) fn new(engine: &Engine) -> Self {
        // What waits for a model server takes no thread's time.
        let here = engine.models().into_iter().filter(|model| model.kind != "tf-serving");
        let unknown = || AtomicU64::new(UNKNOWN);
        Self {
            default: Arc::from(engine.default_model()),
            models: here.map(|model| (model.name, unknown())).collect(),
        }
    }

    /// Long are rankings of the whole catalogue, and those by a model that was slow of late. One that was not
    /// asked yet may turn out to be.
    pub(crate) fn place_for(&self, request: &Request<'_>) -> Place {
        if request.candidates == Candidates::All {
            return Place::ElsewhereLimited;
        }
        let known = self.of(request.model.unwrap_or(&self.default));
        match known.map(|micros| micros.load(Ordering::Relaxed)) {
            Some(UNKNOWN) => Place::Elsewhere,
            Some(micros) if u128::from(micros) > SHORT.as_micros() => Place::ElsewhereLimited,
            _ => Place::Here,
        }
    }

    /// Takes note of an answer.
    pub(crate) fn note(&self, candidates: Candidates, model: &str, took: Duration) {
        if candidates == Candidates::All {
            return;
        }
        let Some(known) = self.of(model) else { return };
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 8);
        // A moving average. Notes that are lost between threads do not matter.
        let average = match known.load(Ordering::Relaxed) {
            UNKNOWN => took,
            average => average.saturating_mul(3).saturating_add(took) / 4,
        };
        known.store(average, Ordering::Relaxed);
    }

    /// A model by name; those asked for by an alias are taken for short until they were asked for by name.
    fn of(&self, name: &str) -> Option<&AtomicU64> {
        self.models.iter().find(|(known, _)| **known == *name).map(|(_, micros)| micros)
    }
}
