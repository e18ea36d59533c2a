//! Merges defaults, file, environment and command line into one configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::keys::{
    EVENTS, EXPERIMENTS, KEYS, MIXES, MODELS, PREFIX, STRATEGIES, below, check_known,
    check_replaced, flag, flatten, insert, known_keys, without_indices,
};
use super::mixes::Mixes;
use super::models::Models;
use super::recall::Strategies;
use super::{Config, Error, Events, Experiments, Keys, TableProblem, Tokens, read_text};
use crate::models::AUTO;

/// A shorter environment variable for `store.url`, which `sparrow-loader` reads too.
const STORE: &str = "SPARROW_STORE";

/// The origin of the values of flags.
const COMMAND_LINE: &str = "the command line";

/// The beginning of the keys about tokens.
const TOKENS: &str = "auth.tokens.";

/// The key of the default model.
const DEFAULT: &str = "ranking.default";

impl Config {
    /// Merges the layers: the defaults, `file`, the environment as pairs, and `flags`, which are keys and values from
    /// the command line. Later layers take precedence.
    pub fn layered(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[(&str, String)],
    ) -> Result<Self, Error> {
        let known = known_keys();
        let mut merged = BTreeMap::new();
        let (mut models, mut strategies, mut mixes) = (None, None, None);
        let (mut events, mut experiments, mut keys) = (None, None, None);
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
            mixes = take_tables(&mut table, MIXES, &known, &file_name)?;
            events = take_tables(&mut table, EVENTS, &known, &file_name)?;
            experiments = take_tables(&mut table, EXPERIMENTS, &known, &file_name)?;
            keys = take_tables(&mut table, KEYS, &known, &file_name)?;
            for (key, value) in flatten(table) {
                check_replaced(&key, &value.to_string(), &key, &file_name)?;
                let key = check_known(&known, key.clone(), &key, &file_name)?;
                merged.insert(key, (value, file_name.clone()));
            }
        }
        // In order of name, so that `SPARROW__STORE__URL` comes after `STORE` and takes precedence.
        for (name, text) in environment.into_iter().collect::<BTreeMap<_, _>>() {
            let key = match name.strip_prefix(PREFIX) {
                Some(path) => path.to_ascii_lowercase().replace("__", "."),
                None if name == STORE => "store.url".to_owned(),
                None => continue,
            };
            check_replaced(&key, &text, &name, "the environment")?;
            let key = check_known(&known, key, &name, "the environment")?;
            let value = parse(&known[&key], text);
            merged.insert(key, (value, format!("the environment ({name})")));
        }
        for (key, text) in flags {
            let value = parse(&known[*key], text.clone());
            merged.insert((*key).to_owned(), (value, COMMAND_LINE.to_owned()));
        }

        // One at a time, so that an error names its key and origin.
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
        config.events = Events::new(&events.unwrap_or_default()).map_err(in_file)?;
        config.recall.mixes = Mixes::new(&mixes.unwrap_or_default()).map_err(in_file)?;
        let experiments = Experiments::new(
            &experiments.unwrap_or_default(),
            &config.comparable_models(),
            &config.recall.mixes,
        );
        config.experiments = experiments.map_err(in_file)?;
        config.auth.keys = Keys::new(KEYS, &keys.unwrap_or_default()).map_err(in_file)?;
        if let Some((key, what)) = config.auth.tokens.as_ref().and_then(Tokens::missing) {
            let given = |(key, _): &(&String, &String)| key.starts_with(TOKENS);
            let origin = origins.iter().find(given).map(|(_, origin)| origin.clone());
            return Err(Error::Value {
                key: format!("{TOKENS}{key}"),
                origin: origin.unwrap_or_default(),
                what: format!("is required for tokens: {what}"),
            });
        }
        if let Some(tables) = strategies {
            config.recall.strategies = Strategies::new(STRATEGIES, &tables).map_err(in_file)?;
        }
        for (key, model, kind) in config.recall.models() {
            let problem = |what| Error::Value { key: key.clone(), origin: file_name.clone(), what };
            let found = config.models.find(model).map_err(problem)?;
            if found.kind.name() != kind {
                return Err(problem(format!("{model:?} is not a model of the kind {kind}")));
            }
        }
        if config.ranking.default != AUTO {
            config.models.find(&config.ranking.default).map_err(|what| Error::Value {
                key: DEFAULT.to_owned(),
                origin: origins.remove(DEFAULT).unwrap_or_default(),
                what,
            })?;
        }
        Ok(config)
    }
}

/// Removes an array of tables from the content of a file and returns it.
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
        for (key, value) in below(&format!("{path}[{index}]"), table.clone()) {
            // An empty array of tables has no keys.
            let inside = format!("{}[].", without_indices(&key));
            let is_empty = value.as_array().is_some_and(Vec::is_empty);
            if !(is_empty && known.keys().any(|known| known.starts_with(&inside))) {
                check_known(known, key.clone(), &key, file)?;
            }
        }
    }
    Ok(Some(tables))
}

/// Parses text as a value of the same type as `like`. Returns it as text if it has another type, so that deserialising
/// reports the type.
fn parse(like: &Value, text: String) -> Value {
    let parsed = match like {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        // Separated by commas; empty for an empty list.
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Some(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
        _ => None,
    };
    parsed.unwrap_or(Value::String(text))
}
