//! `/debug/live` and `/debug/live/log`, on the admin port: the log of live data, for exports of a running server.

use hyper::header::{CACHE_CONTROL, HeaderValue};
use sparrow_live::{Action, Exposure as Shown, Recorded, Sequence};
use sparrow_user_state::LiveSource;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Exposure, Group};
use crate::endpoints::stores::live_problem;
use crate::parameters::definition::{Kind as Type, Parameter};
use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, ID, Schema, TEXT, json_type};

/// The partition to read.
const PARTITION: Parameter = Parameter::new(
    "partition",
    Type::Number { least: 0, most: u16::MAX as u32, default: 0 },
    "The number of the partition.",
);

const AFTER: Parameter = Parameter::new(
    "after",
    Type::Text { most: 50, example: "0-0" },
    "The sequence after which writes are returned, by default all.",
);

const LIMIT: Parameter = Parameter::new(
    "limit",
    Type::Number { least: 1, most: 1000, default: 1000 },
    "The maximum number of writes.",
);

pub(crate) static STATE: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/debug/live",
    "getLiveData",
    [],
    Answer::Json(Schema::Object(&State::TYPE)),
    "Shows the partitions of the live data.",
)
.exposed(Exposure::Operators);

json_type! {
    pub(crate) struct State<'a> as "LiveDataState" {
        /// Without a password.
        address / "address": &'a str = TEXT,
        partitions / "partitions": u16 = COUNT,
        /// Up to where the log of each partition was trimmed.
        trimmed / "trimmed": Vec<String> = Schema::List(&TEXT),
    }
}

pub(crate) async fn state(call: &Call<'_>) -> Result<Reply, Problem> {
    let live = live(call)?;
    let trimmed = live.store.trimmed().await.map_err(|error| live_problem(&error))?;
    let trimmed = trimmed.iter().map(|(_, sequence)| sequence.to_string()).collect();
    let (address, partitions) = (live.store.address(), live.store.partitions());
    Ok(uncached(Reply::serialized(&State { address, partitions, trimmed })))
}

pub(crate) static LOG: Endpoint<[Parameter; 3]> = Endpoint::other(
    Group::Server,
    "/debug/live/log",
    "getLiveLog",
    [PARTITION, AFTER, LIMIT],
    Answer::Json(Schema::Object(&Log::TYPE)),
    "Lists the accepted writes of a partition in order.",
)
.exposed(Exposure::Operators);

json_type! {
    pub(crate) struct Log<'a> as "LiveLog" {
        writes / "writes": Vec<LoggedWrite<'a>> = Schema::List(&Schema::Object(&LoggedWrite::TYPE)),
    }
}

json_type! {
    pub(crate) struct LoggedWrite<'a> as "LoggedWrite" {
        sequence / "sequence": String = TEXT,
        /// rate, unrate, event, expose or forget.
        action / "action": &'static str = TEXT,
        user / "user": u32 = ID,
        #[serde(skip_serializing_if = "Option::is_none")]
        movie / "movie": Option<u32> = Schema::Optional(&ID),
        /// The type of an event.
        #[serde(skip_serializing_if = "Option::is_none")]
        kind / "type": Option<&'a str> = Schema::Optional(&TEXT),
        /// The stars of a rating, or the value of an event.
        #[serde(skip_serializing_if = "Option::is_none")]
        value / "value": Option<f32> = Schema::Optional(&Schema::Number),
        time / "time": u32 = COUNT,
        #[serde(skip_serializing_if = "Option::is_none")]
        session / "session": Option<&'a str> = Schema::Optional(&TEXT),
        #[serde(skip_serializing_if = "Option::is_none")]
        recommendation / "recommendation": Option<&'a str> = Schema::Optional(&TEXT),
        /// What an experiment showed.
        #[serde(skip_serializing_if = "Option::is_none")]
        exposure / "exposure": Option<LoggedExposure<'a>> = Schema::Optional(&Schema::Object(&LoggedExposure::TYPE)),
        applied / "applied": bool = Schema::Boolean,
    }
}

json_type! {
    pub(crate) struct LoggedExposure<'a> as "LoggedExposure" {
        experiment / "experiment": &'a str = TEXT,
        variant / "variant": &'a str = TEXT,
        /// The model that ranked.
        model / "model": &'a str = TEXT,
        degraded / "degraded": bool = Schema::Boolean,
        /// The time of recall and ranking, in microseconds.
        micros / "micros": u32 = COUNT,
        /// Movies with the model that contributed each.
        #[serde(skip_serializing_if = "Option::is_none")]
        credits / "credits": Option<&'a str> = Schema::Optional(&TEXT),
    }
}

impl<'a> LoggedExposure<'a> {
    fn of(Shown { experiment, variant, model, degraded, micros, credits }: &'a Shown) -> Self {
        let (degraded, micros, credits) = (*degraded, *micros, credits.as_deref());
        Self { experiment, variant, model, degraded, micros, credits }
    }
}

impl<'a> LoggedWrite<'a> {
    fn of(Recorded { sequence, write, applied }: &'a Recorded) -> Self {
        let (mut kind, mut value, mut exposure) = (None, None, None);
        let action = match &write.action {
            Action::Rate(_, stars) => {
                value = Some(stars.value());
                "rate"
            }
            Action::Unrate(_) => "unrate",
            Action::Event { kind: name, value: amount, .. } => {
                (kind, value) = (Some(&**name), Some(*amount));
                "event"
            }
            Action::Expose(shown) => {
                exposure = Some(LoggedExposure::of(shown));
                "expose"
            }
            Action::Forget => "forget",
        };
        Self {
            sequence: sequence.to_string(),
            action,
            user: write.user.0,
            movie: write.action.movie().map(|movie| movie.0),
            kind,
            value,
            time: write.time,
            session: write.session.as_deref(),
            recommendation: write.recommendation.as_deref(),
            exposure,
            applied: *applied,
        }
    }
}

pub(crate) async fn log(call: &Call<'_>) -> Result<Reply, Problem> {
    let live = live(call)?;
    let [partition, after, limit] = LOG.arguments(call)?;
    let number = partition.number()?;
    let partition = u16::try_from(number).ok().filter(|it| *it < live.store.partitions());
    let partition = partition.ok_or_else(|| {
        let detail = format!("there is no partition {number}");
        Problem::new(Kind::InvalidParameter, detail).parameter(PARTITION.name)
    })?;
    let after = match after.text() {
        None => Sequence::default(),
        Some(text) => text.parse().map_err(|error| {
            let detail = format!("{} is {error}", quoted(text));
            Problem::new(Kind::InvalidParameter, detail).parameter(AFTER.name)
        })?,
    };
    let page = live.store.log(partition, after, limit.number()?).await;
    let page = page.map_err(|error| live_problem(&error))?;
    Ok(uncached(Reply::serialized(&Log { writes: page.iter().map(LoggedWrite::of).collect() })))
}

fn live<'a>(call: &Call<'a>) -> Result<&'a LiveSource, Problem> {
    let live = call.snapshot()?.source.live.as_ref();
    live.ok_or_else(|| Problem::not_found("this server has no live data".to_owned()))
}

fn uncached(reply: Reply) -> Reply {
    reply.with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
