//! Exports spans of `tracing` to an OpenTelemetry collector, by OTLP over HTTP with protobuf.
//!
//! Start with [`start`]: it returns a [`Spans`], a layer for a subscriber of `tracing-subscriber`, and an [`Exporter`], which
//! sends what the layer recorded from a thread of its own. A span is recorded if it is a *root* with the fields `trace_id`
//! and `parent_id`, or has a recorded parent: sampling is the decision of whoever creates the root. Spans wait in a queue of
//! bounded size; those that do not fit, or cannot be sent, are dropped and counted. Nothing waits for the collector.
//!
//! The fields `otel.name`, `otel.kind` (`server` or `client`) and `otel.status_code` (`error`) have the meaning that other
//! exporters for `tracing` give them. All others are attributes. Events are not exported.
//!
//! This crate replaces `opentelemetry-otlp`, which would change the features of `futures-executor` for the whole workspace, and
//! contains tonic also for HTTP.

mod export;
mod layer;
#[doc(hidden)]
pub mod proto;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use export::{Exporter, Options, check, start};
pub use layer::Spans;

/// Why spans cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the collector is invalid, or the certificates for it cannot be used.
    #[error("the address of the collector {0:?}: {1}")]
    Endpoint(String, String),
    /// The collector does not accept spans.
    #[error("the collector at {0} does not accept spans: {1}")]
    Collector(String, String),
    /// The system has no thread for it.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// The numbers of spans since the start.
#[derive(Debug, Clone, Default)]
pub struct Counters(Arc<[AtomicU64; 2]>);

impl Counters {
    /// Spans that a collector has accepted.
    pub fn exported(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Spans that were dropped.
    pub fn dropped(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    fn count(&self, is_exported: bool, spans: usize) {
        self.0[usize::from(!is_exported)].fetch_add(spans as u64, Ordering::Relaxed);
    }
}
