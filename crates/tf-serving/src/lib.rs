//! Ranking by models in TensorFlow Serving, over its REST API.
//!
//! * [`Inputs`]: the inputs of a model, their sources and their preprocessing.
//! * [`ServedModel`]: a model in a server: connections, deadlines, health checks and circuit breaker.
//! * [`TfServingRanker`]: scores the movies of a catalogue.
//!
//! The crate reads no features and no configuration files, and starts no server. Start reading at [`ServedModel`].

mod batch;
mod connections;
mod conversion;
mod fingerprint;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod input;
mod inputs;
mod location;
mod options;
mod ranker;
mod request_body;
mod response;
mod served_model;
mod signature;
mod trial;

pub use input::{Input, Source, Step, Type};
pub use inputs::Inputs;
pub use options::{Batch, Format, Options, Pin};
pub use ranker::{TfServingRanker, movie_features_of};
pub use served_model::{ServedModel, State};
pub use sparrow_guard::Circuit;

/// An error of a model server or of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL is not that of a model.
    #[error("{0}")]
    Url(String),
    /// An option is out of range.
    #[error("{0}")]
    Options(&'static str),
    /// The certificates are missing or invalid.
    #[error("{0}")]
    Certificates(String),
    /// An input is invalid.
    #[error("input {input}: {what}")]
    Input {
        /// The name of the input.
        input: String,
        /// The error.
        what: String,
    },
    /// The signature of the model does not match the configured inputs.
    #[error("the model does not match its configuration: {0}")]
    Mismatch(String),
    /// The server cannot be reached, or cannot serve the model.
    #[error("the model server is unavailable: {0}")]
    Unavailable(String),
    /// The deadline was exceeded.
    #[error("the model server exceeded the deadline")]
    TimedOut,
    /// The server rejected the request (400), for example because of an id outside the model's range.
    #[error("the model server refused the request: {0}")]
    Refused(String),
    /// The response is invalid.
    #[error("malformed response of the model server: {0}")]
    Malformed(String),
}
