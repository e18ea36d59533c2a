//! Vectors of movies without ratings, from what is known of them: genres, release year and title words.
//!
//! A ridge regression from these features to the trained vectors predicts the vector of a movie that no user has rated
//! (the attribute-to-factor mapping of Gantner et al. 2010, "Learning Attribute-to-Feature Mappings for Cold-Start
//! Recommendations").

use std::collections::HashMap;
use std::thread;

use sparrow_model::{Catalog, Movie, MovieIndex};
use sparrow_neural::is_zero;

/// The fewest movies with a vector that a title word must occur in.
const LEAST_MOVIES: u32 = 2;

/// Ratings at which a movie counts half in the regression: vectors from few ratings are noise.
const HALF_WEIGHT: f64 = 5.0;

/// Conjugate gradient steps at most.
const STEPS: usize = 200;

/// The squared residual, relative to that of the start, at which the solution is accurate enough.
const TOLERANCE: f64 = 1e-6;

/// Predicts the vectors of the movies without ratings from the vectors of other movies, by a regression with the
/// regularization `ridge`; 0 predicts none. Omits movies of which nothing is known that movies with a vector share. The
/// result does not depend on the number of threads.
pub(crate) fn predict(
    catalog: &Catalog,
    known: &[(MovieIndex, Vec<f32>)],
    ridge: f32,
    threads: usize,
) -> Vec<(MovieIndex, Vec<f32>)> {
    let unrated = (0..catalog.len() as u32).map(MovieIndex);
    let unrated: Vec<_> = unrated.filter(|&movie| catalog.stats(movie).count == 0).collect();
    let Some((_, first)) = known.first().filter(|_| !unrated.is_empty() && ridge > 0.0) else {
        return Vec::new();
    };
    let mut features = Features::default();
    let of_movie = |movie: MovieIndex| &catalog.movies()[movie.index()];
    let rows: Vec<Row> = known.iter().map(|(movie, _)| features.learn(of_movie(*movie))).collect();
    let weight = |movie: MovieIndex| {
        let ratings = f64::from(catalog.stats(movie).count);
        ratings / (ratings + HALF_WEIGHT)
    };
    let weights: Vec<f64> = known.iter().map(|(movie, _)| weight(*movie)).collect();
    let problem = Problem {
        rows: rows.into_iter().map(|row| features.frequent(row)).collect(),
        weights,
        columns: features.columns(),
        ridge: f64::from(ridge),
    };
    let unrated: Vec<(MovieIndex, Row)> = unrated
        .into_iter()
        .map(|movie| (movie, features.frequent(features.recognise(of_movie(movie)))))
        .filter(|(_, row)| !row.is_empty())
        .collect();
    // A component of the vectors of all these movies.
    let component = |component: usize| -> Vec<f32> {
        let targets: Vec<f64> =
            known.iter().map(|(_, vector)| f64::from(vector[component])).collect();
        let (mean, coefficients) = problem.solve(&targets);
        unrated.iter().map(|(_, row)| (mean + dot(row, &coefficients)) as f32).collect()
    };
    let mut components = vec![Vec::new(); first.len()];
    let share = components.len().div_ceil(threads.max(1)).max(1);
    thread::scope(|scope| {
        for (part, components) in components.chunks_mut(share).enumerate() {
            let component = &component;
            scope.spawn(move || {
                for (index, values) in components.iter_mut().enumerate() {
                    *values = component(part * share + index);
                }
            });
        }
    });
    let vectors = unrated.iter().enumerate().map(|(at, (movie, _))| {
        (*movie, components.iter().map(|component| component[at]).collect::<Vec<f32>>())
    });
    vectors.filter(|(_, vector)| !is_zero(vector)).collect()
}

/// The features of a movie: columns with their values.
type Row = Vec<(u32, f64)>;

fn dot(row: &Row, coefficients: &[f64]) -> f64 {
    row.iter().map(|&(column, value)| value * coefficients[column as usize]).sum()
}

/// A feature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Feature {
    Genre(u8),
    /// The years around the start of a decade.
    Decade(u16),
    Word(String),
}

/// The columns of features.
#[derive(Debug, Default)]
struct Features {
    columns: HashMap<Feature, u32>,
    /// The number of movies with the feature of each column.
    counts: Vec<u32>,
}

impl Features {
    /// The features of a movie with a vector; new ones get columns.
    fn learn(&mut self, movie: &Movie) -> Row {
        let mut row = Row::new();
        for (feature, value) in features(movie) {
            let next = self.counts.len() as u32;
            let column = *self.columns.entry(feature).or_insert(next);
            if column == next {
                self.counts.push(0);
            }
            self.counts[column as usize] += 1;
            row.push((column, value));
        }
        row
    }

    /// The features of another movie that have columns.
    fn recognise(&self, movie: &Movie) -> Row {
        let known = |(feature, value)| Some((*self.columns.get(&feature)?, value));
        features(movie).into_iter().filter_map(known).collect()
    }

    /// Without the columns of rare features.
    fn frequent(&self, mut row: Row) -> Row {
        row.retain(|&(column, _)| self.counts[column as usize] >= LEAST_MOVIES);
        row
    }

    fn columns(&self) -> usize {
        self.counts.len()
    }
}

/// The features of a movie, each once.
fn features(movie: &Movie) -> Vec<(Feature, f64)> {
    let mut features: Vec<(Feature, f64)> =
        movie.genres.iter().map(|genre| (Feature::Genre(genre.index() as u8), 1.0)).collect();
    if let Some(year) = movie.year {
        // Linear between the starts of two decades.
        let part = f64::from(year % 10) / 10.0;
        let decade = year - year % 10;
        features.push((Feature::Decade(decade), 1.0 - part));
        if part > 0.0 {
            features.push((Feature::Decade(decade.saturating_add(10)), part));
        }
    }
    let mut words: Vec<String> = movie
        .title
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| word.len() > 1)
        .map(str::to_lowercase)
        .collect();
    words.sort_unstable();
    words.dedup();
    features.extend(words.into_iter().map(|word| (Feature::Word(word), 1.0)));
    features
}

/// A weighted ridge regression with an intercept, which is not regularised.
struct Problem {
    rows: Vec<Row>,
    weights: Vec<f64>,
    columns: usize,
    ridge: f64,
}

impl Problem {
    /// The intercept and the coefficients for the targets of the rows.
    fn solve(&self, targets: &[f64]) -> (f64, Vec<f64>) {
        let total: f64 = self.weights.iter().sum();
        let weighted: f64 = self.weights.iter().zip(targets).map(|(w, target)| w * target).sum();
        let mean = if total > 0.0 { weighted / total } else { 0.0 };
        let mut solution = vec![0.0; self.columns];
        let mut residual = vec![0.0; self.columns];
        for ((row, weight), target) in self.rows.iter().zip(&self.weights).zip(targets) {
            for &(column, value) in row {
                residual[column as usize] += weight * value * (target - mean);
            }
        }
        let mut direction = residual.clone();
        let square = |vector: &[f64]| vector.iter().map(|value| value * value).sum::<f64>();
        let start = square(&residual);
        let mut left = start;
        for _ in 0..STEPS {
            if left <= TOLERANCE * start {
                break;
            }
            let moved = self.normal(&direction);
            let curvature: f64 = direction.iter().zip(&moved).map(|(a, b)| a * b).sum();
            let step = left / curvature;
            for index in 0..self.columns {
                solution[index] += step * direction[index];
                residual[index] -= step * moved[index];
            }
            let now = square(&residual);
            for (direction, residual) in direction.iter_mut().zip(&residual) {
                *direction = residual + now / left * *direction;
            }
            left = now;
        }
        (mean, solution)
    }

    /// The product of the normal equations' matrix and a vector.
    fn normal(&self, vector: &[f64]) -> Vec<f64> {
        let mut product: Vec<f64> = vector.iter().map(|value| self.ridge * value).collect();
        for (row, weight) in self.rows.iter().zip(&self.weights) {
            let scaled = weight * dot(row, vector);
            for &(column, value) in row {
                product[column as usize] += scaled * value;
            }
        }
        product
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_test_support::catalogue;

    use super::*;

    /// Twenty rated movies of two genres and two decades, and four without ratings.
    fn catalog() -> Catalog {
        let movie = |id: u32| {
            let year = if id % 4 < 2 { 1970 } else { 2010 };
            catalogue::movie(id, Some(year), [["Drama", "Horror"][id as usize % 2]])
        };
        let mut unknown = catalogue::movie(24, None, ["Western"]);
        "Nothing".clone_into(&mut unknown.title);
        let movies = (1..24).map(movie).chain([unknown]);
        catalogue::catalog(
            movies,
            (0..20).flat_map(|movie| (1..4).map(move |user| (user, movie, 8, 0))),
        )
    }

    /// The vector of a movie: its genre and its decade.
    fn vector(catalog: &Catalog, movie: MovieIndex) -> Vec<f32> {
        let movie = catalog.movie(movie);
        let genre = if movie.id.0.is_multiple_of(2) { 1.0 } else { -1.0 };
        vec![genre, if movie.year == Some(1970) { 2.0 } else { 0.5 }]
    }

    #[test]
    fn vectors_of_unrated_movies_follow_from_their_features() {
        let catalog = catalog();
        let known: Vec<_> =
            (0..20).map(MovieIndex).map(|movie| (movie, vector(&catalog, movie))).collect();
        let predicted = predict(&catalog, &known, 1e-4, 1);
        // Nothing is known of the last movie.
        let movies: Vec<u32> = predicted.iter().map(|(movie, _)| movie.0).collect();
        assert_eq!(movies, [20, 21, 22]);
        for (movie, found) in &predicted {
            for (found, expected) in found.iter().zip(vector(&catalog, *movie)) {
                assert!((found - expected).abs() < 0.01, "{movie:?}: {found} {expected}");
            }
        }
        assert_eq!(predict(&catalog, &known, 1e-4, 3), predicted);
        // A strong regularization results in the mean.
        let strong = predict(&catalog, &known, 1e6, 1);
        assert!(
            (strong[0].1[0]).abs() < 1e-3 && (strong[0].1[1] - 1.25).abs() < 1e-3,
            "{strong:?}"
        );
        assert!(
            predict(&catalog, &known, 0.0, 1).is_empty()
                && predict(&catalog, &[], 1.0, 1).is_empty()
        );
    }

    #[test]
    fn features_are_genres_years_and_words() {
        let mut movie = catalogue::movie(1, Some(1994), ["Drama"]);
        "The Last of the Last".clone_into(&mut movie.title);
        let movies = sparrow_model::Movies::new(vec![movie]).unwrap();
        let features = features(&movies.as_slice()[0]);
        let words = ["last", "of", "the"].map(|word| (Feature::Word(word.to_owned()), 1.0));
        assert_eq!(features[0], (Feature::Genre(0), 1.0));
        assert_eq!(features[1].0, Feature::Decade(1990));
        assert!((features[1].1 - 0.6).abs() < 1e-12 && (features[2].1 - 0.4).abs() < 1e-12);
        assert_eq!(features[2].0, Feature::Decade(2000));
        assert_eq!(features[3..], words);
    }
}
