use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::Error;

/// Where a store is, as `--store` takes it:
///
/// * `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS;
/// * `redis-cluster://[user:password@]host[:port][,host[:port]…]`, `rediss-cluster://…` for TLS: some of
///   the nodes, the others are found through them;
/// * `file:PATH`;
/// * `memory`.
///
/// Special characters in user and password are percent-encoded. Printing it, also for debugging,
/// leaves both out.
///
/// ```
/// let location: sparrow_store::Location = "redis://me:s%3Acret@localhost/2".parse()?;
/// assert_eq!(location.to_string(), "redis://localhost:6379/2");
/// # Ok::<(), sparrow_store::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// Redis, or a Redis Cluster.
    Redis(RedisLocation),
    /// A file.
    File(PathBuf),
    /// This process.
    Memory,
}

/// Where Redis is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisLocation {
    pub(crate) tls: bool,
    pub(crate) cluster: bool,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// At least one; exactly one without `cluster`.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) database: u8,
}

const DEFAULT_PORT: u16 = 6379;

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("file:") {
            // `file:///var/lib/x` means the same as `file:/var/lib/x`.
            let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
            if path.is_empty() {
                return Err(fault("a path belongs behind \"file:\""));
            }
            return Ok(Self::File(PathBuf::from(path)));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fault(
                "it starts with redis://, rediss://, redis-cluster://, rediss-cluster:// or file:, or is \"memory\"",
            ));
        };
        let (tls, cluster) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis-cluster" => (false, true),
            "rediss-cluster" => (true, true),
            _ => {
                return Err(fault(
                    "its scheme is redis, rediss, redis-cluster, rediss-cluster or file",
                ));
            }
        };
        RedisLocation::parse(rest, tls, cluster).map(Self::Redis)
    }
}

impl RedisLocation {
    fn parse(rest: &str, tls: bool, cluster: bool) -> Result<Self, Error> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, "")))
        {
            None => (None, None),
            Some((name, password)) => (decoded(name)?, decoded(password)?),
        };
        if username.is_some() && password.is_none() {
            return Err(fault("a password belongs behind the user, as in user:password@host"));
        }
        let hosts: Vec<_> = hosts.split(',').map(host_and_port).collect::<Result<_, _>>()?;
        if hosts.len() > 1 && !cluster {
            return Err(fault("several hosts are for redis-cluster://"));
        }
        let database = match path {
            "" => 0,
            number => number.parse().map_err(|_| {
                fault("behind the host comes the number of a database, from 0 to 255")
            })?,
        };
        if cluster && database != 0 {
            return Err(fault("a Redis Cluster has no databases but 0"));
        }
        Ok(Self { tls, cluster, username, password, hosts, database })
    }
}

fn decoded(text: &str) -> Result<Option<String>, Error> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| fault("user and password are percent-encoded UTF-8"))?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
fn host_and_port(text: &str) -> Result<(String, u16), Error> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) =
                rest.split_once(']').ok_or_else(|| fault("an IPv6 address ends with ]"))?;
            let port = match behind {
                "" => None,
                _ => Some(behind.strip_prefix(':').ok_or_else(|| fault("a port follows a colon"))?),
            };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(sound) {
        return Err(fault("the host is a name or an address"));
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or_else(|| fault("the port is a number from 1 to 65535"))?,
    };
    Ok((host.to_owned(), port))
}

/// Says what is wrong without quoting anything: it might be part of a password.
fn fault(what: &str) -> Error {
    Error::Configuration(format!("the store's address is wrong: {what}"))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis(redis) => redis.fmt(f),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Memory => f.write_str("memory"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RedisLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "rediss" } else { "redis" })?;
        f.write_str(if self.cluster { "-cluster://" } else { "://" })?;
        for (at, (host, port)) in self.hosts.iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            if host.contains(':') {
                write!(f, "[{host}]:{port}")?;
            } else {
                write!(f, "{host}:{port}")?;
            }
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl fmt::Debug for RedisLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redis(text: &str) -> RedisLocation {
        match text.parse().unwrap() {
            Location::Redis(redis) => redis,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn addresses_are_understood_and_print_without_their_secrets() {
        for (text, printed) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://h", "redis://h:6379"),
            ("redis://h/", "redis://h:6379"),
            ("rediss://u:p@h:1/3", "rediss://h:1/3"),
            ("redis://:p@[::1]:7", "redis://[::1]:7"),
            (
                "redis-cluster://a:1,b,[fe80::1%25eth0]:3",
                "redis-cluster://a:1,b:6379,[fe80::1%25eth0]:3",
            ),
            ("rediss-cluster://u:p@a", "rediss-cluster://a:6379"),
            ("file:data/store.redb", "file:data/store.redb"),
            ("file:///var/lib/store", "file:/var/lib/store"),
            ("memory", "memory"),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(
                (location.to_string(), format!("{location:?}")),
                (printed.into(), printed.into())
            );
        }
        let tricky = redis("redis://us%3Aer:p%40ss%2Fw%C3%B6rd@h");
        assert_eq!(tricky.username.as_deref(), Some("us:er"));
        assert_eq!(tricky.password.as_deref(), Some("p@ss/wörd"));
        assert_eq!(redis("redis://:secret@h").password.as_deref(), Some("secret"));
        assert_eq!(redis("redis://:secret@h").username, None);
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting() {
        for text in [
            "",
            "redis",
            "http://h",
            "redis:secret",
            "redis://",
            "redis://h:0",
            "redis://h:99999",
            "redis://u@h",
            "redis://h/secret",
            "redis://secret h",
            "redis://a,b",
            "redis-cluster://a/1",
            "file:",
            "redis://u:%ff@h",
            "redis://[::1",
            "redis://[::1]6379",
            "redis://u:secret/x@h:1",
            "secret://h",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{text}: {error}");
            assert!(matches!(error, Error::Configuration(_)));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_password_is_printed(text in ".{0,40}", password in "[a-z]{12}") {
            let _ = text.parse::<Location>();
            let location: Location = format!("redis://user:{password}@h").parse().unwrap();
            let printed = format!("{location} {location:?}");
            prop_assert!(!printed.contains(&password));
        }
    }
}
