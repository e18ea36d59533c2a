use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::hash::Hash;
use std::io::{IsTerminal, stderr};
use std::panic;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_http::LogFilter;
use sparrow_otlp::Exporter;
use sparrow_process::Stream;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};
use tracing_subscriber::filter::FilterExt as _;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt as lines, registry, reload};

use crate::Error;
use crate::config::{Log, LogFormat, Tracing};

/// Warnings and errors of one origin that are logged within [`WINDOW`]; further ones are counted.
const REPEATS: u64 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Starts writing log lines to standard error, and exporting spans if it is configured. Panics become log lines too.
pub(crate) fn start(
    log: &Log,
    tracing: &Tracing,
    version: &str,
    errors: &Stream,
) -> Result<Telemetry, Error> {
    let filter = parse_filter(&log.filter)
        .map_err(|error| Error::Setting(format!("log.filter {:?}: {error}", log.filter)))?;
    let (filter, reload) = reload::Layer::new(filter);
    let repeats = Arc::new(Repeats::<Identifier>::default());
    let errors = errors.clone();
    let lines = lines::layer()
        .with_writer(move || errors.clone())
        .with_ansi(stderr().is_terminal())
        // The stream counts lines that cannot be written.
        .log_internal_errors(false);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let (spans, exporter) = match exporter_options(tracing, version) {
        Some(options) => {
            let (spans, exporter) = sparrow_otlp::start(options)
                .map_err(|error| Error::Setting(format!("tracing.endpoint: {error}")))?;
            (Some(spans), Some(exporter))
        }
        None => (None, None),
    };
    registry()
        .with(lines.with_filter(filter.and(Limit(Arc::clone(&repeats)))))
        .with(spans)
        .try_init()
        .map_err(|error| Error::Setting(format!("a logger is already installed: {error}")))?;
    let reporting = Arc::clone(&repeats);
    thread::Builder::new()
        .name("log-repeats".to_owned())
        .spawn(move || reporting.report_forever())
        .map_err(Error::system("start a thread"))?;
    panic::set_hook(Box::new(|info| {
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            tracing::error!("{info}\n{backtrace}");
        } else {
            tracing::error!("{info}");
        }
    }));
    Ok(Telemetry { exporter, repeats, filter: Arc::new(ReloadedFilter(reload)) })
}

/// Reports suppressed lines when it is dropped.
pub(crate) struct Telemetry {
    exporter: Option<Exporter>,
    repeats: Arc<Repeats<Identifier>>,
    filter: Arc<ReloadedFilter>,
}

impl Telemetry {
    /// Whether spans are exported.
    pub(crate) const fn exports_spans(&self) -> bool {
        self.exporter.is_some()
    }

    /// The filter of log lines, which operators may replace.
    pub(crate) fn filter(&self) -> Arc<dyn LogFilter> {
        Arc::clone(&self.filter) as Arc<dyn LogFilter>
    }
}

/// The options of the exporter of spans; `None` if tracing is off.
pub(crate) fn exporter_options(tracing: &Tracing, version: &str) -> Option<sparrow_otlp::Options> {
    let endpoint = tracing.endpoint.clone().filter(|_| tracing.sample > 0.0)?;
    Some(sparrow_otlp::Options {
        endpoint,
        ca_file: tracing.ca_file.clone(),
        service_name: tracing.service_name.clone(),
        service_version: version.to_owned(),
    })
}

fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|error| error.to_string())
}

#[derive(Debug)]
struct ReloadedFilter(reload::Handle<EnvFilter, Registry>);

impl LogFilter for ReloadedFilter {
    fn get(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }

    fn set(&self, filter: &str) -> Result<(), String> {
        let filter = crate::config::checked_filter(filter)?;
        self.0.reload(parse_filter(&filter)?).map_err(|error| error.to_string())
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.repeats.report(Instant::now() + WINDOW);
    }
}

/// Logs the number of dropped log lines.
pub(crate) fn report_lost(lost: u64) {
    tracing::warn!(lost, "log lines were lost: standard error was full or not read");
}

/// Passes a bounded number of warnings and errors per origin.
struct Limit(Arc<Repeats<Identifier>>);

impl<S> Filter<S> for Limit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::WARN || metadata.target() == module_path!() {
            return true;
        }
        let message = || {
            let mut message = Message::default();
            event.record(&mut message);
            message.0
        };
        self.0.admit(metadata.callsite(), metadata.target(), message, Instant::now())
    }
}

/// The message of an event, without its fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}

/// Recent log lines by origin.
#[derive(Debug)]
struct Repeats<Origin> {
    windows: Mutex<HashMap<Origin, Window>>,
    suppressed: Condvar,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    lines: u64,
    target: &'static str,
    /// The message of the first suppressed line.
    message: String,
}

impl Window {
    fn suppressed(&self) -> u64 {
        self.lines.saturating_sub(REPEATS)
    }
}

impl<Origin> Default for Repeats<Origin> {
    fn default() -> Self {
        Self { windows: Mutex::default(), suppressed: Condvar::new() }
    }
}

impl<Origin: Eq + Hash> Repeats<Origin> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(
        &self,
        origin: Origin,
        target: &'static str,
        message: impl FnOnce() -> String,
        now: Instant,
    ) -> bool {
        let mut windows = self.lock();
        let fresh = || Window { began: now, lines: 0, target, message: String::new() };
        let window = windows.entry(origin).or_insert_with(fresh);
        // Windows with suppressed lines end when they are reported.
        if window.suppressed() == 0 && now.duration_since(window.began) >= WINDOW {
            *window = fresh();
        }
        window.lines += 1;
        if window.suppressed() == 1 {
            window.message = message();
            self.suppressed.notify_one();
        }
        window.suppressed() == 0
    }

    /// Takes the windows with suppressed lines that have ended.
    fn ended(&self, now: Instant) -> Vec<Window> {
        self.lock()
            .extract_if(|_, window| {
                window.suppressed() > 0 && now.duration_since(window.began) >= WINDOW
            })
            .map(|(_, window)| window)
            .collect()
    }

    fn report_forever(&self) {
        loop {
            let windows = self.lock();
            let none = |windows: &mut HashMap<Origin, Window>| {
                windows.values().all(|window| window.suppressed() == 0)
            };
            drop(self.suppressed.wait_while(windows, none));
            thread::sleep(WINDOW / 10);
            self.report(Instant::now());
        }
    }

    fn report(&self, now: Instant) {
        for window in self.ended(now) {
            tracing::warn!(
                origin = window.target,
                suppressed = window.suppressed(),
                "suppressed repeated log lines: {}",
                window.message
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_of_one_origin_are_suppressed_and_counted() {
        let [one, two] = ["one", "two"];
        let repeats = Repeats::default();
        let start = Instant::now();
        let admit = |origin, now| repeats.admit(origin, "test", || "full".to_owned(), now);
        for _ in 0..REPEATS {
            assert!(admit(one, start));
        }
        for _ in 0..50 {
            assert!(!admit(one, start));
        }
        assert!(admit(two, start));
        assert!(repeats.ended(start).is_empty());
        let [window] = &repeats.ended(start + WINDOW)[..] else { panic!("one has ended") };
        assert_eq!((window.suppressed(), &*window.message), (50, "full"));
        assert!(admit(one, start + WINDOW));
        // Rare lines are never suppressed.
        for round in 0..50 {
            assert!(admit(two, start + WINDOW * round));
        }
    }

    #[test]
    fn replaced_filter_applies_and_misspelt_ones_are_refused() {
        let (layer, handle) = reload::Layer::new(parse_filter("info").expect("a filter"));
        let filter = ReloadedFilter(handle);
        let lines = lines::layer().with_writer(std::io::sink).with_filter(layer);
        tracing::subscriber::with_default(registry().with(lines), || {
            assert!(tracing::enabled!(Level::INFO) && !tracing::enabled!(Level::DEBUG));
            assert_eq!(filter.set("debug"), Ok(()));
            assert_eq!(filter.get(), "debug");
            assert!(tracing::enabled!(Level::DEBUG));
            assert!(filter.set("inof").is_err_and(|error| error.contains("info")));
            assert_eq!(filter.get(), "debug");
        });
    }
}
