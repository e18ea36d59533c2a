//! Counts the calls of a store by operation and outcome.

use std::future::Future;
use std::time::Instant;

use crate::{DurationCounts, Grid};

/// The outcomes of calls.
const OUTCOMES: [&str; 5] = ["ok", "timeout", "unavailable", "malformed", "refused"];

/// The calls of a store by operation and outcome, with the time that the caller waited.
#[derive(Debug)]
pub struct Calls {
    names: &'static [&'static str],
    grid: Grid<2>,
}

impl Calls {
    /// No calls of these operations.
    pub fn new(names: &'static [&'static str]) -> Self {
        Self { names, grid: Grid::new([names.len(), OUTCOMES.len()]) }
    }

    /// Waits for a call of the operation with this index, and counts it.
    pub async fn timed<T>(
        &self,
        operation: usize,
        call: impl Future<Output = T>,
        outcome: impl FnOnce(&T) -> Outcome,
    ) -> T {
        let start = Instant::now();
        let result = call.await;
        self.grid.at([operation, outcome(&result) as usize]).record(start.elapsed());
        result
    }

    /// The calls so far: operation, outcome, and their times.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, DurationCounts)> {
        let named = |([operation, outcome], counts): ([usize; 2], _)| {
            (self.names[operation], OUTCOMES[outcome], counts)
        };
        self.grid.used().map(named)
    }
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Ok,
    /// The deadline was exceeded.
    TimedOut,
    /// The store could not be reached, or the circuit breaker is open.
    Unavailable,
    /// A value or an answer is malformed.
    Malformed,
    /// The request was refused.
    Refused,
}

/// What a guarded store reports about its calls.
#[derive(Debug, Clone, Copy)]
pub struct Health<'a> {
    /// The calls.
    pub calls: &'a Calls,
    /// Whether the circuit breaker is open.
    pub is_open: bool,
}
