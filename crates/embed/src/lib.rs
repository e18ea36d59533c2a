//! Trains embeddings of users and movies, and item–item weights.
//!
//! A method turns the ratings of a catalogue into [`Embeddings`] or into item–item weights. [`METHODS`] is the list of
//! the methods: [`item2vec`], [`ials`], [`ease`], and next-item and item-kNN in [`cooccurrence`]. The loader's `embed`, `evaluate` and `tune` find them there, and
//! `docs/extending-method.md` shows how to add one. [`write()`] reads a MovieLens folder, and writes the result as
//! files.
//!
//! Results depend on the data, the hyperparameters and the seed. The models are stored and scored in
//! `sparrow-neural`. Start reading at [`MethodKind`].

mod content;
pub mod cooccurrence;
pub mod ease;
mod embeddings;
pub mod ials;
pub mod interactions;
pub mod item2vec;
mod method;
mod write;

pub use embeddings::{Embeddings, liked};
pub use method::{Error, Execution, Method, MethodKind, Model, Output};
pub use sparrow_neural::{ITEM_FILE, METADATA_FILE, USER_FILE};
pub use write::{Contents, Summary, Validate, write};

/// The methods. The first one is the default; evaluations call its model `emb`, as configurations of the server do.
pub const METHODS: [MethodKind; 5] =
    [item2vec::KIND, ials::KIND, ease::KIND, cooccurrence::NEXT_ITEM, cooccurrence::ITEM_KNN];

/// The guide for those who add a method; its code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/extending-method.md")]
struct MethodGuide;
