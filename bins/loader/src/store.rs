//! The options for the store.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sparrow_process::Address;
use sparrow_process::units::parse_duration;
use sparrow_store::{FeatureStore, Location, Options};

use crate::failure::Failure;

/// The address of the store and the connection settings.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// The store: redis://user:password@host:port/database (only the host is required),
    /// rediss:// for TLS, redis-cluster://host:port,…, redis-sentinel://host:port,…/service,
    /// unix:///path/of/socket, or file:PATH
    ///
    /// Other users of the machine can see the command line: pass an address with a password in the environment. It is
    /// never printed.
    #[arg(short, long, value_name = "URL", env = "SPARROW_STORE", hide_env_values = true)]
    store: Option<Address>,

    /// Prefix of all keys
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    pub(crate) prefix: String,

    /// Number of connections to Redis, or to each node of a cluster
    #[arg(long, value_name = "N", default_value_t = Options::default().connections)]
    pool: usize,

    /// Trusted certificates (PEM) for TLS, instead of those of the system
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Time limit of connecting to the store, such as 5s or 1m 30s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    connect_timeout: Duration,
}

impl StoreArgs {
    /// The address of the store. An invalid address is a usage error.
    pub(crate) fn location(&self) -> anyhow::Result<Option<Location>> {
        let Some(Address(text)) = &self.store else { return Ok(None) };
        let text =
            text.to_str().ok_or(Failure::Usage("the store's address is not text".to_owned()))?;
        match Location::from_str(text)? {
            Location::Memory => {
                let what = "a store in memory ends with this program: name another store";
                Err(Failure::Usage(what.to_owned()).into())
            }
            location => Ok(Some(location)),
        }
    }

    /// The address as it was given.
    pub(crate) const fn address(&self) -> Option<&Address> {
        self.store.as_ref()
    }

    /// Rejects an expiry time for a store without expiry.
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

    /// Returns whether the address contains a user or a password.
    pub(crate) fn has_password(&self) -> bool {
        self.store.as_ref().is_some_and(|Address(text)| text.to_string_lossy().contains('@'))
    }

    pub(crate) fn options(&self, ttl: Option<Duration>) -> Options {
        Options {
            prefix: self.prefix.clone(),
            connections: self.pool,
            connect_timeout: self.connect_timeout,
            ca_file: self.ca_file.clone(),
            ttl,
            ..Options::default()
        }
    }

    /// Connects to the store within the connect timeout.
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
