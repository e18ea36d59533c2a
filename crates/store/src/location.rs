use std::fmt;
use std::path::PathBuf;
use std::slice;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::Error;

/// The address of a store, as in `--store`:
///
/// * `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS;
/// * `redis-cluster://[user:password@]host[:port][,host[:port]…]`, `rediss-cluster://…` for TLS,
///   with some of the nodes, from which the others are discovered;
/// * `redis-sentinel://[user:password@]host[:port][,host[:port]…]/service[/database]`,
///   `rediss-sentinel://…` for TLS, with some of the sentinels and the service that they monitor;
/// * `unix://[user:password@]/path[?db=database]`: a socket of Redis on this machine;
/// * `file:PATH`;
/// * `memory`.
///
/// The database may also be written `?db=2`. Sentinels with their own password take
/// `?sentinel_user=…&sentinel_password=…`. Special characters in users and passwords are
/// percent-encoded. `Display` and `Debug` omit users and passwords.
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

/// Address and credentials of Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisLocation {
    pub(crate) tls: bool,
    pub(crate) topology: Topology,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u8,
}

/// How the servers are found.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server.
    Server(Host),
    /// Some nodes of a cluster.
    Cluster(Vec<Host>),
    /// Some sentinels, and the service that they monitor.
    Sentinel {
        hosts: Vec<Host>,
        service: String,
        username: Option<String>,
        password: Option<String>,
    },
    /// One server, by its Unix socket.
    Socket(PathBuf),
}

/// Name or address, and port.
pub(crate) type Host = (String, u16);

const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

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
                return Err(fault("a path must follow \"file:\""));
            }
            return Ok(Self::File(PathBuf::from(path)));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(fault(&format!(
                "it must start with {}, followed by ://, or with file:, or be \"memory\"",
                SCHEMES.map(|(scheme, ..)| scheme).join(", ")
            )));
        };
        let Some(&(_, tls, form)) = SCHEMES.iter().find(|(known, ..)| *known == scheme) else {
            return Err(fault(&format!(
                "its scheme must be {} or file",
                SCHEMES.map(|(scheme, ..)| scheme).join(", ")
            )));
        };
        RedisLocation::parse(rest, tls, form).map(Self::Redis)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Server,
    Cluster,
    Sentinel,
    Socket,
}

const SCHEMES: [(&str, bool, Form); 7] = [
    ("redis", false, Form::Server),
    ("rediss", true, Form::Server),
    ("redis-cluster", false, Form::Cluster),
    ("rediss-cluster", true, Form::Cluster),
    ("redis-sentinel", false, Form::Sentinel),
    ("rediss-sentinel", true, Form::Sentinel),
    ("unix", false, Form::Socket),
];

impl RedisLocation {
    fn parse(rest: &str, tls: bool, form: Form) -> Result<Self, Error> {
        if form != Form::Socket && has_unencoded_user(rest) {
            return Err(fault(
                "special characters in user and password must be percent-encoded, for example / as %2F, \
                 @ as %40, ? as %3F, # as %23 and % as %25",
            ));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
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
            return Err(fault("a password must follow the user, as in user:password@host"));
        }
        let query = Query::parse(query)?;
        if form != Form::Sentinel && (query.user.is_some() || query.password.is_some()) {
            return Err(fault("sentinel_user and sentinel_password are for redis-sentinel://"));
        }
        let name = path.strip_prefix('/').unwrap_or(path);
        let (topology, number) = match form {
            Form::Socket if !cfg!(unix) => return Err(no_sockets()),
            Form::Socket if !hosts.is_empty() || name.is_empty() => {
                return Err(fault(
                    "the path of a socket must be absolute, as in unix:///run/redis.sock",
                ));
            }
            Form::Socket => {
                (Topology::Socket(PathBuf::from(decoded(path)?.unwrap_or_default())), "")
            }
            Form::Server => {
                let mut hosts = hosts_in(hosts, DEFAULT_PORT)?;
                match (hosts.pop(), hosts.is_empty()) {
                    (Some(host), true) => (Topology::Server(host), name),
                    _ => return Err(fault("several hosts are for redis-cluster://")),
                }
            }
            Form::Cluster => (Topology::Cluster(hosts_in(hosts, DEFAULT_PORT)?), name),
            Form::Sentinel => {
                let (service, number) = name.split_once('/').unwrap_or((name, ""));
                let Some(service) = decoded(service)? else {
                    return Err(fault(
                        "the service must follow the sentinels, as in host/mymaster",
                    ));
                };
                let hosts = hosts_in(hosts, SENTINEL_PORT)?;
                let Query { user: username, password, .. } = query.clone();
                (Topology::Sentinel { hosts, service, username, password }, number)
            }
        };
        let database = match (number, query.database) {
            ("", database) => database.unwrap_or(0),
            (number, database) => {
                let number = database_in(number)?;
                if database.is_some_and(|database| database != number) {
                    return Err(fault("it contains two databases"));
                }
                number
            }
        };
        if form == Form::Cluster && database != 0 {
            return Err(fault("the database of a Redis Cluster must be 0"));
        }
        Ok(Self { tls, topology, username, password, database })
    }

    /// The hosts in the address; none for a socket.
    pub(crate) fn hosts(&self) -> &[Host] {
        match &self.topology {
            Topology::Server(host) => slice::from_ref(host),
            Topology::Cluster(hosts) | Topology::Sentinel { hosts, .. } => hosts,
            Topology::Socket(_) => &[],
        }
    }

    /// Whether keys are spread over several servers.
    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self.topology, Topology::Cluster(_))
    }
}

/// Whether a user or password contains an unencoded character that ends it, so that the text before
/// it is not a host.
fn has_unencoded_user(rest: &str) -> bool {
    let Some((start, behind)) = rest.split_once(['/', '?', '#']) else { return false };
    behind.contains('@') && !start.contains('@') && hosts_in(start, DEFAULT_PORT).is_err()
}

/// The parameters after the question mark.
#[derive(Clone, Default)]
struct Query {
    database: Option<u8>,
    user: Option<String>,
    password: Option<String>,
}

impl Query {
    fn parse(text: &str) -> Result<Self, Error> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("db", number)) => query.database = Some(database_in(number)?),
                Some(("sentinel_user", user)) => query.user = decoded(user)?,
                Some(("sentinel_password", password)) => query.password = decoded(password)?,
                _ => {
                    return Err(fault(
                        "the parameters after a question mark are db, sentinel_user and sentinel_password",
                    ));
                }
            }
        }
        Ok(query)
    }
}

fn database_in(text: &str) -> Result<u8, Error> {
    text.parse().map_err(|_| fault("a database must be a number from 0 to 255"))
}

fn hosts_in(text: &str, port: u16) -> Result<Vec<Host>, Error> {
    text.split(',').map(|host| host_and_port(host, port)).collect()
}

fn decoded(text: &str) -> Result<Option<String>, Error> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| fault("user and password must be percent-encoded UTF-8"))?;
    Ok((!text.is_empty()).then(|| text.into_owned()))
}

/// `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
fn host_and_port(text: &str, default_port: u16) -> Result<Host, Error> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) =
                rest.split_once(']').ok_or_else(|| fault("an IPv6 address must end with ]"))?;
            let port = match behind {
                "" => None,
                _ => Some(
                    behind.strip_prefix(':').ok_or_else(|| fault("a port must follow a colon"))?,
                ),
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
        return Err(fault("the host must be a name or an address"));
    }
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse()
            .ok()
            .filter(|&port| port != 0)
            .ok_or_else(|| fault("the port must be a number from 1 to 65535"))?,
    };
    Ok((host.to_owned(), port))
}

/// The error for a Unix socket on an unsupported platform.
pub(crate) fn no_sockets() -> Error {
    fault("unix:// is not supported on this platform")
}

/// An error that does not quote the address, which might contain a password.
fn fault(what: &str) -> Error {
    Error::Configuration(format!("the store's address is invalid: {what}"))
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
        let (form, service) = match &self.topology {
            Topology::Server(_) => ("", None),
            Topology::Cluster(_) => ("-cluster", None),
            Topology::Sentinel { service, .. } => ("-sentinel", Some(service)),
            Topology::Socket(path) => {
                write!(f, "unix://{}", path.display())?;
                return match self.database {
                    0 => Ok(()),
                    number => write!(f, "?db={number}"),
                };
            }
        };
        write!(f, "{}{form}://", if self.tls { "rediss" } else { "redis" })?;
        for (at, (host, port)) in self.hosts().iter().enumerate() {
            f.write_str(if at > 0 { "," } else { "" })?;
            if host.contains(':') {
                write!(f, "[{host}]:{port}")?;
            } else {
                write!(f, "{host}:{port}")?;
            }
        }
        if let Some(service) = service {
            write!(f, "/{service}")?;
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
    fn addresses_are_parsed_and_printed_without_passwords() {
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
            ("redis://h?db=2", "redis://h:6379/2"),
            ("redis://u:p@h/2?db=2", "redis://h:6379/2"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("unix://u:p@/run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
            ("redis-sentinel://:p@a,b:2/films", "redis-sentinel://a:26379,b:2/films"),
            (
                "rediss-sentinel://a/films/3?sentinel_user=u&sentinel_password=secret",
                "rediss-sentinel://a:26379/films/3",
            ),
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
    fn errors_do_not_quote_the_address() {
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
            "redis://h/1?db=2",
            "redis://h?secret=2",
            "redis://h?sentinel_password=secret",
            "redis-sentinel://h",
            "redis-sentinel://h/service/secret",
            "unix://h/run/redis.sock",
            "unix://",
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert!(!error.to_string().contains("secret"), "{text}: {error}");
            assert!(matches!(error, Error::Configuration(_)));
        }
    }

    #[test]
    fn errors_for_unencoded_passwords_show_the_encoding() {
        for text in [
            "redis://:sJ3R/abc=@host",
            "redis://user:a?b@host:6379/2",
            "rediss://user:a#b@host",
            "redis-cluster://:a/b@one,two",
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains("percent-encoded") && error.contains("%2F"), "{text}: {error}");
        }
        // Invalid for another reason, and valid.
        let error = "redis://h/@".parse::<Location>().unwrap_err().to_string();
        assert!(error.contains("must be a number from 0 to 255"), "{error}");
        assert!(redis("unix:///run/a@b.sock") == redis("unix:///run/a%40b.sock"));
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
