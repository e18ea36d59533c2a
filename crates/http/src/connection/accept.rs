//! Accepts connections and ends them.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use crate::auth::Auth;
use crate::connection::addresses::Addresses;
use crate::connection::serve::{refuse, serve_connection};
use crate::routing::dispatch::Lane;
use crate::state::experiments::{Experiment, ExposureCounts};
use crate::state::history::{Counted, STEP};
use crate::state::operations::Operations;
use crate::state::options::Options;
use crate::state::shared::{LastSnapshot, Shared};
use crate::state::snapshot::Snapshot;
use crate::state::tls::Tls;

/// The pause after the system failed to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// The number of connections that did not end in time and were cut.
    pub cut: usize,
}

/// An HTTP/1.1 server.
///
/// It may listen before it has data: until a [`Snapshot`] is published, `/healthz` reports that the process is
/// alive, and everything else is answered 503.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    addresses: Arc<Addresses>,
}

impl Server {
    /// A server without a snapshot.
    pub fn new(options: Options) -> Self {
        Self {
            addresses: Addresses::new(options.max_connections_per_address),
            shared: Arc::new(Shared::new(options)),
        }
    }

    /// Replaces the experiments, of which there are none at first.
    pub fn set_experiments(&self, experiments: Arc<[Experiment]>) {
        self.shared.experiments.replace(experiments);
    }

    /// The numbers of exposures since the start.
    pub fn exposure_counts(&self) -> ExposureCounts {
        self.shared.exposures.counts()
    }

    /// Answers from this snapshot from the next request on, also on open connections. Requests in progress keep
    /// their snapshot.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.shared.publish(snapshot);
    }

    /// Sets what the program provides for operators; the last call counts.
    pub fn operate(&self, operations: Operations) {
        self.shared.operate(operations);
    }

    /// Encrypts all connections of the public port, and those of an admin port beyond loopback. To be called before the server
    /// serves; the first call counts.
    pub fn set_tls(&self, tls: Arc<dyn Tls>) {
        self.shared.set_tls(tls);
    }

    /// Replaces the credentials, from the next request on.
    pub fn set_auth(&self, auth: Auth) {
        self.shared.auth.replace(auth);
    }

    /// Serves connections until `shutdown` resolves. From then on the server is not ready; after
    /// [`Options::drain_delay`] it accepts no more connections. Each open one is closed with its next answer, which
    /// has `Connection: close`, or when it has been idle for half a second. Connections that do not end within
    /// [`Options::shutdown_timeout`] are cut.
    ///
    /// A client that keeps connections and sends its requests without longer pauses loses none: a connection is
    /// never closed behind an answer that did not announce it.
    ///
    /// Failures to accept, because of missing file descriptors for example, are logged and retried. Dropping the
    /// future cuts all connections. A server serves once: after shutdown it stays shut.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Served {
        let mut accepting = Accepting {
            server: self,
            listener,
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
            refusing: VecDeque::new(),
        };
        accepting.until(shutdown).await;
        self.shared.drain();
        accepting.until(tokio::time::sleep(self.shared.options.drain_delay)).await;
        let mut connections = accepting.finish().await;

        self.shared.begin_shutdown();
        let all_end = async { while connections.join_next().await.is_some() {} };
        let mut cut = 0;
        if timeout(self.shared.options.shutdown_timeout, all_end).await.is_err() {
            cut = connections.len();
            connections.shutdown().await;
            tracing::warn!(cut, "cut connections that did not end in time");
        }
        self.shared.exposures.flush().await;
        Served { cut }
    }

    /// Serves operators until `shutdown` resolves: health, readiness and models, with the addresses and messages that are not
    /// public, the page about the last hour, the configuration and the filter of log lines. Beyond loopback, all but health and
    /// readiness needs a key with the scope `admin`. Meant for a port of its own and, so that nothing blocks it, a thread of its
    /// own.
    pub async fn serve_admin(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let most = self.shared.options.max_admin_connections;
        let on_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
        let lane = Lane::Admin { on_loopback };
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let snapshot = LastSnapshot::default();
        let sample = || {
            let current = self.shared.current(&snapshot);
            let (metrics, shed) = (self.shared.metrics.as_ref(), self.shared.shed());
            let counted = Counted::read(metrics, shed, current.as_deref());
            self.shared.history.sample(counted, Instant::now());
        };
        // The first tick of an interval may come after the first connection.
        sample();
        let mut samples = interval_at(tokio::time::Instant::now() + STEP, STEP);
        samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => return,
                _ = samples.tick() => {
                    sample();
                    continue;
                }
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept(), if connections.len() < most => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&self.shared);
                    connections.spawn(serve_connection(shared, None, stream, lane));
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// Accepts connections, and collects those that have ended.
struct Accepting<'a> {
    server: &'a Server,
    listener: TcpListener,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
    /// The refusals by age, and whether they have their answer; some may have ended.
    refusing: VecDeque<(AbortHandle, Arc<AtomicBool>)>,
}

impl Accepting<'_> {
    async fn until(&mut self, end: impl Future<Output = ()>) {
        let mut end = pin!(end);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut end => return,
                Some(ended) = self.connections.join_next() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "the task of a connection failed");
                    }
                    continue;
                }
                Some(_) = self.refusals.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer),
                Err(error) if concerns_one_connection(&error) => {
                    tracing::debug!(%error, "a connection ended before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections, retrying");
                    tokio::select! {
                        () = &mut end => return,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        let shared = Arc::clone(&self.server.shared);
        if self.connections.len() < shared.options.max_connections {
            let addresses = Some(Arc::clone(&self.server.addresses));
            self.connections.spawn(serve_connection(shared, addresses, stream, Lane::Public));
            return;
        }
        tracing::warn!(%peer, "too many connections, refusing one");
        let most = shared.options.max_refusals;
        if self.refusing.len() >= most {
            self.refusing.retain(|(task, _)| !task.is_finished());
        }
        if self.refusing.len() >= most {
            // One that has its answer and is slow to close: the others may be health checks.
            let told = |(_, told): &(_, Arc<AtomicBool>)| told.load(Ordering::Relaxed);
            let index = self.refusing.iter().position(told).unwrap_or(0);
            if let Some((task, _)) = self.refusing.remove(index) {
                task.abort();
            }
        }
        let told = Arc::default();
        let task = self.refusals.spawn(refuse(shared, stream, Arc::clone(&told)));
        self.refusing.push_back((task, told));
    }

    /// Takes the connections that the system has accepted already, which closing the listener would reset, and
    /// closes the listener.
    async fn finish(mut self) -> JoinSet<()> {
        while let Poll::Ready(Ok((stream, peer))) =
            poll_fn(|cx| Poll::Ready(self.listener.poll_accept(cx))).await
        {
            self.take(stream, peer);
        }
        self.connections
    }
}

/// Whether accepting failed because of the connection rather than the server.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
