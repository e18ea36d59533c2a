//! What both programs need as processes: help, errors on the terminal, and the signals that end them.
//!
//! The crate knows neither the programs' options nor what they do. Start reading at [`terminal`] and
//! [`Signals`].

mod signals;
pub mod terminal;

pub use signals::{Signal, Signals};
