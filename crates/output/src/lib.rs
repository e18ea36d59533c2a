//! Output files and folders with integrity: files appear only when they are complete, and the
//! folder's manifest contains the SHA-256 of each.
//!
//! * [`AtomicFile`]: one or several files, written under temporary names and renamed.
//! * [`model_folder`]: folders with numbered versions of a model.
//!
//! The content of the files is up to the callers.

mod atomic_file;
pub mod model_folder;

pub use atomic_file::{AtomicFile, Error, prepare};
