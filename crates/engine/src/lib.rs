//! The recommendation engine: candidates → recall → filters → ranking, with fallbacks and reasons.
//!
//! This is the crate that another Rust service embeds. It knows neither paths, nor status codes, nor
//! JSON (those are `sparrow-http`'s), and reads no files. Start with [`Engine`]; a small program that
//! builds one from scratch stands in `examples/`.

mod answer;

pub use answer::{Item, Reason, Recommendations, Similar, SimilarItem, StrategySet, Timings};
