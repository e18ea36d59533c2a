//! Continuous requests and their outcomes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::{PATIENCE, get};

/// Clients that send requests until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Outcome>>,
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) target: String,
    pub(crate) status: u16,
    pub(crate) degraded: bool,
    /// The model that ranked, if one did.
    pub(crate) model: Option<String>,
    pub(crate) took: Duration,
}

impl Load {
    /// Starts four clients per server, each with users of its own.
    pub(crate) fn start(servers: &[SocketAddr]) -> Self {
        Self::clients(servers, None)
    }

    /// The same, for recommendations by one model only.
    pub(crate) fn asking(servers: &[SocketAddr], model: &'static str) -> Self {
        Self::clients(servers, Some(model))
    }

    fn clients(servers: &[SocketAddr], model: Option<&'static str>) -> Self {
        let (stop, answered) = (Arc::default(), Arc::default());
        let mut clients = JoinSet::new();
        for (index, &server) in servers.iter().cycle().take(servers.len() * 4).enumerate() {
            clients.spawn(client(server, index, model, Arc::clone(&stop), Arc::clone(&answered)));
        }
        Self { stop, answered, clients }
    }

    /// Waits until this many more requests were answered.
    pub(crate) async fn more(&self, requests: usize) {
        let goal = self.answered.load(Ordering::SeqCst) + requests;
        let end = Instant::now() + PATIENCE;
        while self.answered.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < end, "the requests stand still");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the clients and returns the outcomes.
    pub(crate) async fn stop(mut self) -> Vec<Outcome> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        while let Some(outcomes) = self.clients.join_next().await {
            all.extend(outcomes.unwrap());
        }
        all
    }
}

async fn client(
    server: SocketAddr,
    index: usize,
    model: Option<&'static str>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let user = (index * 37 + turn * 11) % 500 + 1;
        let target = match (turn % 4, model) {
            (0, None) => format!("/v1/users/{user}"),
            (1, None) => format!("/getrecforyou?id={user}"),
            (0, Some(model)) => format!("/getrecforyou?id={user}&model={model}"),
            (_, Some(model)) => {
                format!("/v1/users/{user}/recommendations?size=10&model={model}")
            }
            _ => format!("/v1/users/{user}/recommendations?size=10"),
        };
        let start = Instant::now();
        let answer = get(server, &target).await;
        let took = start.elapsed();
        let degraded = answer.header("x-sparrow-degraded") == Some("true");
        let model = answer.header("x-sparrow-model").map(str::to_owned);
        outcomes.push(Outcome { target, status: answer.status, degraded, model, took });
        answered.fetch_add(1, Ordering::SeqCst);
    }
    outcomes
}
