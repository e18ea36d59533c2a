//! `[limits]`: rates of requests.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use sparrow_http::RateLimits;

/// Limits on the rate of requests, in requests per second; 0 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Per name of a key.
    pub per_key: u32,
    /// Per address, of requests without a valid key.
    pub per_address: u32,
    /// Whether the limit per address applies to loopback.
    pub loopback: bool,
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
