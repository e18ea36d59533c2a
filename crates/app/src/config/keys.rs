//! The keys of the configuration as paths such as `models[0].inputs[1].name`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use sparrow_model::nearest_name;
use toml::{Table, Value};

use super::mixes::Mixes;
use super::models::Models;
use super::recall::{self, Strategies};
use super::{
    AccessLog, Auth, Config, Data, Error, Events, Experiments, Keys, Live, Ranking, Store, Tls,
    Tokens, Tracing,
};

/// The prefix of environment variables that set keys.
pub(super) const PREFIX: &str = "SPARROW__";

/// The arrays of tables. They can be set only in a file, and are read as a whole.
pub(super) const MODELS: &str = "models";
pub(super) const STRATEGIES: &str = "recall.strategies";
pub(super) const MIXES: &str = "recall.mixes";
pub(super) const EVENTS: &str = "events";
pub(super) const EXPERIMENTS: &str = "experiments";
pub(super) const KEYS: &str = "auth.keys";

/// The flag that sets a key.
pub(crate) fn flag(key: &str) -> String {
    let name = match key {
        "data.path" => "data",
        "store.url" => "store",
        "live.path" => "live",
        _ => key.rsplit('.').next().unwrap_or(key),
    };
    format!("--{}", name.replace('_', "-"))
}

/// Returns an error with the new spelling for a key of an earlier version.
pub(super) fn check_replaced(
    key: &str,
    value: &str,
    written: &str,
    origin: &str,
) -> Result<(), Error> {
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

/// All keys, each with a value of its type. Keys of arrays of tables contain `[]` after the name of the array.
pub fn known_keys() -> BTreeMap<String, Value> {
    let here = Some(PathBuf::from("."));
    let everything = Config {
        access_log: AccessLog { users_key_file: here.clone(), ..AccessLog::default() },
        data: Data {
            path: here.clone(),
            embeddings: here.clone(),
            posters: here.clone(),
            max_bad_lines: 0,
        },
        store: Store { ca_file: here.clone(), ..Store::default() },
        auth: Auth { keys_file: here.clone(), tokens: Some(Tokens::default()), ..Auth::default() },
        tls: Tls { certificate: here.clone(), key: here.clone() },
        tracing: Tracing {
            endpoint: Some(String::new()),
            ca_file: here.clone(),
            ..Tracing::default()
        },
        live: Live { path: here.clone(), ..Live::default() },
        ranking: Ranking { models: here, ..Ranking::default() },
        ..Config::default()
    };
    let mut table = Table::try_from(everything).unwrap_or_default();
    let tables = |table| Value::Array(vec![Value::Table(table)]);
    table.insert(MODELS.to_owned(), tables(Models::table_of_all_keys()));
    table.insert(EVENTS.to_owned(), tables(Events::table_of_all_keys()));
    table.insert(EXPERIMENTS.to_owned(), tables(Experiments::table_of_all_keys()));
    insert(&mut table, KEYS, tables(Keys::table_of_all_keys()));
    insert(&mut table, STRATEGIES, tables(Strategies::table_of_all_keys()));
    insert(&mut table, MIXES, tables(Mixes::table_of_all_keys()));
    flatten(table).into_iter().map(|(key, value)| (without_indices(&key), value)).collect()
}

/// The values in a table and its tables, with the path of their keys: `models[0].name` in an array of tables.
pub(super) fn flatten(table: Table) -> Vec<(String, Value)> {
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

/// The values in a table, with paths that start with `key`.
pub(super) fn below(key: &str, table: Table) -> impl Iterator<Item = (String, Value)> {
    flatten(table).into_iter().map(move |(rest, value)| (format!("{key}.{rest}"), value))
}

/// The keys whose values differ in two configurations, without indices, in order.
pub(super) fn differences(one: &Config, other: &Config) -> BTreeSet<String> {
    let values = |config: &Config| {
        let values = flatten(Table::try_from(config).unwrap_or_default());
        values.into_iter().collect::<BTreeMap<String, Value>>()
    };
    let (one, other) = (values(one), values(other));
    let keys = one.keys().chain(other.keys());
    keys.filter(|key| one.get(*key) != other.get(*key)).map(|key| without_indices(key)).collect()
}

/// Removes the indices: returns `models[].inputs[].name` for `models[1].inputs[0].name`.
pub(super) fn without_indices(key: &str) -> String {
    let mut parts = key.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| {
        let rest = part.split_once(']').map_or(part, |(_, rest)| rest);
        format!("{key}[]{rest}")
    })
}

/// Inserts the indices of a written key into a known one.
fn with_indices(known: &str, written: &str) -> String {
    let mut indices = written.split('[').skip(1).filter_map(|part| part.split(']').next());
    let mut parts = known.split("[]");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |key, part| format!("{key}[{}]{part}", indices.next().unwrap_or_default()))
}

/// Returns `key` if it exists, otherwise an error with its written form.
pub(super) fn check_known(
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
    let nearest = nearest_name(&bare, similar).map(|known| match written.strip_prefix(PREFIX) {
        Some(_) => format!("{PREFIX}{}", known.name.to_ascii_uppercase().replace('.', "__")),
        None => with_indices(known.name, &key),
    });
    Err(Error::UnknownKey { key: written.to_owned(), origin: origin.to_owned(), nearest })
}

/// Inserts a value into the table of its section, which is created if it is missing.
pub(super) fn insert(table: &mut Table, key: &str, value: Value) {
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
