//! The option `--live` of `sparrow-loader` and `sparrow-pipeline`: a data set overlaid with live data.
//!
//! [`DataArgs`] are the arguments of commands with a data set, and [`LiveArgs`] those of live data alone. [`LiveArgs::data_set`]
//! writes the data set and the live ratings in force, combined by [`sparrow_push::live::export`], to a temporary folder: a data
//! set like any other, which commands read as if it had been `--data`. [`on_data_set`] does so for commands without an asynchronous runtime. [`DataSet::carry_watermark`] writes
//! which live data the output of a command contains, for pushes.
//!
//! The crate computes nothing from the data, and does not write to stores. Start reading at [`LiveArgs::data_set`].

mod args;
mod data_set;
mod error;
mod server;

pub use args::{DataArgs, LiveArgs, find, open, open_address, open_file};
pub use data_set::{DataSet, on_data_set};
pub use error::Error;
