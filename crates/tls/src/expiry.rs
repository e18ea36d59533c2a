//! When a certificate expires, from its DER encoding (RFC 5280). rustls checks the dates of peers, and exports none.

use std::time::SystemTime;

/// The tag of the optional version of a certificate.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The end of the validity of a certificate; `None` if its encoding is not understood.
pub(crate) fn expiry(certificate: &[u8]) -> Option<SystemTime> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        (_, _, fields) = element(fields)?;
    }
    // The serial number, the algorithm and the issuer precede the validity.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// The tag and the content of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let add = |length: usize, &byte: &u8| length.checked_mul(256)?.checked_add(byte.into());
        (bytes.iter().try_fold(0, add)?, rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A time such as `491231235959Z`, or `20501231235959Z` with the whole year.
fn time(tag: u8, text: &str) -> Option<SystemTime> {
    let text = match tag {
        UTC_TIME if *text.as_bytes().first()? < b'5' => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let part = |from: usize| text.get(from..from + 2);
    let (year, month, day) = (text.get(..4)?, part(4)?, part(6)?);
    let (hour, minute, second) = (part(8)?, part(10)?, part(12)?);
    humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn end_of_the_validity_is_read_in_both_encodings_of_times() {
        // RFC 5280 has the short form of years until 2049.
        for (year, expected) in [(2049, "2049-03-07T00:00:00Z"), (2051, "2051-03-07T00:00:00Z")] {
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = date_time_ymd(year, 3, 7);
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let expected = humantime::parse_rfc3339(expected).unwrap();
            assert_eq!(expiry(certificate.der()), Some(expected));
            // Anything shorter is not understood, and nothing panics.
            let der = certificate.der();
            for length in 0..der.len() {
                assert_eq!(expiry(&der[..length]), None);
            }
        }
        assert_eq!(expiry(&[0x30, 0x89, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }
}
