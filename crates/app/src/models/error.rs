use std::error::Error;
use std::io;

/// Why a model cannot be opened, loaded or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file of the model cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The name of the file in its folder.
        file: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A file or a setting of the model is invalid.
    #[error(transparent)]
    Invalid(Box<dyn Error + Send + Sync>),
    /// The model does not pass its trial: it does not score a catalogue, or not in time.
    #[error("{0}")]
    Trial(String),
    /// The model does not score.
    #[error("it does not score")]
    Score(#[source] sparrow_rank::Error),
}

impl ModelError {
    /// The error of a file that cannot be read.
    pub(crate) fn read(file: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Read { file, source }
    }

    /// The error of an invalid file or setting.
    pub(crate) fn invalid(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Invalid(cause.into())
    }
}
