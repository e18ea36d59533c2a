//! Computes features and training samples with DataFusion, from data sets of any size.
//!
//! [`session`] creates a session with bounded memory, [`DataSet::open`] registers the tables of a
//! data set in it, and [`user_features`], [`movie_features`] and [`samples`] are plans over those
//! tables. [`write_features`] and [`write_samples`] write their rows to files. Everything runs in a
//! Tokio runtime with timers; its worker threads do the computation.
//!
//! # Implementation
//!
//! A user's features are a window function, `OVER (PARTITION BY userId ORDER BY timestamp,
//! movieId)`, which folds `sparrow_features::UserWindow` row by row into one packed value of 36
//! bytes per row. The statistics of movies before a sample are a window function, too; those over
//! all ratings are ordinary aggregates. Rows stay narrow until they are written: names of genres
//! and readable columns are added last.
//!
//! Ratings are partitioned by a hash of user or movie. Sorts beyond the memory limit spill to disk.
//! Ratings that are sorted by user already are not sorted again as a whole: an optimizer rule of
//! the session sorts only the rows of each user. At the end, samples are sorted by a unique random
//! key or merged by user, so files do not depend on the number of partitions.
//!
//! # On a cluster
//!
//! The plans are designed for execution by Ballista: the definitions are functions that plans call
//! by name ([`register_functions`] registers them with a scheduler and its executors), all of their
//! inputs are columns and literals, ratings are scanned from a URL, and partitions share nothing.
//! The table `movies` is in memory, and is sent with a plan or written to a URL first. Ratings that
//! must be sorted beforehand are also in memory, and do not leave this process. Without the two
//! optimizer rules of the session, the same plans return the same rows, but sort more or take more
//! memory.

mod bad_value;
mod batch_stream;
mod data_set;
mod encoding;
mod feature_files;
mod functions;
mod movie_window;
mod queries;
mod random_sort;
mod ratings;
mod sample_files;
mod samples;
mod session;
mod user_window;

use datafusion::error::DataFusionError;

pub use sparrow_feature_files::Summary as FeatureSummary;
pub use sparrow_feature_files::table::FileFormat;

pub use data_set::DataSet;
pub use feature_files::write_features;
pub use functions::register as register_functions;
pub use queries::{movie_features, user_features};
pub use sample_files::{SampleSummary, write_samples};
pub use samples::{Order, SAMPLE_COLUMNS, SampleOptions, samples};
pub use session::{Options as SessionOptions, session};
pub use sparrow_model::Split;

/// Why the computation failed. Existing files are unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// A file contains invalid data.
    #[error("{file}: {what}")]
    Malformed {
        /// The file or folder.
        file: String,
        /// The fault.
        what: String,
    },
    /// The content of a file stopped the computation.
    #[error("cannot read {file}")]
    Read {
        /// The file or folder.
        file: String,
        /// The cause.
        source: DataFusionError,
    },
    /// The computation failed, for example for lack of memory or disk space.
    #[error("cannot compute")]
    Engine(#[from] DataFusionError),
    /// The files cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
}

impl Error {
    /// Whether the input is invalid, as opposed to a failure of the machine or the output.
    pub const fn is_bad_input(&self) -> bool {
        matches!(self, Self::Input(_) | Self::Malformed { .. } | Self::Read { .. })
    }
}
