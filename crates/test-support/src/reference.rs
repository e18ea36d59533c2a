//! The definitions of features, computed in the plainest way: each value goes through all ratings that it depends on. Shares
//! no code with `sparrow-features`.

use std::collections::{BTreeMap, HashMap};

/// A rating as it is in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rating {
    /// The user's id.
    pub user: u32,
    /// The movie's id.
    pub movie: u32,
    /// 0.5 to 5.
    pub stars: f64,
    /// Unix time in seconds.
    pub timestamp: u32,
}

/// What features depend on of a movie.
#[derive(Debug, Clone)]
pub struct Movie {
    /// The year of release.
    pub year: Option<u16>,
    /// The genres, in the order of the file.
    pub genres: Vec<String>,
}

/// A data set.
#[derive(Debug)]
pub struct Reference {
    movies: BTreeMap<u32, Movie>,
    ratings: Vec<Rating>,
    by_movie: HashMap<u32, Vec<Rating>>,
}

/// Features by name.
pub type Features = BTreeMap<String, String>;

impl Reference {
    /// A data set; ratings in any order.
    pub fn new(movies: BTreeMap<u32, Movie>, mut ratings: Vec<Rating>) -> Self {
        ratings.sort_by_key(|rating| (rating.user, rating.timestamp, rating.movie));
        let mut by_movie: HashMap<u32, Vec<Rating>> = HashMap::new();
        for &rating in &ratings {
            by_movie.entry(rating.movie).or_default().push(rating);
        }
        Self { movies, ratings, by_movie }
    }

    /// The ratings by user, timestamp and movie.
    pub fn ratings(&self) -> &[Rating] {
        &self.ratings
    }

    /// The rated movies in order.
    pub fn rated_movies(&self) -> Vec<u32> {
        let mut movies: Vec<u32> = self.by_movie.keys().copied().collect();
        movies.sort_unstable();
        movies
    }

    /// The ratings of each user, oldest first.
    pub fn histories(&self) -> impl Iterator<Item = &[Rating]> {
        self.ratings.chunk_by(|a, b| a.user == b.user)
    }

    /// The features of a user with these ratings, oldest first.
    pub fn user_features(&self, history: &[Rating]) -> Features {
        let window = &history[history.len().saturating_sub(100)..];
        let liked: Vec<&Rating> = window.iter().rev().filter(|it| it.stars >= 3.5).collect();
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for genre in liked.iter().flat_map(|it| &self.movies[&it.movie].genres) {
            *counts.entry(genre).or_default() += 1;
        }
        let mut genres: Vec<(&str, i64)> = counts.into_iter().collect();
        genres.sort_by_key(|&(name, count)| (-count, name));
        let years = window.iter().filter_map(|it| self.movies[&it.movie].year.map(f64::from));
        let (years, stars): (Vec<f64>, Vec<f64>) =
            (years.collect(), window.iter().map(|it| it.stars).collect());
        let mut features = Features::new();
        for index in 0..5 {
            let movie = liked.get(index).map_or_else(String::new, |it| it.movie.to_string());
            let genre = genres.get(index).map_or("", |(name, _)| name);
            features.insert(format!("userRatedMovie{}", index + 1), movie);
            features.insert(format!("userGenre{}", index + 1), genre.to_owned());
        }
        features.insert("userRatingCount".to_owned(), window.len().to_string());
        features.insert("userAvgReleaseYear".to_owned(), format!("{:.0}", mean(&years).trunc()));
        features.insert("userReleaseYearStddev".to_owned(), format!("{:.2}", deviation(&years)));
        features.insert("userAvgRating".to_owned(), format!("{:.2}", mean(&stars)));
        features.insert("userRatingStddev".to_owned(), format!("{:.2}", deviation(&stars)));
        features
    }

    /// The features of a movie, from its ratings before a time.
    pub fn movie_features(&self, movie: u32, before: u32) -> Features {
        let ratings = self.by_movie.get(&movie).into_iter().flatten();
        let earlier = ratings.filter(|rating| rating.timestamp < before);
        let stars: Vec<f64> = earlier.map(|rating| rating.stars).collect();
        let Movie { year, genres } = &self.movies[&movie];
        let mut features = Features::new();
        for index in 0..3 {
            let genre = genres.get(index).cloned().unwrap_or_default();
            features.insert(format!("movieGenre{}", index + 1), genre);
        }
        features.insert("movieRatingCount".to_owned(), stars.len().to_string());
        features.insert("releaseYear".to_owned(), year.unwrap_or(0).to_string());
        features.insert("movieAvgRating".to_owned(), format!("{:.2}", mean(&stars)));
        features.insert("movieRatingStddev".to_owned(), format!("{:.2}", deviation(&stars)));
        features
    }
}

fn mean(values: &[f64]) -> f64 {
    // Not `sum`, which is −0 without values.
    values.iter().fold(0.0, |sum, value| sum + value) / values.len().max(1) as f64
}

fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}
