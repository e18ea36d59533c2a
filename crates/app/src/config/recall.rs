//! The tables of `[[recall.strategies]]`.

use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sparrow_recall::{ParameterError, STRATEGIES, StrategyKind};
use toml::{Table, Value};

use super::error::did_you_mean;
use super::keys::{MIXES, STRATEGIES as STRATEGIES_KEY};
use super::{Mixes, TableProblem};
use crate::models::{KINDS, ModelKind, TableError, read_table};

/// The default share of strategies over the scores of a model.
const MODEL_SHARE: usize = 200;

/// Recall.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recall {
    /// Candidates to rank for a request: at least its size.
    pub candidates: NonZeroUsize,
    /// The strategies, in the order in which answers list them.
    pub strategies: Strategies,
    /// Other mixes of strategies.
    #[serde(skip_serializing_if = "Mixes::is_empty")]
    pub mixes: Mixes,
}

impl Default for Recall {
    fn default() -> Self {
        let candidates = NonZeroUsize::new(sparrow_engine::DEFAULT_CANDIDATES);
        Self {
            candidates: candidates.unwrap_or(NonZeroUsize::MIN),
            strategies: Strategies::default(),
            mixes: Mixes::default(),
        }
    }
}

impl Recall {
    /// The mixes with their names, strategies and numbers of candidates.
    pub(crate) fn mixes(&self) -> impl Iterator<Item = (&str, &Strategies, NonZeroUsize)> {
        self.mixes.all().iter().map(|mix| {
            let strategies = mix.strategies.as_ref().unwrap_or(&self.strategies);
            (&*mix.name, strategies, mix.candidates.unwrap_or(self.candidates))
        })
    }

    /// The names of the models that strategies name, with the keys of the names and the kinds of the strategies.
    pub(super) fn models(&self) -> impl Iterator<Item = (String, &str, &'static str)> {
        let of_mixes = self.mixes.all().iter().enumerate().filter_map(|(index, mix)| {
            Some(mix.strategies.as_ref()?.models(format!("{MIXES}[{index}].strategies")))
        });
        self.strategies.models(STRATEGIES_KEY.to_owned()).chain(of_mixes.flatten())
    }
}

/// The recall strategies.
#[derive(Debug, Clone)]
pub struct Strategies(Vec<StrategyTable>);

/// A recall strategy. Its table has been checked.
#[derive(Debug, Clone)]
pub(crate) enum StrategyTable {
    /// One of [`STRATEGIES`].
    Own {
        kind: &'static StrategyKind,
        share: usize,
        parameters: Vec<(String, usize)>,
        /// Whether requests that rank by a model with a strategy over its scores use this strategy too.
        always: bool,
    },
    /// One over the scores of a model, with the name of the model's kind.
    OfModel {
        kind: &'static dyn ModelKind,
        /// The score that candidates exceed.
        above: f32,
        share: usize,
        /// The name of the model; the first of the kind by default.
        model: Option<String>,
        /// Whether requests that do not rank by the model, or by a blend of it, use the strategy too.
        always: bool,
    },
}

/// The keys of every table.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CommonKeys {
    strategy: Option<String>,
    share: Option<NonZeroUsize>,
    model: Option<String>,
    always: bool,
}

/// The kinds of models that recall uses, with the score that candidates exceed.
fn recalling_kinds() -> impl Iterator<Item = (&'static dyn ModelKind, f32)> {
    KINDS.iter().filter_map(|kind| Some((*kind, kind.recall_above()?)))
}

/// The names of all strategies.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    STRATEGIES.iter().map(|kind| kind.name).chain(recalling_kinds().map(|(kind, _)| kind.name()))
}

impl Default for Strategies {
    /// The strategies of the standard engine, and one for each kind of models that recall uses.
    fn default() -> Self {
        let standard = STRATEGIES.iter().filter(|kind| kind.standard);
        let own = standard.map(|kind| StrategyTable::Own {
            kind,
            share: kind.share,
            parameters: Vec::new(),
            always: false,
        });
        let of_models = recalling_kinds().map(|(kind, above)| StrategyTable::OfModel {
            kind,
            above,
            share: MODEL_SHARE,
            model: None,
            always: false,
        });
        Self(own.chain(of_models).collect())
    }
}

impl Strategies {
    /// A table with the keys of all strategies, for the list of known keys.
    pub(super) fn table_of_all_keys() -> Table {
        let parameters = STRATEGIES.iter().flat_map(|kind| kind.parameters);
        let parameters = parameters.map(|parameter| (parameter.name, Value::Integer(1)));
        let text = || Value::String(String::new());
        let common = [
            ("strategy", text()),
            ("share", Value::Integer(1)),
            ("model", text()),
            ("always", Value::Boolean(false)),
        ];
        parameters.chain(common).map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Reads the tables at this path of keys.
    pub(super) fn new(path: &str, tables: &[Table]) -> Result<Self, TableProblem> {
        let mut strategies: Vec<StrategyTable> = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let problem = |TableError { key, message }| TableProblem {
                key: format!("{path}[{index}].{key}"),
                message,
            };
            let strategy = StrategyTable::new(table).map_err(problem)?;
            if strategies.iter().any(|other| other.name() == strategy.name()) {
                let message = format!("two strategies are {:?}", strategy.name());
                return Err(problem(TableError::new("strategy", message)));
            }
            strategies.push(strategy);
        }
        Ok(Self(strategies))
    }

    /// The strategies, in the order in which answers list them.
    pub(crate) fn all(&self) -> &[StrategyTable] {
        &self.0
    }

    /// The same for these tables, which are at this path of keys.
    fn models(&self, path: String) -> impl Iterator<Item = (String, &str, &'static str)> {
        self.0.iter().enumerate().filter_map(move |(index, table)| match table {
            StrategyTable::OfModel { kind, model: Some(model), .. } => {
                Some((format!("{path}[{index}].model"), &**model, kind.name()))
            }
            _ => None,
        })
    }

    fn tables(&self) -> Vec<Table> {
        self.0.iter().map(StrategyTable::table).collect()
    }
}

impl StrategyTable {
    fn new(table: &Table) -> Result<Self, TableError> {
        let common: CommonKeys = read_table(table)?;
        let name = common.strategy.as_deref();
        let name = name.ok_or_else(|| TableError::new("strategy", "a table names a strategy"))?;
        let share = common.share.map(NonZeroUsize::get);
        if let Some((kind, above)) = recalling_kinds().find(|(kind, _)| kind.name() == name) {
            let keys = ["strategy", "share", "model", "always"];
            if let Some(key) = table.keys().find(|key| !keys.contains(&&***key)) {
                return Err(TableError::new(key, format!("the strategy {name} has no {key}")));
            }
            let share = share.unwrap_or(MODEL_SHARE);
            let CommonKeys { model, always, .. } = common;
            return Ok(Self::OfModel { kind, above, share, model, always });
        }
        let kind = STRATEGIES.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<&str> = names().collect();
            let suggestion = did_you_mean(name, known.iter().copied());
            let message = format!("{name:?} is none of {}{suggestion}", known.join(", "));
            TableError::new("strategy", message)
        })?;
        let mut parameters = Vec::new();
        let common_keys = ["strategy", "share", "always"];
        for key in table.keys().filter(|key| !common_keys.contains(&&***key)) {
            let parameter = Table::from_iter([(key.clone(), table[key].clone())]);
            if kind.parameters.iter().any(|parameter| parameter.name == key) {
                let value: std::collections::BTreeMap<String, usize> = read_table(&parameter)?;
                parameters.extend(value);
            } else {
                return Err(TableError::new(key, format!("the strategy {name} has no {key}")));
            }
        }
        kind.check(&parameters).map_err(|error| {
            let key = match &error {
                ParameterError::OutOfRange { name, .. } => *name,
                _ => "strategy",
            };
            TableError::new(key, error.to_string())
        })?;
        let share = share.unwrap_or(kind.share);
        Ok(Self::Own { kind, share, parameters, always: common.always })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Own { kind, .. } => kind.name,
            Self::OfModel { kind, .. } => kind.name(),
        }
    }

    fn table(&self) -> Table {
        let (Self::Own { share, always, .. } | Self::OfModel { share, always, .. }) = self;
        let number = |number: usize| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let name = Value::String(self.name().to_owned());
        let common = [("strategy".to_owned(), name), ("share".to_owned(), number(*share))];
        let always = always.then(|| ("always".to_owned(), Value::Boolean(true)));
        let own: Vec<(String, Value)> = match self {
            Self::Own { parameters, .. } => {
                parameters.iter().map(|(name, value)| (name.clone(), number(*value))).collect()
            }
            Self::OfModel { model, .. } => {
                let model = model.iter().map(|model| Value::String(model.clone()));
                model.map(|model| ("model".to_owned(), model)).collect()
            }
        };
        common.into_iter().chain(own).chain(always).collect()
    }
}

impl PartialEq for Strategies {
    fn eq(&self, other: &Self) -> bool {
        self.tables() == other.tables()
    }
}

impl Serialize for Strategies {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tables().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Strategies {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tables = Vec::<Table>::deserialize(deserializer)?;
        Self::new(STRATEGIES_KEY, &tables).map_err(de::Error::custom)
    }
}
