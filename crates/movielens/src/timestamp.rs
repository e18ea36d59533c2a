//! Parses timestamps.

use crate::reader::{parse_digits, parse_integer};
use crate::report::excerpt;

/// Parses Unix time in seconds, or a UTC date and time as in Kaggle's files. The error is a message.
pub(crate) fn parse(text: &[u8]) -> Result<u32, String> {
    if let Some(seconds) = parse_integer(text).or_else(|| date_and_time(text)) {
        return Ok(seconds);
    }
    let text_excerpt = excerpt(text);
    Err(if is_in_milliseconds(text) {
        format!("timestamp is {text_excerpt}, in milliseconds, expected seconds")
    } else {
        format!("timestamp is {text_excerpt}, not an integer from 0 to 4294967295")
    })
}

/// Returns whether a number is a time from 1973 to 2106 in milliseconds. As seconds it would be after the year 5000.
fn is_in_milliseconds(text: &[u8]) -> bool {
    (12..=13).contains(&text.len())
        && parse_digits(&text[..text.len() - 3])
            .is_some_and(|seconds| seconds >= 100_000_000 && text.iter().all(u8::is_ascii_digit))
}

/// Parses `2005-04-02 23:53:47`, with a space or `T` as separator, to Unix time.
fn date_and_time(text: &[u8]) -> Option<u32> {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let fits = |(&byte, &shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b' ' => matches!(byte, b' ' | b'T'),
        other => byte == other,
    };
    if text.len() != SHAPE.len() || !text.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let part = |from: usize, to: usize| parse_digits(&text[from..to]).map(i64::from);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years begin in March, so a leap day ends its year. From March on, every 5 months have 153 days.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1;
    // Days from 1 March of year 0 to 1 January 1970.
    let days = days - 719_468;
    u32::try_from(((days * 24 + hour) * 60 + minute) * 60 + second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_parse_to_unix_time() {
        for (text, seconds) in [
            ("1970-01-01 00:00:00", 0),
            ("2005-04-02 23:53:47", 1_112_486_027),
            ("2005-04-02T23:53:47", 1_112_486_027),
            ("2000-02-29 12:00:00", 951_825_600),
            ("1999-12-31 23:59:59", 946_684_799),
            ("2106-02-07 06:28:15", u32::MAX),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn invalid_timestamps_are_errors() {
        for text in [
            "1969-12-31 23:59:59",
            "2106-02-07 06:28:16",
            "2001-02-29 12:00:00",
            "2000-04-31 12:00:00",
            "2000-13-01 12:00:00",
            "2000-00-10 12:00:00",
            "2000-01-00 12:00:00",
            "2000-01-01 24:00:00",
            "2000-01-01 12:60:00",
            "2000-01-01 12:00:60",
            "2000-01-01 12:00",
            "2000-01-01",
            "01.02.2000 12:00:00",
            "2000-01-01 12:00:00Z",
            "+964982703",
        ] {
            assert!(
                parse(text.as_bytes()).is_err_and(|message| message.contains("not an integer")),
                "{text}"
            );
        }
    }

    #[test]
    fn millisecond_timestamp_error_names_the_unit() {
        for text in ["964982703000", "1112486027123"] {
            assert!(
                parse(text.as_bytes()).is_err_and(|message| message.contains("milliseconds")),
                "{text}"
            );
        }
        for text in ["96498270300", "99999999999999", "4294967296000"] {
            assert!(
                parse(text.as_bytes()).is_err_and(|message| !message.contains("milli")),
                "{text}"
            );
        }
    }
}
