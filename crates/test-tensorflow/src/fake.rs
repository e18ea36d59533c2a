//! A fake model server with TensorFlow Serving's REST API and programmable replies, which records requests.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_debug_implementations,
    reason = "for tests"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The reply to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A status and a body.
    Answer(u16, String),
    /// Raw bytes, then the connection is closed.
    Raw(&'static str),
    /// The connection is closed.
    Close,
    /// No reply.
    Silence,
    /// The head and half of the body, then nothing.
    Half(String),
    /// A reply after [`Fake::open_gate`].
    Gated(String),
    /// A status and a body after a delay.
    Slow(Duration, u16, String),
    /// A reply with chunked encoding.
    Chunked(String),
    /// A reply, after which the connection is closed without notice.
    AndClose(String),
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The path.
    pub path: String,
    /// The body.
    pub body: String,
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

/// A server on a free port of loopback, stopped when dropped.
pub struct Fake {
    /// The port.
    pub port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    handler: Mutex<Arc<Handler>>,
    connections: AtomicUsize,
    open: AtomicUsize,
    requests: Mutex<Vec<Request>>,
    gate: Semaphore,
}

impl Fake {
    /// Starts a server.
    pub async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(0, None, Arc::new(handler)).await
    }

    /// Starts a server with TLS.
    pub async fn start_tls(
        tls: TlsAcceptor,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(0, Some(tls), Arc::new(handler)).await
    }

    async fn serve(port: u16, tls: Option<TlsAcceptor>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            handler: Mutex::new(handler),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            requests: Mutex::default(),
            gate: Semaphore::new(0),
        });
        let task_shared = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Dropping the task ends all connections.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (shared, tls) = (Arc::clone(&task_shared), tls.clone());
                shared.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(async move {
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => shared.connection(stream).await,
                            Err(_) => None,
                        },
                        None => shared.connection(stream).await,
                    };
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, shared, task }
    }

    /// Replaces the handler.
    pub fn set(&self, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.shared.handler.lock().unwrap() = Arc::new(handler);
    }

    /// Starts a server on a given port.
    pub async fn start_on(
        port: u16,
        handler: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(port, None, Arc::new(handler)).await
    }

    /// Closes all connections and restarts on the same port.
    pub async fn restart(self) -> Self {
        let handler = Arc::clone(&self.shared.handler.lock().unwrap());
        let port = self.stop().await;
        Self::serve(port, None, handler).await
    }

    /// Closes all connections and stops listening; returns the port.
    pub async fn stop(mut self) -> u16 {
        self.task.abort();
        // The sockets are closed when the task has ended.
        assert!((&mut self.task).await.unwrap_err().is_cancelled());
        self.port
    }

    /// The address of a model named `m`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/models/m", self.port)
    }

    /// The total number of connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// The received predict requests.
    pub fn predictions(&self) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|request| request.path.ends_with(":predict")).cloned().collect()
    }

    /// Releases a number of gated replies.
    pub fn open_gate(&self, answers: usize) {
        self.shared.gate.add_permits(answers);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Serves a connection until it ends.
    async fn connection(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut read = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                    break end + 4;
                }
                (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
            };
            let text = String::from_utf8(read[..head].to_vec()).unwrap();
            let path = text.split(' ').nth(1).unwrap().to_owned();
            let length = text.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            let end = head + length.unwrap_or(0);
            while read.len() < end {
                (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
            }
            let body = String::from_utf8(read[head..end].to_vec()).unwrap();
            read.drain(..end);
            let request = Request { path, body };
            self.requests.lock().unwrap().push(request.clone());
            let handler = Arc::clone(&self.handler.lock().unwrap());
            self.reply(handler(&request), &mut stream).await?;
        }
    }

    async fn reply(
        &self,
        reply: Reply,
        stream: &mut (impl AsyncWrite + AsyncRead + Unpin),
    ) -> Option<()> {
        let whole = |status: u16, body: &str| {
            format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        match reply {
            Reply::Answer(status, body) => {
                stream.write_all(whole(status, &body).as_bytes()).await.ok()
            }
            Reply::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await.ok()?;
                None
            }
            Reply::Close => None,
            Reply::Silence => {
                // Until the client closes the connection.
                while stream.read(&mut [0; 64]).await.ok()? > 0 {}
                None
            }
            Reply::Half(body) => {
                let text = whole(200, &body);
                stream.write_all(&text.as_bytes()[..text.len() - body.len() / 2]).await.ok()?;
                while stream.read(&mut [0; 64]).await.ok()? > 0 {}
                None
            }
            Reply::Gated(body) => {
                self.gate.acquire().await.unwrap().forget();
                stream.write_all(whole(200, &body).as_bytes()).await.ok()
            }
            Reply::Slow(time, status, body) => {
                tokio::time::sleep(time).await;
                stream.write_all(whole(status, &body).as_bytes()).await.ok()
            }
            Reply::Chunked(body) => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.ok()?;
                for piece in body.as_bytes().chunks(7) {
                    let piece =
                        [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                    stream.write_all(&piece).await.ok()?;
                }
                stream.write_all(b"0\r\n\r\n").await.ok()
            }
            Reply::AndClose(body) => {
                stream.write_all(whole(200, &body).as_bytes()).await.ok()?;
                None
            }
        }
    }
}

impl Reply {
    /// A JSON body.
    pub fn ok(body: &Value) -> Self {
        Self::Answer(200, body.to_string())
    }
}

/// Returns the metadata of a model with inputs of these names, types and shapes.
pub fn metadata(version: u64, inputs: &[(&str, &str, &[i64])]) -> Value {
    let tensor = |dtype: &str, shape: &[i64]| {
        let dims: Vec<Value> =
            shape.iter().map(|size| json!({"size": size.to_string(), "name": ""})).collect();
        json!({"dtype": dtype, "tensor_shape": {"dim": dims, "unknown_rank": false}, "name": "x:0"})
    };
    let described: serde_json::Map<String, Value> = inputs
        .iter()
        .map(|(name, dtype, shape)| ((*name).to_owned(), tensor(dtype, shape)))
        .collect();
    json!({
        "model_spec": {"name": "m", "signature_name": "", "version": version.to_string()},
        "metadata": {"signature_def": {"signature_def": {
            "__saved_model_init_op": {"inputs": {}, "outputs": {"__init": {
                "dtype": "DT_INVALID",
                "tensor_shape": {"dim": [], "unknown_rank": true},
                "name": "NoOp",
            }}, "method_name": ""},
            "serving_default": {
                "inputs": described,
                "outputs": {"score": tensor("DT_FLOAT", &[-1, 1])},
                "method_name": "tensorflow/serving/predict",
            },
        }}},
    })
}

/// Returns the metadata of NeuralCF.
pub fn neural_cf(version: u64) -> Value {
    metadata(version, &[("userId", "DT_INT32", &[-1]), ("movieId", "DT_INT32", &[-1])])
}

/// A score that identifies the user and the movie.
pub fn pair_score(user: u32, movie: u32) -> f32 {
    (f64::from(user * 1000 + movie) / 1_000_000.0) as f32
}

/// Scores pairs by [`pair_score`], in either format.
pub fn predict(body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap();
    let number = |value: &Value| value.as_u64().unwrap() as u32;
    let score = |user: &Value, movie: &Value| json!([pair_score(number(user), number(movie))]);
    if let Some(rows) = body.get("instances") {
        let scores: Vec<Value> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| score(&row["userId"], &row["movieId"]))
            .collect();
        return json!({ "predictions": scores });
    }
    let column = |name: &str| body["inputs"][name].as_array().unwrap().clone();
    let pairs = column("userId").into_iter().zip(column("movieId"));
    json!({ "outputs": pairs.map(|(user, movie)| score(&user, &movie)).collect::<Vec<_>>() })
}

/// The handler of a healthy server.
pub fn good(request: &Request) -> Reply {
    if request.path.ends_with("/metadata") {
        Reply::ok(&neural_cf(3))
    } else {
        Reply::ok(&predict(&request.body))
    }
}

/// A handler with custom replies to predict requests.
pub fn predicting(
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    move |request| {
        if request.path.ends_with(":predict") { reply(request) } else { good(request) }
    }
}

/// Waits for a condition for at most 10 seconds.
pub async fn eventually(condition: &str, done: impl Fn() -> bool) {
    for _ in 0..5000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("timed out waiting for: {condition}");
}
