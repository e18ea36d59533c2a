//! What the ranker adds to the model server: scores of 800 movies through it, against the same request as prebuilt
//! bytes over a kept connection, turn by turn in one run.
//!
//! `cargo bench -p sparrow-tf-serving --bench ranker`. One server in this process answers at once from memory, which
//! makes the most of what is added; one reads what is asked, scores it by NeuralCF and writes the answer, about
//! the least that a model server can do; and with `SPARROW_TENSORFLOW` there is the real TensorFlow behind
//! `model_server.py`. `ROUNDS` is the number of turns.
//!
//! Then how many requests a second come of 16 at once, one by one and in batches.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_neural::neural_cf::Scorer;
use sparrow_offline::{export, train};
use sparrow_rank::{Query, Ranker as _};
use sparrow_test_tensorflow::ModelServer;
use sparrow_tf_serving::{
    Batch, Format, Inputs, Options, Remote, TfServingRanker, movie_features_of,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MOVIES: usize = 800;

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(20_000, |rounds| rounds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
    let source = sparrow_movielens::Source::open(&demo).unwrap();
    let loaded = source.load(&sparrow_movielens::Options::default()).unwrap();
    let catalog = Arc::new(loaded.catalog);
    let options = train::Options { epochs: 1, ..train::Options::new(train::Method::NeuralCf) };
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
        run("answers at once", &url, format, rounds);
    }
    let ids = catalog.movies().iter().map(|movie| movie.id.0);
    let ids: Arc<[u32]> = ids.collect();
    let scorer = Arc::new(Scorer::new(&trained.file.model, ids.iter().copied()));
    for format in formats {
        let (scorer, ids) = (Arc::clone(&scorer), Arc::clone(&ids));
        let score = move |body: &[u8]| scored(body, &scorer, &ids);
        let url = format!("http://127.0.0.1:{}/v1/models/m", fast_server(Arc::new(score)));
        run("reads, scores and writes", &url, format, rounds / 2);
    }
    if std::env::var_os("SPARROW_TENSORFLOW").is_some() {
        let server = ModelServer::start("m", folder.path());
        for format in formats {
            run("TensorFlow", &server.url(), format, rounds / 20);
        }
        println!("\n{AT_ONCE} requests at once; requests/s");
        let batch = Batch { wait: Duration::from_millis(1), max_rows: AT_ONCE * MOVIES };
        for (name, batch) in [("one by one", None), ("in batches", Some(batch))] {
            let found = runtime.block_on(at_once(&server.url(), &catalog, batch, rounds / 20));
            println!("TensorFlow, {name:<24} {found:>9.0}");
        }
    }
}

const AT_ONCE: usize = 16;

/// Requests a second of several users at once.
async fn at_once(url: &str, catalog: &Arc<Catalog>, batch: Option<Batch>, rounds: usize) -> f64 {
    let options = Options { batch, deadline: Duration::from_secs(5), ..Options::default() };
    let remote = Arc::new(Remote::new(url, Inputs::default(), options).unwrap());
    remote.check().await.unwrap();
    let ranker = Arc::new(TfServingRanker::new(remote, catalog, movie_features_of(catalog)));
    let movies: Arc<[MovieIndex]> = (0..MOVIES as u32).map(MovieIndex).collect();
    let start = Instant::now();
    let users: Vec<_> = (1..=AT_ONCE as u32)
        .map(|user| {
            let (ranker, movies) = (Arc::clone(&ranker), Arc::clone(&movies));
            tokio::spawn(async move {
                let (user, mut scores) = (UserState::unknown(UserId(user)), Vec::new());
                for _ in 0..rounds / AT_ONCE {
                    ranker.score(&Query::new(&user, &movies), &mut scores).await.unwrap();
                }
            })
        })
        .collect();
    for user in users {
        user.await.unwrap();
    }
    (rounds / AT_ONCE * AT_ONCE) as f64 / start.elapsed().as_secs_f64()
}

/// Prints how long a request takes directly and through the ranker.
async fn compare(name: &str, url: &str, catalog: &Arc<Catalog>, format: Format, rounds: usize) {
    let options = Options { format, deadline: Duration::from_secs(5), ..Options::default() };
    let remote = Arc::new(Remote::new(url, Inputs::default(), options).unwrap());
    remote.check().await.unwrap();
    let ranker = TfServingRanker::new(remote, catalog, movie_features_of(catalog));
    let step = catalog.len() / MOVIES;
    let movies: Vec<MovieIndex> = (0..MOVIES).map(|at| MovieIndex((at * step) as u32)).collect();
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
        answer(&mut stream, &mut read).await;
        let between = Instant::now();
        ranker.score(&Query::new(&user, &movies), &mut scores).await.unwrap();
        let end = Instant::now();
        // The first ones warm up.
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

/// Reads an answer with a length.
async fn answer(stream: &mut TcpStream, read: &mut Vec<u8>) {
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

/// Predictions, laid out as TensorFlow Serving does it.
fn predictions(scores: impl Iterator<Item = f32>) -> String {
    let mut text = "{\n    \"outputs\": [".to_owned();
    for (row, score) in scores.enumerate() {
        let comma = if row == 0 { "" } else { ", " };
        write!(text, "{comma}[{score}]").unwrap();
    }
    text + "\n    ]\n}"
}

/// Predictions for 2 rows or for [`MOVIES`], whatever was asked.
fn canned(body: &[u8]) -> Arc<str> {
    static ANSWERS: OnceLock<[Arc<str>; 2]> = OnceLock::new();
    let answers = ANSWERS.get_or_init(|| {
        [2, MOVIES].map(|rows| {
            predictions((0..rows).map(|row| (row * 123_457 % 1_000_003) as f32 / 1_000_003.0))
                .into()
        })
    });
    Arc::clone(&answers[usize::from(body.len() > 200)])
}

/// What is asked, in either format.
#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Asked {
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

/// The scores of one user's movies.
fn scored(body: &[u8], model: &Scorer, ids: &[u32]) -> Arc<str> {
    let (user, movies): (u32, Vec<u32>) = match serde_json::from_slice(body).unwrap() {
        Asked::Inputs(columns) => (columns.user_id[0], columns.movie_id),
        Asked::Instances(rows) => (rows[0].user_id, rows.iter().map(|row| row.movie_id).collect()),
    };
    let items = movies.iter().map(|id| ids.binary_search(id).unwrap() as u32);
    let mut scores = Vec::new();
    model.score(&model.query(user), items, &mut scores);
    predictions(scores.into_iter()).into()
}

type Predict = dyn Fn(&[u8]) -> Arc<str> + Send + Sync;

/// A server on a thread of its own; gives the port.
fn fast_server(predict: Arc<Predict>) -> u16 {
    let described = r#"{"model_spec":{"name":"m","version":"1"},"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"userId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1"}]}},"movieId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1"}]}}},"outputs":{"score":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},{"size":"1"}]}}}}}}}}"#;
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let predict = Arc::clone(&predict);
                tokio::spawn(async move {
                    let mut read = Vec::with_capacity(1 << 20);
                    while let Some(length) = request(&mut stream, &mut read).await {
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
    told.recv().unwrap()
}

/// Reads a request; the length of its body, or `None` at the end.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<usize> {
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
