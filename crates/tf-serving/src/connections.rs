//! Kept-alive connections to one server, and requests over them.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;

use crate::answer::error_message;
use crate::location::Location;
use crate::{Error, Options, tls};

/// Connections to a server: as many as there are requests out at once, up to a limit.
///
/// A connection is driven by the request that uses it. Dropping the request closes the connection, so half an
/// exchange is never left for the next one.
pub(crate) struct Connections {
    location: Location,
    host: HeaderValue,
    predict: Uri,
    metadata: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    max_body: usize,
    permits: Semaphore,
    queue: usize,
    waiting: AtomicUsize,
    /// The one that was used last is used first.
    idle: Mutex<Vec<Connection>>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Connections that rested longer than this are not used: something between here and the server may have
/// forgotten them.
const REST: Duration = Duration::from_secs(30);

/// The right to one connection.
pub(crate) struct Slot<'a>(
    #[expect(dead_code, reason = "it is held, not read")] SemaphorePermit<'a>,
);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("location", &self.location).finish_non_exhaustive()
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Driver = http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Pin<Box<Driver>>,
    ended: bool,
    /// When it was used last.
    used: Instant,
}

/// Why a request over a connection failed.
enum Failure {
    /// Before anything of an answer came.
    Unanswered(hyper::Error),
    /// For good.
    Final(Error),
}

impl Connections {
    pub(crate) fn new(location: Location, options: &Options) -> Result<Self, Error> {
        let tls = if location.tls {
            let name = ServerName::try_from(location.host.clone())
                .map_err(|_| Error::Url("the URL of the model has no host for TLS".to_owned()))?;
            Some((TlsConnector::from(Arc::new(tls::config(options.ca_file.as_deref())?)), name))
        } else {
            None
        };
        let fault = || Error::Url("the URL of the model cannot be asked for".to_owned());
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

    pub(crate) const fn location(&self) -> &Location {
        &self.location
    }

    /// Waits for the right to a connection.
    pub(crate) async fn slot(&self) -> Result<Slot<'_>, Error> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(Slot(permit));
        }
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if ahead >= self.queue {
            return Err(Error::Unavailable(format!("{ahead} requests wait for it already")));
        }
        match self.permits.acquire().await {
            Ok(permit) => Ok(Slot(permit)),
            // Nobody closes it.
            Err(_) => Err(Error::Unavailable("it is closed".to_owned())),
        }
    }

    /// The model's metadata.
    pub(crate) async fn metadata(&self, slot: &Slot<'_>) -> Result<Vec<u8>, Error> {
        self.exchange(slot, Method::GET, &self.metadata, Bytes::new()).await
    }

    /// The answer to a request to predict.
    pub(crate) async fn predict(&self, slot: &Slot<'_>, body: Bytes) -> Result<Vec<u8>, Error> {
        self.exchange(slot, Method::POST, &self.predict, body).await
    }

    /// The body of a good answer. A server may close a connection between two requests: then the request is sent
    /// once more, over a new one. To predict twice does no harm.
    async fn exchange(
        &self,
        _slot: &Slot<'_>,
        method: Method,
        uri: &Uri,
        body: Bytes,
    ) -> Result<Vec<u8>, Error> {
        let request = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = method.clone();
            *request.uri_mut() = uri.clone();
            request.headers_mut().insert(header::HOST, self.host.clone());
            if method == Method::POST {
                request.headers_mut().insert(header::CONTENT_TYPE, JSON);
            }
            request
        };
        while let Some(mut connection) = self.rested() {
            if !connection.is_sound().await {
                continue;
            }
            match connection.exchange(request(), self.max_body).await {
                Ok(answer) => return Ok(self.keep(connection, answer).await),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Unanswered(_)) => {
                    // The others are as old.
                    self.idle().clear();
                    break;
                }
            }
        }
        let mut connection = self.connect().await?;
        match connection.exchange(request(), self.max_body).await {
            Ok(answer) => Ok(self.keep(connection, answer).await),
            Err(Failure::Final(error)) => Err(error),
            Err(Failure::Unanswered(error)) => Err(Error::Unavailable(with_sources(&error))),
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection that was used last.
    fn rested(&self) -> Option<Connection> {
        let mut idle = self.idle();
        let connection = idle.pop()?;
        if connection.used.elapsed() > REST {
            // The others rest longer yet.
            idle.clear();
            return None;
        }
        Some(connection)
    }

    async fn keep(&self, mut connection: Connection, answer: Vec<u8>) -> Vec<u8> {
        if connection.is_sound().await {
            connection.used = Instant::now();
            self.idle().push(connection);
        }
        answer
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let unreachable = |error: io::Error| {
            Error::Unavailable(format!("cannot connect to {}: {error}", self.location.authority))
        };
        let address = (&*self.location.host, self.location.port);
        let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        let stream: Box<dyn Stream> = match &self.tls {
            Some((connector, name)) => {
                Box::new(connector.connect(name.clone(), tcp).await.map_err(unreachable)?)
            }
            None => Box::new(tcp),
        };
        let (sender, driver) = http1::Builder::new()
            .max_headers(64)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Error::Unavailable(with_sources(&error)))?;
        Ok(Connection { sender, driver: Box::pin(driver), ended: false, used: Instant::now() })
    }
}

impl Connection {
    /// Runs a future that waits for the connection, and the connection meanwhile.
    async fn drive<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            loop {
                if let Poll::Ready(outcome) = future.as_mut().poll(context) {
                    return Poll::Ready(Some(outcome));
                }
                if self.ended {
                    // What it had to say was said before it ended.
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

    /// Whether the connection can take a request now, as far as can be seen.
    async fn is_sound(&mut self) -> bool {
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
        let too_long = || Error::Malformed(format!("it is longer than {max_body} bytes"));
        let mut body = response.into_body();
        let announced = body.size_hint().exact().unwrap_or(0);
        if announced > max_body as u64 {
            return Err(too_long());
        }
        let mut bytes = Vec::with_capacity(announced as usize);
        loop {
            match self.drive(body.frame()).await {
                Some(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        if bytes.len() + data.len() > max_body {
                            return Err(too_long());
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
    Error::Unavailable("it closed the connection".to_owned())
}

/// Whether the server spoke, but not HTTP.
fn is_malformed(error: &hyper::Error) -> bool {
    error.is_parse() || error.is_parse_too_large() || error.is_parse_status()
}

/// The error and what caused it.
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
