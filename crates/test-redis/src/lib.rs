//! For tests: real redis-servers, each on a free port with a folder of its own, gone when dropped.
//!
//! [`TestRedis`] is one server, [`TestCluster`] a few that share the slots, and [`LossyProxy`] stands in front of one
//! and spoils its replies. The programs `redis-server`
//! and `redis-cli` are found on the `PATH`; without them, and whenever something does not come about in
//! time, this panics and says why. Nothing but tests depends on this crate.

mod cluster;
mod lossy;
mod server;

pub use cluster::TestCluster;
pub use lossy::{Fault, LossyProxy};
pub use server::TestRedis;

use std::thread;
use std::time::{Duration, Instant};

/// Looks until `done`, for at most twenty seconds; `what` is for the message.
///
/// # Panics
/// When it takes longer.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
