use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::task::JoinError;

use crate::config;
use crate::models::ModelError;

/// Why a server cannot start, load its data, or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A setting that depends on this computer cannot be applied.
    #[error("{0}")]
    Setting(String),
    /// The server cannot listen.
    #[error("cannot listen on {address} (--listen chooses another)")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The process lacks something of the operating system.
    #[error("cannot {action}")]
    System {
        /// What it cannot do.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The data set cannot be read.
    #[error(transparent)]
    DataSet(#[from] sparrow_movielens::Error),
    /// The embeddings of the data set cannot be read, or do not fit it.
    #[error("the embeddings in {} cannot be used", folder.display())]
    Embeddings {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        source: ModelError,
    },
    /// Embeddings are configured without the data set that they belong to.
    #[error(
        "the embeddings in {} need the data set that they were made from (data.path, --data): {} holds \
         vectors of its movies, not of those of the demonstration set",
        folder.display(),
        sparrow_neural::ITEM_FILE
    )]
    NoDataSet {
        /// The folder.
        folder: PathBuf,
    },
    /// A configured model cannot be opened.
    #[error("the model {name}")]
    Model {
        /// The name of the model.
        name: String,
        /// The cause.
        source: ModelError,
    },
    /// The engine cannot be built, for example because fallbacks form a cycle.
    #[error("cannot build the engine")]
    Engine(#[from] sparrow_engine::Error),
    /// The feature store cannot be opened.
    #[error("the store table")]
    OpenStore(#[source] sparrow_store::Error),
    /// The file with the live data cannot be opened.
    #[error(
        "cannot keep ratings and events in {} (--live chooses another file; servers share those in Redis)",
        path.display()
    )]
    OpenLive {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: sparrow_live::Error,
    },
    /// The feature store cannot be read.
    #[error(transparent)]
    Store(#[from] sparrow_store::Error),
    /// The feature store changed while it was read.
    #[error("the feature store {0} changed while it was read")]
    StoreChanged(String),
    /// The feature store has no movies.
    #[error("the feature store {0} holds no movies: it is empty")]
    StoreEmpty(String),
    /// Loading was interrupted, by a panic or by the end of the server.
    #[error("loading was interrupted")]
    Interrupted(#[source] Option<JoinError>),
    /// A part of the server that should run as long as the server has ended.
    #[error("{part} {}", if source.is_some() { "has failed" } else { "has ended" })]
    Ended {
        /// What the part does.
        part: &'static str,
        /// The cause, if it has failed.
        source: Option<JoinError>,
    },
    /// A second signal arrived before requests in flight were finished.
    #[error("a second signal: stopped at once")]
    SecondSignal,
}

impl Error {
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}

/// Displays an error and its causes in one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
