//! Test support: real Redis servers, each on a free port with its own folder, stopped when dropped.
//!
//! [`TestRedis`] is one server, [`TestCluster`] a cluster, and [`LossyProxy`] a proxy that corrupts the replies of one.
//! The programs `redis-server` and `redis-cli` must be on the
//! `PATH`. Functions panic with the cause if a program is missing or an operation times out. Only tests depend on
//! this crate.

mod cluster;
mod lossy;
mod server;

pub use cluster::TestCluster;
pub use lossy::{Fault, LossyProxy};
pub use server::TestRedis;

use std::thread;
use std::time::{Duration, Instant};

/// Polls `done` until it returns true, for at most 20 seconds. `condition` is named in the panic message.
///
/// # Panics
/// On timeout.
pub fn wait_until(condition: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "timed out waiting for: {condition}");
        thread::sleep(Duration::from_millis(5));
    }
}
