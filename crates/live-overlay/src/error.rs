use std::io;
use std::path::PathBuf;

use sparrow_console::exit::{BAD_INPUT, FAILED, STORE};
use sparrow_process::Interrupted;
use sparrow_process::terminal::USAGE;
use sparrow_push::live;

/// Why a data set was not overlaid with live data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The location cannot contain live data.
    #[error("--live: {0}")]
    Usage(String),
    /// The file with live data is missing.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// The address is invalid, or the store is unavailable.
    #[error(transparent)]
    Store(#[from] sparrow_store::Error),
    /// The live data cannot be opened.
    #[error(transparent)]
    Live(#[from] sparrow_live::Error),
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] sparrow_movielens::Error),
    /// The live data or a watermark cannot be read or written.
    #[error(transparent)]
    Export(#[from] live::Error),
    /// A watermark cannot be written or removed.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
    /// The temporary folder cannot be created.
    #[error("cannot create a temporary folder in {}", .folder.display())]
    Temporary {
        /// The folder that would contain it.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The asynchronous runtime or the signal handlers cannot be started.
    #[error("cannot start the async runtime")]
    Runtime(#[source] io::Error),
    /// A signal.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Error {
    /// The exit code of a command that fails by this error.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Store(sparrow_store::Error::Configuration(_)) => USAGE,
            Self::Store(_) | Self::Live(_) | Self::Export(live::Error::Store(_)) => STORE,
            Self::Missing(_)
            | Self::Data(_)
            | Self::Export(
                live::Error::Trimmed { .. }
                | live::Error::Watermark { .. }
                | live::Error::Unreadable { .. },
            ) => BAD_INPUT,
            Self::Interrupted(Interrupted { signal, .. }) => 128 + signal.number(),
            _ => FAILED,
        }
    }
}
