//! Work that is done before serving: inventing data sets ([`synth`]), computing item2vec embeddings
//! ([`item2vec`], [`embed`]), and with the feature `pipeline` features and training samples.
//!
//! Everything here is a function from options and files to files, reproducible from a seed. It
//! does not serve, does not draw progress bars and does not parse command lines; the binary
//! `sparrow-loader` does the latter two. Start reading at [`synth::write`], [`embed::write`], or the
//! documentation of the module `pipeline`.

pub mod embed;
pub mod item2vec;
#[cfg(feature = "pipeline")]
pub mod pipeline;
mod random;
mod staged;
pub mod synth;

pub use sparrow_movielens::Options as ReaderOptions;
pub use staged::Error as OutputError;

/// Is told from time to time how much of the work is done, and how much there is in all.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);
