use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sparrow_circuit::Breaker;
use sparrow_model::{MovieIndex, UserId};
use sparrow_rank::{self as rank, Status};
use tokio::sync::Notify;
use tokio::time::{self, Instant, timeout_at};

use crate::batch::Batches;
use crate::connections::{ConnectionPermit, Connections};
use crate::input::Inputs;
use crate::location::Location;
use crate::request_body::{MovieValues, RequestBody, RequestTemplate, Values};
use crate::signature::{Layout, Signature};
use crate::trial::Trial;
use crate::{Error, Options, response};

/// A model in a model server, with health checks and a circuit breaker.
///
/// It outlives catalogues and engines: all [`TfServingRanker`](crate::TfServingRanker)s of a model share one.
///
/// The circuit breaker opens by the rate of errors, malformed responses and timeouts ([`Options::circuit`]), or after
/// three failed health checks. Requests then fail at once until [`monitor`](Self::monitor) completes a successful
/// trial; the next request closes or reopens the circuit. A rejected request does not count as a failure, because the
/// request may be at fault. It triggers another trial, and the circuit opens if the model rejects that.
#[derive(Debug)]
pub struct ServedModel {
    name: Option<String>,
    inputs: Inputs,
    options: Options,
    template: RequestTemplate,
    connections: Connections,
    phase: Mutex<Phase>,
    breaker: Mutex<Breaker>,
    /// Number of consecutive failed health checks.
    failed_checks: AtomicU32,
    pub(crate) batches: Batches,
    /// The current trial.
    trial: Mutex<Arc<Trial>>,
    /// The greatest id of a known user that was served.
    greatest_user: AtomicU32,
    /// Whether a request was rejected since the last trial.
    refused: AtomicBool,
    /// Wakes [`monitor`](Self::monitor) after a change of the trial.
    wake: Notify,
    /// The diagnosis of the last rejected trial, by the server's message.
    diagnosis: Mutex<Option<(String, Error)>>,
}

/// Number of consecutive failed health checks that open the circuit.
const MAX_FAILED_CHECKS: u32 = 3;

/// The state of a model in its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No health check has completed yet.
    Checking,
    /// The server responds, and the model accepts the inputs.
    Ready {
        /// The served version.
        version: u64,
        /// The time of the change to this state.
        since: SystemTime,
    },
    /// The circuit is open.
    Failing {
        /// The cause.
        why: String,
        /// The time of the change to this state.
        since: SystemTime,
        /// Whether it was ready before.
        was_ready: bool,
    },
}

#[derive(Debug, Clone)]
enum Phase {
    Checking,
    Ready { signature: Arc<Signature>, layout: Arc<Layout>, trial: Arc<Trial>, since: SystemTime },
    Failing { why: String, since: SystemTime, was_ready: bool },
}

impl ServedModel {
    /// Creates a model from its URL, such as `http://host:8501/v1/models/recmodel`, without I/O. A suffix `/versions/3` or
    /// `/labels/stable` pins a version like [`Options::pin`].
    ///
    /// # Errors
    /// If the URL, an option or the certificates are invalid.
    pub fn new(url: &str, inputs: Inputs, options: Options) -> Result<Self, Error> {
        options.check()?;
        let location = Location::new(url, &options)?;
        Ok(Self {
            name: None,
            template: RequestTemplate::new(options.format, &inputs, &options.signature),
            connections: Connections::new(location, &options)?,
            trial: Mutex::new(Arc::new(Trial::without_catalog(&inputs))),
            greatest_user: AtomicU32::new(0),
            refused: AtomicBool::new(false),
            wake: Notify::new(),
            diagnosis: Mutex::default(),
            inputs,
            breaker: Mutex::new(Breaker::new(options.circuit)),
            options,
            phase: Mutex::new(Phase::Checking),
            failed_checks: AtomicU32::new(0),
            batches: Batches::default(),
        })
    }

    /// Sets the name of the model, which log lines contain.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The name of the model, or else its URL.
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.url())
    }

    /// The inputs of the model.
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The options.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The URL with the pinned version or label.
    pub fn url(&self) -> String {
        self.connections.location().to_string()
    }

    /// The last known state, without I/O.
    pub fn state(&self) -> State {
        match self.phase().clone() {
            Phase::Checking => State::Checking,
            Phase::Ready { signature, since, .. } => {
                State::Ready { version: signature.version, since }
            }
            Phase::Failing { why, since, was_ready } => State::Failing { why, since, was_ready },
        }
    }

    /// The state as the status of a ranker.
    pub(crate) fn status(&self) -> Status {
        match self.state() {
            State::Checking => Status {
                state: rank::State::Loading,
                trouble: Some("the model server has not been checked yet".to_owned()),
                ..Status::default()
            },
            State::Ready { version, since } => Status {
                state: rank::State::Ready,
                version: Some(version),
                since: Some(since),
                trouble: None,
            },
            State::Failing { why, since, was_ready } => Status {
                state: if was_ready { rank::State::Failing } else { rank::State::Unavailable },
                version: None,
                since: Some(since),
                trouble: Some(why),
            },
        }
    }

    /// Replaces the trial. A model that is ready stays so until it fails the new trial.
    pub(crate) fn set_trial(&self, trial: Trial) {
        let mut current = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        if **current != trial {
            *current = Arc::new(trial);
            drop(current);
            *self.diagnosis.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.wake.notify_one();
        }
    }

    /// Records a known user, to include the greatest id in trials.
    pub(crate) fn record_user(&self, id: UserId) {
        if id.0 > self.greatest_user.load(Ordering::Relaxed) {
            self.greatest_user.fetch_max(id.0, Ordering::Relaxed);
        }
    }

    /// Runs a health check: compares the signature with the inputs, and scores the trial. Returns the version.
    ///
    /// The trial contains the extremes of the latest catalogue of a [`TfServingRanker`](crate::TfServingRanker): its
    /// greatest ids and longest texts.
    pub async fn check(&self) -> Result<u64, Error> {
        let outcome = match self.signature().await {
            Ok(signature) => self.validate(signature).await,
            Err(error) => Err(error),
        };
        self.apply(outcome)
    }

    /// Runs health checks at intervals, forever, as a background task. Without it the state does not change, and an open
    /// circuit never closes.
    pub async fn monitor(&self) {
        loop {
            let known = match &*self.phase() {
                Phase::Ready { signature, trial, .. } => {
                    Some((Arc::clone(signature), Arc::clone(trial)))
                }
                Phase::Checking | Phase::Failing { .. } => None,
            };
            match known {
                Some((signature, trial)) => self.recheck(&signature, &trial).await,
                // `apply` has recorded the error.
                None => drop(self.check().await),
            }
            // A new trial ends the wait.
            let _ = time::timeout(self.options.interval, self.wake.notified()).await;
        }
    }

    /// Rechecks a model that is ready. Validates it again after a change of the signature or the trial, or a rejected
    /// request.
    async fn recheck(&self, known: &Signature, passed: &Arc<Trial>) {
        match self.signature().await {
            Ok(signature) => {
                self.failed_checks.store(0, Ordering::Relaxed);
                let is_known = signature == *known;
                let refused = self.refused.swap(false, Ordering::Relaxed);
                if is_known && !refused && Arc::ptr_eq(&self.current_trial(), passed) {
                    return;
                }
                let outcome = self.validate(signature).await;
                if let (true, Ok(Phase::Ready { trial: now, .. })) = (is_known, &outcome)
                    && let Phase::Ready { trial, .. } = &mut *self.phase()
                {
                    *trial = Arc::clone(now);
                    return;
                }
                // `apply` has recorded the error.
                drop(self.apply(outcome));
            }
            Err(error) => {
                if self.failed_checks.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_FAILED_CHECKS {
                    self.open_circuit(&error);
                }
            }
        }
    }

    async fn signature(&self) -> Result<Signature, Error> {
        let deadline = Instant::now() + self.options.check_deadline;
        let permit = self.acquire(deadline).await?;
        let request = self.connections.metadata(&permit);
        let body = timeout_at(deadline, request).await.map_err(|_| Error::TimedOut)??;
        Signature::read(&body, &self.options.signature)
    }

    /// Compares the signature with the inputs, and scores the trial.
    async fn validate(&self, signature: Signature) -> Result<Phase, Error> {
        let output = self.options.output.as_deref();
        let layout = signature.layout(&self.inputs, output).map_err(Error::Mismatch)?;
        let current = self.current_trial();
        let trial = current.with_user(&self.inputs, self.greatest_user.load(Ordering::Relaxed));
        // The first prediction after a load is slower; a later one must meet the deadline of requests.
        let start = Instant::now();
        match self.probe(&layout, &trial.rows(|_| true), self.options.check_deadline).await {
            Err(Error::Refused(message)) => {
                return Err(self.diagnose(message, &layout, &trial).await);
            }
            outcome => outcome?,
        }
        if start.elapsed() > self.options.deadline {
            self.probe(&layout, &trial.rows(|_| true), self.options.deadline).await?;
        }
        let (signature, layout) = (Arc::new(signature), Arc::new(layout));
        Ok(Phase::Ready { signature, layout, trial: current, since: SystemTime::now() })
    }

    /// Diagnoses a rejected trial: finds the inputs whose extremes the model rejects.
    async fn diagnose(&self, message: String, layout: &Layout, trial: &Trial) -> Error {
        let known = |(before, _): &&(String, Error)| *before == message;
        let diagnosis = || self.diagnosis.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = diagnosis().as_ref().filter(known) {
            return error.clone();
        }
        let mut faults = Vec::new();
        let probe_input = async |index| {
            let rows = trial.rows(|chosen| Some(chosen) == index);
            self.probe(layout, &rows, self.options.check_deadline).await
        };
        if probe_input(None).await.is_ok() {
            for (index, (input, conversion)) in self.inputs.iter().enumerate() {
                let Some(extreme) = trial.extreme(index) else { continue };
                if matches!(probe_input(Some(index)).await, Err(Error::Refused(_))) {
                    let hint = if conversion.is_plain_number() {
                        "; if the model has an upper limit, set max of the input"
                    } else {
                        ""
                    };
                    faults.push(format!(
                        "the model rejects {extreme} for the input {}{hint}",
                        input.name
                    ));
                }
            }
        }
        faults.push(message.clone());
        let error = Error::Refused(faults.join("; "));
        *diagnosis() = Some((message, error.clone()));
        error
    }

    fn current_trial(&self) -> Arc<Trial> {
        Arc::clone(&self.trial.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Scores two rows.
    async fn probe(
        &self,
        layout: &Layout,
        rows: &[MovieValues],
        timeout: Duration,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + timeout;
        let values: Vec<Values<'_>> = rows.iter().map(Values::PerMovie).collect();
        let body = self.template.body(layout, &values, &[MovieIndex(0), MovieIndex(1)]);
        let rows = body.rows;
        let permit = self.acquire(deadline).await?;
        self.send(permit, body.into_bytes(), rows, deadline).await.map(drop)
    }

    fn apply(&self, outcome: Result<Phase, Error>) -> Result<u64, Error> {
        match outcome {
            Ok(ready) => {
                let version = match &ready {
                    Phase::Ready { signature, .. } => signature.version,
                    _ => 0,
                };
                self.failed_checks.store(0, Ordering::Relaxed);
                let before = mem::replace(&mut *self.phase(), ready);
                if matches!(before, Phase::Failing { .. }) {
                    self.breaker().recovered();
                }
                tracing::info!(
                    model = self.name(),
                    url = self.url(),
                    version,
                    "the model server is ready"
                );
                Ok(version)
            }
            Err(error) => {
                self.open_circuit(&error);
                Err(error)
            }
        }
    }

    fn open_circuit(&self, error: &Error) {
        let why = error.to_string();
        let mut phase = self.phase();
        let (since, was_ready, already_logged) = match &*phase {
            Phase::Failing { since, was_ready, why: before } => {
                (*since, *was_ready, *before == why)
            }
            Phase::Ready { .. } => (SystemTime::now(), true, false),
            Phase::Checking => (SystemTime::now(), false, false),
        };
        *phase = Phase::Failing { why, since, was_ready };
        drop(phase);
        if !already_logged {
            tracing::warn!(
                model = self.name(),
                url = self.url(),
                %error,
                "requests go to the fallback until the model server passes its trial"
            );
        }
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the layout of requests, or an error if the model is not ready.
    pub(crate) fn admit(&self) -> Result<Arc<Layout>, Error> {
        match &*self.phase() {
            Phase::Ready { layout, .. } => Ok(Arc::clone(layout)),
            Phase::Checking => Err(Error::Unavailable("it has not been checked yet".to_owned())),
            Phase::Failing { why, .. } => {
                Err(Error::Unavailable(format!("its circuit breaker is open: {why}")))
            }
        }
    }

    pub(crate) const fn template(&self) -> &RequestTemplate {
        &self.template
    }

    /// Scores the rows of a body; failures count for the circuit breaker.
    pub(crate) async fn predict(
        &self,
        body: RequestBody,
        deadline: Instant,
    ) -> Result<Vec<f32>, Error> {
        let rows = body.rows;
        self.predict_bytes(body.into_bytes(), rows, deadline).await
    }

    async fn predict_bytes(
        &self,
        body: Bytes,
        rows: usize,
        deadline: Instant,
    ) -> Result<Vec<f32>, Error> {
        let permit = self.acquire(deadline).await?;
        let outcome = self.send(permit, body, rows, deadline).await;
        match &outcome {
            Ok(_) => self.succeeded(),
            Err(Error::Refused(_)) => self.refused.store(true, Ordering::Relaxed),
            Err(error) => self.failed(error),
        }
        outcome
    }

    /// Scores several bodies in one request. A rejection of several bodies is not recorded, because only one may be at
    /// fault.
    pub(crate) async fn predict_joined(
        &self,
        bodies: &[&RequestBody],
        deadline: Instant,
    ) -> Result<Vec<f32>, Error> {
        let rows = bodies.iter().map(|body| body.rows).sum();
        let permit = self.acquire(deadline).await?;
        let outcome = self.send(permit, self.template.join(bodies), rows, deadline).await;
        match &outcome {
            Ok(_) => self.succeeded(),
            Err(Error::Refused(_)) if bodies.len() > 1 => {}
            Err(Error::Refused(_)) => self.refused.store(true, Ordering::Relaxed),
            Err(error) => self.failed(error),
        }
        outcome
    }

    /// Acquires a connection permit. A timeout here does not count for the circuit breaker.
    async fn acquire(&self, deadline: Instant) -> Result<ConnectionPermit<'_>, Error> {
        timeout_at(deadline, self.connections.acquire()).await.map_err(|_| Error::TimedOut)?
    }

    async fn send(
        &self,
        permit: ConnectionPermit<'_>,
        body: Bytes,
        rows: usize,
        deadline: Instant,
    ) -> Result<Vec<f32>, Error> {
        let request = self.connections.predict(&permit, body);
        let body = timeout_at(deadline, request).await.map_err(|_| Error::TimedOut)??;
        drop(permit);
        let mut scores = Vec::new();
        let output = self.options.output.as_deref();
        response::parse_scores(&body, rows, output, &mut scores).map_err(Error::Malformed)?;
        Ok(scores)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self) {
        self.breaker().succeeded(Instant::now().into_std());
    }

    fn failed(&self, error: &Error) {
        let opens = self.breaker().failed(Instant::now().into_std());
        if opens {
            self.open_circuit(error);
        }
    }
}

/// The current Unix time in seconds.
pub(crate) fn unix_time() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
