//! `/debug/config` and `/debug/log-level`, on the admin port.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Exposure, Group};
use crate::parameters::body::{Item, read_object};
use crate::parameters::definition::Parameter;
use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::Reply;
use crate::response::schema::{Field, Schema, TEXT, json_type};
use crate::state::operations::LogFilter;

const FILTER: &str = "filter";

/// The length of the longest filter.
const LONGEST: u32 = 1000;

pub(crate) static CONFIGURATION: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/debug/config",
    "getConfiguration",
    [],
    Answer::Text,
    "Shows the effective configuration as TOML, with masked secrets.",
)
.exposed(Exposure::Operators);

pub(crate) fn configuration(call: &Call<'_>) -> Result<Reply, Problem> {
    let configuration = call.shared.operations().configuration.as_ref();
    let configuration = configuration.ok_or_else(|| missing("configuration"))?.clone();
    let toml = HeaderValue::from_static("application/toml");
    let no_store = HeaderValue::from_static("no-store");
    Ok(Reply::new(StatusCode::OK, toml, configuration).with(CACHE_CONTROL, no_store))
}

pub(crate) static LOG_LEVEL: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/debug/log-level",
    "getLogLevel",
    [],
    Answer::Json(Schema::Object(&LogLevel::TYPE)),
    "Shows the filter of log lines.",
)
.exposed(Exposure::Operators);

pub(crate) static SET_LOG_LEVEL: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/debug/log-level",
    "setLogLevel",
    [],
    Answer::Json(Schema::Object(&LogLevel::TYPE)),
    "Replaces the filter of log lines, until the server stops.",
)
.operated(&[Field::new(FILTER, TEXT, "")]);

json_type! {
    pub(crate) struct LogLevel as "LogLevel" {
        /// A level such as `info`, or directives such as `info,sparrow_http=debug`.
        filter / "filter": String = TEXT,
    }
}

pub(crate) fn log_level(call: &Call<'_>) -> Result<Reply, Problem> {
    Ok(Reply::serialized(&LogLevel { filter: log_filter(call)?.get() }))
}

pub(crate) fn set_log_level(call: &Call<'_>) -> Result<Reply, Problem> {
    let log = log_filter(call)?;
    let fields = read_object(call.body)?;
    let item = Item::body(&fields, &[FILTER])?;
    let filter = item.text(FILTER, LONGEST, |_| true, "a level or directives")?;
    let filter = filter.ok_or_else(|| {
        Problem::new(Kind::InvalidBody, "filter is required: a level or directives")
            .parameter(FILTER)
    })?;
    log.set(filter).map_err(|error| {
        let detail = format!("filter {}: {error}", quoted(filter));
        Problem::new(Kind::InvalidBody, detail).parameter(FILTER)
    })?;
    let filter = log.get();
    tracing::info!(filter, "the filter of log lines was replaced");
    Ok(Reply::serialized(&LogLevel { filter }))
}

fn log_filter<'a>(call: &Call<'a>) -> Result<&'a dyn LogFilter, Problem> {
    call.shared.operations().log_filter.as_deref().ok_or_else(|| missing("filter of log lines"))
}

fn missing(what: &str) -> Problem {
    Problem::not_found(format!("the program that runs this server has no {what}"))
}
