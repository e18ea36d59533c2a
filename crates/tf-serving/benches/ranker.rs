//! Overhead of the ranker: latency of scoring 800 movies, compared with the same prebuilt request over a keep-alive
//! connection, alternating in one run.
//!
//! `cargo bench -p sparrow-tf-serving --bench ranker`. Servers: one that replies at once from memory, the worst case for
//! relative overhead; one that parses the request, scores it by NeuralCF and serialises the response, the minimum work
//! of a model server; and with `SPARROW_TENSORFLOW`, TensorFlow behind `model_server.py`. `ROUNDS` sets the number of
//! rounds.
//!
//! Then the throughput of 16 concurrent requests, with and without batching.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may")]

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_neural::neural_cf::Scorer;
use sparrow_rank::{Query, Ranker as _};
use sparrow_test_tensorflow::ModelServer;
use sparrow_tf_serving::{
    Batch, Format, Inputs, Options, ServedModel, TfServingRanker, movie_features_of,
};
use sparrow_train::{self as train, export};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MOVIES: usize = 800;

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(20_000, |rounds| rounds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let demo = sparrow_test_support::demo();
    let source = sparrow_movielens::Source::open(&demo).unwrap();
    let loaded = source.load(&sparrow_movielens::Options::default()).unwrap();
    let catalog = Arc::new(loaded.catalog);
    let options = train::Options {
        epochs: 1,
        ..train::Options::without_pretraining(train::Method::NeuralCf)
    };
    let trained = train::run(&catalog, &options, &mut ()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    export::write(folder.path(), &trained.file).unwrap();

    println!("{MOVIES} movies; microseconds");
    println!("{:<36} {:>16} {:>16} {:>8}", "", "direct p50   p99", "ranker p50   p99", "p50");
    let run = |name: &str, url: &str, format: Format, rounds: usize| {
        let name = format!("{name}, {}", format!("{format:?}").to_lowercase());
        runtime.block_on(compare(&name, url, &catalog, format, rounds));
    };
    let formats = [Format::Columns, Format::Rows];
    for format in formats {
        let url = format!("http://127.0.0.1:{}/v1/models/m", fast_server(Arc::new(canned)));
        run("replies at once", &url, format, rounds);
    }
    let ids = catalog.movies().iter().map(|movie| movie.id.0);
    let ids: Arc<[u32]> = ids.collect();
    let scorer = Arc::new(Scorer::new(&trained.file.model, ids.iter().copied()));
    for format in formats {
        let (scorer, ids) = (Arc::clone(&scorer), Arc::clone(&ids));
        let score = move |body: &[u8]| scored(body, &scorer, &ids);
        let url = format!("http://127.0.0.1:{}/v1/models/m", fast_server(Arc::new(score)));
        run("parses, scores and serialises", &url, format, rounds / 2);
    }
    if std::env::var_os("SPARROW_TENSORFLOW").is_some() {
        let server = ModelServer::start("m", folder.path());
        for format in formats {
            run("TensorFlow", &server.url(), format, rounds / 20);
        }
        println!("\n{CONCURRENCY} concurrent requests; requests/s");
        let batch = Batch { wait: Duration::from_millis(1), max_rows: CONCURRENCY * MOVIES };
        for (name, batch) in [("one by one", None), ("in batches", Some(batch))] {
            let found = runtime.block_on(throughput(&server.url(), &catalog, batch, rounds / 20));
            println!("TensorFlow, {name:<24} {found:>9.0}");
        }
    }
}

const CONCURRENCY: usize = 16;

/// Measures requests per second of concurrent users.
async fn throughput(url: &str, catalog: &Arc<Catalog>, batch: Option<Batch>, rounds: usize) -> f64 {
    let options = Options { batch, deadline: Duration::from_secs(5), ..Options::default() };
    let remote = Arc::new(ServedModel::new(url, Inputs::default(), options).unwrap());
    remote.check().await.unwrap();
    let ranker = Arc::new(TfServingRanker::new(remote, catalog, movie_features_of(catalog)));
    let movies: Arc<[MovieIndex]> = (0..MOVIES as u32).map(MovieIndex).collect();
    let start = Instant::now();
    let users: Vec<_> = (1..=CONCURRENCY as u32)
        .map(|user| {
            let (ranker, movies) = (Arc::clone(&ranker), Arc::clone(&movies));
            tokio::spawn(async move {
                let (user, mut scores) = (UserState::unknown(UserId(user)), Vec::new());
                for _ in 0..rounds / CONCURRENCY {
                    ranker.score(&Query::new(&user, &movies), &mut scores).await.unwrap();
                }
            })
        })
        .collect();
    for user in users {
        user.await.unwrap();
    }
    (rounds / CONCURRENCY * CONCURRENCY) as f64 / start.elapsed().as_secs_f64()
}

/// Prints the latency of direct requests and of the ranker.
async fn compare(name: &str, url: &str, catalog: &Arc<Catalog>, format: Format, rounds: usize) {
    let options = Options { format, deadline: Duration::from_secs(5), ..Options::default() };
    let remote = Arc::new(ServedModel::new(url, Inputs::default(), options).unwrap());
    remote.check().await.unwrap();
    let ranker = TfServingRanker::new(remote, catalog, movie_features_of(catalog));
    let step = catalog.len() / MOVIES;
    let movies: Vec<MovieIndex> =
        (0..MOVIES).map(|index| MovieIndex((index * step) as u32)).collect();
    let user = UserState::unknown(UserId(6));
    let mut scores = Vec::new();

    let (_, authority) = url.split_once("//").unwrap();
    let (authority, path) = authority.split_once('/').unwrap();
    let body = body(catalog, &movies, format);
    let request = format!(
        "POST /{path}:predict HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut read = Vec::with_capacity(1 << 20);

    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for round in 0..rounds + rounds / 10 {
        let start = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        read.clear();
        read_response(&mut stream, &mut read).await;
        let between = Instant::now();
        ranker.score(&Query::new(&user, &movies), &mut scores).await.unwrap();
        let end = Instant::now();
        // Skip the warm-up.
        if round >= rounds / 10 {
            direct.push(between - start);
            through.push(end - between);
        }
    }
    assert_eq!(scores.len(), MOVIES);
    let [direct, through] = [direct, through].map(|mut times| {
        times.sort_unstable();
        [times[times.len() / 2], times[times.len() * 99 / 100]].map(|time| time.as_secs_f64() * 1e6)
    });
    println!(
        "{name:<36} {:>9.1} {:>6.1} {:>9.1} {:>6.1} {:>+6.1} %",
        direct[0],
        direct[1],
        through[0],
        through[1],
        (through[0] / direct[0] - 1.0) * 100.0
    );
}

/// Reads a response with a content length.
async fn read_response(stream: &mut TcpStream, read: &mut Vec<u8>) {
    let mut end = usize::MAX;
    while read.len() < end {
        assert!(stream.read_buf(read).await.unwrap() > 0);
        if end == usize::MAX
            && let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&read[..head]).unwrap().to_ascii_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            end = head + 4 + length.unwrap().parse::<usize>().unwrap();
        }
    }
}

fn body(catalog: &Catalog, movies: &[MovieIndex], format: Format) -> String {
    let ids: Vec<String> =
        movies.iter().map(|&movie| catalog.movie(movie).id.to_string()).collect();
    match format {
        Format::Columns => format!(
            "{{\"inputs\":{{\"userId\":[{}],\"movieId\":[{}]}}}}",
            vec!["6"; ids.len()].join(","),
            ids.join(",")
        ),
        Format::Rows => {
            let rows: Vec<String> =
                ids.iter().map(|id| format!("{{\"userId\":6,\"movieId\":{id}}}")).collect();
            format!("{{\"instances\":[{}]}}", rows.join(","))
        }
    }
}

/// Formats predictions like TensorFlow Serving.
fn predictions(scores: impl Iterator<Item = f32>) -> String {
    let mut text = "{\n    \"outputs\": [".to_owned();
    for (row, score) in scores.enumerate() {
        let comma = if row == 0 { "" } else { ", " };
        write!(text, "{comma}[{score}]").unwrap();
    }
    text + "\n    ]\n}"
}

/// Returns fixed predictions for 2 or [`MOVIES`] rows.
fn canned(body: &[u8]) -> Arc<str> {
    static RESPONSES: OnceLock<[Arc<str>; 2]> = OnceLock::new();
    let responses = RESPONSES.get_or_init(|| {
        [2, MOVIES].map(|rows| {
            predictions((0..rows).map(|row| (row * 123_457 % 1_000_003) as f32 / 1_000_003.0))
                .into()
        })
    });
    Arc::clone(&responses[usize::from(body.len() > 200)])
}

/// A predict request in either format.
#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum PredictRequest {
    Inputs(Columns),
    Instances(Vec<Row>),
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Columns {
    user_id: Vec<u32>,
    movie_id: Vec<u32>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    user_id: u32,
    movie_id: u32,
}

/// Scores the movies of a request by NeuralCF.
fn scored(body: &[u8], model: &Scorer, ids: &[u32]) -> Arc<str> {
    let (user, movies): (u32, Vec<u32>) = match serde_json::from_slice(body).unwrap() {
        PredictRequest::Inputs(columns) => (columns.user_id[0], columns.movie_id),
        PredictRequest::Instances(rows) => {
            (rows[0].user_id, rows.iter().map(|row| row.movie_id).collect())
        }
    };
    let items = movies.iter().map(|id| ids.binary_search(id).unwrap() as u32);
    let mut scores = Vec::new();
    model.score(&model.query(user), items, &mut scores);
    predictions(scores.into_iter()).into()
}

type Predict = dyn Fn(&[u8]) -> Arc<str> + Send + Sync;

/// Starts a server on its own thread; returns the port.
fn fast_server(predict: Arc<Predict>) -> u16 {
    let described = r#"{"model_spec":{"name":"m","version":"1"},"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"userId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1"}]}},"movieId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1"}]}}},"outputs":{"score":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},{"size":"1"}]}}}}}}}}"#;
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let predict = Arc::clone(&predict);
                tokio::spawn(async move {
                    let mut read = Vec::with_capacity(1 << 20);
                    while let Some(length) = read_request(&mut stream, &mut read).await {
                        let body = match length {
                            0 => described.into(),
                            _ => predict(&read[read.len() - length..]),
                        };
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.unwrap();
                    }
                });
            }
        });
    });
    receiver.recv().unwrap()
}

/// Reads a request; returns the length of its body, or `None` at the end of the connection.
async fn read_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<usize> {
    read.clear();
    loop {
        if stream.read_buf(read).await.unwrap_or(0) == 0 {
            return None;
        }
        let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = std::str::from_utf8(&read[..head]).unwrap().to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        while read.len() < head + 4 + length {
            stream.read_buf(read).await.unwrap();
        }
        return Some(length);
    }
}
