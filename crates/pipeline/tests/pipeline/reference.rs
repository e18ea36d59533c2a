//! The lines of feature and sample files as the reference computes them.

use std::path::Path;

use sparrow_movielens::{Options, Source};
use sparrow_test_support::reference::{Features, Movie};
pub(crate) use sparrow_test_support::reference::{Rating, Reference};

/// Reads a data set.
pub(crate) fn read(folder: &Path) -> Reference {
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
    Reference::new(movies.collect(), ratings.collect())
}

/// The lines of `userFeatures.csv` after its header.
pub(crate) fn user_lines(reference: &Reference) -> Vec<String> {
    let line = |history: &[Rating]| {
        format!("{},{}", history[0].user, user_fields(reference, history, "").join(","))
    };
    reference.histories().map(line).collect()
}

/// The lines of `movieFeatures.csv` after its header.
pub(crate) fn movie_lines(reference: &Reference) -> Vec<String> {
    let line = |id: u32| {
        let features = reference.movie_features(id, u32::MAX);
        format!("{id},{}", fields(&features, &MOVIE).join(","))
    };
    reference.rated_movies().into_iter().map(line).collect()
}

/// The lines of both sample files, without headers, by (user, timestamp, movie), each with its rating.
pub(crate) fn sample_lines(reference: &Reference) -> Vec<(Rating, String)> {
    let mut samples = Vec::new();
    for history in reference.histories() {
        for (earlier, &rating) in history.iter().enumerate().skip(2) {
            let Rating { user, movie, stars, timestamp } = rating;
            let label = u8::from(stars >= 3.5);
            let features = reference.movie_features(movie, timestamp);
            let movie_fields = fields(&features, &SAMPLED_MOVIE).join(",");
            let user_fields = user_fields(reference, &history[..earlier], "0").join(",");
            let line = format!(
                "{movie},{user},{stars:.1},{timestamp},{label},{movie_fields},{user_fields}"
            );
            samples.push((rating, line));
        }
    }
    samples
}

/// The order in `movieFeatures.csv`.
const MOVIE: [&str; 7] = [
    "movieGenre1",
    "movieGenre2",
    "movieGenre3",
    "movieRatingCount",
    "releaseYear",
    "movieAvgRating",
    "movieRatingStddev",
];

/// The order in samples.
const SAMPLED_MOVIE: [&str; 7] = [
    "releaseYear",
    "movieGenre1",
    "movieGenre2",
    "movieGenre3",
    "movieRatingCount",
    "movieAvgRating",
    "movieRatingStddev",
];

const USER_STATISTICS: [&str; 5] = [
    "userRatingCount",
    "userAvgReleaseYear",
    "userReleaseYearStddev",
    "userAvgRating",
    "userRatingStddev",
];

fn fields(features: &Features, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| quoted(&features[*name])).collect()
}

fn user_fields(reference: &Reference, history: &[Rating], no_movie: &str) -> Vec<String> {
    let features = reference.user_features(history);
    let numbered =
        |name: &str| (1..=5).map(|index| features[&format!("{name}{index}")].clone()).collect();
    let (movies, genres): (Vec<String>, Vec<String>) =
        (numbered("userRatedMovie"), numbered("userGenre"));
    let movie = |id: String| if id.is_empty() { no_movie.to_owned() } else { id };
    let mut all: Vec<String> = movies.into_iter().map(movie).collect();
    all.extend(fields(&features, &USER_STATISTICS));
    all.extend(genres.iter().map(|genre| quoted(genre)));
    all
}

/// A field of CSV.
fn quoted(text: &str) -> String {
    if text.contains(',') { format!("\"{text}\"") } else { text.to_owned() }
}
