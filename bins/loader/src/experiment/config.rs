//! The variants of an experiment in the configuration of a server.

use std::path::Path;

use serde::Deserialize;

use crate::failure::Failure;

/// The parts of a configuration that determine the numbers of users. The server checks the rest.
#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    experiments: Vec<Experiment>,
}

#[derive(Debug, Deserialize)]
struct Experiment {
    name: String,
    #[serde(default)]
    variants: Vec<Variant>,
}

#[derive(Debug, Deserialize)]
struct Variant {
    name: String,
    #[serde(default = "one")]
    weight: f64,
}

const fn one() -> f64 {
    1.0
}

/// The largest configuration.
const LARGEST: u64 = 16 << 20;

/// The variants of an experiment with their weights.
pub(super) fn variants(path: &Path, name: &str) -> anyhow::Result<Vec<(String, f64)>> {
    let input =
        |what: &dyn std::fmt::Display| Failure::Input(format!("{}: {what}", path.display()));
    let content = sparrow_files::read(path, LARGEST).map_err(|error| input(&error))?;
    let text = String::from_utf8(content).map_err(|_| input(&"it is not UTF-8"))?;
    let file: File = toml::from_str(&text).map_err(|error| input(&error))?;
    let names: Vec<&str> = file.experiments.iter().map(|known| &*known.name).collect();
    let known = if names.is_empty() { "it has none".to_owned() } else { names.join(", ") };
    let Some(found) = file.experiments.iter().find(|known| known.name == name) else {
        return Err(input(&format!("no experiment is named {name:?} ({known})")).into());
    };
    if found.variants.is_empty() {
        return Err(input(&format!("the experiment {name:?} has no variants")).into());
    }
    Ok(found.variants.iter().map(|variant| (variant.name.clone(), variant.weight)).collect())
}
