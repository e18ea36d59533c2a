//! A model server that is fake, with configurable failures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use sparrow_test_tensorflow::fake::{Fake, Reply, Request, metadata};
use tokio::net::TcpListener;

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
    port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    server: Option<Fake>,
}

impl ModelServer {
    pub(crate) async fn start() -> Self {
        let mut server = Self::that_is_down().await;
        server.come_up().await;
        server
    }

    /// A server with a port that does not listen yet.
    pub(crate) async fn that_is_down() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, behaviour: Arc::default(), server: None }
    }

    pub(crate) async fn come_up(&mut self) {
        let behaviour = Arc::clone(&self.behaviour);
        let answer = move |request: &Request| answer(request, &mut behaviour.lock().unwrap());
        self.server = Some(Fake::start_on(self.port, answer).await);
    }

    /// Closes all connections and stops listening.
    pub(crate) async fn go_down(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    pub(crate) fn behave<T>(&self, change: impl FnOnce(&mut Behaviour) -> T) -> T {
        change(&mut self.behaviour.lock().unwrap())
    }

    /// The table of a model named `tf` at this server.
    pub(crate) fn table(&self) -> String {
        format!(
            "[[models]]\nname = 'tf'\nkind = 'tf-serving'\nurl = 'http://127.0.0.1:{}/v1/models/m'\n\
             deadline = '500ms'\ncheck_interval = '20ms'\nmin_requests = 3\n",
            self.port
        )
    }
}

fn answer(request: &Request, behaviour: &mut Behaviour) -> Reply {
    match request.path.as_str() {
        "/v1/models/m/metadata" => {
            let inputs = behaviour.inputs.iter();
            let inputs: Vec<_> = inputs.map(|&(name, kind)| (name, kind, &[-1][..])).collect();
            Reply::ok(&metadata(behaviour.version, &inputs))
        }
        "/v1/models/m:predict" => {
            behaviour.asked = serde_json::from_str(&request.body).unwrap();
            let (status, body) = match behaviour.instead {
                Some((status, body)) => (status, body.to_owned()),
                None => (200, predict(&behaviour.asked).to_string()),
            };
            Reply::Slow(behaviour.delay, status, body)
        }
        _ => Reply::Answer(404, json!({"error": "there is no such thing"}).to_string()),
    }
}

/// Scores that decrease with the movie id.
fn predict(request: &Value) -> Value {
    let movies = request["inputs"]["movieId"].as_array().unwrap().iter();
    let scores = movies.map(|movie| json!([1.0 / (1.0 + movie.as_f64().unwrap())]));
    json!({ "outputs": scores.collect::<Vec<_>>() })
}
