use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sparrow_features::{MOVIE_FIELDS, USER_FIELDS};

use crate::Error;
use crate::value::Conversion;

/// One input of a model: where its values come from, and what is made of them.
///
/// Values are handled as feature stores have them, as text: `3.92`, `1995`, `Comedy`. A value that is
/// missing, empty or not what the input takes counts as the default, before any step.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The name in the model's signature.
    pub name: String,
    /// Where the values come from.
    pub source: Source,
    /// What is sent.
    pub value_type: Type,
    /// The greatest value that the model knows, for whole numbers. Movies whose id is beyond it are not sent
    /// and not scored; a user beyond it is one whom the model cannot serve; a feature beyond it counts as
    /// missing.
    pub max: Option<u32>,
    /// What stands for a missing value; without it, what training samples have there: 0, and "" for words.
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
    /// The same value in every request, as text: `3.5`.
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
                "the source {text:?} is none of user.id, movie.id, uf.FIELD, mf.FIELD, context.timestamp"
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

/// What a source gives, as far as that is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Whole numbers.
    Whole,
    /// Numbers with decimals.
    Decimal,
    /// Words.
    Word,
    /// A field that the feature definitions do not have.
    Unknown,
}

impl Source {
    pub(crate) fn nature(&self) -> Nature {
        let (field, known): (&str, &[&str]) = match self {
            Self::UserId | Self::MovieId | Self::Timestamp => return Nature::Whole,
            Self::User(field) => (field, &USER_FIELDS),
            Self::Movie(field) => (field, &MOVIE_FIELDS),
            Self::Constant(_) => return Nature::Unknown,
        };
        if !known.contains(&field) {
            Nature::Unknown
        } else if field.contains("Genre") {
            Nature::Word
        } else if field.ends_with("AvgRating") || field.ends_with("Stddev") {
            Nature::Decimal
        } else {
            Nature::Whole
        }
    }
}

/// The type of the values that are sent.
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
            _ => Err(format!("the type {text:?} is none of int32, int64, float32, string")),
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

/// Something that is done with a value before it is sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// ln(1 + x), where what is below 0 counts as 0.
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
    /// The number of boundaries that are not above the value: `[1980, 1990]` makes 0 of 1979, 1 of 1980 and
    /// 2 of 1990. Boundaries ascend.
    Bucketise(Vec<f64>),
    /// The position of a word in this list, from 0.
    Vocabulary {
        /// The words.
        words: Vec<String>,
        /// The number of all other words; without it, the number of words.
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
pub struct Inputs {
    inputs: Vec<Input>,
    conversions: Vec<Conversion>,
}

impl Default for Inputs {
    /// Those of NeuralCF: `userId` and `movieId`, whole numbers of 32 bits.
    fn default() -> Self {
        let inputs = vec![
            Input::plain("userId", Source::UserId, Type::Int32),
            Input::plain("movieId", Source::MovieId, Type::Int32),
        ];
        let conversions = vec![Conversion::whole(), Conversion::whole()];
        Self { inputs, conversions }
    }
}

impl Inputs {
    /// Refuses what cannot be meant, naming the input. An empty list stands for NeuralCF's.
    ///
    /// Fields are those of the feature definitions. One that they do not have, which another program puts
    /// into the store, is taken where a default is given and the name is no slip in one that they have.
    pub fn new(inputs: Vec<Input>) -> Result<Self, Error> {
        if inputs.is_empty() {
            return Ok(Self::default());
        }
        let mut names = HashSet::new();
        let mut conversions = Vec::with_capacity(inputs.len());
        for input in &inputs {
            let fault = |what| Error::Input { input: input.name.clone(), what };
            if input.name.is_empty() {
                return Err(fault("a name is missing".to_owned()));
            }
            if !names.insert(&*input.name) {
                return Err(fault("the name stands for two inputs".to_owned()));
            }
            check_field(input).map_err(fault)?;
            conversions.push(Conversion::new(input).map_err(fault)?);
        }
        Ok(Self { inputs, conversions })
    }

    /// The inputs, in the order in which they were given.
    pub fn as_slice(&self) -> &[Input] {
        &self.inputs
    }

    /// The inputs, with how their values are made.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&Input, &Conversion)> {
        self.inputs.iter().zip(&self.conversions)
    }
}

/// How many letters a name may differ in to count as a slip.
const SLIP: usize = 2;

fn check_field(input: &Input) -> Result<(), String> {
    let (field, whose, known): (_, _, &[&str]) = match &input.source {
        Source::User(field) => (field, "users", &USER_FIELDS),
        Source::Movie(field) => (field, "movies", &MOVIE_FIELDS),
        _ => return Ok(()),
    };
    if known.contains(&&**field) {
        return Ok(());
    }
    let distance =
        |known: &&&str| strsim::osa_distance(&field.to_lowercase(), &known.to_lowercase());
    let nearest = known.iter().min_by_key(distance);
    if let Some(near) = nearest.filter(|near| distance(near) <= SLIP) {
        return Err(format!("{whose} have no feature {field:?}, did you mean {near:?}?"));
    }
    if input.default.is_none() {
        return Err(format!(
            "{whose} have no feature {field:?}; a field that another program puts into the store needs a default"
        ));
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut Input)) -> String {
        let mut input = Input::plain("x", Source::UserId, Type::Int32);
        change(&mut input);
        Inputs::new(vec![input]).unwrap_err().to_string()
    }

    #[test]
    fn sources_are_read_as_they_are_written() {
        for text in ["user.id", "movie.id", "uf.userGenre1", "mf.releaseYear", "context.timestamp"]
        {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let with_colon = "uf:userGenre1".parse();
        assert_eq!(with_colon, Ok(Source::User("userGenre1".to_owned())));
        for wrong in ["", "user", "uf", "uf.", "mf:", "ufo.x", "userId", "context.time"] {
            assert!(wrong.parse::<Source>().unwrap_err().contains("none of user.id"), "{wrong}");
        }
    }

    #[test]
    fn constants_are_of_the_type_and_sent_as_they_are() {
        let constant = |value: &str| Source::Constant(value.to_owned());
        let wrong = refusal(|input| input.source = constant("3.5"));
        assert_eq!(wrong, "input x: the constant \"3.5\" is no int32");
        let with_max = refusal(|input| (input.source, input.max) = (constant("3"), Some(4)));
        assert!(with_max.contains("without max, default or steps"), "{with_max}");
        let good = Input::plain("x", constant("3.5"), Type::Float32);
        assert!(Inputs::new(vec![good]).is_ok());
    }

    #[test]
    fn unknown_fields_are_slips_or_need_a_default() {
        let slip = refusal(|input| input.source = Source::User("userGenre6".to_owned()));
        assert_eq!(
            slip,
            "input x: users have no feature \"userGenre6\", did you mean \"userGenre1\"?"
        );
        let slip = refusal(|input| input.source = Source::Movie("releaseyear".to_owned()));
        assert!(slip.ends_with("did you mean \"releaseYear\"?"), "{slip}");
        let other = refusal(|input| input.source = Source::User("country".to_owned()));
        assert!(other.ends_with("needs a default"), "{other}");

        let mut input = Input::plain("x", Source::User("country".to_owned()), Type::String);
        input.default = Some("none".to_owned());
        assert!(Inputs::new(vec![input]).is_ok());
    }

    #[test]
    fn names_are_given_and_given_once() {
        assert_eq!(refusal(|input| input.name.clear()), "input : a name is missing");
        let twice = vec![Input::plain("x", Source::UserId, Type::Int32); 2];
        let error = Inputs::new(twice).unwrap_err().to_string();
        assert_eq!(error, "input x: the name stands for two inputs");
        let neural_cf = Inputs::new(Vec::new()).unwrap();
        let names: Vec<&str> = neural_cf.as_slice().iter().map(|input| &*input.name).collect();
        assert_eq!(names, ["userId", "movieId"]);
    }
}
