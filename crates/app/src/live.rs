//! Opens the store for live data.

use std::sync::Arc;

use sparrow_live::{Durability, Limits, MemoryLive};
use sparrow_user_state::LiveSource;

use crate::config::Config;

/// The store for live data, with the configured meaning of events.
pub(crate) fn open(config: &Config) -> LiveSource {
    let limits =
        Limits { ratings: config.live.max_ratings.get(), events: config.live.max_events.get() };
    LiveSource { store: Arc::new(MemoryLive::new(limits)), types: Arc::new(config.events.types()) }
}

/// Where ratings and events are kept, as a sentence for the terminal.
pub(crate) fn description(live: &LiveSource, accepts_writes: bool) -> String {
    if !accepts_writes {
        return "Ratings and events are not accepted, as the server listens beyond loopback; open_writes = true in \
                [live] accepts those of everybody."
            .to_owned();
    }
    match live.store.durability() {
        Durability::Memory => "Ratings and events are kept in memory: lost at restart.".to_owned(),
        durability => {
            format!("Ratings and events are kept in {} ({durability}).", live.store.address())
        }
    }
}
