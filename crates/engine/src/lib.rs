//! The recommendation engine: candidates → recall → filters → ranking, with fallbacks and reasons.
//!
//! This is the crate that another Rust service embeds. It knows neither paths, nor status codes, nor
//! JSON (those are `sparrow-http`'s), and reads no files. Start with [`Engine`]; a small program that
//! builds one from scratch stands in `examples/`.

mod answer;
mod assembly;
mod favourites;
mod recommend;
mod scratch;
mod similar;

pub use answer::{Item, Reason, Recommendations, Similar, SimilarItem, StrategySet, Timings};
pub use assembly::{Embeddings, Engine, Model, ModelInfo, Options, Parts, Strategy};
pub use recommend::{Candidates, NO_MODEL, Request};
pub use similar::{GENRE_MODEL, SimilarRequest};

use std::sync::Arc;

/// What makes a request impossible to answer, or an engine impossible to build.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request names a model that the engine does not know.
    #[error("no model is named {name:?}")]
    UnknownModel {
        /// The name.
        name: String,
        /// The names that are known, aliases left out.
        known: Vec<Arc<str>>,
    },
    /// User and item vectors do not have one length.
    #[error("user vectors have {users} numbers, item vectors {items}")]
    Dimensions {
        /// Length of the user vectors.
        users: usize,
        /// Length of the item vectors.
        items: usize,
    },
    /// No item vector belongs to a movie of the catalogue.
    #[error("none of the {0} item vectors belongs to a movie of the catalogue")]
    ForeignEmbeddings(usize),
    /// Every item vector that belongs to a movie of the catalogue is zero.
    #[error("all {0} item vectors of the catalogue's movies are zero")]
    ZeroEmbeddings(usize),
    /// The parts of an engine contradict each other.
    #[error("{0}")]
    Parts(String),
}

/// The guide for those who embed the engine; its code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
struct EmbeddingGuide;
