//! The task that connects a client and keeps it connected.

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

/// Connects, and reconnects after failures that the library does not handle.
pub(super) async fn keep_connected(
    client: Client,
    relays: Arc<Relays>,
    location: RedisLocation,
    address: String,
    last_error: Arc<Mutex<Option<Error>>>,
) {
    const MAX_PAUSE: Duration = Duration::from_secs(2);
    const MIN_PAUSE: Duration = Duration::from_millis(20);
    let mut pause = MIN_PAUSE;
    let record = async |error: fred::error::Error| {
        let mut error = translate(&address, &error);
        if let Some(what) = relays.take_fault() {
            error = Error::Unavailable { store: address.clone(), what };
        } else if let Error::Unavailable { .. } | Error::TimedOut { .. } = &error
            && let Some(what) = scheme_hint(&location, &address).await
        {
            error = Error::Unavailable { store: address.clone(), what };
        }
        tracing::debug!(%error, "no connection to the feature store");
        *last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    };
    client.set_resolver(Arc::new(Resolver(Arc::clone(&relays)))).await;
    loop {
        let (mut errors, began) = (client.error_rx(), Instant::now());
        // Aborted together with this task.
        let mut connection = AbortOnDrop(client.connect());
        loop {
            tokio::select! {
                end = &mut connection.0 => {
                    if let Ok(Err(error)) = end {
                        record(error).await;
                    }
                    break;
                }
                error = errors.recv() => match error {
                    Ok((error, _)) => record(error).await,
                    // Some errors were missed; the next one suffices.
                    Err(_) => time::sleep(pause).await,
                },
            }
        }
        time::sleep(pause).await;
        let lasted = began.elapsed() > 2 * MAX_PAUSE;
        pause = if lasted { MIN_PAUSE } else { (pause * 2).min(MAX_PAUSE) };
    }
}

/// The hint for a connection on which only one side uses TLS. A server that expects TLS closes a
/// plain connection; one without TLS may wait for more input.
async fn scheme_hint(location: &RedisLocation, address: &str) -> Option<String> {
    let (host, port) = location.hosts().first()?;
    let (scheme, _) = address.split_once("://")?;
    if location.tls && probe::accepts_plain_text(host, *port).await {
        let other = scheme.replacen("rediss", "redis", 1);
        return Some(format!("the port does not use TLS: try {other}:// instead of {scheme}://"));
    }
    if !location.tls && probe::uses_tls(host, *port).await {
        let other = scheme.replacen("redis", "rediss", 1);
        return Some(format!("the port uses TLS: try {other}:// instead of {scheme}://"));
    }
    None
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
