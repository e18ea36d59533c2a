//! What both programs need as processes: help, errors on the terminal, output that never blocks, and the
//! signals that end them.
//!
//! The crate knows neither the programs' options nor what they do. Start reading at [`terminal`], [`Stream`]
//! and [`Signals`].

mod signals;
mod stream;
pub mod terminal;

pub use signals::{Signal, Signals};
pub use stream::Stream;
