//! `[tracing]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::access_log::share;

/// Traces, which are exported to an OpenTelemetry collector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tracing {
    /// The address of the collector; spans go to `/v1/traces` below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The certificates that `https://` trusts, in PEM; without it, those of the system.
    pub ca_file: Option<PathBuf>,
    /// The share of the requests that are traced, from 0 (none, whatever callers send) to 1.
    #[serde(deserialize_with = "share")]
    pub sample: f64,
    /// The name of the service in traces.
    pub service_name: String,
}

impl Default for Tracing {
    fn default() -> Self {
        Self { endpoint: None, ca_file: None, sample: 0.01, service_name: "sparrow".to_owned() }
    }
}
