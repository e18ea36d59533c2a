//! Opens the configured feature store.

use std::sync::Arc;

use sparrow_store::{FeatureStore, Location, Options};

use crate::Error;
use crate::config::Store;

/// Opens the configured store, which may be unreachable; `None` if all data come from files.
pub(crate) fn open(config: &Store) -> Result<Option<Arc<dyn FeatureStore>>, Error> {
    if config.url.0 == Location::Memory {
        return Ok(None);
    }
    let options = Options {
        deadline: config.deadline,
        connections: config.connections.get(),
        prefix: config.prefix.clone(),
        ca_file: config.ca_file.clone(),
        ..Options::default()
    };
    let store = sparrow_store::open(&config.url.0, &options).map_err(Error::OpenStore)?;
    Ok(Some(store))
}
