//! The data model of Sparrow: ids, movies, ratings, and the immutable [`Catalog`] with its indexes.
//!
//! Everything here is plain data in memory. The crate does no I/O and knows no async code: files are
//! read by `sparrow-movielens`, requests are answered by `sparrow-engine`.
//!
//! Start with [`Catalog`]: it is built once from [`Movies`] and [`Histories`], and never changes.
//! Inside a catalogue a movie is a [`MovieIndex`], its position in order of movie id; so comparing
//! indexes compares ids, and "ties break by movie id" is the order of indexes.

mod catalog;
mod genre;
mod history;
mod ids;
mod movie;
mod movie_set;
mod profile;
mod rating_log;
mod search;
mod stars;
mod text;
mod title;
mod user_state;

pub use catalog::{Catalog, MovieStats, Sort, TopRating};
pub use genre::{Genre, GenreSet, Genres};
pub use history::{Histories, History, OwnedHistory, Rated};
pub use ids::{MovieId, MovieIndex, UserId, UserIndex};
pub use movie::{Movie, MovieRecord, Movies};
pub use movie_set::MovieSet;
pub use profile::{GenreTaste, UserProfile};
pub use rating_log::RatingLog;
pub use search::SearchHits;
pub use stars::Stars;
pub use text::skip_byte_order_mark;
pub use title::split_year;
pub use user_state::{Features, UserState};

/// What can be wrong with data on its way into the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two records carry the same movie id.
    #[error("movie id {0} occurs twice")]
    DuplicateMovie(MovieId),
    /// A [`GenreSet`] holds 64 genres, and the data has more.
    #[error("more than 64 different genres, the 65th is {0:?}")]
    TooManyGenres(String),
    /// A [`MovieIndex`] has 28 bits inside a packed rating.
    #[error("{0} movies are more than the 268435456 that a catalogue can hold")]
    TooManyMovies(usize),
}
