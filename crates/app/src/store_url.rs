use std::fmt;

use serde::{Deserialize, Serialize};

/// What comes before a store's address.
const SCHEMES: [&str; 4] = ["redis://", "rediss://", "redis-cluster://", "file:"];

/// The address of a feature store: `memory`, `file:PATH`, `redis://…`, `rediss://…` or
/// `redis-cluster://…`. Whoever prints it sees it without its password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl(Option<String>);

impl StoreUrl {
    /// The address with its password; `None` for `memory`.
    pub fn reveal(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self(None)
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "memory" {
            return Ok(Self(None));
        }
        if SCHEMES.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme)) {
            return Ok(Self(Some(text)));
        }
        // What was given may hold a password, so it is not repeated.
        Err("neither memory, nor an address such as redis://127.0.0.1:6379, rediss://…, \
             redis-cluster://… or file:PATH"
            .to_owned())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(url) = &self.0 else { return f.write_str("memory") };
        let Some((scheme, rest)) = url.split_once("://") else { return f.write_str(url) };
        // A password may hold any of the signs that divide an address.
        match rest.rsplit_once('@') {
            Some((secret, host)) => {
                let user = secret.split_once(':').map_or("", |(user, _)| user);
                write!(f, "{scheme}://{user}:***@{host}")
            }
            None => f.write_str(url),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_show() {
        for (url, shown) in [
            ("redis://:secret@host:6379/2", "redis://:***@host:6379/2"),
            ("rediss://me:se@c:r/et@host", "rediss://me:***@host"),
            ("redis-cluster://secret@a:1,b:2", "redis-cluster://:***@a:1,b:2"),
            ("redis://host:6379", "redis://host:6379"),
            ("file:some/where@home", "file:some/where@home"),
            ("memory", "memory"),
        ] {
            let parsed = StoreUrl::try_from(url.to_owned()).expect(url);
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(format!("{parsed:?}"), format!("{shown:?}"));
            assert_eq!(parsed.reveal(), (url != "memory").then_some(url));
        }
        for url in ["", "memory:", "redis:secret", "http://me:secret@host", "file:"] {
            let error = StoreUrl::try_from(url.to_owned()).expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
