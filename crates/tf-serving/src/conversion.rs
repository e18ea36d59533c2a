//! Converts feature values to JSON values of requests.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::fingerprint::fingerprint64;
use crate::input::{Input, Source, Step, Type, ValueKind};

/// The conversion of the values of a validated [`Input`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conversion {
    value_type: Type,
    max: Option<u32>,
    /// Numeric steps.
    numeric: Vec<Step>,
    last: FinalStep,
    /// The serialised default.
    default: String,
}

/// The final step of a conversion.
#[derive(Debug, Clone, PartialEq)]
enum FinalStep {
    Value,
    Bucket(Vec<f64>),
    Vocabulary { indexes: HashMap<String, u32>, other: u32 },
    Hash(u32),
}

impl Conversion {
    /// A conversion of integers without steps.
    pub(crate) fn integer() -> Self {
        Self {
            value_type: Type::Int32,
            max: None,
            numeric: Vec::new(),
            last: FinalStep::Value,
            default: "0".to_owned(),
        }
    }

    /// Validates an input. The error is a message.
    pub(crate) fn new(input: &Input) -> Result<Self, String> {
        if let Source::Constant(constant) = &input.source {
            return Self::constant(input, constant);
        }
        let (last, numeric) = split_steps(&input.steps)?;
        let kind = input.source.value_kind();
        let to = input.value_type;
        let to_integer = matches!(to, Type::Int32 | Type::Int64);
        let on_numbers = !numeric.is_empty() || matches!(last, FinalStep::Bucket(_));
        if kind == ValueKind::Word && on_numbers {
            return Err(format!("{} contains words, not numbers", input.source));
        }
        if matches!(last, FinalStep::Value) {
            if !numeric.is_empty() && to != Type::Float32 {
                return Err(format!("the result of log or normalise requires float32, not {to}"));
            }
            match kind {
                ValueKind::Word if to != Type::String => {
                    return Err(format!(
                        "{} contains words: a conversion to {to} requires a vocabulary or a hash",
                        input.source
                    ));
                }
                ValueKind::Decimal if to_integer => {
                    return Err(format!(
                        "{} contains decimals: a conversion to {to} requires bucketise",
                        input.source
                    ));
                }
                _ => {}
            }
        } else if to == Type::String {
            return Err("a bucket or index is a number, not a string".to_owned());
        }
        if input.max.is_some() && !matches!(kind, ValueKind::Integer | ValueKind::Unknown) {
            return Err(format!("max requires integers, which {} does not contain", input.source));
        }

        let mut conversion =
            Self { value_type: to, max: input.max, numeric, last, default: String::new() };
        // The default of words is "", as in training samples.
        let on_text = !on_numbers
            && (to == Type::String || !matches!(conversion.last, FinalStep::Value))
            && !matches!(kind, ValueKind::Integer | ValueKind::Decimal);
        let default = input.default.as_deref().unwrap_or(if on_text { "" } else { "0" });
        if input.default.is_some() && matches!(input.source, Source::UserId | Source::MovieId) {
            return Err("ids are never missing, so a default is not allowed".to_owned());
        }
        let mut text = String::new();
        if !conversion.convert(default, &mut text) {
            let limit = input.max.map_or_else(String::new, |max| format!(" up to {max}"));
            return Err(format!(
                "the default {default:?} is not a valid {to}{limit} for the steps"
            ));
        }
        conversion.default = text;
        Ok(conversion)
    }

    fn constant(input: &Input, constant: &str) -> Result<Self, String> {
        if !input.steps.is_empty() || input.max.is_some() || input.default.is_some() {
            return Err("a constant does not allow max, default or steps".to_owned());
        }
        let mut conversion = Self { value_type: input.value_type, ..Self::integer() };
        let mut text = String::new();
        if !conversion.convert(constant, &mut text) {
            return Err(format!("the constant {constant:?} is not a valid {}", input.value_type));
        }
        conversion.default = text;
        Ok(conversion)
    }

    /// Appends the JSON of a value, or of the default if it is missing or invalid.
    pub(crate) fn write(&self, value: Option<&str>, out: &mut String) {
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        if value.is_none_or(|value| !self.convert(value, out)) {
            out.push_str(&self.default);
        }
    }

    /// Returns whether integers are sent without preprocessing.
    pub(crate) fn is_plain_number(&self) -> bool {
        matches!(self.value_type, Type::Int32 | Type::Int64)
            && matches!(self.last, FinalStep::Value)
    }

    /// Appends the JSON of an id; returns false if it is out of the model's range.
    pub(crate) fn write_id(&self, id: u32, out: &mut String) -> bool {
        let mut digits = itoa::Buffer::new();
        self.convert(digits.format(id), out)
    }

    /// Appends the JSON of a value; returns false and appends nothing if it is invalid.
    fn convert(&self, text: &str, out: &mut String) -> bool {
        self.try_convert(text, out).is_some()
    }

    fn try_convert(&self, text: &str, out: &mut String) -> Option<()> {
        if let Some(max) = self.max
            && !text.is_empty()
            && parse_integer(text)? > i64::from(max)
        {
            return None;
        }
        match &self.last {
            FinalStep::Vocabulary { indexes, other } => {
                let index = indexes.get(text).unwrap_or(other);
                write_number(*index, out);
            }
            FinalStep::Hash(buckets) => {
                let bucket = fingerprint64(text.as_bytes()) % u64::from(*buckets);
                write_number(bucket as u32, out);
            }
            FinalStep::Bucket(boundaries) => {
                let value = self.apply_numeric(text)?;
                let bucket = boundaries.partition_point(|boundary| *boundary <= value);
                write_number(bucket as u32, out);
            }
            FinalStep::Value => match self.value_type {
                Type::String => write_json_string(text, out),
                Type::Int32 => write_number(i32::try_from(parse_integer(text)?).ok()?, out),
                Type::Int64 => write_number(parse_integer(text)?, out),
                Type::Float32 => {
                    let value: f32 = if self.numeric.is_empty() {
                        text.parse().ok()?
                    } else {
                        self.apply_numeric(text)? as f32
                    };
                    if !value.is_finite() {
                        return None;
                    }
                    // The shortest exact decimal, without exponent and ".0".
                    write!(out, "{value}").ok()?;
                }
            },
        }
        Some(())
    }

    /// Applies the numeric steps.
    fn apply_numeric(&self, text: &str) -> Option<f64> {
        let mut value: f64 = text.parse().ok()?;
        for step in &self.numeric {
            value = match *step {
                Step::Log => value.max(0.0).ln_1p(),
                Step::Standardise { mean, stddev } => (value - mean) / stddev,
                Step::Scale { min, max } => (value - min) / (max - min),
                _ => value,
            };
        }
        value.is_finite().then_some(value)
    }
}

/// Splits the steps into the final and the numeric ones, and validates them.
fn split_steps(steps: &[Step]) -> Result<(FinalStep, Vec<Step>), String> {
    let mut numeric = Vec::new();
    let mut last = FinalStep::Value;
    for (index, step) in steps.iter().enumerate() {
        let is_last = index + 1 == steps.len();
        match step {
            Step::Log => {}
            Step::Standardise { mean, stddev } => {
                if !mean.is_finite() || !stddev.is_finite() || *stddev <= 0.0 {
                    return Err("normalise requires a finite mean and a stddev above 0".to_owned());
                }
            }
            Step::Scale { min, max } => {
                if !(max - min).is_finite() || min >= max {
                    return Err("normalise requires min below max".to_owned());
                }
            }
            Step::Bucketise(boundaries) => {
                let ascending = boundaries.is_sorted_by(|a, b| a < b);
                if boundaries.is_empty() || !ascending || !boundaries.iter().all(|b| b.is_finite())
                {
                    return Err("bucketise requires ascending numbers".to_owned());
                }
                if !is_last {
                    return Err("bucketise must be the last step".to_owned());
                }
                last = FinalStep::Bucket(boundaries.clone());
                continue;
            }
            Step::Vocabulary { words, other } => {
                if steps.len() > 1 {
                    return Err("a vocabulary does not allow other steps".to_owned());
                }
                last = FinalStep::Vocabulary {
                    indexes: vocabulary_indexes(words)?,
                    other: other.unwrap_or(words.len() as u32),
                };
                continue;
            }
            Step::Hash { buckets } => {
                if steps.len() > 1 {
                    return Err("a hash does not allow other steps".to_owned());
                }
                if *buckets == 0 {
                    return Err("a hash requires at least one bucket".to_owned());
                }
                last = FinalStep::Hash(*buckets);
                continue;
            }
        }
        numeric.push(step.clone());
    }
    Ok((last, numeric))
}

fn vocabulary_indexes(words: &[String]) -> Result<HashMap<String, u32>, String> {
    if words.is_empty() {
        return Err("the vocabulary is empty".to_owned());
    }
    let mut indexes = HashMap::with_capacity(words.len());
    for (index, word) in (0_u32..).zip(words) {
        if indexes.insert(word.clone(), index).is_some() {
            return Err(format!("duplicate word {word:?} in the vocabulary"));
        }
    }
    Ok(indexes)
}

/// Parses an integer, also with a zero fraction.
fn parse_integer(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        // Above this magnitude, doubles do not represent all integers.
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    })
}

fn write_number(value: impl itoa::Integer, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends a JSON string.
pub(crate) fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn input(source: &str, value_type: Type, steps: Vec<Step>) -> Input {
        Input { steps, ..Input::plain("x", source.parse().unwrap(), value_type) }
    }

    fn sent(input: &Input, value: Option<&str>) -> String {
        let mut out = String::new();
        Conversion::new(input).unwrap().write(value, &mut out);
        out
    }

    fn words(words: &[&str], other: Option<u32>) -> Step {
        Step::Vocabulary { words: words.iter().map(|&word| word.to_owned()).collect(), other }
    }

    #[test]
    fn values_of_the_store_are_converted() {
        let average = input("uf.userAvgRating", Type::Float32, vec![]);
        for (value, expected) in [
            (Some("3.92"), "3.92"),
            (Some("4.00"), "4"),
            (Some(" 0.10 "), "0.1"),
            (Some(""), "0"),
            (None, "0"),
            (Some("NaN"), "0"),
            (Some("1e99"), "0"),
            (Some("many"), "0"),
        ] {
            assert_eq!(sent(&average, value), expected, "{value:?}");
        }
        let movie = input("uf.userRatedMovie1", Type::Int32, vec![]);
        for (value, expected) in [
            (Some("318"), "318"),
            (Some("318.0"), "318"),
            (Some("3000000000"), "0"),
            (Some("1.5"), "0"),
            (Some(""), "0"),
        ] {
            assert_eq!(sent(&movie, value), expected, "{value:?}");
        }
        let bounded = Input { max: Some(1000), ..movie };
        assert_eq!(sent(&bounded, Some("1000")), "1000");
        assert_eq!(sent(&bounded, Some("1001")), "0");
        let genre = input("uf.userGenre1", Type::String, vec![]);
        assert_eq!(sent(&genre, Some("Sci\"\\\n-Fi é")), "\"Sci\\\"\\\\\\u000a-Fi é\"");
        assert_eq!(sent(&genre, None), "\"\"");
        let named = Input { default: Some("none".to_owned()), ..genre };
        assert_eq!(sent(&named, Some("")), "\"none\"");
    }

    #[test]
    fn steps_are_applied_in_order() {
        let counted = |steps| input("mf.movieRatingCount", Type::Float32, steps);
        assert_eq!(sent(&counted(vec![Step::Log]), Some("0")), "0");
        assert_eq!(sent(&counted(vec![Step::Log]), Some("99")), "4.6051702");
        let standardise = Step::Standardise { mean: 2.0, stddev: 0.5 };
        assert_eq!(sent(&counted(vec![standardise.clone()]), Some("4")), "4");
        assert_eq!(sent(&counted(vec![Step::Log, standardise]), Some("0")), "-4");
        let scale = Step::Scale { min: 1900.0, max: 2000.0 };
        assert_eq!(sent(&counted(vec![scale]), Some("1995")), "0.95");

        let buckets = Step::Bucketise(vec![1980.0, 1990.0]);
        let year = input("mf.releaseYear", Type::Int32, vec![buckets]);
        for (value, bucket) in [("0", "0"), ("1979", "0"), ("1980", "1"), ("1990", "2")] {
            assert_eq!(sent(&year, Some(value)), bucket);
        }
        assert_eq!(sent(&year, None), "0");
    }

    #[test]
    fn words_map_to_indexes_and_buckets() {
        let genre = |step| input("mf.movieGenre1", Type::Int32, vec![step]);
        let listed = genre(words(&["Action", "Comedy"], None));
        for (value, index) in [("Action", "0"), ("Comedy", "1"), ("War", "2"), ("", "2")] {
            assert_eq!(sent(&listed, Some(value)), index);
        }
        let unknown_first = genre(words(&["[UNK]", "Action"], Some(0)));
        assert_eq!(sent(&unknown_first, Some("Action")), "1");
        assert_eq!(sent(&unknown_first, Some("War")), "0");
        // The value of TensorFlow.
        assert_eq!(sent(&genre(Step::Hash { buckets: 100 }), Some("Comedy")), "39");
        let ids = input("movie.id", Type::Int64, vec![words(&["318", "50"], None)]);
        let mut out = String::new();
        assert!(Conversion::new(&ids).unwrap().write_id(50, &mut out));
        assert_eq!(out, "1");
    }

    #[test]
    fn ids_out_of_range_are_not_sent() {
        let mut out = String::new();
        let mut id = input("movie.id", Type::Int32, vec![]);
        assert!(!Conversion::new(&id).unwrap().write_id(u32::MAX, &mut out));
        id.max = Some(7);
        assert!(!Conversion::new(&id).unwrap().write_id(8, &mut out));
        assert!(out.is_empty());
        assert!(Conversion::new(&id).unwrap().write_id(7, &mut out));
        assert_eq!(out, "7");
    }

    #[test]
    fn invalid_inputs_are_errors() {
        let error_of = |source: &str, value_type, steps| {
            Conversion::new(&input(source, value_type, steps)).unwrap_err()
        };
        let bucketise = Step::Bucketise(vec![1.0]);
        for (fault, expected) in [
            (
                error_of("mf.movieGenre1", Type::Int32, vec![]),
                "contains words: a conversion to int32",
            ),
            (error_of("mf.movieAvgRating", Type::Int64, vec![]), "contains decimals"),
            (error_of("mf.releaseYear", Type::Int32, vec![Step::Log]), "requires float32"),
            (
                error_of("mf.movieGenre1", Type::Float32, vec![Step::Log]),
                "contains words, not numbers",
            ),
            (error_of("mf.movieGenre1", Type::String, vec![words(&["a"], None)]), "not a string"),
            (
                error_of("mf.movieGenre1", Type::Int32, vec![words(&["a", "a"], None)]),
                "duplicate word",
            ),
            (error_of("mf.movieGenre1", Type::Int32, vec![words(&[], None)]), "is empty"),
            (error_of("user.id", Type::Int32, vec![Step::Hash { buckets: 0 }]), "one bucket"),
            (error_of("user.id", Type::Int32, vec![bucketise, Step::Log]), "must be the last step"),
            (error_of("user.id", Type::Int32, vec![Step::Bucketise(vec![2.0, 1.0])]), "ascending"),
            (
                error_of("user.id", Type::Int32, vec![Step::Log, Step::Hash { buckets: 9 }]),
                "does not allow other steps",
            ),
            (
                error_of("user.id", Type::Float32, vec![Step::Scale { min: 1.0, max: 1.0 }]),
                "min below max",
            ),
        ] {
            assert!(fault.contains(expected), "{fault:?} should contain {expected:?}");
        }
        let mut defaulted = input("mf.releaseYear", Type::Int32, vec![]);
        defaulted.default = Some("old".to_owned());
        let fault = Conversion::new(&defaulted).unwrap_err();
        assert_eq!(fault, "the default \"old\" is not a valid int32 for the steps");
    }
}
