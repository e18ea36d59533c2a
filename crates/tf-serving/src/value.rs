//! From the text of a feature to the text that is sent.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::fingerprint::fingerprint64;
use crate::input::{Input, Nature, Source, Step, Type};

/// How an input's values are made: a checked [`Input`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conversion {
    value_type: Type,
    max: Option<u32>,
    /// Steps from number to number.
    numeric: Vec<Step>,
    last: Last,
    /// What is sent for a missing value.
    default: String,
}

/// What is made of a value in the end.
#[derive(Debug, Clone, PartialEq)]
enum Last {
    Value,
    Bucket(Vec<f64>),
    Word { places: HashMap<String, u32>, other: u32 },
    Hash(u32),
}

impl Conversion {
    /// Whole numbers as they are.
    pub(crate) fn whole() -> Self {
        Self {
            value_type: Type::Int32,
            max: None,
            numeric: Vec::new(),
            last: Last::Value,
            default: "0".to_owned(),
        }
    }

    /// Says what is wrong with the input, if something is.
    pub(crate) fn new(input: &Input) -> Result<Self, String> {
        if let Source::Constant(constant) = &input.source {
            return Self::constant(input, constant);
        }
        let (last, numeric) = divide(&input.steps)?;
        let nature = input.source.nature();
        let to = input.value_type;
        let whole = matches!(to, Type::Int32 | Type::Int64);
        let on_numbers = !numeric.is_empty() || matches!(last, Last::Bucket(_));
        if nature == Nature::Word && on_numbers {
            return Err(format!("{} gives words, not numbers", input.source));
        }
        if matches!(last, Last::Value) {
            if !numeric.is_empty() && to != Type::Float32 {
                return Err(format!(
                    "a number that log or normalise made is sent as float32, not {to}"
                ));
            }
            match nature {
                Nature::Word if to != Type::String => {
                    return Err(format!(
                        "{} gives words, which become {to} by a vocabulary or a hash",
                        input.source
                    ));
                }
                Nature::Decimal if whole => {
                    return Err(format!(
                        "{} gives numbers with decimals, which become {to} by bucketise",
                        input.source
                    ));
                }
                _ => {}
            }
        } else if to == Type::String {
            return Err("a bucket or position is a number, not a string".to_owned());
        }
        if input.max.is_some() && !matches!(nature, Nature::Whole | Nature::Unknown) {
            return Err(format!("max is for whole numbers, which {} does not give", input.source));
        }

        let mut conversion =
            Self { value_type: to, max: input.max, numeric, last, default: String::new() };
        // Text stays text: a word that is missing is "", as in samples.
        let on_text = !on_numbers
            && (to == Type::String || !matches!(conversion.last, Last::Value))
            && !matches!(nature, Nature::Whole | Nature::Decimal);
        let default = input.default.as_deref().unwrap_or(if on_text { "" } else { "0" });
        if input.default.is_some() && matches!(input.source, Source::UserId | Source::MovieId) {
            return Err("an id is never missing, so there is no default for it".to_owned());
        }
        let mut text = String::new();
        if !conversion.convert(default, &mut text) {
            let limit = input.max.map_or_else(String::new, |max| format!(" up to {max}"));
            return Err(format!("the default {default:?} is no {to}{limit} that the steps take"));
        }
        conversion.default = text;
        Ok(conversion)
    }

    fn constant(input: &Input, constant: &str) -> Result<Self, String> {
        if !input.steps.is_empty() || input.max.is_some() || input.default.is_some() {
            return Err("a constant is sent as it is, without max, default or steps".to_owned());
        }
        let mut conversion = Self { value_type: input.value_type, ..Self::whole() };
        let mut text = String::new();
        if !conversion.convert(constant, &mut text) {
            return Err(format!("the constant {constant:?} is no {}", input.value_type));
        }
        conversion.default = text;
        Ok(conversion)
    }

    /// Appends what is sent for this value of the source: JSON.
    pub(crate) fn write(&self, value: Option<&str>, out: &mut String) {
        let value = value.map(str::trim).filter(|value| !value.is_empty());
        if value.is_none_or(|value| !self.convert(value, out)) {
            out.push_str(&self.default);
        }
    }

    /// Whether whole numbers are sent as they are.
    pub(crate) fn is_plain_number(&self) -> bool {
        matches!(self.value_type, Type::Int32 | Type::Int64) && matches!(self.last, Last::Value)
    }

    /// Appends what is sent for an id; false if the model does not know it.
    pub(crate) fn write_id(&self, id: u32, out: &mut String) -> bool {
        let mut digits = itoa::Buffer::new();
        self.convert(digits.format(id), out)
    }

    /// False, and nothing appended, if the value is not what the input takes.
    fn convert(&self, text: &str, out: &mut String) -> bool {
        self.converted(text, out).is_some()
    }

    fn converted(&self, text: &str, out: &mut String) -> Option<()> {
        if let Some(max) = self.max
            && !text.is_empty()
            && whole(text)? > i64::from(max)
        {
            return None;
        }
        match &self.last {
            Last::Word { places, other } => {
                let place = places.get(text).unwrap_or(other);
                number(*place, out);
            }
            Last::Hash(buckets) => {
                let bucket = fingerprint64(text.as_bytes()) % u64::from(*buckets);
                number(bucket as u32, out);
            }
            Last::Bucket(boundaries) => {
                let value = self.stepped(text)?;
                let bucket = boundaries.partition_point(|boundary| *boundary <= value);
                number(bucket as u32, out);
            }
            Last::Value => match self.value_type {
                Type::String => string(text, out),
                Type::Int32 => number(i32::try_from(whole(text)?).ok()?, out),
                Type::Int64 => number(whole(text)?, out),
                Type::Float32 => {
                    let value: f32 = if self.numeric.is_empty() {
                        text.parse().ok()?
                    } else {
                        self.stepped(text)? as f32
                    };
                    if !value.is_finite() {
                        return None;
                    }
                    // The shortest text that gives the same number; no exponent, and no ".0".
                    write!(out, "{value}").ok()?;
                }
            },
        }
        Some(())
    }

    /// The number after the steps from number to number.
    fn stepped(&self, text: &str) -> Option<f64> {
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

/// What is done last, and what before.
fn divide(steps: &[Step]) -> Result<(Last, Vec<Step>), String> {
    let mut numeric = Vec::new();
    let mut last = Last::Value;
    for (at, step) in steps.iter().enumerate() {
        let ends = at + 1 == steps.len();
        match step {
            Step::Log => {}
            Step::Standardise { mean, stddev } => {
                if !mean.is_finite() || !stddev.is_finite() || *stddev <= 0.0 {
                    return Err("normalise takes a finite mean, and a stddev above 0".to_owned());
                }
            }
            Step::Scale { min, max } => {
                if !(max - min).is_finite() || min >= max {
                    return Err("normalise takes a min that is below its max".to_owned());
                }
            }
            Step::Bucketise(boundaries) => {
                let ascending = boundaries.is_sorted_by(|a, b| a < b);
                if boundaries.is_empty() || !ascending || !boundaries.iter().all(|b| b.is_finite())
                {
                    return Err("bucketise takes numbers that ascend".to_owned());
                }
                if !ends {
                    return Err("nothing follows bucketise".to_owned());
                }
                last = Last::Bucket(boundaries.clone());
                continue;
            }
            Step::Vocabulary { words, other } => {
                if steps.len() > 1 {
                    return Err("a vocabulary stands alone, without other steps".to_owned());
                }
                last = Last::Word {
                    places: places(words)?,
                    other: other.unwrap_or(words.len() as u32),
                };
                continue;
            }
            Step::Hash { buckets } => {
                if steps.len() > 1 {
                    return Err("a hash stands alone, without other steps".to_owned());
                }
                if *buckets == 0 {
                    return Err("a hash has at least one bucket".to_owned());
                }
                last = Last::Hash(*buckets);
                continue;
            }
        }
        numeric.push(step.clone());
    }
    Ok((last, numeric))
}

fn places(words: &[String]) -> Result<HashMap<String, u32>, String> {
    if words.is_empty() {
        return Err("the vocabulary has no words".to_owned());
    }
    let mut places = HashMap::with_capacity(words.len());
    for (place, word) in (0_u32..).zip(words) {
        if places.insert(word.clone(), place).is_some() {
            return Err(format!("the vocabulary has {word:?} twice"));
        }
    }
    Ok(places)
}

/// A whole number, also one that is written with zeros behind the point. Never "-0".
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        // Beyond this, neighbours of a whole number are not to be told apart.
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    })
}

fn number(value: impl itoa::Integer, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(value));
}

/// Appends a JSON string.
pub(crate) fn string(text: &str, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                // A string takes what is written.
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
    fn values_are_sent_as_the_store_has_them() {
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
    fn steps_follow_each_other() {
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
    fn words_become_places_and_buckets() {
        let genre = |step| input("mf.movieGenre1", Type::Int32, vec![step]);
        let listed = genre(words(&["Action", "Comedy"], None));
        for (value, place) in [("Action", "0"), ("Comedy", "1"), ("War", "2"), ("", "2")] {
            assert_eq!(sent(&listed, Some(value)), place);
        }
        let unknown_first = genre(words(&["[UNK]", "Action"], Some(0)));
        assert_eq!(sent(&unknown_first, Some("Action")), "1");
        assert_eq!(sent(&unknown_first, Some("War")), "0");
        // TensorFlow says so.
        assert_eq!(sent(&genre(Step::Hash { buckets: 100 }), Some("Comedy")), "39");
        let ids = input("movie.id", Type::Int64, vec![words(&["318", "50"], None)]);
        let mut out = String::new();
        assert!(Conversion::new(&ids).unwrap().write_id(50, &mut out));
        assert_eq!(out, "1");
    }

    #[test]
    fn ids_beyond_what_can_be_sent_are_unknown() {
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
    fn what_cannot_be_meant_is_refused() {
        let refused = |source: &str, value_type, steps| {
            Conversion::new(&input(source, value_type, steps)).unwrap_err()
        };
        let bucketise = Step::Bucketise(vec![1.0]);
        for (fault, expected) in [
            (refused("mf.movieGenre1", Type::Int32, vec![]), "gives words, which become int32"),
            (refused("mf.movieAvgRating", Type::Int64, vec![]), "gives numbers with decimals"),
            (refused("mf.releaseYear", Type::Int32, vec![Step::Log]), "is sent as float32"),
            (refused("mf.movieGenre1", Type::Float32, vec![Step::Log]), "gives words, not numbers"),
            (refused("mf.movieGenre1", Type::String, vec![words(&["a"], None)]), "not a string"),
            (refused("mf.movieGenre1", Type::Int32, vec![words(&["a", "a"], None)]), "twice"),
            (refused("mf.movieGenre1", Type::Int32, vec![words(&[], None)]), "no words"),
            (refused("user.id", Type::Int32, vec![Step::Hash { buckets: 0 }]), "one bucket"),
            (refused("user.id", Type::Int32, vec![bucketise, Step::Log]), "nothing follows"),
            (refused("user.id", Type::Int32, vec![Step::Bucketise(vec![2.0, 1.0])]), "ascend"),
            (
                refused("user.id", Type::Int32, vec![Step::Log, Step::Hash { buckets: 9 }]),
                "stands alone",
            ),
            (
                refused("user.id", Type::Float32, vec![Step::Scale { min: 1.0, max: 1.0 }]),
                "below its max",
            ),
        ] {
            assert!(fault.contains(expected), "{fault:?} should say {expected:?}");
        }
        let mut defaulted = input("mf.releaseYear", Type::Int32, vec![]);
        defaulted.default = Some("old".to_owned());
        let fault = Conversion::new(&defaulted).unwrap_err();
        assert_eq!(fault, "the default \"old\" is no int32 that the steps take");
    }
}
