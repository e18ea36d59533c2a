//! The server under load: rolling restarts behind a balancer, and a soak test.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and prints figures"
)]

mod balancer;
mod client;
mod restart;
mod server;
#[cfg(target_os = "linux")]
mod soak;

use std::sync::atomic::{AtomicBool, Ordering};

/// Ends the clients of a test when dropped, also after a failure.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
