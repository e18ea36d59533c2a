//! Compression of answers for clients that accept it (RFC 9110, section 8.4.1).

use std::cell::RefCell;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use zstd::bulk::Compressor;

/// The shortest body that is compressed, in bytes: a shorter one and its head fit into one packet anyway.
pub(crate) const SHORTEST: usize = 1200;

/// The level of the fastest compression, of zstd and of brotli. Answers are compressed one by one, so time counts more than
/// size.
const FAST: i32 = 1;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
    Brotli,
}

impl Coding {
    /// All codings, those that take the least processor time first.
    const ALL: [Self; 3] = [Self::Zstd, Self::Gzip, Self::Brotli];

    /// The coding that a client prefers, the fastest of equal ones; `None` for the content as it is.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Self> {
        let values =
            headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut weights = [None; 3];
        let (mut identity, mut others) = (None, None);
        for part in values.flat_map(|value| value.split(',')) {
            let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
            let (name, weight) = (name.trim(), Some(weight(parameters)));
            match Self::ALL.iter().position(|coding| coding.has_name(name)) {
                Some(index) => weights[index] = weight,
                None if name == "*" => others = weight,
                None if name.eq_ignore_ascii_case("identity") => identity = weight,
                None => {}
            }
        }
        let weights = weights.map(|weight| weight.or(others).unwrap_or(0));
        let best = weights.into_iter().max().filter(|&best| best > 0 && Some(best) >= identity)?;
        Self::ALL.into_iter().zip(weights).find(|(_, weight)| *weight == best).map(|(it, _)| it)
    }

    /// The value of `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }

    fn has_name(self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.name())
            || self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip")
    }

    /// The compressed body.
    pub(crate) fn compress(self, body: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Zstd => ZSTD.with_borrow_mut(|compressor| {
                if compressor.is_none() {
                    *compressor = Some(Compressor::new(FAST)?);
                }
                match compressor {
                    Some(compressor) => compressor.compress(body).map(Bytes::from),
                    None => Err(io::ErrorKind::Other.into()),
                }
            }),
            Self::Gzip => {
                let target = Vec::with_capacity(body.len() / 2);
                let mut encoder = GzEncoder::new(target, Compression::fast());
                encoder.write_all(body)?;
                encoder.finish().map(Bytes::from)
            }
            Self::Brotli => {
                let mut target = Vec::with_capacity(body.len() / 2);
                let parameters = brotli::enc::BrotliEncoderParams {
                    quality: FAST,
                    size_hint: body.len(),
                    ..Default::default()
                };
                brotli::BrotliCompress(&mut &body[..], &mut target, &parameters)?;
                Ok(target.into())
            }
        }
    }
}

thread_local! {
    /// The context of zstd, which takes longer to make than a small answer takes to compress.
    static ZSTD: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// Whether content of this type gets smaller. Images do not.
pub(crate) fn is_compressible(content_type: &HeaderValue) -> bool {
    let bytes = content_type.as_bytes();
    let is = |prefix: &[u8]| bytes.starts_with(prefix);
    is(b"text/") || is(b"application/json") || is(b"application/toml") || is(b"image/svg+xml")
}

/// The weight in the parameters of a coding, in thousandths; 0 if it is malformed.
fn weight(parameters: &str) -> u16 {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return 1000;
    }
    let value =
        parameters.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let weight = value.and_then(|(_, value)| value.trim().parse::<f32>().ok());
    let weight = weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0);
    (weight * 1000.0).round() as u16
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Read;

    use super::*;

    fn accepted(values: &[&'static str]) -> Option<Coding> {
        let values = values.iter().map(|value| (ACCEPT_ENCODING, HeaderValue::from_static(value)));
        Coding::accepted(&values.collect())
    }

    #[test]
    fn preferred_coding_is_chosen() {
        for (values, coding) in [
            (&[][..], None),
            (&[""], None),
            (&["gzip, deflate, br, zstd"], Some(Coding::Zstd)),
            (&["gzip, deflate, br"], Some(Coding::Gzip)),
            (&["br"], Some(Coding::Brotli)),
            (&["deflate", "X-GZIP"], Some(Coding::Gzip)),
            (&["gzip;q=0.5, br;q=0.8"], Some(Coding::Brotli)),
            (&["gzip;q=0, br;q=0"], None),
            (&["identity, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=1.0"], Some(Coding::Gzip)),
            (&["*"], Some(Coding::Zstd)),
            (&["zstd;q=0, *;q=0.1"], Some(Coding::Gzip)),
            (&["identity"], None),
            (&["gzip;q=2"], None),
            (&["gzip;q=NaN"], None),
            (&["gzip;level=9"], None),
        ] {
            assert_eq!(accepted(values), coding, "{values:?}");
        }
    }

    #[test]
    fn compressed_bodies_contain_the_content() {
        let item = |id: u32| format!("{{\"movieId\":{id},\"title\":\"Invented {id}\"}},");
        let body = (0..2000).map(item).collect::<String>().into_bytes();
        for coding in Coding::ALL {
            // Twice: the context of zstd is used again.
            for _ in 0..2 {
                let compressed = coding.compress(&body).unwrap();
                assert!(compressed.len() < body.len() / 2, "{coding:?}: {}", compressed.len());
                let mut content = Vec::new();
                let source = &compressed[..];
                match coding {
                    Coding::Zstd => zstd::Decoder::new(source).unwrap().read_to_end(&mut content),
                    Coding::Gzip => flate2::read::GzDecoder::new(source).read_to_end(&mut content),
                    Coding::Brotli => {
                        brotli::Decompressor::new(source, 4096).read_to_end(&mut content)
                    }
                }
                .unwrap();
                assert!(content == body, "{coding:?}");
            }
        }
    }

    #[test]
    fn images_are_not_compressed() {
        for (content_type, expected) in [
            ("application/json", true),
            ("text/html; charset=utf-8", true),
            ("image/svg+xml", true),
            ("image/jpeg", false),
            ("application/octet-stream", false),
        ] {
            assert_eq!(is_compressible(&HeaderValue::from_static(content_type)), expected);
        }
    }
}
