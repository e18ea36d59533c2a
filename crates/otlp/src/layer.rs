//! Records spans.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sparrow_traces::TraceContext;
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use crate::Counters;
use crate::proto::{KeyValue, Span, Status, Value};

/// The fields of a root.
const TRACE: &str = "trace_id";
const PARENT: &str = "parent_id";

/// The bytes of the longest attribute; longer ones are cut.
const LONGEST: usize = 256;
/// Attributes of a span; further ones are dropped.
const MOST_ATTRIBUTES: usize = 32;

/// What the exporter receives.
pub(crate) enum Message {
    Span(Box<Span>),
    Flush,
}

/// The layer that records spans.
pub struct Spans {
    sender: mpsc::Sender<Message>,
    counters: Counters,
    hasher: RandomState,
    next: AtomicU64,
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// A span that is not closed yet.
#[derive(Debug)]
struct Open {
    context: TraceContext,
    span: Span,
}

impl Spans {
    pub(crate) fn new(sender: mpsc::Sender<Message>, counters: Counters) -> Self {
        sparrow_traces::provide(context_of);
        let (hasher, next) = (RandomState::new(), AtomicU64::new(0));
        Self { sender, counters, hasher, next }
    }

    /// An id that is not 0.
    fn new_id(&self) -> u64 {
        self.hasher.hash_one(self.next.fetch_add(1, Ordering::Relaxed)).max(1)
    }
}

/// The context of a recorded span.
fn context_of(dispatch: &Dispatch, id: &Id) -> Option<TraceContext> {
    let registry = dispatch.downcast_ref::<Registry>()?;
    let span = registry.span(id)?;
    let context = span.extensions().get::<Open>()?.context;
    Some(context)
}

fn nanos() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Spans {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Events are left to other layers.
        if may_be_recorded(metadata) { Interest::sometimes() } else { Interest::always() }
    }

    /// For all layers, since a span that only a filter of one layer rejects would still be made: roots, and spans with a
    /// recorded parent.
    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        let is_recorded = || {
            let parent = context.lookup_current();
            parent.is_some_and(|parent| parent.extensions().get::<Open>().is_some())
        };
        !may_be_recorded(metadata) || metadata.fields().field(TRACE).is_some() || is_recorded()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let parent = || Some(span.parent()?.extensions().get::<Open>()?.context);
        let (trace, parent) = match (fields.trace, parent()) {
            (Some(trace), _) => (trace, fields.parent),
            (None, Some(parent)) => (parent.trace, Some(parent.span)),
            (None, None) => return,
        };
        let own = TraceContext { trace, span: self.new_id(), is_sampled: true };
        let parent = parent.filter(|&parent| parent != 0);
        let mut open = Open {
            context: own,
            span: Span {
                trace_id: trace.to_be_bytes().to_vec(),
                span_id: own.span.to_be_bytes().to_vec(),
                parent_span_id: parent.map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
                name: attributes.metadata().name().to_owned(),
                kind: 1,
                start_time_unix_nano: nanos(),
                ..Span::default()
            },
        };
        fields.add_to(&mut open.span);
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(open) = extensions.get_mut::<Open>() {
            let mut fields = Fields::default();
            values.record(&mut fields);
            fields.add_to(&mut open.span);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(Open { mut span, .. }) = span.extensions_mut().remove::<Open>() else { return };
        span.end_time_unix_nano = nanos().max(span.start_time_unix_nano);
        if self.sender.try_send(Message::Span(Box::new(span))).is_err() {
            self.counters.count(false, 1);
        }
    }
}

/// Whether a callsite is a span of this workspace.
fn may_be_recorded(metadata: &Metadata<'_>) -> bool {
    metadata.is_span()
        && *metadata.level() <= Level::DEBUG
        && metadata.target().starts_with("sparrow")
}

/// The fields of a span.
#[derive(Default)]
struct Fields {
    trace: Option<u128>,
    parent: Option<u64>,
    name: Option<String>,
    kind: Option<i32>,
    is_error: bool,
    attributes: Vec<KeyValue>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        self.attributes.push(KeyValue::new(field.name(), value));
    }

    fn text(&mut self, field: &Field, mut text: String) {
        match field.name() {
            "otel.name" => self.name = Some(text),
            "otel.kind" => {
                self.kind = match &*text {
                    "server" => Some(2),
                    "client" => Some(3),
                    _ => None,
                };
            }
            "otel.status_code" => self.is_error = text.eq_ignore_ascii_case("error"),
            _ => {
                text.truncate(text.floor_char_boundary(LONGEST));
                self.add(field, Value::Text(text));
            }
        }
    }

    fn add_to(self, span: &mut Span) {
        if let Some(name) = self.name {
            span.name = name;
        }
        span.kind = self.kind.unwrap_or(span.kind);
        if self.is_error {
            span.status = Some(Status { message: String::new(), code: 2 });
        }
        for attribute in self.attributes {
            let known = span.attributes.iter().position(|other| other.key == attribute.key);
            if let Some(known) = known {
                span.attributes[known] = attribute;
            } else if span.attributes.len() < MOST_ATTRIBUTES {
                span.attributes.push(attribute);
            }
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::Double(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == PARENT {
            self.parent = Some(value);
        } else {
            self.add(field, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        if field.name() == TRACE {
            self.trace = Some(value);
        } else {
            self.text(field, value.to_string());
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use tracing::{debug_span, info_span};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// Spans that code records under a subscriber with this layer, whose queue has this length.
    fn recorded(queue: usize, code: impl FnOnce()) -> (Vec<Span>, Counters) {
        let (sender, mut receiver) = mpsc::channel(queue);
        let counters = Counters::default();
        let layer = Spans::new(sender, counters.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), code);
        let mut spans = Vec::new();
        while let Ok(Message::Span(span)) = receiver.try_recv() {
            spans.push(*span);
        }
        (spans, counters)
    }

    fn root() -> tracing::Span {
        debug_span!(
            "request",
            trace_id = 7_u128,
            parent_id = 9_u64,
            otel.name = "GET /a",
            otel.kind = "server",
            otel.status_code = tracing::field::Empty,
            status = tracing::field::Empty,
        )
    }

    #[test]
    fn spans_below_a_root_have_its_trace_and_others_are_not_recorded() {
        let (spans, counters) = recorded(10, || {
            assert!(debug_span!("alone").is_disabled());
            let root = root();
            root.in_scope(|| {
                let context = sparrow_traces::current().unwrap();
                assert_eq!((context.trace, context.is_sampled), (7, true));
                let child = info_span!("child", movies = 3_u64, text = "x".repeat(1000));
                child.in_scope(|| assert_ne!(sparrow_traces::current(), Some(context)));
                tracing::trace_span!("too detailed").in_scope(|| {});
            });
            root.record("status", 503).record("otel.status_code", "error");
            drop(root);
            assert_eq!(sparrow_traces::current(), None);
        });
        let [child, root] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((&*root.name, root.kind), ("GET /a", 2));
        assert_eq!(root.trace_id, 7_u128.to_be_bytes());
        assert_eq!(root.parent_span_id, 9_u64.to_be_bytes());
        assert_eq!(root.status.as_ref().unwrap().code, 2);
        assert_eq!(root.attributes, [KeyValue::new("status", Value::Int(503))]);
        assert_eq!((&*child.name, child.kind, &child.status), ("child", 1, &None));
        assert_eq!((&child.trace_id, &child.parent_span_id), (&root.trace_id, &root.span_id));
        let text = Value::Text("x".repeat(LONGEST));
        assert_eq!(
            child.attributes,
            [KeyValue::new("movies", Value::Int(3)), KeyValue::new("text", text)]
        );
        assert!(root.start_time_unix_nano <= child.start_time_unix_nano);
        assert!(child.end_time_unix_nano <= root.end_time_unix_nano);
        assert_eq!(counters.dropped(), 0);
    }

    #[test]
    fn spans_beyond_the_queue_are_dropped_and_counted() {
        let (spans, counters) = recorded(5, || (0..100).for_each(|_| drop(root())));
        assert_eq!((spans.len(), counters.dropped()), (5, 95));
    }
}
