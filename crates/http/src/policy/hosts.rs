//! Accepted `Host` headers: a web page whose name was bound to this server's address (DNS rebinding) sends its
//! own name.

use hyper::header::HOST;
use hyper::http::request::Parts;

use crate::response::problem::{Kind, Problem, quoted};

/// The accepted values of the `Host` header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    /// In lower case; `None` for any.
    names: Option<Vec<String>>,
}

impl Hosts {
    /// Any name.
    pub const ANY: Self = Self { names: None };

    /// These names or addresses, without a port; `*` allows any. The error names the first invalid one.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut list = Vec::new();
        for name in names {
            if name == "*" {
                return Ok(Self::ANY);
            }
            if name.is_empty() || without_port(name) != name || name.contains(['/', '*', ',', ' '])
            {
                return Err(format!(
                    "{name:?} is not a host such as \"movies.example.com\" or \"[::1]\", without a port"
                ));
            }
            list.push(name.to_ascii_lowercase());
        }
        Ok(Self { names: Some(list) })
    }

    /// The names of the loopback interface.
    pub fn loopback() -> Self {
        Self { names: Some(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec()) }
    }

    /// Refuses a request for another host. A request in HTTP/1.0 may have none.
    pub(crate) fn check(&self, parts: &Parts) -> Result<(), Problem> {
        let Some(names) = &self.names else { return Ok(()) };
        let header = parts.headers.get(HOST).map(|value| value.to_str().unwrap_or_default());
        let target = parts.uri.authority().map(hyper::http::uri::Authority::as_str);
        for host in header.into_iter().chain(target) {
            let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
            if !names.contains(&name) {
                let detail = format!(
                    "this server does not answer for the host {}; if it should, add it to hosts in \
                     [server] of the configuration",
                    quoted(&name)
                );
                return Err(Problem::new(Kind::MisdirectedRequest, detail));
            }
        }
        Ok(())
    }
}

/// The host without its port: `[::1]` for `[::1]:6010`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.contains(']') && (name.ends_with(']') || !name.contains(':')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use hyper::Request;

    use super::*;

    fn allows(hosts: &Hosts, host: &str) -> bool {
        let (parts, ()) = Request::get("/").header(HOST, host).body(()).unwrap().into_parts();
        hosts.check(&parts).is_ok()
    }

    #[test]
    fn names_are_compared_without_port_and_case() {
        let loopback = Hosts::loopback();
        for host in
            ["localhost", "LocalHost:6010", "127.0.0.1:80", "[::1]:6010", "[::1]", "localhost."]
        {
            assert!(allows(&loopback, host), "{host}");
            assert!(allows(&Hosts::ANY, host));
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "[::2]"]
        {
            assert!(!allows(&loopback, host), "{host}");
            assert!(allows(&Hosts::ANY, host));
        }
        let own = Hosts::new(["Movies.example", "[2001:db8::1]"]).unwrap();
        assert!(allows(&own, "movies.EXAMPLE:443") && allows(&own, "[2001:db8::1]:80"));
        assert!(!allows(&own, "localhost"));
        assert_eq!(Hosts::new(["a", "*"]), Ok(Hosts::ANY));
    }

    #[test]
    fn only_hosts_are_listed() {
        for wrong in ["", "a:80", "http://a", "*.a", "[::1]:80", "a,b"] {
            assert!(Hosts::new([wrong]).is_err(), "{wrong}");
        }
    }
}
