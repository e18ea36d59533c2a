//! The expected content of the keys, computed naively by the definitions, without code of the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One rating.
#[derive(Debug, Clone)]
pub(crate) struct Rating {
    pub(crate) user: u32,
    pub(crate) movie: u32,
    pub(crate) stars: f64,
    pub(crate) timestamp: u32,
}

struct Movie {
    year: Option<f64>,
    genres: Vec<String>,
}

/// A data set in the format of MovieLens' CSV files.
pub(crate) struct Plain {
    movies: BTreeMap<u32, Movie>,
    /// By user, timestamp and movie.
    pub(crate) ratings: Vec<Rating>,
}

impl Plain {
    pub(crate) fn read(folder: &Path) -> Self {
        let movies = fs::read_to_string(folder.join("movies.csv")).unwrap();
        let movies = movies.lines().skip(1).map(|line| {
            let (id, rest) = line.split_once(',').unwrap();
            let (title, genres) = rest.rsplit_once(',').unwrap();
            let title = title.trim_matches('"');
            let year = title.rsplit_once('(').and_then(|(_, end)| end.split_once(')'));
            let year = year.map(|(year, _)| year.trim()).filter(|year| year.len() == 4);
            let genres = if genres == "(no genres listed)" { "" } else { genres };
            let genres = genres.split('|').filter(|genre| !genre.is_empty());
            let movie = Movie {
                year: year.and_then(|year| year.parse().ok()),
                genres: genres.map(str::to_owned).collect(),
            };
            (id.parse().unwrap(), movie)
        });
        let movies = movies.collect();
        let ratings = fs::read_to_string(folder.join("ratings.csv")).unwrap();
        let ratings = ratings.lines().skip(1).map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            Rating {
                user: fields[0].parse().unwrap(),
                movie: fields[1].parse().unwrap(),
                stars: fields[2].parse().unwrap(),
                timestamp: fields[3].parse().unwrap(),
            }
        });
        let mut ratings: Vec<Rating> = ratings.collect();
        ratings.sort_by_key(|rating| (rating.user, rating.timestamp, rating.movie));
        Self { movies, ratings }
    }

    pub(crate) fn users(&self) -> Vec<u32> {
        let mut users: Vec<u32> = self.ratings.iter().map(|rating| rating.user).collect();
        users.dedup();
        users
    }

    pub(crate) fn rated_movies(&self) -> Vec<u32> {
        let mut movies: Vec<u32> = self.ratings.iter().map(|rating| rating.movie).collect();
        movies.sort_unstable();
        movies.dedup();
        movies
    }

    pub(crate) fn history(&self, user: u32) -> Vec<&Rating> {
        self.ratings.iter().filter(|rating| rating.user == user).collect()
    }

    /// The fields of `uf:{user}`.
    pub(crate) fn user_features(&self, user: u32) -> BTreeMap<String, String> {
        let history = self.history(user);
        let window = &history[history.len().saturating_sub(100)..];
        let liked: Vec<&&Rating> = window.iter().rev().filter(|it| it.stars >= 3.5).collect();
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for genre in liked.iter().flat_map(|it| &self.movies[&it.movie].genres) {
            *counts.entry(genre).or_default() += 1;
        }
        let mut genres: Vec<(&str, i64)> = counts.into_iter().collect();
        genres.sort_by_key(|&(name, count)| (-count, name));
        let years: Vec<f64> = window.iter().filter_map(|it| self.movies[&it.movie].year).collect();
        let stars: Vec<f64> = window.iter().map(|it| it.stars).collect();
        let mut fields = BTreeMap::new();
        for place in 0..5 {
            let movie = liked.get(place).map_or_else(String::new, |it| it.movie.to_string());
            let genre = genres.get(place).map_or("", |(name, _)| name);
            fields.insert(format!("userRatedMovie{}", place + 1), movie);
            fields.insert(format!("userGenre{}", place + 1), genre.to_owned());
        }
        fields.insert("userRatingCount".to_owned(), window.len().to_string());
        fields.insert("userAvgReleaseYear".to_owned(), format!("{}", mean(&years).trunc()));
        fields.insert("userReleaseYearStddev".to_owned(), format!("{:.2}", deviation(&years)));
        fields.insert("userAvgRating".to_owned(), format!("{:.2}", mean(&stars)));
        fields.insert("userRatingStddev".to_owned(), format!("{:.2}", deviation(&stars)));
        fields
    }

    /// The fields of `mf:{movie}`.
    pub(crate) fn movie_features(&self, movie: u32) -> BTreeMap<String, String> {
        let of_movie = self.ratings.iter().filter(|rating| rating.movie == movie);
        let stars: Vec<f64> = of_movie.map(|rating| rating.stars).collect();
        let Movie { year, genres } = &self.movies[&movie];
        let mut fields = BTreeMap::new();
        for place in 0..3 {
            let genre = genres.get(place).cloned().unwrap_or_default();
            fields.insert(format!("movieGenre{}", place + 1), genre);
        }
        fields.insert("movieRatingCount".to_owned(), stars.len().to_string());
        fields.insert("releaseYear".to_owned(), format!("{}", year.unwrap_or(0.0)));
        fields.insert("movieAvgRating".to_owned(), format!("{:.2}", mean(&stars)));
        fields.insert("movieRatingStddev".to_owned(), format!("{:.2}", deviation(&stars)));
        fields
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len().max(1) as f64)
}

fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}
