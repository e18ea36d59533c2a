use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// How a store is reached and used. The defaults suit a server beside its Redis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// After this a read has failed.
    pub deadline: Duration,
    /// The same for [`all_movies`](crate::FeatureStore::all_movies), for each of its round trips and
    /// each batch of a push.
    pub bulk_deadline: Duration,
    /// How long [`connect`](crate::connect) waits for a store that cannot be reached; also the limit for
    /// one attempt to connect.
    pub connect_timeout: Duration,
    /// Connections to Redis, or to each node of a cluster.
    pub connections: usize,
    /// What every key in Redis starts with; braces only as one hash tag, such as `{movies}:`.
    pub prefix: String,
    /// After this, keys that a push wrote to Redis vanish; `None` keeps them.
    pub ttl: Option<Duration>,
    /// Certificates (PEM) to trust for TLS, instead of those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long a push waits between announcing a generation and moving its keys into place: longer
    /// than any reader's deadline.
    pub grace: Duration,
    /// How long the lock of a killed push holds off the next one.
    pub lock: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(200),
            bulk_deadline: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            connections: 4,
            prefix: String::new(),
            ttl: None,
            ca_file: None,
            grace: Duration::from_secs(1),
            lock: Duration::from_secs(10),
        }
    }
}

impl Options {
    /// Whether they make sense together.
    pub fn check(&self) -> Result<(), Error> {
        let fault = if self.deadline.is_zero() || self.bulk_deadline < self.deadline {
            "the store's deadline is above zero, and that for bulk reads not below it"
        } else if self.connect_timeout.is_zero() {
            "the store's connect timeout is above zero"
        } else if self.connections == 0 || self.connections > 256 {
            "there are 1 to 256 connections to the store"
        } else if self.ttl.is_some_and(|ttl| ttl < Duration::from_mins(1)) {
            "the time to live is at least a minute: a push has to end within it"
        } else if self.grace < self.deadline {
            "the grace of a push is not below the deadline of reads"
        } else if self.lock < Duration::from_millis(200) {
            "the lock of a push holds for at least 200 ms"
        } else if !prefix_is_sound(&self.prefix) {
            "the key prefix is at most 200 printable characters, with braces only as one hash tag"
        } else {
            return Ok(());
        };
        Err(Error::Configuration(fault.to_owned()))
    }
}

fn prefix_is_sound(prefix: &str) -> bool {
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
    fn prefixes_must_leave_a_key_and_its_staged_twin_in_one_slot() {
        for sound in ["", "movies:", "{movies}:", "a{b}c", "étoile*"] {
            assert!(prefix_is_sound(sound), "{sound}");
        }
        for unsound in ["{", "}", "}{", "{}", "a{}b", "{a}{b}", "{{a}", "a b", "a\n"] {
            assert!(!prefix_is_sound(unsound), "{unsound}");
        }
        assert!(Options::default().check().is_ok());
        let short = Options { grace: Duration::from_millis(1), ..Options::default() };
        assert!(short.check().is_err());
    }
}
