//! A minimal model server with TensorFlow Serving's REST API and configurable failures.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// The behaviour of the server.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// The version that it reports.
    pub(crate) version: u64,
    /// The model's inputs, with their types.
    pub(crate) inputs: Vec<(&'static str, &'static str)>,
    /// The delay of each prediction.
    pub(crate) delay: Duration,
    /// The status and the body of every prediction, instead of scores.
    pub(crate) instead: Option<(u16, &'static str)>,
    /// The last request for scores.
    pub(crate) asked: Value,
}

impl Default for Behaviour {
    fn default() -> Self {
        let inputs = vec![("userId", "DT_INT32"), ("movieId", "DT_INT32")];
        Self { version: 1, inputs, delay: Duration::ZERO, instead: None, asked: Value::Null }
    }
}

pub(crate) struct ModelServer {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    serving: Option<JoinHandle<()>>,
}

impl ModelServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self::that_is_down().await;
        server.come_up().await;
        server
    }

    /// A server with an address that does not listen yet.
    pub(crate) async fn that_is_down() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, behaviour: Arc::default(), serving: None }
    }

    pub(crate) async fn come_up(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let behaviour = Arc::clone(&self.behaviour);
        self.serving = Some(tokio::spawn(async move {
            // Dropped with this task, which closes all connections.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let behaviour = Arc::clone(&behaviour);
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, Arc::clone(&behaviour)));
                    let http = hyper::server::conn::http1::Builder::new();
                    // The client may close the connection at any time.
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }));
    }

    /// Closes all connections and stops listening.
    pub(crate) async fn go_down(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ = serving.await;
        }
    }

    pub(crate) fn behave<T>(&self, change: impl FnOnce(&mut Behaviour) -> T) -> T {
        change(&mut self.behaviour.lock().unwrap())
    }

    /// The table of a model named `tf` at this server.
    pub(crate) fn table(&self) -> String {
        format!(
            "[[models]]\nname = 'tf'\nkind = 'tf-serving'\nurl = 'http://{}/v1/models/m'\n\
             deadline = '500ms'\ncheck_interval = '20ms'\nmin_requests = 3\n",
            self.address
        )
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    behaviour: Arc<Mutex<Behaviour>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let behaviour = {
        let mut behaviour = behaviour.lock().unwrap();
        if !asked.is_null() {
            behaviour.asked = asked;
        }
        behaviour.clone()
    };
    let (status, body) = match path.as_str() {
        "/v1/models/m/metadata" => (200, metadata(&behaviour).to_string()),
        "/v1/models/m:predict" => {
            tokio::time::sleep(behaviour.delay).await;
            match behaviour.instead {
                Some((status, body)) => (status, body.to_owned()),
                None => (200, predict(&behaviour.asked).to_string()),
            }
        }
        _ => (404, json!({"error": "there is no such thing"}).to_string()),
    };
    let answer = Response::builder().status(status).header("content-type", "application/json");
    Ok(answer.body(Full::from(body)).unwrap())
}

/// Scores that decrease with the movie id.
fn predict(request: &Value) -> Value {
    let movies = request["inputs"]["movieId"].as_array().unwrap().iter();
    let scores = movies.map(|movie| json!([1.0 / (1.0 + movie.as_f64().unwrap())]));
    json!({ "outputs": scores.collect::<Vec<_>>() })
}

fn metadata(behaviour: &Behaviour) -> Value {
    let tensor = |name: &str, dtype: &str, dims: &[&str]| {
        let dims: Vec<Value> = dims.iter().map(|size| json!({"size": size, "name": ""})).collect();
        json!({
            "dtype": dtype,
            "tensor_shape": {"dim": dims, "unknown_rank": false},
            "name": format!("{name}:0"),
        })
    };
    let inputs = behaviour.inputs.iter();
    let inputs: serde_json::Map<String, Value> =
        inputs.map(|(name, dtype)| ((*name).to_owned(), tensor(name, dtype, &["-1"]))).collect();
    let signature = json!({
        "inputs": inputs,
        "outputs": {"score": tensor("score", "DT_FLOAT", &["-1", "1"])},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    });
    json!({
        "model_spec": {"name": "m", "signature_name": "", "version": behaviour.version.to_string()},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    })
}
