use std::time::SystemTime;

use crate::{Error, Inputs, Options};

/// A model at a server, and how it is doing.
///
/// It outlives catalogues and engines: [`TfServingRanker`](crate::TfServingRanker)s share it.
#[derive(Debug)]
pub struct Remote {
    inputs: Inputs,
    options: Options,
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
    },
}

impl Remote {
    /// A model by its URL, such as `http://host:8501/v1/models/recmodel`; `/versions/3` or `/labels/stable` may
    /// follow, and pins it as [`Options::pin`] does. Asks nobody yet.
    pub fn new(_url: &str, inputs: Inputs, options: Options) -> Result<Self, Error> {
        options.check()?;
        Ok(Self { inputs, options })
    }

    /// The model's inputs.
    pub const fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// How it is used.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// How it is doing, as far as is known. Asks nobody.
    pub fn state(&self) -> State {
        State::Checking
    }

    /// Looks at the server once: its model's signature, and a prediction.
    #[expect(clippy::unused_async, reason = "to come")]
    pub async fn check(&self) -> Result<u64, Error> {
        Err(Error::Options("to come"))
    }

    /// Keeps looking at the server, at intervals, forever; a program runs it as a task. Without it a model
    /// stays in its first state, and one that was given up on never comes back.
    pub async fn keep(&self) {
        std::future::pending().await
    }
}
