//! Ids of answers with recommendations, to which events can refer.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts answers. Ids of different servers and starts differ in their beginning, which is random.
#[derive(Debug)]
pub(crate) struct RecommendationIds {
    prefix: [u8; PREFIX],
    next: AtomicU64,
}

const PREFIX: usize = 11;
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl RecommendationIds {
    pub(crate) fn new() -> Self {
        let mut random = RandomState::new().hash_one(std::time::SystemTime::now());
        let mut prefix = [b'-'; PREFIX];
        for digit in &mut prefix[..PREFIX - 1] {
            *digit = DIGITS[(random & 31) as usize];
            random >>= 5;
        }
        Self { prefix, next: AtomicU64::new(1) }
    }

    /// The id of another answer: ASCII letters, digits and a hyphen.
    pub(crate) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(PREFIX + 20);
        id.extend(self.prefix.iter().copied().map(char::from));
        id.push_str(itoa::Buffer::new().format(number));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_within_and_between_servers() {
        let (one, other) = (RecommendationIds::new(), RecommendationIds::new());
        let ids = [one.next(), one.next(), other.next(), other.next()];
        let distinct: std::collections::HashSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() == PREFIX + 1 && id.is_ascii()), "{ids:?}");
    }
}
