//! A pool of keep-alive connections to a server.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use sparrow_tls::{Connector, Stream};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{Instrument as _, field};

use sparrow_traces::TRACEPARENT;

use crate::location::Location;
use crate::response::error_message;
use crate::{Error, Options};

/// A connection pool: one connection per concurrent request, up to a limit.
///
/// The request that uses a connection drives it. Dropping the request closes the connection, so no partial response
/// remains for the next request.
pub(crate) struct Connections {
    location: Location,
    host: HeaderValue,
    predict: Uri,
    metadata: Uri,
    tls: Option<Connector>,
    max_body: usize,
    permits: Semaphore,
    queue: usize,
    waiting: AtomicUsize,
    /// A stack: the most recently used connection is reused first.
    idle: Mutex<Vec<Connection>>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Idle connections are discarded after this time, because a middlebox may have dropped them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The permit for one connection.
pub(crate) struct ConnectionPermit<'a>(
    #[expect(dead_code, reason = "held until dropped, never read")] SemaphorePermit<'a>,
);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("location", &self.location).finish_non_exhaustive()
    }
}

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    ended: bool,
    /// Time of the last use.
    used: Instant,
}

/// The failure of a request on a connection.
enum Failure {
    /// No response arrived: the request can be retried.
    Unanswered(hyper::Error),
    /// Not retryable.
    Final(Error),
}

impl Connections {
    pub(crate) fn new(location: Location, options: &Options) -> Result<Self, Error> {
        let tls = if location.tls {
            let connector = Connector::new(&location.host, options.ca_file.as_deref());
            Some(connector.map_err(|error| Error::Certificates(error.to_string()))?)
        } else {
            None
        };
        let fault = || Error::Url("the URL of the model is not a valid request target".to_owned());
        let uri =
            |suffix: &str| format!("{}{suffix}", location.path).parse::<Uri>().map_err(|_| fault());
        Ok(Self {
            host: location.authority.parse().map_err(|_| fault())?,
            predict: uri(":predict")?,
            metadata: uri("/metadata")?,
            location,
            tls,
            max_body: options.max_body,
            permits: Semaphore::new(options.connections),
            queue: options.queue,
            waiting: AtomicUsize::new(0),
            idle: Mutex::default(),
        })
    }

    /// Waits for a connection permit.
    pub(crate) async fn acquire(&self) -> Result<ConnectionPermit<'_>, Error> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(ConnectionPermit(permit));
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if ahead >= self.queue {
            return Err(Error::Unavailable(format!("{ahead} requests are already queued")));
        }
        match self.permits.acquire().await {
            Ok(permit) => Ok(ConnectionPermit(permit)),
            // Unreachable: the semaphore is never closed.
            Err(_) => Err(Error::Unavailable("the connection pool is closed".to_owned())),
        }
    }

    /// Requests the metadata of the model.
    pub(crate) async fn metadata(&self, permit: &ConnectionPermit<'_>) -> Result<Vec<u8>, Error> {
        self.exchange(permit, Method::GET, &self.metadata, Bytes::new()).await
    }

    /// Sends a predict request; returns the body of the response.
    pub(crate) async fn predict(
        &self,
        permit: &ConnectionPermit<'_>,
        body: Bytes,
    ) -> Result<Vec<u8>, Error> {
        let span = tracing::debug_span!(
            "model server",
            otel.kind = "client",
            otel.status_code = field::Empty,
            http.request.method = "POST",
            server.address = &*self.location.host,
            server.port = self.location.port,
            url.path = self.predict.path(),
        );
        let sent = self.exchange(permit, Method::POST, &self.predict, body);
        let answer = sent.instrument(span.clone()).await;
        if answer.is_err() {
            span.record("otel.status_code", "error");
        }
        answer
    }

    /// Sends a request and returns the body of a successful response. If the server closed an idle connection, retries once
    /// on a new one; predict requests are idempotent.
    async fn exchange(
        &self,
        _permit: &ConnectionPermit<'_>,
        method: Method,
        uri: &Uri,
        body: Bytes,
    ) -> Result<Vec<u8>, Error> {
        // Continues the trace of the request, if it is recorded.
        let context = sparrow_traces::current();
        let context = context.and_then(|context| HeaderValue::try_from(context.to_string()).ok());
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            request.headers_mut().insert(header::HOST, self.host.clone());
            if method == Method::POST {
                request.headers_mut().insert(header::CONTENT_TYPE, JSON);
            }
            if let Some(context) = &context {
                request.headers_mut().insert(TRACEPARENT, context.clone());
            }
            request
        };
        while let Some(mut connection) = self.take_idle() {
            if !connection.is_usable().await {
                continue;
            }
            match connection.exchange(request(), self.max_body).await {
                Ok(response) => return Ok(self.return_idle(connection, response).await),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Unanswered(_)) => {
                    // The other idle connections are probably closed too.
                    self.idle().clear();
                    break;
                }
            }
        }
        let mut connection = self.connect().await?;
        match connection.exchange(request(), self.max_body).await {
            Ok(response) => Ok(self.return_idle(connection, response).await),
            Err(Failure::Final(error)) => Err(error),
            Err(Failure::Unanswered(error)) => Err(Error::Unavailable(with_sources(&error))),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the most recently used idle connection.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle();
        let connection = idle.pop()?;
        if connection.used.elapsed() > IDLE_TIMEOUT {
            // The others are older.
            idle.clear();
            return None;
        }
        Some(connection)
    }

    async fn return_idle(&self, mut connection: Connection, response: Vec<u8>) -> Vec<u8> {
        if connection.is_usable().await {
            connection.used = Instant::now();
            self.idle().push(connection);
        }
        response
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let unreachable = |error: io::Error| {
            Error::Unavailable(format!("cannot connect to {}: {error}", self.location.authority))
        };
        let address = (&*self.location.host, self.location.port);
        let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let stream = sparrow_tls::connect(self.tls.as_ref(), tcp).await.map_err(unreachable)?;
        let (sender, driver) = http1::Builder::new()
            .max_headers(64)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::Unavailable(with_sources(&error)))?;
        Ok(Connection { sender, driver: Box::pin(driver), ended: false, used: Instant::now() })
    }
}

impl Connection {
    /// Polls a future together with the connection that it depends on. Returns `None` if the connection ends first.
    async fn drive<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(outcome) = future.as_mut().poll(context) {
                    return Poll::Ready(Some(outcome));
                }
                if self.ended {
                    // The connection delivered all data before it ended.
                    return Poll::Ready(None);
                }
                if self.driver.as_mut().poll(context).is_ready() {
                    self.ended = true;
                    continue;
                }
                return match future.as_mut().poll(context) {
                    Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
                    Poll::Pending => Poll::Pending,
                };
            }
        })
        .await
    }

    /// Returns whether the connection is open and ready for a request.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|context| {
            self.ended = self.ended || self.driver.as_mut().poll(context).is_ready();
            Poll::Ready(!self.ended && self.sender.is_ready())
        })
        .await
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        max_body: usize,
    ) -> Result<Vec<u8>, Failure> {
        let sending = self.sender.send_request(request);
        let response = match self.drive(sending).await {
            Some(Ok(response)) => response,
            Some(Err(error)) if is_malformed(&error) => {
                return Err(Failure::Final(Error::Malformed(with_sources(&error))));
            }
            Some(Err(error)) => return Err(Failure::Unanswered(error)),
            None => return Err(Failure::Final(closed())),
        };
        let status = response.status();
        let body = self.body(response, max_body).await.map_err(Failure::Final)?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let message = error_message(&body);
        Err(Failure::Final(match status {
            StatusCode::BAD_REQUEST => Error::Refused(message),
            _ if message.is_empty() => Error::Unavailable(status.to_string()),
            _ => Error::Unavailable(format!("{message} ({})", status.as_u16())),
        }))
    }

    async fn body(
        &mut self,
        response: Response<Incoming>,
        max_body: usize,
    ) -> Result<Vec<u8>, Error> {
        let too_large = || Error::Malformed(format!("the body exceeds {max_body} bytes"));
        let mut body = response.into_body();
        let announced = body.size_hint().exact().unwrap_or(0);
        if announced > max_body as u64 {
            return Err(too_large());
        }
        let mut bytes = Vec::with_capacity(announced as usize);
        loop {
            match self.drive(body.frame()).await {
                Some(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        if bytes.len() + data.len() > max_body {
                            return Err(too_large());
                        }
                        bytes.extend_from_slice(data);
                    }
                }
                Some(Some(Err(error))) => return Err(Error::Unavailable(with_sources(&error))),
                Some(None) => return Ok(bytes),
                None => return Err(closed()),
            }
        }
    }
}

fn closed() -> Error {
    Error::Unavailable("the server closed the connection".to_owned())
}

/// Returns whether the response is not valid HTTP.
fn is_malformed(error: &hyper::Error) -> bool {
    error.is_parse() || error.is_parse_too_large() || error.is_parse_status()
}

/// Formats an error with its sources.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
