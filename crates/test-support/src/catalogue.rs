//! Catalogues of invented movies.

use sparrow_model::{Catalog, MovieId, MovieIndex, MovieRecord, Movies, RatingLog, Stars, UserId};

/// For movies without genres.
pub const NO_GENRES: [&str; 0] = [];

/// A movie with the title `Movie {id}` and without links.
pub fn movie(
    id: u32,
    year: Option<u16>,
    genres: impl IntoIterator<Item = impl AsRef<str>>,
) -> MovieRecord {
    MovieRecord {
        id: MovieId(id),
        title: format!("Movie {id}"),
        year,
        genres: genres.into_iter().map(|genre| genre.as_ref().to_owned()).collect(),
        imdb_id: None,
        tmdb_id: None,
    }
}

/// A catalogue. Ratings are (user id, index of the movie in order of ids, half stars, timestamp).
///
/// # Panics
/// If two movies have the same id, or a rating is not from 1 to 10 half stars.
pub fn catalog(
    movies: impl IntoIterator<Item = MovieRecord>,
    ratings: impl IntoIterator<Item = (u32, u32, u8, u32)>,
) -> Catalog {
    let movies = Movies::new(movies.into_iter().collect()).expect("distinct movies");
    let mut log = RatingLog::default();
    for (user, movie, half_stars, timestamp) in ratings {
        let stars = Stars::from_half_stars(half_stars).expect("1 to 10 half stars");
        log.push(UserId(user), MovieIndex(movie), stars, timestamp);
    }
    Catalog::new(movies, log.into_histories().0)
}

/// A catalogue without ratings.
///
/// # Panics
/// If two movies have the same id.
pub fn unrated(movies: impl IntoIterator<Item = MovieRecord>) -> Catalog {
    catalog(movies, [])
}
