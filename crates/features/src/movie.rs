use sparrow_model::{Genres, Movie};

use crate::definition::names;
use crate::{Bounds, Computation, Definition, RatingStats, Value, ValueType};

/// The features of movies, in the order of hash fields in stores and of columns in feature files.
pub const MOVIE: &[Definition] = &[
    genre("movieGenre1", Computation::Movie(genre_at::<0>), 1),
    genre("movieGenre2", Computation::Movie(genre_at::<1>), 2),
    genre("movieGenre3", Computation::Movie(genre_at::<2>), 3),
    Definition {
        name: "movieRatingCount",
        value_type: ValueType::Count,
        bounds: Bounds::Between(0, u32::MAX),
        sample_column: Some(4),
        computed_by: Computation::Ratings(|ratings| Value::Integer(ratings.count())),
        description: "number of ratings",
    },
    Definition {
        name: "releaseYear",
        value_type: ValueType::Year,
        bounds: Bounds::ReleaseYears,
        sample_column: Some(0),
        computed_by: Computation::Movie(|movie| Value::Integer(movie.year.unwrap_or(0).into())),
        description: "release year",
    },
    Definition {
        name: "movieAvgRating",
        value_type: ValueType::Mean,
        bounds: Bounds::Between(50, 500),
        sample_column: Some(5),
        computed_by: Computation::Ratings(|ratings| Value::Decimal(ratings.average())),
        description: "mean rating in stars; 0.00 without ratings",
    },
    Definition {
        name: "movieRatingStddev",
        value_type: ValueType::Deviation,
        bounds: Bounds::Between(0, 318),
        sample_column: Some(6),
        computed_by: Computation::Ratings(|ratings| Value::Decimal(ratings.stddev())),
        description: "sample standard deviation of the ratings in stars",
    },
];

const fn genre(name: &'static str, computed_by: Computation, column: usize) -> Definition {
    Definition {
        name,
        value_type: ValueType::Genre,
        bounds: Bounds::Catalog,
        sample_column: Some(column),
        computed_by,
        description: "the first three genres in the order of the data set",
    }
}

fn genre_at<const INDEX: usize>(movie: &Movie) -> Value {
    Value::Genre(movie.genres.get(INDEX).copied())
}

/// Names of the movie features, in order: hash fields in stores, columns in files.
pub const MOVIE_FIELDS: [&str; MOVIE.len()] = names(MOVIE);

/// The features of a movie.
#[derive(Debug, Clone, Copy)]
pub struct MovieFeatures<'a> {
    movie: &'a Movie,
    ratings: &'a RatingStats,
}

impl<'a> MovieFeatures<'a> {
    /// The features of a movie with these rating statistics.
    pub const fn new(movie: &'a Movie, ratings: &'a RatingStats) -> Self {
        Self { movie, ratings }
    }

    /// Computes the values in the order of [`MOVIE`].
    pub fn values(&self) -> [Value; MOVIE.len()] {
        std::array::from_fn(|index| match MOVIE[index].computed_by {
            Computation::Movie(compute) => compute(self.movie),
            Computation::Ratings(compute) => compute(self.ratings),
            Computation::User(_) => unreachable!("a test checks the entities"),
        })
    }

    /// Formats the values in the order of [`MOVIE_FIELDS`]; missing genres are empty.
    pub fn texts(&self, names: &Genres) -> [String; MOVIE.len()] {
        self.values().map(|value| value.text(names))
    }
}
