use std::io::{IsTerminal, stderr};

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Starts writing log lines to standard error.
pub(crate) fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::builder()
        .parse(&log.filter)
        .map_err(|error| anyhow!("log.filter {:?}: {error}", log.filter))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    }
    .map_err(|error| anyhow!("log lines are already being written: {error}"))
}
