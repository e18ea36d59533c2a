//! The configuration of the server, and how it comes together.
//!
//! Built-in defaults, then a TOML file, then the environment, then the command line; what comes later
//! counts. A key is written `server.idle_timeout`; in the environment that is
//! `SPARROW__SERVER__IDLE_TIMEOUT`. Unknown keys are refused, with the nearest known one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use crate::store_url::StoreUrl;

/// Every environment variable with this beginning is a configuration key.
const PREFIX: &str = "SPARROW__";

/// Another name of `store.url` in the environment, which `sparrow-loader` takes as well.
const STORE: &str = "SPARROW_STORE";

/// All settings. The default is what runs when nothing is set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where to listen: an IP address and a port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What to serve.
    pub data: Data,
    /// Where users, features and vectors come from.
    pub store: Store,
    /// Finding candidates.
    pub recall: Recall,
    /// Ranking models.
    pub models: Models,
    /// Connections.
    pub server: Server,
    /// Log lines, on standard error.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 6010)),
            data: Data::default(),
            store: Store::default(),
            recall: Recall::default(),
            models: Models::default(),
            server: Server::default(),
            log: Log::default(),
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

/// How many candidates each strategy is asked for, and how many are ranked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recall {
    /// Candidates to rank for a request: at least its size.
    pub candidates: NonZeroUsize,
    /// By embedding.
    pub embedding: usize,
    /// By genre.
    pub genre: usize,
    /// By Bayesian average rating.
    pub rating: usize,
    /// By release year.
    pub recency: usize,
}

impl Default for Recall {
    fn default() -> Self {
        let options = sparrow_engine::Options::default();
        Self {
            candidates: NonZeroUsize::new(options.candidates).unwrap_or(NonZeroUsize::MIN),
            embedding: options.by_embedding,
            genre: options.by_genre,
            rating: options.by_rating,
            recency: options.by_recency,
        }
    }
}

/// Ranking models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Models {
    /// The model for requests that name none.
    pub default: String,
    /// How the model `emb` compares vectors.
    pub similarity: Similarity,
    /// The folder of model folders: the greatest version in its `neuralcf` is served.
    pub path: Option<PathBuf>,
}

impl Default for Models {
    fn default() -> Self {
        let default = sparrow_engine::Options::default().default_model;
        Self { default, similarity: Similarity::default(), path: None }
    }
}

/// How vectors are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Similarity {
    /// As `embedding.json` beside them says, or else by cosine.
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
    /// How long a connection may rest between requests.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer that is being sent.
    #[serde(with = "crate::duration")]
    pub write_timeout: Duration,
    /// How long making an answer may take.
    #[serde(with = "crate::duration")]
    pub request_timeout: Duration,
    /// How long requests in flight may take to finish after a signal.
    #[serde(with = "crate::duration")]
    pub shutdown_timeout: Duration,
    /// How many connections are served at once.
    pub max_connections: NonZeroUsize,
}

impl Default for Server {
    fn default() -> Self {
        let options = sparrow_http::Options::default();
        Self {
            header_timeout: options.header_timeout,
            idle_timeout: options.idle_timeout,
            write_timeout: options.write_timeout,
            request_timeout: options.request_timeout,
            shutdown_timeout: options.shutdown_timeout,
            max_connections: NonZeroUsize::new(options.max_connections)
                .unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Log lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// Which lines: a level such as `info`, or directives such as `info,sparrow_http=debug`.
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

/// What can be wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read.
    #[error("cannot read the configuration file {}", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML", file.display())]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that the server does not know.
    #[error("unknown key {key:?} in {origin}{}", suggestion(nearest.as_deref()))]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// The file, or the environment.
        origin: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A value that does not fit its key.
    #[error("{key} in {origin}: {what}")]
    Value {
        /// The key as it was written.
        key: String,
        /// The file, or the environment.
        origin: String,
        /// What is wrong.
        what: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|key| format!(", did you mean {key:?}?")).unwrap_or_default()
}

impl Config {
    /// Puts the layers together: the defaults, `file`, the environment given as pairs, and at last
    /// `flags`, keys and values from the command line.
    pub fn layered(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, Error> {
        let known = known_keys();
        let mut merged = BTreeMap::new();
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .map_err(|source| Error::Io { file: file.to_owned(), source })?;
            let table = text.parse::<Table>().map_err(|source| Error::Syntax {
                file: file.to_owned(),
                source: Box::new(source),
            })?;
            let origin = file.display().to_string();
            for (key, value) in flatten(table) {
                let key = check(&known, key.clone(), &key, &origin)?;
                merged.insert(key, (value, origin.clone()));
            }
        }
        // In order of name, so that `STORE` comes before the name that all keys have, which counts.
        for (name, text) in environment.into_iter().collect::<BTreeMap<_, _>>() {
            let key = match name.strip_prefix(PREFIX) {
                Some(path) => path.to_ascii_lowercase().replace("__", "."),
                None if name == STORE => "store.url".to_owned(),
                None => continue,
            };
            let key = check(&known, key, &name, "the environment")?;
            let value = parse(&known[&key], text);
            merged.insert(key, (value, format!("the environment ({name})")));
        }
        for (key, text) in flags {
            let value = parse(&known[*key], text.clone());
            merged.insert((*key).to_owned(), (value, "the command line".to_owned()));
        }

        // One at a time, so that an error can name its key and where it comes from.
        let mut table = Table::new();
        for (key, (value, origin)) in merged {
            insert(&mut table, &key, value);
            Self::deserialize(table.clone()).map_err(|error| Error::Value {
                key,
                origin,
                what: error.message().to_owned(),
            })?;
        }
        // Every step above was a whole configuration; this is the last of them.
        Self::deserialize(table).map_err(|error| Error::Value {
            key: "configuration".to_owned(),
            origin: "all layers".to_owned(),
            what: error.message().to_owned(),
        })
    }

    /// The settings as a TOML file that sets them.
    pub fn to_toml(&self) -> String {
        // Fails for tables and keys that `Config` does not have.
        toml::to_string(self).unwrap_or_default()
    }
}

/// Every key, with a value of its type.
pub fn known_keys() -> BTreeMap<String, Value> {
    let here = Some(PathBuf::from("."));
    let everything = Config {
        data: Data {
            path: here.clone(),
            embeddings: here.clone(),
            posters: here.clone(),
            max_bad_lines: 0,
        },
        store: Store { ca_file: here.clone(), ..Store::default() },
        models: Models { path: here, ..Models::default() },
        ..Config::default()
    };
    flatten(Table::try_from(everything).unwrap_or_default()).into_iter().collect()
}

/// The leaves of a table, with the path of their keys.
fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => leaves.extend(
                flatten(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)),
            ),
            value => leaves.push((key, value)),
        }
    }
    leaves
}

/// `key` if it is known; otherwise an error that shows it as it was written.
fn check(
    known: &BTreeMap<String, Value>,
    key: String,
    written: &str,
    origin: &str,
) -> Result<String, Error> {
    if known.contains_key(&key) {
        return Ok(key);
    }
    let nearest = known
        .keys()
        .map(|known| (strsim::jaro_winkler(known, &key), known))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest.map(|(_, known)| match written.strip_prefix(PREFIX) {
        Some(_) => format!("{PREFIX}{}", known.to_ascii_uppercase().replace('.', "__")),
        None => known.clone(),
    });
    Err(Error::UnknownKey { key: written.to_owned(), origin: origin.to_owned(), nearest })
}

/// Text as a value of the same type as `like`, or as text where it is none: then the type error says so.
fn parse(like: &Value, text: String) -> Value {
    let parsed = match like {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner =
                table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    fn layered(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparrow.toml");
        fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags = [("listen", "127.0.0.1:7".to_owned())];
        Config::layered(Some(&path), environment, &flags).map_err(|error| {
            let whole = anyhow::format_err!(error);
            format!("{whole:#}").replace(&path.display().to_string(), "FILE")
        })
    }

    #[test]
    fn later_layers_count() {
        let config = layered(
            "listen = '127.0.0.1:1'\n[recall]\ncandidates = 5\ngenre = 6\n[server]\nidle_timeout = '1m 5s'\n",
            &[
                ("SPARROW__RECALL__GENRE", "7"),
                ("SPARROW__DATA__PATH", "123"),
                ("SPARROW_OTHER", "x"),
                ("PATH", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen.port(), 7);
        assert_eq!((config.recall.candidates.get(), config.recall.genre), (5, 7));
        assert_eq!(config.recall.rating, Recall::default().rating);
        assert_eq!(config.server.idle_timeout, Duration::from_secs(65));
        assert_eq!(config.data.path, Some(PathBuf::from("123")));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (file, environment, message) in [
            (
                "[server]\nidle_timout = '1s'\n",
                ("A", ""),
                "unknown key \"server.idle_timout\" in FILE, did you mean \"server.idle_timeout\"?",
            ),
            ("[zzz]\nqqq = 1\n", ("A", ""), "unknown key \"zzz.qqq\" in FILE"),
            (
                "",
                ("SPARROW__SERVER__IDLE_TIMOUT", "1s"),
                "unknown key \"SPARROW__SERVER__IDLE_TIMOUT\" in the environment, did you mean \
                 \"SPARROW__SERVER__IDLE_TIMEOUT\"?",
            ),
            (
                "",
                ("SPARROW__RECALL__CANDIDATES", "many"),
                "recall.candidates in the environment (SPARROW__RECALL__CANDIDATES): invalid type: \
                 string \"many\", expected a nonzero usize",
            ),
            (
                "[recall]\ncandidates = 0\n",
                ("A", ""),
                "recall.candidates in FILE: invalid value: integer `0`, expected a nonzero usize",
            ),
            (
                "[recall]\ngenre = -1\n",
                ("A", ""),
                "recall.genre in FILE: invalid value: integer `-1`, expected usize",
            ),
            (
                "[server]\nidle_timeout = 10\n",
                ("A", ""),
                "server.idle_timeout in FILE: invalid type: integer `10`, expected a string",
            ),
            (
                "[server]\nidle_timeout = '10'\n",
                ("A", ""),
                "server.idle_timeout in FILE: \"10\" is not a duration such as \"10s\": time unit \
                 needed, for example 10sec or 10ms",
            ),
            (
                "[models]\nsimilarity = 'cos'\n",
                ("A", ""),
                "models.similarity in FILE: unknown variant `cos`, expected one of `auto`, `cosine`, `dot`",
            ),
            ("server = 3\n", ("A", ""), "unknown key \"server\" in FILE"),
            (
                "",
                ("SPARROW__STORE__URL", "http://me:secret@host"),
                "store.url in the environment (SPARROW__STORE__URL): the store's address is wrong: its \
                 scheme is redis,",
            ),
        ] {
            let error = layered(file, &[environment]).unwrap_err();
            assert!(error.starts_with(message), "{error}\n{message}");
            assert!(!error.contains("secret"), "{error}");
        }
        let error = layered("listen = \n", &[]).unwrap_err();
        assert!(error.starts_with("FILE is not valid TOML: TOML parse error at line 1"), "{error}");
        let missing = Config::layered(Some(Path::new("/nowhere.toml")), [], &[]).unwrap_err();
        assert_eq!(missing.to_string(), "cannot read the configuration file /nowhere.toml");
    }

    #[test]
    fn the_store_has_a_shorter_name_in_the_environment() {
        let url = |environment: &[(&str, &str)]| {
            layered("", environment).unwrap().store.url.0.to_string()
        };
        let short = ("SPARROW_STORE", "redis://a");
        assert_eq!(url(&[short]), "redis://a:6379");
        assert_eq!(url(&[short, ("SPARROW__STORE__URL", "redis://b")]), "redis://b:6379");
        assert_eq!(url(&[("SPARROW__STORE__URL", "redis://b"), short]), "redis://b:6379");
    }

    #[test]
    fn what_is_printed_reads_back_equal() {
        let mut config = Config::default();
        config.data.posters = Some(PathBuf::from("a \"b\""));
        let secret = StoreUrl("redis://me:secret@host".parse().unwrap());
        let with_secret =
            Config { store: Store { url: secret, ..Store::default() }, ..Config::default() };
        let shown = format!("{} {with_secret:?}", with_secret.to_toml());
        assert!(shown.contains("redis://host:6379") && !shown.contains("secret"), "{shown}");
        assert_eq!(layered("", &[]).unwrap().listen.port(), 7);
        let printed: Config = toml::from_str(&config.to_toml()).unwrap();
        assert_eq!(printed, config);
    }

    /// The default file shows every key with its default, those without one as a comment.
    #[test]
    fn the_default_file_is_the_default() {
        let text = include_str!("../../../docs/sparrow.toml");
        let parsed = text.parse::<Table>().unwrap();
        assert_eq!(Config::deserialize(parsed.clone()).unwrap(), Config::default());
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let all: BTreeMap<String, Value> =
            flatten(uncommented.parse::<Table>().unwrap()).into_iter().collect();
        assert_eq!(all.keys().collect::<Vec<_>>(), known_keys().keys().collect::<Vec<_>>());
    }
}
