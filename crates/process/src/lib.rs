//! Process infrastructure of both programs: help and errors on the terminal, non-blocking output, and signals.
//!
//! The crate is independent of the programs' options and tasks. Start reading at [`terminal`], [`Stream`] and
//! [`Signals`].

mod signals;
mod stream;
pub mod terminal;

pub use signals::{Interrupted, Signal, Signals};
pub use stream::Stream;
