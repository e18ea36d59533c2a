//! The configuration in force, and what of it changes without a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sparrow_http::{LogFilter, Operations, Server};

use crate::Error;
use crate::auth;
use crate::config::{self, Config};
use crate::tls::Tls;

/// The time between two looks at the files with keys and the certificate.
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
    tls: Option<Arc<Tls>>,
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
        tls: Option<Arc<Tls>>,
    ) -> Self {
        let reload = Self { source, in_force: Mutex::new(config), server, log_filter, tls };
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
    /// with keys and the certificate. Logs other keys that differ. After an error, nothing has changed.
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
        let identity = self.tls.as_ref().map(|tls| tls.read()).transpose()?;
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
        if let Some((tls, identity)) = self.tls.as_ref().zip(identity) {
            tls.replace(identity);
        }
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

    /// Reads the certificate and its key again.
    fn reload_tls(&self) -> Result<(), Error> {
        let Some(tls) = &self.tls else { return Ok(()) };
        tls.replace(tls.read()?);
        Ok(())
    }
}

fn is_reloaded(key: &str) -> bool {
    RELOADED.iter().any(|reloaded| {
        key.strip_prefix(reloaded)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// Reloads everything on SIGHUP, and the files with keys or the certificate when one of them has changed. Never returns.
pub(crate) async fn follow(reload: Arc<Reload>) {
    let mut known = Versions::of(&reload);
    let mut hangups = Hangups::listen();
    loop {
        let has_files = !known.keys.is_empty() || !known.certificate.is_empty();
        let hangup = tokio::select! {
            () = hangups.next() => true,
            () = tokio::time::sleep(WATCH), if has_files => false,
        };
        if hangup {
            report("the configuration", reload.reload());
            known = Versions::of(&reload);
            continue;
        }
        // A change during the reading is seen the next time.
        let now = Versions::of(&reload);
        if now.keys != known.keys {
            report("the file with keys", reload.reload_auth());
        }
        if now.certificate != known.certificate {
            report("the certificate", reload.reload_tls());
        }
        known = now;
    }
}

fn report(what: &str, outcome: Result<(), Error>) {
    if let Err(error) = outcome {
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, "cannot read {what} again: the earlier one stays in force");
    }
}

type Version = (PathBuf, Option<(SystemTime, u64)>);

/// The versions of the files that are followed.
struct Versions {
    keys: Vec<Version>,
    certificate: Vec<Version>,
}

impl Versions {
    fn of(reload: &Reload) -> Self {
        let version = |path: &Path| {
            let metadata = path.metadata().ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let versioned = |path: &Path| (path.to_owned(), version(path));
        let in_force = reload.in_force();
        Self {
            keys: in_force.auth.files().map(|path| versioned(path)).collect(),
            certificate: reload.tls.iter().flat_map(|tls| tls.files()).map(versioned).collect(),
        }
    }
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
