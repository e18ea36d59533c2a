//! The path under which a server is reached.

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

/// A prefix of all paths of the public port, such as `/movies`; by default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BasePath(String);

impl BasePath {
    /// Segments of letters, digits, `-`, `_`, `~` and dots, each after a slash. `/` and the empty text are no prefix.
    pub fn new(path: &str) -> Result<Self, String> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte);
        let is_segment =
            |segment: &str| !["", ".", ".."].contains(&segment) && segment.bytes().all(is_plain);
        match path.strip_prefix('/') {
            None if path.is_empty() => Ok(Self::default()),
            Some(segments) if segments.split('/').all(is_segment) => Ok(Self(path.to_owned())),
            _ => Err(format!("{path:?} is not a path such as \"/movies\"")),
        }
    }

    /// The prefix without a slash at its end; empty if there is none.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix as the path of cookies and as the address of the API.
    pub(crate) fn or_root(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// The address without the prefix; `None` if it does not have the prefix.
    pub(crate) fn strip(&self, uri: &Uri) -> Option<Uri> {
        if self.0.is_empty() {
            return Some(uri.clone());
        }
        let rest = uri.path_and_query()?.as_str().strip_prefix(&self.0)?;
        let rest = match rest.as_bytes().first() {
            Some(b'/') => rest.parse::<PathAndQuery>(),
            // The prefix alone is the home page.
            None | Some(b'?') => format!("/{rest}").parse(),
            _ => return None,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(rest.ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn base_path_is_a_path_of_plain_segments() {
        for (text, expected) in [
            ("", ""),
            ("/", ""),
            ("/movies", "/movies"),
            ("/movies/", "/movies"),
            ("/a/b-c_d.e~1", "/a/b-c_d.e~1"),
        ] {
            assert_eq!(BasePath::new(text).unwrap().as_str(), expected);
        }
        for text in
            ["movies", "//", "/a//b", "/a/../b", "/.", "/a b", "/a?b", "/a%20b", "/a\"b", "/ü"]
        {
            assert!(BasePath::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_those_below_the_base_path() {
        let base = BasePath::new("/movies").unwrap();
        let strip = |uri: &str| base.strip(&uri.parse().unwrap()).map(|uri| uri.to_string());
        for (uri, expected) in [
            ("/movies", Some("/")),
            ("/movies?a=b", Some("/?a=b")),
            ("/movies/", Some("/")),
            ("/movies/v1/genres?x=/movies", Some("/v1/genres?x=/movies")),
            ("/movies/movies/1", Some("/movies/1")),
            ("http://host/movies/users", Some("http://host/users")),
            ("/", None),
            ("/moviesx", None),
            ("/v1/genres", None),
            ("//movies/", None),
        ] {
            assert_eq!(strip(uri).as_deref(), expected, "{uri}");
        }
        let none = BasePath::default();
        assert_eq!(none.strip(&"/movies/1?a".parse().unwrap()).unwrap(), "/movies/1?a");
    }
}
