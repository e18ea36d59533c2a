//! Work that is done before serving.
//!
//! * [`synth`] invents data sets.
//! * `pipeline` computes features and training samples, on DataFusion.
//! * [`item2vec`] and [`ials`] learn embeddings, which [`embed`] writes; `ease` computes item–item weights.
//! * `sources` reads what is to go to a feature store, `push` writes it there, `verify` compares.
//! * `train` trains NeuralCF and measures it (`metrics`); `export` writes it, also for TensorFlow.
//! * `evaluate` measures how good models are, on ratings that they have not seen; `tune` looks for settings.
//!
//! Everything here is a function from options and files to files or a store, reproducible from a
//! seed. It does not serve, does not draw progress bars and does not parse command lines; the binary
//! `sparrow-loader` does the latter two. Start reading at [`synth::write`], [`embed::write`] or the
//! documentation of the module `pipeline`, which needs the cargo feature of that name, as do `sources`,
//! `push` and `verify`; `train`, `ease`, `metrics` and `export` need the feature `training`, `evaluate` and
//! `tune` the feature `evaluation`.

#[cfg(feature = "training")]
pub mod ease;
pub mod embed;
#[cfg(feature = "evaluation")]
pub mod evaluate;
#[cfg(feature = "training")]
pub mod export;
pub mod ials;
pub mod interactions;
pub mod item2vec;
#[cfg(feature = "training")]
pub mod metrics;
#[cfg(feature = "training")]
mod model_folder;
#[cfg(feature = "pipeline")]
mod parquet;
#[cfg(feature = "pipeline")]
pub mod pipeline;
#[cfg(feature = "pipeline")]
pub mod push;
mod random;
#[cfg(feature = "pipeline")]
pub mod sources;
mod staged;
pub mod synth;
#[cfg(feature = "training")]
pub mod train;
#[cfg(feature = "evaluation")]
pub mod tune;
#[cfg(feature = "pipeline")]
pub mod verify;
mod zeros;

pub use sparrow_movielens::{
    Error as InputError, Options as ReaderOptions, Report as ReaderReport,
};
pub use staged::Error as OutputError;
pub use zeros::Zeros;

/// Is told from time to time how much of the work is done, and how much there is in all.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);
