use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sparrow_features::{Definition, MOVIE, USER, ValueType};

/// An input of a model: its source and its preprocessing.
///
/// Values are text, as in feature stores: `3.92`, `1995`, `Comedy`. Missing, empty and invalid values are replaced by
/// the default before the first step.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name in the model's signature.
    pub name: String,
    /// The source of the values.
    pub source: Source,
    /// The type in requests.
    pub value_type: Type,
    /// The maximum value that the model accepts, for integers. Movies with greater ids are not scored, users with greater
    /// ids are an error, and greater features count as missing.
    pub max: Option<u32>,
    /// The default of missing values; if `None`, that of training samples: 0, or "" for words.
    pub default: Option<String>,
    /// The preprocessing steps, in order.
    pub steps: Vec<Step>,
}

impl Input {
    /// Creates an input without preprocessing.
    pub fn plain(name: &str, source: Source, value_type: Type) -> Self {
        Self {
            name: name.to_owned(),
            source,
            value_type,
            max: None,
            default: None,
            steps: Vec::new(),
        }
    }
}

/// The source of an input's values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// `user.id`
    UserId,
    /// `movie.id`
    MovieId,
    /// `uf.FIELD` or `uf:FIELD`: a user feature.
    User(String),
    /// `mf.FIELD` or `mf:FIELD`: a movie feature.
    Movie(String),
    /// `context.timestamp`: the time of the request, Unix time in seconds.
    Timestamp,
    /// A constant, as text: `3.5`.
    Constant(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let field = |kind: &str| {
            let field = text.strip_prefix(kind)?.strip_prefix(['.', ':'])?;
            (!field.is_empty()).then(|| field.to_owned())
        };
        match text {
            "user.id" => return Ok(Self::UserId),
            "movie.id" => return Ok(Self::MovieId),
            "context.timestamp" => return Ok(Self::Timestamp),
            _ => {}
        }
        let source = field("uf").map(Self::User).or_else(|| field("mf").map(Self::Movie));
        source.ok_or_else(|| {
            format!(
                "unknown source {text:?}, expected user.id, movie.id, uf.FIELD, mf.FIELD or context.timestamp"
            )
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserId => f.write_str("user.id"),
            Self::MovieId => f.write_str("movie.id"),
            Self::User(field) => write!(f, "uf.{field}"),
            Self::Movie(field) => write!(f, "mf.{field}"),
            Self::Timestamp => f.write_str("context.timestamp"),
            Self::Constant(value) => write!(f, "the constant {value}"),
        }
    }
}

/// The kind of a source's values, if known in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    /// Integers.
    Integer,
    /// Decimal numbers.
    Decimal,
    /// Words.
    Word,
    /// A field outside the feature definitions.
    Unknown,
}

impl Source {
    pub(crate) fn value_kind(&self) -> ValueKind {
        match self {
            Self::UserId | Self::MovieId | Self::Timestamp => ValueKind::Integer,
            Self::Constant(_) => ValueKind::Unknown,
            Self::User(_) | Self::Movie(_) => match self.definition().map(|it| it.value_type) {
                Some(ValueType::MovieId | ValueType::Count | ValueType::Year) => ValueKind::Integer,
                Some(ValueType::Genre) => ValueKind::Word,
                Some(ValueType::Mean | ValueType::Deviation) => ValueKind::Decimal,
                None => ValueKind::Unknown,
            },
        }
    }

    /// The definition of the feature; `None` for other sources and for fields of other programs.
    pub(crate) fn definition(&self) -> Option<&'static Definition> {
        match self {
            Self::User(field) => sparrow_features::find(USER, field),
            Self::Movie(field) => sparrow_features::find(MOVIE, field),
            Self::UserId | Self::MovieId | Self::Timestamp | Self::Constant(_) => None,
        }
    }
}

/// The type of values in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// TensorFlow's `DT_INT32`.
    Int32,
    /// `DT_INT64`.
    Int64,
    /// `DT_FLOAT`.
    Float32,
    /// `DT_STRING`.
    String,
}

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "int32" => Ok(Self::Int32),
            "int64" => Ok(Self::Int64),
            "float32" => Ok(Self::Float32),
            "string" => Ok(Self::String),
            _ => Err(format!("unknown type {text:?}, expected int32, int64, float32 or string")),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::String => "string",
        })
    }
}

/// A preprocessing step.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// ln(1 + max(x, 0)).
    Log,
    /// (x − mean) / stddev.
    Standardise {
        /// The mean.
        mean: f64,
        /// The standard deviation, above 0.
        stddev: f64,
    },
    /// (x − min) / (max − min).
    Scale {
        /// The value that maps to 0.
        min: f64,
        /// The value that maps to 1.
        max: f64,
    },
    /// The number of boundaries up to the value: `[1980, 1990]` maps 1979 to 0, 1980 to 1 and 1990 to 2. Boundaries must
    /// ascend.
    Bucketise(Vec<f64>),
    /// The index of a word in a list, from 0.
    Vocabulary {
        /// The words.
        words: Vec<String>,
        /// The index of all other words; the number of words if `None`.
        other: Option<u32>,
    },
    /// The FarmHash fingerprint of the text modulo `buckets`, like TensorFlow's `to_hash_bucket_fast`.
    Hash {
        /// The number of buckets.
        buckets: u32,
    },
}

/// The current Unix time in seconds, the value of [`Source::Timestamp`].
pub(crate) fn unix_time() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn sources_parse_and_display_equally() {
        for text in ["user.id", "movie.id", "uf.userGenre1", "mf.releaseYear", "context.timestamp"]
        {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let with_colon = "uf:userGenre1".parse();
        assert_eq!(with_colon, Ok(Source::User("userGenre1".to_owned())));
        for wrong in ["", "user", "uf", "uf.", "mf:", "ufo.x", "userId", "context.time"] {
            assert!(wrong.parse::<Source>().unwrap_err().contains("expected user.id"), "{wrong}");
        }
    }
}
