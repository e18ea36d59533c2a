//! The limit on connections from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of connections by address, up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// 0 for no limit: a proxy in front is one address.
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A counted connection, until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Option<(Arc<Addresses>, IpAddr)>);

impl Addresses {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    /// Counts a connection; `None` if its address has reached the limit.
    pub(crate) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        if self.most == 0 {
            return Some(Counted(None));
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Counted(Some((Arc::clone(self), address))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((addresses, address)) = self.0.take() else { return };
        let mut counts = addresses.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn connections_beyond_the_limit_of_an_address_are_refused() {
        let [one, other] = [Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST].map(IpAddr::from);
        let addresses = Addresses::new(2);
        let first = addresses.admit(one);
        let second = addresses.admit(one);
        assert!(first.is_some() && second.is_some() && addresses.admit(one).is_none());
        assert!(addresses.admit(other).is_some());
        drop(first);
        assert!(addresses.admit(one).is_some());
        drop(second);
        assert!(addresses.counts.lock().unwrap().is_empty());
        let unlimited = Addresses::new(0);
        let many: Vec<_> = (0..100).map(|_| unlimited.admit(one)).collect();
        assert!(many.iter().all(Option::is_some));
    }
}
