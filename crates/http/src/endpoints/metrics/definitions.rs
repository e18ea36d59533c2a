//! All metrics. docs/metrics.md lists them; a test compares the two.

use prometheus_client::registry::Unit;

/// The types of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    /// Without the suffixes of the unit and of counters.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: Option<&'static Unit>,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

static SECONDS: Unit = Unit::Seconds;
static BYTES: Unit = Unit::Bytes;

macro_rules! metrics {
    ($($name:ident = $kind:ident $text:literal $(in $unit:ident)?, $labels:expr, $help:literal;)*) => {
        $(
            pub(super) static $name: Metric = Metric {
                name: $text,
                kind: Kind::$kind,
                unit: metrics!(@unit $($unit)?),
                labels: &$labels,
                help: $help,
            };
        )*

        #[cfg(test)]
        pub(super) static ALL: &[&Metric] = &[$(&$name),*];
    };
    (@unit) => { None };
    (@unit $unit:ident) => { Some(&$unit) };
}

metrics! {
    BUILD = Gauge "sparrow_build_info", ["version"], "The version of the server; the value is 1.";
    REQUEST_DURATION = Histogram "http_server_request_duration" in SECONDS,
        ["http_route", "http_request_method", "http_response_status_code"],
        "Time from the head of a request to its answer. http_route is missing for paths without a route.";
    ACTIVE_REQUESTS = Gauge "http_server_active_requests", [], "Requests that are being answered.";
    CONNECTIONS = Gauge "sparrow_connections", [], "Open connections of all ports.";
    REFUSED_CONNECTIONS = Counter "sparrow_connections_refused", ["reason"],
        "Connections that were refused because of a limit.";
    CERTIFICATE_EXPIRY = Gauge "sparrow_tls_certificate_expiry_timestamp" in SECONDS, [],
        "When the certificate for new connections expires, as a Unix time. Missing without TLS.";
    QUEUE = Gauge "sparrow_queue_length", ["queue"], "Requests that wait for their turn.";
    SHED = Counter "sparrow_shed_requests", ["reason"], "Requests that were answered 503 because of a limit.";
    SENDING = Gauge "sparrow_large_answers" in BYTES, [], "Large answers that clients have not taken yet.";
    MODEL_REQUESTS = Counter "sparrow_model_requests", ["model", "outcome"],
        "Requests of a ranking model: answered, declined (it cannot score the user), unavailable, timed-out or failed.";
    MODEL_STAND_INS = Counter "sparrow_model_fallback_answers", ["model"],
        "Answers that the model gave as the fallback of another one.";
    MODEL_DURATION = Histogram "sparrow_model_duration" in SECONDS, ["model"], "Time of the answers of a ranking model.";
    MODEL_STATE = Gauge "sparrow_model_state", ["model", "state"],
        "1 for the state of a ranking model, otherwise 0. The circuit breaker of a model server is open while it is failing.";
    MODEL_VERSION = Gauge "sparrow_model_version", ["model"], "The version that ranks, of models with versions.";
    MODEL_SINCE = Gauge "sparrow_model_since_timestamp" in SECONDS, ["model"],
        "The beginning of the state of the version that ranks, as a Unix time.";
    REASONS = Counter "sparrow_recommendations_with_reason", ["reason"],
        "Answers with a reason: another model ranked, or data about the user were missing.";
    RECALL_REQUESTS = Counter "sparrow_recall_requests", ["strategy", "outcome"],
        "Requests to a recall strategy, since the data were loaded: answered or failed.";
    RECALL_CANDIDATES = Counter "sparrow_recall_candidates", ["strategy"],
        "Candidates of a recall strategy, since the data were loaded, also those that others found.";
    STORE_DURATION = Histogram "db_client_operation_duration" in SECONDS,
        ["db_system_name", "db_namespace", "db_operation_name", "error_type"],
        "Time of the operations of the feature store (features) and the store for live data (live). error_type is missing for successful ones.";
    CIRCUIT = Gauge "sparrow_circuit_breaker_open", ["service"], "1 if the circuit breaker of a store is open, otherwise 0.";
    MALFORMED = Counter "sparrow_store_malformed_values", ["kind"],
        "Values of the feature store that could not be used, by the beginning of their keys.";
    GENERATION = Gauge "sparrow_store_generation_timestamp" in SECONDS, [],
        "The time of the push of the loaded generation, as a Unix time.";
    LOADED = Gauge "sparrow_data_loaded_timestamp" in SECONDS, [], "When the data were loaded, as a Unix time.";
    MOVIES = Gauge "sparrow_movies", [], "Movies in the loaded data.";
    READY = Gauge "sparrow_ready", [], "1 if the server is ready, otherwise 0.";
    LIVE_WRITES = Counter "sparrow_live_writes", ["kind", "outcome"],
        "Changes of live data: accepted, repeated (with a known key) or failed.";
    CONSUMER_LAG = Gauge "sparrow_live_consumer_lag" in SECONDS, ["consumer"],
        "Delay from the acceptance of a live write until a consumer of the log has processed it.";
    CONSUMER_PENDING = Gauge "sparrow_live_consumer_pending", ["consumer"], "Users that a consumer has yet to process.";
    CONSUMER_USERS = Counter "sparrow_live_consumer_users", ["consumer"], "Users that a consumer has processed.";
    CONSUMER_FAILURES = Counter "sparrow_live_consumer_failures", ["consumer"], "Failures of a consumer of the log.";
    CPU = Counter "process_cpu" in SECONDS, [], "CPU time of the process.";
    RESIDENT_MEMORY = Gauge "process_resident_memory" in BYTES, [], "Resident memory of the process.";
    VIRTUAL_MEMORY = Gauge "process_virtual_memory" in BYTES, [], "Virtual memory of the process.";
    THREADS = Gauge "process_threads", [], "Threads of the process.";
    OPEN_FDS = Gauge "process_open_fds", [], "Open file descriptors.";
    MAX_FDS = Gauge "process_max_fds", [], "The limit on open file descriptors.";
    START_TIME = Gauge "process_start_time" in SECONDS, [], "The start of the process, as a Unix time.";
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    const BEGIN: &str = "<!-- metrics -->\n";
    const END: &str = "<!-- end -->\n";

    impl Metric {
        /// The name of its samples; those of histograms end with `_bucket`, `_sum` and `_count`.
        fn full_name(&self) -> String {
            let unit = self.unit.map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
            let total = if self.kind == Kind::Counter { "_total" } else { "" };
            format!("{}{unit}{total}", self.name)
        }
    }

    #[test]
    fn documentation_lists_every_metric() {
        let mut rows = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
        for metric in ALL {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
            let (name, labels) = (metric.full_name(), labels.join(", "));
            writeln!(rows, "| `{name}` | {kind} | {labels} | {} |", metric.help).expect("a string");
        }
        let page = std::fs::read_to_string(PAGE).expect("docs/metrics.md");
        let (before, rest) = page.split_once(BEGIN).expect("the beginning of the list");
        let (shown, after) = rest.split_once(END).expect("the end of the list");
        if std::env::var_os("SPARROW_UPDATE").is_some() {
            let page = format!("{before}{BEGIN}{rows}{END}{after}");
            std::fs::write(PAGE, page).expect("docs/metrics.md");
            return;
        }
        assert_eq!(shown, rows, "SPARROW_UPDATE=1 renews the list");
    }

    #[test]
    fn dashboard_and_alerts_name_existing_metrics_alone() {
        for file in ["grafana.json", "alerts.yml"] {
            let path = format!("{}/../../docs/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).expect("a file of docs/deploy");
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let prefixes = ["sparrow_", "http_server_", "db_client_", "process_"];
            let words = text.split(|c| !is_name(c));
            let used: Vec<&str> =
                words.filter(|word| prefixes.iter().any(|p| word.starts_with(p))).collect();
            assert!(used.len() > 5, "{file}: {used:?}");
            for name in used {
                let is_known = ALL.iter().any(|metric| {
                    let full = metric.full_name();
                    let parts = ["_bucket", "_sum", "_count"];
                    name == full
                        || (metric.kind == Kind::Histogram
                            && parts.iter().any(|part| name == format!("{full}{part}")))
                });
                assert!(is_known, "{file} names {name}");
            }
        }
    }
}
