//! Every form of the store, held to one contract and to its own promises.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
#[cfg(feature = "file")]
mod file;
mod memory;
#[cfg(feature = "redis")]
mod redis;
