//! The pipeline against the definitions, from files to files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod reference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sparrow_offline::ReaderOptions;
use sparrow_offline::pipeline::{
    self, DataSet, Error, FileFormat, SampleOptions, SessionOptions, Split,
};
use tempfile::TempDir;

use reference::{Rating, Reference};

/// A machine of moderate size.
fn machine() -> SessionOptions {
    SessionOptions { threads: 2, memory_limit: 256 << 20, spill_folder: None }
}

/// Runs on threads as the loader does.
fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap().block_on(work)
}

fn write_features(data: &Path, machine: &SessionOptions) -> Result<TempDir, Error> {
    let out = tempfile::tempdir().unwrap();
    let session = pipeline::session(machine)?;
    run(async {
        let data = DataSet::open(&session, data, &ReaderOptions::default()).await?;
        let summary = pipeline::write_features(&data, Some(out.path()), &|_, _| {}).await?;
        assert_eq!(summary.files.len(), 4);
        Ok(out)
    })
}

fn write_samples(
    data: &Path,
    options: &SampleOptions,
    machine: &SessionOptions,
) -> Result<TempDir, Error> {
    let out = tempfile::tempdir().unwrap();
    let session = pipeline::session(machine)?;
    let formats = [FileFormat::Parquet, FileFormat::Csv];
    run(async {
        let data = DataSet::open(&session, data, &ReaderOptions::default()).await?;
        let to = Some(out.path());
        let summary = pipeline::write_samples(&data, to, options, &formats, &|_, _| {}).await?;
        assert_eq!(summary.files.len(), 4);
        assert_eq!(lines(out.path(), "testSamples.csv").1.len() as u64, summary.test);
        assert_eq!(lines(out.path(), "trainingSamples.csv").1.len() as u64, summary.training);
        Ok(out)
    })
}

/// The header and the other lines of a file.
fn lines(folder: &Path, name: &str) -> (String, Vec<String>) {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let mut lines = text.lines().map(str::to_owned);
    (lines.next().unwrap(), lines.collect())
}

const MOVIES: u32 = 140;

/// Invented movies: without years, without genres, with commas in titles and in a genre.
fn movies_csv() -> String {
    let genres =
        ["Drama", "Comedy|War", "(no genres listed)", "War|Drama|Comedy|IMAX", "Noir, Neo|IMAX"];
    let mut text = "movieId,title,genres\n".to_owned();
    for id in 1..=MOVIES {
        let title = match id % 7 {
            0 => format!("\"Lantern {id}, The\""),
            1 => format!("\"Sea {id}, The ({})\"", 1930 + id % 90),
            _ => format!("River {id} ({})", 1930 + id * 13 % 90),
        };
        text += &format!("{},{title},\"{}\"\n", id * 3, genres[(id % 5) as usize]);
    }
    text
}

/// Invented ratings with many equal timestamps, sorted by user and movie; users have from one to
/// all movies, and some movies have no rating.
fn invented(seed: u64) -> Vec<Rating> {
    let mut state = seed;
    let mut random = move |below: u32| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % below
    };
    let mut ratings = Vec::new();
    for user in 1..=60 {
        let every = 1 + random(12);
        for id in 1..MOVIES {
            if random(every) == 0 && (id % 31 != 0 || user > 58) {
                ratings.push(Rating {
                    user: user * 5,
                    movie: id * 3,
                    stars: f64::from(1 + random(10)) / 2.0,
                    // As text, the later ones come first.
                    timestamp: 999_999_800 + random(400),
                });
            }
        }
    }
    ratings
}

fn write_set(ratings: &[Rating]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("movies.csv"), movies_csv()).unwrap();
    let mut text = "userId,movieId,rating,timestamp\n".to_owned();
    for Rating { user, movie, stars, timestamp } in ratings {
        text += &format!("{user},{movie},{stars:.1},{timestamp}\n");
    }
    fs::write(folder.path().join("ratings.csv"), text).unwrap();
    folder
}

const SPLITS: [Split; 3] = [Split::Random, Split::Time, Split::PerUserTime];

fn check_features(data: &Path, machine: &SessionOptions) {
    let (reference, out) = (Reference::of(data), write_features(data, machine).unwrap());
    let (header, users) = lines(out.path(), "userFeatures.csv");
    assert_eq!(
        header,
        "userId,userRatedMovie1,userRatedMovie2,userRatedMovie3,userRatedMovie4,userRatedMovie5,\
         userRatingCount,userAvgReleaseYear,userReleaseYearStddev,userAvgRating,userRatingStddev,\
         userGenre1,userGenre2,userGenre3,userGenre4,userGenre5"
    );
    assert_same(&users, &reference.users());
    let (header, movies) = lines(out.path(), "movieFeatures.csv");
    assert_eq!(
        header,
        "movieId,movieGenre1,movieGenre2,movieGenre3,movieRatingCount,releaseYear,movieAvgRating,\
         movieRatingStddev"
    );
    assert_same(&movies, &reference.movies());
}

fn assert_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// Checks each sample file against the reference, with the division that `split` stands for.
fn check_samples(data: &Path, split: Split, machine: &SessionOptions) {
    let reference = Reference::of(data);
    let options = SampleOptions { split, test_fraction: 0.3, ..SampleOptions::default() };
    let out = write_samples(data, &options, machine).unwrap();
    let (header, training) = lines(out.path(), "trainingSamples.csv");
    assert_eq!(
        header,
        "movieId,userId,rating,timestamp,label,releaseYear,movieGenre1,movieGenre2,movieGenre3,\
         movieRatingCount,movieAvgRating,movieRatingStddev,userRatedMovie1,userRatedMovie2,\
         userRatedMovie3,userRatedMovie4,userRatedMovie5,userRatingCount,userAvgReleaseYear,\
         userReleaseYearStddev,userAvgRating,userRatingStddev,userGenre1,userGenre2,userGenre3,\
         userGenre4,userGenre5"
    );
    let (_, test) = lines(out.path(), "testSamples.csv");
    let samples = reference.samples();
    let is_test: Box<dyn Fn(&Rating) -> bool> = match split {
        Split::Random => {
            let chosen: std::collections::BTreeSet<&str> = test.iter().map(pair).collect();
            let share = test.len() as f64 / samples.len() as f64;
            assert!((share - 0.3).abs() < 0.05, "{share}");
            Box::new(move |rating| chosen.contains(&*format!("{},{}", rating.movie, rating.user)))
        }
        Split::Time => {
            let mut times: Vec<u32> = reference.ratings.iter().map(|r| r.timestamp).collect();
            times.sort_unstable();
            let most = (times.len() as f64 * 0.3) as usize;
            // The least moment from which on there are not too many.
            let first = *times
                .iter()
                .find(|&&moment| times.iter().filter(|&&other| other >= moment).count() <= most)
                .unwrap();
            Box::new(move |rating| rating.timestamp >= first)
        }
        Split::PerUserTime => {
            let mut last: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
            for history in reference.ratings.chunk_by(|a, b| a.user == b.user) {
                let kept = history.len() - (history.len() as f64 * 0.3) as usize;
                let moments = history[kept..].iter().map(|r| (r.timestamp, r.movie));
                last.insert(history[0].user, moments.collect());
            }
            Box::new(move |r| last[&r.user].contains(&(r.timestamp, r.movie)))
        }
    };
    let expected = |wanted: bool| -> Vec<String> {
        let these = samples.iter().filter(|(rating, _)| is_test(rating) == wanted);
        these.map(|(_, line)| line.clone()).collect()
    };
    assert_same(&training, &expected(false));
    assert_same(&test, &expected(true));
}

/// Movie and user of a sample's line.
fn pair(line: &String) -> &str {
    let second = line.match_indices(',').nth(1).unwrap().0;
    &line[..second]
}

#[test]
fn features_of_every_user_and_movie_equal_the_definitions() {
    for seed in 1..4 {
        check_features(write_set(&invented(seed)).path(), &machine());
    }
}

#[test]
fn every_sample_equals_the_definitions() {
    for (split, seed) in SPLITS.into_iter().zip(5..) {
        check_samples(write_set(&invented(seed)).path(), split, &machine());
    }
}

/// The real data set.
fn ml_latest_small() -> PathBuf {
    let folder = std::env::var_os("SPARROW_ML_LATEST_SMALL").map(PathBuf::from);
    folder.expect("SPARROW_ML_LATEST_SMALL names the folder with ml-latest-small")
}

#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn features_of_ml_latest_small_equal_the_definitions() {
    let data = ml_latest_small();
    let reference = Reference::of(&data);
    assert_eq!((reference.users().len(), reference.movies().len()), (610, 9724));
    check_features(&data, &machine());
}

#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn samples_of_ml_latest_small_equal_the_definitions() {
    for split in SPLITS {
        check_samples(&ml_latest_small(), split, &machine());
    }
}
