//! What the program that runs a server provides for its operators.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::state::access_log::AccessLog;

/// What operators can see and change on the admin port, beside what the server itself knows.
#[derive(Debug, Default)]
pub struct Operations {
    /// The effective configuration, without secrets.
    pub configuration: Option<Bytes>,
    /// The filter of log lines.
    pub log_filter: Option<Arc<dyn LogFilter>>,
    /// The access log.
    pub access_log: Option<AccessLog>,
    /// The share of the requests that are traced, from 0 to 1, of those whose caller sends no `traceparent`; `None` if none
    /// are, because no subscriber records their spans.
    pub trace_sample: Option<f64>,
}

/// A filter of log lines that can be replaced.
pub trait LogFilter: fmt::Debug + Send + Sync {
    /// The filter in force.
    fn get(&self) -> String;

    /// Replaces the filter; the error says what is wrong with it.
    fn set(&self, filter: &str) -> Result<(), String>;
}
