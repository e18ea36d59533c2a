//! Compares the files of the pipeline with the definitions.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod in_memory;
mod reference;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::DataType;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use flate2::write::GzEncoder;

use sparrow_movielens::Options as ReaderOptions;
use sparrow_pipeline::{
    self as pipeline, DataSet, Error, FileFormat, Order, SampleOptions, SessionOptions, Split,
};
use sparrow_synth as synth;
use tempfile::TempDir;

use reference::{Rating, movie_lines, sample_lines, user_lines};

fn limits() -> SessionOptions {
    SessionOptions { threads: 2, memory_limit: 256 << 20, spill_folder: None }
}

/// Runs a future on several threads, like the loader.
fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap()
        .block_on(work)
}

fn write_features(data: &Path, limits: &SessionOptions) -> Result<TempDir, Error> {
    let out = tempfile::tempdir().unwrap();
    let session = pipeline::session(limits)?;
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
    limits: &SessionOptions,
) -> Result<TempDir, Error> {
    let out = tempfile::tempdir().unwrap();
    let session = pipeline::session(limits)?;
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

/// Synthetic movies: without years, without genres, with commas in titles and in a genre.
fn movies_csv() -> String {
    movies_csv_from(0)
}

/// The same with an offset of the ids.
fn movies_csv_from(start: u32) -> String {
    let genres =
        ["Drama", "Comedy|War", "(no genres listed)", "War|Drama|Comedy|IMAX", "Noir, Neo|IMAX"];
    let mut text = "movieId,title,genres\n".to_owned();
    for id in 1..=MOVIES {
        let title = match id % 7 {
            0 => format!("\"Lantern {id}, The\""),
            1 => format!("\"Sea {id}, The ({})\"", 1930 + id % 90),
            _ => format!("River {id} ({})", 1930 + id * 13 % 90),
        };
        writeln!(text, "{},{title},\"{}\"", start + id * 3, genres[(id % 5) as usize]).unwrap();
    }
    text
}

/// Synthetic ratings with many equal timestamps, sorted by user and movie. Users have from one to
/// all movies, and some movies have no ratings.
fn synthetic_ratings(seed: u64) -> Vec<Rating> {
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
                    // Compared as text, the later ones would come first.
                    timestamp: 999_999_800 + random(400),
                });
            }
        }
    }
    ratings
}

fn write_set(ratings: &[Rating]) -> TempDir {
    write_set_with(&movies_csv(), ratings)
}

fn write_set_with(movies: &str, ratings: &[Rating]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("movies.csv"), movies).unwrap();
    let mut text = "userId,movieId,rating,timestamp\n".to_owned();
    for Rating { user, movie, stars, timestamp } in ratings {
        writeln!(text, "{user},{movie},{stars:.1},{timestamp}").unwrap();
    }
    fs::write(folder.path().join("ratings.csv"), text).unwrap();
    folder
}

const SPLITS: [Split; 3] = [Split::Random, Split::Time, Split::PerUserTime];

fn check_features(data: &Path, limits: &SessionOptions) {
    let (reference, out) = (reference::read(data), write_features(data, limits).unwrap());
    let (header, users) = lines(out.path(), "userFeatures.csv");
    assert_contract(
        &header,
        "userId,userRatedMovie1,userRatedMovie2,userRatedMovie3,userRatedMovie4,userRatedMovie5,\
         userRatingCount,userAvgReleaseYear,userReleaseYearStddev,userAvgRating,userRatingStddev,\
         userGenre1,userGenre2,userGenre3,userGenre4,userGenre5",
    );
    assert_same(&users, &user_lines(&reference));
    let (header, movies) = lines(out.path(), "movieFeatures.csv");
    assert_contract(
        &header,
        "movieId,movieGenre1,movieGenre2,movieGenre3,movieRatingCount,releaseYear,movieAvgRating,\
         movieRatingStddev",
    );
    assert_same(&movies, &movie_lines(&reference));
}

/// Compares the columns of the contract, which come first.
fn assert_contract(found: &str, expected: &str) {
    let rest = found.strip_prefix(expected);
    assert!(
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(',')),
        "{found}\n{expected}"
    );
}

fn assert_same(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_contract(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

/// Compares each sample file with the reference, with the given split.
fn check_samples(data: &Path, split: Split, limits: &SessionOptions) {
    let reference = reference::read(data);
    let (test_fraction, order) = (0.3, Order::Data);
    let options = SampleOptions { split, test_fraction, order, ..SampleOptions::default() };
    let out = write_samples(data, &options, limits).unwrap();
    let (header, training) = lines(out.path(), "trainingSamples.csv");
    assert_contract(
        &header,
        "movieId,userId,rating,timestamp,label,releaseYear,movieGenre1,movieGenre2,movieGenre3,\
         movieRatingCount,movieAvgRating,movieRatingStddev,userRatedMovie1,userRatedMovie2,\
         userRatedMovie3,userRatedMovie4,userRatedMovie5,userRatingCount,userAvgReleaseYear,\
         userReleaseYearStddev,userAvgRating,userRatingStddev,userGenre1,userGenre2,userGenre3,\
         userGenre4,userGenre5",
    );
    let (_, test) = lines(out.path(), "testSamples.csv");
    let samples = sample_lines(&reference);
    let is_test: Box<dyn Fn(&Rating) -> bool> = match split {
        Split::Random => {
            let chosen: std::collections::BTreeSet<&str> =
                test.iter().map(|line| pair(line)).collect();
            let share = test.len() as f64 / samples.len() as f64;
            assert!((share - 0.3).abs() < 0.05, "{share}");
            Box::new(move |rating| chosen.contains(&*format!("{},{}", rating.movie, rating.user)))
        }
        Split::Time => {
            let mut times: Vec<u32> = reference.ratings().iter().map(|r| r.timestamp).collect();
            times.sort_unstable();
            let most = (times.len() as f64 * 0.3) as usize;
            // The earliest timestamp from which on the fraction is not exceeded.
            let first = *times
                .iter()
                .find(|&&moment| times.iter().filter(|&&other| other >= moment).count() <= most)
                .unwrap();
            Box::new(move |rating| rating.timestamp >= first)
        }
        Split::PerUserTime => {
            let mut last: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
            for history in reference.histories() {
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

/// Movie and user in the line of a sample.
fn pair(line: &str) -> &str {
    let second = line.match_indices(',').nth(1).unwrap().0;
    &line[..second]
}

#[test]
fn features_of_all_users_and_movies_equal_the_definitions() {
    for seed in 1..4 {
        check_features(write_set(&synthetic_ratings(seed)).path(), &limits());
    }
}

#[test]
fn every_sample_equals_the_definitions() {
    for (split, seed) in SPLITS.into_iter().zip(5..) {
        check_samples(write_set(&synthetic_ratings(seed)).path(), split, &limits());
    }
}

fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    fs::read_dir(folder).unwrap().map(entry).collect()
}

/// All files with features and samples of a data set.
fn all_files(data: &Path, limits: &SessionOptions) -> [BTreeMap<String, Vec<u8>>; 2] {
    let features = write_features(data, limits).unwrap();
    let samples = write_samples(data, &SampleOptions::default(), limits).unwrap();
    [contents(features.path()), contents(samples.path())]
}

#[test]
fn files_do_not_depend_on_threads_and_memory() {
    let data = write_set(&synthetic_ratings(8));
    let expected = all_files(data.path(), &limits());
    for (threads, memory_limit) in [(1, 256 << 20), (3, 256 << 20), (2, 16 << 20)] {
        let limits = SessionOptions { threads, memory_limit, spill_folder: None };
        assert!(all_files(data.path(), &limits) == expected, "{threads} {memory_limit}");
    }
}

#[test]
fn sorts_beyond_the_memory_limit_spill_to_disk() {
    let data = tempfile::tempdir().unwrap();
    let size = synth::Size { users: 900, movies: 500, ratings: 200_000 };
    let options = synth::Options { size, seed: 2, replace: false };
    synth::write(data.path(), &options, &|_, _| {}).unwrap();
    let spill = tempfile::tempdir().unwrap();
    let small = SessionOptions {
        threads: 2,
        memory_limit: 16 << 20,
        spill_folder: Some(spill.path().to_owned()),
    };
    let [features, samples] = all_files(data.path(), &small);
    assert!(all_files(data.path(), &limits()) == [features, samples]);
    assert_eq!(contents(spill.path()).len(), 0, "files remain");
}

/// A column of ids: `Int32` if all fit.
fn ids(ids: impl Iterator<Item = u32> + Clone) -> ArrayRef {
    match ids.clone().map(i32::try_from).collect::<Result<Vec<_>, _>>() {
        Ok(ids) => Arc::new(Int32Array::from(ids)),
        Err(_) => Arc::new(Int64Array::from_iter_values(ids.map(i64::from))),
    }
}

/// Writes ratings to Parquet, with the types of Spark.
fn write_parquet(path: &Path, ratings: &[Rating]) {
    let columns: [(&str, ArrayRef); 4] = [
        (
            "timestamp",
            Arc::new(Int64Array::from_iter_values(ratings.iter().map(|r| r.timestamp.into()))),
        ),
        ("rating", Arc::new(Float64Array::from_iter_values(ratings.iter().map(|r| r.stars)))),
        ("movieId", ids(ratings.iter().map(|rating| rating.movie))),
        ("userId", ids(ratings.iter().map(|rating| rating.user))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Shuffled, and with additional earlier ratings of some pairs.
fn disordered(ratings: &[Rating]) -> Vec<Rating> {
    let earlier = ratings.iter().step_by(5).map(|rating| Rating {
        timestamp: rating.timestamp - 3,
        stars: 5.5 - rating.stars,
        ..*rating
    });
    let mut all: Vec<Rating> = earlier.chain(ratings.iter().copied()).collect();
    all.sort_by_key(|rating| (rating.movie % 1009 * 7919 % 1009, rating.user % 1013 * 7907 % 1013));
    all
}

#[test]
fn ratings_are_read_in_any_format_and_order() {
    let ratings = synthetic_ratings(9);
    let expected = all_files(write_set(&ratings).path(), &limits());
    let check = |data: &Path, form: &str| {
        for (found, expected) in all_files(data, &limits()).iter().zip(&expected) {
            for (name, content) in expected.iter().filter(|(name, _)| name.contains(".csv")) {
                let lines = |content: &[u8]| -> Vec<String> {
                    String::from_utf8_lossy(content).lines().map(str::to_owned).collect()
                };
                assert_same(&lines(&found[name]), &lines(content));
            }
            assert!(found == expected, "{form}");
        }
    };
    let all = disordered(&ratings);
    check(write_set(&all).path(), "a CSV file");

    // Files in the formats of other programs.
    let header = "userId,movieId,rating,timestamp\n";
    let moment = |timestamp: u32| {
        let (day, second) = (timestamp / 86_400, timestamp % 86_400);
        // All are of the same day and the next.
        assert!((11_573..=11_575).contains(&day), "{day}");
        let (hour, minute) = (second / 3600, second / 60 % 60);
        format!("2001-09-{:02} {hour:02}:{minute:02}:{:02}", day - 11_566 + 1, second % 60)
    };
    for (name, plain) in [("plain", true), ("pandas", false), ("dates", false), ("quotes", false)] {
        let data = write_set(&[]);
        let mut text = header.to_owned();
        let rows = if plain { &ratings } else { &all };
        for Rating { user, movie, stars, timestamp } in rows {
            match name {
                "plain" => writeln!(text, "{user},{movie},{stars:.1},{timestamp}"),
                "pandas" => writeln!(text, "{user}.0,{movie}.0,{stars:.1},{timestamp}.0"),
                "dates" => writeln!(text, "{user},{movie},{stars:.1},{}", moment(*timestamp)),
                _ => writeln!(text, "\"{user}\",\"{movie}\",{stars:.1},\"{timestamp}\""),
            }
            .unwrap();
        }
        let file = |name: &str| data.path().join(name);
        fs::remove_file(file("ratings.csv")).unwrap();
        fs::rename(file("movies.csv"), file("movie.csv")).unwrap();
        fs::write(file("rating.csv"), &text).unwrap();
        check(data.path(), name);
        fs::remove_file(file("rating.csv")).unwrap();
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        fs::write(file("ratings.csv.gz"), encoder.finish().unwrap()).unwrap();
        check(data.path(), &format!("{name}, compressed"));
    }

    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("movies.csv"), movies_csv()).unwrap();
    let file = data.path().join("ratings.parquet");
    write_parquet(&file, &all);
    check(data.path(), "a Parquet file");
    fs::remove_file(&file).unwrap();

    let parts = data.path().join("ratings");
    fs::create_dir(&parts).unwrap();
    fs::write(parts.join("_SUCCESS"), "").unwrap();
    for (number, part) in all.chunks(all.len() / 3).enumerate() {
        write_parquet(&parts.join(format!("part-{number:05}.snappy.parquet")), part);
    }
    check(data.path(), "a folder of parts");
}

/// The types of the id columns in a Parquet file: user, movie and a liked movie, if present.
fn id_types(folder: &Path, name: &str) -> Vec<DataType> {
    let file = fs::File::open(folder.join(name)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let named =
        |column: &str| Some(reader.schema().field_with_name(column).ok()?.data_type().clone());
    ["userId", "movieId", "userRatedMovie1"].into_iter().filter_map(named).collect()
}

#[test]
fn ids_up_to_4294967295_have_32_bits_if_they_fit() {
    const TO_THE_END: u32 = u32::MAX - 3 * MOVIES;
    let great_users = |rating: &Rating| Rating { user: rating.user + (u32::MAX - 300), ..*rating };
    let great_movies = |rating: &Rating| Rating { movie: rating.movie + TO_THE_END, ..*rating };
    let small: Vec<Rating> = synthetic_ratings(14);
    let [users, movies]: [Vec<Rating>; 2] =
        [small.iter().map(great_users).collect(), small.iter().map(great_movies).collect()];
    assert!(users.iter().any(|rating| rating.user == u32::MAX));
    let (small_movies, great_movies) = (movies_csv(), movies_csv_from(TO_THE_END));
    let (short, long) = (DataType::Int32, DataType::Int64);
    for (movies_csv, ratings, user_type, movie_type) in [
        (&small_movies, &small, &short, &short),
        (&small_movies, &users, &long, &short),
        (&great_movies, &movies, &short, &long),
    ] {
        let data = write_set_with(movies_csv, ratings);
        check_features(data.path(), &limits());
        for split in SPLITS {
            check_samples(data.path(), split, &limits());
        }
        let features = write_features(data.path(), &limits()).unwrap();
        let samples = write_samples(data.path(), &SampleOptions::default(), &limits()).unwrap();
        let [user, movie] = [user_type, movie_type].map(Clone::clone);
        let types = |folder: &TempDir, name| id_types(folder.path(), name);
        let expected = [user, movie.clone(), movie];
        assert_eq!(types(&samples, "trainingSamples.parquet"), expected);
        assert_eq!(
            types(&features, "userFeatures.parquet"),
            [&expected[0], &expected[2]].map(Clone::clone)
        );
        assert_eq!(types(&features, "movieFeatures.parquet"), [expected[1].clone()]);

        // The same from Parquet.
        let from_csv = [contents(features.path()), contents(samples.path())];
        fs::remove_file(data.path().join("ratings.csv")).unwrap();
        write_parquet(&data.path().join("ratings.parquet"), &disordered(ratings));
        assert!(all_files(data.path(), &limits()) == from_csv);
    }
}

#[test]
fn the_random_order_depends_on_the_seed() {
    let data = write_set(&synthetic_ratings(15));
    let of = |order, seed| {
        let options = SampleOptions { order, seed, test_fraction: 0.0, ..SampleOptions::default() };
        let out = write_samples(data.path(), &options, &limits()).unwrap();
        lines(out.path(), "trainingSamples.csv").1
    };
    let by_user = of(Order::Data, 1);
    let [first, again, other] = [1, 1, 2].map(|seed| of(Order::Random, seed));
    assert_eq!(first, again);
    assert_ne!(first, other);
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    let all = sorted(&by_user);
    assert_eq!(sorted(&first), all);
    assert_eq!(sorted(&other), all);
    let user = |line: &String| line.split(',').nth(1).unwrap().to_owned();
    // Adjacent samples of one user: nearly all in the order of the data, about one in sixty at
    // random.
    let neighbours =
        |lines: &[String]| lines.windows(2).filter(|pair| user(&pair[0]) == user(&pair[1])).count();
    assert!(neighbours(&by_user) > all.len() * 9 / 10);
    for order in [&first, &other] {
        assert!(neighbours(order) < all.len() / 10, "{} of {}", neighbours(order), all.len());
        // Each tenth of the file contains its share of the early users.
        let early: Vec<&String> = by_user[..all.len() / 2].iter().collect();
        let tenth = &order[..all.len() / 10];
        let share = tenth.iter().filter(|line| early.contains(line)).count() * 100 / tenth.len();
        assert!((35..65).contains(&share), "{share}%");
    }
}

#[test]
fn samples_do_not_depend_on_later_ratings() {
    let ratings = synthetic_ratings(10);
    let now = 1_000_000_000;
    let changed: Vec<Rating> = ratings
        .iter()
        .filter(|rating| rating.timestamp < now || rating.movie % 2 == 0)
        .map(|rating| match rating.timestamp {
            past if past < now => *rating,
            _ => Rating { stars: 5.5 - rating.stars, ..*rating },
        })
        .collect();
    let past = |ratings: &[Rating]| -> Vec<String> {
        let options = SampleOptions { test_fraction: 0.0, ..SampleOptions::default() };
        let out = write_samples(write_set(ratings).path(), &options, &limits()).unwrap();
        let (_, mut lines) = lines(out.path(), "trainingSamples.csv");
        lines.retain(|line| line.split(',').nth(3).unwrap().parse::<u32>().unwrap() < now);
        lines
    };
    let before = past(&ratings);
    assert!(before.len() > 500 && changed.len() < ratings.len());
    assert_eq!(past(&changed), before);
}

#[test]
fn the_seed_determines_the_selected_samples() {
    let data = write_set(&synthetic_ratings(11));
    let pick = |seed, sample_fraction| {
        let options = SampleOptions { seed, sample_fraction, ..SampleOptions::default() };
        let out = write_samples(data.path(), &options, &limits()).unwrap();
        let counts = ["trainingSamples.csv", "testSamples.csv"]
            .map(|name| lines(out.path(), name).1.len() as f64);
        (counts, contents(out.path()))
    };
    let (all, _) = pick(1, 1.0);
    let (half, one) = pick(1, 0.5);
    for (half, all) in half.iter().zip(all) {
        assert!((half / all - 0.5).abs() < 0.08, "{half} of {all}");
    }
    assert!(pick(1, 0.5).1 == one);
    assert!(pick(2, 0.5).1 != one);
}

/// The message of a failure with all its causes. Checks that it is classified as an input error,
/// and that existing files are unchanged.
fn bad_input(data: &Path) -> String {
    let out = tempfile::tempdir().unwrap();
    fs::write(out.path().join("userFeatures.csv"), "old").unwrap();
    let session = pipeline::session(&limits()).unwrap();
    let outcome = run(async {
        let data = DataSet::open(&session, data, &ReaderOptions::default()).await?;
        pipeline::write_features(&data, Some(out.path()), &|_, _| {}).await
    });
    let error = outcome.unwrap_err();
    assert!(error.is_bad_input(), "{error:?}");
    let left = contents(out.path());
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [("userFeatures.csv".into(), b"old".into())]);
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(message, ": {error}").unwrap();
        cause = error.source();
    }
    message
}

#[test]
fn errors_name_the_file_and_the_fault() {
    let ratings = synthetic_ratings(12);
    let replaced = |name: &str, content: &[u8]| {
        let data = write_set(&ratings);
        fs::write(data.path().join(name), content).unwrap();
        bad_input(data.path())
    };
    let header = "userId,movieId,rating,timestamp\n";
    for (name, content, problem) in [
        (
            "ratings.csv",
            b"userId,rating,timestamp\n".to_vec(),
            "ratings.csv: missing column movieId",
        ),
        ("movies.csv", b"movieId,title\n1,Sea\n".to_vec(), "movies.csv: missing column genres"),
        (
            "ratings.csv",
            format!("{header}5,3,4.0,1\n5,6,3.7,1\n").into(),
            "ratings.csv:3: rating is",
        ),
        (
            "ratings.csv",
            format!("{header}5,5,4.0,1\n").into(),
            "ratings.csv:2: movieId 5 is not in",
        ),
        (
            "ratings.csv",
            format!("{header}5,\"3\"0,4.0,1\n").into(),
            "ratings.csv:2: text after a closing quote",
        ),
        ("ratings.csv", b"PK\x03\x04".to_vec(), "ratings.csv is a zip archive: unpack it"),
        (
            "ratings.csv",
            [header.as_bytes(), b"5,3,4.0,\xff\n"].concat(),
            "ratings.csv:2: \"\\xff\" is not",
        ),
        (
            "ratings.csv",
            format!("{header}4294967296,3,4.0,1\n").into(),
            "ratings.csv:2: userId is \"4294967296\", not an integer from 1 to 4294967295",
        ),
    ] {
        let message = replaced(name, &content);
        assert!(message.contains(problem), "{message}");
    }
    let message = bad_input(Path::new("/nowhere"));
    assert!(message.contains("cannot read /nowhere"), "{message}");
}

#[test]
fn errors_name_the_parquet_file_and_the_fault() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("movies.csv"), movies_csv()).unwrap();
    let file = data.path().join("ratings.parquet");
    let good = synthetic_ratings(13);
    let changed = |change: &dyn Fn(&mut Rating)| {
        let mut ratings = good.clone();
        change(&mut ratings[40]);
        write_parquet(&file, &ratings);
        bad_input(data.path())
    };
    for (message, problem) in [
        (changed(&|rating| rating.stars = 3.7), "rating is 3.7, not one of"),
        (changed(&|rating| rating.movie = 2), "movieId 2 is not in movies.csv"),
    ] {
        assert!(message.contains("ratings.parquet") && message.contains(problem), "{message}");
    }
    write_parquet(&file, &good);
    let whole = fs::read(&file).unwrap();
    for length in [0, 3, whole.len() / 2, whole.len() - 5] {
        fs::write(&file, &whole[..length]).unwrap();
        let message = bad_input(data.path());
        assert!(message.contains("ratings.parquet"), "{length}: {message}");
    }
    let mut damaged = whole.clone();
    damaged[200..260].fill(0xff);
    fs::write(&file, damaged).unwrap();
    assert!(bad_input(data.path()).contains("ratings.parquet"));

    let column: ArrayRef = Arc::new(Int64Array::from_iter_values([1]));
    let batch = RecordBatch::try_from_iter([("user", column)]).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let message = bad_input(data.path());
    let expected = "ratings.parquet: no column userId, movieId, rating, timestamp among user";
    assert!(message.ends_with(expected), "{message}");

    let names = ["userId", "movieId", "rating", "timestamp", "movieid"];
    let columns = names.map(|name| (name, Arc::new(Int64Array::from(vec![3])) as ArrayRef));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&file).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let message = bad_input(data.path());
    let expected =
        "ratings.parquet: the columns movieId and movieid have the same name: rename one";
    assert!(message.ends_with(expected), "{message}");
}

/// Writes ratings whose ids and timestamps are floats.
fn write_floats(path: &Path, columns: [(&str, f64); 4]) {
    let columns = columns
        .map(|(name, value)| (name, Arc::new(Float64Array::from(vec![value])) as ArrayRef, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn ids_and_timestamps_in_parquet_follow_the_rules_of_csv() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("movies.csv"), movies_csv()).unwrap();
    let file = data.path().join("ratings.parquet");
    let good = [("userId", 7.0), ("movieId", 3.0), ("rating", 4.5), ("timestamp", 9.0)];
    write_floats(&file, good);
    let session = pipeline::session(&limits()).unwrap();
    let opened = run(DataSet::open(&session, data.path(), &ReaderOptions::default())).unwrap();
    assert_eq!(opened.report().ratings, 1);
    for (index, value, problem) in [
        (0, 7.5, "userId is 7.5, not a whole number"),
        (0, 0.0, "userId is 0, not a whole number from 1 to 4294967295"),
        (0, -7.0, "userId is -7, not a whole number"),
        (0, 4_294_967_296.0, "userId is 4294967296, not a whole number"),
        (0, f64::NAN, "userId is NaN, not a whole number"),
        (1, 3.25, "movieId is 3.25, not a whole number"),
        (3, 9.5, "timestamp is 9.5, not a whole number"),
    ] {
        let mut columns = good;
        columns[index].1 = value;
        write_floats(&file, columns);
        let message = bad_input(data.path());
        assert!(message.contains("ratings.parquet") && message.contains(problem), "{message}");
    }
    let mut ratings = synthetic_ratings(13);
    ratings[40].user = 0;
    write_parquet(&file, &ratings);
    let message = bad_input(data.path());
    assert!(message.contains("userId is 0, not a whole number from 1 to"), "{message}");
}

#[test]
fn small_parquet_files_that_claim_many_ratings_are_rejected_at_once() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("movies.csv"), movies_csv()).unwrap();
    let file = data.path().join("ratings.parquet");
    // One rating five million times: a run of one dictionary value.
    let batch = RecordBatch::try_from_iter(
        ["userId", "movieId", "rating", "timestamp"]
            .map(|name| (name, Arc::new(Int32Array::from(vec![3; 500_000])) as ArrayRef)),
    )
    .unwrap();
    let written = fs::File::create(&file).unwrap();
    let mut writer = ArrowWriter::try_new(written, batch.schema(), None).unwrap();
    for _ in 0..10 {
        writer.write(&batch).unwrap();
    }
    writer.close().unwrap();
    let size = fs::metadata(&file).unwrap().len();
    assert!(size < 60_000, "{size}");
    let start = std::time::Instant::now();
    let message = bad_input(data.path());
    assert!(
        message.contains("ratings.parquet: is not readable as Parquet: it claims 5000000 rows in"),
        "{message}"
    );
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn parquet_files_are_compared_with_the_manifest_of_their_folder() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("movies.csv"), movies_csv()).unwrap();
    let parts = data.path().join("ratings");
    fs::create_dir(&parts).unwrap();
    let mut ratings = synthetic_ratings(13);
    write_parquet(&parts.join("part-0.parquet"), &ratings);
    let mut manifest = sparrow_files::Manifest::default();
    let digest = sparrow_files::sha256(&fs::read(parts.join("part-0.parquet")).unwrap());
    manifest.set("part-0.parquet", digest);
    fs::write(parts.join(sparrow_files::MANIFEST_FILE), manifest.to_bytes()).unwrap();
    let session = pipeline::session(&limits()).unwrap();
    run(DataSet::open(&session, data.path(), &ReaderOptions::default())).unwrap();
    ratings.pop();
    write_parquet(&parts.join("part-0.parquet"), &ratings);
    let message = bad_input(data.path());
    assert!(message.contains("part-0.parquet") && message.contains("_SHA256SUMS"), "{message}");
}

#[cfg(unix)]
#[test]
fn a_named_pipe_instead_of_ratings_is_rejected_at_once() {
    for name in ["ratings.csv", "ratings.parquet"] {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("movies.csv"), movies_csv()).unwrap();
        let pipe = data.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let message = bad_input(data.path());
        assert!(
            message.contains(name) && message.contains("it is a named pipe, not a file"),
            "{message}"
        );
    }
}

#[test]
fn damaged_parquet_files_are_read_or_rejected() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("movies.csv"), movies_csv()).unwrap();
    let file = data.path().join("ratings.parquet");
    write_parquet(&file, &synthetic_ratings(14)[..300]);
    let whole = fs::read(&file).unwrap();
    let session = pipeline::session(&limits()).unwrap();
    let mut refused = 0;
    let rounds = sparrow_test_support::rounds("damaged Parquet ratings in the pipeline", 100, 3000);
    for round in 0..rounds {
        let mut damaged = whole.clone();
        // The step is coprime to the length.
        let offset = round * 7919 % damaged.len();
        damaged[offset] = [0, 0x7f, 0xff, damaged[offset] ^ 4][round % 4];
        fs::write(&file, damaged).unwrap();
        let outcome = run(DataSet::open(&session, data.path(), &ReaderOptions::default()));
        session.deregister_table("ratings").unwrap();
        session.deregister_table("movies").unwrap();
        if let Err(error) = outcome {
            assert!(error.is_bad_input(), "{error:?}");
            assert!(error.to_string().contains("ratings.parquet"), "{error}");
            refused += 1;
        }
    }
    assert!(refused * 15 > rounds, "{refused} of {rounds}");
}

fn ml_latest_small() -> PathBuf {
    let folder = std::env::var_os("SPARROW_ML_LATEST_SMALL").map(PathBuf::from);
    folder.expect("SPARROW_ML_LATEST_SMALL is not set to the folder of ml-latest-small")
}

#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn features_of_ml_latest_small_equal_the_definitions() {
    let data = ml_latest_small();
    let reference = reference::read(&data);
    assert_eq!((user_lines(&reference).len(), movie_lines(&reference).len()), (610, 9724));
    check_features(&data, &limits());
}

#[test]
#[ignore = "needs the MovieLens data: set SPARROW_ML_LATEST_SMALL, run .ci/test"]
fn samples_of_ml_latest_small_equal_the_definitions() {
    for split in SPLITS {
        check_samples(&ml_latest_small(), split, &limits());
    }
}
