//! Problem documents (RFC 9457): the one place where failures become status codes.

use hyper::StatusCode;

use crate::json;

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
    UriTooLong,
    HeadersTooLarge,
    Internal,
    Unavailable,
    HttpVersion,
    MisdirectedRequest,
}

impl Kind {
    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
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
        self.facts().0
    }
}

/// Why a request is not answered as asked. Boxed, so that results stay small where all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(Box<Facts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    kind: Kind,
    detail: String,
    parameter: Option<String>,
    allowed: Vec<String>,
    nearest: Option<String>,
}

impl Problem {
    /// A problem with a sentence fragment that names the thing.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            kind,
            detail: detail.into(),
            parameter: None,
            allowed: Vec::new(),
            nearest: None,
        }))
    }

    /// Nothing exists under this path or id.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, detail)
    }

    /// Says which parameter it is about.
    pub(crate) fn parameter(mut self, name: &str) -> Self {
        self.0.parameter = Some(shortened(name));
        self
    }

    /// The same where the parameter names something that there is not; other problems are not the
    /// parameter's.
    pub(crate) fn about(self, name: &str) -> Self {
        if self.kind() == Kind::NotFound { self.parameter(name) } else { self }
    }

    /// Says what is allowed instead of `got`, and which of it is most like that.
    pub(crate) fn allowed<'a>(
        mut self,
        got: &str,
        allowed: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        self.0.allowed = allowed.into_iter().map(str::to_owned).collect();
        self.0.nearest = nearest(got, &self.0.allowed);
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The document.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let Facts { kind, detail, parameter, allowed, nearest } = &*self.0;
        let (status, name, title) = kind.facts();
        let mut out = Vec::with_capacity(192 + detail.len());
        out.extend_from_slice(b"{\"type\":\"/problems/");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\",\"title\":");
        json::string(&mut out, title);
        out.extend_from_slice(b",\"status\":");
        json::integer(&mut out, status.as_u16());
        out.extend_from_slice(b",\"detail\":");
        json::string(&mut out, detail);
        if let Some(parameter) = parameter {
            out.extend_from_slice(b",\"parameter\":");
            json::string(&mut out, parameter);
        }
        if !allowed.is_empty() {
            out.extend_from_slice(b",\"allowed\":");
            json::strings(&mut out, allowed.iter().map(String::as_str));
        }
        if let Some(nearest) = nearest {
            out.extend_from_slice(b",\"nearest\":");
            json::string(&mut out, nearest);
        }
        out.push(b'}');
        out
    }
}

/// The most similar of the candidates, where one is similar at all.
fn nearest(got: &str, candidates: &[String]) -> Option<String> {
    // Comparing is quadratic in the lengths, and nobody misspells a name at such length.
    if got.len() > 64 {
        return None;
    }
    let got = got.to_lowercase();
    candidates
        .iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&got, &name.to_lowercase()), name))
        .filter(|(similarity, _)| *similarity >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name.clone())
}

/// What a client sent, in quotes and not longer than is useful.
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
        let document: serde_json::Value = serde_json::from_slice(&problem.to_json()).unwrap();
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
    fn only_similar_names_are_near() {
        let names = ["size".to_owned(), "model".to_owned()];
        assert_eq!(nearest("sise", &names).as_deref(), Some("size"));
        assert_eq!(nearest("MODEL", &names).as_deref(), Some("model"));
        assert_eq!(nearest("utm_source", &names), None);
        assert_eq!(nearest(&"size".repeat(1000), &names), None);
    }

    #[test]
    fn long_input_is_shortened_at_a_character() {
        assert_eq!(quoted("é"), "\"é\"");
        let long = quoted(&"é".repeat(500));
        assert_eq!(long.chars().count(), 64 + 3);
    }
}
