//! Features and training samples, computed by DataFusion from a data set of any size.
//!
//! [`session`] makes a session with bounded memory, [`DataSet::open`] registers a data set in it as
//! tables, and [`user_features`], [`movie_features`] and [`samples`] are plans over those tables.
//! [`write_features`] and [`write_samples`] write what they give into files. All of this runs in a
//! Tokio runtime with timers; its worker threads are what computes.
//!
//! # How it is computed
//!
//! A user's features are a window function, `OVER (PARTITION BY userId ORDER BY timestamp, movieId)`,
//! that folds `sparrow_features::UserWindow` row by row and gives one packed value of 36 bytes a row.
//! The statistics of movies before a sample are a window function, too; over all ratings they are
//! ordinary aggregates. Rows stay narrow until they are written: names of genres, and columns for people, come last.
//!
//! Ratings are divided among partitions by a hash of user or movie. What is sorted beyond the limit
//! of memory goes to disk. Ratings that come sorted by user are not sorted as a whole: a rule of the
//! session sorts each user's rows alone. Samples are sorted at the end, by a key that is random and
//! no two samples share, or merged by user; so files do not depend on the number of partitions.
//!
//! # On a cluster
//!
//! The plans are made so that Ballista can run them: the definitions are functions that a plan calls
//! by name ([`register_functions`] makes them known to a scheduler and its executors), all that they need
//! comes in as columns and literals, ratings are scanned from a URL, and partitions share nothing.
//! The table `movies` is in memory, which is sent along with a plan or written to a URL first; ratings
//! that have to be put in order beforehand are in memory, too, and do not leave this process. Without
//! the two rules of the session the same plans sort more, or in more memory, and give the same.

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

/// Why there are no features or samples. Files that were there before are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// A file has something in it that cannot be used.
    #[error("{file}: {what}")]
    Malformed {
        /// The file or folder.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// What a file holds has stopped the computation.
    #[error("cannot read {file}")]
    Read {
        /// The file or folder.
        file: String,
        /// What is wrong.
        source: DataFusionError,
    },
    /// The computation failed, or did not fit into memory and disk.
    #[error("cannot compute")]
    Engine(#[from] DataFusionError),
    /// The files cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
}

impl Error {
    /// Whether what was read is to blame, rather than the machine or the place to write to.
    pub const fn is_bad_input(&self) -> bool {
        matches!(self, Self::Input(_) | Self::Malformed { .. } | Self::Read { .. })
    }
}
