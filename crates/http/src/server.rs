//! Connections: accepting, limiting, serving, and ending them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::addresses::Addresses;
use crate::cors::Cors;
use crate::flight::InFlight;
use crate::guard::{Guard, Link};
use crate::hosts::Hosts;
use crate::limit::Limiter;
use crate::problem::{Kind, Problem};
use crate::reply::raw;
use crate::site::Site;
use crate::site::answer;

/// How much of a request head is read, so that what exceeds the limits moderately is still answered
/// with the limit's name. More than the longest URL that hyper knows.
const READ_BUFFER: usize = 96 << 10;

/// How long connections over the limit may take to be told so.
const REFUSAL: Duration = Duration::from_secs(1);

/// How requests about health and readiness begin.
const PROBES: [&[u8]; 4] = [b"GET /healthz", b"GET /readyz", b"HEAD /healthz", b"HEAD /readyz"];

/// How long nothing is accepted after the system could not.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// For the head of a request to arrive, from its first byte; for the first request from the
    /// moment the connection is accepted.
    pub header_timeout: Duration,
    /// For a connection without a request to stay open after an answer.
    pub idle_timeout: Duration,
    /// For the client to take any part of its answer. The socket's buffer counts as taken.
    pub write_timeout: Duration,
    /// For the client to take all of an answer, however steadily.
    pub answer_timeout: Duration,
    /// For the engine to answer.
    pub request_timeout: Duration,
    /// For load balancers to notice that readiness fails, before shutdown begins.
    pub drain_delay: Duration,
    /// Long rankings at a time: of the whole catalogue, or by a slow model. A few more wait, further ones are
    /// answered 503. 0 stands for the number of cores.
    pub max_rankings: usize,
    /// For requests in flight to end after shutdown has begun; then connections are cut.
    pub shutdown_timeout: Duration,
    /// Connections at a time; a further one is answered 503 and closed.
    pub max_connections: usize,
    /// Connections over that limit that are answered at a time; a further one ends the oldest that
    /// has its answer.
    pub max_refusals: usize,
    /// Connections to the admin port at a time; further ones wait.
    pub max_admin_connections: usize,
    /// Connections at a time from one address; 0 for no limit, since a proxy is one address.
    pub max_connections_per_address: usize,
    /// Bytes of large answers that clients have not taken yet, all together; further ones are answered
    /// 503.
    pub max_bytes_in_flight: usize,
    /// Bytes of a URL.
    pub max_uri_bytes: usize,
    /// Bytes of all headers together; besides, there may be a hundred.
    pub max_header_bytes: usize,
    /// Which web pages of other origins may use the API.
    pub cors: Cors,
    /// The names under which the server may be asked; health and readiness answer under any.
    pub hosts: Hosts,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_mins(2),
            request_timeout: Duration::from_secs(5),
            drain_delay: Duration::ZERO,
            max_rankings: 0,
            shutdown_timeout: Duration::from_secs(10),
            max_connections: 1000,
            max_refusals: 32,
            max_admin_connections: 16,
            max_connections_per_address: 0,
            max_bytes_in_flight: 256 << 20,
            max_uri_bytes: 8 << 10,
            max_header_bytes: 16 << 10,
            cors: Cors::default(),
            hosts: Hosts::ANY,
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Connections that had not ended when the time for it was over, and were cut.
    pub cut: usize,
}

/// An HTTP/1.1 server.
///
/// It may listen before there is anything to serve: until a [`Site`] is published `/healthz` says
/// that the process lives, and everything else answers 503.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

/// What all connections know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Arc<Options>,
    pub(crate) rankings: Limiter,
    /// Rankings by versions of models whose pace is not known yet.
    pub(crate) first_rankings: Limiter,
    pub(crate) flight: InFlight,
    addresses: Arc<Addresses>,
    site: Mutex<Option<Arc<Site>>>,
    /// Counts the sites published, so that connections need not lock to learn of a new one.
    generation: AtomicU64,
    /// Set when the server is asked to shut down.
    draining: AtomicBool,
    /// Set after [`Options::drain_delay`], before `stop` wakes the connections.
    stopping: AtomicBool,
    stop: Notify,
}

impl Shared {
    /// Whether the server has been asked to shut down: it is no longer ready.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether shutdown has begun: each answer is the last one on its connection.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

impl Server {
    /// A server without a site.
    pub fn new(options: Options) -> Self {
        let shared = Shared {
            addresses: Addresses::new(options.max_connections_per_address),
            flight: InFlight::new(options.max_bytes_in_flight),
            rankings: Limiter::new(options.max_rankings, "long rankings"),
            first_rankings: Limiter::new(options.max_rankings, "first rankings"),
            options: Arc::new(options),
            site: Mutex::new(None),
            generation: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Serves this site from the next request on, also on open connections. Requests that are
    /// being answered keep the site that they started with.
    pub fn publish(&self, site: Arc<Site>) {
        *self.shared.site.lock().unwrap_or_else(PoisonError::into_inner) = Some(site);
        self.shared.generation.fetch_add(1, Ordering::Release);
    }

    /// Serves connections until `shutdown` resolves. From then on the server is not ready; after
    /// [`Options::drain_delay`] it accepts no more connections and closes each one with its next answer, which
    /// says so, or when it has been idle for half a second. What has not ended within
    /// [`Options::shutdown_timeout`] is cut.
    ///
    /// A client that keeps connections and sends its requests without longer pauses loses none: a connection is
    /// never closed behind an answer that did not announce it.
    ///
    /// Failing to accept, for want of file descriptors say, is logged and tried again. The future
    /// may be dropped: that cuts all connections. A server serves once: after shutdown it stays shut.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Served {
        let mut accepting = Accepting {
            shared: &self.shared,
            listener,
            connections: JoinSet::new(),
            refusals: JoinSet::new(),
            refusing: VecDeque::new(),
        };
        accepting.until(shutdown).await;
        self.shared.draining.store(true, Ordering::Release);
        accepting.until(tokio::time::sleep(self.shared.options.drain_delay)).await;
        let mut connections = accepting.finish().await;

        self.shared.stopping.store(true, Ordering::Release);
        self.shared.stop.notify_waiters();
        let all_end = async { while connections.join_next().await.is_some() {} };
        if timeout(self.shared.options.shutdown_timeout, all_end).await.is_ok() {
            return Served { cut: 0 };
        }
        let cut = connections.len();
        connections.shutdown().await;
        tracing::warn!(cut, "cut connections that did not end in time");
        Served { cut }
    }
}

/// Accepts connections, and collects those that have ended.
struct Accepting<'a> {
    shared: &'a Arc<Shared>,
    listener: TcpListener,
    connections: JoinSet<()>,
    refusals: JoinSet<()>,
    /// The refusals by age, and whether they have been told; some may have ended.
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
                        tracing::error!(%error, "a connection's task failed");
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
                    tracing::warn!(%error, "cannot accept connections, trying again");
                    tokio::select! {
                        () = &mut end => return,
                        () = tokio::time::sleep(ACCEPT_PAUSE) => {}
                    }
                }
            }
        }
    }

    fn take(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.connections.len() < self.shared.options.max_connections {
            self.connections.spawn(serve_connection(Arc::clone(self.shared), stream, Lane::Public));
            return;
        }
        tracing::warn!(%peer, "too many connections, refusing one");
        if self.refusing.len() >= self.shared.options.max_refusals {
            self.refusing.retain(|(task, _)| !task.is_finished());
        }
        if self.refusing.len() >= self.shared.options.max_refusals {
            // One that has its answer and is slow to close: the others may be health checks.
            let told = |(_, told): &(_, Arc<AtomicBool>)| told.load(Ordering::Relaxed);
            let place = self.refusing.iter().position(told).unwrap_or(0);
            if let Some((task, _)) = self.refusing.remove(place) {
                task.abort();
            }
        }
        let told = Arc::default();
        let refusal = refuse(Arc::clone(self.shared), stream, Arc::clone(&told));
        let task = self.refusals.spawn(refusal);
        self.refusing.push_back((task, told));
    }

    /// Takes the connections that the system has accepted already, which would be reset with the
    /// listener, and closes it.
    async fn finish(mut self) -> JoinSet<()> {
        while let Poll::Ready(Ok((stream, peer))) =
            poll_fn(|cx| Poll::Ready(self.listener.poll_accept(cx))).await
        {
            self.take(stream, peer);
        }
        self.connections
    }
}

impl Server {
    /// Serves operators until `shutdown` resolves: health, readiness and models, with the addresses and messages
    /// that the public does not learn. Meant for a port of its own and, so that nothing holds it up, a thread of
    /// its own.
    pub async fn serve_admin(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let most = self.shared.options.max_admin_connections;
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => return,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept(), if connections.len() < most => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let shared = Arc::clone(&self.shared);
                    connections.spawn(serve_connection(shared, stream, Lane::Admin));
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
}

/// Whether accepting failed because of the connection rather than the server.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Tells a client that there are too many connections; but answers probes of health and readiness, which
/// would take a busy server for a broken one.
async fn refuse(shared: Arc<Shared>, stream: TcpStream, told: Arc<AtomicBool>) {
    let mut head = [0; 16];
    let first = timeout(REFUSAL, stream.peek(&mut head)).await;
    let head = &head[..first.ok().and_then(Result::ok).unwrap_or(0)];
    if PROBES.iter().any(|probe| head.starts_with(probe)) {
        let _ = timeout(REFUSAL, serve_connection(shared, stream, Lane::Probes)).await;
        return;
    }
    told.store(true, Ordering::Relaxed);
    tell(stream, "the server has too many connections").await;
}

/// Tells a client why it is refused.
async fn tell(mut stream: TcpStream, why: &str) {
    let answer = raw(&Problem::new(Kind::Unavailable, why));
    let told = timeout(REFUSAL, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // Closing with unread data would reset the connection, and the answer could be lost.
        let mut scratch = [0; 1024];
        while stream.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    });
    if !matches!(told.await, Ok(Ok(()))) {
        tracing::debug!("a refused client did not take its answer");
    }
}

/// What a connection may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// All that is for the public.
    Public,
    /// One question about health or readiness, when there are too many connections.
    Probes,
    /// Health, readiness and models, with what the public does not learn.
    Admin,
}

/// Serves one connection to its end.
async fn serve_connection(shared: Arc<Shared>, stream: TcpStream, lane: Lane) {
    let peer = stream.peer_addr().ok().filter(|_| lane == Lane::Public);
    let _counted = match peer.map(|peer| shared.addresses.admit(peer.ip())) {
        None => None,
        Some(Some(counted)) => Some(counted),
        Some(None) => return tell(stream, "this address has too many connections").await,
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let link = Arc::new(Link::default());
    let guard = Guard::new(stream, Arc::clone(&link), Arc::clone(&shared.options));
    // Never contended: one task serves the connection. A cell would do, but is not `Sync`.
    let current = Mutex::new((0, None));
    let service = service_fn(|request: Request<Incoming>| {
        link.answering();
        let site = current_site(&shared, &current);
        let (shared, link) = (&shared, &link);
        async move {
            let (parts, mut body) = request.into_parts();
            let (response, unread) = answer(shared, site.as_deref(), parts, &mut body, lane).await;
            if unread {
                link.linger();
            }
            link.writing();
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = http1::Builder::new()
        // The guard does all the timing; and it detects a client that is gone when it writes.
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(guard), service);

    let mut stop = pin!(shared.stop.notified());
    let mut listening = false;
    let ended = poll_fn(|cx| {
        // Polled once: a task has one waker, so that is enough to be woken, and the flag tells why.
        if !listening {
            listening = true;
            let _ = stop.as_mut().poll(cx);
        }
        if shared.is_stopping() {
            link.stop();
        }
        Pin::new(&mut connection).poll(cx)
    })
    .await;
    let Err(error) = ended else { return };
    tracing::debug!(%error, "a connection ended early");
    if error.is_parse_version_h2() {
        let mut stream = connection.into_parts().io.into_inner().into_stream();
        let answer = raw(&Problem::new(Kind::HttpVersion, "this server speaks HTTP/1.1"));
        let _ = timeout(REFUSAL, stream.write_all(&answer)).await;
    }
}

/// The site to answer from, kept with the connection until another is published.
fn current_site(shared: &Shared, known: &Mutex<(u64, Option<Arc<Site>>)>) -> Option<Arc<Site>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let generation = shared.generation.load(Ordering::Acquire);
    if known.0 != generation {
        let site = shared.site.lock().unwrap_or_else(PoisonError::into_inner).clone();
        *known = (generation, site);
    }
    known.1.clone()
}
