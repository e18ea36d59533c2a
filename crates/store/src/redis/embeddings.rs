//! Text form of embeddings and of their description.

use std::fmt::Write;

use crate::codec::Fault;

/// The components separated by spaces, each with the fewest digits that parse to the same `f32`.
pub(super) fn format_embedding(vector: &[f32]) -> String {
    let mut text = String::with_capacity(vector.len() * 12);
    for (index, value) in vector.iter().enumerate() {
        if index > 0 {
            text.push(' ');
        }
        // The shorter of two notations. Writing to a string cannot fail.
        let size = value.abs();
        let _ = if size != 0.0 && !(1e-5..1e10).contains(&size) {
            write!(text, "{value:e}")
        } else {
            write!(text, "{value}")
        };
    }
    text
}

/// Parses components separated by spaces.
pub(super) fn parse_embedding(text: &[u8]) -> Result<Vec<f32>, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| "is not valid UTF-8".to_owned())?;
    let mut vector = Vec::with_capacity(text.len() / 8);
    for number in text.split_ascii_whitespace() {
        match number.parse::<f32>() {
            Ok(value) if value.is_finite() => vector.push(value),
            _ => return Err(format!("{:?} is not a finite number", shortened(number))),
        }
    }
    if vector.is_empty() { Err("has no components".to_owned()) } else { Ok(vector) }
}

/// The beginning of a description with a generation.
const STAMP: &str = "{\"generation\":";

/// Adds the generation to a description, which is a JSON object.
pub(super) fn stamped(text: &str, generation: u64) -> String {
    match text.strip_prefix('{') {
        Some(rest) if rest.trim_start().starts_with('}') => format!("{STAMP}{generation}{rest}"),
        Some(rest) => format!("{STAMP}{generation},{rest}"),
        None => text.to_owned(),
    }
}

/// Splits the output of [`stamped`] into generation and original text. Other texts have no
/// generation.
pub(super) fn unstamped(text: &str) -> (Option<u64>, String) {
    let parts = || {
        let rest = text.strip_prefix(STAMP)?;
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let generation = rest[..end].parse().ok()?;
        let rest = &rest[end..];
        Some((Some(generation), format!("{{{}", rest.strip_prefix(',').unwrap_or(rest))))
    };
    parts().unwrap_or_else(|| (None, text.to_owned()))
}

/// The beginning of a text for a message.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 40;
    if text.chars().count() <= LONGEST {
        text.to_owned()
    } else {
        text.chars().take(LONGEST).chain(['…']).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn embeddings_round_trip(
            vector in prop::collection::vec(
                prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO, 1..30),
        ) {
            let text = format_embedding(&vector);
            prop_assert!(text.split(' ').all(|number| !number.is_empty()), "one space between");
            let back = parse_embedding(text.as_bytes()).unwrap();
            prop_assert!(back.iter().map(|v| v.to_bits()).eq(vector.iter().map(|v| v.to_bits())));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_embedding(&bytes);
        }
    }

    #[test]
    fn descriptions_with_a_generation_round_trip() {
        for text in [r#"{"format":1,"method":"als"}"#, "{}", "not JSON", ""] {
            let stamped = stamped(text, 17);
            let generation = text.starts_with('{').then_some(17);
            assert_eq!(unstamped(&stamped), (generation, text.to_owned()), "{stamped}");
        }
        assert_eq!(stamped(r#"{"format":1}"#, 17), r#"{"generation":17,"format":1}"#);
        assert_eq!(unstamped(r#"{"generation":x}"#).0, None);
    }

    #[test]
    fn embeddings_are_written_with_the_fewest_digits() {
        let vector = [1.0, -0.5, 0.1, 1.5e-8, 3.4e38, 0.0, -0.0];
        assert_eq!(format_embedding(&vector), "1 -0.5 0.1 1.5e-8 3.4e38 0 -0");
    }

    #[test]
    fn other_notations_are_parsed_and_faults_are_described() {
        let spark = b" 0.12345678901  -1.0E-5\t3 ";
        assert_eq!(parse_embedding(spark), Ok(vec![0.123_456_79, -1e-5, 3.0]));
        for (text, fault) in [
            (&b""[..], "has no components"),
            (b"1 x2", "\"x2\" is not a finite number"),
            (b"1 NaN", "\"NaN\" is not a finite number"),
            (b"1e40", "\"1e40\" is not a finite number"),
            (b"\xff", "is not valid UTF-8"),
        ] {
            assert_eq!(parse_embedding(text), Err(fault.to_owned()));
        }
    }
}
