//! Sizes and durations with units, in configuration files and on command lines.

use std::time::Duration;

const UNITS: [(&str, usize); 9] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("G", 1 << 30),
    ("M", 1 << 20),
    ("K", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
];

/// A size that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size such as \"16MiB\"")]
pub struct SizeError(String);

/// Parses a number of bytes with a unit, such as `16MiB`, `2GB` or `512B`. The unit is required; its case is not relevant.
pub fn parse_size(text: &str) -> Result<usize, SizeError> {
    let digits = text.find(|sign: char| !sign.is_ascii_digit());
    let size = digits.and_then(|end| {
        let (number, unit) = text.split_at(end);
        let unit = unit.trim_start();
        let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let bytes = unit.eq_ignore_ascii_case("B").then_some(1);
        number.parse::<usize>().ok()?.checked_mul(factor.map(|(_, factor)| *factor).or(bytes)?)
    });
    size.ok_or_else(|| SizeError(text.to_owned()))
}

/// Formats a number of bytes in the greatest binary unit of which it is a multiple.
pub fn format_size(bytes: usize) -> String {
    let is_multiple = |factor: usize| bytes > 0 && bytes.is_multiple_of(factor);
    match UNITS[..3].iter().find(|(_, factor)| is_multiple(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// The longest duration, which can be added to any time.
const LONGEST: Duration = Duration::from_hours(24 * 3653);

/// A duration that cannot be parsed or is too long.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// The text is not a duration.
    #[error("{text:?} is not a duration such as \"10s\": {source}")]
    Malformed {
        /// The text.
        text: String,
        /// The cause.
        source: humantime::DurationError,
    },
    /// The duration is longer than ten years.
    #[error("{0:?} is longer than ten years")]
    TooLong(String),
}

/// Parses a duration such as `10s` or `1m 30s`, of at most ten years.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let duration = humantime::parse_duration(text)
        .map_err(|source| DurationError::Malformed { text: text.to_owned(), source })?;
    if duration > LONGEST {
        return Err(DurationError::TooLong(text.to_owned()));
    }
    Ok(duration)
}

/// Formats a duration so that [`parse_duration`] returns it.
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn sizes_require_a_unit() {
        for (text, bytes) in [
            ("16MiB", 16 << 20),
            ("1 KiB", 1024),
            ("512 mib", 512 << 20),
            ("64M", 64 << 20),
            ("2GB", 2_000_000_000),
            ("0B", 0),
            ("1025B", 1025),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes), "{text}");
        }
        for bad in
            ["", "16", "MiB", "-1B", "1.5MiB", "1TB", "99999999999GiB", "9".repeat(30).as_str()]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
        assert_eq!(format_size(3 << 20), "3MiB");
    }

    #[test]
    fn durations_are_parsed_as_they_are_formatted() {
        for (text, seconds) in [("10s", 10), ("1m 30s", 90), ("30d", 30 * 86400), ("0s", 0)] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration), "{text}");
        }
        let error = |text| parse_duration(text).unwrap_err().to_string();
        assert!(error("10").starts_with("\"10\" is not a duration such as \"10s\": "));
        assert_eq!(error("11y"), "\"11y\" is longer than ten years");
    }
}
