//! Reads MovieLens data sets into a [`Catalog`](sparrow_model::Catalog), and writes them (module [`mod@write`]).
//!
//! [`Source::open`] tells the formats apart by their files; [`Source::load`] reads them
//! ([`Source::survey`] only looks them through):
//!
//! | format | files |
//! |---|---|
//! | ml-latest-small, ml-25m, ml-32m | `movies.csv`, `ratings.csv`, optional `links.csv`; on Kaggle `movie.csv`, `rating.csv`, `link.csv` |
//! | ml-1m (and ml-10m) | `movies.dat`, `ratings.dat` |
//! | ml-100k | `u.item`, `u.data`, optional `u.genre` |
//!
//! Each file may be compressed with gzip: its name then ends in `.gz`.
//!
//! Whatever cannot be read as what it should be is a bad line with its file and number, never
//! silently something else; [`Options::max_bad_lines`] says how many may be skipped. Blank lines are
//! skipped. Links never prevent the rest from being read: links that are malformed, and links of
//! movies that are not there, are left out and listed in the [`Report`]. Ratings files are read in
//! blocks on all cores.
//!
//! Other readers of tables use the modules [`csv`] and [`kind`].
//!
//! The crate does not recommend anything, keeps no state and knows no async code.

pub mod csv;
mod error;
pub mod kind;
mod links;
mod movies;
mod outline;
mod ratings;
mod report;
mod source;
mod table;
mod timestamp;
pub mod write;

pub use error::Error;
pub use report::{BadLine, Report};
pub use source::{Format, Loaded, LoadedHistories, Options, Source, Survey};

#[cfg(test)]
mod samples;
