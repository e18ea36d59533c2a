//! NeuralCF in TensorFlow, trained by this workspace and by Keras.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sparrow_model::{Catalog, MovieId, MovieIndex, MovieRecord, Movies, UserId, UserState};
use sparrow_rank::{Error, NeuralCfRanker, Query, Ranker as _, UNSCORED};
use sparrow_test_tensorflow::{ModelServer, script};
use sparrow_tf_serving::{Batch, Format, Options, State, Type};
use sparrow_train::{self as train, export};

use crate::data::{
    Monitor, all, demo, input, is_failing, is_ready, options, ranker, remote, score, until,
};

pub(crate) fn train(catalog: &Catalog, folder: &Path, epochs: usize) -> NeuralCfRanker {
    let options =
        train::Options { epochs, ..train::Options::without_pretraining(train::Method::NeuralCf) };
    let trained = train::run(catalog, &options, &mut ()).unwrap();
    export::write(folder, &trained.file).unwrap();
    NeuralCfRanker::new(&trained.file.model, catalog)
}

pub(crate) async fn in_process(
    ranker: &NeuralCfRanker,
    user: u32,
    movies: &[MovieIndex],
) -> Vec<f32> {
    let mut scores = Vec::new();
    let user = UserState::unknown(UserId(user));
    ranker.score(&Query::new(&user, movies), &mut scores).await.unwrap();
    scores
}

pub(crate) fn assert_close(found: &[f32], expected: &[f32], within: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= within, "{index}: {found} and {expected}");
    }
    assert!(found.iter().any(|score| (score - found[0]).abs() > 0.01), "all scores are equal");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TensorFlow: run .ci/test"]
async fn rest_scores_equal_in_process_scores() {
    let catalog = demo();
    let folder = tempfile::tempdir().unwrap();
    let here = train(&catalog, folder.path(), 3);
    let server = ModelServer::start("recmodel", folder.path());
    let movies = all(&catalog);
    let scattered = [MovieIndex(7), MovieIndex(0), MovieIndex(7)];
    for format in [Format::Columns, Format::Rows] {
        let remote = remote(&server.url(), vec![], Options { format, ..options() });
        assert_eq!(remote.check().await.unwrap(), 1);
        let over_rest = ranker(&remote, &catalog);
        for user in [1, 2, 3, 999_999] {
            for movies in [&movies[..], &scattered] {
                let found = score(&over_rest, &catalog, user, movies).await.unwrap();
                assert_close(&found, &in_process(&here, user, movies).await, 1e-6);
            }
        }
        assert_eq!(score(&over_rest, &catalog, 1, &[]).await.unwrap(), [] as [f32; 0]);
    }
}

/// Adds a movie to the catalogue that is not in the model.
fn with_unknown_movie(catalog: &Catalog) -> Arc<Catalog> {
    let mut records: Vec<MovieRecord> = catalog
        .movies()
        .iter()
        .map(|movie| MovieRecord {
            id: movie.id,
            title: String::new(),
            year: None,
            genres: Vec::new(),
            imdb_id: None,
            tmdb_id: None,
        })
        .collect();
    records.push(MovieRecord { id: MovieId(1_000_000), ..records[0].clone() });
    Arc::new(Catalog::new(Movies::new(records).unwrap(), catalog.users().clone()))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TensorFlow: run .ci/test"]
async fn keras_model_scores_equal_those_of_keras() {
    let catalog = with_unknown_movie(&demo());
    let known = catalog.len() - 1;
    let folder = tempfile::tempdir().unwrap();
    let users = [1, 17, 300];
    let mut pairs = String::new();
    for user in users {
        for movie in &catalog.movies()[..known] {
            writeln!(pairs, "{user} {}", movie.id).unwrap();
        }
    }
    let pairs_file = folder.path().join("pairs");
    fs::write(&pairs_file, pairs).unwrap();
    let models = folder.path().join("models");
    let arguments = [
        sparrow_test_support::demo().into_os_string(),
        "--epochs=1".into(),
        "--out".into(),
        models.join("7").into(),
        "--pairs".into(),
        pairs_file.into(),
    ];
    let printed = script("keras_train.py", arguments, "");
    let scores = printed.lines().filter_map(|line| line.strip_prefix("score "));
    let scores: Vec<f32> = scores.map(|score| score.parse().unwrap()).collect();

    let server = ModelServer::start("recmodel", &models);
    let mut inputs =
        vec![input("userId", "user.id", Type::Int32), input("movieId", "movie.id", Type::Int32)];
    let unbounded = remote(&server.url(), inputs.clone(), options());
    inputs[0].max = Some(500);
    inputs[1].max = Some(catalog.movies()[known - 1].id.0);
    let batch = Some(Batch { wait: Duration::from_millis(5), max_rows: 2000 });
    for (format, batch) in [(Format::Columns, None), (Format::Rows, None), (Format::Columns, batch)]
    {
        let remote = remote(&server.url(), inputs.clone(), Options { format, batch, ..options() });
        assert_eq!(remote.check().await.unwrap(), 7);
        let ranker = ranker(&remote, &catalog);
        let movies = all(&catalog);
        let scores_of = users.map(|user| score(&ranker, &catalog, user, &movies));
        let [first, second, third] = scores_of;
        let found = tokio::join!(first, second, third);
        for (found, expected) in [found.0, found.1, found.2].into_iter().zip(scores.chunks(known)) {
            let found = found.unwrap();
            assert_eq!(found[known], UNSCORED);
            assert_close(&found[..known], expected, 1e-6);
        }
        let error = score(&ranker, &catalog, 501, &movies).await.unwrap_err();
        assert!(matches!(error, Error::UnknownUser(UserId(501))));
    }
    // A single unknown id makes the server reject the request.
    unbounded.check().await.unwrap();
    let error =
        score(&ranker(&unbounded, &catalog), &catalog, 1, &all(&catalog)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("refused the request") && text.contains("1000000"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TensorFlow: run .ci/test"]
async fn version_change_under_load_causes_no_failure() {
    let catalog = demo();
    let folder = tempfile::tempdir().unwrap();
    train(&catalog, folder.path(), 1);
    let server = ModelServer::start("recmodel", folder.path());
    let remote = remote(&server.url(), vec![], options());
    let _keeper = Monitor::start(&remote);
    until(&remote, is_ready).await;
    let ranker = ranker(&remote, &catalog);
    let movies = &all(&catalog)[..200];
    let load = async {
        let (mut versions, mut user) = ([0, 0], 0);
        while versions[1] < 50 {
            user += 1;
            score(&ranker, &catalog, user, movies).await.unwrap();
            match remote.state() {
                State::Ready { version: version @ (1 | 2), .. } => {
                    versions[version as usize - 1] += 1;
                }
                state => panic!("{state:?}"),
            }
        }
        assert!(versions[0] > 0);
    };
    let train_next = async {
        let (catalog, folder) = (Arc::clone(&catalog), folder.path().to_owned());
        tokio::task::spawn_blocking(move || train(&catalog, &folder, 2)).await.unwrap()
    };
    let ((), here) = tokio::join!(load, train_next);
    let found = score(&ranker, &catalog, 5, movies).await.unwrap();
    assert_close(&found, &in_process(&here, 5, movies).await, 1e-6);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs TensorFlow: run .ci/test"]
async fn circuit_opens_and_recovers_with_a_failing_model_server() {
    let catalog = demo();
    let folder = tempfile::tempdir().unwrap();
    train(&catalog, folder.path(), 1);
    let mut server = ModelServer::start_switchable("recmodel", folder.path());
    let quick = Options { deadline: Duration::from_secs(1), ..options() };
    let remote = remote(&server.url(), vec![], quick);
    let _keeper = Monitor::start(&remote);
    until(&remote, is_ready).await;
    let ranker = ranker(&remote, &catalog);
    let movies = &all(&catalog)[..20];
    for (switches, expected) in [
        (r#"{"delay": 2}"#, "deadline"),
        (r#"{"fail": 503}"#, "failing, as was asked for (503)"),
        (r#"{"answer": "{\"outputs\": [1]}"}"#, "1 predictions for"),
        (r#"{"answer": "{\"outputs\": [NaN, NaN]}"}"#, "is NaN, not a number"),
        (r#"{"drop": true}"#, "unavailable"),
        (r#"{"trickle": 0.01}"#, "deadline"),
    ] {
        server.switch(switches);
        while is_ready(&remote.state()) {
            drop(score(&ranker, &catalog, 1, movies).await);
        }
        let state = until(
            &remote,
            |state| matches!(state, State::Failing { why, .. } if why.contains(expected)),
        );
        state.await;
        server.switch("{}");
        until(&remote, is_ready).await;
        score(&ranker, &catalog, 1, movies).await.unwrap();
    }
    server.kill();
    until(&remote, is_failing).await;
    server.restart();
    until(&remote, is_ready).await;
    score(&ranker, &catalog, 1, movies).await.unwrap();
}
