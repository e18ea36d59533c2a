use std::sync::Arc;

use crate::{Error, FeatureStore, Location, MemoryStore, Options};

/// Opens a store for a program that goes on without it when it is away: a server. Returns at once;
/// calls fail until the store can be reached, and it is tried for as long as it is open. Inside of a tokio
/// runtime. The error is about the address or the options.
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
            "this program was built without stores like {location}"
        ))),
    }
}

/// Opens a store for a program that is nothing without it: a loader. Waits until the store answers, at
/// most for [`Options::connect_timeout`], and then says why it does not.
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
