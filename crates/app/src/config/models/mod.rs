//! The tables of `[[models]]`: as they are written, and what they mean.

mod entry;
mod folders;

pub use entry::{Batch, Entry, Format, Input, Kind, Normalise, Scalar, Type};
pub(crate) use folders::{Found, find};

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sparrow_tf_serving as tf;
use toml::Table;

use super::layers::{nearest, suggestion};

/// The models that are always there, with their other names, in the order in which they are listed.
const BUILT_IN: [(&str, &[&str]); 3] = [
    ("emb", &[]),
    ("popularity", &[]),
    // The original system spells it so in its requests.
    ("neuralcf", &["nerualcf"]),
];

/// Which models step in for each other where nothing is said, from the best on.
const CHAIN: [&str; 3] = ["neuralcf", "emb", "popularity"];

/// The longest name of a model.
const LONGEST_NAME: usize = 64;

/// All ranking models: those that are configured, and those that are always there.
#[derive(Debug, Clone)]
pub struct Models {
    /// What was written, to be printed.
    entries: Vec<Entry>,
    /// What that means.
    all: Vec<Model>,
}

/// A ranking model. Its name and those of its fallbacks are known to be right.
#[derive(Debug, Clone)]
pub struct Model {
    /// The name in requests.
    pub name: String,
    /// Other names for it.
    pub aliases: &'static [&'static str],
    /// Where it comes from.
    pub source: Source,
    /// The name of the model that steps in for it.
    pub fallback: Option<String>,
}

/// Where a model comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The vectors of the data set, or of the feature store.
    DataVectors,
    /// Vectors of its own: a folder with the two files, or with numbered versions of them.
    Vectors(PathBuf),
    /// A model folder of NeuralCF; without one, `neuralcf` in the folder of model folders.
    NeuralCf(Option<PathBuf>),
    /// A model folder of item–item weights.
    Ease(PathBuf),
    /// A model at a model server.
    TfServing(Box<Remote>),
    /// The number of ratings.
    Popularity,
}

/// A model at a model server.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Where it is.
    pub url: String,
    /// What it is given.
    pub inputs: tf::Inputs,
    /// How it is asked.
    pub options: tf::Options,
}

/// What is wrong with the tables.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The path of the key, such as `models[1].url`.
    pub(super) key: String,
    pub(super) what: String,
}

impl Default for Models {
    fn default() -> Self {
        let built_in = BUILT_IN.map(|(name, aliases)| Model {
            name: name.to_owned(),
            aliases,
            source: match name {
                "emb" => Source::DataVectors,
                "neuralcf" => Source::NeuralCf(None),
                _ => Source::Popularity,
            },
            fallback: next_in_chain(name).map(str::to_owned),
        });
        Self { entries: Vec::new(), all: built_in.into() }
    }
}

impl Models {
    /// The same beside the models that were found in the folder of model folders; a table takes the place of such a
    /// model too.
    pub(crate) fn beside(&self, found: &Found) -> Result<Self, String> {
        let wrong = |Wrong { key, what }| format!("{key}: {what}");
        Self::new(self.entries.clone(), found).map_err(wrong)
    }

    /// Whether a table has this name.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name.as_deref() == Some(name))
    }

    /// The models of some tables beside those that are always there and those that were found in a folder; one with
    /// the name of such a model takes its place.
    pub(super) fn new(entries: Vec<Entry>, found: &Found) -> Result<Self, Wrong> {
        let mut models = Self::default();
        models.all.extend(found.models.iter().map(|(name, source)| Model {
            name: name.clone(),
            aliases: &[],
            source: source.clone(),
            fallback: None,
        }));
        let mut names: Vec<&str> = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let wrong = |key: &str, what| Wrong { key: format!("models[{place}].{key}"), what };
            let name = entry.name.as_deref().unwrap_or_default();
            check_name(name, &names).map_err(|what| wrong("name", what))?;
            names.push(name);
            let model = Model {
                name: name.to_owned(),
                aliases: &[],
                source: source(name, entry).map_err(|(key, what)| wrong(&key, what))?,
                fallback: None,
            };
            match models.all.iter_mut().find(|known| known.name == name) {
                Some(known) => *known = Model { aliases: known.aliases, ..model },
                None => models.all.push(model),
            }
        }
        let fallbacks: Vec<Option<String>> =
            models.all.iter().map(|model| default_fallback(model).map(str::to_owned)).collect();
        for (model, fallback) in models.all.iter_mut().zip(fallbacks) {
            model.fallback = fallback;
        }
        for (place, entry) in entries.iter().enumerate() {
            let Some(fallback) = &entry.fallback else { continue };
            let fallback = models.find(fallback).map(|model| model.name.clone());
            let fallback = fallback
                .map_err(|what| Wrong { key: format!("models[{place}].fallback"), what })?;
            let own = models.all.iter_mut().find(|model| Some(&model.name) == entry.name.as_ref());
            if let Some(model) = own {
                model.fallback = Some(fallback);
            }
        }
        for (place, entry) in entries.iter().enumerate() {
            if let Some(circle) = entry.name.as_ref().and_then(|name| models.circle(name)) {
                let what = format!("the fallbacks go in a circle: {}", circle.join(" → "));
                return Err(Wrong { key: format!("models[{place}].fallback"), what });
            }
        }
        models.entries = entries;
        Ok(models)
    }

    /// All models, in the order in which they are listed.
    pub fn all(&self) -> &[Model] {
        &self.all
    }

    /// Whether there are only those that are always there.
    pub fn is_default(&self) -> bool {
        self.entries.is_empty()
    }

    /// The model of this name, or what to say about the name.
    pub(super) fn find(&self, name: &str) -> Result<&Model, String> {
        let known =
            self.all.iter().find(|model| model.name == name || model.aliases.contains(&name));
        known.ok_or_else(|| {
            let names = self.all.iter().map(|model| model.name.as_str());
            format!("no model is named {name:?}{}", suggestion(nearest(name, names)))
        })
    }

    /// The way from a model over its fallbacks back to it, if there is one.
    fn circle<'a>(&'a self, name: &'a str) -> Option<Vec<&'a str>> {
        let mut way = vec![name];
        while let Some(next) = self.find(way[way.len() - 1]).ok()?.fallback.as_deref() {
            way.push(next);
            if next == name {
                return Some(way);
            }
            if way.len() > self.all.len() {
                // Another model's circle.
                return None;
            }
        }
        None
    }
}

/// What comes behind a model of the chain, in it.
fn next_in_chain(name: &str) -> Option<&'static str> {
    let place = CHAIN.iter().position(|known| *known == name)?;
    CHAIN.get(place + 1).copied()
}

fn default_fallback(model: &Model) -> Option<&'static str> {
    if CHAIN.contains(&&*model.name) {
        return next_in_chain(&model.name);
    }
    match model.source {
        Source::TfServing(_) => Some("neuralcf"),
        Source::NeuralCf(_) | Source::Vectors(_) | Source::Ease(_) | Source::DataVectors => {
            Some("emb")
        }
        Source::Popularity => None,
    }
}

fn check_name(name: &str, others: &[&str]) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() {
        return Err("a model has a name".to_owned());
    }
    if name.len() > LONGEST_NAME || !name.bytes().all(plain) {
        return Err(format!(
            "a name is of letters, digits, '-', '_' and '.', at most {LONGEST_NAME} of them: {name:?}"
        ));
    }
    if others.contains(&name) {
        return Err(format!("two models are named {name:?}"));
    }
    match BUILT_IN.iter().find(|(_, aliases)| aliases.contains(&name)) {
        Some((built_in, _)) => Err(format!("{name:?} is another name of {built_in:?}")),
        None => Ok(()),
    }
}

/// What is wrong with a key of one table.
type WrongKey = (String, String);

fn source(name: &str, entry: &Entry) -> Result<Source, WrongKey> {
    let wrong = |key: &str, what: String| Err((key.to_owned(), what));
    let Some(kind) = entry.kind else {
        return wrong("kind", format!("the model {name:?} has no kind"));
    };
    let written = Table::try_from(entry).unwrap_or_default();
    if let Some(key) = written.keys().find(|key| !kind.keys().contains(&key.as_str())) {
        return wrong(key, format!("a model of the kind {kind} has no {key}"));
    }
    match (kind, &entry.path) {
        (Kind::Embedding, Some(path)) => Ok(Source::Vectors(path.clone())),
        (Kind::Embedding, None) if name == "emb" => Ok(Source::DataVectors),
        (Kind::NeuralCf, path) if path.is_some() || name == "neuralcf" => {
            Ok(Source::NeuralCf(path.clone()))
        }
        (Kind::Ease, Some(path)) => Ok(Source::Ease(path.clone())),
        (Kind::Embedding | Kind::NeuralCf | Kind::Ease, _) => {
            wrong("path", format!("a model of the kind {kind} needs the folder that it is in"))
        }
        (Kind::Popularity, _) => Ok(Source::Popularity),
        (Kind::TfServing, _) => {
            let Some(url) = entry.url.clone() else {
                let example = "http://localhost:8501/v1/models/recmodel";
                return wrong(
                    "url",
                    format!("a model of the kind {kind} needs one, such as {example}"),
                );
            };
            let (inputs, options) = entry.remote()?;
            // The certificates may come later.
            let bare = tf::Options { ca_file: None, ..options.clone() };
            if let Err(error) = tf::ServedModel::new(&url, inputs.clone(), bare) {
                return wrong("url", error.to_string());
            }
            Ok(Source::TfServing(Box::new(Remote { url, inputs, options })))
        }
    }
}

impl PartialEq for Models {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Serialize for Models {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.entries.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Models {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Vec::deserialize(deserializer)?;
        let wrong = |Wrong { key, what }| de::Error::custom(format_args!("{key}: {what}"));
        Self::new(entries, &Found::default()).map_err(wrong)
    }
}
