use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// How to connect to a store and use it. The defaults suit a server close to its Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The deadline of a read.
    pub deadline: Duration,
    /// The deadline of each round trip of [`all_movies`](crate::FeatureStore::all_movies) and of
    /// each batch of a push.
    pub bulk_deadline: Duration,
    /// The time that [`connect`](crate::connect) waits for a store that cannot be reached; also the
    /// limit for one connection attempt.
    pub connect_timeout: Duration,
    /// Connections to Redis, per node of a cluster.
    pub connections: usize,
    /// Whether reads of users in Redis return their live data as well
    /// ([`StoredUser::live`](crate::StoredUser::live)), in the same round trip.
    pub live: bool,
    /// The number of replicas of Redis that writes of live data wait for, over connections of their own. What was reached within
    /// a quarter of the deadline is stated with the result; fewer are no error.
    pub replicas: u32,
    /// The prefix of every key in Redis. Braces are allowed only as one hash tag, such as
    /// `{movies}:`.
    pub prefix: String,
    /// The time to live of pushed keys in Redis; `None` keeps them.
    pub ttl: Option<Duration>,
    /// Certificates (PEM) to trust for TLS, instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// The pause of a push between the announcement of a generation and the renaming of its keys:
    /// longer than the deadline of any reader.
    pub grace: Duration,
    /// The time until the lock of a killed push expires.
    pub lock: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(200),
            bulk_deadline: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            connections: 4,
            live: false,
            replicas: 0,
            prefix: String::new(),
            ttl: None,
            ca_file: None,
            grace: Duration::from_secs(1),
            lock: Duration::from_secs(10),
        }
    }
}

impl Options {
    /// Checks the values and their relations.
    pub fn check(&self) -> Result<(), Error> {
        let fault = if self.deadline.is_zero() || self.bulk_deadline < self.deadline {
            "the store's deadline must be above zero, and its bulk deadline at least as long"
        } else if self.connect_timeout.is_zero() {
            "the store's connect timeout must be above zero"
        } else if self.connections == 0 || self.connections > 256 {
            "the store's number of connections must be from 1 to 256"
        } else if self.ttl.is_some_and(|ttl| ttl < Duration::from_mins(1)) {
            "the time to live must be at least a minute: a push must end within it"
        } else if self.grace < self.deadline {
            "the grace period of a push must not be below the deadline of reads"
        } else if self.lock < Duration::from_millis(200) {
            "the lock of a push must last at least 200 ms"
        } else if !is_valid_prefix(&self.prefix) {
            "the key prefix must be at most 200 printable characters, with braces only as one hash tag"
        } else {
            return Ok(());
        };
        Err(Error::Configuration(fault.to_owned()))
    }
}

fn is_valid_prefix(prefix: &str) -> bool {
    if prefix.len() > 200 || prefix.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return false;
    }
    let braces: String = prefix.chars().filter(|c| matches!(c, '{' | '}')).collect();
    braces.is_empty() || (braces == "{}" && !prefix.contains("{}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_would_separate_a_key_from_its_staged_key_are_rejected() {
        for valid in ["", "movies:", "{movies}:", "a{b}c", "étoile*"] {
            assert!(is_valid_prefix(valid), "{valid}");
        }
        for invalid in ["{", "}", "}{", "{}", "a{}b", "{a}{b}", "{{a}", "a b", "a\n"] {
            assert!(!is_valid_prefix(invalid), "{invalid}");
        }
        assert!(Options::default().check().is_ok());
        let short = Options { grace: Duration::from_millis(1), ..Options::default() };
        assert!(short.check().is_err());
    }
}
