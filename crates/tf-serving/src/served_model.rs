use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use sparrow_guard::{Assessment, Guard, Outage, Policy, Recovery, Retry, Service};
use sparrow_model::{MovieIndex, UserId};
use sparrow_rank::{self as rank, Status};
use tokio::sync::Notify;
use tokio::time::{self, Instant, timeout_at};

use crate::batch::Batches;
use crate::connections::{ConnectionPermit, Connections};
use crate::inputs::Inputs;
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
    guard: Guard<Model>,
    inputs: Inputs,
    options: Options,
    template: RequestTemplate,
    connections: Connections,
    /// The result of the last successful check.
    checked: Mutex<Option<Checked>>,
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

/// What a successful check found.
#[derive(Debug, Clone)]
struct Checked {
    signature: Arc<Signature>,
    layout: Arc<Layout>,
    /// The trial that the model passed.
    trial: Arc<Trial>,
    since: SystemTime,
}

/// The model as a guarded service.
#[derive(Debug)]
struct Model {
    name: Option<String>,
    url: String,
}

impl Model {
    /// The name of the model, or else its URL.
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url)
    }
}

impl Service for Model {
    type Error = Error;
    type Cause = Error;

    fn assess(&self, error: &Error) -> Assessment<Error> {
        match error {
            Error::Refused(_) => Assessment::Ignored,
            error => Assessment::Failure(error.clone()),
        }
    }

    fn timed_out(&self) -> Error {
        Error::TimedOut
    }

    fn rejected(&self, outage: &Outage<Error>) -> Error {
        Error::Unavailable(format!("its circuit breaker is open: {}", outage.cause))
    }

    fn opened(&self, error: &Error, before: Option<&Error>) {
        if before != Some(error) {
            tracing::warn!(
                model = self.name(),
                url = self.url,
                %error,
                "requests go to the fallback until the model server passes its trial"
            );
        }
    }
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
        let model = Model { name: None, url: location.to_string() };
        // `monitor` runs the health checks. A stale connection is replaced at once, in `Connections`.
        let retry = Retry::default();
        let policy = Policy { circuit: options.circuit, recovery: Recovery::HealthCheck, retry };
        Ok(Self {
            guard: Guard::new(model, policy),
            template: RequestTemplate::new(options.format, &inputs, &options.signature),
            connections: Connections::new(location, &options)?,
            trial: Mutex::new(Arc::new(Trial::without_catalog(&inputs))),
            greatest_user: AtomicU32::new(0),
            refused: AtomicBool::new(false),
            wake: Notify::new(),
            diagnosis: Mutex::default(),
            inputs,
            options,
            checked: Mutex::new(None),
            failed_checks: AtomicU32::new(0),
            batches: Batches::default(),
        })
    }

    /// Sets the name of the model, which log lines contain.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.guard.service_mut().name = Some(name.to_owned());
        self
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
    pub fn url(&self) -> &str {
        &self.guard.service().url
    }

    /// The last known state, without I/O.
    pub fn state(&self) -> State {
        let checked = self.checked();
        match (self.guard.outage(), &*checked) {
            (Some(Outage { since, cause }), checked) => {
                State::Failing { why: cause.to_string(), since, was_ready: checked.is_some() }
            }
            (None, Some(Checked { signature, since, .. })) => {
                State::Ready { version: signature.version, since: *since }
            }
            (None, None) => State::Checking,
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
            let known = self.checked().clone().filter(|_| !self.guard.is_open());
            match known {
                Some(checked) => self.recheck(&checked).await,
                // `apply` has recorded the error.
                None => drop(self.check().await),
            }
            // A new trial ends the wait.
            let _ = time::timeout(self.options.interval, self.wake.notified()).await;
        }
    }

    /// Rechecks a model that is ready. Validates it again after a change of the signature or the trial, or a rejected
    /// request.
    async fn recheck(&self, known: &Checked) {
        match self.signature().await {
            Ok(signature) => {
                self.failed_checks.store(0, Ordering::Relaxed);
                let is_known = signature == *known.signature;
                let refused = self.refused.swap(false, Ordering::Relaxed);
                if is_known && !refused && Arc::ptr_eq(&self.current_trial(), &known.trial) {
                    return;
                }
                let outcome = self.validate(signature).await;
                if let (true, Ok(now)) = (is_known, &outcome)
                    && !self.guard.is_open()
                    && let Some(checked) = &mut *self.checked()
                {
                    checked.trial = Arc::clone(&now.trial);
                    return;
                }
                // `apply` has recorded the error.
                drop(self.apply(outcome));
            }
            Err(error) => {
                if self.failed_checks.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_FAILED_CHECKS {
                    self.guard.unhealthy(&error);
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
    async fn validate(&self, signature: Signature) -> Result<Checked, Error> {
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
        Ok(Checked { signature, layout, trial: current, since: SystemTime::now() })
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
        let scores = self.send(permit, body.into_bytes(), rows);
        timeout_at(deadline, scores).await.map_err(|_| Error::TimedOut)?.map(drop)
    }

    fn apply(&self, outcome: Result<Checked, Error>) -> Result<u64, Error> {
        let checked = outcome.inspect_err(|error| self.guard.unhealthy(error))?;
        let version = checked.signature.version;
        self.failed_checks.store(0, Ordering::Relaxed);
        *self.checked() = Some(checked);
        self.guard.recovered();
        let model = self.guard.service();
        tracing::info!(model = model.name(), url = model.url, version, "the model server is ready");
        Ok(version)
    }

    fn checked(&self) -> MutexGuard<'_, Option<Checked>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the layout of requests, or an error if the model is not ready.
    pub(crate) fn admit(&self) -> Result<Arc<Layout>, Error> {
        self.guard.admit()?;
        let checked = self.checked();
        let layout = checked.as_ref().map(|checked| Arc::clone(&checked.layout));
        layout.ok_or_else(|| Error::Unavailable("it has not been checked yet".to_owned()))
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
        let outcome = self.guarded_send(body, rows, deadline).await;
        if let Err(Error::Refused(_)) = outcome {
            self.refused.store(true, Ordering::Relaxed);
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
        let body = self.template.join(bodies);
        if bodies.len() > 1 {
            self.guarded_send(body, rows, deadline).await
        } else {
            self.predict_bytes(body, rows, deadline).await
        }
    }

    async fn guarded_send(
        &self,
        body: Bytes,
        rows: usize,
        deadline: Instant,
    ) -> Result<Vec<f32>, Error> {
        let permit = self.acquire(deadline).await?;
        self.guard.run(deadline, self.send(permit, body, rows)).await
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
    ) -> Result<Vec<f32>, Error> {
        let body = self.connections.predict(&permit, body).await?;
        drop(permit);
        let mut scores = Vec::new();
        let output = self.options.output.as_deref();
        response::parse_scores(&body, rows, output, &mut scores).map_err(Error::Malformed)?;
        Ok(scores)
    }
}
