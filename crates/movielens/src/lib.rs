//! Reads MovieLens data sets into a [`Catalog`](sparrow_model::Catalog), and writes them (module [`mod@write`]).
//!
//! [`Source::open`] detects the format by the file names, [`Source::load`] reads the files, and [`Source::survey`]
//! validates them without storing the ratings:
//!
//! | format | files |
//! |---|---|
//! | ml-latest-small, ml-25m, ml-32m | `movies.csv`, `ratings.csv`, optional `links.csv`; on Kaggle `movie.csv`, `rating.csv`, `link.csv` |
//! | ml-1m (and ml-10m) | `movies.dat`, `ratings.dat` |
//! | ml-100k | `u.item`, `u.data`, optional `u.genre` |
//!
//! Each file may be compressed with gzip, with the extension `.gz`.
//!
//! Parsing is strict: every malformed line is reported with file and line number, and
//! [`Options::max_bad_lines`] limits how many are skipped. Blank lines are ignored. Malformed links and links of
//! unknown movies are skipped and listed in the [`Report`]. Ratings files are read in blocks on all cores.
//!
//! Other CSV readers reuse the modules [`csv`] and [`kind`].
//!
//! The crate has no state and no async code.

pub mod csv;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod kind;
mod links;
mod movies;
mod ratings;
mod reader;
mod report;
mod source;
mod summary;
mod timestamp;
pub mod write;

pub use error::Error;
pub use report::{BadLine, Report};
pub use source::{Format, Loaded, LoadedHistories, Options, Source, Survey};

#[cfg(test)]
mod samples;
