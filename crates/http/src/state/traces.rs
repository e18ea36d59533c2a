//! Which requests are traced.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::HeaderMap;
use ring::rand::{SecureRandom as _, SystemRandom};
use sparrow_traces::{TRACEPARENT, TraceContext};

use crate::state::sample::Sample;

/// Decides which requests are traced.
#[derive(Debug)]
pub(crate) struct Tracer {
    sample: Sample,
    requests: AtomicU64,
    random: SystemRandom,
}

/// A request that is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Traced {
    /// The id of the trace.
    pub(crate) trace: u128,
    /// The span of the caller; 0 without one.
    pub(crate) parent: u64,
}

impl Traced {
    /// The id of the trace as in headers.
    pub(crate) fn id(self) -> String {
        format!("{:032x}", self.trace)
    }
}

impl Tracer {
    /// For a share of the requests, from 0 to 1.
    pub(crate) fn new(share: f64) -> Self {
        let (sample, requests) = (Sample::new(share), AtomicU64::new(0));
        Self { sample, requests, random: SystemRandom::new() }
    }

    /// Whether a request is traced. A caller that sends its context has decided.
    pub(crate) fn trace(&self, headers: &HeaderMap) -> Option<Traced> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        let context = match (given.next(), given.next()) {
            (Some(header), None) => TraceContext::parse(header.as_bytes()),
            _ => None,
        };
        if let Some(context) = context {
            let traced = Traced { trace: context.trace, parent: context.span };
            return context.is_sampled.then_some(traced);
        }
        if !self.sample.includes(self.requests.fetch_add(1, Ordering::Relaxed)) {
            return None;
        }
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes).ok()?;
        Some(Traced { trace: u128::from_be_bytes(bytes).max(1), parent: 0 })
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn headers(values: &[&'static str]) -> HeaderMap {
        let values = values.iter().map(|value| HeaderValue::from_static(value));
        values.map(|value| (hyper::header::HeaderName::from_static(TRACEPARENT), value)).collect()
    }

    #[test]
    fn callers_decide_and_otherwise_a_share_of_the_requests_is_traced() {
        let sampled = "00-0000000000000000000000000000000a-000000000000000b-01";
        let not_sampled = "00-0000000000000000000000000000000a-000000000000000b-00";
        for share in [0.001, 1.0] {
            let tracer = Tracer::new(share);
            assert_eq!(tracer.trace(&headers(&[sampled])), Some(Traced { trace: 10, parent: 11 }));
            assert_eq!(tracer.trace(&headers(&[not_sampled])), None);
        }
        let tracer = Tracer::new(0.25);
        let count = (0..1000).filter(|_| tracer.trace(&headers(&[])).is_some()).count();
        assert!(count.abs_diff(250) <= 2, "{count}");
        // Malformed and repeated contexts count as none.
        let tracer = Tracer::new(1.0);
        for values in [&["x"][..], &[sampled, sampled]] {
            let new =
                tracer.trace(&headers(values)).map(|traced| (traced.trace == 10, traced.parent));
            assert_eq!(new, Some((false, 0)), "{values:?}");
        }
    }
}
