//! The data model of Sparrow: ids, movies, ratings, and the immutable [`Catalog`] with its indexes.
//!
//! The crate has no I/O and no async code: `sparrow-movielens` reads files, `sparrow-engine` computes
//! recommendations.
//!
//! Start with [`Catalog`], which is built from [`Movies`] and [`Histories`]. Inside a catalogue a movie is a
//! [`MovieIndex`], its index in order of movie id; comparing indexes therefore compares ids.

mod catalog;
mod genre;
mod history;
mod ids;
mod movie;
mod movie_set;
mod names;
mod profile;
mod rating_log;
mod search;
mod split;
mod stars;
mod text;
mod title;
mod user_state;

pub use catalog::{Catalog, MovieStats, Sort, TopRating};
pub use genre::{Genre, GenreCounts, GenreSet, Genres};
pub use history::{Histories, History, OwnedHistory, Rated};
pub use ids::{MovieId, MovieIndex, UserId, UserIndex};
pub use movie::{Movie, MovieRecord, Movies};
pub use movie_set::MovieSet;
pub use names::{NearestName, nearest_name};
pub use profile::{GenreTaste, UserProfile};
pub use rating_log::RatingLog;
pub use search::SearchHits;
pub use split::Split;
pub use stars::Stars;
pub use text::skip_byte_order_mark;
pub use title::split_year;
pub use user_state::{Features, UserState};

/// An error in the input of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two records have the same movie id.
    #[error("movie id {0} occurs twice")]
    DuplicateMovie(MovieId),
    /// The data have more than the 64 genres of a [`GenreSet`].
    #[error("more than 64 genres: the 65th is {0:?}")]
    TooManyGenres(String),
    /// The data have more movies than [`Movies::MAX_LEN`].
    #[error("{0} movies exceed the limit of 268435456")]
    TooManyMovies(usize),
}
