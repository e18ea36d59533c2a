//! Requests and connections.

use std::sync::Arc;
use std::time::Duration;

use rcgen::generate_simple_self_signed;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sparrow_model::{Features, MovieIndex, UserId, UserState};
use sparrow_rank::{Error, Query, Ranker as _, UNSCORED};
use sparrow_test_tensorflow::fake::{Fake, Reply, eventually, good, metadata, pair_score, predict};
use sparrow_tf_serving::{Batch, Format, Input, Options, Pin, Source, State, Step, Type};
use tokio_rustls::TlsAcceptor;

use crate::data::{after, all, input, is_ready, movies, options, ranker, remote, score};
use crate::testsuite;

#[tokio::test]
async fn served_models_fulfil_the_contract_of_rankers() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1, 2, 500, 7000]);
    for format in [Format::Columns, Format::Rows] {
        let remote = remote(&server.url(), vec![], Options { format, ..options() });
        remote.check().await.unwrap();
        let users = [6, 7].map(|id| UserState::unknown(UserId(id)));
        testsuite::check(&ranker(&remote, &catalog), catalog.len(), &users, &[]).await;
    }
}

#[tokio::test]
async fn sequential_requests_reuse_one_connection() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1, 2, 500]);
    for format in [Format::Columns, Format::Rows] {
        let before = server.connections();
        let remote = remote(&server.url(), vec![], Options { format, ..options() });
        remote.check().await.unwrap();
        let ranker = ranker(&remote, &catalog);
        for user in 1..50 {
            let found = score(&ranker, &catalog, user, &all(&catalog)).await.unwrap();
            assert_eq!(found, [1, 2, 500].map(|movie| pair_score(user, movie)));
        }
        assert_eq!(server.connections() - before, 1, "{format:?}");
    }
    let sent = server.predictions();
    assert_eq!(sent[1].body, r#"{"inputs":{"userId":[1,1,1],"movieId":[1,2,500]}}"#);
    assert!(sent.last().unwrap().body.starts_with(r#"{"instances":[{"userId":49,"movieId":1},"#));
}

#[tokio::test]
async fn connections_are_limited_and_requests_are_queued() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1]);
    let remote = remote(&server.url(), vec![], Options { connections: 3, queue: 5, ..options() });
    remote.check().await.unwrap();
    server.set(|request| Reply::Gated(predict(&request.body).to_string()));
    let ranker = Arc::new(ranker(&remote, &catalog));
    let tasks: Vec<_> = (0..8)
        .map(|user| {
            let (ranker, catalog) = (Arc::clone(&ranker), Arc::clone(&catalog));
            tokio::spawn(async move { score(&ranker, &catalog, user, &[MovieIndex(0)]).await })
        })
        .collect();
    eventually("three requests out", || server.predictions().len() == 4).await;
    // The queue is full.
    let error = score(&ranker, &catalog, 9, &[MovieIndex(0)]).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(why) if why.to_string().contains("are already queued"))
    );
    // A full queue does not count as a failure of the server.
    for _ in 0..5 {
        score(&ranker, &catalog, 9, &[MovieIndex(0)]).await.unwrap_err();
    }
    assert!(is_ready(&remote.state()));
    server.open_gate(8);
    for (user, task) in (0..8).zip(tasks) {
        assert_eq!(task.await.unwrap().unwrap(), [pair_score(user, 1)]);
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn wait_for_a_connection_times_out_at_the_deadline() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1]);
    let options = Options {
        connections: 1,
        deadline: Duration::from_millis(100),
        circuit: after(9),
        ..options()
    };
    let remote = remote(&server.url(), vec![], options);
    remote.check().await.unwrap();
    server.set(|_| Reply::Silence);
    let ranker = ranker(&remote, &catalog);
    let one = [MovieIndex(0)];
    let (first, second) =
        tokio::join!(score(&ranker, &catalog, 1, &one), score(&ranker, &catalog, 2, &one));
    assert!(matches!(first, Err(Error::TimedOut)), "{first:?}");
    assert!(matches!(second, Err(Error::TimedOut)), "{second:?}");
}

#[tokio::test]
async fn request_on_a_closed_connection_is_retried() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1]);
    let remote = remote(&server.url(), vec![], Options { circuit: after(1), ..options() });
    remote.check().await.unwrap();
    let ranker = ranker(&remote, &catalog);
    server.set(|request| Reply::AndClose(predict(&request.body).to_string()));
    for user in 0..20 {
        let found = score(&ranker, &catalog, user, &[MovieIndex(0)]).await.unwrap();
        assert_eq!(found, [pair_score(user, 1)]);
    }
    server.set(good);
    score(&ranker, &catalog, 1, &[MovieIndex(0)]).await.unwrap();
    let server = server.restart().await;
    let found = score(&ranker, &catalog, 7, &[MovieIndex(0)]).await.unwrap();
    assert_eq!(found, [pair_score(7, 1)]);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn cancelled_request_does_not_affect_the_next() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1]);
    let remote = remote(&server.url(), vec![], Options { circuit: after(1), ..options() });
    remote.check().await.unwrap();
    let ranker = ranker(&remote, &catalog);
    for user in 0..10 {
        server.set(|request| Reply::Gated(predict(&request.body).to_string()));
        let before = server.predictions().len();
        tokio::select! {
            biased;
            _ = score(&ranker, &catalog, 999, &[MovieIndex(0)]) => panic!("it cannot answer"),
            () = eventually("a request", || server.predictions().len() > before) => {}
        }
        server.open_gate(1);
        server.set(good);
        let found = score(&ranker, &catalog, user, &[MovieIndex(0)]).await.unwrap();
        assert_eq!(found, [pair_score(user, 1)]);
    }
    // The connections of cancelled requests are closed.
    eventually("one connection", || server.open() == 1).await;
}

#[tokio::test]
async fn batch_returns_each_user_its_own_scores() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1, 2, 500]);
    for format in [Format::Columns, Format::Rows] {
        let batch = Some(Batch { wait: Duration::from_millis(50), max_rows: 6 });
        let remote = remote(&server.url(), vec![], Options { batch, format, ..options() });
        remote.check().await.unwrap();
        let ranker = ranker(&remote, &catalog);
        let before = server.predictions().len();
        let score_movies = |user: u32, movies: &'static [u32]| {
            let (ranker, catalog) = (&ranker, &catalog);
            async move {
                let movies: Vec<MovieIndex> = movies.iter().copied().map(MovieIndex).collect();
                score(ranker, catalog, user, &movies).await.unwrap()
            }
        };
        let (a, b, c, d) = tokio::join!(
            score_movies(1, &[0, 1, 2]),
            score_movies(2, &[2]),
            score_movies(3, &[2, 0]),
            // Sent alone after the wait.
            score_movies(4, &[1]),
        );
        assert_eq!(a, [pair_score(1, 1), pair_score(1, 2), pair_score(1, 500)]);
        assert_eq!(b, [pair_score(2, 500)]);
        assert_eq!(c, [pair_score(3, 500), pair_score(3, 1)]);
        assert_eq!(d, [pair_score(4, 2)]);
        assert_eq!(server.predictions().len() - before, 2, "{format:?}");
    }
}

#[tokio::test]
async fn rejected_batch_is_retried_one_by_one() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1]);
    let batch = Some(Batch { wait: Duration::from_millis(20), max_rows: 3 });
    let remote = remote(&server.url(), vec![], Options { batch, circuit: after(2), ..options() });
    remote.check().await.unwrap();
    server.set(|request| {
        if request.path.ends_with("/metadata") {
            return good(request);
        }
        if request.body.contains("13") {
            let message = json!({"error": "indices[0] = 13 is not in [0, 13)"});
            return Reply::Answer(400, message.to_string());
        }
        Reply::ok(&predict(&request.body))
    });
    let ranker = ranker(&remote, &catalog);
    let one = [MovieIndex(0)];
    let (a, b, c) = tokio::join!(
        score(&ranker, &catalog, 1, &one),
        score(&ranker, &catalog, 13, &one),
        score(&ranker, &catalog, 3, &one)
    );
    assert_eq!((a.unwrap(), c.unwrap()), (vec![pair_score(1, 1)], vec![pair_score(3, 1)]));
    assert_eq!(
        b.unwrap_err().to_string(),
        "the model refused the request: indices[0] = 13 is not in [0, 13)"
    );
}

#[tokio::test]
async fn ids_above_max_are_not_sent() {
    let server = Fake::start(good).await;
    let catalog = movies(&[1, 2, 500, 3_000_000_000]);
    let mut inputs =
        vec![input("userId", "user.id", Type::Int32), input("movieId", "movie.id", Type::Int32)];
    inputs[0].max = Some(100);
    inputs[1].max = Some(2);
    let bounded = remote(&server.url(), inputs, options());
    bounded.check().await.unwrap();
    let ranker_of = |remote| ranker(remote, &catalog);
    let found = score(&ranker_of(&bounded), &catalog, 6, &all(&catalog)).await.unwrap();
    assert_eq!(found, [pair_score(6, 1), pair_score(6, 2), UNSCORED, UNSCORED]);
    assert_eq!(ranker_of(&bounded).known_movies(), 2);

    let before = server.predictions().len();
    let none = score(&ranker_of(&bounded), &catalog, 6, &[MovieIndex(2), MovieIndex(3)]).await;
    assert_eq!(none.unwrap(), [UNSCORED, UNSCORED]);
    let error = score(&ranker_of(&bounded), &catalog, 101, &[MovieIndex(0)]).await.unwrap_err();
    assert!(matches!(error, Error::UnknownUser(UserId(101))));
    assert_eq!(server.predictions().len(), before);

    // Ids above 32 bits are never sent.
    let plain = remote(&server.url(), vec![], options());
    plain.check().await.unwrap();
    let found = score(&ranker_of(&plain), &catalog, 6, &all(&catalog)).await.unwrap();
    assert_eq!(found[3], UNSCORED);
    let before = server.predictions().len();
    let error = score(&ranker_of(&plain), &catalog, 2_147_483_648, &[MovieIndex(0)]).await;
    assert!(matches!(error, Err(Error::UnknownUser(UserId(2_147_483_648)))));
    assert_eq!(server.predictions().len(), before);
}

#[derive(Debug)]
struct Stored;

impl Features for Stored {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "userAvgRating" => Some("3.92"),
            "userGenre1" => Some("Sci-Fi \"new\""),
            "country" => Some("fr"),
            _ => None,
        }
    }
}

/// Returns inputs of every source, and the metadata of a matching model.
fn rich() -> (Vec<Input>, Value) {
    let word = |words: &[&str]| Step::Vocabulary {
        words: words.iter().map(|&word| word.to_owned()).collect(),
        other: Some(0),
    };
    let mut inputs = vec![
        input("userId", "user.id", Type::Int64),
        input("movieId", "movie.id", Type::Int32),
        input("avg", "uf.userAvgRating", Type::Float32),
        input("genre", "uf.userGenre1", Type::String),
        input("country", "uf.country", Type::Int32),
        input("year", "mf.releaseYear", Type::Int32),
        input("first", "mf.movieGenre1", Type::Int32),
        input("count", "mf.movieRatingCount", Type::Float32),
        input("rated", "uf.userRatedMovie1", Type::Int32),
    ];
    inputs[4].default = Some("nowhere".to_owned());
    inputs[4].steps = vec![word(&["", "de", "fr"])];
    inputs[5].steps = vec![Step::Bucketise(vec![1980.0, 1990.0])];
    inputs[6].steps = vec![word(&["", "Comedy", "Drama"])];
    inputs[7].steps = vec![Step::Log];
    let shapes: [(&str, &str, &[i64]); 9] = [
        ("userId", "DT_INT64", &[-1]),
        ("movieId", "DT_INT32", &[-1, 1]),
        ("avg", "DT_FLOAT", &[-1, 1]),
        ("genre", "DT_STRING", &[-1]),
        ("country", "DT_INT32", &[-1]),
        ("year", "DT_INT32", &[-1]),
        ("first", "DT_INT32", &[-1]),
        ("count", "DT_FLOAT", &[-1]),
        ("rated", "DT_INT32", &[-1]),
    ];
    (inputs, metadata(1, &shapes))
}

#[tokio::test]
async fn features_are_converted_by_the_inputs() {
    let (inputs, described) = rich();
    let server = Fake::start(move |request| {
        if request.path.ends_with("/metadata") {
            return Reply::ok(&described);
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let rows = body["inputs"]["movieId"].as_array().unwrap().len();
        Reply::Chunked(json!({ "outputs": vec![json!(0.5); rows] }).to_string())
    })
    .await;
    let catalog = movies(&[1, 2]);
    let remote = remote(&server.url(), inputs, options());
    remote.check().await.unwrap();
    let ranker = ranker(&remote, &catalog);
    let sent = || server.predictions().last().unwrap().body.clone();

    let stored = UserState { features: Some(&Stored), ..UserState::unknown(UserId(6)) };
    let mut scores = Vec::new();
    ranker.score(&Query::new(&stored, &all(&catalog)), &mut scores).await.unwrap();
    assert_eq!(scores, [0.5, 0.5]);
    let expected = r#"{"inputs":{"userId":[6,6],"movieId":[[1],[2]],"avg":[[3.92],[3.92]],"genre":["Sci-Fi \"new\"","Sci-Fi \"new\""],"country":[2,2],"year":[2,2],"first":[2,2],"count":[0.6931472,0],"rated":[0,0]}}"#;
    assert_eq!(sent(), expected);

    // Computed from the history: one rating of five stars.
    score(&ranker, &catalog, 6, &[MovieIndex(1)]).await.unwrap();
    let expected = r#"{"inputs":{"userId":[6],"movieId":[[2]],"avg":[[5]],"genre":["Drama"],"country":[0],"year":[2],"first":[2],"count":[0],"rated":[1]}}"#;
    assert_eq!(sent(), expected);

    // A user without data.
    score(&ranker, &catalog, 7, &[MovieIndex(1)]).await.unwrap();
    let expected = r#"{"inputs":{"userId":[7],"movieId":[[2]],"avg":[[0]],"genre":[""],"country":[0],"year":[2],"first":[2],"count":[0],"rated":[0]}}"#;
    assert_eq!(sent(), expected);
}

#[tokio::test]
async fn request_time_is_sent() {
    let server = Fake::start(|request| {
        if request.path.ends_with("/metadata") {
            return Reply::ok(&metadata(1, &[("now", "DT_INT64", &[-1])]));
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        Reply::ok(&json!({"outputs": vec![0.5; body["inputs"]["now"].as_array().unwrap().len()]}))
    })
    .await;
    let inputs = vec![input("now", "context.timestamp", Type::Int64)];
    let remote = remote(&server.url(), inputs, options());
    remote.check().await.unwrap();
    let catalog = movies(&[1]);
    let seconds = || {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs()
    };
    let before = seconds();
    score(&ranker(&remote, &catalog), &catalog, 1, &all(&catalog)).await.unwrap();
    let body: Value = serde_json::from_str(&server.predictions().last().unwrap().body).unwrap();
    let sent = body["inputs"]["now"][0].as_u64().unwrap();
    assert!((before..=seconds()).contains(&sent), "{sent}");
}

#[tokio::test]
async fn pinned_version_or_label_is_requested() {
    let server = Fake::start(good).await;
    for (pin, path) in [
        (Pin::Version(3), "/v1/models/m/versions/3:predict"),
        (Pin::Label("stable".to_owned()), "/v1/models/m/labels/stable:predict"),
    ] {
        let remote = remote(&server.url(), vec![], Options { pin: Some(pin), ..options() });
        assert_eq!(remote.check().await.unwrap(), 3);
        assert_eq!(server.predictions().last().unwrap().path, path);
    }
}

#[tokio::test]
async fn tls_requires_a_trusted_certificate() {
    let certified = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    // With a byte order mark, as written by some editors.
    std::fs::write(&ca_file, format!("\u{feff}{}", certified.cert.pem())).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let server = Fake::start_tls(TlsAcceptor::from(Arc::new(config)), good).await;
    let url = format!("https://localhost:{}/v1/models/m", server.port);
    let catalog = movies(&[1]);

    let trusted = remote(&url, vec![], Options { ca_file: Some(ca_file), ..options() });
    trusted.check().await.unwrap();
    for user in 0..10 {
        let found = score(&ranker(&trusted, &catalog), &catalog, user, &all(&catalog)).await;
        assert_eq!(found.unwrap(), [pair_score(user, 1)]);
    }
    assert_eq!(server.connections(), 1);

    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ca_file = folder.path().join("other.pem");
    std::fs::write(&ca_file, other.cert.pem()).unwrap();
    let distrusted = remote(&url, vec![], Options { ca_file: Some(ca_file), ..options() });
    let error = distrusted.check().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(matches!(distrusted.state(), State::Failing { was_ready: false, .. }));
}

#[tokio::test]
async fn constants_and_signature_name_are_sent() {
    let server = Fake::start(|request| {
        if request.path.ends_with("/metadata") {
            let plain: &[i64] = &[-1];
            let mut described = metadata(
                1,
                &[
                    ("movieId", "DT_INT32", plain),
                    ("rating", "DT_FLOAT", plain),
                    ("unit", "DT_STRING", plain),
                ],
            );
            let definitions = &mut described["metadata"]["signature_def"]["signature_def"];
            *definitions = json!({ "predict": definitions["serving_default"].take() });
            return Reply::ok(&described);
        }
        let rows = request.body.split("\"movieId\"").nth(1).unwrap().split(']').next().unwrap();
        Reply::ok(&json!({ "outputs": vec![0.5; rows.split(',').count()] }))
    })
    .await;
    let constant = |name: &str, value: &str, value_type| {
        Input::plain(name, Source::Constant(value.to_owned()), value_type)
    };
    let inputs = vec![
        input("movieId", "movie.id", Type::Int32),
        constant("rating", "3.5", Type::Float32),
        constant("unit", "stars", Type::String),
    ];
    let catalog = movies(&[1, 2]);
    let remote =
        remote(&server.url(), inputs, Options { signature: "predict".to_owned(), ..options() });
    let ranker = ranker(&remote, &catalog);
    remote.check().await.unwrap();
    score(&ranker, &catalog, 6, &all(&catalog)).await.unwrap();
    let expected = r#"{"signature_name":"predict","inputs":{"movieId":[1,2],"rating":[3.5,3.5],"unit":["stars","stars"]}}"#;
    for request in server.predictions() {
        assert_eq!(request.body, expected);
    }
}
