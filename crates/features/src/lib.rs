//! The feature definitions: pure functions from a history of ratings to features.
//!
//! * [`UserWindow`]: a user's last hundred ratings, folded in one at a time; [`UserWindow::features`]
//!   gives the [`UserFeatures`] of the moment.
//! * [`RatingStats`]: count, mean and deviation of ratings, and with a movie's genres and year
//!   [`MovieFeatures`].
//! * [`USER_FIELDS`] and [`MOVIE_FIELDS`]: the names under which stores and sample files hold them.
//!
//! Training samples, the feature store and the update after a new rating all use these same
//! functions, so that training and serving cannot drift apart. The crate does no I/O. Sums are
//! whole numbers, so folding in one rating at a time gives exactly what computing afresh would.

mod hundredths;
mod movie;
mod stats;
mod user;

pub use hundredths::Hundredths;
pub use movie::{MOVIE_FIELDS, MovieFeatures};
pub use stats::RatingStats;
pub use user::{RatedMovie, USER_FIELDS, UserFeatures, UserWindow, WINDOW};

/// The version of the definitions: models and stores say by it what they were made with. It grows
/// when the same history would give other features than before.
pub const DEFINITIONS_VERSION: u32 = 1;
