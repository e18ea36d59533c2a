use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The conditions for opening a circuit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Circuit {
    /// The failure rate that opens the circuit, above 0 and at most 1.
    pub failure_rate: f64,
    /// The length of the sliding window, from 10 ms to 1 h.
    pub window: Duration,
    /// The circuit stays closed with fewer requests in the window. At least 1.
    pub min_requests: u32,
}

impl Default for Circuit {
    fn default() -> Self {
        Self { failure_rate: 0.5, window: Duration::from_secs(10), min_requests: 10 }
    }
}

impl Circuit {
    /// Checks the ranges of the options; the error names the first invalid one.
    pub fn check(&self) -> Result<(), &'static str> {
        if !(self.failure_rate > 0.0 && self.failure_rate <= 1.0) {
            Err("failure_rate must be above 0 and at most 1")
        } else if self.window < Duration::from_millis(10) || self.window > Duration::from_hours(1) {
            Err("the window must be from 10 ms to 1 h")
        } else if self.min_requests == 0 {
            Err("min_requests must be at least 1")
        } else {
            Ok(())
        }
    }
}

/// Number of steps in which the window slides.
const STEPS: u32 = 10;

/// Counts the outcomes of requests to a service within a sliding window, and reports when the circuit opens.
///
/// It has no timers and no I/O: its owner rejects requests while the circuit is open, probes the service, and reports its
/// recovery. After [`recovered`](Self::recovered) the circuit is half-open: the next outcome closes or reopens it.
#[derive(Debug)]
pub(crate) struct Breaker {
    options: Circuit,
    /// The non-empty steps of the window, oldest first.
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
    /// Creates a closed circuit.
    pub(crate) const fn new(options: Circuit) -> Self {
        Self { options, steps: VecDeque::new(), half_open: false }
    }

    /// Counts a successful request.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        self.half_open = false;
        self.count(now, false);
    }

    /// Counts a failed request. Returns whether the circuit opens.
    #[must_use]
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        self.count(now, true);
        if self.half_open {
            return true;
        }
        let sum = |of: fn(&Step) -> u32| self.steps.iter().map(of).fold(0, u32::saturating_add);
        let (requests, failures) = (sum(|step| step.requests), sum(|step| step.failures));
        requests >= self.options.min_requests
            && f64::from(failures) >= self.options.failure_rate * f64::from(requests)
    }

    /// Makes the circuit half-open after a successful probe.
    pub(crate) fn recovered(&mut self) {
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

    const OPTIONS: Circuit =
        Circuit { failure_rate: 0.5, window: Duration::from_secs(10), min_requests: 10 };

    #[test]
    fn circuit_opens_at_the_failure_rate_with_enough_requests() {
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
    fn outcomes_outside_the_window_are_not_counted() {
        let start = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        for second in 0..1000 {
            let now = start + Duration::from_secs(second);
            // Any window has 9 requests, one fewer than the minimum.
            if second % 10 != 0 {
                assert!(!breaker.failed(now), "{second}");
            }
        }
        assert!(breaker.steps.len() <= STEPS as usize + 1);
    }

    #[test]
    fn half_open_circuit_closes_or_reopens_on_the_next_outcome() {
        let now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        breaker.recovered();
        assert!(breaker.failed(now));
        breaker.recovered();
        breaker.succeeded(now);
        assert!(!breaker.failed(now));
    }

    /// Simulates 100 requests per second for 100 s to a service with this failure rate, probed every second while
    /// the circuit is open. Returns the number of requests that reach the service.
    fn requests_sent(failure_rate: f64) -> u32 {
        let start = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        let (mut sent, mut open_until) = (0, 0);
        let mut state = 1_u64;
        for request in 0..10_000_u64 {
            if request < open_until {
                continue;
            }
            if request == open_until && request > 0 {
                breaker.recovered();
            }
            sent += 1;
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let chance = (state >> 33) as f64 / f64::from(1_u32 << 31);
            let now = start + Duration::from_millis(request * 10);
            if chance >= failure_rate {
                breaker.succeeded(now);
            } else if breaker.failed(now) {
                open_until = request + 100;
            }
        }
        sent
    }

    #[test]
    fn circuit_stays_closed_below_the_failure_rate() {
        assert!(requests_sent(0.3) > 9_500, "{}", requests_sent(0.3));
        assert!(requests_sent(0.9) < 1_500, "{}", requests_sent(0.9));
        assert!(requests_sent(1.0) < 200, "{}", requests_sent(1.0));
    }

    #[test]
    fn out_of_range_options_are_errors() {
        assert_eq!(Circuit::default().check(), Ok(()));
        for wrong in [
            Circuit { failure_rate: 0.0, ..OPTIONS },
            Circuit { failure_rate: f64::NAN, ..OPTIONS },
            Circuit { failure_rate: 1.1, ..OPTIONS },
            Circuit { window: Duration::ZERO, ..OPTIONS },
            Circuit { min_requests: 0, ..OPTIONS },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }
}
