use std::fmt;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sparrow_tf_serving as tf;

use super::WrongKey;
use crate::config::read_text;
use crate::size::Size;

/// A table of `[[models]]` as it is written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The name in requests.
    pub name: Option<String>,
    /// What sort of model it is.
    pub kind: Option<Kind>,
    /// The folder of a model that is loaded.
    pub path: Option<PathBuf>,
    /// The URL of a model at a model server.
    pub url: Option<String>,
    /// The name of the model that steps in for it.
    pub fallback: Option<String>,
    /// How values are laid out in requests to the model server.
    pub format: Option<Format>,
    /// The version that is asked for, instead of the one that the model server prefers.
    pub version: Option<NonZeroU64>,
    /// The same by its label.
    pub label: Option<String>,
    /// How long a request to the model server may take.
    #[serde(with = "crate::duration::optional")]
    pub deadline: Option<Duration>,
    /// Requests that are out at once, each on a connection of its own.
    pub connections: Option<NonZeroUsize>,
    /// Requests that may wait for a connection.
    pub queue: Option<usize>,
    /// The longest answer that is read.
    pub max_body: Option<Size>,
    /// Certificates (PEM) that `https://` trusts; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// The signature that is asked; without it, `serving_default`.
    pub signature: Option<String>,
    /// The output that is the score, for models with several.
    pub output: Option<String>,
    /// The share of failed requests at which the circuit breaker of the model server opens.
    pub failure_rate: Option<f64>,
    /// The time over which they are counted.
    #[serde(with = "crate::duration::optional")]
    pub window: Option<Duration>,
    /// With fewer requests in the window the circuit stays closed.
    pub min_requests: Option<NonZeroU32>,
    /// Time between two looks at the model server.
    #[serde(with = "crate::duration::optional")]
    pub check_interval: Option<Duration>,
    /// How long such a look may take.
    #[serde(with = "crate::duration::optional")]
    pub check_deadline: Option<Duration>,
    /// Requests of several users are sent as one.
    pub batch: Option<Batch>,
    /// What the model is given; without any, `userId` and `movieId`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
}

/// What sort of model it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Vectors of users and movies.
    Embedding,
    /// NeuralCF in this process.
    #[serde(rename = "neuralcf")]
    NeuralCf,
    /// Item–item weights.
    Ease,
    /// A model at a model server with TensorFlow Serving's REST API.
    TfServing,
    /// The number of ratings.
    Popularity,
}

impl Kind {
    /// The keys that such a model's table may have.
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Embedding | Self::NeuralCf | Self::Ease => &["name", "kind", "fallback", "path"],
            Self::Popularity => &["name", "kind", "fallback"],
            Self::TfServing => &[
                "name",
                "kind",
                "fallback",
                "url",
                "format",
                "version",
                "label",
                "deadline",
                "connections",
                "queue",
                "max_body",
                "ca_file",
                "signature",
                "output",
                "failure_rate",
                "window",
                "min_requests",
                "check_interval",
                "check_deadline",
                "batch",
                "inputs",
            ],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedding => "embedding",
            Self::NeuralCf => "neuralcf",
            Self::Ease => "ease",
            Self::TfServing => "tf-serving",
            Self::Popularity => "popularity",
        })
    }
}

/// How values are laid out in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A list of values for each input: `{"inputs": {…}}`.
    Columns,
    /// An object for each movie: `{"instances": […]}`.
    Rows,
}

/// How requests of several users become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// How long the first of them waits for others.
    #[serde(with = "crate::duration")]
    pub wait: Duration,
    /// Movies of all of them together, at which they are sent without waiting further.
    pub rows: NonZeroUsize,
}

/// A table of `[[models.inputs]]` as it is written.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Input {
    /// The name in the model's signature.
    pub name: Option<String>,
    /// `user.id`, `movie.id`, `uf.FIELD`, `mf.FIELD` or `context.timestamp`.
    pub source: Option<String>,
    /// In place of a source: what is sent in every request.
    pub constant: Option<Scalar>,
    /// What is sent; without it, `int32`.
    #[serde(rename = "type")]
    pub value_type: Option<Type>,
    /// For ids: the greatest that the model knows.
    pub max: Option<u32>,
    /// What stands for a missing value.
    pub default: Option<Scalar>,
    /// ln(1 + x).
    pub log: Option<bool>,
    /// To a mean of 0 and a deviation of 1, or to the range from 0 to 1.
    pub normalise: Option<Normalise>,
    /// The number of boundaries that are not above the value.
    pub bucketise: Option<Vec<f64>>,
    /// The place of a word in this list.
    pub vocabulary: Option<Vec<String>>,
    /// The same for a file with a word a line.
    pub vocabulary_file: Option<PathBuf>,
    /// The number of all words that are not in the vocabulary; without it, the number of its words.
    pub other: Option<u32>,
    /// The hash of a text modulo this.
    pub hash_buckets: Option<NonZeroU32>,
}

/// The type of values that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// Whole numbers of 32 bits.
    Int32,
    /// Whole numbers of 64 bits.
    Int64,
    /// Numbers.
    Float32,
    /// Text.
    String,
}

/// A number or a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or a text")]
pub enum Scalar {
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// `mean` and `stddev`, or `min` and `max`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Normalise {
    /// What becomes 0.
    pub mean: Option<f64>,
    /// What becomes 1 when it is the distance from the mean.
    pub stddev: Option<f64>,
    /// What becomes 0.
    pub min: Option<f64>,
    /// What becomes 1.
    pub max: Option<f64>,
}

impl Entry {
    /// A table with every key.
    pub(in crate::config) fn everything() -> Self {
        let here = || Some(PathBuf::from("."));
        let text = || Some(String::new());
        let second = Some(Duration::from_secs(1));
        Self {
            name: text(),
            kind: Some(Kind::TfServing),
            path: here(),
            url: text(),
            fallback: text(),
            format: Some(Format::Columns),
            version: Some(NonZeroU64::MIN),
            label: text(),
            deadline: second,
            connections: Some(NonZeroUsize::MIN),
            queue: Some(0),
            max_body: Some(Size(1)),
            ca_file: here(),
            signature: text(),
            output: text(),
            failure_rate: Some(0.5),
            window: second,
            min_requests: Some(NonZeroU32::MIN),
            check_interval: second,
            check_deadline: second,
            batch: Some(Batch { wait: Duration::from_millis(1), rows: NonZeroUsize::MIN }),
            inputs: vec![Input {
                name: text(),
                source: text(),
                constant: Some(Scalar::Integer(0)),
                value_type: Some(Type::Int32),
                max: Some(0),
                default: Some(Scalar::Integer(0)),
                log: Some(true),
                normalise: Some(Normalise {
                    mean: Some(0.0),
                    stddev: Some(1.0),
                    min: Some(0.0),
                    max: Some(1.0),
                }),
                bucketise: Some(vec![0.0]),
                vocabulary: Some(vec![String::new()]),
                vocabulary_file: here(),
                other: Some(0),
                hash_buckets: Some(NonZeroU32::MIN),
            }],
        }
    }

    /// What a model at a model server is given, and how it is asked.
    pub(super) fn remote(&self) -> Result<(tf::Inputs, tf::Options), WrongKey> {
        let mut inputs = Vec::new();
        for (place, input) in self.inputs.iter().enumerate() {
            inputs.push(
                input.meaning().map_err(|(key, what)| (format!("inputs[{place}].{key}"), what))?,
            );
        }
        let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        let inputs = tf::Inputs::new(inputs).map_err(|error| match error {
            tf::Error::Input { input, what } => {
                let place = names.iter().rposition(|name| *name == input).unwrap_or_default();
                (format!("inputs[{place}]"), format!("{input}: {what}"))
            }
            other => ("inputs".to_owned(), other.to_string()),
        })?;
        let options = self.options()?;
        Ok((inputs, options))
    }

    fn options(&self) -> Result<tf::Options, WrongKey> {
        let pin = match (self.version, &self.label) {
            (Some(_), Some(_)) => {
                let what = "a model is asked for by version or by label, not by both";
                return Err(("label".to_owned(), what.to_owned()));
            }
            (Some(version), None) => Some(tf::Pin::Version(version.get())),
            (None, label) => label.clone().map(tf::Pin::Label),
        };
        let default = tf::Options::default();
        Ok(tf::Options {
            format: match self.format {
                Some(Format::Rows) => tf::Format::Rows,
                Some(Format::Columns) | None => tf::Format::Columns,
            },
            pin,
            deadline: self.deadline.unwrap_or(default.deadline),
            connections: self.connections.map_or(default.connections, NonZeroUsize::get),
            queue: self.queue.unwrap_or(default.queue),
            max_body: self.max_body.map_or(default.max_body, |size| size.0),
            batch: self
                .batch
                .as_ref()
                .map(|batch| tf::Batch { wait: batch.wait, max_rows: batch.rows.get() }),
            ca_file: self.ca_file.clone(),
            signature: self.signature.clone().unwrap_or(default.signature),
            output: self.output.clone(),
            interval: self.check_interval.unwrap_or(default.interval),
            check_deadline: self.check_deadline.unwrap_or(default.check_deadline),
            circuit: tf::Circuit {
                failure_rate: self.failure_rate.unwrap_or(default.circuit.failure_rate),
                window: self.window.unwrap_or(default.circuit.window),
                min_requests: self
                    .min_requests
                    .map_or(default.circuit.min_requests, NonZeroU32::get),
            },
        })
    }
}

impl Input {
    fn meaning(&self) -> Result<tf::Input, WrongKey> {
        let wrong = |key: &str, what: String| (key.to_owned(), what);
        let missing = |key: &str| wrong(key, format!("an input has a {key}"));
        let name = self.name.clone().filter(|name| !name.is_empty());
        let source = match (&self.source, &self.constant) {
            (Some(source), None) => source.parse().map_err(|what| wrong("source", what))?,
            (None, Some(constant)) => tf::Source::Constant(constant.to_string()),
            (None, None) => return Err(missing("source")),
            (Some(_), Some(_)) => {
                let what = "an input has a source or a constant, not both";
                return Err(wrong("constant", what.to_owned()));
            }
        };
        let mut steps = Vec::new();
        if self.log == Some(true) {
            steps.push(tf::Step::Log);
        }
        if let Some(normalise) = &self.normalise {
            steps.push(normalise.step().map_err(|what| wrong("normalise", what))?);
        }
        if let Some(boundaries) = &self.bucketise {
            steps.push(tf::Step::Bucketise(boundaries.clone()));
        }
        let words = match (&self.vocabulary, &self.vocabulary_file) {
            (Some(_), Some(_)) => {
                let what = "the words are in a list or in a file, not in both";
                return Err(wrong("vocabulary_file", what.to_owned()));
            }
            (Some(words), None) => Some(words.clone()),
            (None, Some(file)) => {
                let text = read_text(file).map_err(|error| {
                    wrong("vocabulary_file", format!("cannot read {}: {error}", file.display()))
                })?;
                Some(text.lines().map(str::to_owned).collect())
            }
            (None, None) if self.other.is_some() => {
                return Err(wrong("other", "there is no vocabulary".to_owned()));
            }
            (None, None) => None,
        };
        steps.extend(words.map(|words| tf::Step::Vocabulary { words, other: self.other }));
        steps.extend(self.hash_buckets.map(|buckets| tf::Step::Hash { buckets: buckets.get() }));
        Ok(tf::Input {
            name: name.ok_or_else(|| missing("name"))?,
            source,
            value_type: match self.value_type {
                None | Some(Type::Int32) => tf::Type::Int32,
                Some(Type::Int64) => tf::Type::Int64,
                Some(Type::Float32) => tf::Type::Float32,
                Some(Type::String) => tf::Type::String,
            },
            max: self.max,
            default: self.default.as_ref().map(Scalar::to_string),
            steps,
        })
    }
}

impl Normalise {
    fn step(&self) -> Result<tf::Step, String> {
        match *self {
            Self { mean: Some(mean), stddev: Some(stddev), min: None, max: None } => {
                Ok(tf::Step::Standardise { mean, stddev })
            }
            Self { mean: None, stddev: None, min: Some(min), max: Some(max) } => {
                Ok(tf::Step::Scale { min, max })
            }
            _ => Err("takes mean and stddev, or min and max".to_owned()),
        }
    }
}
