//! The configuration of the server, and its layers.
//!
//! Built-in defaults, then a TOML file, then the environment, then the command line; later layers take precedence. A key is
//! written `server.idle_timeout`, and `SPARROW__SERVER__IDLE_TIMEOUT` in the environment. The arrays of tables `[[models]]` and
//! `[[recall.strategies]]` can be set only in a file. Unknown keys are errors, which name the most similar key.

mod filter;
mod layers;
mod models;
mod recall;

#[cfg(test)]
pub(crate) use layers::flag;
pub use layers::{Error, known_keys};
pub use models::Models;
pub(crate) use models::{DiscoveredModels, ModelEntry};
pub(crate) use recall::StrategyTable;
pub use recall::{Recall, Strategies};

pub use crate::size::Size;
pub use crate::store_url::StoreUrl;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, de};
use sparrow_http::Hosts;
use sparrow_model::skip_byte_order_mark;

/// The longest file of text, in bytes.
const LONGEST_TEXT: u64 = 64 << 20;

/// What is wrong with a table of an array of tables.
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

/// All settings. The default is what runs when nothing is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where to listen: an IP address and a port; port 0 takes a free one.
    #[serde(deserialize_with = "crate::listen::deserialize")]
    pub listen: SocketAddr,
    /// What to serve.
    pub data: Data,
    /// Where users, features and vectors come from.
    pub store: Store,
    /// The movies that are shown.
    pub catalog: Catalog,
    /// Finding candidates.
    pub recall: Recall,
    /// Settings of all ranking models.
    pub ranking: Ranking,
    /// Connections.
    pub server: Server,
    /// Web pages of other origins.
    pub cors: Cors,
    /// The port for operators.
    pub admin: Admin,
    /// Log lines, on standard error.
    pub log: Log,
    /// The ranking models.
    #[serde(skip_serializing_if = "Models::is_default")]
    pub models: Models,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6010)),
            data: Data::default(),
            store: Store::default(),
            catalog: Catalog::default(),
            recall: Recall::default(),
            ranking: Ranking::default(),
            server: Server::default(),
            cors: Cors::default(),
            admin: Admin::default(),
            log: Log::default(),
            models: Models::default(),
        }
    }
}

/// What to serve.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// The folder of a MovieLens data set; without it, the built-in demonstration set with its
    /// embeddings.
    pub path: Option<PathBuf>,
    /// The folder with `item2vecEmb.csv` and `userEmb.csv`; without it the model `emb` is
    /// unavailable.
    pub embeddings: Option<PathBuf>,
    /// A folder with pictures named `{movieId}.jpg`.
    pub posters: Option<PathBuf>,
    /// How many bad lines of the data set are skipped and reported; one more is an error.
    pub max_bad_lines: usize,
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

/// Where users, features and vectors come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Store {
    /// Which store.
    pub url: StoreUrl,
    /// What all keys in Redis begin with.
    pub prefix: String,
    /// Connections to Redis, or to each node of a cluster.
    pub connections: NonZeroUsize,
    /// The certificates that `rediss://` trusts, in PEM; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long a read of a request may take.
    #[serde(with = "crate::duration")]
    pub deadline: Duration,
    /// How long the start waits for the store before it goes on without.
    #[serde(with = "crate::duration")]
    pub start_wait: Duration,
    /// How often the store is asked whether it holds something new.
    #[serde(with = "crate::duration")]
    pub refresh: Duration,
}

impl Default for Store {
    fn default() -> Self {
        let options = sparrow_store::Options::default();
        Self {
            url: StoreUrl::default(),
            prefix: options.prefix,
            // Requests that share one go out together, which saves more than another one brings.
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
    /// The model for requests that name none.
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
            default: sparrow_engine::DEFAULT_MODEL.to_owned(),
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
    /// As the file beside them says, or else by cosine.
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
    /// How long the head of a request may take to arrive.
    #[serde(with = "crate::duration")]
    pub header_timeout: Duration,
    /// How long the body of a request may take to arrive.
    #[serde(with = "crate::duration")]
    pub body_timeout: Duration,
    /// How long a connection may rest between requests.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer that is being sent.
    #[serde(with = "crate::duration")]
    pub write_timeout: Duration,
    /// How long making an answer may take.
    #[serde(with = "crate::duration")]
    pub request_timeout: Duration,
    /// How long connections are accepted after a signal, while readiness fails already.
    #[serde(with = "crate::duration::or_zero")]
    pub drain_delay: Duration,
    /// How long requests in flight may take to finish after that.
    #[serde(with = "crate::duration")]
    pub shutdown_timeout: Duration,
    /// How long a client may take over all of an answer.
    #[serde(with = "crate::duration")]
    pub answer_timeout: Duration,
    /// How many connections are served at once.
    pub max_connections: NonZeroUsize,
    /// How many of them one address may have; 0 for no limit.
    pub max_connections_per_address: usize,
    /// How many bytes of large answers may wait for clients to take them.
    pub max_bytes_in_flight: Size,
    /// How many long rankings run at once; 0 for the number of cores.
    pub max_rankings: usize,
    /// The names under which the server may be asked; empty for those of this computer if it listens on
    /// loopback, and for any elsewhere.
    #[serde(deserialize_with = "hosts")]
    pub hosts: Vec<String>,
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
            answer_timeout: options.answer_timeout,
            hosts: Vec::new(),
        }
    }
}

fn hosts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let hosts = Vec::<String>::deserialize(deserializer)?;
    Hosts::new(hosts.iter().map(String::as_str)).map_err(de::Error::custom)?;
    Ok(hosts)
}

impl Server {
    /// The names under which a server that listens on this address may be asked.
    pub(crate) fn allowed_hosts(&self, listen: SocketAddr) -> Result<Hosts, String> {
        if !self.hosts.is_empty() {
            return Hosts::new(self.hosts.iter().map(String::as_str));
        }
        Ok(if listen.ip().is_loopback() { Hosts::loopback() } else { Hosts::ANY })
    }
}

/// The port for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Admin {
    /// Where health and readiness are answered beside the public port; `None` for nowhere.
    #[serde(with = "crate::listen::optional")]
    pub listen: Option<SocketAddr>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 6011))) }
    }
}

/// Web pages of other origins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// The origins whose pages may read what is about users, and all of `/v1`; `*` for all.
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
    /// Which lines: a level such as `info`, or directives such as `info,sparrow_http=debug`.
    #[serde(deserialize_with = "filter::checked")]
    pub filter: String,
    /// How they look.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::default() }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The models in the models folder; none if no folder is configured.
    pub(crate) fn discover_models(&self) -> Result<DiscoveredModels, String> {
        let Some(folder) = &self.ranking.models else { return Ok(DiscoveredModels::default()) };
        models::discover(folder).map_err(|error| {
            format!("the models folder {} cannot be read: {error}", folder.display())
        })
    }

    /// The settings as a TOML file that sets them.
    pub fn to_toml(&self) -> String {
        // Fails for tables and keys that `Config` does not have.
        toml::to_string(self).unwrap_or_default()
    }
}
