//! Refuses what no endpoint takes: long URLs, large headers, unexpected bodies, a missing host. Reads bodies.

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::Version;
use hyper::body::{Body as _, Incoming};
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use tokio::time::timeout;

use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::Methods;
use crate::state::options::Options;

/// The size of the largest request body, in bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;

/// What the headers contain about the framing of a request, collected in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// The size of all names and values.
    header_bytes: usize,
    hosts: usize,
    /// Whether the request has a body that was not read: the connection is closed after the answer.
    pub(crate) has_body: bool,
    /// Whether a body in chunks follows, which may be empty.
    chunked: bool,
}

impl Framing {
    pub(crate) fn of(parts: &Parts) -> Self {
        let mut framing = Self { header_bytes: 0, hosts: 0, has_body: false, chunked: false };
        for (name, value) in &parts.headers {
            // Four bytes a line for the colon, the space and the line end.
            framing.header_bytes += name.as_str().len() + value.len() + 4;
            if name == HOST {
                framing.hosts += 1;
            } else if name == CONTENT_LENGTH {
                framing.has_body |= value.as_bytes().iter().any(|&digit| digit != b'0');
            } else if name == TRANSFER_ENCODING {
                framing.chunked = true;
            }
        }
        framing
    }

    /// Reads the body of a request to an endpoint that takes one.
    pub(crate) async fn read_body(
        &mut self,
        parts: &Parts,
        body: &mut Incoming,
        options: &Options,
    ) -> Result<Vec<u8>, Problem> {
        self.has_body |= self.chunked;
        check_media_type(parts)?;
        let too_large = || {
            let detail = format!("the request body may have {MAX_BODY} bytes");
            Problem::new(Kind::BodyTooLarge, detail)
        };
        if body.size_hint().lower() > MAX_BODY as u64 {
            return Err(too_large());
        }
        let limit = options.body_timeout;
        match timeout(limit, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(collected)) => {
                self.has_body = false;
                let mut bytes = Vec::from(collected.to_bytes());
                // The stream has replaced line ends without a carriage return, also those of bodies. No JSON contains NUL.
                bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'\n');
                Ok(bytes)
            }
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot read a request body");
                Err(Problem::new(Kind::MalformedRequest, "the request body is not valid HTTP/1.1"))
            }
            Err(_) => {
                let detail = format!("the request body did not arrive within {limit:?}");
                Err(Problem::new(Kind::Timeout, detail))
            }
        }
    }

    /// Reads chunks up to the first content: some proxies send requests without a body with
    /// `Transfer-Encoding: chunked` and no chunk. An empty body counts as none.
    pub(crate) async fn read_empty_chunks(
        &mut self,
        body: &mut Incoming,
        options: &Options,
    ) -> Result<(), Problem> {
        if !self.chunked {
            return Ok(());
        }
        // The connection is only kept if the end of the body was read.
        self.has_body = true;
        let content = async {
            while let Some(frame) = body.frame().await {
                if frame?.data_ref().is_some_and(|data| !data.is_empty()) {
                    return Ok(true);
                }
            }
            Ok::<_, hyper::Error>(false)
        };
        match timeout(options.header_timeout, content).await {
            Ok(Ok(has_content)) => {
                self.has_body = has_content;
                Ok(())
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "cannot read a request body");
                Err(Problem::new(Kind::MalformedRequest, "the request body is not valid HTTP/1.1"))
            }
            Err(_) => {
                let limit = options.header_timeout;
                let detail = format!("the end of the request did not arrive within {limit:?}");
                Err(Problem::new(Kind::Timeout, detail))
            }
        }
    }
}

/// Refuses what is invalid at every path.
pub(crate) fn check(parts: &Parts, framing: Framing, options: &Options) -> Result<(), Problem> {
    let uri = &parts.uri;
    let uri_bytes = uri.path_and_query().map_or(0, |text| text.as_str().len())
        + uri.authority().map_or(0, |text| text.as_str().len());
    if uri_bytes > options.max_uri_bytes {
        let detail =
            format!("the URL may have {} bytes, it has {uri_bytes}", options.max_uri_bytes);
        return Err(Problem::new(Kind::UriTooLong, detail));
    }
    if framing.header_bytes > options.max_header_bytes {
        let detail = format!(
            "the headers may have {} bytes in all, they have {}",
            options.max_header_bytes, framing.header_bytes
        );
        return Err(Problem::new(Kind::HeadersTooLarge, detail));
    }
    if !uri.path().starts_with('/') {
        // `*` and `host:port` belong to methods that no endpoint has.
        check_method(parts, framing, Methods::READ, false)?;
        return Err(Problem::new(Kind::MalformedRequest, "the request target must be a path"));
    }
    if framing.hosts > 1 || (framing.hosts == 0 && parts.version == Version::HTTP_11) {
        let detail = format!("a request must have one Host header, this one has {}", framing.hosts);
        return Err(Problem::new(Kind::MalformedRequest, detail));
    }
    Ok(())
}

/// Refuses bodies that are not JSON.
fn check_media_type(parts: &Parts) -> Result<(), Problem> {
    const JSON: &str = "application/json";
    let refuse = |name: &str, got: Option<&HeaderValue>| {
        let got =
            got.map_or("none".to_owned(), |got| quoted(&String::from_utf8_lossy(got.as_bytes())));
        let detail =
            format!("the request body must be {JSON} without an encoding, got {name} {got}");
        Err(Problem::new(Kind::UnsupportedMediaType, detail))
    };
    let media_type = parts.headers.get(CONTENT_TYPE);
    let text = media_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut pieces = text.split(';').map(str::trim);
    let is_json = pieces.next().is_some_and(|essence| essence.eq_ignore_ascii_case(JSON));
    let is_utf8 = |piece: &str| {
        let charset =
            piece.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
        charset.is_none_or(|(_, name)| name.trim_matches('"').eq_ignore_ascii_case("utf-8"))
    };
    if !is_json || !pieces.all(is_utf8) {
        return refuse("Content-Type", media_type);
    }
    match parts.headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => refuse("Content-Encoding", Some(encoding)),
        _ => Ok(()),
    }
}

/// Refuses methods and bodies that a path does not take.
pub(crate) fn check_method(
    parts: &Parts,
    framing: Framing,
    methods: Methods,
    takes_body: bool,
) -> Result<(), Problem> {
    if !methods.contains(parts.method.as_str()) {
        return Err(methods.refuse(parts.method.as_str()));
    }
    if framing.has_body && !takes_body {
        let detail = "this endpoint takes no request body";
        return Err(Problem::new(Kind::UnexpectedBody, detail));
    }
    Ok(())
}
