//! The server under load: rolling restarts behind a balancer, and a soak test.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod balancer;
mod client;
mod restart;
mod server;
#[cfg(target_os = "linux")]
mod soak;
