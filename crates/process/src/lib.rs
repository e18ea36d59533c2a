//! Process infrastructure of both programs: help and errors on the terminal, non-blocking output, signals, addresses
//! with passwords, and values with units.
//!
//! The crate is independent of the programs' options and tasks. Start reading at [`terminal`], [`command_line`],
//! [`Stream`], [`Signals`] and [`units`].

mod address;
pub mod command_line;
mod signals;
mod stream;
pub mod terminal;
pub mod units;

pub use address::Address;
pub use signals::{Interrupted, Signal, Signals};
pub use stream::Stream;
