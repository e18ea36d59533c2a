//! A server with a small invented catalogue, and a client that exposes the bytes on the wire.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use sparrow_engine::{Embeddings, Engine, Model};
use sparrow_http::{Options, Served, Server, Snapshot, SnapshotOptions};
use sparrow_model::{Catalog, MovieId, MovieIndex, MovieRecord, Movies, RatingLog, Stars, UserId};
use sparrow_neural::{EmbeddingTable, Similarity};
use tokio::sync::oneshot;

/// The longest wait for an event that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const MOVIES: u32 = 1200;
pub(crate) const USERS: u32 = 40;

const GENRES: [&str; 5] = ["Comedy", "Drama", "Film-Noir", "Sci-Fi", "Über & Out"];

/// Movie `m` has the id 3m + 1. Users 1 to 40 rated some movies; users up to 30 have vectors.
pub(crate) fn engine() -> Engine {
    engine_hiding(&[])
}

fn engine_hiding(hidden: &[u32]) -> Engine {
    let record = |m: u32| MovieRecord {
        id: MovieId(3 * m + 1),
        title: match m {
            0 => "Lantern, The".to_owned(),
            1 => "<script>alert(\"1\")</script>".to_owned(),
            2 => "Zoë & the \\ Backslash".to_owned(),
            _ => format!("Invented Number {m}"),
        },
        year: (m % 11 != 3).then_some(1920 + (m % 100) as u16),
        genres: (0..m % 4).map(|g| GENRES[((m + g) % 5) as usize].to_owned()).collect(),
        imdb_id: (m % 7 != 6).then(|| format!("{:07}", 100_000 + m)),
        tmdb_id: (m % 5 != 4).then(|| (500 + m).to_string()),
    };
    let movies = Movies::new((0..MOVIES).map(record).collect()).unwrap();
    let mut log = RatingLog::default();
    for user in 1..=USERS {
        for step in 0..20 + user {
            let movie = MovieIndex((user * step * 7 + step) % (MOVIES - 100));
            let stars = Stars::from_half_stars((user + step * 3) as u8 % 10 + 1).unwrap();
            log.push(UserId(user), movie, stars, 900_000_000 + user * 1000 + step);
        }
    }
    let mut catalog = Catalog::new(movies, log.into_histories().0);
    catalog.hide(hidden.iter().copied().map(MovieId));
    let catalog = Arc::new(catalog);
    let line = |id: u32, at: u32| {
        let angle = f64::from(at) * 0.37;
        format!("{id}:{} {} {}\n", angle.cos(), angle.sin(), (angle * 1.7).sin())
    };
    let items: String = (0..MOVIES - 50).map(|m| line(3 * m + 1, m)).collect();
    let users: String = (1..=30).map(|u| line(u, u * 5)).collect();
    let read = |text: &str| EmbeddingTable::read(text.as_bytes(), "test").unwrap();
    let embeddings =
        Embeddings::new(&read(&items), read(&users), Similarity::Cosine, &catalog).unwrap();
    let neuralcf = Model::unavailable("neuralcf", "neuralcf", "no model is loaded");
    let neuralcf = neuralcf.alias("nerualcf").fallback("emb");
    Engine::builder(catalog).standard(Some(embeddings)).model(neuralcf).build().unwrap()
}

/// A snapshot in which the movies with these ids are hidden.
pub(crate) fn hiding(ids: &[u32]) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(Arc::new(engine_hiding(ids)), SnapshotOptions::default()))
}

pub(crate) fn snapshot(options: SnapshotOptions) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(Arc::new(engine()), options))
}

/// Options for tests that are not about timeouts.
pub(crate) fn patient() -> Options {
    Options { shutdown_timeout: PATIENCE, ..Options::default() }
}

type Stopped = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server with its own port and threads.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) server: Arc<Server>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Served>>,
}

impl Running {
    /// The admin port of this server, in its own thread.
    pub(crate) fn admin(&self) -> Self {
        self.admin_on("127.0.0.1:0")
    }

    /// The same on another address.
    pub(crate) fn admin_on(&self, address: &'static str) -> Self {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let server = Arc::clone(&self.server);
        Self::serving(address, server, &mut runtime, async |server, listener, stopped| {
            server.serve_admin(listener, stopped).await;
            Served { cut: 0 }
        })
    }

    /// With a snapshot.
    pub(crate) fn start(options: Options) -> Self {
        Self::with_snapshot(options, snapshot(SnapshotOptions::default()))
    }

    pub(crate) fn with_snapshot(options: Options, snapshot: Arc<Snapshot>) -> Self {
        let running = Self::unpublished(options);
        running.server.publish(snapshot);
        running
    }

    /// Without a snapshot, as while data are loaded.
    pub(crate) fn unpublished(options: Options) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2);
        Self::run(options, runtime)
    }

    /// With a snapshot, and with one thread: there, once a connection has been answered, what other
    /// connections sent before has been read.
    pub(crate) fn in_one_thread(options: Options) -> Self {
        let running = Self::run(options, tokio::runtime::Builder::new_current_thread());
        running.server.publish(snapshot(SnapshotOptions::default()));
        running
    }

    fn run(options: Options, mut runtime: tokio::runtime::Builder) -> Self {
        let server = Arc::new(Server::new(options));
        Self::serving("127.0.0.1:0", server, &mut runtime, async |server, listener, stopped| {
            server.serve(listener, stopped).await
        })
    }

    fn serving(
        address: &'static str,
        server: Arc<Server>,
        runtime: &mut tokio::runtime::Builder,
        serve: impl AsyncFnOnce(&Server, tokio::net::TcpListener, Stopped) -> Served + Send + 'static,
    ) -> Self {
        let runtime = runtime.enable_all().build().unwrap();
        let serving = Arc::clone(&server);
        let (stop, stopped) = oneshot::channel();
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind(address).await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                let stopped: Stopped = Box::pin(async { drop(stopped.await) });
                serve(&serving, listener, stopped).await
            })
        });
        let address = receiver.recv_timeout(PATIENCE).unwrap();
        Self { address, server, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// Sends bytes on a new connection and reads one answer.
    pub(crate) fn send(&self, request: &[u8]) -> Answer {
        let mut client = self.connect();
        client.write(request);
        client.answer()
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.get_with(target, "")
    }

    /// `headers` are whole lines.
    pub(crate) fn get_with(&self, target: &str, headers: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes())
    }

    /// The body of a 200.
    pub(crate) fn json(&self, target: &str) -> Value {
        let answer = self.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"), "{target}");
        answer.json()
    }

    /// Begins shutdown.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn join(mut self) -> Served {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
        self.thread.take().unwrap().join().unwrap()
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.write(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        self.answer()
    }

    /// Reads an answer that has a body of the announced length.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let len = answer.header("content-length").map_or(0, |len| len.parse().unwrap());
        while self.buffer.len() < len {
            assert!(self.fill() > 0, "the connection ended within a body");
        }
        answer.body = self.buffer.drain(..len).collect();
        answer
    }

    /// Reads the head of an answer.
    pub(crate) fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(self.fill() > 0, "the connection ended before an answer");
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status_line = lines.next().unwrap();
        assert!(status_line.starts_with("HTTP/1."), "{status_line}");
        let mut headers = BTreeMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            let earlier = headers.insert(name.to_owned(), value.to_owned());
            assert_eq!(earlier, None, "{name} occurs twice");
        }
        Answer { status: status_line[9..12].parse().unwrap(), headers, body: Vec::new() }
    }

    fn fill(&mut self) -> usize {
        let mut chunk = [0; 16384];
        let read = self.stream.read(&mut chunk).unwrap();
        self.buffer.extend_from_slice(&chunk[..read]);
        read
    }

    /// Expects the end of the connection without a reset, which may lose an answer.
    pub(crate) fn end(&mut self) {
        assert_eq!(self.buffer, b"");
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0);
    }

    /// Reads to the end of the connection, also to a reset.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.buffer);
        let mut chunk = [0; 16384];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return rest,
                Ok(read) => rest.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return rest,
                Err(error) => panic!("the connection did not end: {error}"),
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body, without the ids that no other answer has.
    pub(crate) fn json(&self) -> Value {
        let mut body: Value = serde_json::from_slice(&self.body).unwrap();
        if let Some(object) = body.as_object_mut() {
            let request_id = object.remove("requestId");
            assert!(request_id.is_none_or(|id| id.as_str() == self.header("x-request-id")));
            let id = object.remove("recommendationId");
            assert!(id.is_none_or(|id| id.as_str().is_some_and(|id| id.len() > 11)));
        }
        body
    }

    /// The problem document, after checks that apply to every one.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        for field in ["type", "title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        assert!(self.header("date").is_some());
        problem
    }
}
