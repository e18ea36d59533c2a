//! `/status`, the page for operators, and the same as JSON: the state of the server and its last hour.

mod chart;
mod html;
mod page;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde::Serialize;
use sparrow_live::Consumer;
use sparrow_metrics::{BUCKETS, quantile};
use sparrow_rank::State;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Exposure, Group};
use crate::endpoints::metrics::routes;
use crate::parameters::definition::Parameter;
use crate::response::reply::Reply;
use crate::state::experiments::VariantModel;
use crate::state::history::{Counted, STEP, Sample};
use crate::state::metrics::ServerMetrics;
use crate::state::snapshot::Snapshot;

/// Samples per point of a chart: half a minute.
const PER_POINT: usize = 3;
/// The time for which the page states current values.
const RECENT: Duration = Duration::from_mins(1);

pub(crate) static PAGE: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/status",
    "showStatus",
    [],
    Answer::Text,
    "Shows the state of the server and its last hour as a page.",
)
.exposed(Exposure::Operators);

pub(crate) static JSON: Endpoint<[Parameter; 0]> = Endpoint::other(
    Group::Server,
    "/status.json",
    "getStatus",
    [],
    Answer::Text,
    "Returns the content of the page for operators as JSON.",
)
.exposed(Exposure::Operators);

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

pub(crate) fn page(call: &Call<'_>) -> Reply {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let page = page::write(&Status::of(call));
    Reply::new(StatusCode::OK, html, page).with(CACHE_CONTROL, NO_STORE).with_page_policies()
}

pub(crate) fn json(call: &Call<'_>) -> Reply {
    Reply::serialized(&Status::of(call)).with(CACHE_CONTROL, NO_STORE)
}

/// The content of the page.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    version: &'static str,
    /// `ready`, `loading` or `draining`.
    state: &'static str,
    /// A Unix time in seconds.
    time: u64,
    /// When the data were loaded, as a Unix time in seconds.
    loaded: Option<u64>,
    /// The time of the push of the loaded generation, as a Unix time in seconds.
    generation: Option<u64>,
    movies: Option<usize>,
    /// Whether requests are counted.
    metrics: bool,
    /// Requests that are being answered.
    active: u64,
    connections: u64,
    /// The last minute.
    recent: Requests,
    /// The last hour, or the time since the start.
    hour: Requests,
    routes: Vec<Route>,
    models: Vec<Model>,
    stores: Vec<Store>,
    live: Option<Live>,
    experiments: Vec<Experiment>,
    exposures: Exposures,
    /// The last hour in parts of half a minute, oldest first.
    points: Vec<Point>,
}

/// Requests of some time.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Requests {
    seconds: f64,
    count: u64,
    client_errors: u64,
    server_errors: u64,
    /// Requests that were answered 503 because of a limit.
    shed: u64,
    #[serde(flatten)]
    times: Times,
}

/// Percentiles in seconds; `null` without durations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    p50: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    /// Empty for paths without a route.
    route: &'static str,
    #[serde(flatten)]
    requests: Requests,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Model {
    name: String,
    kind: &'static str,
    state: &'static str,
    reason: Option<String>,
    version: Option<u64>,
    fallback: Option<String>,
    answered: u64,
    /// Answers as the fallback of another model.
    as_fallback: u64,
    declined: u64,
    failed: u64,
    #[serde(flatten)]
    times: Times,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Store {
    name: &'static str,
    address: String,
    circuit_breaker: &'static str,
    trouble: Option<String>,
    calls: u64,
    failed: u64,
    #[serde(flatten)]
    times: Times,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Live {
    durability: String,
    /// Accepted writes of the last hour.
    writes: u64,
    consumers: Vec<Following>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Following {
    name: &'static str,
    lag_seconds: f64,
    pending: u64,
    failures: u64,
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Experiment {
    name: String,
    active: bool,
    variants: Vec<Variant>,
}

#[derive(Debug, Serialize)]
struct Variant {
    name: String,
    model: String,
    /// Of the users that take part.
    share: f64,
}

#[derive(Debug, Default, Serialize)]
struct Exposures {
    logged: u64,
    dropped: u64,
    failed: u64,
}

/// Half a minute.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Point {
    /// Seconds from its middle until now.
    age: f64,
    #[serde(flatten)]
    requests: Requests,
    /// Answers of models as the fallback of others.
    fallbacks: u64,
    /// The greatest delay of the consumers of live data.
    lag_seconds: Option<f64>,
    /// Whether the circuit breaker of a store was open.
    breaker_open: bool,
}

/// Sums of some samples.
#[derive(Default)]
struct Sum {
    took: Duration,
    buckets: [u64; BUCKETS],
    client_errors: u64,
    server_errors: u64,
    shed: u64,
}

impl Sum {
    fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>, route: Option<usize>) -> Self {
        let mut sum = Self::default();
        for sample in samples {
            sum.took += sample.took;
            sum.shed += u64::from(sample.counted.shed);
            for (index, answers) in &sample.counted.routes {
                if route.is_none_or(|route| route == *index) {
                    add(&mut sum.buckets, &answers.buckets);
                    sum.client_errors += u64::from(answers.client_errors);
                    sum.server_errors += u64::from(answers.server_errors);
                }
            }
        }
        sum
    }

    fn requests(&self) -> Requests {
        Requests {
            seconds: self.took.as_secs_f64(),
            count: self.buckets.iter().sum(),
            client_errors: self.client_errors,
            server_errors: self.server_errors,
            shed: self.shed,
            times: Times::of(&self.buckets),
        }
    }
}

impl Times {
    fn of(buckets: &[u64; BUCKETS]) -> Self {
        let at = |share| quantile(buckets, share).map(|time| time.as_secs_f64());
        Self { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

fn add(sum: &mut [u64; BUCKETS], buckets: &[u32; BUCKETS]) {
    for (sum, count) in sum.iter_mut().zip(buckets) {
        *sum += u64::from(*count);
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Status {
    fn of(call: &Call<'_>) -> Self {
        let (shared, snapshot) = (call.shared, call.snapshot);
        let counted = Counted::read(shared.metrics.as_ref(), shared.shed(), snapshot);
        let samples = shared.history.until(&counted, Instant::now());
        let metrics = shared.metrics.as_ref();
        let is_loaded = snapshot.is_some_and(|snapshot| {
            snapshot.source.store.as_ref().is_none_or(|store| store.generation.is_some())
        });
        let counts = shared.exposures.counts();
        let mut status = Self {
            version: env!("CARGO_PKG_VERSION"),
            state: match is_loaded {
                _ if shared.is_draining() => "draining",
                true => "ready",
                false => "loading",
            },
            time: unix(SystemTime::now()),
            metrics: metrics.is_some(),
            active: metrics.map_or(0, ServerMetrics::active),
            connections: metrics.map_or(0, |metrics| metrics.connections.get()),
            recent: Sum::of(recent(&samples), None).requests(),
            hour: Sum::of(&samples, None).requests(),
            routes: of_routes(&samples),
            experiments: experiments(call),
            exposures: Exposures {
                logged: counts.logged,
                dropped: counts.dropped,
                failed: counts.failed,
            },
            points: points(&samples),
            ..Self::default()
        };
        if let Some(snapshot) = snapshot {
            status.loaded = Some(unix(snapshot.loaded));
            let store = snapshot.source.store.as_ref();
            let generation = store.and_then(|store| store.generation);
            // 0 is the generation of a store that another program fills.
            status.generation = generation.map(|generation| generation.0).filter(|&time| time > 0);
            status.movies = Some(snapshot.catalog().len());
            status.models = models(snapshot, &samples);
            status.stores = stores(snapshot, &samples);
            status.live = live(snapshot, &samples);
        }
        status
    }
}

/// The samples of the last minute.
fn recent(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    let most = (RECENT.as_secs() / STEP.as_secs()) as usize;
    samples.iter().rev().take(most)
}

fn of_routes(samples: &[Sample]) -> Vec<Route> {
    let used = samples.iter().flat_map(|sample| &sample.counted.routes);
    let mut used: Vec<_> = used.map(|(route, _)| *route).collect();
    used.sort_unstable();
    used.dedup();
    let of = |index| {
        // Which routes were shed is not counted.
        let requests = Sum { shed: 0, ..Sum::of(samples, Some(index)) }.requests();
        Route { route: routes::name(index), requests }
    };
    let mut routes: Vec<_> = used.into_iter().map(of).collect();
    routes.sort_by_key(|route| std::cmp::Reverse(route.requests.count));
    routes
}

fn points(samples: &[Sample]) -> Vec<Point> {
    let mut ages = 0.0;
    let groups: Vec<_> =
        samples.chunk_by(|a, b| a.number / PER_POINT == b.number / PER_POINT).collect();
    let mut points: Vec<_> = groups
        .into_iter()
        .rev()
        .map(|group| {
            let requests = Sum::of(group, None).requests();
            let age = ages + requests.seconds / 2.0;
            ages += requests.seconds;
            let models = group.iter().flat_map(|sample| &sample.counted.models);
            Point {
                age,
                requests,
                fallbacks: models.map(|(_, calls)| u64::from(calls.as_fallback)).sum(),
                lag_seconds: group
                    .iter()
                    .filter_map(|sample| sample.counted.lag)
                    .max()
                    .map(|lag| lag.as_secs_f64()),
                breaker_open: group.iter().any(|sample| sample.counted.is_open),
            }
        })
        .collect();
    points.reverse();
    points
}

fn models(snapshot: &Snapshot, samples: &[Sample]) -> Vec<Model> {
    let mut sums = BTreeMap::<&str, ([u64; BUCKETS], [u64; 4])>::new();
    for (name, calls) in samples.iter().flat_map(|sample| &sample.counted.models) {
        let (buckets, counts) = sums.entry(name).or_default();
        add(buckets, &calls.buckets);
        let calls = [calls.answered, calls.as_fallback, calls.declined, calls.failed];
        counts.iter_mut().zip(calls).for_each(|(sum, number)| *sum += u64::from(number));
    }
    let model = |info: sparrow_engine::ModelInfo| {
        let (buckets, counts) = sums.get(&*info.name).copied().unwrap_or_default();
        let [answered, as_fallback, declined, failed] = counts;
        Model {
            name: info.name.to_string(),
            kind: info.kind,
            state: info.status.state.as_str(),
            reason: info.status.trouble.as_ref().map(ToString::to_string),
            version: info.status.version,
            fallback: info.fallback.map(|name| name.to_string()),
            answered,
            as_fallback,
            declined,
            failed,
            times: Times::of(&buckets),
        }
    };
    snapshot.engine.models().into_iter().map(model).collect()
}

fn stores(snapshot: &Snapshot, samples: &[Sample]) -> Vec<Store> {
    let source = &snapshot.source;
    let features =
        source.store.as_ref().map(|store| (store.reader.address(), store.reader.trouble()));
    let live = source.live.as_ref().map(|live| (live.store.address(), None));
    let named = [("features", features), ("live", live)].into_iter().enumerate();
    let healths = snapshot.store_health();
    named
        .filter_map(|(index, (name, store))| {
            let (address, trouble) = store?;
            let (mut buckets, mut failed) = ([0; BUCKETS], 0);
            for sample in samples {
                add(&mut buckets, &sample.counted.stores[index].buckets);
                failed += u64::from(sample.counted.stores[index].failed);
            }
            let circuit_breaker = match healths[index] {
                None => "none",
                Some(health) if health.is_open => "open",
                Some(_) => "closed",
            };
            Some(Store {
                name,
                address: address.to_owned(),
                circuit_breaker,
                trouble,
                calls: buckets.iter().sum(),
                failed,
                times: Times::of(&buckets),
            })
        })
        .collect()
}

fn live(snapshot: &Snapshot, samples: &[Sample]) -> Option<Live> {
    let store = &snapshot.source.live.as_ref()?.store;
    let following = |(name, consumer): (&'static str, &Consumer)| {
        let status = consumer.is_running().then(|| consumer.status())?;
        Some(Following {
            name,
            lag_seconds: status.lag.as_secs_f64(),
            pending: status.pending,
            failures: status.failures,
            trouble: status.trouble,
        })
    };
    let consumers = snapshot.consumers.as_deref();
    let consumers =
        consumers.map(|all| [("statistics", &all.statistics), ("projector", &all.projector)]);
    Some(Live {
        durability: store.durability().to_string(),
        writes: samples.iter().map(|sample| u64::from(sample.counted.writes)).sum(),
        consumers: consumers.into_iter().flatten().filter_map(following).collect(),
    })
}

fn experiments(call: &Call<'_>) -> Vec<Experiment> {
    let experiments = call.shared.experiments.get();
    let experiments = experiments.iter().flat_map(|all| all.iter());
    experiments
        .map(|experiment| {
            let ranges = &experiment.rules.ranges;
            let whole: f64 = ranges.iter().map(|range| range.end - range.start).sum();
            let variants = experiment.variants.iter().zip(ranges);
            let variant = |(variant, range): (&crate::Variant, &_)| Variant {
                name: variant.name.to_string(),
                model: match &variant.model {
                    VariantModel::Default => "default".to_owned(),
                    VariantModel::Named(name) => name.to_string(),
                    VariantModel::Interleaved([one, two]) => format!("{one} and {two}"),
                },
                share: share_of(range, whole),
            };
            Experiment {
                name: experiment.name.to_string(),
                active: experiment.rules.active,
                variants: variants.map(variant).collect(),
            }
        })
        .collect()
}

fn share_of(range: &sparrow_experiments::BucketRange, whole: f64) -> f64 {
    if whole > 0.0 { (range.end - range.start) / whole } else { 0.0 }
}

/// Whether a model ranks.
fn is_ready(state: &str) -> bool {
    state == State::Ready.as_str()
}
