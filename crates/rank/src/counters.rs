use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use histogram::AtomicHistogram;

/// The greatest time that is counted, in nanoseconds: 68 seconds. Longer ones count as this.
const LONGEST: u64 = (1 << 36) - 1;

/// Counts the requests of a model by outcome, and measures its latency. Requests count concurrently.
pub struct Counters {
    answered: AtomicU64,
    stood_in: AtomicU64,
    declined: AtomicU64,
    unavailable: AtomicU64,
    timed_out: AtomicU64,
    failed: AtomicU64,
    /// Nanoseconds of each answer.
    latency: AtomicHistogram,
}

/// The values of [`Counters`] at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers.
    pub answered: u64,
    /// Those of them for which the model was the fallback of another one.
    pub stood_in: u64,
    /// Requests for a user whom the model cannot score.
    pub declined: u64,
    /// Requests that failed, or for which the model was unavailable.
    pub failed: u64,
    /// Those of them for which the model was unavailable.
    pub unavailable: u64,
    /// Those of them that the model did not answer in time.
    pub timed_out: u64,
    /// The latency of answers; `None` before the first one.
    pub latency: Option<Latency>,
}

/// Percentiles of latency, with an error of at most 3%.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// The median.
    pub p50: Duration,
    /// The 90th percentile.
    pub p90: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

impl Default for Counters {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        // 32 buckets for each doubling.
        #[expect(clippy::expect_used, reason = "the parameters are valid")]
        let latency = AtomicHistogram::new(5, LONGEST.ilog2() as u8 + 1).expect("a histogram");
        Self {
            answered: zero(),
            stood_in: zero(),
            declined: zero(),
            unavailable: zero(),
            timed_out: zero(),
            failed: zero(),
            latency,
        }
    }
}

impl Counters {
    /// Counts an answer. `stood_in`: the model was the fallback of the requested one.
    pub fn answered(&self, took: Duration, stood_in: bool) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        if stood_in {
            self.stood_in.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).min(LONGEST);
        // Cannot fail: the greatest value has a bucket.
        let _ = self.latency.increment(nanos);
    }

    /// Counts a request for a user whom the model cannot score.
    pub fn declined(&self) {
        self.declined.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls a function with a latency in nanoseconds, right to 3%, and the number of answers that took it, from the least to
    /// the greatest.
    pub fn for_each_latency(&self, mut each: impl FnMut(u64, u64)) {
        for bucket in self.latency.load().into_iter().filter(|bucket| bucket.count() > 0) {
            each(bucket.start().midpoint(bucket.end()), bucket.count());
        }
    }

    /// Counts a request for which the model was unavailable, as a failure.
    pub fn unavailable(&self) {
        self.unavailable.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that the model did not answer in time, as a failure.
    pub fn timed_out(&self) {
        self.timed_out.fetch_add(1, Ordering::Relaxed);
    }

    /// The values so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (unavailable, timed_out) = (read(&self.unavailable), read(&self.timed_out));
        let latency = self.latency.load();
        let at = |quantile| {
            let bucket = latency.quantile_bucket(quantile).ok()??;
            Some(Duration::from_nanos(bucket.end()))
        };
        let latency = || Some(Latency { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? });
        Counts {
            answered: read(&self.answered),
            stood_in: read(&self.stood_in),
            declined: read(&self.declined),
            failed: read(&self.failed) + unavailable + timed_out,
            unavailable,
            timed_out,
            latency: latency(),
        }
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_percent() {
        let counters = Counters::default();
        assert_eq!(counters.counts(), Counts::default());
        for micros in 1..=1000 {
            counters.answered(Duration::from_micros(micros), micros % 2 == 0);
        }
        counters.failed();
        counters.timed_out();
        counters.unavailable();
        counters.declined();
        let counts = counters.counts();
        let counted = (counts.answered, counts.stood_in, counts.declined, counts.failed);
        assert_eq!(counted, (1000, 500, 1, 3));
        assert_eq!((counts.unavailable, counts.timed_out), (1, 1));
        let Latency { p50, p90, p99 } = counts.latency.unwrap();
        for (measured, real) in [(p50, 500.0), (p90, 900.0), (p99, 990.0)] {
            let micros = measured.as_secs_f64() * 1e6;
            assert!((micros / real - 1.0).abs() < 0.035, "{micros} {real}");
        }
        counters.answered(Duration::from_hours(1), false);
        assert_eq!(counters.counts().answered, 1001);
    }
}
