//! The options that say which store, and how.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sparrow_process::units::parse_duration;
use sparrow_store::{FeatureStore, Location, Options};

use crate::failure::Failure;

/// Which store, and how it is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The store: redis://user:password@host:port/database (all but the host may be left out),
    /// rediss:// for TLS, redis-cluster://host:port,…, redis-sentinel://host:port,…/service,
    /// unix:///path/of/socket, or file:PATH
    ///
    /// Other users of a machine can see its processes' command lines: give an address with a
    /// password through the environment. It is never printed.
    #[arg(short, long, value_name = "URL", env = "SPARROW_STORE", hide_env_values = true)]
    store: Option<Address>,

    /// What every key starts with
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    pub(crate) prefix: String,

    /// Connections to Redis, or to each node of a cluster
    #[arg(long, value_name = "N", default_value_t = Options::default().connections)]
    pool: usize,

    /// Certificates (PEM) to trust for TLS, instead of those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// How long to wait for a store that cannot be reached: 5s, 1m 30s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    connect_timeout: Duration,
}

impl StoreArgs {
    /// The store's address. What is wrong with it is an error of usage.
    pub(crate) fn location(&self) -> anyhow::Result<Option<Location>> {
        let Some(Address(text)) = &self.store else { return Ok(None) };
        let text =
            text.to_str().ok_or(Failure::Usage("the store's address is not text".to_owned()))?;
        match Location::from_str(text)? {
            Location::Memory => {
                let what = "a store in memory would end with this program: name another";
                Err(Failure::Usage(what.to_owned()).into())
            }
            location => Ok(Some(location)),
        }
    }

    /// Refuses a time to live for a store whose entries do not expire.
    pub(crate) fn check_ttl(
        location: Option<&Location>,
        ttl: Option<Duration>,
    ) -> Result<(), Failure> {
        match (location, ttl) {
            (Some(Location::File(_)), Some(_)) => {
                let what = "--ttl is for Redis: the entries of a file store do not expire";
                Err(Failure::Usage(what.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the address brings a user or a password along.
    pub(crate) fn has_password(&self) -> bool {
        self.store.as_ref().is_some_and(|Address(text)| text.to_string_lossy().contains('@'))
    }

    fn options(&self, ttl: Option<Duration>) -> Options {
        Options {
            prefix: self.prefix.clone(),
            connections: self.pool,
            connect_timeout: self.connect_timeout,
            ca_file: self.ca_file.clone(),
            ttl,
            ..Options::default()
        }
    }

    /// Connects; a store that does not answer within the connect timeout is an error.
    pub(crate) async fn connect(
        &self,
        location: &Location,
        ttl: Option<Duration>,
    ) -> anyhow::Result<Arc<dyn FeatureStore>> {
        Ok(sparrow_store::connect(location, &self.options(ttl)).await?)
    }
}

/// A duration above zero, such as `30d`, `12h` or `1m 30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(duration) if duration.is_zero() => Err("it must be above zero".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(error.to_string()),
    }
}

/// An address that may have a password in it: it is parsed after the command line, whose messages would quote
/// it, and not printed.
#[derive(Clone)]
pub(crate) struct Address(OsString);

impl From<OsString> for Address {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}
