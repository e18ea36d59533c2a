//! The filter of log lines.

use serde::{Deserialize, Deserializer, de};
use tracing_subscriber::EnvFilter;

use super::error::did_you_mean;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The targets of this workspace's log lines.
const TARGETS: [&str; 14] = [
    "sparrow_app",
    "sparrow_engine",
    "sparrow_features",
    "sparrow_http",
    "sparrow_model",
    "sparrow_movielens",
    "sparrow_neural",
    "sparrow_otlp",
    "sparrow_rank",
    "sparrow_recall",
    "sparrow_store",
    "sparrow_tf_serving",
    "sparrow_traces",
    "sparrow_user_state",
];

/// Deserialises a filter, and refuses misspelt levels and targets.
pub(super) fn checked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let filter = String::deserialize(deserializer)?;
    check(&filter).map_err(de::Error::custom)?;
    Ok(filter)
}

/// A filter that operators send.
pub(crate) fn checked_filter(filter: &str) -> Result<String, String> {
    check(filter).map(|()| filter.to_owned())
}

/// Refuses misspelt levels and targets: [`EnvFilter`] interprets a misspelt level as a target, which selects nothing.
fn check(filter: &str) -> Result<(), String> {
    // Fields of spans may contain commas and equals signs; such filters are not checked.
    let is_plain = !filter.contains(['[', '{', '"']);
    for directive in filter.split(',').filter(|part| is_plain && !part.is_empty()) {
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None if is_target(directive) => (Some(directive), "trace"),
            None => (None, directive),
        };
        let is_number = matches!(level, "0" | "1" | "2" | "3" | "4" | "5");
        if !is_number && !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
            let (known, suggestion) = (LEVELS.join(", "), did_you_mean(level, LEVELS));
            return Err(format!("{level:?} is none of the levels {known}{suggestion}"));
        }
        if let Some(target) = target.filter(|target| target.starts_with("sparrow"))
            && !is_target(target)
        {
            let crate_name = target.split("::").next().unwrap_or_default();
            let suggestion = did_you_mean(crate_name, TARGETS);
            return Err(format!("no log line has the target {target:?}{suggestion}"));
        }
    }
    let parsed = EnvFilter::builder().parse(filter);
    parsed.map(drop).map_err(|error| format!("{filter:?} is not a filter: {error}"))
}

fn is_target(text: &str) -> bool {
    TARGETS.contains(&text.split("::").next().unwrap_or_default())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn filters_select_what_they_seem_to() {
        for filter in [
            "info",
            "WARN",
            "off",
            "",
            "info,sparrow_http=debug",
            "warn,sparrow_app::refresh=trace,sparrow_http=4",
            "sparrow_store",
            "error,hyper=debug,fred=off",
            "info,sparrow_http[request{id=1}]=debug",
        ] {
            check(filter).unwrap();
        }
        for (filter, expected) in [
            (
                "infoo",
                "\"infoo\" is none of the levels off, error, warn, info, debug, trace, did you mean \"info\"?",
            ),
            ("Debg", "did you mean \"debug\"?"),
            ("info,sparrow_http=inf", "\"inf\" is none of the levels"),
            ("sparow_http", "is none of the levels"),
            (
                "info,sparrow_htp=debug",
                "no log line has the target \"sparrow_htp\", did you mean \"sparrow_http\"?",
            ),
            ("info,=debug=", "is none of the levels"),
        ] {
            let error = check(filter).unwrap_err();
            assert!(error.contains(expected), "{filter}: {error}");
        }
    }

    #[test]
    fn every_crate_that_writes_log_lines_is_a_target() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for entry in fs::read_dir(crates).unwrap() {
            let folder = entry.unwrap().path();
            let name = folder.file_name().unwrap().to_str().unwrap().replace('-', "_");
            let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
            let (production, _) =
                manifest.split_once("[dev-dependencies]").unwrap_or((&manifest, ""));
            if production.contains("tracing.workspace") {
                assert!(TARGETS.contains(&&*format!("sparrow_{name}")), "{name}");
            }
        }
    }
}
