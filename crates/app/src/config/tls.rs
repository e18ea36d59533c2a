//! `[tls]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// TLS of the public port, and of an admin port beyond loopback. Both keys or none are set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// A PEM file with the chain of certificates of the server, its own first.
    pub certificate: Option<PathBuf>,
    /// A PEM file with the private key of the first certificate.
    pub key: Option<PathBuf>,
}

impl Tls {
    /// Whether one of the keys is set.
    pub(crate) fn is_configured(&self) -> bool {
        *self != Self::default()
    }
}
