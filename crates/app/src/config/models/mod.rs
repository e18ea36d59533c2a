//! The tables of `[[models]]`, and the models that exist without a table.

mod discovery;

pub(crate) use discovery::{DiscoveredModels, discover};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use toml::{Table, Value};

use super::TableProblem;
use super::error::did_you_mean;
use crate::models::{KINDS, ModelKind, TableError, read_table};

/// The maximum length of a model's name.
const LONGEST_NAME: usize = 64;

/// The keys of tables of all kinds.
const COMMON_KEYS: [&str; 3] = ["name", "kind", "fallback"];

/// All ranking models: those of tables, and those that exist without a table.
#[derive(Debug, Clone)]
pub struct Models {
    /// The tables as written, for printing.
    tables: Vec<Table>,
    all: Vec<ModelEntry>,
}

/// A ranking model. Its name, its table and its fallback have been checked.
#[derive(Debug, Clone)]
pub(crate) struct ModelEntry {
    /// The name in requests.
    pub(crate) name: String,
    /// Other names in requests.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) kind: &'static dyn ModelKind,
    /// The keys of the kind.
    pub(crate) table: Table,
    /// The name of the model that is its fallback.
    pub(crate) fallback: Option<String>,
    /// The content of its only file, for models of the demonstration set.
    pub(crate) embedded: Option<&'static [u8]>,
}

/// The keys of every table.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CommonKeys {
    name: Option<String>,
    kind: Option<String>,
    fallback: Option<String>,
}

impl Default for Models {
    fn default() -> Self {
        let built_in = KINDS.iter().filter_map(|kind| Some((*kind, kind.built_in()?)));
        let all = built_in.map(|(kind, built_in)| ModelEntry {
            name: built_in.name.to_owned(),
            aliases: built_in.aliases,
            kind,
            table: Table::new(),
            fallback: built_in.fallback.map(str::to_owned),
            embedded: None,
        });
        Self { tables: Vec::new(), all: all.collect() }
    }
}

impl Models {
    /// A table with the keys of all kinds, for the list of known keys.
    pub(in crate::config) fn table_of_all_keys() -> Table {
        let text = || Value::String(String::new());
        let common = COMMON_KEYS.map(|key| (key.to_owned(), text()));
        KINDS.iter().flat_map(|kind| kind.keys()).chain(common).collect()
    }

    /// The same models with those of the models folder. A table with the name of such a model replaces it.
    pub(crate) fn with_discovered(&self, discovered: &DiscoveredModels) -> Result<Self, String> {
        let message = |TableProblem { key, message }| format!("{key}: {message}");
        Self::new(self.tables.clone(), discovered).map_err(message)
    }

    /// The same models with those of the demonstration set. A table with the name of such a model replaces it.
    pub(crate) fn with_demo(&self) -> Result<Self, String> {
        let mut discovered = DiscoveredModels::default();
        for (name, bytes) in sparrow_demo::MODELS {
            let kind = KINDS.iter().find(|kind| kind.name() == name);
            let Some(kind) = kind.filter(|_| built_in(name).is_none()) else { continue };
            discovered.models.push(ModelEntry {
                name: name.to_owned(),
                aliases: &[],
                kind: *kind,
                table: Table::new(),
                fallback: default_fallback(name, *kind),
                embedded: Some(bytes),
            });
        }
        let mut models = self.with_discovered(&discovered)?;
        for (name, bytes) in sparrow_demo::MODELS {
            let built_in = models.all.iter_mut().find(|model| model.name == name);
            if let Some(model) = built_in.filter(|_| !self.has_table(name)) {
                model.embedded = Some(bytes);
            }
        }
        Ok(models)
    }

    /// Whether a table has this name.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        let name_of = |table: &Table| table.get("name").and_then(Value::as_str).map(str::to_owned);
        self.tables.iter().any(|table| name_of(table).as_deref() == Some(name))
    }

    /// The models of tables beside the built-in ones and those of the models folder, which tables with the same name replace.
    pub(in crate::config) fn new(
        tables: Vec<Table>,
        discovered: &DiscoveredModels,
    ) -> Result<Self, TableProblem> {
        let mut models = Self::default();
        models.all.extend(discovered.models.iter().cloned());
        let mut names: Vec<String> = Vec::new();
        let mut fallbacks = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let problem = |TableError { key, message }| TableProblem {
                key: format!("models[{index}].{key}"),
                message,
            };
            let common: CommonKeys = read_table(table).map_err(problem)?;
            let name = common.name.unwrap_or_default();
            check_name(&name, &names).map_err(problem)?;
            names.push(name.clone());
            let kind = kind_of(&name, common.kind.as_deref()).map_err(problem)?;
            let mut table = table.clone();
            table.retain(|key, _| !COMMON_KEYS.contains(&key));
            check_keys(kind, &table).map_err(problem)?;
            kind.check(&name, &table).map_err(problem)?;
            let fallback = default_fallback(&name, kind);
            fallbacks.push(common.fallback);
            let entry = ModelEntry { name, aliases: &[], kind, table, fallback, embedded: None };
            match models.all.iter_mut().find(|known| known.name == entry.name) {
                Some(known) => *known = ModelEntry { aliases: known.aliases, ..entry },
                None => models.all.push(entry),
            }
        }
        for (index, fallback) in fallbacks.into_iter().enumerate() {
            let Some(fallback) = fallback else { continue };
            let key = || format!("models[{index}].fallback");
            let fallback = models.find(&fallback).map(|model| model.name.clone());
            let fallback = fallback.map_err(|message| TableProblem { key: key(), message })?;
            if let Some(model) = models.all.iter_mut().find(|model| model.name == names[index]) {
                model.fallback = Some(fallback);
            }
        }
        for (index, name) in names.iter().enumerate() {
            if let Some(cycle) = models.cycle(name) {
                let message = format!("the fallbacks have a cycle: {}", cycle.join(" → "));
                return Err(TableProblem { key: format!("models[{index}].fallback"), message });
            }
        }
        models.tables = tables;
        Ok(models)
    }

    /// All models, in the order in which they are listed.
    pub(crate) fn all(&self) -> &[ModelEntry] {
        &self.all
    }

    /// Whether there are no tables.
    pub fn is_default(&self) -> bool {
        self.tables.is_empty()
    }

    /// The model with this name or alias, or an error message with the most similar name.
    pub(in crate::config) fn find(&self, name: &str) -> Result<&ModelEntry, String> {
        let found =
            self.all.iter().find(|model| model.name == name || model.aliases.contains(&name));
        found.ok_or_else(|| {
            let names = self.all.iter().map(|model| model.name.as_str());
            format!("no model is named {name:?}{}", did_you_mean(name, names))
        })
    }

    /// The path from a model along its fallbacks back to itself, if there is one.
    fn cycle<'a>(&'a self, name: &'a str) -> Option<Vec<&'a str>> {
        let mut path = vec![name];
        while let Some(next) = self.find(path[path.len() - 1]).ok()?.fallback.as_deref() {
            path.push(next);
            if next == name {
                return Some(path);
            }
            if path.len() > self.all.len() {
                // The cycle of another model.
                return None;
            }
        }
        None
    }
}

fn built_in(name: &str) -> Option<crate::models::BuiltIn> {
    KINDS.iter().filter_map(|kind| kind.built_in()).find(|built_in| built_in.name == name)
}

fn default_fallback(name: &str, kind: &dyn ModelKind) -> Option<String> {
    let fallback = built_in(name).map_or_else(|| kind.fallback(), |built_in| built_in.fallback);
    fallback.map(str::to_owned)
}

fn check_name(name: &str, others: &[String]) -> Result<(), TableError> {
    let problem = |message: String| Err(TableError::new("name", message));
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() {
        return problem("a model has a name".to_owned());
    }
    if name.len() > LONGEST_NAME || !name.bytes().all(is_valid) {
        return problem(format!(
            "a name consists of letters, digits, '-', '_' and '.', at most {LONGEST_NAME} of them: {name:?}"
        ));
    }
    if others.iter().any(|other| other == name) {
        return problem(format!("two models are named {name:?}"));
    }
    let mut built_in = KINDS.iter().filter_map(|kind| kind.built_in());
    match built_in.find(|built_in| built_in.aliases.contains(&name)) {
        Some(built_in) => problem(format!("{name:?} is an alias of {:?}", built_in.name)),
        None => Ok(()),
    }
}

fn kind_of(name: &str, kind: Option<&str>) -> Result<&'static dyn ModelKind, TableError> {
    let problem = |message| TableError::new("kind", message);
    let kind = kind.ok_or_else(|| problem(format!("the model {name:?} has no kind")))?;
    let found = KINDS.iter().find(|known| known.name() == kind).copied();
    found.ok_or_else(|| {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name()).collect();
        let suggestion = did_you_mean(kind, names.iter().copied());
        problem(format!("{kind:?} is none of the kinds {}{suggestion}", names.join(", ")))
    })
}

fn check_keys(kind: &dyn ModelKind, table: &Table) -> Result<(), TableError> {
    let keys = kind.keys();
    match table.keys().find(|key| !keys.contains_key(*key)) {
        Some(key) => {
            let message = format!("a model of the kind {} has no {key}", kind.name());
            Err(TableError::new(key, message))
        }
        None => Ok(()),
    }
}

impl PartialEq for Models {
    fn eq(&self, other: &Self) -> bool {
        self.tables == other.tables
    }
}

impl Serialize for Models {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tables.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tables = Vec::deserialize(deserializer)?;
        Self::new(tables, &DiscoveredModels::default()).map_err(de::Error::custom)
    }
}
