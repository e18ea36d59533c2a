//! Parses the URL of a model.

use std::fmt;

use url::{Host, Url};

use crate::options::Pin;
use crate::{Error, Options};

/// The location of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) tls: bool,
    /// IPv6 addresses have no brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of the header `Host`.
    pub(crate) authority: String,
    /// The path of the model, with its version or label.
    pub(crate) path: String,
}

impl Location {
    pub(crate) fn new(text: &str, options: &Options) -> Result<Self, Error> {
        // Errors do not contain the URL, which may contain a password.
        let fault = |what: &str| Err(Error::Url(format!("the URL of the model {what}")));
        let Ok(url) = Url::parse(text) else {
            return fault("is malformed, expected http://host:8501/v1/models/name");
        };
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return fault("must start with http:// or https://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return fault("must not contain a user or password");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return fault("must not contain ? or #");
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return fault("has no host");
        };
        let host_text = match host {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };

        let path = url.path().trim_end_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        let pin = match segments.as_slice() {
            [.., "models", name, "versions", version] if !name.is_empty() => {
                match version.parse() {
                    Ok(version) => Some(Pin::Version(version)),
                    Err(_) => return fault("has a version that is not a number"),
                }
            }
            [.., "models", name, "labels", label] if !name.is_empty() && !label.is_empty() => {
                Some(Pin::Label((*label).to_owned()))
            }
            [.., "models", name] if !name.is_empty() && !name.contains(':') => None,
            _ => {
                return fault(
                    "must end with /v1/models/NAME, optionally followed by a version or label",
                );
            }
        };
        let suffix = match (&pin, &options.pin) {
            (Some(in_url), Some(other)) if in_url != other => {
                return fault("pins another version or label than the options");
            }
            (None, Some(Pin::Version(version))) => format!("/versions/{version}"),
            (None, Some(Pin::Label(label))) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
                if label.is_empty() || !label.chars().all(plain) {
                    return Err(Error::Options(
                        "a label may only contain letters, digits, -, ., _ and ~",
                    ));
                }
                format!("/labels/{label}")
            }
            _ => String::new(),
        };
        let path = format!("{path}{suffix}");
        Ok(Self { tls, host: host_text, port, authority, path })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn location(url: &str, pin: Option<Pin>) -> Result<Location, Error> {
        Location::new(url, &Options { pin, ..Options::default() })
    }

    #[test]
    fn urls_are_parsed() {
        let plain = location("http://serving:8501/v1/models/recmodel", None).unwrap();
        assert_eq!((plain.tls, &*plain.host, plain.port), (false, "serving", 8501));
        assert_eq!(plain.authority, "serving:8501");
        assert_eq!(plain.path, "/v1/models/recmodel");

        let pinned = location("https://[::1]/tf/v1/models/m/versions/3/", None).unwrap();
        assert_eq!((pinned.tls, &*pinned.host, pinned.port), (true, "::1", 443));
        assert_eq!(pinned.to_string(), "https://[::1]/tf/v1/models/m/versions/3");

        let path = |pin| location("http://h/v1/models/m", Some(pin)).unwrap().path;
        assert_eq!(path(Pin::Version(7)), "/v1/models/m/versions/7");
        assert_eq!(path(Pin::Label("stable".to_owned())), "/v1/models/m/labels/stable");
        let same =
            location("http://h/v1/models/m/labels/stable", Some(Pin::Label("stable".into())));
        assert_eq!(same.unwrap().path, "/v1/models/m/labels/stable");
    }

    #[test]
    fn invalid_url_is_an_error_without_the_url() {
        for (url, expected) in [
            ("models", "is malformed"),
            ("redis://h/v1/models/m", "must start with http"),
            ("http://me:secret@h/v1/models/m", "must not contain a user"),
            ("http://h/v1/models/m?x", "must not contain ?"),
            ("http://h/v1/models/", "must end with /v1/models/NAME"),
            ("http://h/v1/models/m:predict", "must end with /v1/models/NAME"),
            ("http://h/v1/models/m/versions/last", "not a number"),
            ("http://h/v1/models/m/metadata", "must end with"),
        ] {
            let text = location(url, None).unwrap_err().to_string();
            assert!(text.contains(expected) && !text.contains("secret"), "{url}: {text}");
        }
        let both = location("http://h/v1/models/m/versions/1", Some(Pin::Version(2)));
        assert!(both.unwrap_err().to_string().contains("than the options"));
        let label = location("http://h/v1/models/m", Some(Pin::Label("a b".to_owned())));
        assert!(label.is_err());
    }
}
