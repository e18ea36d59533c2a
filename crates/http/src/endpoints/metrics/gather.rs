//! Reads the counters of the server, the engine and the stores.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use sparrow_live::Consumer;
use sparrow_metrics::Health;
use sparrow_rank::State;

use super::exposition::Exposition;
use super::{definitions as of, process, routes};
use crate::response::audience::kind_of;
use crate::state::metrics::{REFUSALS, ServerMetrics};
use crate::state::shared::Shared;
use crate::state::snapshot::Snapshot;
use crate::state::tls::Tls;

const STATES: [State; 4] = [State::Ready, State::Loading, State::Failing, State::Unavailable];

pub(super) fn gather(
    shared: &Shared,
    metrics: &ServerMetrics,
    snapshot: Option<&Snapshot>,
) -> Exposition {
    let mut into = Exposition::default();
    let version = env!("CARGO_PKG_VERSION");
    into.add_labelled(&of::BUILD, vec![version.into()], 1.0);
    of_requests(&mut into, shared, metrics);
    if let Some(snapshot) = snapshot {
        of_models(&mut into, snapshot);
        of_data(&mut into, snapshot);
    }
    let is_loaded = snapshot.is_some_and(|snapshot| {
        snapshot.source.store.as_ref().is_none_or(|store| store.generation.is_some())
    });
    into.add(&of::READY, u64::from(is_loaded && !shared.is_draining()));
    for (reason, count) in metrics.reasons() {
        into.add_labelled(&of::REASONS, vec![reason.into()], count);
    }
    for (kind, outcome, count) in metrics.writes() {
        into.add_labelled(&of::LIVE_WRITES, vec![kind.into(), outcome.into()], count);
    }
    process::gather(&mut into);
    into
}

fn of_requests(into: &mut Exposition, shared: &Shared, metrics: &ServerMetrics) {
    for (route, method, status, counts) in metrics.requests() {
        let status = if status == 0 { "_OTHER".into() } else { status.to_string().into() };
        let labels = vec![routes::name(route).into(), method.into(), status];
        into.add_labelled(&of::REQUEST_DURATION, labels, counts);
    }
    into.add(&of::ACTIVE_REQUESTS, metrics.active());
    into.add(&of::CONNECTIONS, metrics.connections.get());
    for (reason, count) in REFUSALS.iter().zip(&metrics.refused) {
        into.add_labelled(&of::REFUSED_CONNECTIONS, vec![(*reason).into()], count.get());
    }
    if let Some(expires) = shared.tls().and_then(Tls::expires) {
        into.add(&of::CERTIFICATE_EXPIRY, unix_seconds(expires));
    }
    for (name, limiter) in shared.limiters() {
        into.add_labelled(&of::QUEUE, vec![name.into()], limiter.waiting() as u64);
        into.add_labelled(&of::SHED, vec![name.into()], limiter.refused());
    }
    into.add_labelled(&of::SHED, vec!["large-answers".into()], shared.in_flight.refused());
    into.add(&of::SENDING, shared.in_flight.used() as u64);
}

fn of_models(into: &mut Exposition, snapshot: &Snapshot) {
    let engine = &snapshot.engine;
    for (model, durations) in engine.models().into_iter().zip(engine.model_durations()) {
        let name = || Cow::from(model.name.to_string());
        let counts = &model.counts;
        let failed = counts.failed.saturating_sub(counts.unavailable + counts.timed_out);
        for (outcome, count) in [
            ("answered", counts.answered),
            ("declined", counts.declined),
            ("unavailable", counts.unavailable),
            ("timed-out", counts.timed_out),
            ("failed", failed),
        ] {
            into.add_labelled(&of::MODEL_REQUESTS, vec![name(), outcome.into()], count);
        }
        into.add_labelled(&of::MODEL_STAND_INS, vec![name()], counts.stood_in);
        into.add_labelled(&of::MODEL_DURATION, vec![name()], durations);
        for state in STATES {
            let is_state = u64::from(model.status.state == state);
            into.add_labelled(&of::MODEL_STATE, vec![name(), state.as_str().into()], is_state);
        }
        if let Some(version) = model.status.version {
            into.add_labelled(&of::MODEL_VERSION, vec![name()], version);
        }
        if let Some(since) = model.status.since {
            into.add_labelled(&of::MODEL_SINCE, vec![name()], unix_seconds(since));
        }
    }
    for counts in engine.recall_counts() {
        let name = || Cow::from(counts.strategy.to_string());
        let answered = counts.calls.saturating_sub(counts.failures);
        for (outcome, count) in [("answered", answered), ("failed", counts.failures)] {
            into.add_labelled(&of::RECALL_REQUESTS, vec![name(), outcome.into()], count);
        }
        into.add_labelled(&of::RECALL_CANDIDATES, vec![name()], counts.candidates);
    }
}

fn of_data(into: &mut Exposition, snapshot: &Snapshot) {
    into.add(&of::MOVIES, snapshot.catalog().len() as u64);
    into.add(&of::LOADED, unix_seconds(snapshot.loaded));
    let source = &snapshot.source;
    if let Some(store) = &source.store {
        of_store(into, "features", store.reader.address(), store.reader.health());
        for (kind, count) in store.reader.malformed() {
            let kind = kind.key_prefix().trim_end_matches(':');
            into.add_labelled(&of::MALFORMED, vec![kind.into()], count);
        }
        // 0 is the generation of a store that another program fills.
        if let Some(generation) = store.generation.filter(|generation| generation.0 > 0) {
            into.add(&of::GENERATION, generation.0);
        }
    }
    if let Some(live) = &source.live {
        of_store(into, "live", live.store.address(), live.store.health());
    }
    if let Some(consumers) = &snapshot.consumers {
        of_consumer(into, "statistics", &consumers.statistics);
        of_consumer(into, "projector", &consumers.projector);
    }
}

fn of_consumer(into: &mut Exposition, name: &'static str, consumer: &Consumer) {
    if !consumer.is_running() {
        return;
    }
    let (labels, status) = (|| vec![name.into()], consumer.status());
    into.add_labelled(&of::CONSUMER_LAG, labels(), status.lag.as_secs_f64());
    into.add_labelled(&of::CONSUMER_PENDING, labels(), status.pending);
    into.add_labelled(&of::CONSUMER_USERS, labels(), status.users);
    into.add_labelled(&of::CONSUMER_FAILURES, labels(), status.failures);
}

fn of_store(into: &mut Exposition, name: &'static str, address: &str, health: Option<Health<'_>>) {
    let Some(Health { calls, is_open }) = health else { return };
    into.add_labelled(&of::CIRCUIT, vec![name.into()], u64::from(is_open));
    for (operation, outcome, counts) in calls.counts() {
        let system = kind_of(address).to_owned();
        let error = if outcome == "ok" { "" } else { outcome };
        let labels = vec![system.into(), name.into(), operation.into(), error.into()];
        into.add_labelled(&of::STORE_DURATION, labels, counts);
    }
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
