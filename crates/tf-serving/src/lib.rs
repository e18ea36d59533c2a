//! Ranking by a model that TensorFlow Serving serves, over its REST API.
//!
//! * [`Inputs`]: which values a model takes, where they come from, and what is made of them.
//! * [`Remote`]: a model at a server: its connections, deadlines, and whether it is well.
//! * [`TfServingRanker`]: scores the movies of a catalogue by it.
//!
//! The crate fetches no features and knows no configuration files; it does not load models, and starts no
//! server. Start reading at [`Remote`].

mod answer;
mod batch;
mod body;
mod connections;
mod fingerprint;
mod input;
mod location;
mod options;
mod ranker;
mod remote;
mod signature;
mod tls;
mod trial;
mod value;

pub use input::{Input, Inputs, Source, Step, Type};
pub use options::{Batch, Format, Options, Pin};
pub use ranker::{TfServingRanker, movie_features_of};
pub use remote::{Remote, State};
pub use sparrow_circuit::Options as Circuit;

/// Why a model server cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be one of a model.
    #[error("{0}")]
    Url(String),
    /// An option makes no sense.
    #[error("{0}")]
    Options(&'static str),
    /// The certificates cannot be used.
    #[error("{0}")]
    Certificates(String),
    /// An input makes no sense by itself.
    #[error("input {input}: {what}")]
    Input {
        /// The name of the input.
        input: String,
        /// What is wrong with it.
        what: String,
    },
    /// The model's signature and the inputs do not fit.
    #[error("the model does not fit: {0}")]
    Mismatch(String),
    /// The server cannot be reached, or says that it cannot serve the model.
    #[error("the model server is unavailable: {0}")]
    Unavailable(String),
    /// It did not answer in time.
    #[error("the model server did not answer in time")]
    TimedOut,
    /// It refused what it was asked: a value that its model does not take, such as an id beyond those that the
    /// model knows.
    #[error("the model server refused the request: {0}")]
    Refused(String),
    /// What it answered cannot be right.
    #[error("the model server's answer is malformed: {0}")]
    Malformed(String),
}
