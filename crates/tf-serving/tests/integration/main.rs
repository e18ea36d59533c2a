//! The ranker against servers: fake ones in this process, and models in the real TensorFlow.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod data;
mod documentation;
mod failures;
mod fake;
mod model_server;
mod neural_cf;
mod requests;
