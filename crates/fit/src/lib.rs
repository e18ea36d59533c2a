//! Trains everything that a server needs into one folder.
//!
//! * [`Inputs`] are the item–item models that a blend combines, and [`blend`] fits it.

mod inputs;

pub use inputs::{Inputs, blend};
