//! A naive implementation of the definitions of features and samples: every row scans all ratings
//! that it depends on. It shares no code with `sparrow-features` or DataFusion.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use sparrow_movielens::{Options, Source};

/// A rating in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rating {
    pub(crate) user: u32,
    pub(crate) movie: u32,
    pub(crate) stars: f64,
    pub(crate) timestamp: u32,
}

struct Movie {
    year: Option<u16>,
    genres: Vec<String>,
}

pub(crate) struct Reference {
    movies: HashMap<u32, Movie>,
    /// By (user, timestamp, movie).
    pub(crate) ratings: Vec<Rating>,
}

impl Reference {
    pub(crate) fn of(folder: &Path) -> Self {
        let loaded = Source::open(folder).unwrap().load(&Options::default()).unwrap();
        let catalog = &loaded.catalog;
        let movies = catalog.movies().iter().map(|movie| {
            let genres = movie.genres.iter().map(|&genre| catalog.genres().name(genre).to_owned());
            (movie.id.0, Movie { year: movie.year, genres: genres.collect() })
        });
        let ratings = catalog.users().iter().flat_map(|history| {
            let user = history.user().0;
            history.iter().map(move |rated| Rating {
                user,
                movie: catalog.movie(rated.movie).id.0,
                stars: f64::from(rated.stars.value()),
                timestamp: rated.timestamp,
            })
        });
        let (movies, mut ratings): (_, Vec<Rating>) = (movies.collect(), ratings.collect());
        ratings.sort_by_key(|rating| (rating.user, rating.timestamp, rating.movie));
        Self { movies, ratings }
    }

    /// The lines of `userFeatures.csv` after its header.
    pub(crate) fn users(&self) -> Vec<String> {
        self.ratings
            .chunk_by(|a, b| a.user == b.user)
            .map(|history| {
                format!("{},{}", history[0].user, self.user_fields(history, "").join(","))
            })
            .collect()
    }

    /// The lines of `movieFeatures.csv` after its header.
    pub(crate) fn movies(&self) -> Vec<String> {
        let rated: BTreeSet<u32> = self.ratings.iter().map(|rating| rating.movie).collect();
        rated
            .into_iter()
            .map(|id| {
                let stars = self.stars_of(id, u32::MAX);
                let [one, two, three, year] = self.movie_fields(id);
                let (mean, deviation) = (mean(&stars), deviation(&stars));
                format!("{id},{one},{two},{three},{},{year},{mean:.2},{deviation:.2}", stars.len())
            })
            .collect()
    }

    /// The lines of both sample files, without headers, by (user, timestamp, movie), each with its
    /// rating.
    pub(crate) fn samples(&self) -> Vec<(Rating, String)> {
        let mut by_movie: HashMap<u32, Vec<Rating>> = HashMap::new();
        for &rating in &self.ratings {
            by_movie.entry(rating.movie).or_default().push(rating);
        }
        let mut samples = Vec::new();
        for history in self.ratings.chunk_by(|a, b| a.user == b.user) {
            for (earlier, &rating) in history.iter().enumerate() {
                if earlier <= 1 {
                    continue;
                }
                let Rating { user, movie, stars, timestamp } = rating;
                let label = u8::from(stars >= 3.5);
                let [one, two, three, year] = self.movie_fields(movie);
                let past: Vec<f64> = by_movie[&movie]
                    .iter()
                    .filter(|other| other.timestamp < timestamp)
                    .map(|other| other.stars)
                    .collect();
                let (count, mean, deviation) = (past.len(), mean(&past), deviation(&past));
                let user_fields = self.user_fields(&history[..earlier], "0").join(",");
                samples.push((
                    rating,
                    format!(
                        "{movie},{user},{stars:.1},{timestamp},{label},{year},{one},{two},{three},\
                         {count},{mean:.2},{deviation:.2},{user_fields}"
                    ),
                ));
            }
        }
        samples
    }

    fn movie_fields(&self, id: u32) -> [String; 4] {
        let movie = &self.movies[&id];
        let genre = |index: usize| quoted(movie.genres.get(index).map_or("", String::as_str));
        [genre(0), genre(1), genre(2), movie.year.unwrap_or(0).to_string()]
    }

    fn stars_of(&self, movie: u32, before: u32) -> Vec<f64> {
        let of_it = |rating: &&Rating| rating.movie == movie && rating.timestamp < before;
        self.ratings.iter().filter(of_it).map(|rating| rating.stars).collect()
    }

    fn user_fields(&self, history: &[Rating], no_movie: &str) -> Vec<String> {
        let window = &history[history.len().saturating_sub(100)..];
        let liked: Vec<&Rating> =
            window.iter().rev().filter(|rating| rating.stars >= 3.5).collect();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for rating in &liked {
            for genre in &self.movies[&rating.movie].genres {
                *counts.entry(genre).or_default() += 1;
            }
        }
        let mut genres: Vec<(&str, usize)> = counts.into_iter().collect();
        genres.sort_by(|(a, of_a), (b, of_b)| of_b.cmp(of_a).then(a.cmp(b)));
        let stars: Vec<f64> = window.iter().map(|rating| rating.stars).collect();
        let years: Vec<f64> = window
            .iter()
            .filter_map(|rating| self.movies[&rating.movie].year.map(f64::from))
            .collect();

        let mut fields: Vec<String> = (0..5)
            .map(|index| liked.get(index).map_or(no_movie.to_owned(), |r| r.movie.to_string()))
            .collect();
        fields.push(window.len().to_string());
        fields.push(format!("{:.0}", mean(&years).trunc()));
        fields.push(format!("{:.2}", deviation(&years)));
        fields.push(format!("{:.2}", mean(&stars)));
        fields.push(format!("{:.2}", deviation(&stars)));
        let genre = |index: usize| genres.get(index).map_or("", |genre| genre.0);
        fields.extend((0..5).map(|index| quoted(genre(index))));
        fields
    }
}

/// A field of CSV.
fn quoted(text: &str) -> String {
    if text.contains(',') { format!("\"{text}\"") } else { text.to_owned() }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, value| sum + value) / values.len().max(1) as f64
}

fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares = values.iter().fold(0.0, |sum, value| sum + (value - mean).powi(2));
    (squares / (values.len() - 1) as f64).sqrt()
}
