//! Who may change data.

use hyper::header::{HOST, ORIGIN};
use hyper::http::request::Parts;

use crate::response::problem::{Kind, Problem, quoted};

/// Refuses a change of data if the server accepts none, or if a web page of another origin sends it. Browsers send the
/// origin with every request that changes data.
pub(crate) fn check(parts: &Parts, accepts_writes: bool) -> Result<(), Problem> {
    if !accepts_writes {
        let detail = "this server listens beyond loopback and accepts no writes; set open_writes = true in [live] of \
                      the configuration to accept those of everybody";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let Some(origin) = parts.headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    if own.is_none() || own != host {
        let detail = format!("web pages of {} must not change data of this server", quoted(origin));
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    Ok(())
}
