//! Tests the ranker with fake servers in this process, and with TensorFlow.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod data;
mod documentation;
mod failures;
mod fake;
mod model_server;
mod neural_cf;
mod requests;
