//! JSON into byte buffers: whole values with serde, and piece by piece for answers that are assembled from movies
//! serialised before.

use std::io::Write as _;

use serde::Serialize;
use sparrow_model::Stars;

/// A value as JSON.
pub(crate) fn document(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("the types of this crate have text keys")
}

/// Continues an object with a rating.
pub(crate) fn rating(out: &mut Vec<u8>, stars: Stars, timestamp: u32) {
    out.extend_from_slice(b",\"score\":");
    float32(out, stars.value());
    out.extend_from_slice(b",\"timestamp\":");
    integer(out, timestamp);
}

/// Writes a string with its quotes.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(text.len() + 2);
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain_from = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[plain_from..index]);
        plain_from = index + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
        }
    }
    out.extend_from_slice(&bytes[plain_from..]);
    out.push(b'"');
}

/// Writes a string, or `null`.
pub(crate) fn optional_string(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Writes strings as an array.
pub(crate) fn strings<'a>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = &'a str>) {
    list(out, texts, string);
}

/// Writes an array; `write` writes an item.
pub(crate) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// Writes a whole number.
pub(crate) fn integer(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a number with the fewest digits that read back as the same `f64`, whole ones as `4.0`. JSON has no NaN
/// and no infinity: they become `null`.
pub(crate) fn float(out: &mut Vec<u8>, number: f64) {
    debug(out, number, number.is_finite());
}

/// The same for an `f32`: the digits read back as the same `f32`.
pub(crate) fn float32(out: &mut Vec<u8>, number: f32) {
    debug(out, number, number.is_finite());
}

fn debug(out: &mut Vec<u8>, number: impl std::fmt::Debug, finite: bool) {
    // Debug formatting of finite numbers has these digits, in the grammar of JSON. Writing into a vector does not
    // fail.
    if !finite || write!(out, "{number:?}").is_err() {
        out.extend_from_slice(b"null");
    }
}

/// Writes `true` or `false`.
pub(crate) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    proptest! {
        #[test]
        fn strings_read_back(text in any::<String>()) {
            let json = written(|out| string(out, &text));
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }

        #[test]
        fn floats_read_back(number in any::<f64>(), small in any::<f32>()) {
            // Read by the standard library, which rounds correctly.
            let text = String::from_utf8(written(|out| float(out, number))).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            prop_assert_eq!(text.parse().ok(), number.is_finite().then_some(number));
            let text = String::from_utf8(written(|out| float32(out, small))).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
            prop_assert_eq!(text.parse().ok(), small.is_finite().then_some(small));
        }
    }

    #[test]
    fn whole_floats_keep_their_point_and_the_rest_is_null() {
        assert_eq!(written(|out| float(out, 4.0)), b"4.0");
        assert_eq!(written(|out| float(out, 0.0)), b"0.0");
        assert_eq!(written(|out| float32(out, 0.1)), b"0.1");
        assert_eq!(written(|out| float(out, f64::NAN)), b"null");
        assert_eq!(written(|out| float32(out, f32::NEG_INFINITY)), b"null");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            written(|out| string(out, "a\"\\\u{1}\n/é")),
            "\"a\\\"\\\\\\u0001\\n/é\"".as_bytes()
        );
        assert_eq!(written(|out| strings(out, ["a", "b"])), br#"["a","b"]"#);
    }
}
