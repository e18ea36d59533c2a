//! From the configuration to a feature store.

use std::sync::Arc;

use anyhow::{Context, Result};
use sparrow_store::{FeatureStore, Location, Options};

use crate::config::Store;

/// The store that is configured; `None` where everything comes from files. It need not be there yet.
pub(crate) fn open(config: &Store) -> Result<Option<Arc<dyn FeatureStore>>> {
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
    let store = sparrow_store::open(&config.url.0, &options).context("the store table")?;
    Ok(Some(store))
}
