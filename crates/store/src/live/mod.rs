//! What the stores for live data share, and the embedded one.

pub(crate) mod codec;
pub(crate) mod entry;
#[cfg(feature = "file")]
mod file;
mod pushed;

pub(crate) use pushed::PushedLive;

#[cfg(feature = "file")]
pub use file::FileLive;
