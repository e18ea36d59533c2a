//! Output files and folders that readers can trust: a file appears under its name when it is complete, and
//! the SHA-256 of each is in the folder's manifest.
//!
//! * [`AtomicFile`]: a file, or several at once, written under temporary names and renamed.
//! * [`model_folder`]: numbered versions of a model, each of them a folder.
//!
//! What the files contain is not decided here.

mod atomic_file;
pub mod model_folder;

pub use atomic_file::{AtomicFile, Error, prepare};
