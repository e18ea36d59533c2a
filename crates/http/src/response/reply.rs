//! Answers, and their translation into responses of hyper.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::response::coding::{self, Coding};
use crate::response::json;
use crate::response::problem::{Kind, Problem, quoted};

/// The body of every response: complete in memory.
pub(crate) type Body = Full<Bytes>;

/// A set of methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Methods(u8);

impl Methods {
    pub(crate) const NONE: Self = Self(0);
    /// GET and HEAD, without a request body.
    pub(crate) const READ: Self = Self(3);
    pub(crate) const POST: Self = Self(4);
    pub(crate) const PUT: Self = Self(8);
    pub(crate) const DELETE: Self = Self(16);

    /// In the order of the bits.
    const NAMES: [&'static str; 5] = ["GET", "HEAD", "POST", "PUT", "DELETE"];

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn contains(self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        let named = Self::NAMES.into_iter().enumerate();
        named.filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| name)
    }

    /// The names as the value of a header.
    pub(crate) fn text(self) -> String {
        self.names().collect::<Vec<_>>().join(", ")
    }

    /// The problem of another method.
    pub(crate) fn refuse(self, got: &str) -> Problem {
        let detail = format!("the method must be one of {}, got {}", self.text(), quoted(got));
        Problem::new(Kind::MethodNotAllowed, detail).allowed("", self.names())
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const FALSE: HeaderValue = HeaderValue::from_static("false");
const MODEL: HeaderName = HeaderName::from_static("x-sparrow-model");
const DEGRADED: HeaderName = HeaderName::from_static("x-sparrow-degraded");
const EXPERIMENTS: HeaderName = HeaderName::from_static("x-sparrow-experiments");
const RECOMMENDATION_ID: HeaderName = HeaderName::from_static("x-sparrow-recommendation-id");
/// RFC 6750.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"sparrow\"");
const INVALID_CHALLENGE: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"sparrow\", error=\"invalid_token\"");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// An answer before it becomes a response.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
    model: Option<(HeaderValue, bool)>,
    /// Why the answer is not what was asked for, for the access log.
    reason: Option<&'static str>,
    /// Headers of this answer alone.
    more: Vec<(HeaderName, HeaderValue)>,
}

impl Reply {
    /// A JSON document.
    pub(crate) fn json(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, JSON, body)
    }

    /// A value as JSON.
    pub(crate) fn serialized(value: &impl Serialize) -> Self {
        Self::json(json::document(value))
    }

    /// Anything else.
    pub(crate) fn new(
        status: StatusCode,
        content_type: HeaderValue,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            model: None,
            reason: None,
            more: Vec::new(),
        }
    }

    /// Adds headers with the model that answered, and whether it is another than the requested one: the arrays of
    /// SparrowRecSys' endpoints cannot contain them.
    pub(crate) fn with_model(mut self, model: HeaderValue, degraded: bool) -> Self {
        self.model = Some((model, degraded));
        self
    }

    /// Sets the reason for the access log.
    pub(crate) fn with_reason(mut self, reason: Option<&'static str>) -> Self {
        self.reason = reason;
        self
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The model that answered, and whether it is another than the requested one.
    pub(crate) fn model(&self) -> Option<(&str, bool)> {
        let (model, degraded) = self.model.as_ref()?;
        Some((model.to_str().ok()?, *degraded))
    }

    /// The reason for the access log.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// Adds a header with the id of an answer with recommendations.
    pub(crate) fn with_recommendation_id(self, id: String) -> Self {
        match HeaderValue::from_maybe_shared(Bytes::from(id)) {
            Ok(id) => self.with(RECOMMENDATION_ID, id),
            Err(_) => self,
        }
    }

    /// Adds a header with the experiments of the answer, if there are any.
    pub(crate) fn with_experiments(self, experiments: Option<String>) -> Self {
        match experiments.map(|names| HeaderValue::from_maybe_shared(Bytes::from(names))) {
            Some(Ok(names)) => self.with(EXPERIMENTS, names),
            _ => self,
        }
    }

    #[cfg(test)]
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.push((name, value));
        self
    }

    /// Sets a header, also if it is there already.
    pub(crate) fn set(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more.retain(|(known, _)| *known != name);
        self.with(name, value)
    }

    /// Adds the headers of a web page.
    pub(crate) fn with_page_policies(self) -> Self {
        self.with(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY))
            .with(REFERRER_POLICY, HeaderValue::from_static("same-origin"))
            .with(OPENER_POLICY, HeaderValue::from_static("same-origin"))
    }

    /// Adds a validator and the rules for caches; the answer is 304 without a body if the client has this
    /// version.
    pub(crate) fn cached(
        mut self,
        etag: &HeaderValue,
        control: &'static str,
        headers: &HeaderMap,
    ) -> Self {
        if self.status == StatusCode::OK && has_version(headers, etag) {
            self.status = StatusCode::NOT_MODIFIED;
            self.body = Bytes::new();
        }
        self.with(ETAG, etag.clone()).with(CACHE_CONTROL, HeaderValue::from_static(control))
    }

    /// Compresses the body with the coding that the client prefers, unless it is short or compressed already.
    pub(crate) fn compressed(mut self, headers: &HeaderMap) -> Self {
        if self.body.len() < coding::SHORTEST || !coding::is_compressible(&self.content_type) {
            return self;
        }
        if let Some(coding) = Coding::accepted(headers)
            && let Ok(body) = coding.compress(&self.body)
        {
            self.body = body;
            for (name, value) in &mut self.more {
                // Strong validators are of the same bytes.
                if *name == ETAG && !value.as_bytes().starts_with(b"W/") {
                    let weak = [b"W/", value.as_bytes()].concat();
                    *value = HeaderValue::from_bytes(&weak).unwrap_or_else(|_| value.clone());
                }
            }
            self = self.with(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        self.varying_by("accept-encoding")
    }

    /// Adds a request header on which the answer depends.
    pub(crate) fn varying_by(mut self, header: &'static str) -> Self {
        match self.more.iter_mut().find(|(name, _)| *name == VARY) {
            Some((_, value)) => {
                let all = [value.as_bytes(), b", ", header.as_bytes()].concat();
                *value = HeaderValue::from_bytes(&all).unwrap_or_else(|_| value.clone());
                self
            }
            None => self.with(VARY, HeaderValue::from_static(header)),
        }
    }

    /// Whether the answer has a header of its own with this name.
    pub(crate) fn has(&self, name: &HeaderName) -> bool {
        self.more.iter().any(|(known, _)| known == name)
    }

    /// Replaces the body.
    pub(crate) fn map_body<E>(
        mut self,
        change: impl FnOnce(Bytes) -> Result<Bytes, E>,
    ) -> Result<Self, E> {
        self.body = change(std::mem::take(&mut self.body))?;
        Ok(self)
    }

    /// The response. `headers` is a map whose memory is reused: that of the request.
    pub(crate) fn into_response(self, mut headers: HeaderMap, close: bool) -> Response<Body> {
        headers.clear();
        if !matches!(self.status, StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) {
            headers.insert(CONTENT_TYPE, self.content_type);
        }
        headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        if let Some((model, degraded)) = self.model {
            headers.insert(MODEL, model);
            headers.insert(DEGRADED, if degraded { TRUE } else { FALSE });
        }
        headers.extend(self.more);
        if close {
            headers.insert(CONNECTION, CLOSE);
        }
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

impl Reply {
    /// The document of a problem of the request with this id, and with the id of its trace if it is traced.
    pub(crate) fn problem(
        problem: &Problem,
        request_id: Option<&str>,
        trace_id: Option<&str>,
    ) -> Self {
        let document = problem.to_json(request_id, trace_id);
        let reply = Self::new(problem.kind().status(), PROBLEM, document);
        match problem.kind() {
            Kind::MethodNotAllowed => {
                let methods = HeaderValue::try_from(problem.allowed_names().join(", "));
                reply.with(ALLOW, methods.unwrap_or(HeaderValue::from_static("")))
            }
            Kind::Unauthorized => reply.with(WWW_AUTHENTICATE, CHALLENGE),
            Kind::InvalidCredentials => reply.with(WWW_AUTHENTICATE, INVALID_CHALLENGE),
            Kind::Unavailable => reply.with(RETRY_AFTER, HeaderValue::from_static("1")),
            _ => reply,
        }
    }
}

/// A problem as a whole HTTP/1.1 message that ends the connection, to be written without hyper.
pub(crate) fn raw(problem: &Problem) -> Vec<u8> {
    let status = problem.kind().status();
    let body = problem.to_json(None, None);
    let mut out = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\n\
         x-content-type-options: nosniff\r\nconnection: close\r\ncontent-length: {}\r\ndate: {}\r\n",
        status.as_str(),
        status.canonical_reason().unwrap_or_default(),
        body.len(),
        httpdate::fmt_http_date(std::time::SystemTime::now()),
    )
    .into_bytes();
    if problem.kind() == Kind::Unavailable {
        out.extend_from_slice(b"retry-after: 1\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    out
}

/// Whether `If-None-Match` contains this version, by the weak comparison of RFC 9110.
fn has_version(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let strong = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let own = strong(etag.as_bytes());
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|list| list.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || strong(tag) == own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_lists() {
        let etag = HeaderValue::from_static("\"abc\"");
        for (sent, same) in [
            ("\"abc\"", true),
            ("W/\"abc\"", true),
            ("\"x\", \"abc\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("abc", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(sent));
            assert_eq!(has_version(&headers, &etag), same, "{sent}");
        }
        assert!(!has_version(&HeaderMap::new(), &etag));
    }
}
