//! Features and training samples, computed by DataFusion from a data set of any size.
//!
//! [`session`] makes a session with bounded memory, [`DataSet::open`] registers a data set in it as
//! tables, and [`user_features`], [`movie_features`] and [`samples`] are plans over those tables.
//! [`write_features`] and [`write_samples`] write what they give into files.

mod csv;
mod data_set;
mod feature_files;
mod functions;
mod output;
mod packed;
mod plans;
mod ratings;
mod rows;
mod sample_files;
mod samples;
mod session;
mod user_window;

use datafusion::error::DataFusionError;

pub use data_set::DataSet;
pub use feature_files::{FeatureSummary, write_features};
pub use output::FileFormat;
pub use plans::{movie_features, user_features};
pub use sample_files::{SampleSummary, write_samples};
pub use samples::{SAMPLE_COLUMNS, SampleOptions, Split, samples};
pub use session::{Options as SessionOptions, session};

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
    Output(#[from] crate::staged::Error),
}

impl Error {
    /// Whether what was read is to blame, rather than the machine or the place to write to.
    pub const fn is_bad_input(&self) -> bool {
        matches!(self, Self::Input(_) | Self::Malformed { .. } | Self::Read { .. })
    }
}
