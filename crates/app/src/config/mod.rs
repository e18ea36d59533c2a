//! The configuration of the server, and its layers.
//!
//! Built-in defaults, then a TOML file, then the environment, then the command line; later layers take precedence. A key is
//! written `server.idle_timeout`, and `SPARROW__SERVER__IDLE_TIMEOUT` in the environment. The arrays of tables `[[models]]`,
//! `[[recall.strategies]]`, `[[recall.mixes]]`, `[[events]]`, `[[experiments]]` and `[[auth.keys]]` can be set only in a file.
//! Unknown keys are errors, which name the most similar key.

mod access_log;
mod auth;
mod error;
mod events;
mod experiments;
mod filter;
mod keys;
mod layers;
mod limits;
mod mixes;
mod models;
mod recall;
mod secrets;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod tls;
mod tracing;

pub use access_log::{AccessLog, LogUsers};
pub use auth::{Anonymous, Auth, Keys, Tokens};
pub use error::Error;
pub use events::Events;
pub use experiments::Experiments;
pub(crate) use filter::checked_filter;
#[cfg(test)]
pub(crate) use keys::flag;
pub use keys::known_keys;
pub use limits::Limits;
pub use mixes::Mixes;
pub use models::Models;
pub(crate) use models::{DiscoveredModels, ModelEntry};
pub(crate) use recall::StrategyTable;
pub use recall::{Recall, Strategies};
pub use tls::Tls;
pub use tracing::Tracing;

pub use crate::size::Size;
pub use crate::store_url::StoreUrl;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};
use sparrow_http::{AddressHeader, BasePath, Hosts, TrustedProxies};
use sparrow_model::skip_byte_order_mark;

use crate::models::AUTO;

/// The largest text file, in bytes.
const LONGEST_TEXT: u64 = 64 << 20;

/// The problem of a table in an array of tables.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TableProblem {
    /// The path of the key, such as `models[1].url`.
    key: String,
    message: String,
}

impl fmt::Display for TableProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// Reads a text file, without its byte order mark.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let content = sparrow_files::read(path, LONGEST_TEXT)?;
    let text = String::from_utf8(skip_byte_order_mark(&content).to_vec());
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The address to listen on; port 0 is a free port.
    #[serde(deserialize_with = "crate::listen::deserialize")]
    pub listen: SocketAddr,
    /// The data set.
    pub data: Data,
    /// The feature store.
    pub store: Store,
    /// The movies that are shown.
    pub catalog: Catalog,
    /// Ratings and events that arrive while the server runs.
    pub live: Live,
    /// Recall.
    pub recall: Recall,
    /// Settings of all ranking models.
    pub ranking: Ranking,
    /// Limits on connections and requests.
    pub server: Server,
    /// TLS.
    pub tls: Tls,
    /// Limits on concurrent requests and on their rate.
    pub limits: Limits,
    /// Cross-origin requests.
    pub cors: Cors,
    /// Keys, and tokens of users.
    pub auth: Auth,
    /// The admin port.
    pub admin: Admin,
    /// Metrics.
    pub metrics: Metrics,
    /// The access log.
    pub access_log: AccessLog,
    /// Traces.
    pub tracing: Tracing,
    /// Log lines, on standard error.
    pub log: Log,
    /// The ranking models.
    #[serde(skip_serializing_if = "Models::is_default")]
    pub models: Models,
    /// What events mean.
    #[serde(skip_serializing_if = "Events::is_default")]
    pub events: Events,
    /// The experiments on recommendations.
    #[serde(skip_serializing_if = "Experiments::is_empty")]
    pub experiments: Experiments,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6010)),
            data: Data::default(),
            store: Store::default(),
            catalog: Catalog::default(),
            live: Live::default(),
            recall: Recall::default(),
            ranking: Ranking::default(),
            server: Server::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            cors: Cors::default(),
            auth: Auth::default(),
            admin: Admin::default(),
            metrics: Metrics::default(),
            access_log: AccessLog::default(),
            tracing: Tracing::default(),
            log: Log::default(),
            models: Models::default(),
            events: Events::default(),
            experiments: Experiments::default(),
        }
    }
}

/// The data set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// The folder of a MovieLens data set; without it, the built-in demonstration set with its
    /// embeddings.
    pub path: Option<PathBuf>,
    /// The folder with `item2vecEmb.csv` and `userEmb.csv`; without it the model `emb` is
    /// unavailable.
    pub embeddings: Option<PathBuf>,
    /// A folder with posters named `{movieId}.jpg`.
    pub posters: Option<PathBuf>,
    /// The number of bad lines of the data set that are skipped and reported; more are an error.
    pub max_bad_lines: usize,
}

/// Ratings and events that arrive while the server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The file that keeps them. Without it they are in the feature store in Redis, in a file beside a file store, or in
    /// memory.
    pub path: Option<PathBuf>,
    /// Whether a server that listens beyond loopback accepts them.
    pub open_writes: bool,
    /// Whether the server writes features and vectors of users with live data into the feature store in Redis.
    pub project: bool,
    /// The greatest number of live ratings and removals per user.
    pub max_ratings: NonZeroUsize,
    /// The greatest number of pairs of movie and event type per user; the oldest are dropped beyond that.
    pub max_events: NonZeroUsize,
    /// The number of replicas of Redis that a write waits for; what was reached is stated in the answer.
    pub replicas: u32,
}

impl Default for Live {
    fn default() -> Self {
        let limits = sparrow_live::Limits::default();
        Self {
            path: None,
            open_writes: false,
            project: true,
            max_ratings: NonZeroUsize::new(limits.ratings).unwrap_or(NonZeroUsize::MIN),
            max_events: NonZeroUsize::new(limits.events).unwrap_or(NonZeroUsize::MIN),
            replicas: 0,
        }
    }
}

/// The movies that are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    /// The ids of movies that no recommendation, list or search contains.
    #[serde(deserialize_with = "ids")]
    pub hidden: Vec<u32>,
}

/// Ids as numbers, or as text from the environment.
fn ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let values = Vec::<toml::Value>::deserialize(deserializer)?;
    let read = |value: toml::Value| {
        let id = match &value {
            toml::Value::Integer(id) => u32::try_from(*id).ok(),
            toml::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        id.ok_or_else(|| de::Error::custom(format!("{value} is not the id of a movie")))
    };
    values.into_iter().map(read).collect()
}

/// The feature store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// Its address.
    pub url: StoreUrl,
    /// The prefix of all keys in Redis.
    pub prefix: String,
    /// Connections to Redis, or to each node of a cluster.
    pub connections: NonZeroUsize,
    /// The certificates that `rediss://` trusts, in PEM; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// The time limit of a read for a request.
    #[serde(with = "crate::duration")]
    pub deadline: Duration,
    /// The time that the start waits for the store before it serves the movies without it.
    #[serde(with = "crate::duration")]
    pub start_wait: Duration,
    /// The time between two checks for a new generation.
    #[serde(with = "crate::duration")]
    pub refresh: Duration,
}

impl Default for Store {
    fn default() -> Self {
        let options = sparrow_store::Options::default();
        Self {
            url: StoreUrl::default(),
            prefix: options.prefix,
            // Requests on one connection are sent together, which saves more than a second connection gains.
            connections: NonZeroUsize::MIN,
            ca_file: options.ca_file,
            deadline: options.deadline,
            start_wait: Duration::from_secs(5),
            refresh: Duration::from_secs(1),
        }
    }
}

/// Settings of all ranking models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ranking {
    /// The model of requests that do not name one; `auto` for the best that is there.
    pub default: String,
    /// How models of the kind `embedding` compare vectors.
    pub similarity: Similarity,
    /// The models folder: each folder in it is served under its own name.
    pub models: Option<PathBuf>,
    /// The time between two checks of the model folders for new versions.
    #[serde(with = "crate::duration")]
    pub watch: Duration,
    /// The time limit for a new version of a model in this process to score the whole catalogue in its trial.
    #[serde(with = "crate::duration")]
    pub trial_timeout: Duration,
}

impl Default for Ranking {
    fn default() -> Self {
        Self {
            default: AUTO.to_owned(),
            similarity: Similarity::default(),
            models: None,
            watch: Duration::from_secs(1),
            trial_timeout: Duration::from_secs(2),
        }
    }
}

/// How vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// As `embedding.json` beside them specifies, or else by cosine.
    #[default]
    Auto,
    /// The cosine of the angle between them.
    Cosine,
    /// Their dot product.
    Dot,
}

/// Limits on connections and requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// The time limit for receiving the head of a request.
    #[serde(with = "crate::duration")]
    pub header_timeout: Duration,
    /// The time limit for receiving the body of a request.
    #[serde(with = "crate::duration")]
    pub body_timeout: Duration,
    /// The time limit for an idle connection.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
    /// The time limit for a client that does not read its answer.
    #[serde(with = "crate::duration")]
    pub write_timeout: Duration,
    /// The time limit for computing an answer.
    #[serde(with = "crate::duration")]
    pub request_timeout: Duration,
    /// The time for which connections are accepted after a signal, while readiness fails.
    #[serde(with = "crate::duration::or_zero")]
    pub drain_delay: Duration,
    /// The time limit for requests in flight after that.
    #[serde(with = "crate::duration")]
    pub shutdown_timeout: Duration,
    /// The time limit for a client to read a whole answer.
    #[serde(with = "crate::duration")]
    pub answer_timeout: Duration,
    /// The number of concurrent connections.
    pub max_connections: NonZeroUsize,
    /// The number of them per client address; 0 for no limit.
    pub max_connections_per_address: usize,
    /// The number of bytes of large answers that clients have not read yet.
    pub max_bytes_in_flight: Size,
    /// The number of concurrent long rankings; 0 for the number of cores.
    pub max_rankings: usize,
    /// The number of them that wait for each one that runs.
    pub waiting_rankings: usize,
    /// Whether answers are compressed for clients that accept it.
    pub compression: bool,
    /// The time for which shared caches may keep answers about movies alone; zero for none.
    #[serde(with = "crate::duration::or_zero")]
    pub shared_cache: Duration,
    /// The accepted values of the header `Host`. If empty, only names of this computer are accepted on loopback, and all
    /// names on other addresses.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<String>,
    /// The prefix of all paths.
    #[serde(deserialize_with = "base_path")]
    pub base_path: String,
    /// The addresses and networks of proxies that name the client in a header.
    #[serde(deserialize_with = "proxies")]
    pub trusted_proxies: Vec<String>,
    /// The header.
    pub proxy_header: ProxyHeader,
}

impl Default for Server {
    fn default() -> Self {
        let options = sparrow_http::Options::default();
        Self {
            header_timeout: options.header_timeout,
            body_timeout: options.body_timeout,
            idle_timeout: options.idle_timeout,
            write_timeout: options.write_timeout,
            request_timeout: options.request_timeout,
            drain_delay: options.drain_delay,
            shutdown_timeout: options.shutdown_timeout,
            max_connections: NonZeroUsize::new(options.max_connections)
                .unwrap_or(NonZeroUsize::MIN),
            max_connections_per_address: options.max_connections_per_address,
            max_bytes_in_flight: Size(options.max_bytes_in_flight),
            max_rankings: options.max_rankings,
            waiting_rankings: options.waiting_rankings,
            answer_timeout: options.answer_timeout,
            compression: options.compression,
            shared_cache: options.shared_cache,
            hosts: Vec::new(),
            base_path: String::new(),
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
        }
    }
}

/// The header in which proxies name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded`.
    Forwarded,
}

fn base_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    BasePath::new(&path).map_err(de::Error::custom)?;
    Ok(path)
}

fn proxies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let proxies = Vec::<String>::deserialize(deserializer)?;
    TrustedProxies::new(proxies.iter().map(String::as_str), AddressHeader::default())
        .map_err(de::Error::custom)?;
    Ok(proxies)
}

fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<String>::deserialize(deserializer)?;
    Hosts::new(hosts.iter().map(String::as_str)).map_err(de::Error::custom)?;
    Ok(hosts)
}

impl Server {
    /// The prefix of all paths.
    pub(crate) fn base_path(&self) -> Result<BasePath, String> {
        BasePath::new(&self.base_path)
    }

    /// The proxies that name the client.
    pub(crate) fn proxies(&self) -> Result<TrustedProxies, String> {
        let header = match self.proxy_header {
            ProxyHeader::XForwardedFor => AddressHeader::XForwardedFor,
            ProxyHeader::Forwarded => AddressHeader::Forwarded,
        };
        TrustedProxies::new(self.trusted_proxies.iter().map(String::as_str), header)
    }

    /// The accepted values of the header `Host` of a server on this address.
    pub(crate) fn allowed_hosts(&self, listen: SocketAddr) -> Result<Hosts, String> {
        if !self.hosts.is_empty() {
            return Hosts::new(self.hosts.iter().map(String::as_str));
        }
        Ok(if listen.ip().is_loopback() { Hosts::loopback() } else { Hosts::ANY })
    }
}

/// The admin port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Admin {
    /// Its address; `None` for no admin port.
    #[serde(with = "crate::listen::optional")]
    pub listen: Option<SocketAddr>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 6011))) }
    }
}

/// Metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// Whether requests are counted, and the admin port has `/metrics`.
    pub enabled: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Cross-origin requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// The origins whose pages may read `/v1` and data of users; `*` for all.
    #[serde(deserialize_with = "origins")]
    pub origins: Vec<String>,
}

fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let origins = Vec::<String>::deserialize(deserializer)?;
    sparrow_http::Cors::new(origins.iter().map(String::as_str)).map_err(de::Error::custom)?;
    Ok(origins)
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// The filter: a level such as `info`, or directives such as `info,sparrow_http=debug`.
    #[serde(deserialize_with = "filter::checked")]
    pub filter: String,
    /// The format.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::default() }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The folder in a models folder with the vectors of the data set, as `sparrow-loader fit` writes them.
const VECTORS_FOLDER: &str = "emb";

impl Config {
    /// The folder with the vectors of the data set: `data.embeddings`, or else the vectors in the models folder.
    pub(crate) fn embeddings(&self) -> Option<PathBuf> {
        let in_models_folder = || {
            let folder = self.ranking.models.as_ref()?.join(VECTORS_FOLDER);
            (self.data.path.is_some() && folder.is_dir()).then_some(folder)
        };
        self.data.embeddings.clone().or_else(in_models_folder)
    }

    /// Whether the demonstration set is served, with its own models.
    pub(crate) fn serves_demo(&self) -> bool {
        self.data.path.is_none() && self.ranking.models.is_none()
    }

    /// The models that experiments can name: those of the demonstration set too.
    fn comparable_models(&self) -> Cow<'_, Models> {
        let demo = if self.serves_demo() { self.models.with_demo().ok() } else { None };
        demo.map_or(Cow::Borrowed(&self.models), Cow::Owned)
    }

    /// Checks that a server that has started with this configuration has the models and recall mixes of experiments.
    pub(crate) fn check_experiments(&self, experiments: &Experiments) -> Result<(), Error> {
        let checked = experiments.check(&self.comparable_models(), &self.recall.mixes);
        checked.map_err(|TableProblem { key, message }| Error::Value {
            key,
            origin: "the new configuration".to_owned(),
            what: format!("{message} (new models and recall mixes need a restart)"),
        })
    }

    /// The keys that another configuration sets to other values, in order, without the indices of arrays.
    pub(crate) fn differences(&self, other: &Self) -> BTreeSet<String> {
        keys::differences(self, other)
    }

    /// The models in the models folder; none if no folder is configured.
    pub(crate) fn discover_models(&self) -> Result<DiscoveredModels, String> {
        let Some(folder) = &self.ranking.models else { return Ok(DiscoveredModels::default()) };
        models::discover(folder).map_err(|error| {
            format!("the models folder {} cannot be read: {error}", folder.display())
        })
    }

    /// The configuration as TOML without secrets, for operators.
    pub(crate) fn masked(&self) -> String {
        secrets::masked(self)
    }

    /// The settings as a TOML file that sets them.
    pub fn to_toml(&self) -> String {
        // Fails for tables and keys that `Config` does not have.
        toml::to_string(self).unwrap_or_default()
    }
}
