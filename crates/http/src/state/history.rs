//! What the server did in the last hour, for the page for operators: differences of counters in a ring of samples.
//!
//! The thread of the admin port takes the samples, so requests pay nothing for them. A sample has an entry per route with
//! requests and per model: the ring takes at most 2.5 MB, and 50 KB per model.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sparrow_metrics::{BUCKETS, DurationCounts, Health};

use crate::state::metrics::{MOST_ROUTES, ServerMetrics};
use crate::state::snapshot::Snapshot;

/// Between two samples.
pub(crate) const STEP: Duration = Duration::from_secs(10);
/// An hour.
const SAMPLES: usize = 360;

/// The samples of the last hour.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    last: Option<(Instant, Counted)>,
    samples: VecDeque<Sample>,
    /// The number of samples so far.
    taken: usize,
}

/// Answers and their times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) buckets: [u32; BUCKETS],
    /// Those of them with a status from 400 to 499.
    pub(crate) client_errors: u32,
    /// Those of them with a status from 500 on.
    pub(crate) server_errors: u32,
}

/// What a model did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ModelCalls {
    pub(crate) buckets: [u32; BUCKETS],
    pub(crate) answered: u32,
    pub(crate) declined: u32,
    pub(crate) failed: u32,
    /// Answers as the fallback of another model.
    pub(crate) as_fallback: u32,
}

/// The calls of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StoreCalls {
    pub(crate) buckets: [u32; BUCKETS],
    pub(crate) failed: u32,
}

/// Counters since the start, or their differences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// By the index of the route.
    pub(crate) routes: Vec<(usize, Answers)>,
    pub(crate) shed: u32,
    pub(crate) models: Vec<(Arc<str>, ModelCalls)>,
    /// Of the feature store and the store for live data.
    pub(crate) stores: [StoreCalls; 2],
    /// Accepted changes of live data.
    pub(crate) writes: u32,
    /// The delay of the consumers of live data that run.
    pub(crate) lag: Option<Duration>,
    /// Whether the circuit breaker of a store is open.
    pub(crate) is_open: bool,
}

/// A part of the last hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Its number since the start of the server.
    pub(crate) number: usize,
    pub(crate) took: Duration,
    pub(crate) counted: Counted,
}

impl History {
    /// Adds the difference from the last reading; the first one is only the basis of the next.
    pub(crate) fn sample(&self, counted: Counted, now: Instant) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sample) = ring.next(&counted, now) {
            if ring.samples.len() == SAMPLES {
                ring.samples.pop_front();
            }
            ring.samples.push_back(sample);
            ring.taken += 1;
        }
        ring.last = Some((now, counted));
    }

    /// The samples, oldest first; the last one is the time since then.
    pub(crate) fn until(&self, counted: &Counted, now: Instant) -> Vec<Sample> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.samples.iter().cloned().chain(ring.next(counted, now)).collect()
    }
}

impl Ring {
    fn next(&self, counted: &Counted, now: Instant) -> Option<Sample> {
        let (then, last) = self.last.as_ref()?;
        let took = now.duration_since(*then);
        Some(Sample { number: self.taken, took, counted: counted.since(last) })
    }
}

impl Counted {
    /// The counters of a server that has refused `shed` requests.
    pub(crate) fn read(
        metrics: Option<&ServerMetrics>,
        shed: u64,
        snapshot: Option<&Snapshot>,
    ) -> Self {
        let mut counted = Self::default();
        if let Some(metrics) = metrics {
            let mut routes = [(); MOST_ROUTES].map(|()| Answers::default());
            for (route, _, status, counts) in metrics.requests() {
                let answers = &mut routes[route];
                add(&mut answers.buckets, &counts);
                let number = narrow(counts.count());
                match status {
                    400..500 => answers.client_errors = answers.client_errors.wrapping_add(number),
                    500.. => answers.server_errors = answers.server_errors.wrapping_add(number),
                    _ => {}
                }
            }
            let used = |(_, answers): &(usize, Answers)| *answers != Answers::default();
            counted.routes = routes.into_iter().enumerate().filter(used).collect();
            let accepted = metrics.writes().filter(|(_, outcome, _)| *outcome == "accepted");
            counted.writes = narrow(accepted.map(|(.., count)| count).sum());
        }
        counted.shed = narrow(shed);
        let Some(snapshot) = snapshot else { return counted };
        let engine = &snapshot.engine;
        for (model, durations) in engine.models().into_iter().zip(engine.model_durations()) {
            let mut calls = ModelCalls {
                answered: narrow(model.counts.answered),
                declined: narrow(model.counts.declined),
                failed: narrow(model.counts.failed),
                as_fallback: narrow(model.counts.stood_in),
                ..ModelCalls::default()
            };
            add(&mut calls.buckets, &durations);
            counted.models.push((model.name, calls));
        }
        for (calls, health) in counted.stores.iter_mut().zip(snapshot.store_health()) {
            let Some(Health { calls: of_store, is_open }) = health else { continue };
            counted.is_open |= is_open;
            for (_, outcome, counts) in of_store.counts() {
                add(&mut calls.buckets, &counts);
                if outcome != "ok" {
                    calls.failed = calls.failed.wrapping_add(narrow(counts.count()));
                }
            }
        }
        let consumers = snapshot.consumers.as_deref();
        let consumers = consumers.map(|all| [&all.statistics, &all.projector]);
        let running = consumers.into_iter().flatten().filter(|consumer| consumer.is_running());
        counted.lag = running.map(|consumer| consumer.status().lag).max();
        counted
    }

    fn since(&self, last: &Self) -> Self {
        let routes = self.routes.iter().filter_map(|(route, answers)| {
            let before = last.routes.iter().find(|(other, _)| other == route);
            let answers = answers.since(&before.map_or_else(Answers::default, |(_, a)| *a));
            (answers != Answers::default()).then_some((*route, answers))
        });
        let models = self.models.iter().map(|(name, calls)| {
            let before = last.models.iter().find(|(other, _)| other == name);
            let before = before.map_or_else(ModelCalls::default, |(_, calls)| *calls);
            (Arc::clone(name), calls.since(&before))
        });
        let mut stores = self.stores;
        for (store, before) in stores.iter_mut().zip(&last.stores) {
            *store = StoreCalls {
                buckets: differences(&store.buckets, &before.buckets),
                failed: difference(store.failed, before.failed),
            };
        }
        Self {
            routes: routes.collect(),
            shed: difference(self.shed, last.shed),
            models: models.collect(),
            stores,
            writes: difference(self.writes, last.writes),
            lag: self.lag,
            is_open: self.is_open,
        }
    }
}

impl Answers {
    fn since(&self, last: &Self) -> Self {
        Self {
            buckets: differences(&self.buckets, &last.buckets),
            client_errors: difference(self.client_errors, last.client_errors),
            server_errors: difference(self.server_errors, last.server_errors),
        }
    }
}

impl ModelCalls {
    fn since(&self, last: &Self) -> Self {
        // A model that was loaded again counts from 0.
        let last = if self.answered < last.answered && last.answered - self.answered < u32::MAX / 2
        {
            &Self::default()
        } else {
            last
        };
        Self {
            buckets: differences(&self.buckets, &last.buckets),
            answered: difference(self.answered, last.answered),
            declined: difference(self.declined, last.declined),
            failed: difference(self.failed, last.failed),
            as_fallback: difference(self.as_fallback, last.as_fallback),
        }
    }
}

/// The low bits of a counter: differences of them are right.
const fn narrow(count: u64) -> u32 {
    count as u32
}

fn add(buckets: &mut [u32; BUCKETS], counts: &DurationCounts) {
    for (bucket, count) in buckets.iter_mut().zip(counts.buckets) {
        *bucket = bucket.wrapping_add(narrow(count));
    }
}

/// What a counter has counted; 0 for one that began again, or whose parts were read while they changed.
fn difference(now: u32, last: u32) -> u32 {
    let difference = now.wrapping_sub(last);
    if difference > u32::MAX / 2 { 0 } else { difference }
}

fn differences(now: &[u32; BUCKETS], last: &[u32; BUCKETS]) -> [u32; BUCKETS] {
    std::array::from_fn(|bucket| difference(now[bucket], last[bucket]))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn counted(requests: u32, errors: u32) -> Counted {
        let mut answers = Answers { server_errors: errors, ..Answers::default() };
        answers.buckets[3] = requests;
        Counted { routes: vec![(7, answers)], shed: requests / 10, ..Counted::default() }
    }

    #[test]
    fn samples_are_differences_and_end_with_the_time_since_the_last() {
        let (history, start) = (History::default(), Instant::now());
        assert!(history.until(&counted(50, 1), start).is_empty());
        history.sample(counted(100, 2), start);
        history.sample(counted(130, 2), start + STEP);
        let samples = history.until(&counted(135, 4), start + STEP + Duration::from_secs(3));
        assert_eq!(samples.len(), 2);
        assert_eq!((samples[0].took, samples[0].counted.clone()), (STEP, counted(30, 0)));
        let [(7, last)] = samples[1].counted.routes[..] else { panic!("{samples:?}") };
        assert_eq!((last.buckets[3], last.server_errors), (5, 2));
        assert_eq!((samples[1].number, samples[1].took.as_secs()), (1, 3));
    }

    #[test]
    fn ring_keeps_an_hour() {
        let (history, start) = (History::default(), Instant::now());
        for step in 0..=2 * SAMPLES as u32 {
            history.sample(counted(step, 0), start + STEP * step);
        }
        let samples = history.until(&counted(721, 0), start + STEP * 720);
        assert_eq!(samples.len(), SAMPLES + 1);
        assert_eq!(samples[0].number, SAMPLES);
        let taken = history.0.lock().unwrap().samples.capacity();
        assert!(taken < 2 * SAMPLES, "{taken}");
    }

    #[test]
    fn counters_that_begin_again_count_from_0_and_routes_without_requests_are_left_out() {
        let calls = |answered| {
            let calls = ModelCalls { answered, ..ModelCalls::default() };
            Counted { models: vec![("emb".into(), calls)], ..counted(10, 0) }
        };
        let since = calls(3).since(&calls(100));
        assert_eq!(since.models[0].1.answered, 3);
        assert_eq!(since.routes, []);
        // A counter beyond 32 bits.
        assert_eq!(calls(5).since(&calls(u32::MAX)).models[0].1.answered, 6);
    }
}
