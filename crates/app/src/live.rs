//! Opens the store for live data.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sparrow_live::{Durability, Limits, LiveStore, MemoryLive};
use sparrow_store::{FileLive, GuardOptions, GuardedLive, Location, Options, RedisLive, live_path};
use sparrow_user_state::LiveSource;

use crate::config::Config;
use crate::{Error, store};

/// Opens the store for live data, with the configured meaning of events. Redis may be unreachable; a file must not be open
/// elsewhere. Requires a tokio runtime.
///
/// `docs/live.md` describes which store it is. It does not depend on whether the server accepts ratings and events: one that is
/// read-only accepts them as soon as it has keys.
pub(crate) fn open(config: &Config) -> Result<LiveSource, Error> {
    let limits =
        Limits { ratings: config.live.max_ratings.get(), events: config.live.max_events.get() };
    let deadline = config.store.deadline;
    if config.live.replicas > 0 && !store::has_live_data(config) {
        let what = "live.replicas needs live data in Redis: store.url with the address of one, and no live.path";
        return Err(Error::Setting(what.to_owned()));
    }
    let store: Arc<dyn LiveStore> = match (&config.live.path, &config.store.url.0) {
        (Some(path), _) => guarded(open_file(path.clone(), limits)?, None),
        (None, Location::File(store)) => match open_beside(store, limits)? {
            Some(file) => guarded(file, None),
            None => Arc::new(MemoryLive::new(limits)),
        },
        (None, Location::Redis(redis)) => {
            let replicas = config.live.replicas;
            let options = Options { replicas, ..store::options(&config.store) };
            let live = RedisLive::open(redis, &options, limits).map_err(Error::OpenStore)?;
            // Asks for the durability; failures are those of later calls.
            let asking = live.clone();
            tokio::spawn(async move { asking.connected().await });
            guarded(live, Some(deadline))
        }
        (None, Location::Memory) => Arc::new(MemoryLive::new(limits)),
    };
    Ok(LiveSource { store, types: Arc::new(config.events.types()) })
}

/// Without a deadline it is that of bulk reads, as a file waits for the disk and ends its calls itself.
fn guarded(store: impl LiveStore + 'static, deadline: Option<Duration>) -> Arc<dyn LiveStore> {
    let options = GuardOptions::default();
    let deadline = deadline.unwrap_or(options.bulk_deadline);
    Arc::new(GuardedLive::new(Arc::new(store), GuardOptions { deadline, ..options }))
}

fn open_file(path: PathBuf, limits: Limits) -> Result<FileLive, Error> {
    FileLive::open(&path, limits).map_err(|source| Error::OpenLive { path, source })
}

/// Opens the file beside a file store. `None` if there is none and it cannot be created.
fn open_beside(store: &Path, limits: Limits) -> Result<Option<FileLive>, Error> {
    let path = live_path(store);
    // An existing file must be used even if it cannot be looked at.
    let exists = || path.try_exists().unwrap_or(true);
    match open_file(path.clone(), limits) {
        Ok(file) => Ok(Some(file)),
        Err(error) if exists() => Err(error),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot create the file for ratings and events: they are kept in memory"
            );
            Ok(None)
        }
    }
}

/// Where ratings and events are kept, as a sentence for the terminal.
pub(crate) fn description(live: &LiveSource, accepts_writes: bool) -> String {
    if !accepts_writes {
        return "Read-only: ratings and events are not accepted, as the server listens beyond loopback without keys. \
                [auth] adds keys; open_writes = true in [live] accepts those of everybody."
            .to_owned();
    }
    let address = live.store.address();
    match live.store.durability() {
        Durability::Memory => "Ratings and events are kept in memory: lost at restart.".to_owned(),
        // Redis was not asked yet.
        Durability::Unknown => format!("Ratings and events are kept in {address}."),
        durability => format!("Ratings and events are kept in {address} ({durability})."),
    }
}
