use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One input of a model: where its values come from, and what is made of them.
///
/// Values are handled as the feature store has them, as text: `3.92`, `1995`, `Comedy`. A value that is
/// missing, empty or not what the input takes is replaced by the default, before any step.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name in the model's signature.
    pub name: String,
    /// Where the values come from.
    pub source: Source,
    /// What is sent.
    pub value_type: Type,
    /// For ids: the greatest that the model knows. Movies beyond it are not sent and not scored; a user
    /// beyond it is one whom the model cannot serve.
    pub max: Option<u32>,
    /// What stands for a missing value; if not given, what training samples have there, which is 0, and ""
    /// for words.
    pub default: Option<String>,
    /// What is done with a value before it is sent, in this order.
    pub steps: Vec<Step>,
}

impl Input {
    /// An input that sends what its source gives.
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

/// Where an input's values come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// `user.id`
    UserId,
    /// `movie.id`
    MovieId,
    /// `uf.FIELD` or `uf:FIELD`: a feature of the user.
    User(String),
    /// `mf.FIELD` or `mf:FIELD`: a feature of the movie.
    Movie(String),
    /// `context.timestamp`: the moment of the request, in seconds since 1970.
    Timestamp,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let field = |kind: &str| {
            let field = text.strip_prefix(kind)?.strip_prefix(['.', ':'])?;
            (!field.is_empty()).then(|| field.to_owned())
        };
        match text {
            "user.id" => Ok(Self::UserId),
            "movie.id" => Ok(Self::MovieId),
            "context.timestamp" => Ok(Self::Timestamp),
            _ => field("uf").map(Self::User).or_else(|| field("mf").map(Self::Movie)).ok_or_else(
                || format!("the source {text:?} is none of user.id, movie.id, uf.…, mf.…, context.timestamp"),
            ),
        }
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
        }
    }
}

/// The type of the values that are sent, as TensorFlow names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// `DT_INT32`
    Int32,
    /// `DT_INT64`
    Int64,
    /// `DT_FLOAT`
    Float32,
    /// `DT_STRING`
    String,
}

/// Something that is done with a value before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// ln(1 + x), with 0 for what is below 0.
    Log,
    /// (x − mean) / deviation.
    Standardise {
        /// The mean.
        mean: f64,
        /// The standard deviation, above 0.
        stddev: f64,
    },
    /// (x − least) / (greatest − least): from 0 to 1 for values between the two.
    Scale {
        /// What becomes 0.
        min: f64,
        /// What becomes 1.
        max: f64,
    },
    /// The number of boundaries that are not above the value: `[1980, 1990]` makes 0 of 1979, 1 of 1980 and 2 of
    /// 1990. Boundaries ascend.
    Bucketise(Vec<f64>),
    /// The position of a word in this list, from 0; `other` for words that are not in it.
    Vocabulary {
        /// The words.
        words: Vec<String>,
        /// The number of all other words; if not given, the number of words.
        other: Option<u32>,
    },
    /// The FarmHash fingerprint of the text modulo this, as TensorFlow's `to_hash_bucket_fast` has it.
    Hash {
        /// How many buckets there are.
        buckets: u32,
    },
}

/// The inputs of a model, known to make sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs(Vec<Input>);

impl Default for Inputs {
    /// Those of NeuralCF: `userId` and `movieId`, whole numbers of 32 bits.
    fn default() -> Self {
        Self(vec![
            Input::plain("userId", Source::UserId, Type::Int32),
            Input::plain("movieId", Source::MovieId, Type::Int32),
        ])
    }
}

impl Inputs {
    /// Refuses what cannot be meant, naming the input. An empty list stands for NeuralCF's.
    ///
    /// The fields are those of the feature definitions. One that they do not have, because another program
    /// puts it into the store, is taken if the input has a default and the name is no slip in a known one.
    pub fn new(inputs: Vec<Input>) -> Result<Self, Error> {
        if inputs.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self(inputs))
    }

    /// The inputs, in the order in which they were given.
    pub fn as_slice(&self) -> &[Input] {
        &self.0
    }
}
