//! Samples of metrics, and their encoding.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use sparrow_metrics::{BOUNDS, DurationCounts};

use super::definitions::{Kind, Metric};

/// The value of a sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Count(u64),
    Number(f64),
    Durations(DurationCounts),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<DurationCounts> for Value {
    fn from(counts: DurationCounts) -> Self {
        Self::Durations(counts)
    }
}

/// The values of the labels, in the order of the metric.
type Labels = Vec<Cow<'static, str>>;

/// The samples of all metrics.
#[derive(Debug, Default)]
pub(super) struct Exposition(Vec<(&'static Metric, Vec<(Labels, Value)>)>);

impl Exposition {
    /// Adds a sample of a metric without labels.
    pub(super) fn add(&mut self, metric: &'static Metric, value: impl Into<Value>) {
        self.add_labelled(metric, Vec::new(), value);
    }

    /// Adds a sample. A label with an empty value is left out.
    pub(super) fn add_labelled(
        &mut self,
        metric: &'static Metric,
        labels: Labels,
        value: impl Into<Value>,
    ) {
        let sample = (labels, value.into());
        match self.0.iter_mut().find(|(known, _)| known.name == metric.name) {
            Some((_, samples)) => samples.push(sample),
            None => self.0.push((metric, vec![sample])),
        }
    }
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (metric, samples) in &self.0 {
            let kind = match metric.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut family =
                encoder.encode_descriptor(metric.name, metric.help, metric.unit, kind)?;
            for (labels, value) in samples {
                let named = metric.labels.iter().copied().zip(labels.iter().map(|value| &**value));
                let labels: Vec<(&str, &str)> =
                    named.filter(|(_, value)| !value.is_empty()).collect();
                if labels.is_empty() {
                    encode_value(&mut family, metric.kind, value)?;
                } else {
                    encode_value(&mut family.encode_family(&labels)?, metric.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_value(
    encoder: &mut MetricEncoder<'_>,
    kind: Kind,
    value: &Value,
) -> Result<(), fmt::Error> {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(count, None)
        }
        (Kind::Counter, Value::Number(number)) => {
            encoder.encode_counter::<NoLabelSet, _, u64>(number, None)
        }
        (_, Value::Count(count)) => encoder.encode_gauge(&(*count as f64)),
        (_, Value::Number(number)) => encoder.encode_gauge(number),
        (_, Value::Durations(counts)) => {
            let bounds = BOUNDS.iter().map(|&nanos| nanos as f64 / 1e9).chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = bounds.zip(counts.buckets).collect();
            let sum = counts.sum.as_secs_f64();
            encoder.encode_histogram::<NoLabelSet>(sum, counts.count(), &buckets, None)
        }
    }
}
