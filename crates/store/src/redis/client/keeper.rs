//! The task that keeps a client connected.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface};
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

use super::faults::translate;
use super::probe;
use super::relay::{Relays, Resolver};
use crate::{Error, RedisLocation};

/// Connects, and connects again after what the library does not get over by itself.
pub(super) async fn keep(
    client: Client,
    relays: Arc<Relays>,
    location: RedisLocation,
    address: String,
    trouble: Arc<Mutex<Option<Error>>>,
) {
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);
    const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
    let mut pause = SHORTEST_PAUSE;
    let note = async |error: fred::error::Error| {
        let mut error = translate(&address, &error);
        if let Some(what) = relays.take_fault() {
            error = Error::Unavailable { store: address.clone(), what };
        } else if let Error::Unavailable { .. } | Error::TimedOut { .. } = &error
            && let Some(what) = wrong_scheme(&location, &address).await
        {
            error = Error::Unavailable { store: address.clone(), what };
        }
        tracing::debug!(%error, "no connection to the feature store");
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    };
    client.set_resolver(Arc::new(Resolver(Arc::clone(&relays)))).await;
    loop {
        let (mut errors, began) = (client.error_rx(), Instant::now());
        // Dropped with this task, it takes the connection with it.
        let mut connection = AbortOnDrop(client.connect());
        loop {
            tokio::select! {
                end = &mut connection.0 => {
                    if let Ok(Err(error)) = end {
                        note(error).await;
                    }
                    break;
                }
                error = errors.recv() => match error {
                    Ok((error, _)) => note(error).await,
                    // Missed some; the next one will do.
                    Err(_) => time::sleep(pause).await,
                },
            }
        }
        time::sleep(pause).await;
        let lasted = began.elapsed() > 2 * LONGEST_PAUSE;
        pause = if lasted { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
    }
}

/// What to say of a server that cannot be connected to because one side speaks TLS and the other does not.
/// A server that expects TLS just closes the connection; one that does not may wait for more.
async fn wrong_scheme(location: &RedisLocation, address: &str) -> Option<String> {
    let (host, port) = location.hosts().first()?;
    let (scheme, _) = address.split_once("://")?;
    if location.tls && probe::speaks_plain(host, *port).await {
        let other = scheme.replacen("rediss", "redis", 1);
        return Some(format!(
            "the port does not speak TLS: try {other}:// in place of {scheme}://"
        ));
    }
    if !location.tls && probe::speaks_tls(host, *port).await {
        let other = scheme.replacen("redis", "rediss", 1);
        return Some(format!("the port speaks TLS: try {other}:// in place of {scheme}://"));
    }
    None
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
