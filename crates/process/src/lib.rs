//! Process infrastructure of both programs: help and errors on the terminal, non-blocking output, signals, addresses
//! with passwords, and values with units.
//!
//! The crate is independent of the programs' options and tasks. Start reading at [`terminal`], [`Stream`],
//! [`Signals`] and [`units`].

mod address;
mod signals;
mod stream;
pub mod terminal;
pub mod units;

pub use address::Address;
pub use signals::{Interrupted, Signal, Signals};
pub use stream::Stream;
