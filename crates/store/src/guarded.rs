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

/// A deadline and a circuit breaker around a store, for a program that has an answer without it.
///
/// When the rate of failures is high the store is given up on: calls fail at once. Now and then one call is let
/// through to see whether the store is back; when it is, all are. Missing keys and malformed values are no
/// failures. Pushes are passed on as they are.
#[derive(Debug)]
pub struct Guarded {
    store: Arc<dyn FeatureStore>,
    options: GuardOptions,
    circuit: Mutex<Circuit>,
    calls: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
}

/// When to give up on a store, and when to try again.
#[derive(Debug, Clone, PartialEq)]
pub struct GuardOptions {
    /// After this a call has failed.
    pub deadline: Duration,
    /// The same for reads of everything as a whole, such as [`all_movies`](FeatureStore::all_movies).
    pub bulk_deadline: Duration,
    /// When the store is given up on.
    pub circuit: sparrow_circuit::Options,
    /// Time between two tries to see whether it is back.
    pub pause: Duration,
}

impl Default for GuardOptions {
    fn default() -> Self {
        Self {
            deadline: Options::default().deadline,
            bulk_deadline: Duration::from_mins(1),
            // Everybody's data come from the store: three requests are enough to tell.
            circuit: sparrow_circuit::Options { min_requests: 3, ..Default::default() },
            pause: Duration::from_millis(500),
        }
    }
}

/// How a store fares.
#[derive(Debug, Clone)]
pub struct Status {
    /// Since when and why the store counts as away; `None` while it is used.
    pub away: Option<Away>,
    /// Calls that reached the store.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Calls that failed at once because the store was given up on.
    pub rejected: u64,
}

/// A store that was given up on for now.
#[derive(Debug, Clone)]
pub struct Away {
    /// When it was given up on.
    pub since: SystemTime,
    /// The last failure.
    pub why: Error,
}

#[derive(Debug)]
struct Circuit {
    breaker: Breaker,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    away: Away,
    next_try: Instant,
    trying: bool,
}

impl Guarded {
    /// Puts a guard around the store.
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

    /// How the store fares at the moment. Asks nobody: a store that nobody reads from counts as it did
    /// when it was last read.
    pub fn status(&self) -> Status {
        Status {
            away: self.circuit().open.as_ref().map(|open| open.away.clone()),
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call through, or says why not.
    fn admit(&self) -> Result<Admission<'_>, Error> {
        let mut circuit = self.circuit();
        let mut trying = false;
        if let Some(open) = &mut circuit.open {
            if open.trying || Instant::now() < open.next_try {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                return Err(Error::Unavailable {
                    store: self.store.address().to_owned(),
                    what: format!("given up on for now, because: {}", reason(&open.away.why)),
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
            // The call was the probe: the circuit is closed.
            circuit.breaker.recovered();
            circuit.breaker.succeeded(Instant::now().into_std());
            drop(circuit);
            let away = open.away.since.elapsed().unwrap_or_default();
            tracing::info!(store = self.store.address(), ?away, "the feature store is back");
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
            open.away.why = error.clone();
            open.next_try = next_try;
        } else if opens {
            let away = Away { since: SystemTime::now(), why: error.clone() };
            circuit.open = Some(Open { away, next_try, trying: false });
            drop(circuit);
            tracing::warn!(%error, "giving up on the feature store for now");
        }
    }
}

/// A call that was let through; also one that is dropped half-way ends its try.
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

/// The error without the store's address, which stands before it already.
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
