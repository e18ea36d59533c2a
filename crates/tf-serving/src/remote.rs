use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use sparrow_model::MovieIndex;
use sparrow_rank::{self as rank, Status};
use tokio::time::{self, Instant, timeout_at};

use crate::batch::Batches;
use crate::body::{Body, Form, Values};
use crate::connections::{Connections, Slot};
use crate::input::{Inputs, Source};
use crate::location::Location;
use crate::signature::{Layout, Signature};
use crate::{Error, Options, answer};

/// A model at a server, and how it is doing.
///
/// It outlives catalogues and engines: all [`TfServingRanker`](crate::TfServingRanker)s for a model share one.
///
/// A server that fails a few times in a row, by an error, a wrong answer or none in time, is given up on: requests
/// fail at once until [`keep`](Self::keep) finds it well. The first failure after that is enough to give
/// up again, until one request has succeeded.
#[derive(Debug)]
pub struct Remote {
    inputs: Inputs,
    options: Options,
    form: Form,
    connections: Connections,
    phase: Mutex<Phase>,
    failures_in_a_row: AtomicU32,
    pub(crate) batches: Batches,
}

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
    /// It was given up on for now.
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
    Ready { signature: Arc<Signature>, layout: Arc<Layout>, since: SystemTime },
    Failing { why: String, since: SystemTime, was_ready: bool },
}

impl Remote {
    /// A model by its URL, such as `http://host:8501/v1/models/recmodel`; `/versions/3` or `/labels/stable`
    /// may follow, and pins it as [`Options::pin`] does. Asks nobody yet.
    pub fn new(url: &str, inputs: Inputs, options: Options) -> Result<Self, Error> {
        options.check()?;
        let location = Location::new(url, &options)?;
        Ok(Self {
            form: Form::new(options.format, &inputs),
            connections: Connections::new(location, &options)?,
            inputs,
            options,
            phase: Mutex::new(Phase::Checking),
            failures_in_a_row: AtomicU32::new(0),
            batches: Batches::default(),
        })
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

    /// Looks at the server once: whether its model takes the inputs, and gives a score. Gives the version.
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
                Phase::Ready { signature, .. } => Some(Arc::clone(signature)),
                Phase::Checking | Phase::Failing { .. } => None,
            };
            match known {
                Some(known) => self.look_again(&known).await,
                // It leaves word of how it ended.
                None => drop(self.check().await),
            }
            time::sleep(self.options.interval).await;
        }
    }

    /// Whether the server still is as it was; another version is examined.
    async fn look_again(&self, known: &Signature) {
        match self.signature().await {
            Ok(signature) if signature == *known => {}
            Ok(signature) => {
                let outcome = self.examine(signature).await;
                // It leaves word of how it ended.
                let _ = self.settle(outcome);
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn signature(&self) -> Result<Signature, Error> {
        let until = Instant::now() + self.options.check_deadline;
        let slot = self.slot(until).await?;
        let ask = self.connections.metadata(&slot);
        let body = timeout_at(until, ask).await.map_err(|_| Error::TimedOut)??;
        Signature::read(&body).map_err(Error::Malformed)
    }

    /// Compares the model with the inputs, and has it score something.
    async fn examine(&self, signature: Signature) -> Result<Phase, Error> {
        let output = self.options.output.as_deref();
        let layout = signature.layout(&self.inputs, output).map_err(Error::Mismatch)?;
        // The first prediction after a load takes longer; one must come in the time that requests have.
        let start = Instant::now();
        self.probe(&layout, start + self.options.check_deadline).await?;
        if start.elapsed() > self.options.deadline {
            self.probe(&layout, Instant::now() + self.options.deadline).await?;
        }
        let (signature, layout) = (Arc::new(signature), Arc::new(layout));
        Ok(Phase::Ready { signature, layout, since: SystemTime::now() })
    }

    async fn probe(&self, layout: &Layout, until: Instant) -> Result<(), Error> {
        let texts: Vec<String> = self
            .inputs
            .iter()
            .map(|(input, conversion)| {
                let mut text = String::new();
                let sent = match input.source {
                    // Models know the ids from 1 on, if any.
                    Source::UserId | Source::MovieId => {
                        conversion.write_id(1, &mut text) || conversion.write_id(0, &mut text)
                    }
                    Source::Timestamp => conversion.write_id(now(), &mut text),
                    Source::User(_) | Source::Movie(_) => false,
                };
                if !sent {
                    conversion.write(None, &mut text);
                }
                text
            })
            .collect();
        let values: Vec<Values<'_>> = texts.iter().map(|text| Values::Same(text)).collect();
        let body = self.form.body(layout, &values, &[MovieIndex(0); 2]);
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
                let before = mem::replace(&mut *self.phase(), ready);
                let failures = match before {
                    Phase::Failing { .. } => self.options.failures - 1,
                    _ => 0,
                };
                self.failures_in_a_row.store(failures, Ordering::Relaxed);
                tracing::info!(model = self.url(), version, "the model server is ready");
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
            tracing::warn!(model = self.url(), %error, "giving up on the model server for now");
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
                Err(Error::Unavailable(format!("given up on for now, because: {why}")))
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
            Err(error) => self.failed(error),
        }
        outcome
    }

    /// The same for several bodies at once; that one of them was refused does not count yet.
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

    fn succeeded(&self) {
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    fn failed(&self, error: &Error) {
        let before = self.failures_in_a_row.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= self.options.failures {
            self.give_up(error);
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}
