//! Counts what a server does, for `/metrics`. Counting takes no lock and no memory.

use std::time::Instant;

use hyper::{Method, StatusCode};
use sparrow_engine::Reason;
use sparrow_live::{Accepted, Action, Error as LiveError, Write};
use sparrow_metrics::{Count, DurationCounts, Entered, Grid};

/// More than there are routes: the index of a route is less.
pub(crate) const MOST_ROUTES: usize = 64;

/// The methods that are counted apart; all others are the last one.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "_OTHER"];

/// The statuses that are counted apart, frequent ones first; all others are the last one.
const STATUSES: [u16; 24] = [
    200, 304, 404, 400, 503, 204, 201, 202, 308, 401, 403, 405, 408, 409, 413, 414, 415, 421, 422,
    429, 431, 500, 505, 0,
];

/// Why connections are refused.
pub(crate) const REFUSALS: [&str; 2] = ["connections", "connections-of-address"];

const WRITES: [&str; 5] = ["rating", "removal", "event", "forget", "exposure"];
const OUTCOMES: [&str; 3] = ["accepted", "repeated", "failed"];

/// The counters of a server.
#[derive(Debug)]
pub(crate) struct ServerMetrics {
    requests: Grid<3>,
    active: Count,
    /// Open connections.
    pub(crate) connections: Count,
    /// Connections that were refused, in the order of [`REFUSALS`].
    pub(crate) refused: [Count; REFUSALS.len()],
    reasons: Vec<Count>,
    writes: [[Count; OUTCOMES.len()]; WRITES.len()],
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Active<'a> {
    metrics: &'a ServerMetrics,
    start: Instant,
    _counted: Entered<'a>,
}

impl Active<'_> {
    /// Counts the answer of a request to the route with this index.
    pub(crate) fn answered(self, route: usize, method: &Method, status: StatusCode) {
        let other = |known: usize| known - 1;
        let method = METHODS.iter().position(|known| *known == method.as_str());
        let status = STATUSES.iter().position(|&known| known == status.as_u16());
        let method = method.unwrap_or(other(METHODS.len()));
        let status = status.unwrap_or(other(STATUSES.len()));
        self.metrics.requests.at([route, method, status]).record(self.start.elapsed());
    }
}

impl ServerMetrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: Grid::new([MOST_ROUTES, METHODS.len(), STATUSES.len()]),
            active: Count::default(),
            connections: Count::default(),
            refused: Default::default(),
            reasons: Reason::NAMES.iter().map(|_| Count::default()).collect(),
            writes: Default::default(),
        }
    }

    /// Counts a request until its answer.
    pub(crate) fn begin(&self) -> Active<'_> {
        Active { metrics: self, start: Instant::now(), _counted: self.active.enter() }
    }

    /// Counts an answer with recommendations that has a reason.
    pub(crate) fn count_reason(&self, reason: Reason) {
        let index = Reason::NAMES.iter().position(|name| *name == reason.as_str());
        if let Some(count) = index.and_then(|index| self.reasons.get(index)) {
            count.add(1);
        }
    }

    /// Counts the result of a change of live data.
    pub(crate) fn count_write(&self, write: &Write, result: &Result<Accepted, LiveError>) {
        let kind = match write.action {
            Action::Rate(..) => 0,
            Action::Unrate(_) => 1,
            Action::Event { .. } => 2,
            Action::Forget => 3,
            Action::Expose(_) => 4,
        };
        let outcome = match result {
            Ok(accepted) if accepted.repeated => 1,
            Ok(_) => 0,
            Err(_) => 2,
        };
        self.writes[kind][outcome].add(1);
    }

    /// Requests that are being answered.
    pub(crate) fn active(&self) -> u64 {
        self.active.get()
    }

    /// The answers by the index of the route, the method and the status; 0 for other statuses.
    pub(crate) fn requests(
        &self,
    ) -> impl Iterator<Item = (usize, &'static str, u16, DurationCounts)> {
        let named = |([route, method, status], counts): ([usize; 3], _)| {
            (route, METHODS[method], STATUSES[status], counts)
        };
        self.requests.used().map(named)
    }

    /// The answers with recommendations by reason.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::NAMES.iter().copied().zip(self.reasons.iter().map(Count::get))
    }

    /// The changes of live data by kind and outcome.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        WRITES.iter().zip(&self.writes).flat_map(|(kind, outcomes)| {
            let counted = OUTCOMES.iter().zip(outcomes);
            counted.map(|(outcome, count)| (*kind, *outcome, count.get()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_route_method_and_status() {
        let metrics = ServerMetrics::new();
        metrics.begin().answered(3, &Method::GET, StatusCode::OK);
        let pending = metrics.begin();
        metrics.begin().answered(3, &Method::PATCH, StatusCode::IM_A_TEAPOT);
        assert_eq!(metrics.active(), 1);
        drop(pending);
        assert_eq!(metrics.active(), 0);
        let requests = metrics.requests();
        let counted: Vec<_> = requests.map(|(r, m, s, counts)| (r, m, s, counts.count())).collect();
        assert_eq!(counted, [(3, "GET", 200, 1), (3, "_OTHER", 0, 1)]);
    }

    #[test]
    fn reasons_are_counted_apart() {
        let metrics = ServerMetrics::new();
        metrics.count_reason(Reason::ModelTimedOut);
        let counted: Vec<_> = metrics.reasons().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("model-timed-out", 1)]);
    }
}
