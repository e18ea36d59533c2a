use std::sync::Arc;

use crate::{Error, FeatureStore, Location, MemoryStore, Options};

/// Opens a store for a program that can run without it, such as a server. Returns at once and
/// connects in the background; calls fail until the store is connected. Requires a tokio runtime.
/// Errors concern the address or the options.
pub fn open(location: &Location, options: &Options) -> Result<Arc<dyn FeatureStore>, Error> {
    options.check()?;
    match location {
        Location::Memory => Ok(Arc::new(MemoryStore::default())),
        #[cfg(feature = "file")]
        Location::File(path) => Ok(Arc::new(crate::FileStore::open(path, options))),
        #[cfg(feature = "redis")]
        Location::Redis(redis) => Ok(Arc::new(crate::RedisStore::open(redis, options)?)),
        #[cfg(not(all(feature = "file", feature = "redis")))]
        _ => Err(Error::Configuration(format!(
            "this program was built without support for {location}"
        ))),
    }
}

/// Opens a store for a program that cannot run without it, such as a loader. Waits until the store
/// responds, for at most [`Options::connect_timeout`].
pub async fn connect(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn FeatureStore>, Error> {
    #[cfg(feature = "redis")]
    if let Location::Redis(redis) = location {
        let store = crate::RedisStore::open(redis, options)?;
        store.connected().await?;
        store.generation().await?;
        return Ok(Arc::new(store));
    }
    let store = open(location, options)?;
    store.generation().await?;
    Ok(store)
}
