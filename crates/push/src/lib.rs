//! Fills a feature store: reads features, embeddings and ratings, pushes them as one generation,
//! and verifies a store.
//!
//! * [`sources`] reads files of this project or of others, from folders or object stores, as
//!   entries of a store.
//! * [`push`] writes the entries as a new generation.
//! * [`live`] writes live data as files.
//! * [`verify`] compares a store with the sources, [`verify_live`] the users with live data with the log.
//!
//! The stores themselves are in `sparrow-store`. Start reading at [`sources::Reader`].

pub mod live;
mod live_tables;
pub mod push;
pub mod sources;
pub mod verify;
pub mod verify_live;
