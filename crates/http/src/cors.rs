//! Which web pages of other origins may read answers (the CORS protocol of the Fetch standard).
//!
//! The three original endpoints that answer about movies alone are open to every page, as they were in the
//! original. The other two, and all of `/v1`, follow a list of origins, since they have the histories of users.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use crate::reply::{METHODS, Reply};
use crate::route::Route;

const ANY: HeaderValue = HeaderValue::from_static("*");

/// The origins whose pages may use what is not open to all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
    any: bool,
}

impl Cors {
    /// Allows the pages of these origins, such as `https://movies.example.com`; `*` allows all. An error
    /// names the first that is no origin.
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

    /// What a path allows the page that asks.
    pub(crate) fn grant(&self, path: &str, headers: &HeaderMap) -> Grant {
        let restricted = match Route::find(path) {
            Some(Route::GetMovie | Route::GetSimilarMovie | Route::GetRecommendation) => {
                return Grant { origin: Some(ANY), varies: false };
            }
            Some(Route::GetUser | Route::GetRecForYou) => true,
            _ => path.starts_with("/v1/"),
        };
        if !restricted {
            return Grant::default();
        }
        if self.any {
            return Grant { origin: Some(ANY), varies: false };
        }
        let origin = headers.get(ORIGIN).filter(|origin| self.origins.contains(origin)).cloned();
        Grant { origin, varies: !self.origins.is_empty() }
    }
}

/// Scheme, host and port as browsers write them: in lower case, without a path.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    let of_host = |byte: u8| plain(byte) || b":[]_".contains(&byte);
    !scheme.is_empty() && scheme.bytes().all(plain) && !host.is_empty() && host.bytes().all(of_host)
}

/// Which pages may read an answer.
#[derive(Debug, Default)]
pub(crate) struct Grant {
    origin: Option<HeaderValue>,
    /// Whether it depends on the page that asks.
    varies: bool,
}

impl Grant {
    /// The answer to the question of a browser that precedes some requests; `None` where the request is
    /// not that question, or the answer is no.
    pub(crate) fn preflight(&self, parts: &Parts) -> Option<Reply> {
        let asks = parts.method == Method::OPTIONS
            && parts.headers.contains_key(ORIGIN)
            && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks || self.origin.is_none() {
            return None;
        }
        let reply = Reply::new(StatusCode::NO_CONTENT, ANY, "")
            .with(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS))
            .with(ACCESS_CONTROL_ALLOW_HEADERS, ANY)
            .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        Some(reply)
    }

    /// Adds what browsers want to see.
    pub(crate) fn mark(self, mut reply: Reply) -> Reply {
        if self.varies {
            reply = reply.with(VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = self.origin else { return reply };
        let exposed = HeaderValue::from_static("x-sparrow-model, x-sparrow-degraded, retry-after");
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
