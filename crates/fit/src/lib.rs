//! Trains everything that a server needs into one folder.
//!
//! * [`Inputs`] are the item–item models that a blend combines, and [`blend`] fits it.
//! * [`write()`] reads a data set and writes the models, NeuralCF, the blend and the vectors of users and movies into the
//!   models folder of a server.
//! * [`validate()`] measures a method on held-out ratings.
//! * [`rollback`] withdraws the versions of the last [`write()`].
//!
//! The crate contains no training method of its own. Start reading at [`write()`].

mod inputs;
mod publish;
mod validate;

pub use inputs::{Inputs, blend};
pub use publish::{Error, Options, Step, Summary, VECTORS, rollback, write};
pub use validate::validate;
