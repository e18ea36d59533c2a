//! The server under load: rolling restarts behind a balancer, kills during writes, and a soak test.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and prints figures"
)]

mod balancer;
mod client;
mod kills;
#[cfg(target_os = "linux")]
mod overload;
mod restart;
#[cfg(target_os = "linux")]
mod soak;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use client::Client;
use sparrow_test_support::program::command;
use sparrow_test_support::server::Server;

/// Held by each test: they share the processor, and measure.
static PROCESSOR: Mutex<()> = Mutex::new(());

/// Waits until no other test runs.
fn alone() -> MutexGuard<'static, ()> {
    PROCESSOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a server, and waits until it is ready.
fn start(line: &str, values: &[&dyn AsRef<Path>], settings: &[(&str, &str)]) -> Server {
    let mut command = command(env!("CARGO_BIN_EXE_sparrow-serve"), line, values);
    command.env("SPARROW__LOG__FILTER", "warn").envs(settings.iter().copied());
    Server::start(command)
}

/// Ends the clients of a test when dropped, also after a failure.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Failures after which a client gives up.
const MOST_FAILURES: usize = 100;

/// Sends requests over one connection until `is_done`, and collects what was unexpected.
fn send_until(
    is_done: &AtomicBool,
    address: SocketAddr,
    failures: &Mutex<Vec<String>>,
    send: impl Fn(&mut Client) -> Result<(), String>,
) {
    let mut client = Client::connect(address).unwrap();
    while !is_done.load(Ordering::Relaxed) {
        if let Err(failure) = send(&mut client) {
            let mut failures = failures.lock().unwrap();
            failures.push(failure);
            if failures.len() > MOST_FAILURES {
                return;
            }
        }
    }
}
