//! The log of a running server, read over its admin port.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sparrow_live::{
    Accepted, Action, CreatedUser, Durability, Error as LiveError, Exposure, LiveStore, LiveUser,
    Recorded, Sequence, Watermark, Write,
};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_tls::Connector;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Error;

/// The time limit of a request.
const DEADLINE: Duration = Duration::from_secs(30);
/// The greatest size of an answer. A page of a thousand writes has less than one MiB.
const LARGEST_ANSWER: usize = 16 << 20;
/// Writes per request.
const PAGE: usize = 1000;

/// The log of live data of a running server, from its admin port. Only that: other calls return an error.
#[derive(Debug)]
pub(crate) struct ServerLive {
    /// Without the key.
    address: String,
    authority: String,
    tls: Option<Connector>,
    key: Option<String>,
    partitions: u16,
}

/// `/debug/live`.
#[derive(Deserialize)]
struct State {
    partitions: u16,
    trimmed: Vec<String>,
}

/// `/debug/live/log`.
#[derive(Deserialize)]
struct Log {
    writes: Vec<LoggedWrite>,
}

#[derive(Deserialize)]
struct LoggedWrite {
    sequence: String,
    action: String,
    user: u32,
    movie: Option<u32>,
    r#type: Option<String>,
    value: Option<f32>,
    time: u32,
    session: Option<String>,
    recommendation: Option<String>,
    exposure: Option<LoggedExposure>,
    applied: bool,
}

#[derive(Deserialize)]
struct LoggedExposure {
    experiment: String,
    variant: String,
    model: String,
    degraded: bool,
    micros: u32,
    credits: Option<String>,
}

impl From<LoggedExposure> for Exposure {
    fn from(logged: LoggedExposure) -> Self {
        let LoggedExposure { experiment, variant, model, degraded, micros, credits } = logged;
        Self {
            experiment: experiment.into(),
            variant: variant.into(),
            model: model.into(),
            degraded,
            micros,
            credits: credits.map(Into::into),
        }
    }
}

/// A problem document.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl ServerLive {
    /// Connects to the admin port at `http://HOST:PORT` or `http://KEY@HOST:PORT`, or with `https://`, for which the certificates
    /// of a file are trusted instead of those of the system.
    pub(crate) async fn connect(url: &str, ca_file: Option<&Path>) -> Result<Self, Error> {
        let fault = || {
            let what = "the address of an admin port is http://HOST:PORT, or http://KEY@HOST:PORT beyond loopback; https:// is TLS";
            Error::Usage(what.to_owned())
        };
        let uri: Uri = url.parse().map_err(|_| fault())?;
        let authority = uri.authority().ok_or_else(fault)?.as_str();
        let (key, authority) = match authority.rsplit_once('@') {
            Some((key, authority)) => (Some(key.to_owned()), authority.to_owned()),
            None => (None, authority.to_owned()),
        };
        let has_port = uri.port().is_some();
        let scheme = uri.scheme_str().unwrap_or_default();
        let is_known = matches!(scheme, "http" | "https");
        if !is_known || !has_port || !matches!(uri.path(), "" | "/") {
            return Err(fault());
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let tls = (scheme == "https").then(|| Connector::new(host, ca_file)).transpose();
        let mut server = Self {
            address: format!("{scheme}://{authority}"),
            authority,
            tls: tls.map_err(|error| Error::Usage(error.to_string()))?,
            key,
            partitions: 0,
        };
        server.partitions = server.state().await?.partitions;
        Ok(server)
    }

    async fn state(&self) -> Result<State, LiveError> {
        self.get("/debug/live").await
    }

    fn unavailable(&self, what: &(impl ToString + ?Sized)) -> LiveError {
        LiveError::Unavailable { store: self.address.clone(), what: what.to_string() }
    }

    fn malformed(&self, what: &(impl ToString + ?Sized)) -> LiveError {
        let key = format!("the answer of {}", self.address);
        LiveError::Malformed { key, what: what.to_string() }
    }

    async fn get<T: DeserializeOwned>(&self, target: &str) -> Result<T, LiveError> {
        let exchanged = timeout(DEADLINE, self.exchange(target)).await;
        let late = |_| LiveError::TimedOut { store: self.address.clone() };
        let body = exchanged.map_err(late)??;
        serde_json::from_slice(&body).map_err(|error| self.malformed(&error))
    }

    /// The body of the answer to one request.
    async fn exchange(&self, target: &str) -> Result<Bytes, LiveError> {
        let stream =
            TcpStream::connect(&self.authority).await.map_err(|error| self.unavailable(&error))?;
        let stream = sparrow_tls::connect(self.tls.as_ref(), stream)
            .await
            .map_err(|error| self.unavailable(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unavailable(&error))?;
        let mut request =
            Request::get(target).header(HOST, &self.authority).header(CONNECTION, "close");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let request =
            request.body(Empty::<Bytes>::new()).map_err(|error| self.unavailable(&error))?;
        let answer = async {
            let answer =
                sender.send_request(request).await.map_err(|error| self.unavailable(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LARGEST_ANSWER);
            let body = body.collect().await.map_err(|error| self.unavailable(&error))?.to_bytes();
            if status.is_success() {
                return Ok(body);
            }
            let problem: Option<Problem> = serde_json::from_slice(&body).ok();
            let detail = problem.map_or_else(String::new, |it| format!(": {}", it.detail));
            Err(self.unavailable(&format!("it answered {}{detail}", status.as_u16())))
        };
        // The connection ends with the answer.
        let (answer, _) = tokio::join!(answer, connection);
        answer
    }

    fn recorded(&self, entry: LoggedWrite) -> Result<Recorded, LiveError> {
        let sequence = entry.sequence.parse().map_err(|error| self.malformed(&error))?;
        let missing = |name: &str| self.malformed(&format!("{} without {name}", entry.action));
        let movie = || entry.movie.map(MovieId).ok_or_else(|| missing("a movie"));
        let value = || entry.value.ok_or_else(|| missing("a value"));
        let action = match &*entry.action {
            "rate" => {
                let value = value()?;
                let stars = Stars::from_half_stars((2.0 * value) as u8);
                let stars = stars.filter(|stars| stars.value() == value);
                let malformed = || self.malformed(&format!("{value} stars"));
                Action::Rate(movie()?, stars.ok_or_else(malformed)?)
            }
            "unrate" => Action::Unrate(movie()?),
            "event" => {
                let kind = entry.r#type.as_deref().ok_or_else(|| missing("a type"))?;
                Action::Event { movie: movie()?, kind: kind.into(), value: value()? }
            }
            "expose" => {
                let exposure = entry.exposure.ok_or_else(|| missing("an exposure"))?;
                Action::Expose(Box::new(exposure.into()))
            }
            "forget" => Action::Forget,
            other => return Err(self.malformed(&format!("an unknown action {other:?}"))),
        };
        let write = Write {
            session: entry.session.map(Into::into),
            recommendation: entry.recommendation.map(Into::into),
            ..Write::new(UserId(entry.user), action, entry.time)
        };
        Ok(Recorded { sequence, write, applied: entry.applied })
    }

    fn only_log(&self) -> LiveError {
        self.unavailable("a running server only exports its log")
    }
}

#[async_trait]
impl LiveStore for ServerLive {
    fn address(&self) -> &str {
        &self.address
    }

    fn durability(&self) -> Durability {
        Durability::Unknown
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, LiveError>> {
        writes.iter().map(|_| Err(self.only_log())).collect()
    }

    async fn users(&self, _: &[UserId]) -> Result<Vec<LiveUser>, LiveError> {
        Err(self.only_log())
    }

    async fn create_user(&self, _: Option<&str>) -> Result<CreatedUser, LiveError> {
        Err(self.only_log())
    }

    fn partitions(&self) -> u16 {
        self.partitions
    }

    async fn log(
        &self,
        partition: u16,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, LiveError> {
        let (mut entries, mut after) = (Vec::new(), after);
        while entries.len() < limit {
            let size = PAGE.min(limit - entries.len());
            let target =
                format!("/debug/live/log?partition={partition}&after={after}&limit={size}");
            let page: Log = self.get(&target).await?;
            let count = page.writes.len();
            for entry in page.writes {
                let entry = self.recorded(entry)?;
                if entry.sequence <= after {
                    return Err(self.malformed("writes out of order"));
                }
                after = entry.sequence;
                entries.push(entry);
            }
            if count < size {
                break;
            }
        }
        Ok(entries)
    }

    async fn drop_included(&self, _: &Watermark) -> Result<u64, LiveError> {
        Err(self.only_log())
    }

    async fn trim(&self, _: &Watermark) -> Result<u64, LiveError> {
        Err(self.only_log())
    }

    async fn trimmed(&self) -> Result<Watermark, LiveError> {
        let State { partitions, trimmed } = self.state().await?;
        let mut watermark = Watermark::new(partitions);
        for (partition, sequence) in (0..partitions).zip(trimmed) {
            watermark.advance(partition, sequence.parse().map_err(|error| self.malformed(&error))?);
        }
        Ok(watermark)
    }
}
