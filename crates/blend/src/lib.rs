//! Ranking by a blend: learned weights over the scores of other models, and over what is known of the movies and the
//! user.
//!
//! * [`Blend`] is the model, as in its file: a list of [`Term`]s. The score of a movie is the sum of the terms' weights
//!   times their [`Signal`]s.
//! * [`BlendRanker`] ranks in an engine, which passes it the scores of the other models; [`Combined`] is a ranker that
//!   asks the other models itself.
//! * `fit` (with the feature `fit`) computes the weights from held-out ratings.
//!
//! The crate trains none of the models that it combines, and reads no folders. Start reading at [`Signal`].

mod file;
#[cfg(feature = "fit")]
pub mod fit;
mod ranker;
mod signal;

pub use file::{Blend, InvalidBlend, Objective, Validation};
pub use ranker::{BlendRanker, Combined};
pub use signal::{Signal, Term};

/// The names of the models that blends combine, in the order of their scores in queries.
pub const INPUTS: [&str; 3] = ["ease", "next-item", "item-knn"];

/// The file of a version in a model folder.
pub const BLEND_FILE: &str = "blend.json";
