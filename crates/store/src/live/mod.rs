//! What the stores for live data share, and the embedded one.

pub(crate) mod codec;
pub(crate) mod entry;
#[cfg(feature = "file")]
mod file;

#[cfg(feature = "file")]
pub use file::FileLive;
