use sparrow_model::{
    Catalog, Genre, GenreCounts, GenreSet, Genres, History, Movie, MovieId, Rated, Stars,
};

use crate::definition::names;
use crate::stats::{RatingStats, Sums};
use crate::{Bounds, Computation, Definition, Hundredths, Value, ValueType};

/// Number of latest ratings that the features of a user cover.
pub const WINDOW: usize = 100;

/// Number of liked movies and of favourite genres in the features.
const LISTED: usize = 5;

/// The features of users, in the order of hash fields in stores and of columns in feature files.
pub const USER: &[Definition] = &[
    rated_movie(0, Computation::User(rated_movie_at::<0>)),
    rated_movie(1, Computation::User(rated_movie_at::<1>)),
    rated_movie(2, Computation::User(rated_movie_at::<2>)),
    rated_movie(3, Computation::User(rated_movie_at::<3>)),
    rated_movie(4, Computation::User(rated_movie_at::<4>)),
    Definition {
        name: "userRatingCount",
        value_type: ValueType::Count,
        bounds: Bounds::Between(0, WINDOW as u32),
        sample_column: Some(12),
        computed_by: Computation::User(|user| Value::Integer(user.window.len() as u32)),
        description: "number of ratings in the window",
    },
    Definition {
        name: "userAvgReleaseYear",
        value_type: ValueType::Year,
        bounds: Bounds::ReleaseYears,
        sample_column: Some(13),
        computed_by: Computation::User(|user| Value::Integer(user.window.years.truncated_mean())),
        description: "mean release year of the movies, truncated; 0 if none is known",
    },
    Definition {
        name: "userReleaseYearStddev",
        value_type: ValueType::Deviation,
        bounds: Bounds::ReleaseYearDeviations,
        sample_column: Some(14),
        computed_by: Computation::User(|user| {
            Value::Decimal(Hundredths::round(user.window.years.deviation()))
        }),
        description: "sample standard deviation of the release years",
    },
    Definition {
        name: "userAvgRating",
        value_type: ValueType::Mean,
        bounds: Bounds::Between(50, 500),
        sample_column: Some(15),
        computed_by: Computation::User(|user| Value::Decimal(user.window.ratings.average())),
        description: "mean rating in stars",
    },
    Definition {
        name: "userRatingStddev",
        value_type: ValueType::Deviation,
        bounds: Bounds::Between(0, 318),
        sample_column: Some(16),
        computed_by: Computation::User(|user| Value::Decimal(user.window.ratings.stddev())),
        description: "sample standard deviation of the ratings in stars",
    },
    genre(0, Computation::User(genre_at::<0>)),
    genre(1, Computation::User(genre_at::<1>)),
    genre(2, Computation::User(genre_at::<2>)),
    genre(3, Computation::User(genre_at::<3>)),
    genre(4, Computation::User(genre_at::<4>)),
];

/// The fields with the latest liked movies of a user, newest first.
pub const RATED_MOVIE_FIELDS: [&str; LISTED] =
    ["userRatedMovie1", "userRatedMovie2", "userRatedMovie3", "userRatedMovie4", "userRatedMovie5"];

/// The fields with the favourite genres of a user, most liked first.
pub const FAVOURITE_GENRE_FIELDS: [&str; LISTED] =
    ["userGenre1", "userGenre2", "userGenre3", "userGenre4", "userGenre5"];

const fn rated_movie(index: usize, computed_by: Computation) -> Definition {
    Definition {
        name: RATED_MOVIE_FIELDS[index],
        value_type: ValueType::MovieId,
        bounds: Bounds::Catalog,
        sample_column: Some(7 + index),
        computed_by,
        description: "the latest liked movies, newest first",
    }
}

const fn genre(index: usize, computed_by: Computation) -> Definition {
    Definition {
        name: FAVOURITE_GENRE_FIELDS[index],
        value_type: ValueType::Genre,
        bounds: Bounds::Catalog,
        sample_column: Some(17 + index),
        computed_by,
        description: "the genres of liked movies by count, ties by name",
    }
}

fn rated_movie_at<const INDEX: usize>(user: &UserFeatures<'_>) -> Value {
    Value::Movie(user.rated_movies[INDEX])
}

fn genre_at<const INDEX: usize>(user: &UserFeatures<'_>) -> Value {
    Value::Genre(user.genres[INDEX])
}

/// Names of the user features, in order: hash fields in stores, columns in files.
pub const USER_FIELDS: [&str; USER.len()] = names(USER);

/// A rating, with the movie's attributes that the features require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RatedMovie {
    /// The movie.
    pub movie: MovieId,
    /// The user's rating of it.
    pub stars: Stars,
    /// The movie's release year, if known.
    pub year: Option<u16>,
    /// The movie's genres.
    pub genres: GenreSet,
}

impl RatedMovie {
    /// Creates a rating of this movie.
    pub const fn new(movie: &Movie, stars: Stars) -> Self {
        Self { movie: movie.id, stars, year: movie.year, genres: movie.genre_set }
    }
}

/// The features of a user at a point in time: those of the window, and the lists that several features share.
#[derive(Debug, Clone, Copy)]
pub struct UserFeatures<'a> {
    /// The latest ratings.
    pub window: &'a UserWindow,
    /// The latest liked movies in the window, newest first.
    pub rated_movies: [Option<MovieId>; LISTED],
    /// Genres of the liked movies in the window by count, ties by name.
    pub genres: [Option<Genre>; LISTED],
}

impl UserFeatures<'_> {
    /// Computes the values in the order of [`USER`].
    pub fn values(&self) -> [Value; USER.len()] {
        std::array::from_fn(|index| match USER[index].computed_by {
            Computation::User(compute) => compute(self),
            Computation::Movie(_) | Computation::Ratings(_) => {
                unreachable!("a test checks the entities")
            }
        })
    }

    /// Formats the values in the order of [`USER_FIELDS`]; missing movies and genres are empty.
    pub fn texts(&self, names: &Genres) -> [String; USER.len()] {
        self.values().map(|value| value.text(names))
    }
}

/// A user's latest [`WINDOW`] ratings and their running sums. Adding a rating and reading the features take
/// constant time.
///
/// Add ratings in order of (timestamp, movie id).
///
/// ```
/// use sparrow_features::{RatedMovie, UserWindow};
/// use sparrow_model::{GenreSet, MovieId, Stars};
///
/// let rated = |id, stars| RatedMovie {
///     movie: MovieId(id),
///     stars,
///     year: Some(1994),
///     genres: GenreSet::EMPTY,
/// };
/// let mut window = UserWindow::default();
/// window.push(rated(318, Stars::MAX));
/// window.push(rated(2, Stars::MIN));
/// window.push(rated(50, Stars::LIKED));
/// let features = window.features();
/// assert_eq!(features.rated_movies[..3], [Some(MovieId(50)), Some(MovieId(318)), None]);
/// assert_eq!(features.window.ratings().average().to_string(), "3.00");
/// ```
#[derive(Debug, Clone)]
pub struct UserWindow {
    /// The ratings; a ring buffer once it has [`WINDOW`] entries.
    ring: Vec<RatedMovie>,
    /// Number of ratings added.
    seen: u64,
    ratings: RatingStats,
    years: Sums,
    /// Ring buffer of the latest liked movies, each with the sequence number of its rating.
    liked: [(u64, MovieId); LISTED],
    /// Number of liked movies added.
    liked_count: u64,
    /// The genres of the liked movies in the window.
    liked_genres: GenreCounts,
}

impl Default for UserWindow {
    fn default() -> Self {
        Self {
            ring: Vec::new(),
            seen: 0,
            ratings: RatingStats::default(),
            years: Sums::default(),
            liked: [(0, MovieId(0)); LISTED],
            liked_count: 0,
            liked_genres: GenreCounts::default(),
        }
    }
}

impl UserWindow {
    /// Creates the window at the end of a history.
    pub fn of(history: &History<'_>, catalog: &Catalog) -> Self {
        let mut window = Self::default();
        for Rated { movie, stars, .. } in history.iter().skip(history.len().saturating_sub(WINDOW))
        {
            window.push(RatedMovie::new(catalog.movie(movie), stars));
        }
        window
    }

    /// The number of ratings in the window.
    pub const fn len(&self) -> usize {
        self.ring.len()
    }

    /// Returns whether the window is empty.
    pub const fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// Resets the window for another user, keeping its buffer.
    pub fn clear(&mut self) {
        let mut ring = std::mem::take(&mut self.ring);
        ring.clear();
        *self = Self { ring, ..Self::default() };
    }

    /// Adds the next rating, and evicts the oldest if the window is full.
    pub fn push(&mut self, rated: RatedMovie) {
        if self.ring.len() < WINDOW {
            self.ring.push(rated);
        } else {
            let oldest =
                std::mem::replace(&mut self.ring[(self.seen % WINDOW as u64) as usize], rated);
            self.evict(oldest);
        }
        self.ratings.add(rated.stars);
        if let Some(year) = rated.year {
            self.years.add(u32::from(year));
        }
        if rated.stars.is_liked() {
            self.liked[(self.liked_count % LISTED as u64) as usize] = (self.seen, rated.movie);
            self.liked_count += 1;
            self.liked_genres.add(rated.genres);
        }
        self.seen += 1;
    }

    fn evict(&mut self, oldest: RatedMovie) {
        self.ratings.remove(oldest.stars);
        if let Some(year) = oldest.year {
            self.years.remove(u32::from(year));
        }
        if oldest.stars.is_liked() {
            self.liked_genres.remove(oldest.genres);
        }
    }

    /// Returns the features of the ratings in the window.
    pub fn features(&self) -> UserFeatures<'_> {
        UserFeatures {
            window: self,
            rated_movies: self.rated_movies(),
            genres: self.liked_genres.top(),
        }
    }

    /// The statistics of the ratings in the window.
    pub const fn ratings(&self) -> &RatingStats {
        &self.ratings
    }

    /// The latest rating; `None` without ratings.
    pub fn latest(&self) -> Option<&RatedMovie> {
        let last = self.seen.checked_sub(1)?;
        self.ring.get((last % WINDOW as u64) as usize)
    }

    fn rated_movies(&self) -> [Option<MovieId>; LISTED] {
        let mut listed = [None; LISTED];
        for (back, slot) in (1..=self.liked_count.min(LISTED as u64)).zip(&mut listed) {
            let (number, movie) = self.liked[((self.liked_count - back) % LISTED as u64) as usize];
            if number + WINDOW as u64 >= self.seen {
                *slot = Some(movie);
            }
        }
        listed
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 7] = ["Action", "Comedy", "Drama", "Film-Noir", "IMAX", "War", "Western"];

    fn names() -> Genres {
        Genres::new(NAMES).unwrap()
    }

    /// Movie id, half stars, year (0 if unknown), bit mask over `NAMES`.
    type Row = (u32, u8, u16, u8);

    fn rated(row: Row) -> RatedMovie {
        let names = names();
        let genres = names.iter().filter(|genre| row.3 >> genre.index() & 1 == 1).collect();
        RatedMovie {
            movie: MovieId(row.0),
            stars: Stars::from_half_stars(row.1).unwrap(),
            year: (row.2 > 0).then_some(row.2),
            genres,
        }
    }

    /// Reference implementation over a list of ratings, oldest first.
    fn reference(rows: &[Row]) -> Vec<String> {
        let window = &rows[rows.len().saturating_sub(WINDOW)..];
        let sum = |values: &[f64]| values.iter().fold(0.0, |sum, value| sum + value);
        let mean = |values: &[f64]| sum(values) / values.len().max(1) as f64;
        let deviation = |values: &[f64]| {
            let (mean, divisor) = (mean(values), values.len().max(2) as f64 - 1.0);
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            if values.len() < 2 { 0.0 } else { (squares / divisor).sqrt() }
        };
        let liked: Vec<&Row> = window.iter().rev().filter(|row| row.1 >= 7).collect();
        let mut counts: BTreeMap<&str, i32> = BTreeMap::new();
        for row in &liked {
            for (bit, name) in NAMES.iter().enumerate() {
                if row.3 >> bit & 1 == 1 {
                    *counts.entry(name).or_default() -= 1;
                }
            }
        }
        let mut genres: Vec<(i32, &str)> = counts.into_iter().map(|(name, n)| (n, name)).collect();
        genres.sort_unstable();
        let ratings: Vec<f64> = window.iter().map(|row| f64::from(row.1) / 2.0).collect();
        let years: Vec<f64> =
            window.iter().filter(|row| row.2 > 0).map(|row| f64::from(row.2)).collect();

        let mut texts: Vec<String> = (0..5)
            .map(|index| liked.get(index).map_or_else(String::new, |row| row.0.to_string()))
            .collect();
        texts.push(window.len().to_string());
        texts.push(format!("{}", mean(&years).trunc()));
        texts.push(format!("{:.2}", deviation(&years)));
        texts.push(format!("{:.2}", mean(&ratings)));
        texts.push(format!("{:.2}", deviation(&ratings)));
        texts.extend((0..5).map(|index| genres.get(index).map_or("", |genre| genre.1).to_owned()));
        texts
    }

    proptest! {
        #[test]
        fn incremental_features_equal_the_reference(
            rows in prop::collection::vec((1..500_u32, 1..=10_u8, prop_oneof![Just(0), 1902..2030_u16], 0..128_u8), 0..260),
        ) {
            let mut window = UserWindow::default();
            window.push(rated((9, 9, 1990, 3)));
            window.clear();
            for (count, &row) in rows.iter().enumerate() {
                window.push(rated(row));
                if count % 7 == 0 || count + 1 == rows.len() {
                    let expected = reference(&rows[..=count]);
                    let texts = window.features().texts(&names());
                    prop_assert_eq!(&texts[..expected.len()], &expected[..]);
                }
            }
        }
    }

    #[test]
    fn user_without_ratings_has_default_features() {
        let texts = UserWindow::default().features().texts(&names());
        let zeros = ["0", "0", "0.00", "0.00", "0.00"];
        assert_eq!(texts[..5], [""; 5]);
        assert_eq!(texts[5..10], zeros);
        assert_eq!(texts[10..15], [""; 5]);
    }

    #[test]
    fn evicted_liked_movie_is_no_feature() {
        let mut window = UserWindow::default();
        window.push(rated((1, 10, 2000, 1)));
        for id in 2..=100 {
            window.push(rated((id, 2, 2000, 2)));
        }
        assert_eq!(window.features().rated_movies[0], Some(MovieId(1)));
        window.push(rated((101, 2, 2000, 2)));
        let features = window.features();
        assert_eq!((features.rated_movies, features.genres), ([None; 5], [None; 5]));
        assert_eq!((window.len(), window.latest().unwrap().movie), (100, MovieId(101)));
    }
}
