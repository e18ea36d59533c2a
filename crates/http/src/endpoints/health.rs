//! `/healthz` and `/readyz`.

use std::collections::BTreeMap;

use sparrow_live::{Consumer, Durability};

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Exposure, Group};
use crate::parameters::definition::Parameter;
use crate::response::audience::{Audience, kind_of};
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Schema, TEXT, json_type};

pub(crate) static LIVE: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/healthz",
    "live",
    [],
    Answer::Json(Schema::Named(&Live::TYPE)),
    "Reports that the process is alive.",
)
.exposed(Exposure::Probe)
.open();

json_type! {
    pub(crate) struct Live as "Live" {
        status / "status": &'static str = Schema::Constant("ok"),
    }
}

pub(crate) fn live() -> Reply {
    Reply::serialized(&Live { status: "ok" })
}

pub(crate) static READY: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/readyz",
    "ready",
    [],
    Answer::Json(Schema::Named(&Ready::TYPE)),
    "Reports whether the server can answer.",
)
.exposed(Exposure::Probe)
.open();

json_type! {
    pub(crate) struct Ready<'a> as "Ready" {
        status / "status": &'static str = Schema::Constant("ready"),
        /// The feature store; only if the server has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        store / "store": Option<Store<'a>> = Schema::Optional(&Schema::Object(&Store::TYPE)),
        /// Where ratings and events are kept; only if the server accepts any.
        #[serde(skip_serializing_if = "Option::is_none")]
        live / "live": Option<LiveData<'a>> = Schema::Optional(&Schema::Object(&LiveData::TYPE)),
    }
}

json_type! {
    pub(crate) struct LiveData<'a> as "LiveData" {
        /// Such as memory, file or redis.
        kind / "kind": &'a str = TEXT,
        /// Only on the admin port.
        #[serde(skip_serializing_if = "Option::is_none")]
        address / "address": Option<&'a str> = Schema::Optional(&TEXT),
        /// What accepted changes survive: memory, everysec, fsync, replicas:N or unknown.
        durability / "durability": String = TEXT,
        /// Whether a restart of the server loses them.
        lost_at_restart / "lostAtRestart": bool = Schema::Boolean,
        /// What counts ratings per movie; only if it runs.
        #[serde(skip_serializing_if = "Option::is_none")]
        statistics / "statistics": Option<ConsumerStatus> = Schema::Optional(&Schema::Named(&ConsumerStatus::TYPE)),
        /// What rewrites features and vectors of users in the store; only if it runs.
        #[serde(skip_serializing_if = "Option::is_none")]
        projector / "projector": Option<ConsumerStatus> = Schema::Optional(&Schema::Named(&ConsumerStatus::TYPE)),
    }
}

json_type! {
    /// A consumer of ratings and events.
    pub(crate) struct ConsumerStatus as "ConsumerStatus" {
        /// The age of the oldest change that it has not processed; 0 if it is up to date.
        lag_seconds / "lagSeconds": f64 = Schema::Number,
        /// The number of users whose changes it has not processed.
        pending / "pending": u64 = COUNT,
        /// The number of users that it has processed since the start, each time that they changed.
        users / "users": u64 = COUNT,
        /// How many of them another server had processed before.
        superseded / "superseded": u64 = COUNT,
        /// The number of failures since the start.
        failures / "failures": u64 = COUNT,
        /// Why it cannot continue now.
        #[serde(skip_serializing_if = "Option::is_none")]
        trouble / "trouble": Option<String> = Schema::Optional(&TEXT),
    }
}

impl ConsumerStatus {
    fn of(consumer: &Consumer, audience: Audience) -> Self {
        let status = consumer.status();
        Self {
            lag_seconds: status.lag.as_secs_f64(),
            pending: status.pending,
            users: status.users,
            superseded: status.superseded,
            failures: status.failures,
            trouble: status.trouble.map(|trouble| audience.message(trouble)),
        }
    }
}

json_type! {
    pub(crate) struct Store<'a> as "Store" {
        /// Such as redis or file.
        kind / "kind": &'a str = TEXT,
        /// Only on the admin port.
        #[serde(skip_serializing_if = "Option::is_none")]
        address / "address": Option<&'a str> = Schema::Optional(&TEXT),
        /// The loaded generation of the store.
        generation / "generation": u64 = COUNT,
        /// Whether answers come only from loaded data.
        degraded / "degraded": bool = Schema::Boolean,
        /// Why it is degraded.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason / "reason": Option<String> = Schema::Optional(&TEXT),
        /// How many values could not be used since the start, by the beginning of their keys, such as uEmb.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        malformed / "malformed": BTreeMap<&'static str, u64> = Schema::Optional(&Schema::CountMap),
    }
}

/// Whether all data are loaded, and how the store is doing.
pub(crate) fn ready(call: &Call<'_>) -> Result<Reply, Problem> {
    if call.shared.is_draining() {
        return Err(Problem::new(Kind::Unavailable, "shutting down"));
    }
    let snapshot = call.snapshot()?;
    let (source, consumers) = (&snapshot.source, snapshot.consumers.as_deref());
    let live = source.live.as_ref().map(|live| {
        let address = live.store.address();
        LiveData {
            kind: kind_of(address),
            address: (call.audience == Audience::Operator).then_some(address),
            durability: live.store.durability().to_string(),
            lost_at_restart: live.store.durability() == Durability::Memory,
            statistics: consumers.map(|all| ConsumerStatus::of(&all.statistics, call.audience)),
            projector: consumers
                .filter(|all| all.projector.is_running())
                .map(|all| ConsumerStatus::of(&all.projector, call.audience)),
        }
    });
    let Some(source) = &source.store else {
        return Ok(Reply::serialized(&Ready { status: "ready", store: None, live }));
    };
    let address = source.reader.address();
    let trouble = source.reader.trouble().map(|trouble| call.audience.message(trouble));
    let Some(generation) = source.generation else {
        let loading = || format!("the feature store {address} is being loaded");
        let detail = trouble.unwrap_or_else(|| call.audience.message(loading()));
        return Err(Problem::new(Kind::Unavailable, detail));
    };
    let store = Store {
        kind: kind_of(address),
        address: (call.audience == Audience::Operator).then_some(address),
        generation: generation.0,
        degraded: trouble.is_some(),
        reason: trouble,
        malformed: source
            .reader
            .malformed()
            .map(|(kind, count)| (kind.key_prefix().trim_end_matches(':'), count))
            .collect(),
    };
    Ok(Reply::serialized(&Ready { status: "ready", store: Some(store), live }))
}
