//! Limits on the rate of requests: by key, by user for tokens, or by address for clients without a valid credential.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use hyper::header::{HeaderName, HeaderValue, RETRY_AFTER};

use crate::auth::access::{Access, Caller};
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;

/// Requests per second. As many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimits {
    /// Per name of a key, and per user with a token; `None` for no limit.
    pub per_key: Option<NonZeroU32>,
    /// Per address, of requests without a valid key or token; `None` for no limit.
    pub per_address: Option<NonZeroU32>,
    /// Whether the limit per address applies to loopback, where a proxy may be.
    pub limits_loopback: bool,
}

/// The state of the limits.
#[derive(Debug)]
pub(crate) struct Rates {
    keys: Option<Rate<Arc<str>>>,
    users: Option<Rate<u32>>,
    addresses: Option<Rate<IpAddr>>,
    limits_loopback: bool,
}

impl Rates {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self {
            keys: limits.per_key.map(|most| Rate::new("key", most)),
            users: limits.per_key.map(|most| Rate::new("user", most)),
            addresses: limits.per_address.map(|most| Rate::new("address", most)),
            limits_loopback: limits.limits_loopback,
        }
    }

    /// Counts a request; `None` if no limit applies to it.
    pub(crate) fn count(&self, peer: Option<IpAddr>, access: Option<&Access>) -> Option<Standing> {
        match access.map(|access| &access.caller) {
            Some(Caller::Key(name)) => return self.keys.as_ref().map(|keys| keys.count(name)),
            Some(Caller::User(user)) => return self.users.as_ref().map(|users| users.count(user)),
            Some(Caller::Anonymous) | None => {}
        }
        let addresses = self.addresses.as_ref()?;
        let peer = peer?.to_canonical();
        let is_limited = self.limits_loopback || !peer.is_loopback();
        is_limited.then(|| addresses.count(&network(peer)))
    }
}

/// What is counted as one address: a client with IPv6 has a network of 64 bits to itself.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// After how many requests clients without recent ones are forgotten.
const SWEEP: usize = 4096;

type States<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// A limit with the state of each client.
struct Rate<K: Hash + Eq + Clone> {
    name: &'static str,
    most: NonZeroU32,
    states: States<K>,
    clock: DefaultClock,
    counted: AtomicUsize,
}

impl<K: Hash + Eq + Clone> fmt::Debug for Rate<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate")
            .field("name", &self.name)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone> Rate<K> {
    fn new(name: &'static str, most: NonZeroU32) -> Self {
        let clock = DefaultClock::default();
        let states = RateLimiter::hashmap_with_clock(Quota::per_second(most), clock.clone());
        let counted = AtomicUsize::new(0);
        Self { name, most, states: states.with_middleware(), clock, counted }
    }

    fn count(&self, client: &K) -> Standing {
        if self.counted.fetch_add(1, Ordering::Relaxed) % SWEEP == SWEEP - 1 {
            self.states.retain_recent();
        }
        let (remaining, wait) = match self.states.check_key(client) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                (0, Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).map(|s| s.max(1)))
            }
        };
        Standing { name: self.name, most: self.most, remaining, wait }
    }
}

/// Where a client stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    name: &'static str,
    most: NonZeroU32,
    remaining: u32,
    /// Seconds until the next request is accepted, if this one is not.
    wait: Option<u64>,
}

impl Standing {
    /// A problem if the request is one too many.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if self.wait.is_none() {
            return Ok(());
        }
        let Self { name, most, .. } = self;
        let detail = format!("more than {most} requests per second by this {name}");
        Err(Problem::new(Kind::TooManyRequests, detail))
    }

    /// Adds the headers of the Internet-Draft "RateLimit header fields for HTTP".
    pub(crate) fn add_headers(&self, reply: Reply) -> Reply {
        let Self { name, most, remaining, wait } = self;
        let header = |name: &'static str, text: String| {
            Some((HeaderName::from_static(name), HeaderValue::try_from(text).ok()?))
        };
        let reset = wait.unwrap_or(1);
        let policy = header("ratelimit-policy", format!("\"{name}\";q={most};w=1"));
        let limit = header("ratelimit", format!("\"{name}\";r={remaining};t={reset}"));
        let retry = wait.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
        let headers = [policy, limit, retry].into_iter().flatten();
        headers.fold(reply, |reply, (name, value)| reply.with(name, value))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn rates(per_address: u32, limits_loopback: bool) -> Rates {
        let per_address = NonZeroU32::new(per_address);
        Rates::new(RateLimits { per_key: None, per_address, limits_loopback })
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn requests_beyond_the_rate_of_an_address_are_refused() {
        let rates = rates(2, false);
        let count = |client| rates.count(Some(address(client)), None).unwrap();
        let standings = [(); 3].map(|()| count("192.0.2.1"));
        assert_eq!(standings.map(|one| one.check().is_ok()), [true, true, false]);
        assert_eq!(standings.map(|one| one.remaining), [1, 0, 0]);
        assert_eq!(standings[2].wait, Some(1));
        // The same client, as a dual-stack socket reports it, and another one.
        assert!(count("::ffff:192.0.2.1").check().is_err());
        assert!(count("192.0.2.2").check().is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client() {
        let rates = rates(1, false);
        let accepts = |client| rates.count(Some(address(client)), None).unwrap().check().is_ok();
        assert!(accepts("2001:db8::1"));
        assert!(!accepts("2001:db8::ffff:1"));
        assert!(accepts("2001:db8:0:1::1"));
    }

    #[test]
    fn loopback_is_limited_on_request_alone() {
        for client in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(rates(1, false).count(Some(address(client)), None), None, "{client}");
            assert!(rates(1, true).count(Some(address(client)), None).is_some(), "{client}");
        }
        assert_eq!(rates(0, true).count(Some(address("192.0.2.1")), None), None);
    }

    #[test]
    fn clients_without_recent_requests_are_forgotten() {
        let rate = Rate::new("address", NonZeroU32::new(1_000_000).unwrap());
        for client in 0..20 * SWEEP {
            rate.count(&client);
        }
        assert!(rate.states.len() < 2 * SWEEP, "{}", rate.states.len());
    }
}
