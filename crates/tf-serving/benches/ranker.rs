//! What the ranker adds to the model server: scores of 800 movies through it, against the same request as prebuilt
//! bytes over a kept connection, turn by turn in one run.
//!
//! `cargo bench -p sparrow-tf-serving --bench ranker`. The server is one in this process that answers at once, which
//! makes the most of what is added; and with `SPARROW_TENSORFLOW` also NeuralCF in the real TensorFlow. `ROUNDS` is
//! the number of turns.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use sparrow_model::{
    Catalog, MovieId, MovieIndex, MovieRecord, Movies, RatingLog, UserId, UserState,
};
use sparrow_offline::{export, train};
use sparrow_rank::Ranker as _;
use sparrow_test_tensorflow::ModelServer;
use sparrow_tf_serving::{Format, Inputs, Options, Remote, TfServingRanker, movie_features_of};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const MOVIES: usize = 800;

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(20_000, |rounds| rounds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("{MOVIES} movies; microseconds");
    println!("{:<34} {:>16} {:>16} {:>7}", "", "direct p50  p99", "ranker p50  p99", "p50");
    for format in [Format::Columns, Format::Rows] {
        let url = format!("http://127.0.0.1:{}/v1/models/m", fast_server());
        let catalog = catalog(9_742);
        runtime.block_on(compare(
            &format!("a server that answers at once, {format:?}"),
            &url,
            &catalog,
            format,
            rounds,
        ));
    }
    if std::env::var_os("SPARROW_TENSORFLOW").is_some() {
        let folder = tempfile::tempdir().unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
        let source = sparrow_movielens::Source::open(&demo).unwrap();
        let loaded = source.load(&sparrow_movielens::Options::default()).unwrap();
        let catalog = Arc::new(loaded.catalog);
        let options = train::Options { epochs: 1, ..train::Options::new(train::Method::NeuralCf) };
        let trained = train::run(&catalog, &options, &mut ()).unwrap();
        export::write(folder.path(), &trained.file).unwrap();
        let server = ModelServer::start("m", folder.path());
        for format in [Format::Columns, Format::Rows] {
            let name = format!("NeuralCF in TensorFlow, {format:?}");
            runtime.block_on(compare(&name, &server.url(), &catalog, format, rounds / 20));
        }
    }
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
        ranker.score(&user, &movies, &mut scores).await.unwrap();
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
        "{name:<34} {:>9.1} {:>6.1} {:>9.1} {:>6.1} {:>+6.1} %",
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

fn catalog(movies: u32) -> Arc<Catalog> {
    let record = |at: u32| MovieRecord {
        // As sparse as those of ml-latest-small.
        id: MovieId(at * 20 + 1),
        title: String::new(),
        year: None,
        genres: Vec::new(),
        imdb_id: None,
        tmdb_id: None,
    };
    let movies = Movies::new((0..movies).map(record).collect()).unwrap();
    Arc::new(Catalog::new(movies, RatingLog::default().into_histories().0))
}

/// Answers predictions of [`MOVIES`] rows, and of 2, from memory, on a thread of its own; gives the port.
fn fast_server() -> u16 {
    let described = r#"{"model_spec":{"name":"m","version":"1"},"metadata":{"signature_def":{"signature_def":{"serving_default":{"inputs":{"userId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1"}]}},"movieId":{"dtype":"DT_INT32","tensor_shape":{"dim":[{"size":"-1"}]}}},"outputs":{"score":{"dtype":"DT_FLOAT","tensor_shape":{"dim":[{"size":"-1"},{"size":"1"}]}}}}}}}}"#;
    // Laid out as TensorFlow Serving does it.
    let predictions = |rows: usize| {
        let mut text = "{\n    \"outputs\": [".to_owned();
        for row in 0..rows {
            let comma = if row == 0 { "" } else { ", " };
            // Eight digits, about as floats of 32 bits have them.
            write!(text, "{comma}[0.{:08}]", row * 123_457 % 100_000_000).unwrap();
        }
        text + "\n    ]\n}"
    };
    let whole = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let answers: [String; 3] = [described, &predictions(2), &predictions(MOVIES)].map(whole);
    let answers = Arc::new(answers);
    let (tell, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let answers = Arc::clone(&answers);
                tokio::spawn(async move {
                    let mut read = Vec::with_capacity(1 << 20);
                    while let Some(length) = request(&mut stream, &mut read).await {
                        let answer = match length {
                            0 => &answers[0],
                            1..200 => &answers[1],
                            _ => &answers[2],
                        };
                        stream.write_all(answer.as_bytes()).await.unwrap();
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
