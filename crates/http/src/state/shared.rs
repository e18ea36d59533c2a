//! The state that all connections of a server share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::Notify;

use crate::auth::CurrentAuth;
use crate::policy::rates::Rates;
use crate::state::access_log::AccessLogger;
use crate::state::admission::Admission;
use crate::state::experiments::{Exposures, InForce};
use crate::state::history::History;
use crate::state::in_flight::InFlight;
use crate::state::limiter::Limiter;
use crate::state::metrics::ServerMetrics;
use crate::state::operations::Operations;
use crate::state::options::Options;
use crate::state::recommendation_ids::RecommendationIds;
use crate::state::snapshot::Snapshot;
use crate::state::tls::Tls;
use crate::state::traces::Tracer;
use crate::state::web_files::WebFiles;

/// The state of a server.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Arc<Options>,
    pub(crate) auth: CurrentAuth,
    pub(crate) rates: Rates,
    pub(crate) admission: Admission,
    pub(crate) rankings: Limiter,
    /// Rankings by versions of models that have not been measured.
    pub(crate) first_rankings: Limiter,
    pub(crate) in_flight: InFlight,
    pub(crate) recommendation_ids: RecommendationIds,
    /// `None` if they are off.
    pub(crate) metrics: Option<ServerMetrics>,
    pub(crate) history: History,
    pub(crate) experiments: InForce,
    pub(crate) exposures: Exposures,
    pub(crate) request_ids: RecommendationIds,
    /// `Cache-Control` of answers about movies alone.
    pub(crate) catalog_caching: Option<HeaderValue>,
    access_log: OnceLock<AccessLogger>,
    tracer: OnceLock<Tracer>,
    tls: OnceLock<Arc<dyn Tls>>,
    operations: Mutex<Arc<Operations>>,
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    /// The number of published snapshots: connections compare it without a lock.
    publications: AtomicU64,
    /// Set when the server is asked to shut down.
    draining: AtomicBool,
    /// Set after [`Options::drain_delay`], before `stop` wakes the connections.
    stopping: AtomicBool,
    pub(crate) stop: Notify,
    /// The files of the web pages.
    pub(crate) web: WebFiles,
}

/// The snapshot that a connection used last, with the number of publications at that time.
pub(crate) type LastSnapshot = Mutex<(u64, Option<Arc<Snapshot>>)>;

/// Shared caches may keep answers for a time. Browsers ask again: their users see at once what they changed.
fn caching(shared: Duration) -> Option<HeaderValue> {
    let seconds = Some(shared.as_secs()).filter(|&seconds| seconds > 0)?;
    HeaderValue::try_from(format!("public, max-age=0, s-maxage={seconds}")).ok()
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let rankings = if options.max_rankings == 0 { cores() } else { options.max_rankings };
        let waiting = rankings.saturating_mul(options.waiting_rankings);
        let limiter = |what| Limiter::new(rankings, waiting, what);
        Self {
            recommendation_ids: RecommendationIds::new(),
            metrics: options.metrics.then(ServerMetrics::new),
            history: History::default(),
            experiments: InForce::default(),
            exposures: Exposures::default(),
            request_ids: RecommendationIds::new(),
            catalog_caching: caching(options.shared_cache),
            access_log: OnceLock::new(),
            tracer: OnceLock::new(),
            tls: OnceLock::new(),
            operations: Mutex::default(),
            in_flight: InFlight::new(options.max_bytes_in_flight),
            admission: Admission::new(options.max_requests, options.waiting_requests),
            rankings: limiter("long rankings"),
            first_rankings: limiter("first rankings"),
            rates: Rates::new(options.rates),
            auth: CurrentAuth::new(options.auth.clone()),
            web: WebFiles::load(&options.base_path),
            options: Arc::new(options),
            snapshot: Mutex::new(None),
            publications: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    /// The limits on concurrent requests, by their names in metrics.
    pub(crate) fn limiters(&self) -> impl Iterator<Item = (&'static str, &Limiter)> {
        let rankings = [("rankings", &self.rankings), ("first-rankings", &self.first_rankings)];
        self.admission.limiters().into_iter().chain(rankings)
    }

    /// The number of requests that were answered 503 because of a limit.
    pub(crate) fn shed(&self) -> u64 {
        let refused = self.limiters().map(|(_, limiter)| limiter.refused());
        refused.sum::<u64>() + self.in_flight.refused()
    }

    /// Sets what the program provides for operators. The access log is the first one, and so is the share of traced requests.
    pub(crate) fn operate(&self, mut operations: Operations) {
        if let Some(log) = operations.access_log.take() {
            let _ = self.access_log.set(AccessLogger::new(log));
        }
        if let Some(share) = operations.trace_sample {
            let _ = self.tracer.set(Tracer::new(share));
        }
        *self.operations.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(operations);
    }

    /// The access log, if there is one.
    pub(crate) fn access_log(&self) -> Option<&AccessLogger> {
        self.access_log.get()
    }

    /// Decides which requests are traced, if any are.
    pub(crate) fn tracer(&self) -> Option<&Tracer> {
        self.tracer.get()
    }

    /// Encrypts connections; the first call counts.
    pub(crate) fn set_tls(&self, tls: Arc<dyn Tls>) {
        let _ = self.tls.set(tls);
    }

    /// What encrypts connections, if anything does.
    pub(crate) fn tls(&self) -> Option<&dyn Tls> {
        self.tls.get().map(|tls| &**tls)
    }

    /// Counts a refused connection, for the reason with this index in [`REFUSALS`](crate::state::metrics::REFUSALS).
    pub(crate) fn count_refusal(&self, reason: usize) {
        if let Some(metrics) = &self.metrics {
            metrics.refused[reason].add(1);
        }
    }

    /// What the program provides for operators.
    pub(crate) fn operations(&self) -> Arc<Operations> {
        Arc::clone(&self.operations.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some(snapshot);
        self.publications.fetch_add(1, Ordering::Release);
    }

    /// The current snapshot; takes the common lock only after a publication.
    pub(crate) fn current(&self, last: &LastSnapshot) -> Option<Arc<Snapshot>> {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        let publications = self.publications.load(Ordering::Acquire);
        if last.0 != publications {
            let snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            *last = (publications, snapshot);
        }
        last.1.clone()
    }

    /// Makes the server not ready.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the server was asked to shut down: it is no longer ready.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Begins shutdown, and wakes all connections.
    pub(crate) fn begin_shutdown(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }

    /// Whether shutdown has begun: each answer is the last one on its connection.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
