//! How long rankings hold their threads: long ones must not block the threads that serve connections.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sparrow_engine::{Candidates, Engine, Request};

/// What may take the time of a thread that serves connections.
const SHORT: Duration = Duration::from_millis(1);

/// A slow ranking adds this many points to its model, a fast one takes one away.
const SLOW_POINTS: u64 = 16;
/// From here on a model's rankings are long. A single slow one is none of the model's doing on a busy machine, but
/// one in sixteen is.
const LONG_POINTS: u64 = 2 * SLOW_POINTS;
/// Longer lists that are re-ranked for diversity are long rankings.
const MOST_DIVERSE: usize = 50;

const MOST_POINTS: u64 = 3 * SLOW_POINTS;

/// What a ranking costs a thread, as far as is known beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// A thread that serves connections can do it in passing.
    Short,
    /// Nothing was measured of the version in force.
    Unknown,
    /// It is for another thread.
    Long,
}

/// How long recent rankings of recalled candidates held their threads, by the model that was asked for and the recall mix.
#[derive(Debug)]
pub(crate) struct RankingTimes {
    /// By the index of the model in the engine: one for the default mix, and one for each other mix.
    models: Vec<Model>,
}

#[derive(Debug)]
struct Model {
    /// Whether it is at a model server: waiting for that holds no thread.
    waits: bool,
    record: AtomicU64,
}

/// What was measured of a revision of a model, packed into a number: the revision, and above that a point more than
/// it has; 0 before the first measurement.
#[derive(Debug, Clone, Copy)]
struct Record {
    revision: u64,
    points: Option<u64>,
}

impl Record {
    const BITS: u32 = 8;

    fn unpack(packed: u64) -> Self {
        let points = packed & ((1 << Self::BITS) - 1);
        Self { revision: packed >> Self::BITS, points: points.checked_sub(1) }
    }

    fn pack(self) -> u64 {
        self.revision << Self::BITS | self.points.map_or(0, |points| points + 1)
    }
}

/// The expected cost of a request, and the model version whose times predict it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RankingCost {
    cost: Cost,
    /// The index in [`RankingTimes::models`], and the revision; `None` if no time is to be recorded.
    model: Option<(usize, u64)>,
}

impl RankingCost {
    pub(crate) const fn cost(&self) -> Cost {
        self.cost
    }
}

impl RankingTimes {
    pub(crate) fn new(engine: &Engine) -> Self {
        let model = |waits| Model { waits, record: AtomicU64::new(0) };
        let mixes = 0..=engine.recall_mixes().len();
        let of_mixes = |waits| mixes.clone().map(move |_| model(waits));
        let models = engine.models().into_iter();
        Self { models: models.flat_map(|known| of_mixes(known.kind == "tf-serving")).collect() }
    }

    /// The expected cost of a request. Rankings of the whole catalogue, long lists that are re-ranked for diversity, and
    /// rankings by a model that was slow recently, by itself or by its fallback, are long.
    pub(crate) fn cost_of(&self, engine: &Engine, request: &Request<'_>) -> RankingCost {
        // Re-ranking for diversity grows with the square of the size, and is not a cost of the model.
        let is_diverse = request.diversity > 0.0 && request.size > MOST_DIVERSE;
        if request.candidates == Candidates::All || is_diverse {
            return RankingCost { cost: Cost::Long, model: None };
        }
        let model = engine.revision(request.model).zip(engine.find_recall_mix(request.recall).ok());
        let model = model.map(|((index, revision), mix)| {
            (index * (1 + engine.recall_mixes().len()) + mix, revision)
        });
        // An unknown model is an error, which costs nothing.
        let cost = model.map_or(Cost::Short, |(index, revision)| self.cost(index, revision));
        RankingCost { cost, model }
    }

    fn cost(&self, index: usize, revision: u64) -> Cost {
        let model = &self.models[index];
        let record = Record::unpack(model.record.load(Ordering::Relaxed));
        match record.points.filter(|_| record.revision == revision) {
            Some(points) if points >= LONG_POINTS => Cost::Long,
            None if !model.waits => Cost::Unknown,
            _ => Cost::Short,
        }
    }

    /// Records the time for which a ranking held its thread.
    pub(crate) fn record(&self, cost: &RankingCost, held: Duration) {
        let Some((index, revision)) = cost.model else { return };
        let known = &self.models[index].record;
        let before = Record::unpack(known.load(Ordering::Relaxed));
        if before.revision > revision {
            return;
        }
        let slow = held > SHORT;
        let points = match before.points.filter(|_| before.revision == revision) {
            None if slow => LONG_POINTS,
            None => 0,
            Some(points) if slow => (points + SLOW_POINTS).min(MOST_POINTS),
            Some(points) => points.saturating_sub(1),
        };
        let after = Record { revision, points: Some(points) }.pack();
        // The usual case writes nothing. Notes that are lost between threads do not matter.
        if after != before.pack() {
            known.store(after, Ordering::Relaxed);
        }
    }
}

/// The output of a future, and how long it held the thread: waiting does not count.
pub(crate) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let mut future = pin!(future);
    let mut held = Duration::ZERO;
    let output = poll_fn(|cx| {
        let start = Instant::now();
        let polled = future.as_mut().poll(cx);
        held += start.elapsed();
        polled
    })
    .await;
    (output, held)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_micros(20);
    const SLOW: Duration = Duration::from_millis(5);

    fn times(waits: bool) -> RankingTimes {
        RankingTimes { models: vec![Model { waits, record: AtomicU64::new(0) }] }
    }

    fn note(times: &RankingTimes, revision: u64, count: usize, held: Duration) -> Cost {
        for _ in 0..count {
            times.record(&RankingCost { cost: Cost::Short, model: Some((0, revision)) }, held);
        }
        times.cost(0, revision)
    }

    #[test]
    fn each_revision_has_a_pace_of_its_own() {
        let times = times(false);
        assert_eq!(times.cost(0, 0), Cost::Unknown);
        assert_eq!(note(&times, 0, 1, FAST), Cost::Short);
        assert_eq!(times.cost(0, 1), Cost::Unknown);
        assert_eq!(note(&times, 1, 1, SLOW), Cost::Long);
        // Requests that began with the last version are still ending.
        note(&times, 0, 100, FAST);
        assert_eq!(times.cost(0, 1), Cost::Long);
        assert_eq!(times.cost(0, 2), Cost::Unknown);
    }

    #[test]
    fn single_slow_rankings_are_no_long_ones_but_one_in_ten_is() {
        let times = times(false);
        for _ in 0..100 {
            assert_eq!(note(&times, 0, 40, FAST), Cost::Short);
            assert_eq!(note(&times, 0, 1, SLOW), Cost::Short);
        }
        let mut long = 0;
        for _ in 0..100 {
            note(&times, 0, 9, FAST);
            long += usize::from(note(&times, 0, 1, SLOW) == Cost::Long);
        }
        assert!(long > 90, "{long}");
        assert_eq!(note(&times, 0, MOST_POINTS as usize, FAST), Cost::Short);
    }

    #[test]
    fn a_model_server_is_waited_for_without_a_thread_until_its_fallback_is_slow() {
        let times = times(true);
        assert_eq!(times.cost(0, 0), Cost::Short);
        assert_eq!(note(&times, 0, 1, SLOW), Cost::Long);
    }
}
