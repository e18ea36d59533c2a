use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use sparrow_circuit::Breaker;
use sparrow_model::{MovieId, UserId};
use tokio::time::{self, Instant};

use crate::{
    Error, FeatureStore, Generation, Options, Push, Read, StoredMovie, StoredUser, UserList,
};

/// Adds a deadline and a circuit breaker to a store, for programs that can answer without it.
///
/// The circuit breaker opens at a high rate of failures: calls then fail at once, except for a
/// probe now and then. It closes when a probe succeeds. Missing keys and malformed values do not
/// count as failures. Pushes are not guarded.
#[derive(Debug)]
pub struct Guarded {
    store: Arc<dyn FeatureStore>,
    options: GuardOptions,
    circuit: Mutex<Circuit>,
    calls: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
}

/// Deadlines and circuit breaker of a store.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardOptions {
    /// The deadline of a call.
    pub deadline: Duration,
    /// The deadline of reads of whole kinds, such as [`all_movies`](FeatureStore::all_movies).
    pub bulk_deadline: Duration,
    /// When the circuit breaker opens.
    pub circuit: sparrow_circuit::Options,
    /// The time between two probes.
    pub pause: Duration,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            deadline: Options::default().deadline,
            bulk_deadline: Duration::from_mins(1),
            // All users are read from this store, so three requests are a sufficient sample.
            circuit: sparrow_circuit::Options { min_requests: 3, ..Default::default() },
            pause: Duration::from_millis(500),
        }
    }
}

/// The health of a store.
#[derive(Debug, Clone)]
pub struct Status {
    /// The outage, while the circuit breaker is open.
    pub outage: Option<Outage>,
    /// Calls that reached the store.
    pub calls: u64,
    /// Failed calls among them.
    pub failures: u64,
    /// Calls rejected by the open circuit breaker.
    pub rejected: u64,
}

/// A period in which the circuit breaker is open.
#[derive(Debug, Clone)]
pub struct Outage {
    /// When the circuit breaker opened.
    pub since: SystemTime,
    /// The last failure.
    pub cause: Error,
}

#[derive(Debug)]
struct Circuit {
    breaker: Breaker,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    outage: Outage,
    next_try: Instant,
    trying: bool,
}

impl Guarded {
    /// Wraps a store.
    pub fn new(store: Arc<dyn FeatureStore>, options: GuardOptions) -> Self {
        Self {
            store,
            circuit: Mutex::new(Circuit { breaker: Breaker::new(options.circuit), open: None }),
            options,
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// The current health, from past calls only: if nothing is read from a store, its status does
    /// not change.
    pub fn status(&self) -> Status {
        Status {
            outage: self.circuit().open.as_ref().map(|open| open.outage.clone()),
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a call, unless the circuit breaker is open.
    fn admit(&self) -> Result<Admission<'_>, Error> {
        let mut circuit = self.circuit();
        let mut trying = false;
        if let Some(open) = &mut circuit.open {
            if open.trying || Instant::now() < open.next_try {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                return Err(Error::Unavailable {
                    store: self.store.address().to_owned(),
                    what: format!(
                        "the circuit breaker is open, because {}",
                        reason(&open.outage.cause)
                    ),
                });
            }
            open.trying = true;
            trying = true;
        }
        Ok(Admission { guard: self, trying })
    }

    async fn call<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let admission = self.admit()?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        let late = || Error::TimedOut { store: self.store.address().to_owned() };
        let result = time::timeout(deadline, call).await.unwrap_or_else(|_| Err(late()));
        admission.settle(&result);
        result
    }

    fn succeeded(&self) {
        let mut circuit = self.circuit();
        if let Some(open) = circuit.open.take() {
            // The call was the probe: the circuit breaker closes.
            circuit.breaker.recovered();
            circuit.breaker.succeeded(Instant::now().into_std());
            drop(circuit);
            let outage = open.outage.since.elapsed().unwrap_or_default();
            tracing::info!(
                store = self.store.address(),
                ?outage,
                "the feature store has recovered"
            );
        } else {
            circuit.breaker.succeeded(Instant::now().into_std());
        }
    }

    fn failed(&self, error: &Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let next_try = Instant::now() + self.options.pause;
        let mut circuit = self.circuit();
        let opens = circuit.breaker.failed(Instant::now().into_std());
        if let Some(open) = &mut circuit.open {
            open.outage.cause = error.clone();
            open.next_try = next_try;
        } else if opens {
            let outage = Outage { since: SystemTime::now(), cause: error.clone() };
            circuit.open = Some(Open { outage, next_try, trying: false });
            drop(circuit);
            tracing::warn!(%error, "the circuit breaker of the feature store opens");
        }
    }
}

/// An admitted call. Dropping it ends its probe, too.
struct Admission<'a> {
    guard: &'a Guarded,
    trying: bool,
}

impl Admission<'_> {
    fn settle<T>(self, result: &Result<T, Error>) {
        match result {
            Ok(_) | Err(Error::Malformed { .. } | Error::Configuration(_)) => {
                self.guard.succeeded();
            }
            Err(error) => self.guard.failed(error),
        }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.trying
            && let Some(open) = &mut self.guard.circuit().open
        {
            open.trying = false;
        }
    }
}

/// The error without the address of the store, which the caller adds.
fn reason(error: &Error) -> String {
    match error {
        Error::Unavailable { what, .. } | Error::Refused { what, .. } => what.clone(),
        Error::TimedOut { .. } => "it did not answer in time".to_owned(),
        error => error.to_string(),
    }
}

#[async_trait]
impl FeatureStore for Guarded {
    fn address(&self) -> &str {
        self.store.address()
    }

    async fn generation(&self) -> Result<Generation, Error> {
        self.call(self.options.deadline, self.store.generation()).await
    }

    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        self.call(self.options.deadline, self.store.users(ids)).await
    }

    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        self.call(self.options.deadline, self.store.movies(ids)).await
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        self.call(self.options.bulk_deadline, self.store.all_movies()).await
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        self.call(self.options.bulk_deadline, self.store.user_list()).await
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        self.call(self.options.bulk_deadline, self.store.embedding_info()).await
    }

    async fn fingerprint(&self) -> Result<Option<u64>, Error> {
        self.call(self.options.bulk_deadline, self.store.fingerprint()).await
    }

    async fn staged(&self) -> Result<u64, Error> {
        self.call(self.options.bulk_deadline, self.store.staged()).await
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        self.store.push().await
    }
}
