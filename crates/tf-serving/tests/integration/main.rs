//! Tests the ranker with fake servers in this process, and with TensorFlow.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod data;
mod documentation;
mod failures;
mod model_server;
mod neural_cf;
mod requests;
// By its path, because tests that select a feature make Cargo compile everything above that crate a second time.
#[expect(unreachable_pub, reason = "a public module of sparrow-rank")]
#[path = "../../../rank/src/testsuite.rs"]
mod testsuite;
