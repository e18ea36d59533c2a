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
use crate::body::{Body, Form, MovieValues, Values};
use crate::connections::{Connections, Slot};
use crate::input::Inputs;
use crate::location::Location;
use crate::signature::{Layout, Signature};
use crate::trial::Trial;
use crate::{Error, Options, answer};

/// A model at a server, and how it is doing.
///
/// It outlives catalogues and engines: all [`TfServingRanker`](crate::TfServingRanker)s for a model share one.
///
/// Its circuit breaker opens by the rate of errors, wrong answers and timeouts ([`Options::circuit`]), or when three
/// looks in a row fail: requests fail at once until [`keep`](Self::keep) finds it well. The next request then closes
/// the circuit or opens it again. A refusal does not count: it concerns what was asked. It has the trial
/// repeated, and a model that refuses that is not asked again until it takes it.
#[derive(Debug)]
pub struct Remote {
    name: Option<String>,
    inputs: Inputs,
    options: Options,
    form: Form,
    connections: Connections,
    phase: Mutex<Phase>,
    breaker: Mutex<Breaker>,
    /// Looks in a row at which the server could not be asked.
    failed_looks: AtomicU32,
    pub(crate) batches: Batches,
    /// What is scored on trial.
    trial: Mutex<Arc<Trial>>,
    /// The greatest id of a user who was served and is known here.
    greatest_user: AtomicU32,
    /// Whether a request was refused since the last trial.
    refused: AtomicBool,
    /// Wakes [`keep`](Self::keep) when there is another trial.
    wake: Notify,
    /// What a refusal of the trial was found to mean, by its message.
    explained: Mutex<Option<(String, Error)>>,
}

/// After so many failed looks in a row a server is not asked.
const LOOKS: u32 = 3;

/// How a model server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It was not looked at yet.
    Checking,
    /// It answers, and its model takes the inputs.
    Ready {
        /// The version that it serves.
        version: u64,
        /// Since when.
        since: SystemTime,
    },
    /// Its circuit is open.
    Failing {
        /// Why.
        why: String,
        /// Since when.
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

impl Remote {
    /// A model by its URL, such as `http://host:8501/v1/models/recmodel`; `/versions/3` or `/labels/stable`
    /// may follow, and pins it as [`Options::pin`] does. Asks nobody yet.
    pub fn new(url: &str, inputs: Inputs, options: Options) -> Result<Self, Error> {
        options.check()?;
        let location = Location::new(url, &options)?;
        Ok(Self {
            name: None,
            form: Form::new(options.format, &inputs, &options.signature),
            connections: Connections::new(location, &options)?,
            trial: Mutex::new(Arc::new(Trial::without_catalog(&inputs))),
            greatest_user: AtomicU32::new(0),
            refused: AtomicBool::new(false),
            wake: Notify::new(),
            explained: Mutex::default(),
            inputs,
            breaker: Mutex::new(Breaker::new(options.circuit)),
            options,
            phase: Mutex::new(Phase::Checking),
            failed_looks: AtomicU32::new(0),
            batches: Batches::default(),
        })
    }

    /// The same under the name by which requests choose the model; log lines contain it.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// The name by which requests choose the model, or else its URL.
    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.url())
    }

    /// The model's inputs.
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// How it is used.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The URL, with the version or label that is asked for.
    pub fn url(&self) -> String {
        self.connections.location().to_string()
    }

    /// How it is doing, as far as is known. Asks nobody.
    pub fn state(&self) -> State {
        match self.phase().clone() {
            Phase::Checking => State::Checking,
            Phase::Ready { signature, since, .. } => {
                State::Ready { version: signature.version, since }
            }
            Phase::Failing { why, since, was_ready } => State::Failing { why, since, was_ready },
        }
    }

    /// The same, as a ranker says it.
    pub(crate) fn status(&self) -> Status {
        match self.state() {
            State::Checking => Status {
                state: rank::State::Loading,
                trouble: Some("the model server was not looked at yet".to_owned()),
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

    /// From now on this is scored on trial. A server that is ready stays so until it has failed that.
    pub(crate) fn set_trial(&self, trial: Trial) {
        let mut current = self.trial.lock().unwrap_or_else(PoisonError::into_inner);
        if **current != trial {
            *current = Arc::new(trial);
            drop(current);
            *self.explained.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.wake.notify_one();
        }
    }

    /// Notes that this user is one of those that the model is to serve.
    pub(crate) fn saw_user(&self, id: UserId) {
        if id.0 > self.greatest_user.load(Ordering::Relaxed) {
            self.greatest_user.fetch_max(id.0, Ordering::Relaxed);
        }
    }

    /// Looks at the server once: whether its model takes the inputs, and gives a score. Gives the version.
    ///
    /// Scored are the extremes of the last catalogue that a [`TfServingRanker`](crate::TfServingRanker) was made
    /// for: its greatest ids and its longest texts.
    pub async fn check(&self) -> Result<u64, Error> {
        let outcome = match self.signature().await {
            Ok(signature) => self.examine(signature).await,
            Err(error) => Err(error),
        };
        self.settle(outcome)
    }

    /// Keeps looking at the server, at intervals, forever; a program runs it as a task. Without it a model
    /// stays in its first state, and one that was given up on never comes back.
    pub async fn keep(&self) {
        loop {
            let known = match &*self.phase() {
                Phase::Ready { signature, trial, .. } => {
                    Some((Arc::clone(signature), Arc::clone(trial)))
                }
                Phase::Checking | Phase::Failing { .. } => None,
            };
            match known {
                Some((signature, trial)) => self.look_again(&signature, &trial).await,
                // It leaves word of how it ended.
                None => drop(self.check().await),
            }
            // Another trial does not wait.
            let _ = time::timeout(self.options.interval, self.wake.notified()).await;
        }
    }

    /// Whether the server still is as it was; another version is examined, and so is one that has refused a request or
    /// has not passed the trial that there is now.
    async fn look_again(&self, known: &Signature, passed: &Arc<Trial>) {
        match self.signature().await {
            Ok(signature) => {
                self.failed_looks.store(0, Ordering::Relaxed);
                let is_known = signature == *known;
                let refused = self.refused.swap(false, Ordering::Relaxed);
                if is_known && !refused && Arc::ptr_eq(&self.current_trial(), passed) {
                    return;
                }
                let outcome = self.examine(signature).await;
                if let (true, Ok(Phase::Ready { trial: now, .. })) = (is_known, &outcome)
                    && let Phase::Ready { trial, .. } = &mut *self.phase()
                {
                    *trial = Arc::clone(now);
                    return;
                }
                // It leaves word of how it ended.
                drop(self.settle(outcome));
            }
            Err(error) => {
                if self.failed_looks.fetch_add(1, Ordering::Relaxed) + 1 >= LOOKS {
                    self.give_up(&error);
                }
            }
        }
    }

    async fn signature(&self) -> Result<Signature, Error> {
        let until = Instant::now() + self.options.check_deadline;
        let slot = self.slot(until).await?;
        let ask = self.connections.metadata(&slot);
        let body = timeout_at(until, ask).await.map_err(|_| Error::TimedOut)??;
        Signature::read(&body, &self.options.signature)
    }

    /// Compares the model with the inputs, and has it score something.
    async fn examine(&self, signature: Signature) -> Result<Phase, Error> {
        let output = self.options.output.as_deref();
        let layout = signature.layout(&self.inputs, output).map_err(Error::Mismatch)?;
        let current = self.current_trial();
        let trial = current.with_user(&self.inputs, self.greatest_user.load(Ordering::Relaxed));
        // The first prediction after a load takes longer; one must come in the time that requests have.
        let start = Instant::now();
        match self.probe(&layout, &trial.rows(|_| true), self.options.check_deadline).await {
            Err(Error::Refused(message)) => {
                return Err(self.explain(message, &layout, &trial).await);
            }
            outcome => outcome?,
        }
        if start.elapsed() > self.options.deadline {
            self.probe(&layout, &trial.rows(|_| true), self.options.deadline).await?;
        }
        let (signature, layout) = (Arc::new(signature), Arc::new(layout));
        Ok(Phase::Ready { signature, layout, trial: current, since: SystemTime::now() })
    }

    /// What the refusal of a trial means: which inputs have extremes that the model does not take.
    async fn explain(&self, message: String, layout: &Layout, trial: &Trial) -> Error {
        let known = |(before, _): &&(String, Error)| *before == message;
        let explained = || self.explained.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = explained().as_ref().filter(known) {
            return error.clone();
        }
        let mut faults = Vec::new();
        let alone = async |place| {
            let rows = trial.rows(|chosen| Some(chosen) == place);
            self.probe(layout, &rows, self.options.check_deadline).await
        };
        if alone(None).await.is_ok() {
            for (place, (input, conversion)) in self.inputs.iter().enumerate() {
                let Some(extreme) = trial.extreme(place) else { continue };
                if matches!(alone(Some(place)).await, Err(Error::Refused(_))) {
                    let hint = if conversion.is_plain_number() {
                        "; if the model knows numbers up to a limit, set that as max of the input"
                    } else {
                        ""
                    };
                    faults.push(format!(
                        "it does not take {extreme} for the input {}{hint}",
                        input.name
                    ));
                }
            }
        }
        faults.push(message.clone());
        let error = Error::Refused(faults.join("; "));
        *explained() = Some((message, error.clone()));
        error
    }

    fn current_trial(&self) -> Arc<Trial> {
        Arc::clone(&self.trial.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has two rows scored.
    async fn probe(
        &self,
        layout: &Layout,
        rows: &[MovieValues],
        within: Duration,
    ) -> Result<(), Error> {
        let until = Instant::now() + within;
        let values: Vec<Values<'_>> = rows.iter().map(Values::OfMovie).collect();
        let body = self.form.body(layout, &values, &[MovieIndex(0), MovieIndex(1)]);
        let rows = body.rows;
        let slot = self.slot(until).await?;
        self.ask(slot, body.into_bytes(), rows, until).await.map(drop)
    }

    fn settle(&self, outcome: Result<Phase, Error>) -> Result<u64, Error> {
        match outcome {
            Ok(ready) => {
                let version = match &ready {
                    Phase::Ready { signature, .. } => signature.version,
                    _ => 0,
                };
                self.failed_looks.store(0, Ordering::Relaxed);
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
                self.give_up(&error);
                Err(error)
            }
        }
    }

    fn give_up(&self, error: &Error) {
        let why = error.to_string();
        let mut phase = self.phase();
        let (since, was_ready, told) = match &*phase {
            Phase::Failing { since, was_ready, why: before } => {
                (*since, *was_ready, *before == why)
            }
            Phase::Ready { .. } => (SystemTime::now(), true, false),
            Phase::Checking => (SystemTime::now(), false, false),
        };
        *phase = Phase::Failing { why, since, was_ready };
        drop(phase);
        if !told {
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

    /// How to ask, or why not to.
    pub(crate) fn admit(&self) -> Result<Arc<Layout>, Error> {
        match &*self.phase() {
            Phase::Ready { layout, .. } => Ok(Arc::clone(layout)),
            Phase::Checking => Err(Error::Unavailable("it was not looked at yet".to_owned())),
            Phase::Failing { why, .. } => {
                Err(Error::Unavailable(format!("its circuit breaker is open: {why}")))
            }
        }
    }

    pub(crate) const fn form(&self) -> &Form {
        &self.form
    }

    /// The scores of the rows, or an error that counts.
    pub(crate) async fn predict(&self, body: Body, until: Instant) -> Result<Vec<f32>, Error> {
        let rows = body.rows;
        self.predict_bytes(body.into_bytes(), rows, until).await
    }

    async fn predict_bytes(
        &self,
        body: Bytes,
        rows: usize,
        until: Instant,
    ) -> Result<Vec<f32>, Error> {
        let slot = self.slot(until).await?;
        let outcome = self.ask(slot, body, rows, until).await;
        match &outcome {
            Ok(_) => self.succeeded(),
            Err(Error::Refused(_)) => self.refused.store(true, Ordering::Relaxed),
            Err(error) => self.failed(error),
        }
        outcome
    }

    /// The same for several bodies at once; that one of them was refused says nothing of the others.
    pub(crate) async fn predict_joined(
        &self,
        bodies: &[&Body],
        until: Instant,
    ) -> Result<Vec<f32>, Error> {
        let rows = bodies.iter().map(|body| body.rows).sum();
        let slot = self.slot(until).await?;
        let outcome = self.ask(slot, self.form.join(bodies), rows, until).await;
        match &outcome {
            Ok(_) => self.succeeded(),
            Err(Error::Refused(_)) if bodies.len() > 1 => {}
            Err(Error::Refused(_)) => self.refused.store(true, Ordering::Relaxed),
            Err(error) => self.failed(error),
        }
        outcome
    }

    /// The right to a connection. That there is none in time says nothing about the server.
    async fn slot(&self, until: Instant) -> Result<Slot<'_>, Error> {
        timeout_at(until, self.connections.slot()).await.map_err(|_| Error::TimedOut)?
    }

    async fn ask(
        &self,
        slot: Slot<'_>,
        body: Bytes,
        rows: usize,
        until: Instant,
    ) -> Result<Vec<f32>, Error> {
        let ask = self.connections.predict(&slot, body);
        let answer = timeout_at(until, ask).await.map_err(|_| Error::TimedOut)??;
        drop(slot);
        let mut scores = Vec::new();
        let output = self.options.output.as_deref();
        answer::scores(&answer, rows, output, &mut scores).map_err(Error::Malformed)?;
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
            self.give_up(error);
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
