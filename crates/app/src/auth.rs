//! Loads credentials, and follows their files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sparrow_http::Server;

use crate::Error;
use crate::config::{Config, Keys};

/// The time between two looks at the files.
const WATCH: Duration = Duration::from_secs(1);

/// The configured credentials, with those of the files.
pub(crate) fn load(config: &Config) -> Result<sparrow_http::Auth, Error> {
    let auth = &config.auth;
    let mut keys: Vec<_> = auth.keys.api_keys().collect();
    if let Some(path) = &auth.keys_file {
        let more = Keys::read(path).map_err(|error| {
            Error::Setting(format!("the keys file {} cannot be used: {error}", path.display()))
        })?;
        keys.extend(more.api_keys());
    }
    Ok(sparrow_http::Auth {
        keys,
        anonymous_reads: auth.anonymous.reads(),
        anonymous_writes: config.live.open_writes,
        is_required: auth.keys_file.is_some(),
    })
}

/// A new key, with its table for the configuration, which does not contain it.
pub(crate) fn new_key(name: &str, scopes: &[String]) -> Result<String, Error> {
    let (key, sha256) = sparrow_http::generate_key().map_err(Error::Setting)?;
    let table = Keys::table(name, &sha256, scopes).map_err(Error::Setting)?;
    Ok(format!(
        "# The key, for the client. It is not stored anywhere:\n# {key}\n\n# For the configuration:\n{table}"
    ))
}

/// Puts the credentials of the configuration and its files in force. If they cannot be read, those in force stay.
pub(crate) fn reload(config: &Config, server: &Server) -> Result<(), Error> {
    let auth = load(config)?;
    tracing::info!(keys = auth.keys.len(), "the credentials were read again");
    server.set_auth(auth);
    Ok(())
}

/// Reloads when a file has changed, and on SIGHUP. Never returns.
pub(crate) async fn follow(config: Config, server: Arc<Server>) {
    let files: Vec<PathBuf> = config.auth.keys_file.iter().cloned().collect();
    let mut known = versions(&files);
    let mut hangups = Hangups::listen();
    loop {
        let hangup = tokio::select! {
            () = hangups.next() => true,
            () = tokio::time::sleep(WATCH), if !files.is_empty() => false,
        };
        let now = versions(&files);
        if !hangup && now == known {
            continue;
        }
        known = now;
        if let Err(error) = reload(&config, &server) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "cannot read the credentials again: the earlier ones stay in force"
            );
        }
    }
}

type Version = Option<(SystemTime, u64)>;

fn versions(files: &[PathBuf]) -> Vec<Version> {
    let version = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(|path| version(path)).collect()
}

/// SIGHUP, where there is one.
struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    #[cfg(unix)]
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        Self { signal: signal.inspect_err(|error| tracing::warn!(%error, "no SIGHUP")).ok() }
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self {}
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    }
}
