//! `[access_log]`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The access log, on standard output.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessLog {
    /// The share of the requests that are logged, from 0 (no access log) to 1.
    #[serde(deserialize_with = "share")]
    pub sample: f64,
    /// Whether lines contain the addresses of clients.
    pub addresses: bool,
    /// How user ids appear.
    pub users: LogUsers,
    /// The file with the key for hashed user ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_key_file: Option<PathBuf>,
}

/// How user ids appear in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogUsers {
    /// Not at all.
    #[default]
    Off,
    /// As they are.
    Plain,
    /// Hashed with a key.
    Hashed,
}

pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        return Ok(share);
    }
    Err(de::Error::custom("a share must be from 0 to 1"))
}
