//! Reads MovieLens data sets into a [`Catalog`](sparrow_model::Catalog), and writes them (module [`mod@write`]).
//!
//! [`Source::open`] tells the formats apart by their files; [`Source::load`] reads them
//! ([`Source::survey`] only looks them through):
//!
//! | format | files |
//! |---|---|
//! | ml-latest-small, ml-25m, ml-32m | `movies.csv`, `ratings.csv`, optional `links.csv` |
//! | ml-1m (and ml-10m) | `movies.dat`, `ratings.dat` |
//! | ml-100k | `u.item`, `u.data`, optional `u.genre` |
//!
//! Whatever cannot be read as what it should be is a bad line with its file and number, never
//! silently something else; [`Options::max_bad_lines`] says how many may be skipped. Two things are
//! let pass on purpose: blank lines, and links of movies that are not there (counted in the
//! [`Report`]). Ratings files are read in blocks on all cores.
//!
//! The crate does not recommend anything, keeps no state and knows no async code.

mod error;
mod movies;
mod outline;
mod ratings;
mod report;
mod source;
mod table;
pub mod write;

pub use error::Error;
pub use report::{BadLine, Report};
pub use source::{Format, Loaded, LoadedHistories, Options, Source, Survey};

#[cfg(test)]
mod samples;
