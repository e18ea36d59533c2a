//! Which web pages of other origins may read answers (the CORS protocol of the Fetch standard).

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::response::reply::{Methods, Reply};

const ANY: HeaderValue = HeaderValue::from_static("*");

/// `*` does not include `Authorization`.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("*, authorization");

/// The origins whose web pages may read an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origins {
    /// All: answers of SparrowRecSys' endpoints about movies alone, as there.
    All,
    /// Those of [`Cors`]: answers that may contain ratings of users.
    Listed,
    /// The same, for changes of data.
    Writers,
    /// Only the server's own pages.
    Own,
}

/// The origins whose web pages may use the API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
    any: bool,
}

impl Cors {
    /// Allows these origins, such as `https://movies.example.com`; `*` allows all. The error names the first that
    /// is not an origin.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut cors = Self::default();
        for origin in origins {
            if origin == "*" {
                cors.any = true;
                continue;
            }
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin(origin));
            cors.origins.push(value.ok_or_else(|| {
                format!(
                    "{origin:?} is not an origin such as \"https://movies.example.com\", or \"*\""
                )
            })?);
        }
        Ok(cors)
    }

    /// Whether the origin of a request may read an answer for these origins.
    pub(crate) fn grant(&self, origins: Origins, headers: &HeaderMap) -> Grant {
        match origins {
            Origins::Own => Grant::default(),
            Origins::All => Grant { origin: Some(ANY), varies: false },
            Origins::Listed | Origins::Writers if self.any => {
                Grant { origin: Some(ANY), varies: false }
            }
            Origins::Listed | Origins::Writers => {
                let origin = headers.get(ORIGIN).filter(|origin| self.origins.contains(origin));
                Grant { origin: origin.cloned(), varies: !self.origins.is_empty() }
            }
        }
    }
}

impl Cors {
    /// Whether the origin of a request may change data. One that is listed may. `*` permits only requests with a key in a
    /// header, which no page has by itself.
    pub(crate) fn permits_writes(&self, headers: &HeaderMap, has_credentials: bool) -> bool {
        let is_listed = headers.get(ORIGIN).is_some_and(|origin| self.origins.contains(origin));
        is_listed || (self.any && has_credentials)
    }
}

/// Whether a text is scheme, host and port as browsers send them: in lower case, without a path.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let of_host = |byte: u8| plain(byte) || b":[]_".contains(&byte);
    !scheme.is_empty() && scheme.bytes().all(plain) && !host.is_empty() && host.bytes().all(of_host)
}

/// The origin that may read an answer.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    origin: Option<HeaderValue>,
    /// Whether it depends on the origin of the request.
    varies: bool,
}

impl Grant {
    /// The answer to a preflight request; `None` if the request is none, or its origin is not allowed.
    pub(crate) fn preflight(&self, parts: &Parts, methods: Methods) -> Option<Reply> {
        let is_preflight = parts.method == Method::OPTIONS
            && parts.headers.contains_key(ORIGIN)
            && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || self.origin.is_none() {
            return None;
        }
        let reply = Reply::new(StatusCode::NO_CONTENT, ANY, "")
            .with(
                ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::try_from(methods.text()).unwrap_or(ANY),
            )
            .with(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS)
            .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(reply)
    }

    /// Adds the headers for browsers.
    pub(crate) fn add_headers(self, mut reply: Reply) -> Reply {
        if self.varies {
            reply = reply.varying_by("origin");
        }
        let Some(origin) = self.origin else { return reply };
        let exposed = HeaderValue::from_static(
            "x-sparrow-model, x-sparrow-degraded, x-sparrow-experiments, \
             x-sparrow-recommendation-id, x-request-id, retry-after, ratelimit, ratelimit-policy",
        );
        reply.with(ACCESS_CONTROL_ALLOW_ORIGIN, origin).with(ACCESS_CONTROL_EXPOSE_HEADERS, exposed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_are_allowed() {
        for origin in ["https://a.example", "http://localhost:6010", "http://[::1]:80", "*"] {
            assert!(Cors::new([origin]).is_ok(), "{origin}");
        }
        for wrong in [
            "",
            "a.example",
            "https://a.example/",
            "https://A.example",
            "http://",
            "null",
            "https://a,b",
        ] {
            assert!(
                Cors::new([wrong]).is_err_and(|error| error.contains("is not an origin")),
                "{wrong}"
            );
        }
    }
}
