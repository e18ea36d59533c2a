//! The configuration in force, and what of it changes without a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sparrow_http::{LogFilter, Operations, Server};

use crate::Error;
use crate::auth;
use crate::config::{self, Config};

/// The time between two looks at the files with keys.
const WATCH: Duration = Duration::from_secs(1);

/// The keys that take effect without a restart: those below these sections, and these.
const RELOADED: [&str; 3] = ["auth", "experiments", "log.filter"];

/// Reads the configuration again from where the start has read it.
pub(crate) type Source = Box<dyn Fn() -> Result<Config, config::Error> + Send + Sync>;

/// Puts changes of the configuration in force.
pub(crate) struct Reload {
    source: Option<Source>,
    in_force: Mutex<Config>,
    server: Arc<Server>,
    log_filter: Option<Arc<dyn LogFilter>>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Reloads from `source`, if there is one, the configuration of a server that has started with `config`.
    pub(crate) fn new(
        source: Option<Source>,
        config: Config,
        server: Arc<Server>,
        log_filter: Option<Arc<dyn LogFilter>>,
    ) -> Self {
        let reload = Self { source, in_force: Mutex::new(config), server, log_filter };
        reload.describe(&reload.in_force());
        reload
    }

    fn in_force(&self) -> MutexGuard<'_, Config> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the configuration to operators.
    fn describe(&self, config: &Config) {
        let configuration = Some(config.masked().into());
        let log_filter = self.log_filter.clone();
        self.server.operate(Operations {
            configuration,
            log_filter,
            access_log: None,
            trace_sample: None,
        });
    }

    /// Reads everything again. After an error, nothing has changed.
    fn reload(&self) -> Result<(), Error> {
        let new = match &self.source {
            Some(source) => source()?,
            None => self.in_force().clone(),
        };
        self.apply(&new)
    }

    /// Puts those keys of `new` in force that take effect without a restart, from the next request on, and reads the files
    /// with keys. Logs other keys that differ. After an error, nothing has changed.
    pub(crate) fn apply(&self, new: &Config) -> Result<(), Error> {
        let mut in_force = self.in_force();
        in_force.check_experiments(&new.experiments)?;
        let next = Config {
            auth: new.auth.clone(),
            experiments: new.experiments.clone(),
            log: config::Log { filter: new.log.filter.clone(), ..in_force.log.clone() },
            ..in_force.clone()
        };
        let credentials = auth::load(&next)?;
        // A filter that an operator has set stays until the configuration has another one.
        if let Some(log) =
            self.log_filter.as_ref().filter(|_| next.log.filter != in_force.log.filter)
        {
            log.set(&next.log.filter).map_err(Error::Setting)?;
        }
        let differences = in_force.differences(new).into_iter();
        let (changed, ignored): (Vec<String>, Vec<String>) =
            differences.partition(|key| is_reloaded(key));
        let (keys, token_keys) = (credentials.keys.len(), auth::token_keys(&credentials));
        self.server.set_auth(credentials);
        if next.experiments != in_force.experiments {
            self.server.set_experiments(next.experiments.in_force());
        }
        let changed = changed.join(" ");
        tracing::info!(keys, token_keys, changed, "the configuration was read again");
        if !ignored.is_empty() {
            tracing::warn!(
                keys = ignored.join(" "),
                "these keys differ and take effect at a restart only"
            );
        }
        self.describe(&next);
        *in_force = next;
        Ok(())
    }

    /// Reads the files with keys again.
    pub(crate) fn reload_auth(&self) -> Result<(), Error> {
        let in_force = self.in_force();
        auth::reload(&in_force, &self.server)
    }
}

fn is_reloaded(key: &str) -> bool {
    RELOADED.iter().any(|reloaded| {
        key.strip_prefix(reloaded)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Reloads everything on SIGHUP, and the files with keys when one has changed. Never returns.
pub(crate) async fn follow(reload: Arc<Reload>) {
    let mut known = versions(&reload);
    let mut hangups = Hangups::listen();
    loop {
        let has_files = !known.is_empty();
        let hangup = tokio::select! {
            () = hangups.next() => true,
            () = tokio::time::sleep(WATCH), if has_files => false,
        };
        let now = versions(&reload);
        if !hangup && now == known {
            continue;
        }
        let outcome = if hangup { reload.reload() } else { reload.reload_auth() };
        known = versions(&reload);
        if let Err(error) = outcome {
            let error = &error as &dyn std::error::Error;
            tracing::error!(
                error,
                "cannot read the configuration again: the earlier one stays in force"
            );
        }
    }
}

type Version = (PathBuf, Option<(SystemTime, u64)>);

/// The versions of the files with keys.
fn versions(reload: &Reload) -> Vec<Version> {
    let version = |path: &Path| {
        let metadata = path.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let in_force = reload.in_force();
    in_force.auth.files().map(|path| (path.clone(), version(path))).collect()
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
