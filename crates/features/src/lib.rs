//! Feature definitions: pure functions from a rating history to features.
//!
//! * [`UserWindow`]: a user's latest 100 ratings, updated incrementally; [`UserWindow::features`] returns
//!   [`UserFeatures`].
//! * [`RatingStats`]: count, mean and standard deviation of ratings, a part of [`MovieFeatures`].
//! * [`USER_FIELDS`] and [`MOVIE_FIELDS`]: the feature names in stores and sample files.
//!
//! Training samples, the feature store and online updates use the same functions, which prevents
//! training–serving skew. Sums are integers, so incremental and batch computation return identical features.
//! The crate has no I/O.

mod hundredths;
mod movie;
mod stats;
mod user;

pub use hundredths::Hundredths;
pub use movie::{MOVIE_FIELDS, MovieFeatures};
pub use stats::RatingStats;
pub use user::{RatedMovie, USER_FIELDS, UserFeatures, UserWindow, WINDOW};

/// The version of the definitions, recorded in models and stores. Increment it with every change of the
/// features of a given history.
pub const DEFINITIONS_VERSION: u32 = 1;
