//! Who may change data.

use hyper::header::{HOST, ORIGIN};
use hyper::http::request::Parts;

use crate::auth::access::Access;
use crate::policy::cors::Cors;
use crate::response::problem::{Kind, Problem, quoted};

/// Refuses a change of data if the server accepts none, or if a web page of another origin sends it. On a server with
/// credentials, `access` was checked already.
pub(crate) fn check(
    parts: &Parts,
    accepts_writes: bool,
    cors: &Cors,
    access: Option<&Access>,
) -> Result<(), Problem> {
    if access.is_none() && !accepts_writes {
        let detail = "this server listens beyond loopback and accepts no writes; add a key to [auth] of the \
                      configuration, or set open_writes = true in [live] to accept those of everybody";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let has_credentials = access.is_some_and(Access::is_explicit);
    let by_cookie = access.is_some_and(|access| access.is_cookie);
    if parts.headers.contains_key(ORIGIN) && cors.permits_writes(&parts.headers, has_credentials) {
        return Ok(());
    }
    check_origin(parts, by_cookie)
}

/// Refuses requests of web pages of another origin. Browsers send the origin with every request that is not GET or HEAD; where
/// `is_required`, a request without it is refused.
pub(crate) fn check_origin(parts: &Parts, is_required: bool) -> Result<(), Problem> {
    let Some(origin) = parts.headers.get(ORIGIN) else {
        if is_required {
            let detail = "a request with the cookie of a session must have the header Origin";
            return Err(Problem::new(Kind::Forbidden, detail));
        }
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if own.is_none() || own != host {
        let detail = format!("web pages of {} must not change data of this server", quoted(origin));
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    Ok(())
}
