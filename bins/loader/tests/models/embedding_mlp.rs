//! The inputs of a Keras model for a live user equal the features in the sample file.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sparrow_model::{Catalog, MovieId, Movies, RatingLog, UserId, UserState};
use sparrow_rank::{Query, Ranker as _};
use sparrow_test_support::demo;
use sparrow_test_tensorflow::{ModelServer, script};
use sparrow_tf_serving::{
    Input, Inputs, Options, ServedModel, Source, Step, TfServingRanker, Type, movie_features_of,
};

use crate::succeed;

/// The inputs of `embedding_mlp.toml`.
fn inputs() -> Vec<Input> {
    let file = sparrow_test_tensorflow::fixtures().join("embedding_mlp.toml");
    let table: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
    let number = |value: &toml::Value| {
        value.as_float().unwrap_or_else(|| value.as_integer().unwrap() as f64)
    };
    let whole = |value: &toml::Value| u32::try_from(value.as_integer().unwrap()).unwrap();
    let read = |told: &toml::Value| {
        let text = |key| told.get(key).map(|value: &toml::Value| value.as_str().unwrap());
        let source = match told.get("constant") {
            Some(constant) => Source::Constant(constant.to_string()),
            None => text("source").unwrap().parse().unwrap(),
        };
        let value_type: Type = text("type").unwrap_or("int32").parse().unwrap();
        let mut input = Input::plain(text("name").unwrap(), source, value_type);
        input.max = told.get("max").map(whole);
        input.default = told.get("default").map(ToString::to_string);
        if told.get("log").is_some() {
            input.steps.push(Step::Log);
        }
        if let Some(how) = told.get("normalise") {
            input.steps.push(match how.get("mean") {
                Some(mean) => {
                    Step::Standardise { mean: number(mean), stddev: number(&how["stddev"]) }
                }
                None => Step::Scale { min: number(&how["min"]), max: number(&how["max"]) },
            });
        }
        if let Some(boundaries) = told.get("bucketise") {
            let boundaries = boundaries.as_array().unwrap();
            input.steps.push(Step::Bucketise(boundaries.iter().map(number).collect()));
        }
        if let Some(words) = told.get("vocabulary") {
            let word = |word: &toml::Value| word.as_str().unwrap().to_owned();
            let words = words.as_array().unwrap().iter().map(word).collect();
            input.steps.push(Step::Vocabulary { words, other: told.get("other").map(whole) });
        }
        if let Some(buckets) = told.get("hash_buckets") {
            input.steps.push(Step::Hash { buckets: whole(buckets) });
        }
        input
    };
    table["models"][0]["inputs"].as_array().unwrap().iter().map(read).collect()
}

/// A sample of the file.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// The row number.
    row: usize,
    user: u32,
    movie: u32,
    timestamp: u32,
}

/// The first, middle and last samples of some users, of movies in the model.
fn samples(file: &Path) -> Vec<Sample> {
    let text = fs::read_to_string(file).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("movieId,userId,rating,timestamp,"));
    let mut of_user: HashMap<u32, Vec<Sample>> = HashMap::new();
    for (row, line) in lines.enumerate() {
        let fields: Vec<&str> = line.splitn(5, ',').collect();
        let number = |index: usize| fields[index].parse().unwrap();
        let sample = Sample { row, user: number(1), movie: number(0), timestamp: number(3) };
        if sample.movie <= 5000 {
            of_user.entry(sample.user).or_default().push(sample);
        }
    }
    let chosen = (1..=500).step_by(41).filter_map(|user| of_user.get(&user));
    chosen
        .flat_map(|samples| [samples[0], samples[samples.len() / 2], samples[samples.len() - 1]])
        .collect()
}

/// The ratings before a sample.
fn before(catalog: &Catalog, movies: &Movies, sample: Sample) -> Arc<Catalog> {
    let mut log = RatingLog::default();
    for history in catalog.users().iter() {
        for rated in history.iter() {
            let movie = catalog.movie(rated.movie).id.0;
            let own_at_once = history.user().0 == sample.user
                && rated.timestamp == sample.timestamp
                && movie < sample.movie;
            if rated.timestamp < sample.timestamp || own_at_once {
                log.push(history.user(), rated.movie, rated.stars, rated.timestamp);
            }
        }
    }
    Arc::new(Catalog::new(movies.clone(), log.into_histories().0))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TensorFlow: run .ci/test"]
async fn live_inputs_of_an_embedding_mlp_equal_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let demo = demo();
    let line = "samples --format csv --order data --test-fraction 0";
    succeed(line, &[("--data", &demo), ("--out", folder.path())]);
    let file = folder.path().join("trainingSamples.csv");
    let samples = samples(&file);
    let models = folder.path().join("models");

    let mut rows = String::new();
    for sample in &samples {
        writeln!(rows, "{}", sample.row).unwrap();
    }
    let arguments = [file.as_os_str(), models.join("1").as_os_str()].map(ToOwned::to_owned);
    let printed = script("embedding_mlp.py", arguments, &rows);
    let expected: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(expected.len(), samples.len());
    assert!(samples.len() > 20);

    let server = ModelServer::start_switchable("embeddingmlp", &models);
    let options = Options { deadline: Duration::from_secs(10), ..Options::default() };
    let remote = ServedModel::new(&server.url(), Inputs::new(inputs()).unwrap(), options).unwrap();
    let remote = Arc::new(remote);
    remote.check().await.unwrap();
    let source = sparrow_movielens::Source::open(&demo).unwrap();
    let whole = source.load(&sparrow_movielens::Options::default()).unwrap().catalog;
    let (movies, _) = source.load_movies(&sparrow_movielens::Options::default()).unwrap();

    let mut scores = Vec::new();
    for (sample, expected) in samples.iter().zip(&expected) {
        let catalog = before(&whole, &movies, *sample);
        let features = movie_features_of(&catalog);
        let ranker = TfServingRanker::new(Arc::clone(&remote), &catalog, features);
        let history = catalog.users().find(UserId(sample.user));
        let user = UserState { history, ..UserState::unknown(UserId(sample.user)) };
        let movie = catalog.index_of(MovieId(sample.movie)).unwrap();
        ranker.score(&Query::new(&user, &[movie]), &mut scores).await.unwrap();

        let last = server.request("GET", "/last", "").unwrap();
        let sent: Value = serde_json::from_str(last.split_once("\r\n\r\n").unwrap().1).unwrap();
        let sent = sent["inputs"].as_object().unwrap();
        assert_eq!(sent.len(), 26);
        // The time of the request differs from that of the sample.
        for (name, values) in sent.iter().filter(|(name, _)| *name != "timestamp") {
            let (sent, expected) = (&values[0][0], &expected["inputs"][name]);
            let same = match (sent.as_f64(), expected.as_f64()) {
                // numpy computes with 32-bit floats.
                (Some(sent), Some(expected)) => (sent - expected).abs() <= 1e-6 * expected.abs(),
                _ => sent == expected,
            };
            assert!(same, "{sample:?}: {name} is {sent}, and in the samples {expected}");
        }
        let expected = expected["score"].as_f64().unwrap() as f32;
        assert!((scores[0] - expected).abs() <= 1e-5, "{sample:?}: {} and {expected}", scores[0]);
    }
}
