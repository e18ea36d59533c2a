//! Opens the configured feature store.

use std::sync::Arc;

use sparrow_store::{FeatureStore, GuardOptions, Guarded, Location, Options};
use sparrow_user_state::StoreReader;

use crate::Error;
use crate::config::{Config, Store};

/// Opens the configured store, which may be unreachable; `None` if all data come from files.
pub(crate) fn open(config: &Config) -> Result<Option<StoreReader>, Error> {
    let url = &config.store.url.0;
    if *url == Location::Memory {
        return Ok(None);
    }
    let live = has_live_data(config);
    let options = Options { live, ..options(&config.store) };
    let store = sparrow_store::open(url, &options).map_err(Error::OpenStore)?;
    let reader = reader(&config.store, store);
    Ok(Some(if live { reader.with_live_data() } else { reader }))
}

/// Whether the live data of users are in the store and are read together with them.
pub(crate) fn has_live_data(config: &Config) -> bool {
    matches!(config.store.url.0, Location::Redis(_)) && config.live.path.is_none()
}

/// A reader of a store, with a deadline and a circuit breaker.
pub(crate) fn reader(config: &Store, store: Arc<dyn FeatureStore>) -> StoreReader {
    let options = GuardOptions { deadline: config.deadline, ..GuardOptions::default() };
    StoreReader::new(Arc::new(Guarded::new(store, options)))
}

/// How to connect.
pub(crate) fn options(config: &Store) -> Options {
    Options {
        deadline: config.deadline,
        connections: config.connections.get(),
        prefix: config.prefix.clone(),
        ca_file: config.ca_file.clone(),
        ..Options::default()
    }
}
