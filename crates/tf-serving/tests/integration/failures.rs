//! Failures of model servers: errors, circuit breaker and recovery.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparrow_model::MovieIndex;
use sparrow_rank::{self as rank, Error, Query, Ranker as _};
use sparrow_test_tensorflow::fake::{
    Fake, Reply, Request, eventually, good, metadata, neural_cf, pair_score, predict, predicting,
};
use sparrow_tf_serving::{Circuit, Error as ModelError, Inputs, Options, ServedModel, State, Type};

use crate::data::{
    Monitor, all, input, is_failing, is_ready, movies, options, ranker, remote, score, until,
};

/// Returns the error of a score if the server replies like this.
async fn error_of(
    options: Options,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Error {
    let server = Fake::start(good).await;
    let deadline = options.deadline;
    let remote = remote(&server.url(), vec![], options);
    remote.check().await.unwrap();
    server.set(predicting(reply));
    let catalog = movies(&[1, 2]);
    let start = Instant::now();
    let error = score(&ranker(&remote, &catalog), &catalog, 6, &all(&catalog)).await.unwrap_err();
    let took = start.elapsed();
    assert!(took < deadline + Duration::from_secs(1), "{took:?}");
    error
}

/// Formats an error with its source.
fn with_source(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[tokio::test]
async fn malformed_responses_are_errors() {
    let answered = |body: Value| move |_: &Request| Reply::ok(&body);
    for (body, expected) in [
        (json!({"outputs": [[0.5]]}), "1 predictions for 2 rows"),
        (json!({"outputs": [0.5, 0.5, 0.5]}), "more predictions than rows"),
        (json!({"outputs": [[0.5, 1], [0.5, 1]]}), "one number per row"),
        (json!({"outputs": "high"}), "expected ["),
        (json!({"error": "no"}), "missing predictions"),
    ] {
        let error = error_of(options(), answered(body)).await;
        assert!(matches!(&error, Error::Malformed(what) if what.contains(expected)), "{error}");
    }
    for (text, expected) in [
        ("{\"outputs\": [NaN, 1]}", "prediction 0 is NaN, not a number"),
        ("{\"outputs\": [[1], [-Infinity]]}", "prediction 1 is -Infinity, not a number"),
        ("<html>a proxy</html>", "expected {"),
        ("", "unexpected end, expected {"),
    ] {
        let error = error_of(options(), move |_| Reply::Answer(200, text.to_owned())).await;
        assert!(matches!(&error, Error::Malformed(what) if what.contains(expected)), "{error}");
    }
    let small = || Options { max_body: 2000, ..options() };
    let long = format!("{{\"outputs\": [[0.5], [0.5]], \"more\": \"{}\"}}", "x".repeat(3000));
    for reply in [Reply::Answer(200, long.clone()), Reply::Chunked(long.clone())] {
        let error = error_of(small(), move |_| reply.clone()).await;
        assert!(matches!(&error, Error::Malformed(what) if what == "the body exceeds 2000 bytes"));
    }
    let error = error_of(options(), |_| Reply::Raw("220 mail.example ESMTP\r\n\r\n")).await;
    assert!(matches!(error, Error::Malformed(_)), "{error:?}");
}

#[tokio::test]
async fn server_errors_contain_message_and_status() {
    let answered = |status, message: &str| {
        let body = json!({ "error": message }).to_string();
        move |_: &Request| Reply::Answer(status, body.clone())
    };
    let error = error_of(options(), answered(400, "indices[0] = 9 is not in [0, 9)")).await;
    assert!(matches!(&error, Error::Refused(_)), "{error:?}");
    assert_eq!(error.to_string(), "the model refused the request: indices[0] = 9 is not in [0, 9)");
    for (status, message) in [(404, "Servable not found"), (503, "not ready"), (500, "oh")] {
        let error = error_of(options(), answered(status, message)).await;
        let expected = format!(
            "the model is unavailable: the model server is unavailable: {message} ({status})"
        );
        assert_eq!(with_source(&error), expected);
    }
}

#[tokio::test]
async fn late_responses_time_out_at_the_deadline() {
    let quick = || Options { deadline: Duration::from_millis(80), ..options() };
    let whole = r#"{"outputs": [0.5, 0.5]}"#;
    for reply in [Reply::Silence, Reply::Half(whole.to_owned()), Reply::Gated(whole.to_owned())] {
        let error = error_of(quick(), move |_| reply.clone()).await;
        assert!(matches!(error, Error::TimedOut), "{error:?}");
    }
}

#[tokio::test]
async fn closed_connections_are_errors() {
    for reply in [
        Reply::Close,
        Reply::Raw("HTTP/1.1 200 OK\r\nContent-Length: 23\r\n\r\n{\"outputs\""),
        Reply::Raw("HTTP/1.1 200 OK\r\n"),
    ] {
        let error = error_of(options(), move |_| reply.clone()).await;
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn open_circuit_rejects_requests_until_a_check_succeeds() {
    let server = Fake::start(good).await;
    let remote = remote(&server.url(), vec![], options());
    let _keeper = Monitor::start(&remote);
    until(&remote, is_ready).await;
    let catalog = movies(&[1]);
    let ranker = ranker(&remote, &catalog);
    assert_eq!(ranker.status().state, rank::State::Ready);
    assert_eq!(ranker.status().version, Some(3));

    server.set(predicting(|_| Reply::Answer(500, json!({"error": "out of memory"}).to_string())));
    for _ in 0..3 {
        assert!(matches!(remote.state(), State::Ready { .. }));
        score(&ranker, &catalog, 1, &all(&catalog)).await.unwrap_err();
    }
    assert!(is_failing(&remote.state()));
    let status = ranker.status();
    assert_eq!((status.state, status.version), (rank::State::Failing, None));
    let why = "the model server is unavailable: out of memory (500)";
    assert_eq!(status.trouble.as_deref(), Some(why));
    // Only health checks reach the server, and they fail.
    let error = score(&ranker, &catalog, 77, &all(&catalog)).await.unwrap_err();
    assert!(
        with_source(&error).ends_with(&format!("its circuit breaker is open: {why}")),
        "{error}"
    );
    assert!(server.predictions().iter().all(|request| !request.body.contains("77")));
    let checks = server.predictions().len();
    eventually("more checks", || server.predictions().len() > checks + 2).await;
    assert!(is_failing(&remote.state()));

    server.set(good);
    until(&remote, is_ready).await;
    // The half-open circuit reopens at the first failure.
    server.set(predicting(|_| Reply::Close));
    score(&ranker, &catalog, 1, &all(&catalog)).await.unwrap_err();
    assert!(is_failing(&remote.state()));
    server.set(good);
    until(&remote, is_ready).await;
    assert_eq!(score(&ranker, &catalog, 2, &all(&catalog)).await.unwrap(), [pair_score(2, 1)]);
    server.set(predicting(|_| Reply::Close));
    score(&ranker, &catalog, 1, &all(&catalog)).await.unwrap_err();
    assert!(is_ready(&remote.state()));
}

#[tokio::test]
async fn checks_detect_a_stopped_and_a_restarted_server() {
    let server = Fake::start(good).await;
    let remote = remote(&server.url(), vec![], options());
    let _keeper = Monitor::start(&remote);
    until(&remote, is_ready).await;
    let port = server.stop().await;
    let State::Failing { why, was_ready, .. } = until(&remote, is_failing).await else { panic!() };
    assert!(was_ready && why.contains("cannot connect to 127.0.0.1"), "{why}");

    let _server = Fake::start_on(port, good).await;
    until(&remote, is_ready).await;
}

#[tokio::test]
async fn check_accepts_a_slow_first_prediction_only() {
    let quick = Options { deadline: Duration::from_millis(400), ..options() };
    // Only the first prediction is slow.
    let slow = |request: &Request| {
        Reply::Slow(Duration::from_millis(600), 200, predict(&request.body).to_string())
    };
    let first = AtomicBool::new(true);
    let server = Fake::start(predicting(move |request| {
        if first.swap(false, Ordering::SeqCst) { slow(request) } else { good(request) }
    }))
    .await;
    let warming = remote(&server.url(), vec![], quick.clone());
    warming.check().await.unwrap();
    assert_eq!(server.predictions().len(), 2);

    server.set(predicting(slow));
    let always = remote(&server.url(), vec![], quick);
    assert_eq!(always.check().await, Err(ModelError::TimedOut));
}

#[tokio::test]
async fn new_version_is_detected_and_validated() {
    let server = Fake::start(good).await;
    let remote = remote(&server.url(), vec![], options());
    let _keeper = Monitor::start(&remote);
    until(&remote, |state| matches!(state, State::Ready { version: 3, .. })).await;
    server.set(|request| {
        if request.path.ends_with("/metadata") { Reply::ok(&neural_cf(4)) } else { good(request) }
    });
    until(&remote, |state| matches!(state, State::Ready { version: 4, .. })).await;

    // A version with other inputs.
    server.set(|request| {
        if request.path.ends_with("/metadata") {
            return Reply::ok(&metadata(5, &[("userId", "DT_INT32", &[-1])]));
        }
        good(request)
    });
    let State::Failing { why, .. } = until(&remote, is_failing).await else { panic!() };
    assert_eq!(
        why,
        "the model does not match its configuration: unknown input movieId, the model has userId"
    );

    // A version with other shapes.
    server.set(|request| {
        if request.path.ends_with("/metadata") {
            let shape: &[i64] = &[-1, 1];
            return Reply::ok(&metadata(
                6,
                &[("userId", "DT_INT32", shape), ("movieId", "DT_INT32", shape)],
            ));
        }
        let rows = request.body.matches("],[").count() - 1;
        Reply::ok(&json!({ "outputs": vec![0.5; rows.max(1)] }))
    });
    eventually("a check of version 6", || {
        server.predictions().last().unwrap().body.contains("\"userId\":[[1],[1]]")
    })
    .await;
}

/// Returns the error of a check with this metadata.
async fn check_error(
    described: Value,
    inputs: Vec<sparrow_tf_serving::Input>,
    output: Option<&str>,
) -> String {
    let server = Fake::start(move |_| Reply::ok(&described)).await;
    let options = Options { output: output.map(str::to_owned), ..options() };
    let error = remote(&server.url(), inputs, options).check().await.unwrap_err();
    error.to_string()
}

#[tokio::test]
async fn mismatch_error_lists_all_differences() {
    let fits: [(&str, &str, &[i64]); 2] =
        [("userId", "DT_INT32", &[-1]), ("movieId", "DT_INT32", &[-1])];
    let of = |index: usize, changed| {
        let mut all = fits;
        all[index] = changed;
        metadata(1, &all)
    };
    for (described, expected) in [
        (
            of(0, ("user_id", "DT_INT32", &[-1])),
            "unknown input userId, the model has movieId, user_id; the input user_id is not configured",
        ),
        (
            of(1, ("movieId", "DT_INT64", &[-1])),
            "the input movieId has type DT_INT64, configured as int32",
        ),
        (
            of(1, ("movieId", "DT_INT32", &[-1, 5])),
            "the input movieId has the shape [-1, 5], expected one value per row",
        ),
        (
            of(0, ("userId", "DT_INT32", &[])),
            "the input userId has the shape [], expected one value per row",
        ),
    ] {
        let error = check_error(described, vec![], None).await;
        assert_eq!(error, format!("the model does not match its configuration: {expected}"));
    }
    let more = metadata(1, &[fits[0], fits[1], ("genre", "DT_STRING", &[-1])]);
    let error = check_error(more.clone(), vec![], None).await;
    assert_eq!(
        error,
        "the model does not match its configuration: the input genre is not configured"
    );
    let inputs = vec![
        input("userId", "user.id", Type::Int32),
        input("movieId", "movie.id", Type::Int32),
        input("genre", "mf.movieGenre1", Type::String),
        input("year", "mf.releaseYear", Type::Int32),
    ];
    let error = check_error(more, inputs, None).await;
    assert_eq!(
        error,
        "the model does not match its configuration: unknown input year, the model has genre, movieId, userId"
    );

    let mut outputs = neural_cf(1);
    let described = &mut outputs["metadata"]["signature_def"]["signature_def"]["serving_default"];
    described["outputs"]["rank"] = described["outputs"]["score"].clone();
    let error = check_error(outputs.clone(), vec![], None).await;
    assert_eq!(
        error,
        "the model does not match its configuration: several outputs: set \"output\" to one of rank, score"
    );
    let error = check_error(outputs, vec![], Some("scores")).await;
    assert_eq!(
        error,
        "the model does not match its configuration: unknown output scores, the model has rank, score"
    );

    let error = check_error(json!({"error": "x"}), vec![], None).await;
    assert!(error.starts_with("malformed response of the model server: metadata:"), "{error}");
    let mut other = neural_cf(1);
    let definitions = &mut other["metadata"]["signature_def"]["signature_def"];
    let default = definitions["serving_default"].take();
    *definitions = json!({"predict": default, "__saved_model_init_op": {}});
    let error = check_error(other, vec![], None).await;
    assert_eq!(
        error,
        "the model does not match its configuration: unknown signature serving_default: set \"signature\" to one of predict"
    );
    let mut nameless = neural_cf(1);
    nameless["metadata"]["signature_def"]["signature_def"] = json!({});
    let error = check_error(nameless, vec![], None).await;
    assert_eq!(
        error,
        "the model does not match its configuration: unknown signature serving_default: the model has none"
    );
}

/// A server of a model with embeddings for ids up to `max`, which rejects the genre Drama.
async fn indexed_by_ids(max: u64) -> Fake {
    Fake::start(move |request| {
        if request.path.ends_with("/metadata") {
            let plain: &[i64] = &[-1];
            return Reply::ok(&metadata(
                1,
                &[
                    ("userId", "DT_INT32", plain),
                    ("movieId", "DT_INT32", plain),
                    ("last", "DT_INT32", plain),
                    ("genre", "DT_STRING", plain),
                ],
            ));
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        for input in ["userId", "movieId", "last"] {
            for (row, id) in body["inputs"][input].as_array().unwrap().iter().enumerate() {
                if id.as_u64() > Some(max) {
                    let error = format!("indices[{row}] = {id} is not in [0, {})", max + 1);
                    return Reply::Answer(400, json!({ "error": error }).to_string());
                }
            }
        }
        if body["inputs"]["genre"].as_array().unwrap().iter().any(|word| word == "Drama") {
            return Reply::Answer(400, json!({"error": "no row for Drama"}).to_string());
        }
        Reply::ok(&predict(&request.body))
    })
    .await
}

fn indexed_inputs(max: Option<u32>, words: Option<u32>) -> Vec<sparrow_tf_serving::Input> {
    let mut inputs = vec![
        input("userId", "user.id", Type::Int32),
        input("movieId", "movie.id", Type::Int32),
        input("last", "uf.userRatedMovie1", Type::Int32),
        input("genre", "mf.movieGenre1", Type::String),
    ];
    for input in &mut inputs[..3] {
        input.max = max;
    }
    if words.is_none() {
        inputs[3] = input("genre", "mf.country", Type::String);
        inputs[3].default = Some(String::new());
    }
    inputs
}

#[tokio::test]
async fn rejected_trial_of_extremes_names_the_inputs() {
    let server = indexed_by_ids(1000).await;
    let catalog = movies(&[1, 50, 1393]);
    let fits = remote(&server.url(), indexed_inputs(Some(1000), None), options());
    let ranker_of_fits = ranker(&fits, &catalog);
    fits.check().await.unwrap();
    // Movies above max are not sent; the trial contains the greatest id below it.
    assert!(server.predictions()[0].body.contains(r#""movieId":[1,50],"last":[0,50]"#));
    score(&ranker_of_fits, &catalog, 6, &all(&catalog)).await.unwrap();

    let unbounded = remote(&server.url(), indexed_inputs(None, Some(0)), options());
    unbounded.check().await.unwrap();
    let unbounded_ranker = ranker(&unbounded, &catalog);
    let error = unbounded.check().await.unwrap_err().to_string();
    let max = "; if the model has an upper limit, set max of the input";
    assert_eq!(
        error,
        format!(
            "the model server refused the request: the model rejects 1393 for the input movieId{max}; the model \
             rejects 1393 for the input last{max}; the model rejects \"Drama\" for the input genre; indices[1] = 1393 \
             is not in [0, 1001)"
        )
    );
    // The state does not flap.
    let _keeper = Monitor::start(&unbounded);
    let before = server.predictions().len();
    eventually("more trials", || server.predictions().len() > before + 5).await;
    assert!(is_failing(&unbounded.state()));
    score(&unbounded_ranker, &catalog, 6, &all(&catalog)).await.unwrap_err();
    assert!(is_failing(&unbounded.state()));
}

#[tokio::test]
async fn new_catalogue_triggers_a_trial_at_once() {
    let server = indexed_by_ids(1000).await;
    let inputs = indexed_inputs(None, None);
    let rare = Options { interval: Duration::from_hours(1), ..options() };
    let remote = remote(&server.url(), inputs, rare);
    let small = movies(&[1, 50]);
    let _small = ranker(&remote, &small);
    let _keeper = Monitor::start(&remote);
    until(&remote, is_ready).await;
    let large = movies(&[1, 1001]);
    let _large = ranker(&remote, &large);
    let State::Failing { why, .. } = until(&remote, is_failing).await else { panic!() };
    assert!(why.contains("the model rejects 1001 for the input movieId"), "{why}");
}

#[tokio::test]
async fn rejected_request_triggers_a_trial() {
    let server = indexed_by_ids(1000).await;
    let remote = remote(&server.url(), indexed_inputs(None, None), options());
    let catalog = movies(&[1, 50]);
    let ranker = ranker(&remote, &catalog);
    let _keeper = Monitor::start(&remote);
    until(&remote, is_ready).await;
    // A user in neither the model nor the catalogue.
    for _ in 0..10 {
        let error = score(&ranker, &catalog, 4_000, &all(&catalog)).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error:?}");
    }
    let before = server.predictions().len();
    eventually("another trial", || server.predictions().len() > before).await;
    assert!(is_ready(&remote.state()));

    // The model must serve a user with a history.
    let history = sparrow_model::OwnedHistory::new(sparrow_model::UserId(4_000), []);
    let user = sparrow_model::UserState {
        history: Some(history.get()),
        ..sparrow_model::UserState::unknown(sparrow_model::UserId(4_000))
    };
    let outcome = ranker.score(&Query::new(&user, &all(&catalog)), &mut Vec::new()).await;
    assert!(matches!(outcome, Err(Error::Refused(_))));
    let State::Failing { why, .. } = until(&remote, is_failing).await else { panic!() };
    assert!(why.contains("the model rejects 4000 for the input userId"), "{why}");
}

#[tokio::test]
async fn unchecked_server_receives_no_requests() {
    let server = Fake::start(good).await;
    let remote = remote(&server.url(), vec![], options());
    let catalog = movies(&[1]);
    let ranker = ranker(&remote, &catalog);
    assert_eq!(ranker.status().state, rank::State::Loading);
    let error = score(&ranker, &catalog, 1, &[MovieIndex(0)]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)));
    assert_eq!(server.connections(), 0);

    let unreachable =
        ServedModel::new("http://127.0.0.1:1/v1/models/m", Inputs::default(), options());
    let unreachable = unreachable.unwrap();
    assert!(matches!(unreachable.check().await, Err(ModelError::Unavailable(_))));
    assert!(matches!(unreachable.state(), State::Failing { was_ready: false, .. }));
}

#[tokio::test]
async fn circuit_stays_closed_at_30_percent_failures() {
    let server = Fake::start(good).await;
    let remote =
        remote(&server.url(), vec![], Options { circuit: Circuit::default(), ..options() });
    let _keeper = Monitor::start(&remote);
    until(&remote, is_ready).await;
    let sent = std::sync::atomic::AtomicU32::new(0);
    server.set(predicting(move |request| {
        // The 2nd, 5th and 8th of ten.
        if matches!(sent.fetch_add(1, Ordering::SeqCst) % 10, 1 | 4 | 7) {
            Reply::Answer(500, String::new())
        } else {
            good(request)
        }
    }));
    let catalog = movies(&[1]);
    let ranker = ranker(&remote, &catalog);
    let mut answered = 0;
    for user in 0..200 {
        answered += u32::from(score(&ranker, &catalog, user, &all(&catalog)).await.is_ok());
    }
    assert!(is_ready(&remote.state()));
    assert!((139..=141).contains(&answered), "{answered}");
}

#[tokio::test]
async fn malformed_http_is_an_error_within_the_deadline() {
    let quick = || Options { deadline: Duration::from_millis(200), ..options() };
    for response in [
        "",
        "\r\n\r\n",
        "HTTP/1.1",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 99999 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{\"outputs\":[0.5,0.5]}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n{",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"out",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x0b\x08\0",
        "HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: nameless\r\nContent-Length: 2\r\n\r\n{}",
        "\0\0\x04\0\0\0\0\0\0",
        "{\"outputs\":[0.5,0.5]}",
    ] {
        // `error_of` asserts the deadline.
        let error = error_of(quick(), move |_| Reply::Raw(response)).await;
        assert!(!matches!(error, Error::Refused(_)), "{response:?}: {error:?}");
    }
}
