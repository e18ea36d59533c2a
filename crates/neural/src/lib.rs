//! Embedding tables, dot products, exact top-k and NeuralCF, with SIMD chosen at run time.
//!
//! * [`EmbeddingTable`]: vectors by id, and their text form (`id:f f f …` a line).
//! * [`ItemVectors`]: the vectors of a catalogue laid out for the two questions that are asked of
//!   them: the best of all items for a query, and the scores of a few given items.
//! * [`TopK`]: selects the best of a stream of scores without sorting it.
//! * [`HalfStep`] and [`FoldIn`]: the least-squares problems of implicit ALS, in training for all vectors of
//!   a side, and in serving for a user whom training has not seen.
//! * [`ease`]: item–item weights, and the scores that a history gives by them.
//! * [`neural_cf`]: the ranking model, its forward pass over a whole catalogue, and with the feature
//!   `model-file` its file and its folder.
//!
//! The crate knows neither catalogues nor histories, and does no I/O beyond the readers and writers that it
//! is handed, and looking for versions in a model folder. It is the only one in the workspace with `unsafe` code, all of it in `kernel`: calls of
//! functions compiled for instruction sets that were detected before, and their loads and stores.

#[cfg(feature = "model-file")]
mod about;
pub mod ease;
mod factors;
mod item_vectors;
mod kernel;
pub mod neural_cf;
mod table;
#[cfg(feature = "model-file")]
mod tensors;
mod top_k;
mod zeros;

#[cfg(feature = "model-file")]
pub use about::{ABOUT_FILE, About, AboutError};
pub use factors::{Factors, FoldIn, HalfStep, MANY_STEPS, Objective, Positives, RowMut};
pub use item_vectors::{ItemVectors, Similarity};
pub use table::{
    EmbeddingTable, Error, ITEM_FILE, TableBuilder, USER_FILE, check_vector, has_direction,
    normalise, parse_line,
};
pub use top_k::TopK;
pub use zeros::{Zeros, is_zero};
