//! Runs `push`, `verify` and `run` with real stores.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod contract;
mod file;
mod live;
mod moto;
mod redis;
mod s3;
mod server;
mod support;
mod watermark;
