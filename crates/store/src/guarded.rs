use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sparrow_guard::{Assessment, Circuit, Guard, Policy, Recovery, Retry, Service};
use sparrow_live::Watermark;
use sparrow_metrics::{Calls, Health, Outcome};
use sparrow_model::{MovieId, UserId};
use tracing::{Instrument as _, field};

use crate::{
    Error, FeatureStore, Generation, Options, OtherGeneration, Projection, ProjectionOutcome, Push,
    Read, StoredMovie, StoredUser, UserList,
};

/// The operations, in the order of the indices of [`Guarded::timed`].
const OPERATIONS: [&str; 9] = [
    "generation",
    "users",
    "movies",
    "all_movies",
    "user_list",
    "embedding_info",
    "fingerprint",
    "staged",
    "watermark",
];

/// Waits for a call of a store in a span of its own.
pub(crate) async fn in_span<T, E>(
    store: &'static str,
    operation: &'static str,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let span = tracing::debug_span!(
        "store",
        otel.kind = "client",
        otel.status_code = field::Empty,
        db.namespace = store,
        db.operation.name = operation,
    );
    let result = call.instrument(span.clone()).await;
    if result.is_err() {
        span.record("otel.status_code", "error");
    }
    result
}

/// Adds a deadline and a circuit breaker to a store, for programs that can answer without it.
///
/// The circuit breaker opens at a high rate of failures: calls then fail at once, except for a
/// probe now and then. It closes when a probe succeeds. Missing keys and malformed values do not
/// count as failures. Pushes are not guarded.
#[derive(Debug)]
pub struct Guarded {
    guard: Guard<Store>,
    calls: Calls,
    deadline: Duration,
    bulk_deadline: Duration,
}

/// Deadlines, circuit breaker and retries of a store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GuardOptions {
    /// The deadline of a call, including its retries.
    pub deadline: Duration,
    /// The deadline of reads of whole kinds, such as [`all_movies`](FeatureStore::all_movies).
    pub bulk_deadline: Duration,
    /// When the circuit breaker opens.
    pub circuit: Circuit,
    /// The time between two probes.
    pub pause: Duration,
    /// Retries of failed calls; none by default.
    pub retry: Retry,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            deadline: Options::default().deadline,
            bulk_deadline: Duration::from_mins(1),
            // All users are read from this store, so three requests are a sufficient sample.
            circuit: Circuit { min_requests: 3, ..Default::default() },
            pause: Duration::from_millis(500),
            retry: Retry::default(),
        }
    }
}

/// The health of a store.
pub type Status = sparrow_guard::Status<Error>;

/// A period in which the circuit breaker of a store is open.
pub type Outage = sparrow_guard::Outage<Error>;

impl Guarded {
    /// Wraps a store.
    pub fn new(store: Arc<dyn FeatureStore>, options: GuardOptions) -> Self {
        let GuardOptions { deadline, bulk_deadline, circuit, pause, retry } = options;
        let policy = Policy { circuit, recovery: Recovery::Probe(pause), retry };
        let (guard, calls) = (Guard::new(Store(store), policy), Calls::new(&OPERATIONS));
        Self { guard, calls, deadline, bulk_deadline }
    }

    /// The current health, from past calls only: if nothing is read from a store, its status does
    /// not change.
    pub fn status(&self) -> Status {
        self.guard.status()
    }

    async fn timed<T>(
        &self,
        operation: usize,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let outcome = |result: &Result<T, Error>| match result {
            Ok(_) => Outcome::Ok,
            Err(Error::TimedOut { .. }) => Outcome::TimedOut,
            Err(Error::Unavailable { .. }) => Outcome::Unavailable,
            Err(Error::Malformed { .. }) => Outcome::Malformed,
            Err(_) => Outcome::Refused,
        };
        let call = in_span("features", OPERATIONS[operation], call);
        self.calls.timed(operation, call, outcome).await
    }

    fn store(&self) -> &dyn FeatureStore {
        &*self.guard.service().0
    }
}

#[derive(Debug)]
struct Store(Arc<dyn FeatureStore>);

impl Service for Store {
    type Error = Error;
    type Cause = Error;

    fn assess(&self, error: &Error) -> Assessment<Error> {
        match error {
            Error::Malformed { .. } | Error::Configuration(_) => Assessment::Success,
            error => Assessment::Failure(error.clone()),
        }
    }

    fn timed_out(&self) -> Error {
        Error::TimedOut { store: self.0.address().to_owned() }
    }

    fn rejected(&self, outage: &Outage) -> Error {
        Error::Unavailable {
            store: self.0.address().to_owned(),
            what: format!("the circuit breaker is open, because {}", reason(&outage.cause)),
        }
    }

    fn opened(&self, error: &Error, before: Option<&Error>) {
        if before.is_none() {
            tracing::warn!(%error, "the circuit breaker of the feature store opens");
        }
    }

    fn closed(&self, outage: &Outage) {
        let outage = outage.since.elapsed().unwrap_or_default();
        tracing::info!(store = self.0.address(), ?outage, "the feature store has recovered");
    }
}

/// The error without the address of the store, which the caller adds.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Unavailable { what, .. } | Error::Refused { what, .. } => what.clone(),
        Error::TimedOut { .. } => "it did not answer in time".to_owned(),
        error => error.to_string(),
    }
}

#[async_trait]
impl FeatureStore for Guarded {
    fn address(&self) -> &str {
        self.store().address()
    }

    fn health(&self) -> Option<Health<'_>> {
        Some(Health { calls: &self.calls, is_open: self.guard.is_open() })
    }

    async fn generation(&self) -> Result<Generation, Error> {
        self.timed(0, self.guard.call(self.deadline, || self.store().generation())).await
    }

    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        self.timed(1, self.guard.call(self.deadline, || self.store().users(ids))).await
    }

    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        self.timed(2, self.guard.call(self.deadline, || self.store().movies(ids))).await
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        self.timed(3, self.guard.call(self.bulk_deadline, || self.store().all_movies())).await
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        self.timed(4, self.guard.call(self.bulk_deadline, || self.store().user_list())).await
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        self.timed(5, self.guard.call(self.bulk_deadline, || self.store().embedding_info())).await
    }

    async fn watermark(&self) -> Result<Read<Option<Watermark>>, Error> {
        self.timed(8, self.guard.call(self.bulk_deadline, || self.store().watermark())).await
    }

    async fn fingerprint(&self) -> Result<Option<u64>, Error> {
        self.timed(6, self.guard.call(self.bulk_deadline, || self.store().fingerprint())).await
    }

    async fn staged(&self) -> Result<u64, Error> {
        self.timed(7, self.guard.call(self.bulk_deadline, || self.store().staged())).await
    }

    // Not on the way of a request: it ends by itself, and its failures do not open the circuit breaker.
    async fn project(
        &self,
        generation: Generation,
        users: &[Projection],
    ) -> Result<Result<ProjectionOutcome, OtherGeneration>, Error> {
        self.store().project(generation, users).await
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        self.store().push().await
    }
}
