//! A line in JSON for a share of the requests.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ring::hmac;

use crate::auth::keys::hex;
use crate::response::json;
use crate::state::sample::Sample;
use crate::state::traces::Traced;

/// The bytes of a hashed user id that are logged.
const HASHED: usize = 8;

/// Where lines go.
pub trait AccessLines: fmt::Debug + Send + Sync {
    /// Writes a line with its end. Must not block.
    fn write(&self, line: Vec<u8>);
}

/// How user ids appear in the access log.
#[derive(Clone)]
pub enum LoggedUsers {
    /// Not at all.
    Off,
    /// As they are.
    Plain,
    /// As HMAC-SHA256 with this key, so that requests of one user can be told from others without the id.
    Hashed(Box<hmac::Key>),
}

impl LoggedUsers {
    /// Hashed with a key of any length.
    pub fn hashed(key: &[u8]) -> Self {
        Self::Hashed(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }
}

impl fmt::Debug for LoggedUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Plain => "Plain",
            Self::Hashed(_) => "Hashed",
        })
    }
}

/// The access log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// The share of the requests that are logged, from 0 to 1. Answers with a status from 500 on are always logged.
    pub sample: f64,
    /// The users.
    pub users: LoggedUsers,
    /// Whether lines contain the addresses of clients.
    pub addresses: bool,
    /// Where the lines go.
    pub lines: Arc<dyn AccessLines>,
}

/// An access log with its state.
#[derive(Debug)]
pub(crate) struct AccessLogger {
    log: AccessLog,
    sample: Sample,
    requests: AtomicU64,
}

/// What is logged of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access<'a> {
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: &'a str,
    pub(crate) trace: Option<Traced>,
    pub(crate) method: &'a str,
    /// The template of the path; empty without a route.
    pub(crate) route: &'static str,
    pub(crate) status: u16,
    pub(crate) took: Duration,
    pub(crate) model: Option<&'a str>,
    pub(crate) degraded: Option<bool>,
    pub(crate) reason: Option<&'static str>,
    pub(crate) user: Option<u32>,
}

impl AccessLogger {
    pub(crate) fn new(log: AccessLog) -> Self {
        Self { sample: Sample::new(log.sample), log, requests: AtomicU64::new(0) }
    }

    pub(crate) fn log(&self, access: &Access<'_>) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if self.sample.includes(number) || access.status >= 500 {
            self.log.lines.write(self.line(access, SystemTime::now()));
        }
    }

    fn line(&self, access: &Access<'_>, time: SystemTime) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"{\"timestamp\":");
        json::string(&mut out, &humantime::format_rfc3339_millis(time).to_string());
        let trace = access.trace.map(Traced::id);
        let mut text = |name: &str, value: &str| {
            out.push(b',');
            json::string(&mut out, name);
            out.push(b':');
            json::string(&mut out, value);
        };
        text("requestId", access.request_id);
        if let Some(address) = access.address.filter(|_| self.log.addresses) {
            text("address", &address.to_string());
        }
        if let Some(trace) = &trace {
            text("traceId", trace);
        }
        text("method", access.method);
        if !access.route.is_empty() {
            text("route", access.route);
        }
        if let Some(model) = access.model {
            text("model", model);
        }
        if let Some(reason) = access.reason {
            text("reason", reason);
        }
        if let Some(user) = access.user {
            match &self.log.users {
                LoggedUsers::Off => {}
                LoggedUsers::Plain => text("user", &user.to_string()),
                LoggedUsers::Hashed(key) => text("user", &hashed(key, user)),
            }
        }
        if let Some(degraded) = access.degraded {
            out.extend_from_slice(b",\"degraded\":");
            json::boolean(&mut out, degraded);
        }
        out.extend_from_slice(b",\"status\":");
        json::integer(&mut out, access.status);
        out.extend_from_slice(b",\"micros\":");
        json::integer(&mut out, u64::try_from(access.took.as_micros()).unwrap_or(u64::MAX));
        out.extend_from_slice(b"}\n");
        out
    }
}

fn hashed(key: &hmac::Key, user: u32) -> String {
    let tag = hmac::sign(key, user.to_string().as_bytes());
    hex(&tag.as_ref()[..HASHED])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Lines(Mutex<Vec<Vec<u8>>>);

    impl AccessLines for Lines {
        fn write(&self, line: Vec<u8>) {
            self.0.lock().unwrap().push(line);
        }
    }

    const ACCESS: Access<'_> = Access {
        address: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))),
        request_id: "a\"b",
        trace: Some(Traced { trace: 0xabc, parent: 0 }),
        method: "GET",
        route: "/v1/users/{id}",
        status: 200,
        took: Duration::from_micros(1500),
        model: Some("emb"),
        degraded: Some(true),
        reason: Some("model-failed"),
        user: Some(6),
    };

    fn logger(sample: f64, users: LoggedUsers) -> (AccessLogger, Arc<Lines>) {
        let lines = Arc::<Lines>::default();
        let log = AccessLog {
            sample,
            users,
            addresses: false,
            lines: Arc::clone(&lines) as Arc<dyn AccessLines>,
        };
        (AccessLogger::new(log), lines)
    }

    fn line(users: LoggedUsers) -> serde_json::Value {
        let (logger, _) = logger(1.0, users);
        serde_json::from_slice(&logger.line(&ACCESS, SystemTime::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn line_contains_the_request_and_the_user_only_as_configured() {
        let mut expected = serde_json::json!({
            "timestamp": "1970-01-01T00:00:00.000Z", "requestId": "a\"b",
            "traceId": "00000000000000000000000000000abc",
            "method": "GET", "route": "/v1/users/{id}",
            "status": 200, "micros": 1500, "model": "emb", "degraded": true, "reason": "model-failed",
        });
        assert_eq!(line(LoggedUsers::Off), expected);
        let hashed = line(LoggedUsers::hashed(b"key"));
        let other = line(LoggedUsers::hashed(b"other key"));
        assert_eq!(hashed["user"].as_str().unwrap().len(), 2 * HASHED);
        assert_ne!(hashed["user"], other["user"]);
        assert_eq!(hashed, line(LoggedUsers::hashed(b"key")));
        expected["user"] = "6".into();
        assert_eq!(line(LoggedUsers::Plain), expected);
        let (mut log, _) = logger(1.0, LoggedUsers::Plain);
        log.log.addresses = true;
        expected["address"] = "192.0.2.1".into();
        let line = log.line(&ACCESS, SystemTime::UNIX_EPOCH);
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap(), expected);
    }

    #[test]
    fn sample_is_the_share_of_requests_and_failures_are_always_logged() {
        for (sample, expected) in [(0.0, 0), (0.25, 250), (1.0, 1000)] {
            let (log, lines) = logger(sample, LoggedUsers::Off);
            (0..1000).for_each(|_| log.log(&ACCESS));
            let logged = lines.0.lock().unwrap().len();
            assert!(logged.abs_diff(expected) <= 2, "{sample}: {logged}");
            log.log(&Access { status: 500, ..ACCESS });
            assert_eq!(lines.0.lock().unwrap().len(), logged + 1);
        }
    }
}
