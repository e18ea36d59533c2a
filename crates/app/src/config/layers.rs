//! From defaults, file, environment and command line to one configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::models::Models;
use super::recall::{self, Strategies};
use super::{Config, Data, Ranking, Store, TableProblem, read_text};

/// Every environment variable with this beginning is a configuration key.
const PREFIX: &str = "SPARROW__";

/// Another name of `store.url` in the environment, which `sparrow-loader` takes as well.
const STORE: &str = "SPARROW_STORE";

/// Where the values of flags come from.
const COMMAND_LINE: &str = "the command line";

/// The key of the model for requests that name none.
const DEFAULT: &str = "ranking.default";

/// The arrays of tables, which can be set only in a file and are read as a whole.
const MODELS: &str = "models";
const STRATEGIES: &str = "recall.strategies";

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

pub(super) fn suggestion(nearest: Option<&str>) -> String {
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
        let (mut models, mut strategies) = (None, None);
        let mut file_name = String::new();
        if let Some(file) = file {
            let text =
                read_text(file).map_err(|source| Error::Io { file: file.to_owned(), source })?;
            let mut table = text.parse::<Table>().map_err(|source| Error::Syntax {
                file: file.to_owned(),
                source: Box::new(source),
            })?;
            file_name = file.display().to_string();
            models = take_tables(&mut table, MODELS, &known, &file_name)?;
            strategies = take_tables(&mut table, STRATEGIES, &known, &file_name)?;
            for (key, value) in flatten(table) {
                check_replaced(&key, &value.to_string(), &key, &file_name)?;
                let key = check(&known, key.clone(), &key, &file_name)?;
                merged.insert(key, (value, file_name.clone()));
            }
        }
        // In order of name, so that `STORE` comes before the name that all keys have, which counts.
        for (name, text) in environment.into_iter().collect::<BTreeMap<_, _>>() {
            let key = match name.strip_prefix(PREFIX) {
                Some(path) => path.to_ascii_lowercase().replace("__", "."),
                None if name == STORE => "store.url".to_owned(),
                None => continue,
            };
            check_replaced(&key, &text, &name, "the environment")?;
            let key = check(&known, key, &name, "the environment")?;
            let value = parse(&known[&key], text);
            merged.insert(key, (value, format!("the environment ({name})")));
        }
        for (key, text) in flags {
            let value = parse(&known[*key], text.clone());
            merged.insert((*key).to_owned(), (value, COMMAND_LINE.to_owned()));
        }

        // One at a time, so that an error can name its key and where it comes from.
        let mut table = Table::new();
        let mut config = Self::default();
        let mut origins = BTreeMap::new();
        for (key, (value, origin)) in merged {
            insert(&mut table, &key, value);
            config = Self::deserialize(table.clone()).map_err(|error| Error::Value {
                key: if origin == COMMAND_LINE { flag(&key) } else { key.clone() },
                origin: origin.clone(),
                what: error.message().to_owned(),
            })?;
            origins.insert(key, origin);
        }
        // The names of discovered models are needed here. A folder that cannot be read is an error of the start.
        let discovered = config.discover_models().unwrap_or_default();
        let in_file = |TableProblem { key, message }| Error::Value {
            key,
            origin: file_name.clone(),
            what: message,
        };
        config.models = Models::new(models.unwrap_or_default(), &discovered).map_err(in_file)?;
        if let Some(tables) = strategies {
            config.recall.strategies = Strategies::new(&tables).map_err(in_file)?;
        }
        for (key, model, kind) in config.recall.strategies.models() {
            let problem = |what| Error::Value { key: key.clone(), origin: file_name.clone(), what };
            let found = config.models.find(model).map_err(problem)?;
            if found.kind.name() != kind {
                return Err(problem(format!("{model:?} is not a model of the kind {kind}")));
            }
        }
        config.models.find(&config.ranking.default).map_err(|what| Error::Value {
            key: DEFAULT.to_owned(),
            origin: origins.remove(DEFAULT).unwrap_or_default(),
            what,
        })?;
        Ok(config)
    }
}

/// The flag that sets a key.
pub(crate) fn flag(key: &str) -> String {
    let name = match key {
        "data.path" => "data",
        "store.url" => "store",
        _ => key.rsplit('.').next().unwrap_or(key),
    };
    format!("--{}", name.replace('_', "-"))
}

/// Removes an array of tables from the content of a file.
fn take_tables(
    table: &mut Table,
    path: &str,
    known: &BTreeMap<String, Value>,
    file: &str,
) -> Result<Option<Vec<Table>>, Error> {
    let (section, key) = path.rsplit_once('.').map_or((None, path), |(a, b)| (Some(a), b));
    let section = match section {
        Some(section) => match table.get_mut(section) {
            Some(Value::Table(section)) => section,
            _ => return Ok(None),
        },
        None => table,
    };
    let Some(Value::Array(values)) = section.get(key) else { return Ok(None) };
    let tables = values.iter().cloned().map(|value| match value {
        Value::Table(table) => Ok(table),
        _ => Err(Error::Value {
            key: path.to_owned(),
            origin: file.to_owned(),
            what: "each element must be a table".to_owned(),
        }),
    });
    let tables: Vec<Table> = tables.collect::<Result<_, _>>()?;
    section.remove(key);
    for (index, table) in tables.iter().enumerate() {
        for (key, _) in below(&format!("{path}[{index}]"), table.clone()) {
            check(known, key.clone(), &key, file)?;
        }
    }
    Ok(Some(tables))
}

/// An error for a key of an earlier version, with the new spelling.
fn check_replaced(key: &str, value: &str, written: &str, origin: &str) -> Result<(), Error> {
    let Some(strategy) = key.strip_prefix("recall.") else { return Ok(()) };
    if !recall::names().any(|name| name == strategy) {
        return Ok(());
    }
    let what = format!(
        "recall strategies are tables of the configuration file now: [[recall.strategies]] with strategy = \
         \"{strategy}\" and share = {value} (such tables replace the whole default list)"
    );
    Err(Error::Value { key: written.to_owned(), origin: origin.to_owned(), what })
}

/// Every key, with a value of its type. Those of arrays of tables have `[]` behind the array's name.
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
        ranking: Ranking { models: here, ..Ranking::default() },
        ..Config::default()
    };
    let mut table = Table::try_from(everything).unwrap_or_default();
    let tables = |table| Value::Array(vec![Value::Table(table)]);
    table.insert(MODELS.to_owned(), tables(Models::table_of_all_keys()));
    insert(&mut table, STRATEGIES, tables(Strategies::table_of_all_keys()));
    flatten(table).into_iter().map(|(key, value)| (without_indices(&key), value)).collect()
}

/// The leaves of a table, with the path of their keys: `models[0].name` in an array of tables.
fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => leaves.extend(below(&key, inner)),
            Value::Array(tables) if tables.iter().any(Value::is_table) => {
                for (index, value) in tables.into_iter().enumerate() {
                    match value {
                        Value::Table(inner) => {
                            leaves.extend(below(&format!("{key}[{index}]"), inner));
                        }
                        value => leaves.push((key.clone(), value)),
                    }
                }
            }
            value => leaves.push((key, value)),
        }
    }
    leaves
}

fn below(key: &str, table: Table) -> impl Iterator<Item = (String, Value)> {
    flatten(table).into_iter().map(move |(rest, value)| (format!("{key}.{rest}"), value))
}

/// `models[].inputs[].name` for `models[1].inputs[0].name`.
fn without_indices(key: &str) -> String {
    let mut parts = key.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| {
        let rest = part.split_once(']').map_or(part, |(_, rest)| rest);
        format!("{key}[]{rest}")
    })
}

/// A known key with the indices of a written one.
fn with_indices(known: &str, written: &str) -> String {
    let mut indices = written.split('[').skip(1).filter_map(|part| part.split(']').next());
    let mut parts = known.split("[]");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| format!("{key}[{}]{part}", indices.next().unwrap_or_default()))
}

/// `key` if it is known; otherwise an error that shows it as it was written.
fn check(
    known: &BTreeMap<String, Value>,
    key: String,
    written: &str,
    origin: &str,
) -> Result<String, Error> {
    let bare = without_indices(&key);
    if known.contains_key(&bare) {
        return Ok(key);
    }
    // Suggest keys of arrays of tables only for keys of such arrays.
    let similar =
        known.keys().map(String::as_str).filter(|known| known.contains('[') == bare.contains('['));
    let nearest = nearest(&bare, similar).map(|known| match written.strip_prefix(PREFIX) {
        Some(_) => format!("{PREFIX}{}", known.to_ascii_uppercase().replace('.', "__")),
        None => with_indices(known, &key),
    });
    Err(Error::UnknownKey { key: written.to_owned(), origin: origin.to_owned(), nearest })
}

/// The one of some words that is most like another, if any is like it at all.
pub(super) fn nearest<'a>(word: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let like = words.into_iter().map(|known| (strsim::jaro_winkler(known, word), known));
    let nearest = like.filter(|(likeness, _)| *likeness > 0.75).max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map(|(_, known)| known)
}

/// Text as a value of the same type as `like`, or as text where it is none: then the type error says so.
fn parse(like: &Value, text: String) -> Value {
    let parsed = match like {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        // Divided by commas; empty for none.
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
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
    use std::time::Duration;

    use super::*;
    use crate::config::StoreUrl;

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
            "listen = '127.0.0.1:1'\n[data]\nmax_bad_lines = 6\n[recall]\ncandidates = 5\n\
             [server]\nidle_timeout = '1m 5s'\n",
            &[
                ("SPARROW__DATA__MAX_BAD_LINES", "7"),
                ("SPARROW__DATA__PATH", "123"),
                ("SPARROW_OTHER", "x"),
                ("PATH", "x"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen.port(), 7);
        assert_eq!((config.recall.candidates.get(), config.data.max_bad_lines), (5, 7));
        assert_eq!(config.recall.strategies, Strategies::default());
        assert_eq!(config.server.idle_timeout, Duration::from_secs(65));
        assert_eq!(config.data.path, Some(PathBuf::from("123")));
    }

    #[test]
    fn ports_and_lists_are_read_from_every_layer() {
        let read = |file: &str, environment: &[(&str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sparrow.toml");
            fs::write(&path, file).unwrap();
            let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            Config::layered(Some(&path), environment, &[]).unwrap()
        };
        assert_eq!(read("listen = 6011", &[]).listen.to_string(), "127.0.0.1:6011");
        let config = read(
            "[cors]\norigins = ['https://a.example']",
            &[("SPARROW__LISTEN", ":6011"), ("A", "")],
        );
        assert_eq!(config.listen.to_string(), "0.0.0.0:6011");
        assert_eq!(config.cors.origins, ["https://a.example"]);
        let environment = [("SPARROW__CORS__ORIGINS", "https://b.example, *")];
        assert_eq!(read("", &environment).cors.origins, ["https://b.example", "*"]);
        assert_eq!(read("", &[("SPARROW__CORS__ORIGINS", "")]).cors.origins, [""; 0]);
        let hidden = [("SPARROW__CATALOG__HIDDEN", "1, 20")];
        assert_eq!(read("[catalog]\nhidden = [3]", &[]).catalog.hidden, [3]);
        assert_eq!(read("", &hidden).catalog.hidden, [1, 20]);
        // What is printed can be read.
        let printed = read(&read("", &environment).to_toml(), &[]);
        assert_eq!(printed.cors.origins, ["https://b.example", "*"]);
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
                "[data]\nmax_bad_lines = -1\n",
                ("A", ""),
                "data.max_bad_lines in FILE: invalid value: integer `-1`, expected usize",
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
                "[ranking]\nsimilarity = 'cos'\n",
                ("A", ""),
                "ranking.similarity in FILE: unknown variant `cos`, expected one of `auto`, `cosine`, \
                 `dot`",
            ),
            (
                "[cors]\norigins = ['https://a.example', 'a.example/']\n",
                ("A", ""),
                "cors.origins in FILE: \"a.example/\" is not an origin such as",
            ),
            (
                "",
                ("SPARROW__CORS__ORIGINS", "https://a.example, b"),
                "cors.origins in the environment (SPARROW__CORS__ORIGINS): \"b\" is not an origin",
            ),
            (
                "[log]\nfilter = 'infoo'\n",
                ("A", ""),
                "log.filter in FILE: \"infoo\" is none of the levels off, error, warn, info, debug, trace, did \
                 you mean \"info\"?",
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
    fn byte_order_marks_of_text_files_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let words = folder.path().join("words.txt");
        let file = format!(
            "[[models]]\nname = 'a'\nkind = 'tf-serving'\nurl = 'http://h/v1/models/m'\n\
             [[models.inputs]]\nname = 'g'\nsource = 'uf.userGenre1'\nvocabulary_file = '{}'\n",
            words.display()
        );
        fs::write(&words, "Comedy\nDrama\n").unwrap();
        let plain = layered(&file, &[]).unwrap().models;
        fs::write(&words, "\u{feff}Comedy\r\nDrama\r\n").unwrap();
        assert_eq!(layered(&format!("\u{feff}{file}"), &[]).unwrap().models, plain);
        fs::write(&words, b"Com\xe9die\n").unwrap();
        let error = layered(&file, &[]).unwrap_err();
        assert!(error.contains("invalid utf-8"), "{error}");
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
        let text = include_str!("../../../../docs/sparrow.toml");
        let parsed = text.parse::<Table>().unwrap();
        assert_eq!(Config::deserialize(parsed.clone()).unwrap(), Config::default());
        let uncommented: String = text
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .flat_map(|line| [line, "\n"])
            .collect();
        let all: BTreeMap<String, Value> = flatten(uncommented.parse::<Table>().unwrap())
            .into_iter()
            .map(|(key, value)| (without_indices(&key), value))
            .collect();
        // A model has a version or a label.
        let known = known_keys();
        let known = known.keys().filter(|key| *key != "models[].label");
        assert_eq!(all.keys().collect::<Vec<_>>(), known.collect::<Vec<_>>());

        // The examples are good ones, and what is shown as a default is it.
        let folder = tempfile::tempdir().unwrap();
        let words = folder.path().join("genres.txt");
        fs::write(&words, "Comedy\nDrama\n").unwrap();
        let examples = uncommented.replace("genres.txt", &words.display().to_string());
        let config: Config = toml::from_str(&examples).unwrap();
        let printed = config.to_toml();
        assert_eq!(toml::from_str::<Config>(&printed).unwrap(), config, "{printed}");
        assert_eq!(layered(&printed, &[]).unwrap().models, config.models);
    }

    /// What the documentation shows of models can be copied from it.
    #[test]
    fn the_tables_in_the_documentation_are_good_ones() {
        let tables = include_str!("../../../../fixtures/tensorflow/embedding_mlp.toml");
        let pages = [
            include_str!("../../../../docs/models.md"),
            include_str!("../../../../docs/tf-serving.md"),
        ];
        let blocks = pages.iter().flat_map(|page| page.split("```toml\n").skip(1));
        let blocks = blocks.filter_map(|rest| rest.split("```").next());
        let shown: Vec<&str> = blocks.filter(|block| block.contains("[[models]]")).collect();
        assert!(shown.len() >= 3, "{shown:?}");
        for tables in shown.into_iter().chain([tables]) {
            let models = layered(tables, &[]).unwrap_or_else(|e| panic!("{e} in {tables}")).models;
            assert!(models.all().len() > Models::default().all().len(), "{tables}");
        }
    }

    #[test]
    fn models_have_default_and_configured_fallbacks() {
        let chain = |file: &str| {
            let config = layered(file, &[]).unwrap();
            let models = config.models.all().iter();
            models
                .map(|model| format!("{}>{}", model.name, model.fallback.as_deref().unwrap_or("-")))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(chain(""), "emb>popularity popularity>- neuralcf>emb");
        let tf = "url = 'http://h:1/v1/models/m'\nkind = 'tf-serving'\n";
        assert_eq!(
            chain(&format!("[[models]]\nname = 'tf'\n{tf}")),
            "emb>popularity popularity>- neuralcf>emb tf>neuralcf"
        );
        assert_eq!(
            chain(&format!("[[models]]\nname = 'neuralcf'\n{tf}")),
            "emb>popularity popularity>- neuralcf>emb"
        );
        assert_eq!(
            chain(&format!(
                "ranking.default = 'nerualcf'\n[[models]]\nname = 'tf'\nfallback = 'nerualcf'\n{tf}\
                 [[models]]\nname = 'neuralcf'\nkind = 'neuralcf'\nfallback = 'e'\n\
                 [[models]]\nname = 'e'\nkind = 'embedding'\npath = 'p'\n\
                 [[models]]\nname = 'pop'\nkind = 'popularity'\n"
            )),
            "emb>popularity popularity>- neuralcf>e tf>neuralcf e>emb pop>-"
        );
        assert_eq!(chain("models = []"), chain(""));
    }

    #[test]
    fn mistakes_in_models_are_named_with_their_place() {
        for (file, message) in [
            ("models = 3", "unknown key \"models\" in FILE"),
            ("models = [1, {name = 'a'}]", "models in FILE: each element must be a table"),
            ("[models]\ndefault = 'emb'", "unknown key \"models.default\" in FILE"),
            ("[[models]]", "models[0].name in FILE: a model has a name"),
            (
                "[[models]]\nname = 'a b'",
                "models[0].name in FILE: a name consists of letters, digits, '-', '_' and '.', at most 64 of \
                 them: \"a b\"",
            ),
            (
                "[[models]]\nname = 'nerualcf'\nkind = 'popularity'",
                "models[0].name in FILE: \"nerualcf\" is an alias of \"neuralcf\"",
            ),
            ("[[models]]\nname = 'a'", "models[0].kind in FILE: the model \"a\" has no kind"),
            (
                "[[models]]\nname = 'a'\nkind = 'neural'",
                "models[0].kind in FILE: \"neural\" is none of the kinds embedding, popularity, neuralcf, ease, \
                 tf-serving, did you mean \"neuralcf\"?",
            ),
            (
                "[[models]]\nname = 'a'\nkind = 'popularity'\n[[models]]\nname = 'a'\nkind = 'popularity'",
                "models[1].name in FILE: two models are named \"a\"",
            ),
            (
                "[[models]]\nname = 'a'\nkind = 'neuralcf'",
                "models[0].path in FILE: a model of the kind neuralcf needs the folder that it is in",
            ),
            (
                "[[models]]\nname = 'a'\nkind = 'embedding'\nurl = 'x'",
                "models[0].url in FILE: a model of the kind embedding has no url",
            ),
            (
                "[[models]]\nname = 'a'\nkind = 'popularity'\nfallback = 'nuralcf'",
                "models[0].fallback in FILE: no model is named \"nuralcf\", did you mean \"neuralcf\"?",
            ),
            (
                "[[models]]\nname = 'emb'\nkind = 'embedding'\nfallback = 'a'\n\
                 [[models]]\nname = 'a'\nkind = 'popularity'\nfallback = 'neuralcf'",
                "models[0].fallback in FILE: the fallbacks have a cycle: emb → a → neuralcf → emb",
            ),
            (
                "[[models]]\nname = 'emb'\nkind = 'embedding'\nfallback = 'emb'",
                "models[0].fallback in FILE: the fallbacks have a cycle: emb → emb",
            ),
            (
                "[ranking]\ndefault = 'popular'",
                "ranking.default in FILE: no model is named \"popular\", did you mean \"popularity\"?",
            ),
        ] {
            let error = layered(file, &[]).unwrap_err();
            assert!(error.starts_with(message), "{error}\n{message}");
        }
        let error = layered("", &[("SPARROW__MODELS__NAME", "a")]).unwrap_err();
        assert!(error.starts_with("unknown key \"SPARROW__MODELS__NAME\""), "{error}");
    }

    #[test]
    fn strategies_are_tables_with_shares_and_parameters() {
        let config = layered(
            "[[models]]\nname = 'items'\nkind = 'ease'\npath = 'p'\n\
             [[recall.strategies]]\nstrategy = 'genre'\nfavourites = 2\n\
             [[recall.strategies]]\nstrategy = 'ease'\nshare = 50\nmodel = 'items'\n",
            &[],
        );
        let config = config.unwrap();
        let printed = config.to_toml();
        let expected = "[[recall.strategies]]\nfavourites = 2\nshare = 200\nstrategy = \"genre\"\n\n\
                        [[recall.strategies]]\nmodel = \"items\"\nshare = 50\nstrategy = \"ease\"\n";
        assert!(printed.contains(expected), "{printed}");
        assert_eq!(layered(&printed, &[]).unwrap().recall, config.recall);
        let strategies = |file: &str| layered(file, &[]).unwrap().recall.strategies.all().len();
        assert_eq!(
            (strategies("[recall]\nstrategies = []"), strategies("recall.candidates = 7")),
            (0, 5)
        );
    }

    #[test]
    fn mistakes_in_strategies_are_named_with_their_place() {
        let table = "[[recall.strategies]]\nstrategy = ";
        for (file, message) in [
            (
                "[recall]\ngenre = 6\n",
                "recall.genre in FILE: recall strategies are tables of the configuration file now: \
                 [[recall.strategies]] with strategy = \"genre\" and share = 6 (",
            ),
            ("[recall]\nstrategies = 3", "unknown key \"recall.strategies\" in FILE"),
            (
                "[[recall.strategies]]\nshare = 3",
                "recall.strategies[0].strategy in FILE: a table names a strategy",
            ),
            (
                &format!("{table}'genres'"),
                "recall.strategies[0].strategy in FILE: \"genres\" is none of embedding, genre, rating, recency, \
                 popularity, ease, did you mean \"genre\"?",
            ),
            (
                &format!("{table}'genre'\nshare = 0"),
                "recall.strategies[0].share in FILE: invalid value: integer `0`, expected a nonzero usize",
            ),
            (
                &format!("{table}'genre'\nfavorites = 3"),
                "unknown key \"recall.strategies[0].favorites\" in FILE, did you mean \
                 \"recall.strategies[0].favourites\"?",
            ),
            (
                &format!("{table}'genre'\nfavourites = 'all'"),
                "recall.strategies[0].favourites in FILE: invalid type: string \"all\", expected usize",
            ),
            (
                &format!("{table}'genre'\nfavourites = 9"),
                "recall.strategies[0].favourites in FILE: favourites must be from 1 to 5, got 9",
            ),
            (
                &format!("{table}'rating'\nfavourites = 3"),
                "recall.strategies[0].favourites in FILE: the strategy rating has no favourites",
            ),
            (
                &format!("{table}'genre'\n{table}'genre'"),
                "recall.strategies[1].strategy in FILE: two strategies are \"genre\"",
            ),
            (
                &format!("{table}'ease'\nmodel = 'eas'"),
                "recall.strategies[0].model in FILE: no model is named \"eas\"",
            ),
            (
                &format!("{table}'ease'\nmodel = 'emb'"),
                "recall.strategies[0].model in FILE: \"emb\" is not a model of the kind ease",
            ),
        ] {
            let error = layered(file, &[]).unwrap_err();
            assert!(error.starts_with(message), "{error}\n{message}");
        }
        let error = layered("", &[("SPARROW__RECALL__EASE", "5")]).unwrap_err();
        let expected = "SPARROW__RECALL__EASE in the environment: recall strategies are tables";
        assert!(error.starts_with(expected) && error.contains("share = 5"), "{error}");
    }

    #[test]
    fn mistakes_in_models_at_servers_are_named_with_their_place() {
        let tf = "[[models]]\nname = 'tf'\nkind = 'tf-serving'\n";
        let url = "url = 'http://h:8501/v1/models/m'\n";
        for (file, message) in [
            (
                tf,
                "models[0].url in FILE: a model of the kind tf-serving needs one, such as http://",
            ),
            (
                &format!("{tf}[[models]]\nname = 'a'\nulr = 'x'"),
                "unknown key \"models[1].ulr\" in FILE, did you mean \"models[1].url\"?",
            ),
            (
                &format!("{tf}url = 'http://me:secret@h/v1/models/m'"),
                "models[0].url in FILE: the URL of the model must not contain a user or password",
            ),
            (
                &format!("{tf}{url}version = 1\nlabel = 'a'"),
                "models[0].label in FILE: a model is asked for by version or by label, not by both",
            ),
            (
                &format!("{tf}{url}deadline = 5"),
                "models[0].deadline in FILE: invalid type: integer `5`, expected a string",
            ),
            (
                &format!("{tf}{url}failures = 3"),
                "unknown key \"models[0].failures\" in FILE, did you mean \"models[0].failure_rate\"?",
            ),
            (
                &format!("{tf}{url}failure_rate = 1.5"),
                "models[0].url in FILE: failure_rate must be above 0 and at most 1",
            ),
            (
                &format!("{tf}{url}max_body = '5'"),
                "models[0].max_body in FILE: \"5\" is not a size such as \"16MiB\"",
            ),
            (
                &format!("{tf}{url}batch = {{ wait = '1ms' }}"),
                "models[0].batch in FILE: missing field `rows`",
            ),
            (
                &format!("{tf}{url}connections = 0"),
                "models[0].connections in FILE: invalid value: integer `0`, expected a nonzero usize",
            ),
            (
                &format!("{tf}{url}[[models.inputs]]\nname = 'u'\nsorce = 'user.id'"),
                "unknown key \"models[0].inputs[0].sorce\" in FILE, did you mean \
                 \"models[0].inputs[0].source\"?",
            ),
            (
                &format!("{tf}{url}[[models.inputs]]\nname = 'u'"),
                "models[0].inputs[0].source in FILE: an input has a source",
            ),
            (
                &format!("{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'user'"),
                "models[0].inputs[0].source in FILE: unknown source \"user\", expected user.id,",
            ),
            (
                &format!("{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'user.id'\nmax = 1.5"),
                "models[0].inputs[0].max in FILE: invalid type: floating point `1.5`, expected u32",
            ),
            (
                &format!(
                    "{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'uf.userGenre1'\n\
                     vocabulary_file = '/nowhere'"
                ),
                "models[0].inputs[0].vocabulary_file in FILE: cannot read /nowhere: ",
            ),
            (
                &format!(
                    "{tf}{url}[[models.inputs]]\nname = 'u'\nsource = 'uf.userRatingCount'\n\
                     normalise = {{ mean = 1, max = 2 }}"
                ),
                "models[0].inputs[0].normalise in FILE: takes mean and stddev, or min and max",
            ),
        ] {
            let error = layered(file, &[]).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
            assert!(error.starts_with(message), "{error}\n{message}");
        }
    }
}
