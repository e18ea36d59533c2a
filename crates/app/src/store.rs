//! From the configuration to a feature store.

use std::sync::Arc;

use anyhow::{Result, bail};
use sparrow_store::FeatureStore;

use crate::config::Store;

/// The store that is configured; `None` where everything comes from files. It need not be there yet.
pub(crate) fn open(config: &Store) -> Result<Option<Arc<dyn FeatureStore>>> {
    let Some(_url) = config.url.reveal() else { return Ok(None) };
    bail!("store.url: {} is not supported yet", config.url)
}
