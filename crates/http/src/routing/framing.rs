//! Refuses what no endpoint takes: long URLs, large headers, bodies, a missing host.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use tokio::time::timeout;

use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::METHODS;
use crate::state::options::Options;

/// What the headers contain about the framing of a request, collected in one pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framing {
    /// The size of all names and values.
    header_bytes: usize,
    hosts: usize,
    /// Whether the request has a body. It is not read, so the connection is closed after the answer.
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
        check_method(parts, framing)?;
        return Err(Problem::new(Kind::MalformedRequest, "the request target must be a path"));
    }
    if framing.hosts > 1 || (framing.hosts == 0 && parts.version == Version::HTTP_11) {
        let detail = format!("a request must have one Host header, this one has {}", framing.hosts);
        return Err(Problem::new(Kind::MalformedRequest, detail));
    }
    Ok(())
}

/// Refuses methods and bodies that no endpoint takes.
pub(crate) fn check_method(parts: &Parts, framing: Framing) -> Result<(), Problem> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let got = quoted(parts.method.as_str());
        let detail = format!("the method must be one of {METHODS}, got {got}");
        return Err(Problem::new(Kind::MethodNotAllowed, detail).allowed("", ["GET", "HEAD"]));
    }
    if framing.has_body {
        let detail = "no endpoint takes a request body";
        return Err(Problem::new(Kind::UnexpectedBody, detail));
    }
    Ok(())
}
