//! `/metrics`: what the server counts, in the OpenMetrics format.
//!
//! `definitions` is the only list of the metrics. Everything is read when it is asked for: requests count in
//! [`ServerMetrics`](crate::state::metrics::ServerMetrics) and in counters of the engine and the stores.

mod definitions;
mod exposition;
mod gather;
mod process;
pub(crate) mod routes;

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Exposure, Group};
use crate::parameters::definition::Parameter;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) static METRICS: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/metrics",
    "getMetrics",
    [],
    Answer::Text,
    "Returns the metrics in the OpenMetrics format.",
)
.exposed(Exposure::Metrics);

pub(crate) fn show(call: &Call<'_>) -> Result<Reply, Problem> {
    let Some(metrics) = &call.shared.metrics else {
        return Err(Problem::not_found("metrics are off ([metrics] enabled)"));
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(gather::gather(call.shared, metrics, call.snapshot)));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| {
        tracing::error!(%error, "cannot write the metrics");
        Problem::new(Kind::Internal, "the metrics cannot be written")
    })?;
    let no_store = HeaderValue::from_static("no-store");
    Ok(Reply::new(StatusCode::OK, HeaderValue::from_static(OPEN_METRICS), text)
        .with(CACHE_CONTROL, no_store))
}
