//! Serves or refuses one connection.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::addresses::Addresses;
use crate::connection::socket::Socket;
use crate::connection::timed_stream::{Progress, TimedStream, last_request};
use crate::response::problem::{Kind, Problem};
use crate::response::reply::raw;
use crate::routing::dispatch::{Lane, answer};
use crate::state::shared::Shared;
use crate::state::tls::Tls;

/// The size of the buffer for request heads: larger than the longest URL that hyper reads, so that a moderate
/// excess is answered with the limit's name.
const READ_BUFFER: usize = 96 << 10;

/// How long a refused client may take for its answer.
const REFUSAL: Duration = Duration::from_secs(1);

/// The beginnings of requests for health and readiness.
const PROBES: [&[u8]; 4] = [b"GET /healthz", b"GET /readyz", b"HEAD /healthz", b"HEAD /readyz"];

/// Refuses a connection because there are too many; but answers probes of health and readiness, which would take a
/// busy server for a broken one. Sets `told` before it refuses; with TLS it does not, since only the handshake shows the request.
pub(crate) async fn refuse(shared: Arc<Shared>, stream: TcpStream, told: Arc<AtomicBool>) {
    let serve_probe = |stream| serve_connection(Arc::clone(&shared), None, stream, Lane::Probes);
    if shared.tls().is_some() {
        let _ = timeout(REFUSAL, serve_probe(stream)).await;
        return;
    }
    let mut head = [0; 16];
    let first = timeout(REFUSAL, stream.peek(&mut head)).await;
    let head = &head[..first.ok().and_then(Result::ok).unwrap_or(0)];
    if PROBES.iter().any(|probe| head.starts_with(probe)) {
        let _ = timeout(REFUSAL, serve_probe(stream)).await;
        return;
    }
    told.store(true, Ordering::Relaxed);
    shared.count_refusal(0);
    let problem = Problem::new(Kind::Unavailable, "the server has too many connections");
    send_refusal(stream, &problem).await;
}

/// Sends the reason of a refusal.
async fn send_refusal(mut stream: TcpStream, problem: &Problem) {
    let answer = raw(problem);
    let sent = timeout(REFUSAL, async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // Closing with unread data would reset the connection, and the answer could be lost.
        let mut scratch = [0; 1024];
        while stream.read(&mut scratch).await? > 0 {}
        io::Result::Ok(())
    });
    if !matches!(sent.await, Ok(Ok(()))) {
        tracing::debug!("a refused client did not take its answer");
    }
}

/// Performs the TLS handshake of a connection, within the time for the head of its first request. Returns `None` if the connection
/// has ended.
async fn encrypt(shared: &Shared, tls: &dyn Tls, stream: TcpStream) -> Option<Socket> {
    let handshake = async {
        // A client of TLS begins with a byte that is not a letter.
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first[0].is_ascii_alphabetic() {
            let detail = "this port is for HTTPS: the address begins with https://";
            send_refusal(stream, &Problem::new(Kind::MalformedRequest, detail)).await;
            return Ok(None);
        }
        tls.accept(stream).await.map(Some)
    };
    let shutdown = async {
        let stop = shared.stop.notified();
        if !shared.is_stopping() {
            stop.await;
        }
        sleep(last_request(&shared.options)).await;
    };
    tokio::select! {
        biased;
        outcome = timeout(shared.options.header_timeout, handshake) => match outcome {
            Ok(Ok(stream)) => return stream.map(Socket::Encrypted),
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("closing a connection whose TLS handshake did not end in time"),
        },
        () = shutdown => {}
    }
    None
}

/// Serves one connection to its end, if its address has not reached its limit.
pub(crate) async fn serve_connection(
    shared: Arc<Shared>,
    addresses: Option<Arc<Addresses>>,
    stream: TcpStream,
    lane: Lane,
) {
    let accepted = Instant::now();
    let tls = shared.tls().filter(|_| lane != Lane::Admin { on_loopback: true });
    let peer = stream.peer_addr().ok().map(|peer| peer.ip());
    let counted = addresses.zip(peer).map(|(addresses, peer)| addresses.admit(peer));
    let _counted = match counted {
        None => None,
        Some(Some(counted)) => Some(counted),
        Some(None) => {
            shared.count_refusal(1);
            // Without a handshake, a client of TLS could not read the reason.
            if tls.is_none() {
                let detail = "this address has too many connections";
                send_refusal(stream, &Problem::new(Kind::Unavailable, detail)).await;
            }
            return;
        }
    };
    let _open = shared.metrics.as_ref().map(|metrics| metrics.connections.enter());
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let socket = match tls {
        // Boxed: connections without TLS have a future of this size, too.
        Some(tls) => Box::pin(encrypt(&shared, tls, stream)).await,
        None => Some(Socket::Plain(stream)),
    };
    let Some(socket) = socket else { return };
    let progress = Arc::new(Progress::default());
    let options = Arc::clone(&shared.options);
    let stream = TimedStream::new(socket, Arc::clone(&progress), options, accepted);
    // Never contended: one task serves the connection. A cell would do, but is not `Sync`.
    let last = Mutex::new((0, None));
    let service = service_fn(|request: Request<Incoming>| {
        progress.answering();
        let snapshot = shared.current(&last);
        let (shared, progress) = (&shared, &progress);
        async move {
            let (parts, mut body) = request.into_parts();
            let (response, unread) =
                answer(shared, snapshot.as_deref(), parts, &mut body, lane, peer).await;
            if unread {
                progress.linger();
            }
            progress.writing();
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = http1::Builder::new()
        // The stream has all timeouts, and detects a client that is gone when it writes.
        .header_read_timeout(None)
        .half_close(true)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service);

    let mut stop = pin!(shared.stop.notified());
    let mut registered = false;
    let ended = poll_fn(|cx| {
        // Polled once: a task has one waker, so that is enough to be woken, and the flag is the reason.
        if !registered {
            registered = true;
            let _ = stop.as_mut().poll(cx);
        }
        if shared.is_stopping() {
            progress.stop();
        }
        Pin::new(&mut connection).poll(cx)
    })
    .await;
    let Err(error) = ended else { return };
    tracing::debug!(%error, "a connection ended early");
    if error.is_parse_version_h2() {
        let mut stream = connection.into_parts().io.into_inner().into_stream();
        let answer = raw(&Problem::new(Kind::HttpVersion, "this server speaks HTTP/1.1"));
        let _ = timeout(REFUSAL, async {
            stream.write_all(&answer).await?;
            stream.shutdown().await
        })
        .await;
    }
}
