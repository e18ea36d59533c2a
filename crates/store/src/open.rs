use std::path::{Path, PathBuf};
use std::sync::Arc;

use sparrow_live::{Limits, LiveStore, MemoryLive};

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

/// Opens the live data of a store for a server: in the same Redis, in the file beside a file store (its path with `.live`
/// appended, since a push replaces the store), or in memory. Redis connects in the background, as in [`open`]; a file is
/// opened at once, and only one process can open it.
pub fn open_live(
    location: &Location,
    options: &Options,
    limits: Limits,
) -> Result<Arc<dyn LiveStore>, Error> {
    options.check()?;
    match location {
        Location::Memory => Ok(Arc::new(MemoryLive::new(limits))),
        #[cfg(feature = "file")]
        Location::File(path) => {
            let live = crate::FileLive::open(&live_path(path), limits);
            live.map(|live| Arc::new(live) as Arc<dyn LiveStore>).map_err(|error| match error {
                sparrow_live::Error::Malformed { key, what } => Error::Malformed { key, what },
                sparrow_live::Error::Unavailable { store, what } => {
                    Error::Unavailable { store, what }
                }
                error => Error::Configuration(error.to_string()),
            })
        }
        #[cfg(feature = "redis")]
        Location::Redis(redis) => Ok(Arc::new(crate::RedisLive::open(redis, options, limits)?)),
        #[cfg(not(all(feature = "file", feature = "redis")))]
        _ => Err(Error::Configuration(format!(
            "this program was built without support for {location}"
        ))),
    }
}

/// The file with the live data beside a file store.
pub fn live_path(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".live");
    path.into()
}
