//! The tables of `[[experiments]]`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sparrow_engine::Candidates;
use sparrow_experiments::{
    BucketRange, Experiment as Rules, Filter, HashVersion, Holdout, Layer, Namespace, Targeting,
    bucket_ranges, equal_weights,
};
use sparrow_http::{EXPERIMENT_ROUTES, Experiment, Variant, VariantModel};
use toml::{Table, Value};

use super::error::did_you_mean;
use super::{Mixes, Models, TableProblem};

/// The experiments on recommendations.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Experiments(Vec<ExperimentTable>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExperimentTable {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    hash_version: u32,
    active: bool,
    coverage: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    force: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<LayerTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holdout: Option<HoldoutTable>,
    #[serde(skip_serializing_if = "Option::is_none")]
    targeting: Option<TargetingTable>,
    variants: Vec<VariantTable>,
}

impl Default for ExperimentTable {
    fn default() -> Self {
        Self {
            name: String::new(),
            salt: None,
            hash_version: 2,
            active: true,
            coverage: 1.0,
            force: None,
            layer: None,
            holdout: None,
            targeting: None,
            variants: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LayerTable {
    name: String,
    range: [f64; 2],
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HoldoutTable {
    name: String,
    share: f64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TargetingTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_ratings: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_ratings: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct VariantTable {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interleave: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diversity: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<CandidatesWord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recall: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CandidatesWord {
    Recalled,
    All,
}

/// A key of a table, and what is wrong with its value.
type Problem = (String, String);

fn problem<T>(key: impl Into<String>, message: impl Into<String>) -> Result<T, Problem> {
    Err((key.into(), message.into()))
}

/// Names occur in the log, in headers and in parameters such as `variant=NAME:VARIANT`.
pub(super) fn check_name(key: &str, name: &str) -> Result<(), Problem> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(is_allowed) {
        return problem(key, "a name has 1 to 100 letters, digits, \"-\", \"_\" and \".\"");
    }
    Ok(())
}

fn of_table(index: usize, (key, message): Problem) -> TableProblem {
    TableProblem { key: format!("experiments[{index}].{key}"), message }
}

impl Experiments {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A table with all keys, for the list of known keys.
    pub(super) fn table_of_all_keys() -> Table {
        let leaf = || Value::Boolean(false);
        let table = |keys: &[&str]| -> Table {
            keys.iter().map(|key| ((*key).to_owned(), leaf())).collect()
        };
        let mut all = table(&["name", "salt", "hash_version", "active", "coverage", "force"]);
        for (key, keys) in [
            ("layer", &["name", "range"][..]),
            ("holdout", &["name", "share"]),
            ("targeting", &["users", "min_ratings", "max_ratings", "routes"]),
        ] {
            all.insert(key.to_owned(), Value::Table(table(keys)));
        }
        let variant =
            ["name", "weight", "model", "interleave", "diversity", "candidates", "recall"];
        all.insert("variants".to_owned(), Value::Array(vec![Value::Table(table(&variant))]));
        all
    }

    pub(super) fn new(
        tables: &[Table],
        models: &Models,
        mixes: &Mixes,
    ) -> Result<Self, TableProblem> {
        let mut experiments: Vec<ExperimentTable> = Vec::with_capacity(tables.len());
        for (index, table) in tables.iter().enumerate() {
            let read = ExperimentTable::read(table).and_then(|experiment| {
                experiment.check(models, mixes)?;
                if experiments.iter().any(|known| known.name == experiment.name) {
                    return problem("name", "there is another experiment with this name");
                }
                Ok(experiment)
            });
            experiments.push(read.map_err(|problem| of_table(index, problem))?);
        }
        Ok(Self(experiments))
    }

    /// Checks that the experiments name only these models and recall mixes.
    pub(super) fn check(&self, models: &Models, mixes: &Mixes) -> Result<(), TableProblem> {
        let mut tables = self.0.iter().enumerate();
        tables.try_for_each(|(index, table)| {
            table.check(models, mixes).map_err(|problem| of_table(index, problem))
        })
    }

    /// The experiments as the server takes them.
    pub(crate) fn in_force(&self) -> Arc<[Experiment]> {
        self.0.iter().map(ExperimentTable::experiment).collect()
    }
}

impl ExperimentTable {
    /// Reads one key at a time, so that an error names its key.
    fn read(table: &Table) -> Result<Self, Problem> {
        let mut read = Table::new();
        let mut experiment = Self::default();
        for (key, value) in table {
            let parts: Vec<(String, Value)> = match value {
                Value::Array(variants) if key == "variants" => {
                    let mut so_far = Vec::new();
                    let mut parts = Vec::new();
                    for (index, variant) in variants.iter().enumerate() {
                        so_far.push(Value::Table(Table::new()));
                        let Value::Table(keys) = variant else {
                            return problem("variants", "each variant is a table");
                        };
                        let mut partial = Table::new();
                        for (name, value) in keys {
                            partial.insert(name.clone(), value.clone());
                            so_far[index] = Value::Table(partial.clone());
                            let path = format!("variants[{index}].{name}");
                            parts.push((path, Value::Array(so_far.clone())));
                        }
                    }
                    parts
                }
                Value::Table(keys) => {
                    let mut so_far = Table::new();
                    let part = |(name, value): (&String, &Value)| {
                        so_far.insert(name.clone(), value.clone());
                        (format!("{key}.{name}"), Value::Table(so_far.clone()))
                    };
                    keys.iter().map(part).collect()
                }
                value => vec![(key.clone(), value.clone())],
            };
            for (path, value) in parts {
                read.insert(key.clone(), value);
                experiment = Self::deserialize(read.clone())
                    .map_err(|error| (path, error.message().to_owned()))?;
            }
        }
        Ok(experiment)
    }

    fn check(&self, models: &Models, mixes: &Mixes) -> Result<(), Problem> {
        check_name("name", &self.name)?;
        if !matches!(self.hash_version, 1 | 2) {
            return problem("hash_version", "a version of the hash is 1 or 2");
        }
        if !(0.0..=1.0).contains(&self.coverage) {
            return problem("coverage", "a share is a number from 0 to 1");
        }
        if let Some(layer) = &self.layer {
            check_name("layer.name", &layer.name)?;
            let [start, end] = layer.range;
            if !(0.0 <= start && start < end && end <= 1.0) {
                return problem(
                    "layer.range",
                    "a range is [START, END] with 0 <= START < END <= 1",
                );
            }
        }
        if let Some(holdout) = &self.holdout {
            check_name("holdout.name", &holdout.name)?;
            if !(0.0..=1.0).contains(&holdout.share) {
                return problem("holdout.share", "a share is a number from 0 to 1");
            }
        }
        if let Some(targeting) = &self.targeting {
            if let (Some(least), Some(most)) = (targeting.min_ratings, targeting.max_ratings)
                && least > most
            {
                return problem("targeting.max_ratings", "it is less than min_ratings");
            }
            for route in targeting.routes.iter().flatten() {
                if !EXPERIMENT_ROUTES.contains(&route.as_str()) {
                    let nearest = did_you_mean(route, EXPERIMENT_ROUTES);
                    let known = EXPERIMENT_ROUTES.join(" and ");
                    let message = format!("the routes are {known}, not {route:?}{nearest}");
                    return problem("targeting.routes", message);
                }
            }
        }
        self.check_variants(models, mixes)
    }

    fn check_variants(&self, models: &Models, mixes: &Mixes) -> Result<(), Problem> {
        if self.variants.len() < 2 {
            return problem("variants", "an experiment has at least two variants");
        }
        for (index, variant) in self.variants.iter().enumerate() {
            let key = |name: &str| format!("variants[{index}].{name}");
            check_name(&key("name"), &variant.name)?;
            if self.variants[..index].iter().any(|other| other.name == variant.name) {
                return problem(key("name"), "there is another variant with this name");
            }
            if variant.weight.is_some() != self.variants[0].weight.is_some() {
                return problem(key("weight"), "all variants have a weight, or none has one");
            }
            if variant.weight.is_some_and(|weight| !(0.0..=1.0).contains(&weight)) {
                return problem(key("weight"), "a weight is a number from 0 to 1");
            }
            if variant.diversity.is_some_and(|diversity| !(0.0..=1.0).contains(&diversity)) {
                return problem(key("diversity"), "a diversity is a number from 0 to 1");
            }
            if let Some(mix) = &variant.recall {
                if matches!(variant.candidates, Some(CandidatesWord::All)) {
                    let message = "a variant ranks the candidates of a recall mix or all movies";
                    return problem(key("recall"), message);
                }
                mixes.check(mix).map_err(|message| (key("recall"), message))?;
            }
            let found = |name: &str, key: String| models.find(name).map_err(|what| (key, what));
            if let Some(model) = &variant.model {
                found(model, key("model"))?;
            }
            if let Some(names) = &variant.interleave {
                let [one, other] = names.as_slice() else {
                    return problem(key("interleave"), "two models are interleaved");
                };
                if variant.model.is_some() {
                    return problem(key("interleave"), "a variant has a model or interleaves two");
                }
                let one = found(one, key("interleave"))?;
                let other = found(other, key("interleave"))?;
                if one.name == other.name {
                    return problem(key("interleave"), "a model is not interleaved with itself");
                }
            }
        }
        let sum: f64 = self.variants.iter().filter_map(|variant| variant.weight).sum();
        if self.variants[0].weight.is_some() && !(0.99..=1.01).contains(&sum) {
            return problem(
                "variants[0].weight",
                format!("the sum of the weights is {sum}, not 1"),
            );
        }
        if let Some(force) = &self.force {
            let names = || self.variants.iter().map(|variant| variant.name.as_str());
            if !names().any(|name| name == force) {
                let nearest = did_you_mean(force, names());
                return problem("force", format!("there is no variant {force:?}{nearest}"));
            }
        }
        Ok(())
    }

    fn experiment(&self) -> Experiment {
        let version = if self.hash_version == 1 { HashVersion::V1 } else { HashVersion::V2 };
        let weights: Option<Vec<f64>> =
            self.variants.iter().map(|variant| variant.weight).collect();
        let weights = weights.unwrap_or_else(|| equal_weights(self.variants.len()));
        let layer = self.layer.as_ref().map(|LayerTable { name, range: [start, end] }| {
            let (name, range) = (name.clone(), BucketRange::new(*start, *end));
            match version {
                HashVersion::V1 => Layer::Namespace(Namespace { name, range }),
                HashVersion::V2 => {
                    Layer::Filters(vec![Filter { seed: name, ranges: vec![range], version }])
                }
            }
        });
        let targeting = self.targeting.clone().unwrap_or_default();
        let position = |name: &String| self.variants.iter().position(|one| one.name == *name);
        let variant = |table: &VariantTable| Variant {
            name: table.name.as_str().into(),
            model: match (&table.model, table.interleave.as_deref()) {
                (Some(model), _) => VariantModel::Named(model.as_str().into()),
                (None, Some([one, other])) => {
                    VariantModel::Interleaved([one.as_str().into(), other.as_str().into()])
                }
                _ => VariantModel::Default,
            },
            diversity: table.diversity,
            candidates: table.candidates.map(|candidates| match candidates {
                CandidatesWord::Recalled => Candidates::Recalled,
                CandidatesWord::All => Candidates::All,
            }),
            recall: table.recall.as_deref().map(Into::into),
        };
        Experiment {
            name: self.name.as_str().into(),
            rules: Rules {
                seed: self.salt.clone().unwrap_or_else(|| self.name.clone()),
                version,
                ranges: bucket_ranges(weights.len(), self.coverage, Some(&weights)),
                active: self.active,
                layer,
                holdout: self
                    .holdout
                    .as_ref()
                    .map(|table| Holdout { seed: table.name.clone(), share: table.share }),
                targeting: Targeting {
                    users: targeting.users.map(|ids| ids.iter().map(u32::to_string).collect()),
                    min_ratings: targeting.min_ratings,
                    max_ratings: targeting.max_ratings,
                    routes: targeting.routes,
                },
                force: self.force.as_ref().and_then(position),
            },
            variants: self.variants.iter().map(variant).collect(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_experiments::Unit;

    use super::super::tests::layered;

    const VARIANTS: &str = "[[experiments.variants]]\nname = \"a\"\n[[experiments.variants]]\n\
                            name = \"b\"\n";

    #[test]
    fn experiments_are_read_and_printed() {
        let text = "[[experiments]]\nname = \"e\"\ncoverage = 1\nlayer = { name = \"l\", range = [0, 1] }\n\
                    targeting = { users = [6], max_ratings = 5 }\n\
                    [[experiments.variants]]\nname = \"a\"\nweight = 0.5\nmodel = \"emb\"\n\
                    [[experiments.variants]]\nname = \"b\"\nweight = 0.5\ninterleave = [\"emb\", \"popularity\"]\n";
        let config = layered(text, &[]).unwrap();
        assert_eq!(layered(&config.to_toml(), &[]).unwrap().experiments, config.experiments);
        let experiments = config.experiments.in_force();
        let assigned = |id, ratings| {
            experiments[0].rules.assign(&Unit { id, ratings: Some(ratings), route: "" }).is_ok()
        };
        assert!(assigned("6", 5) && !assigned("6", 6) && !assigned("7", 5));
    }

    #[test]
    fn invalid_experiments_are_named() {
        for (keys, variants, key) in [
            ("", "", "experiments[0].variants in FILE: "),
            ("name = \"a b\"", "", "experiments[0].name in FILE: "),
            ("hash_version = 3", "", "experiments[0].hash_version in FILE: "),
            ("coverage = 1.5", "", "experiments[0].coverage in FILE: "),
            ("coverge = 1", "", "did you mean \"experiments[0].coverage\""),
            ("force = \"c\"", VARIANTS, "experiments[0].force in FILE: "),
            (
                "layer = { name = \"l\", range = [0.5, 0.5] }",
                "",
                "experiments[0].layer.range in FILE: ",
            ),
            ("layer = { name = 5 }", "", "experiments[0].layer.name in FILE: "),
            ("holdout = { name = \"h\", share = 2 }", "", "experiments[0].holdout.share in FILE: "),
            ("targeting = { routes = [\"/getrecfory\"] }", "", "/getrecforyou"),
            (
                "targeting = { min_ratings = 2, max_ratings = 1 }",
                "",
                "targeting.max_ratings in FILE: ",
            ),
            (
                "",
                "[[experiments.variants]]\nname = \"a\"\nweight = 0.4\n[[experiments.variants]]\n\
                  name = \"b\"\nweight = 0.5\n",
                "the sum of the weights is 0.9",
            ),
            (
                "",
                "[[experiments.variants]]\nname = \"a\"\nmodel = \"emp\"\n[[experiments.variants]]\n\
                  name = \"b\"\n",
                "experiments[0].variants[0].model in FILE: ",
            ),
            (
                "",
                "[[experiments.variants]]\nname = \"a\"\n[[experiments.variants]]\n\
                  name = \"a\"\n",
                "experiments[0].variants[1].name in FILE: ",
            ),
            (
                "",
                "[[experiments.variants]]\nname = \"a\"\n[[experiments.variants]]\n\
                  name = \"b\"\ninterleave = [\"emb\", \"emb\"]\n",
                "variants[1].interleave in FILE: ",
            ),
            (
                "",
                "[[experiments.variants]]\nname = \"a\"\n[[experiments.variants]]\n\
                  name = \"b\"\ndiversity = \"much\"\n",
                "experiments[0].variants[1].diversity in FILE: ",
            ),
        ] {
            let name = if keys.starts_with("name") { "" } else { "name = \"e\"\n" };
            let error = layered(&format!("[[experiments]]\n{name}{keys}\n{variants}"), &[]);
            let error = error.unwrap_err();
            assert!(error.contains(key), "{keys} {variants}: {error}");
        }
        let with_recall = |keys: &str| {
            let mix = "[[recall.mixes]]\nname = \"wide\"\ncandidates = 1600\n";
            layered(&format!("{mix}[[experiments]]\nname = \"e\"\n{VARIANTS}{keys}"), &[])
        };
        let config = with_recall("recall = \"wide\"\n").unwrap();
        assert_eq!(layered(&config.to_toml(), &[]).unwrap().experiments, config.experiments);
        let recall = config.experiments.in_force()[0].variants[1].recall.clone();
        assert_eq!(recall.as_deref(), Some("wide"));
        for (keys, what) in [
            (
                "recall = \"wid\"",
                "no table of [[recall.mixes]] is named \"wid\", did you mean \"wide\"?",
            ),
            ("recall = \"wide\"\ncandidates = \"all\"", "a variant ranks the candidates of"),
        ] {
            let error = with_recall(keys).unwrap_err();
            let expected = format!("experiments[0].variants[1].recall in FILE: {what}");
            assert!(error.starts_with(&expected), "{error}");
        }
        let twice = format!("[[experiments]]\nname = \"e\"\n{VARIANTS}").repeat(2);
        assert!(layered(&twice, &[]).unwrap_err().contains("experiments[1].name in FILE: "));
    }
}
