//! The recommendation engine: candidates → recall → filters → ranking, with fallbacks and reasons.
//!
//! This is the crate for embedding in another Rust service. It does not depend on paths, status codes or JSON, which
//! belong to `sparrow-http`, and reads no files. Start with [`Engine`]; `examples/` contains a small program that builds
//! one.

mod buffers;
mod builder;
mod candidates;
mod diversity;
mod embeddings;
mod engine;
mod explanation;
mod favourites;
mod home;
mod mix;
mod model;
mod popular_now;
mod ranking;
mod recommendations;
mod request;
mod similar;

pub use builder::{Builder, DEFAULT_MODEL};
pub use diversity::DEFAULT_DIVERSITY;
pub use embeddings::Embeddings;
pub use engine::{Engine, ModelInfo, RecallCounts};
pub use home::{Home, HomeRequest, Ranked, Row, RowKind};
pub use mix::{DEFAULT_CANDIDATES, RecallMix, Scope};
pub use model::Model;
pub use popular_now::{CurrentPopularity, popular_now};
pub use recommendations::{Item, Reason, Recommendations, Similar, SimilarItem, Timings};
pub use request::{Candidates, Filter, NO_MODEL, Request};
pub use similar::{GENRE_MODEL, SimilarRequest};

use std::sync::Arc;

/// Why a request cannot be answered, or an engine cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no model has.
    #[error("no model is named {name:?}")]
    UnknownModel {
        /// The name.
        name: String,
        /// The names of the models, without aliases.
        known: Vec<Arc<str>>,
    },
    /// Two models have the same name or alias.
    #[error("two models are named {0:?}")]
    DuplicateModel(String),
    /// A model is its own fallback, directly or through others.
    #[error("the fallbacks of the model {0:?} have a cycle")]
    CyclicFallback(String),
    /// A model combines the scores of one that itself combines others.
    #[error("the model {model:?} cannot combine {input:?}, which combines other models itself")]
    NestedInput {
        /// The model.
        model: String,
        /// The input in question.
        input: String,
    },
    /// A name that no recall mix has.
    #[error("no recall mix is named {name:?}")]
    UnknownRecallMix {
        /// The name.
        name: String,
        /// The names of the mixes.
        known: Vec<Arc<str>>,
    },
    /// Two recall mixes have the same name. The default mix has the empty name.
    #[error("two recall mixes are named {0:?}")]
    DuplicateRecallMix(String),
    /// Two recall strategies have the same name.
    #[error("two recall strategies are named {0:?}")]
    DuplicateStrategy(String),
    /// More recall strategies in a mix than an engine supports.
    #[error("{0} recall strategies: 15 at most")]
    TooManyStrategies(usize),
    /// The vectors of users and of items differ in dimension.
    #[error("user vectors have {users} dimensions, item vectors {items}")]
    Dimensions {
        /// The dimension of the user vectors.
        users: usize,
        /// The dimension of the item vectors.
        items: usize,
    },
    /// No item vector belongs to a movie of the catalogue.
    #[error("none of the {0} item vectors belongs to a movie of the catalogue")]
    ForeignEmbeddings(usize),
    /// Every item vector that belongs to a movie of the catalogue is zero.
    #[error("all {0} item vectors of the catalogue's movies are zero")]
    ZeroEmbeddings(usize),
}

/// The guide for those who extend the project; its code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/extending.md")]
struct ExtendingGuide;
