//! Problem documents (RFC 9457): the only place that maps failures to status codes.

use hyper::StatusCode;
use serde::Serialize;
use sparrow_model::nearest_name;

use crate::response::json;
use crate::response::schema::{Schema, TEXT, json_type};

/// The kinds of problems; each has its own `type` in the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    MalformedRequest,
    InvalidParameter,
    MissingParameter,
    RepeatedParameter,
    UnknownParameter,
    NotFound,
    MethodNotAllowed,
    Timeout,
    UnexpectedBody,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidBody,
    UriTooLong,
    HeadersTooLarge,
    Internal,
    Unavailable,
    /// The server does not accept the change, or not from this client.
    Forbidden,
    /// The request has no credentials, and needs some.
    Unauthorized,
    InvalidCredentials,
    /// An idempotency key was used for another request.
    KeyReused,
    TooManyRatings,
    /// By this key or address.
    TooManyRequests,
    HttpVersion,
    MisdirectedRequest,
}

impl Kind {
    const fn definition(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::MalformedRequest => {
                (StatusCode::BAD_REQUEST, "malformed-request", "The request is malformed")
            }
            Self::InvalidParameter => {
                (StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter has an invalid value")
            }
            Self::MissingParameter => {
                (StatusCode::BAD_REQUEST, "missing-parameter", "A required parameter is missing")
            }
            Self::RepeatedParameter => {
                (StatusCode::BAD_REQUEST, "repeated-parameter", "A parameter is given twice")
            }
            Self::UnknownParameter => {
                (StatusCode::BAD_REQUEST, "unknown-parameter", "There is no such parameter")
            }
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing here"),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The method is not supported here",
            ),
            Self::Timeout => {
                (StatusCode::REQUEST_TIMEOUT, "request-timeout", "The request took too long")
            }
            Self::UnexpectedBody => {
                (StatusCode::PAYLOAD_TOO_LARGE, "unexpected-body", "The request has a body")
            }
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The request body is too large")
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The request body has an unsupported type",
            ),
            Self::InvalidBody => {
                (StatusCode::BAD_REQUEST, "invalid-body", "The request body is invalid")
            }
            Self::UriTooLong => (StatusCode::URI_TOO_LONG, "uri-too-long", "The URL is too long"),
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers-too-large",
                "The request headers are too large",
            ),
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server has failed")
            }
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The server cannot answer right now",
            ),
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "forbidden", "The server does not accept this")
            }
            Self::Unauthorized => {
                (StatusCode::UNAUTHORIZED, "unauthorized", "The request needs credentials")
            }
            Self::InvalidCredentials => {
                (StatusCode::UNAUTHORIZED, "invalid-credentials", "The credentials are not valid")
            }
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "key-reused",
                "The idempotency key was used for another request",
            ),
            Self::TooManyRatings => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-ratings",
                "The user has too many live ratings",
            ),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-requests",
                "The client sends too many requests",
            ),
            Self::HttpVersion => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "http-version-not-supported",
                "The HTTP version is not supported",
            ),
            Self::MisdirectedRequest => (
                StatusCode::MISDIRECTED_REQUEST,
                "misdirected-request",
                "The request is for another host",
            ),
        }
    }

    /// The status code.
    pub(crate) const fn status(self) -> StatusCode {
        self.definition().0
    }
}

/// Why a request fails. Boxed, so that successful results stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(Box<Contents>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Contents {
    kind: Kind,
    detail: String,
    parameter: Option<String>,
    allowed: Vec<String>,
    nearest: Option<String>,
    /// The results of the changes of a request, as JSON.
    items: Option<serde_json::Value>,
}

impl Problem {
    /// A problem with its detail: a sentence fragment that names what is wrong.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Contents {
            kind,
            detail: detail.into(),
            parameter: None,
            allowed: Vec::new(),
            nearest: None,
            items: None,
        }))
    }

    /// Nothing exists under this path or id.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// Adds the name of the parameter that is wrong.
    pub(crate) fn parameter(mut self, name: &str) -> Self {
        self.0.parameter = Some(shortened(name));
        self
    }

    /// Adds the name of the parameter if nothing exists under its value; other problems are not its fault.
    pub(crate) fn not_found_by(self, name: &str) -> Self {
        if self.kind() == Kind::NotFound { self.parameter(name) } else { self }
    }

    /// Adds what is allowed instead of `got`, and the most similar of it.
    pub(crate) fn allowed<'a>(
        mut self,
        got: &str,
        allowed: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.0.allowed = allowed.into_iter().map(str::to_owned).collect();
        let names = self.0.allowed.iter().map(String::as_str);
        self.0.nearest = nearest_name(got, names).map(|nearest| nearest.name.to_owned());
        self
    }

    /// Adds the results of the changes of the request.
    pub(crate) fn with_items(mut self, items: impl Serialize) -> Self {
        self.0.items = serde_json::to_value(items).ok();
        self
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    pub(crate) fn parameter_name(&self) -> Option<&str> {
        self.0.parameter.as_deref()
    }

    pub(crate) fn allowed_names(&self) -> &[String] {
        &self.0.allowed
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The document, of a request with this id.
    pub(crate) fn to_json(&self, request_id: Option<&str>, trace_id: Option<&str>) -> Vec<u8> {
        let Contents { kind, detail, parameter, allowed, nearest, items } = &*self.0;
        let (status, name, title) = kind.definition();
        json::document(&Document {
            r#type: &format!("/problems/{name}"),
            title,
            status: status.as_u16(),
            detail,
            parameter: parameter.as_deref(),
            allowed,
            nearest: nearest.as_deref(),
            items: items.as_ref(),
            request_id,
            trace_id,
        })
    }
}

json_type! {
    /// A problem document of RFC 9457.
    pub(crate) struct Document<'a> as "Problem" {
        /// Which kind of problem it is.
        r#type / "type": &'a str = Schema::Formatted("uri-reference"),
        title / "title": &'a str = TEXT,
        status / "status": u16 = Schema::Integer { least: 400, most: Some(599) },
        detail / "detail": &'a str = TEXT,
        /// The parameter, or the field of the request body, that it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter / "parameter": Option<&'a str> = Schema::Optional(&TEXT),
        /// The values, names or methods that are allowed.
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        allowed / "allowed": &'a [String] = Schema::Optional(&Schema::NonEmpty(&TEXT)),
        /// The allowed one that is most similar to what was sent.
        #[serde(skip_serializing_if = "Option::is_none")]
        nearest / "nearest": Option<&'a str> = Schema::Optional(&TEXT),
        /// The result of each change, if some changes of a request may have been accepted.
        #[serde(skip_serializing_if = "Option::is_none")]
        items / "items": Option<&'a serde_json::Value> = Schema::Optional(&Schema::List(&Schema::Anything)),
        /// The id of the request, as in the header `X-Request-Id`.
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id / "requestId": Option<&'a str> = Schema::Optional(&TEXT),
        /// The id of the trace, if the request is traced.
        #[serde(skip_serializing_if = "Option::is_none")]
        trace_id / "traceId": Option<&'a str> = Schema::Optional(&TEXT),
    }
}

/// A shortened text of a client, in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 64;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_problem_becomes_a_document() {
        let problem = Problem::new(Kind::InvalidParameter, "no \"horor\"")
            .parameter("genre")
            .allowed("horor", ["Comedy", "Horror"]);
        let document: serde_json::Value =
            serde_json::from_slice(&problem.to_json(None, None)).unwrap();
        let expected = serde_json::json!({
            "type": "/problems/invalid-parameter",
            "title": "A parameter has an invalid value",
            "status": 400,
            "detail": "no \"horor\"",
            "parameter": "genre",
            "allowed": ["Comedy", "Horror"],
            "nearest": "Horror",
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn long_input_is_shortened_at_a_character() {
        assert_eq!(quoted("é"), "\"é\"");
        let long = quoted(&"é".repeat(500));
        assert_eq!(long.chars().count(), 64 + 3);
    }
}
