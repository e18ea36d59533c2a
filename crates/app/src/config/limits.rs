//! `[limits]`: concurrent requests, and rates of requests.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::{Deserialize, Serialize};
use sparrow_http::{Options, RateLimits};

/// Limits on concurrent requests, and on the rate of requests, in requests per second; 0 for no limit on a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Requests at work at a time, except health and the admin port.
    pub max_requests: NonZeroUsize,
    /// Requests that wait for a place.
    pub waiting_requests: usize,
    /// Per name of a key.
    pub per_key: u32,
    /// Per address, of requests without a valid key.
    pub per_address: u32,
    /// Whether the limit per address applies to loopback.
    pub loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        let options = Options::default();
        Self {
            max_requests: NonZeroUsize::new(options.max_requests).unwrap_or(NonZeroUsize::MIN),
            waiting_requests: options.waiting_requests,
            per_key: 0,
            per_address: 0,
            loopback: false,
        }
    }
}

impl Limits {
    pub(crate) const fn rates(self) -> RateLimits {
        RateLimits {
            per_key: NonZeroU32::new(self.per_key),
            per_address: NonZeroU32::new(self.per_address),
            limits_loopback: self.loopback,
        }
    }
}
