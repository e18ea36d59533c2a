//! Embedding tables, exact nearest-neighbour search, implicit ALS, EASE and NeuralCF, with SIMD selected at run time.
//!
//! * [`EmbeddingTable`]: vectors by id, and their text format (lines `id:f f f …`).
//! * [`ItemVectors`]: the vectors of a catalogue, for exact top-k search and for scoring candidates.
//! * [`TopK`]: streaming top-k selection.
//! * [`HalfStep`] and [`FoldIn`]: the least-squares problems of implicit ALS, for training and for folding in new users.
//! * [`ease`]: item–item weights.
//! * [`neural_cf`]: the ranking model and its forward pass; its file format with the feature `model-file`.
//!
//! The crate is independent of catalogues and histories. Its only I/O is through readers and writers passed to it, and
//! listing the versions in a model folder. It is the only crate of the workspace with `unsafe` code, all in `kernel`:
//! calls of functions for detected instruction sets, and their loads and stores.

pub mod ease;
mod factors;
#[cfg(all(feature = "model-file", any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub mod fuzzing;
mod item_vectors;
mod kernel;
#[cfg(feature = "model-file")]
mod metadata;
pub mod neural_cf;
mod table;
#[cfg(feature = "model-file")]
mod tensors;
mod top_k;
mod zeros;

pub use factors::{CONVERGED_STEPS, Factors, FoldIn, HalfStep, Objective, Positives, RowMut};
pub use item_vectors::{ItemVectors, Similarity};
#[cfg(feature = "model-file")]
pub use metadata::{EmbeddingMetadata, EmbeddingMetadataError, METADATA_FILE};
pub use table::{
    EmbeddingTable, Error, ITEM_FILE, TableBuilder, USER_FILE, check_vector, has_direction,
    normalise, parse_line,
};
pub use top_k::TopK;
pub use zeros::{Zeros, is_zero};
