use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{self, Instant};

use crate::Circuit;
use crate::breaker::Breaker;

/// A service whose calls are guarded.
pub trait Service: Send + Sync {
    /// The error of a call.
    type Error: Send;
    /// The cause of an outage, for messages and statuses.
    type Cause: Clone + fmt::Debug + Send;

    /// How an error counts in the circuit breaker.
    fn assess(&self, error: &Self::Error) -> Assessment<Self::Cause>;

    /// The error of a call that exceeded its deadline.
    fn timed_out(&self) -> Self::Error;

    /// The error of a call that the open circuit breaker rejects.
    fn rejected(&self, outage: &Outage<Self::Cause>) -> Self::Error;

    /// Called when the circuit breaker opens, and for each further cause while it is open, with the cause before. For
    /// log lines.
    fn opened(&self, _cause: &Self::Cause, _before: Option<&Self::Cause>) {}

    /// Called after a successful probe has closed the circuit breaker. For log lines.
    fn closed(&self, _outage: &Outage<Self::Cause>) {}
}

/// How an error counts in the circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment<C> {
    /// As a success: the service works, for example a malformed value in a store.
    Success,
    /// Not at all: the request may be at fault.
    Ignored,
    /// As a failure, with its cause.
    Failure(C),
}

/// When a circuit opens and closes, and what is retried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// When the circuit breaker opens.
    pub circuit: Circuit,
    /// What closes it.
    pub recovery: Recovery,
    /// Which failed calls are repeated.
    pub retry: Retry,
}

/// What closes an open circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// After this time, and after each further such time, one call is admitted as a probe. Its success closes the circuit.
    Probe(Duration),
    /// The owner runs health checks, and calls [`Guard::recovered`] after a successful one.
    HealthCheck,
}

/// Retries of calls that count as failures. They share the deadline of the call, so a call that exceeded it is not
/// repeated. Every attempt counts in the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Maximum number of attempts, at least 1; 1 for no retries.
    pub attempts: u32,
    /// The time between two attempts.
    pub pause: Duration,
}

impl Default for Retry {
    /// No retries.
    fn default() -> Self {
        Self { attempts: 1, pause: Duration::from_millis(10) }
    }
}

/// The health of a service.
#[derive(Debug, Clone)]
pub struct Status<C> {
    /// The outage, while the circuit breaker is open.
    pub outage: Option<Outage<C>>,
    /// Calls that reached the service.
    pub calls: u64,
    /// Failed calls among them.
    pub failures: u64,
    /// Calls rejected by the open circuit breaker.
    pub rejected: u64,
}

/// A period in which the circuit breaker is open.
#[derive(Debug, Clone)]
pub struct Outage<C> {
    /// When the circuit breaker opened.
    pub since: SystemTime,
    /// The last failure.
    pub cause: C,
}

/// Runs calls of a service with a deadline and a circuit breaker.
///
/// The circuit breaker opens at a high rate of failures ([`Circuit`]): calls then fail at once, until a probe or a health
/// check succeeds ([`Recovery`]). A call that is dropped before it ends counts neither as a success nor as a failure.
#[derive(Debug)]
pub struct Guard<S: Service> {
    service: S,
    policy: Policy,
    state: Mutex<State<S::Cause>>,
    calls: AtomicU64,
    failures: AtomicU64,
    rejected: AtomicU64,
}

#[derive(Debug)]
struct State<C> {
    breaker: Breaker,
    open: Option<Open<C>>,
}

#[derive(Debug)]
struct Open<C> {
    outage: Outage<C>,
    /// The earliest time of the next probe; `None` if health checks close the circuit.
    next_probe: Option<Instant>,
    is_probing: bool,
}

impl<S: Service> Guard<S> {
    /// Guards a service; the circuit is closed.
    pub const fn new(service: S, policy: Policy) -> Self {
        Self {
            service,
            state: Mutex::new(State { breaker: Breaker::new(policy.circuit), open: None }),
            policy,
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// The service.
    pub const fn service(&self) -> &S {
        &self.service
    }

    /// The service, to change it before it is shared.
    pub const fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// The current health, from past calls only: without calls the status does not change.
    pub fn status(&self) -> Status<S::Cause> {
        Status {
            outage: self.outage(),
            calls: self.calls.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    /// The outage, while the circuit breaker is open.
    pub fn outage(&self) -> Option<Outage<S::Cause>> {
        self.state().open.as_ref().map(|open| open.outage.clone())
    }

    /// Whether the circuit breaker is open.
    pub fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State<S::Cause>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a call, or returns an error if the circuit breaker is open.
    pub fn admit(&self) -> Result<Admission<'_, S>, S::Error> {
        let mut state = self.state();
        let Some(open) = &mut state.open else {
            return Ok(Admission { guard: self, is_probe: false });
        };
        if !open.is_probing && open.next_probe.is_some_and(|time| Instant::now() >= time) {
            open.is_probing = true;
            return Ok(Admission { guard: self, is_probe: true });
        }
        self.rejected.fetch_add(1, Ordering::Relaxed);
        Err(self.service.rejected(&open.outage))
    }

    /// Runs a call if the circuit breaker admits it: with a deadline for all attempts together, and with retries.
    pub async fn call<T, F>(
        &self,
        deadline: Duration,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, S::Error>
    where
        F: Future<Output = Result<T, S::Error>>,
    {
        let deadline = Instant::now() + deadline;
        let Retry { attempts, pause } = self.policy.retry;
        for number in 1.. {
            let admission = self.admit()?;
            let error = match self.run(deadline, attempt()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            drop(admission);
            let is_final = number >= attempts
                || Instant::now() + pause >= deadline
                || !matches!(self.service.assess(&error), Assessment::Failure(_))
                || self.is_open();
            if is_final {
                return Err(error);
            }
            time::sleep(pause).await;
        }
        unreachable!("the last attempt returns")
    }

    /// Runs a call that was admitted, with a deadline, and counts its outcome. For callers that prepare or combine
    /// requests after their admission; others use [`call`](Self::call).
    pub async fn run<T>(
        &self,
        deadline: Instant,
        call: impl Future<Output = Result<T, S::Error>>,
    ) -> Result<T, S::Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let result = time::timeout_at(deadline, call).await;
        let result = result.unwrap_or_else(|_| Err(self.service.timed_out()));
        match result.as_ref().map_err(|error| self.service.assess(error)) {
            Ok(_) | Err(Assessment::Success) => self.succeeded(),
            Err(Assessment::Ignored) => {}
            Err(Assessment::Failure(cause)) => self.failed(&cause),
        }
        result
    }

    fn succeeded(&self) {
        let now = Instant::now().into_std();
        let mut state = self.state();
        let is_probed = state.open.as_ref().is_some_and(|open| open.next_probe.is_some());
        if is_probed && let Some(open) = state.open.take() {
            state.breaker.recovered();
            state.breaker.succeeded(now);
            drop(state);
            self.service.closed(&open.outage);
        } else {
            state.breaker.succeeded(now);
        }
    }

    fn failed(&self, cause: &S::Cause) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let opens = state.breaker.failed(Instant::now().into_std());
        if opens || state.open.is_some() {
            self.open(state, cause);
        }
    }

    /// Opens the circuit after failed health checks, whatever the rate of failed calls is.
    pub fn unhealthy(&self, cause: &S::Cause) {
        self.open(self.state(), cause);
    }

    /// Makes an open circuit half-open after a successful health check: the next call closes or reopens it.
    pub fn recovered(&self) {
        let mut state = self.state();
        if state.open.take().is_some() {
            state.breaker.recovered();
        }
    }

    fn open(&self, mut state: MutexGuard<'_, State<S::Cause>>, cause: &S::Cause) {
        let next_probe = match self.policy.recovery {
            Recovery::Probe(pause) => Some(Instant::now() + pause),
            Recovery::HealthCheck => None,
        };
        let before = if let Some(open) = &mut state.open {
            open.next_probe = next_probe;
            Some(std::mem::replace(&mut open.outage.cause, cause.clone()))
        } else {
            let outage = Outage { since: SystemTime::now(), cause: cause.clone() };
            state.open = Some(Open { outage, next_probe, is_probing: false });
            None
        };
        drop(state);
        self.service.opened(cause, before.as_ref());
    }
}

/// An admitted call. Dropping it ends its probe, too.
#[derive(Debug)]
pub struct Admission<'a, S: Service> {
    guard: &'a Guard<S>,
    is_probe: bool,
}

impl<S: Service> Drop for Admission<'_, S> {
    fn drop(&mut self) {
        if self.is_probe
            && let Some(open) = &mut self.guard.state().open
        {
            open.is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// A service without log lines; its errors are texts.
    #[derive(Debug)]
    struct Texts;

    impl Service for Texts {
        type Error = String;
        type Cause = String;

        fn assess(&self, error: &String) -> Assessment<String> {
            match error.as_str() {
                "bad request" => Assessment::Ignored,
                "bad value" => Assessment::Success,
                _ => Assessment::Failure(error.clone()),
            }
        }

        fn timed_out(&self) -> String {
            "late".to_owned()
        }

        fn rejected(&self, outage: &Outage<String>) -> String {
            format!("open: {}", outage.cause)
        }
    }

    const DEADLINE: Duration = Duration::from_secs(1);

    fn guard(recovery: Recovery, retry: Retry) -> Guard<Texts> {
        let circuit = Circuit { min_requests: 3, ..Circuit::default() };
        Guard::new(Texts, Policy { circuit, recovery, retry })
    }

    async fn fail(guard: &Guard<Texts>, error: &str) -> String {
        let result = guard.call(DEADLINE, async || Err::<(), _>(error.to_owned()));
        result.await.expect_err("the call fails")
    }

    #[tokio::test(start_paused = true)]
    async fn failed_calls_are_repeated_within_the_deadline() {
        let retry = Retry { attempts: 3, pause: Duration::from_millis(400) };
        let guard = guard(Recovery::Probe(DEADLINE), retry);
        let mut attempts = 0;
        let outcome = guard.call(DEADLINE, || {
            attempts += 1;
            let answers = attempts == 3;
            async move { if answers { Ok(attempts) } else { Err("reset".to_owned()) } }
        });
        assert_eq!(outcome.await, Ok(3));
        assert_eq!((guard.status().calls, guard.status().failures), (3, 2));

        // Others are not repeated, nor is a call without time for another attempt.
        assert_eq!(fail(&guard, "bad request").await, "bad request");
        assert_eq!(guard.status().calls, 4);
        let start = Instant::now();
        assert_eq!(guard.call(DEADLINE, pending::<Result<(), _>>).await, Err("late".into()));
        assert_eq!((guard.status().calls, start.elapsed()), (5, DEADLINE));
    }

    #[tokio::test(start_paused = true)]
    async fn retries_end_when_the_circuit_opens() {
        let retry = Retry { attempts: 10, pause: Duration::from_millis(1) };
        let guard = guard(Recovery::Probe(DEADLINE), retry);
        assert_eq!(fail(&guard, "reset").await, "reset");
        assert_eq!(guard.status().calls, 3);
        assert_eq!(fail(&guard, "reset").await, "open: reset");
        assert_eq!((guard.status().calls, guard.status().rejected), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn health_checks_open_and_close_the_circuit() {
        let guard = guard(Recovery::HealthCheck, Retry::default());
        guard.unhealthy(&"unreachable".to_owned());
        time::advance(Duration::from_hours(1)).await;
        assert_eq!(fail(&guard, "reset").await, "open: unreachable");
        // A call that was admitted before does not close it.
        assert_eq!(guard.run(Instant::now() + DEADLINE, async { Ok(()) }).await, Ok(()));
        assert!(guard.is_open());

        guard.recovered();
        assert_eq!(fail(&guard, "reset").await, "reset");
        assert!(guard.is_open(), "half-open: one failure opens it again");
        guard.recovered();
        assert_eq!(guard.call(DEADLINE, async || Ok(())).await, Ok(()));
        assert_eq!(fail(&guard, "reset").await, "reset");
        assert!(!guard.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_of_the_service_open_the_circuit() {
        let guard = guard(Recovery::Probe(DEADLINE), Retry::default());
        for _ in 0..100 {
            fail(&guard, "bad request").await;
            fail(&guard, "bad value").await;
        }
        assert!(!guard.is_open());
        assert_eq!((guard.status().calls, guard.status().failures), (200, 0));
    }
}
