//! The tables of `[[recall.mixes]]`.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::error::did_you_mean;
use super::experiments::check_name;
use super::keys::MIXES;
use super::{Strategies, TableProblem};
use crate::models::{TableError, read_table};

/// The recall mixes that variants of experiments can name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mixes(Vec<MixTable>);

/// A recall mix. What it does not set is that of `[recall]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MixTable {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) candidates: Option<NonZeroUsize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) strategies: Option<Strategies>,
}

impl Mixes {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A table with all keys, for the list of known keys.
    pub(super) fn table_of_all_keys() -> Table {
        let strategies = vec![Value::Table(Strategies::table_of_all_keys())];
        Table::from_iter([
            ("name".to_owned(), Value::String(String::new())),
            ("candidates".to_owned(), Value::Integer(1)),
            ("strategies".to_owned(), Value::Array(strategies)),
        ])
    }

    pub(super) fn new(tables: &[Table]) -> Result<Self, TableProblem> {
        let mut mixes: Vec<MixTable> = Vec::with_capacity(tables.len());
        for (index, table) in tables.iter().enumerate() {
            let path = format!("{MIXES}[{index}]");
            let mix = MixTable::new(&path, table)?;
            if mixes.iter().any(|known| known.name == mix.name) {
                let message = "there is another recall mix with this name".to_owned();
                return Err(TableProblem { key: format!("{path}.name"), message });
            }
            mixes.push(mix);
        }
        Ok(Self(mixes))
    }

    /// The mixes, in the order of the tables.
    pub(super) fn all(&self) -> &[MixTable] {
        &self.0
    }

    /// Checks that a mix has this name.
    pub(super) fn check(&self, name: &str) -> Result<(), String> {
        let names = || self.0.iter().map(|mix| &*mix.name);
        if names().any(|known| known == name) {
            return Ok(());
        }
        let nearest = did_you_mean(name, names());
        Err(format!("no table of [[{MIXES}]] is named {name:?}{nearest}"))
    }
}

impl MixTable {
    fn new(path: &str, table: &Table) -> Result<Self, TableProblem> {
        let problem =
            |TableError { key, message }| TableProblem { key: format!("{path}.{key}"), message };
        let mut table = table.clone();
        // They name the keys of their errors themselves.
        let strategies = table.remove("strategies");
        let mut mix: Self = read_table(&table).map_err(problem)?;
        check_name("name", &mix.name)
            .map_err(|(key, message)| problem(TableError::new(key, message)))?;
        if let Some(strategies) = strategies {
            let tables = strategies
                .try_into::<Vec<Table>>()
                .map_err(|error| problem(TableError::new("strategies", error.message())))?;
            mix.strategies = Some(Strategies::new(&format!("{path}.strategies"), &tables)?);
        }
        Ok(mix)
    }
}
