use sparrow_model::{Genre, Genres, Movie};

use crate::{Hundredths, RatingStats};

/// Names of the movie features, in order: hash fields in stores, columns in files.
pub const MOVIE_FIELDS: [&str; 7] = [
    "movieGenre1",
    "movieGenre2",
    "movieGenre3",
    "movieRatingCount",
    "releaseYear",
    "movieAvgRating",
    "movieRatingStddev",
];

/// The features of a movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MovieFeatures {
    /// The first three genres in the order of the data set.
    pub genres: [Option<Genre>; 3],
    /// Number of ratings.
    pub rating_count: u32,
    /// The release year; 0 if unknown.
    pub release_year: u16,
    /// The mean rating in stars; 0 without ratings.
    pub average_rating: Hundredths,
    /// The sample standard deviation of the ratings in stars; 0 for fewer than two.
    pub rating_stddev: Hundredths,
}

impl MovieFeatures {
    /// Creates the features of a movie from its attributes and rating statistics.
    pub fn new(movie: &Movie, ratings: &RatingStats) -> Self {
        Self {
            genres: [0, 1, 2].map(|index: usize| movie.genres.get(index).copied()),
            rating_count: ratings.count(),
            release_year: movie.year.unwrap_or(0),
            average_rating: ratings.average(),
            rating_stddev: ratings.stddev(),
        }
    }

    /// Formats the values in the order of [`MOVIE_FIELDS`]; missing genres are empty.
    pub fn texts(&self, names: &Genres) -> [String; MOVIE_FIELDS.len()] {
        let genre = |index: usize| self.genres[index].map_or("", |genre| names.name(genre));
        [
            genre(0).to_owned(),
            genre(1).to_owned(),
            genre(2).to_owned(),
            self.rating_count.to_string(),
            self.release_year.to_string(),
            self.average_rating.to_string(),
            self.rating_stddev.to_string(),
        ]
    }
}
