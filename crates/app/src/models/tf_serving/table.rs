use std::fmt;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sparrow_tf_serving as tf;

use crate::config::read_text;
use crate::models::TableError;
use crate::size::Size;

/// The keys of a model at a server. All have defaults but `url`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ServerTable {
    /// The URL of the model.
    pub(super) url: Option<String>,
    /// How values are laid out in requests.
    pub(super) format: Option<tf::Format>,
    /// The requested version, instead of the server's default.
    pub(super) version: Option<NonZeroU64>,
    /// The label of the requested version.
    pub(super) label: Option<String>,
    /// The time limit of a request.
    #[serde(with = "crate::duration::optional")]
    pub(super) deadline: Option<Duration>,
    /// Concurrent requests, each on its own connection.
    pub(super) connections: Option<NonZeroUsize>,
    /// Requests that may wait for a connection.
    pub(super) queue: Option<usize>,
    /// The largest answer that is read.
    pub(super) max_body: Option<Size>,
    /// Trusted certificates (PEM) for `https://` instead of those of the system.
    pub(super) ca_file: Option<PathBuf>,
    /// The signature; `serving_default` by default.
    pub(super) signature: Option<String>,
    /// The output that contains the score, for models with several.
    pub(super) output: Option<String>,
    /// The share of failed requests at which the circuit breaker opens.
    pub(super) failure_rate: Option<f64>,
    /// The time over which requests are counted.
    #[serde(with = "crate::duration::optional")]
    pub(super) window: Option<Duration>,
    /// The circuit breaker remains closed with fewer requests in the window.
    pub(super) min_requests: Option<NonZeroU32>,
    /// The time between two probes of the server.
    #[serde(with = "crate::duration::optional")]
    pub(super) check_interval: Option<Duration>,
    /// The time limit of a probe.
    #[serde(with = "crate::duration::optional")]
    pub(super) check_deadline: Option<Duration>,
    /// Sends requests of several users as one.
    pub(super) batch: Option<Batch>,
    /// The inputs of the model; `userId` and `movieId` by default.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) inputs: Vec<Input>,
}

/// How requests of several users are combined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// The time that the first of them waits for others.
    #[serde(with = "crate::duration")]
    pub(super) wait: Duration,
    /// The total number of movies at which they are sent without waiting.
    pub(super) rows: NonZeroUsize,
}

/// A table of `[[models.inputs]]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Input {
    /// The name in the model's signature.
    pub(super) name: Option<String>,
    /// `user.id`, `movie.id`, `uf.FIELD`, `mf.FIELD` or `context.timestamp`.
    pub(super) source: Option<String>,
    /// A value that is sent in every request, instead of a source.
    pub(super) constant: Option<Scalar>,
    /// The type of the values; `int32` by default.
    #[serde(rename = "type")]
    pub(super) value_type: Option<tf::Type>,
    /// For ids: the greatest that the model accepts.
    pub(super) max: Option<u32>,
    /// The value for missing values.
    pub(super) default: Option<Scalar>,
    /// ln(1 + x).
    pub(super) log: Option<bool>,
    /// Scaling to a mean of 0 and a deviation of 1, or to the range from 0 to 1.
    pub(super) normalise: Option<Normalise>,
    /// The number of boundaries that are not above the value.
    pub(super) bucketise: Option<Vec<f64>>,
    /// The index of a word in this list.
    pub(super) vocabulary: Option<Vec<String>>,
    /// A file with the vocabulary, one word per line.
    pub(super) vocabulary_file: Option<PathBuf>,
    /// The index of all words that are not in the vocabulary; the number of its words by default.
    pub(super) other: Option<u32>,
    /// The hash of a text modulo this.
    pub(super) hash_buckets: Option<NonZeroU32>,
}

/// A number or a text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or a text")]
pub(super) enum Scalar {
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
pub(super) struct Normalise {
    /// The value that becomes 0.
    pub(super) mean: Option<f64>,
    /// The distance from the mean that becomes 1.
    pub(super) stddev: Option<f64>,
    /// The value that becomes 0.
    pub(super) min: Option<f64>,
    /// The value that becomes 1.
    pub(super) max: Option<f64>,
}

impl ServerTable {
    /// A table with every key, for the list of known keys.
    pub(super) fn with_all_keys() -> Self {
        let here = || Some(PathBuf::from("."));
        let text = || Some(String::new());
        let second = Some(Duration::from_secs(1));
        Self {
            url: text(),
            format: Some(tf::Format::Columns),
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
                value_type: Some(tf::Type::Int32),
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

    /// The URL, inputs and options of the model.
    pub(super) fn settings(&self) -> Result<(String, tf::Inputs, tf::Options), TableError> {
        let Some(url) = self.url.clone() else {
            let message = "a model of the kind tf-serving requires a URL, such as \
                           http://localhost:8501/v1/models/recmodel";
            return Err(TableError::new("url", message));
        };
        let mut inputs = Vec::new();
        for (index, input) in self.inputs.iter().enumerate() {
            let input = input.input().map_err(|TableError { key, message }| {
                TableError::new(format!("inputs[{index}].{key}"), message)
            });
            inputs.push(input?);
        }
        let names: Vec<String> = inputs.iter().map(|input| input.name.clone()).collect();
        let inputs = tf::Inputs::new(inputs).map_err(|error| match error {
            tf::Error::Input { input, what } => {
                let index = names.iter().rposition(|name| *name == input).unwrap_or_default();
                TableError::new(format!("inputs[{index}]"), format!("{input}: {what}"))
            }
            other => TableError::new("inputs", other.to_string()),
        })?;
        Ok((url, inputs, self.options()?))
    }

    fn options(&self) -> Result<tf::Options, TableError> {
        let pin = match (self.version, &self.label) {
            (Some(_), Some(_)) => {
                let message = "version and label exclude each other";
                return Err(TableError::new("label", message));
            }
            (Some(version), None) => Some(tf::Pin::Version(version.get())),
            (None, label) => label.clone().map(tf::Pin::Label),
        };
        let default = tf::Options::default();
        Ok(tf::Options {
            format: self.format.unwrap_or(default.format),
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
    fn input(&self) -> Result<tf::Input, TableError> {
        let wrong = |key: &str, message: String| TableError::new(key, message);
        let missing = |key: &str| wrong(key, format!("an input has a {key}"));
        let name = self.name.clone().filter(|name| !name.is_empty());
        let source = match (&self.source, &self.constant) {
            (Some(source), None) => source.parse().map_err(|what| wrong("source", what))?,
            (None, Some(constant)) => tf::Source::Constant(constant.to_string()),
            (None, None) => return Err(missing("source")),
            (Some(_), Some(_)) => {
                let message = "source and constant exclude each other";
                return Err(wrong("constant", message.to_owned()));
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
                let message = "vocabulary and vocabulary_file exclude each other";
                return Err(wrong("vocabulary_file", message.to_owned()));
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
            value_type: self.value_type.unwrap_or(tf::Type::Int32),
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
