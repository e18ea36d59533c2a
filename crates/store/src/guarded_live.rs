use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sparrow_guard::{Assessment, Guard, Policy, Recovery, Retry, Service};
use sparrow_live::{
    Accepted, Change, CreatedUser, Durability, Error as LiveError, LiveStore, LiveUser, Recorded,
    Sequence, Watermark, Write,
};
use sparrow_metrics::{Calls, Health, Outcome};
use sparrow_model::UserId;

use crate::guarded::{in_span, reason};
use crate::{Error, GuardOptions, Outage, Status};

/// The operations, in the order of their indices.
const OPERATIONS: [&str; 5] = ["write", "users", "create_user", "log", "trimmed"];

/// Adds a deadline and a circuit breaker to a store for live data, as [`Guarded`](crate::Guarded) does to a feature store.
/// Writes that the store rejects, such as those with a reused key, do not count as failures. Calls are not retried.
#[derive(Debug)]
pub struct GuardedLive {
    guard: Guard<Store>,
    calls: Calls,
    deadline: Duration,
    bulk_deadline: Duration,
}

impl GuardedLive {
    /// Wraps a store.
    pub fn new(store: Arc<dyn LiveStore>, options: GuardOptions) -> Self {
        let GuardOptions { deadline, bulk_deadline, circuit, pause, .. } = options;
        let recovery = Recovery::Probe(pause);
        let policy = Policy { circuit, recovery, retry: Retry::default() };
        let (guard, calls) = (Guard::new(Store(store), policy), Calls::new(&OPERATIONS));
        Self { guard, calls, deadline, bulk_deadline }
    }

    /// The current health, from past calls only.
    pub fn status(&self) -> Status {
        self.guard.status()
    }

    fn store(&self) -> &dyn LiveStore {
        &*self.guard.service().0
    }

    async fn call<T, F>(
        &self,
        operation: usize,
        deadline: Duration,
        mut call: impl FnMut() -> F,
    ) -> Result<T, LiveError>
    where
        F: Future<Output = Result<T, LiveError>>,
    {
        let called = self.guard.call(deadline, || {
            let called = call();
            async { called.await.map_err(Failed::from) }
        });
        let called = async { called.await.map_err(|failed| failed.error) };
        let outcome = |result: &Result<T, LiveError>| outcome_of(result.as_ref().err());
        let called = in_span("live", OPERATIONS[operation], called);
        self.calls.timed(operation, called, outcome).await
    }
}

fn outcome_of(error: Option<&LiveError>) -> Outcome {
    match error {
        None => Outcome::Ok,
        Some(LiveError::TimedOut { .. }) => Outcome::TimedOut,
        Some(LiveError::Unavailable { .. }) => Outcome::Unavailable,
        Some(LiveError::Malformed { .. }) => Outcome::Malformed,
        Some(_) => Outcome::Refused,
    }
}

/// A failed call.
struct Failed {
    error: LiveError,
    /// The results of a call that wrote several values, at least one of which failed.
    results: Option<Vec<Result<Accepted, LiveError>>>,
}

impl From<LiveError> for Failed {
    fn from(error: LiveError) -> Self {
        Self { error, results: None }
    }
}

#[derive(Debug)]
struct Store(Arc<dyn LiveStore>);

impl Service for Store {
    type Error = Failed;
    type Cause = Error;

    fn assess(&self, failed: &Failed) -> Assessment<Error> {
        outage(&failed.error).map_or(Assessment::Success, Assessment::Failure)
    }

    fn timed_out(&self) -> Failed {
        LiveError::TimedOut { store: self.0.address().to_owned() }.into()
    }

    fn rejected(&self, outage: &Outage) -> Failed {
        let what = format!("the circuit breaker is open, because {}", reason(&outage.cause));
        LiveError::Unavailable { store: self.0.address().to_owned(), what }.into()
    }

    fn opened(&self, error: &Error, before: Option<&Error>) {
        if before.is_none() {
            tracing::warn!(%error, "the circuit breaker of the live data opens");
        }
    }

    fn closed(&self, outage: &Outage) {
        let outage = outage.since.elapsed().unwrap_or_default();
        tracing::info!(store = self.0.address(), ?outage, "the live data have recovered");
    }
}

/// The failure of the store that an error reports; `None` if it is about one write or value.
fn outage(error: &LiveError) -> Option<Error> {
    match error.clone() {
        LiveError::Unavailable { store, what } => Some(Error::Unavailable { store, what }),
        LiveError::TimedOut { store } => Some(Error::TimedOut { store }),
        _ => None,
    }
}

/// The same error of a store for live data.
#[cfg(feature = "redis")]
pub(crate) fn live_error(error: Error) -> LiveError {
    match error {
        Error::Unavailable { store, what } | Error::Refused { store, what } => {
            LiveError::Unavailable { store, what }
        }
        Error::TimedOut { store } => LiveError::TimedOut { store },
        Error::Malformed { key, what } => LiveError::Malformed { key, what },
        Error::Configuration(what) => LiveError::Unavailable { store: String::new(), what },
    }
}

#[async_trait]
impl LiveStore for GuardedLive {
    fn address(&self) -> &str {
        self.store().address()
    }

    fn health(&self) -> Option<Health<'_>> {
        Some(Health { calls: &self.calls, is_open: self.guard.is_open() })
    }

    fn durability(&self) -> Durability {
        self.store().durability()
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, LiveError>> {
        let written = self.guard.call(self.deadline, || async {
            let results = self.store().write(writes).await;
            let mut errors = results.iter().filter_map(|result| result.as_ref().err());
            let first = errors.find(|&error| outage(error).is_some()).cloned();
            match first {
                None => Ok(results),
                Some(error) => Err(Failed { error, results: Some(results) }),
            }
        });
        let outcome = |written: &Result<_, Failed>| {
            outcome_of(written.as_ref().err().map(|failed| &failed.error))
        };
        let written = in_span("live", OPERATIONS[0], written);
        match self.calls.timed(0, written, outcome).await {
            Ok(results) | Err(Failed { results: Some(results), .. }) => results,
            Err(Failed { error, results: None }) => vec![Err(error); writes.len()],
        }
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, LiveError> {
        self.call(1, self.deadline, || self.store().users(ids)).await
    }

    async fn create_user(&self, key: Option<&str>) -> Result<CreatedUser, LiveError> {
        self.call(2, self.deadline, || self.store().create_user(key)).await
    }

    fn partitions(&self) -> u16 {
        self.store().partitions()
    }

    async fn log(
        &self,
        partition: u16,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, LiveError> {
        let log = || self.store().log(partition, after, limit);
        self.call(3, self.bulk_deadline, log).await
    }

    // What follows the log is not on the way of a request: its failures do not open the circuit breaker.

    async fn positions(&self) -> Result<Vec<Sequence>, LiveError> {
        self.store().positions().await
    }

    async fn changes(
        &self,
        after: &mut [Sequence],
        wait: Duration,
    ) -> Result<Vec<Change>, LiveError> {
        self.store().changes(after, wait).await
    }

    async fn all_users(&self) -> Result<Vec<UserId>, LiveError> {
        self.store().all_users().await
    }

    // What follows a push is not part of a request: it has no deadline, and its failures do not open the circuit breaker.

    async fn drop_included(&self, watermark: &Watermark) -> Result<u64, LiveError> {
        self.store().drop_included(watermark).await
    }

    async fn trim(&self, watermark: &Watermark) -> Result<u64, LiveError> {
        self.store().trim(watermark).await
    }

    async fn trimmed(&self) -> Result<Watermark, LiveError> {
        self.call(4, self.bulk_deadline, || self.store().trimmed()).await
    }
}
