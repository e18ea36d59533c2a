//! Embedding tables, exact nearest-neighbour search, implicit ALS, EASE and NeuralCF, with SIMD selected at run time.
//!
//! * [`EmbeddingTable`]: vectors by id, and their text format (lines `id:f f f …`).
//! * [`ItemVectors`]: the vectors of a catalogue, for exact top-k search and for scoring candidates.
//! * [`ItemScores`]: the scores of a catalogue for one user, and its best items.
//! * [`TopK`]: streaming top-k selection.
//! * [`HalfStep`] and [`FoldIn`]: the least-squares problems of implicit ALS, for training and for folding in new users.
//! * [`NewUsers`]: vectors of users outside the training data.
//! * [`item_weights`]: the item–item weights of EASE, next-item and item-kNN.
//! * [`neural_cf`]: the ranking model and its forward pass.
//! * With the feature `model-file`: the file formats of the models, and the folders that contain them.
//!
//! The crate is independent of catalogues and histories. Its only I/O is through readers and writers passed to it, reading
//! a folder with embeddings, and listing the versions in a model folder. It is the only crate of the workspace with `unsafe` code, all in `kernel`:
//! calls of functions for detected instruction sets, and their loads and stores.

#[cfg(feature = "model-file")]
mod embedding_folder;
mod factors;
#[cfg(all(feature = "model-file", any(test, feature = "fuzzing")))]
#[doc(hidden)]
pub mod fuzzing;
mod item_scores;
mod item_vectors;
pub mod item_weights;
mod kernel;
#[cfg(feature = "model-file")]
mod metadata;
#[cfg(feature = "model-file")]
mod model_file;
#[cfg(feature = "model-file")]
pub mod model_folder;
pub mod neural_cf;
mod new_users;
mod table;
mod top_k;
#[cfg(feature = "model-file")]
mod validation;
mod zeros;

#[cfg(feature = "model-file")]
pub use embedding_folder::{EmbeddingFolder, EmbeddingFolderError};
pub use factors::{CONVERGED_STEPS, Factors, FoldIn, HalfStep, Objective, Positives, RowMut};
pub use item_scores::ItemScores;
pub use item_vectors::{ItemVectors, Similarity};
#[cfg(feature = "model-file")]
pub use metadata::{EmbeddingMetadata, EmbeddingMetadataError, METADATA_FILE};
#[cfg(feature = "model-file")]
pub use model_file::ModelFileError;
pub use new_users::NewUsers;
pub use table::{
    EmbeddingTable, Error, ITEM_FILE, MAX_DIMENSION, TableBuilder, USER_FILE, check_vector,
    has_direction, normalise, parse_line,
};
pub use top_k::TopK;
#[cfg(feature = "model-file")]
pub use validation::Validation;
pub use zeros::{Zeros, is_zero};
