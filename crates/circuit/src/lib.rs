//! A circuit breaker that follows the failure rate in a sliding window.
//!
//! [`Breaker`] counts outcomes and decides when a service is not asked for a while. It does not ask, wait or probe:
//! its owner rejects requests while the circuit is open, probes the service, and reports its recovery.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When a circuit opens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// The share of failed requests at which the circuit opens, above 0 and at most 1.
    pub failure_rate: f64,
    /// The time over which requests are counted.
    pub window: Duration,
    /// With fewer requests in the window the circuit stays closed.
    pub min_requests: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { failure_rate: 0.5, window: Duration::from_secs(10), min_requests: 10 }
    }
}

impl Options {
    /// Returns what is wrong with the options.
    pub fn check(&self) -> Result<(), &'static str> {
        if !(self.failure_rate > 0.0 && self.failure_rate <= 1.0) {
            Err("failure_rate is above 0 and at most 1")
        } else if self.window < Duration::from_millis(10) || self.window > Duration::from_hours(1) {
            Err("the window is from 10 ms to 1 h")
        } else if self.min_requests == 0 {
            Err("min_requests is at least 1")
        } else {
            Ok(())
        }
    }
}

/// The window slides in this many steps.
const STEPS: u32 = 10;

/// Counts the outcomes of requests to a service.
///
/// After a recovery the circuit is half open: the next outcome closes it, or opens it again.
#[derive(Debug)]
pub struct Breaker {
    options: Options,
    /// The steps of the window that have requests, oldest first.
    steps: VecDeque<Step>,
    half_open: bool,
}

#[derive(Debug)]
struct Step {
    start: Instant,
    requests: u32,
    failures: u32,
}

impl Breaker {
    /// A closed circuit.
    pub const fn new(options: Options) -> Self {
        Self { options, steps: VecDeque::new(), half_open: false }
    }

    /// Counts a request that succeeded.
    pub fn succeeded(&mut self, now: Instant) {
        self.half_open = false;
        self.count(now, false);
    }

    /// Counts a request that failed. Returns whether the circuit is to open.
    #[must_use]
    pub fn failed(&mut self, now: Instant) -> bool {
        self.count(now, true);
        if self.half_open {
            return true;
        }
        let sum = |of: fn(&Step) -> u32| self.steps.iter().map(of).fold(0, u32::saturating_add);
        let (requests, failures) = (sum(|step| step.requests), sum(|step| step.failures));
        requests >= self.options.min_requests
            && f64::from(failures) >= self.options.failure_rate * f64::from(requests)
    }

    /// The service has passed a probe: requests may go to it again.
    pub fn recovered(&mut self) {
        self.steps.clear();
        self.half_open = true;
    }

    fn count(&mut self, now: Instant, failed: bool) {
        while let Some(oldest) = self.steps.front()
            && now.saturating_duration_since(oldest.start) >= self.options.window
        {
            self.steps.pop_front();
        }
        let length = self.options.window / STEPS;
        let is_current = |step: &Step| now.saturating_duration_since(step.start) < length;
        if !self.steps.back().is_some_and(is_current) {
            self.steps.push_back(Step { start: now, requests: 0, failures: 0 });
        }
        if let Some(step) = self.steps.back_mut() {
            step.requests = step.requests.saturating_add(1);
            step.failures = step.failures.saturating_add(u32::from(failed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Options =
        Options { failure_rate: 0.5, window: Duration::from_secs(10), min_requests: 10 };

    #[test]
    fn the_circuit_opens_at_the_rate_and_not_before_there_are_enough_requests() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        for _ in 0..9 {
            assert!(!breaker.failed(now));
        }
        assert!(breaker.failed(now));

        let mut breaker = Breaker::new(OPTIONS);
        for _ in 0..20 {
            breaker.succeeded(now);
        }
        for _ in 0..19 {
            assert!(!breaker.failed(now));
        }
        assert!(breaker.failed(now), "20 of 40");
    }

    #[test]
    fn only_the_window_counts() {
        let start = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            // Nine requests in any window of ten steps: too few.
            if second % 10 != 0 {
                assert!(!breaker.failed(now), "{second}");
            }
        }
        assert!(breaker.steps.len() <= STEPS as usize + 1);
    }

    #[test]
    fn one_outcome_decides_after_a_recovery() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        breaker.recovered();
        assert!(breaker.failed(now));
        breaker.recovered();
        breaker.succeeded(now);
        assert!(!breaker.failed(now));
    }

    /// 100 requests a second for 100 s to a service that fails at random, with a probe each second while open:
    /// how many requests it is asked.
    fn asked(failing: f64) -> u32 {
        let start = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        let (mut asked, mut open_until) = (0, 0);
        let mut state = 1_u64;
        for request in 0..10_000_u64 {
            if request < open_until {
                continue;
            }
            if request == open_until && request > 0 {
                breaker.recovered();
            }
            asked += 1;
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let chance = (state >> 33) as f64 / f64::from(1_u32 << 31);
            let now = start + Duration::from_millis(request * 10);
            if chance >= failing {
                breaker.succeeded(now);
            } else if breaker.failed(now) {
                open_until = request + 100;
            }
        }
        asked
    }

    #[test]
    fn a_service_that_fails_three_times_in_ten_is_used() {
        assert!(asked(0.3) > 9_500, "{}", asked(0.3));
        assert!(asked(0.9) < 1_500, "{}", asked(0.9));
        assert!(asked(1.0) < 200, "{}", asked(1.0));
    }

    #[test]
    fn options_that_cannot_be_meant_are_refused() {
        assert_eq!(Options::default().check(), Ok(()));
        for wrong in [
            Options { failure_rate: 0.0, ..OPTIONS },
            Options { failure_rate: f64::NAN, ..OPTIONS },
            Options { failure_rate: 1.1, ..OPTIONS },
            Options { window: Duration::ZERO, ..OPTIONS },
            Options { min_requests: 0, ..OPTIONS },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
