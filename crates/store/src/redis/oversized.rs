//! Keys with oversized values, which are excluded from reads for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::{Answer, Reply};
use crate::Kind;

/// The size limit for values of a user or movie, in bytes; enough for 100,000 ratings.
pub(super) const MAX_VALUE_BYTES: usize = 1 << 20;

/// The time until an excluded key is read again.
const EXCLUSION: Duration = Duration::from_secs(30);

type Key = (Kind, u32);

#[derive(Debug, Default)]
pub(super) struct OversizedKeys {
    any: AtomicBool,
    excluded: Mutex<HashMap<Key, Instant>>,
}

impl OversizedKeys {
    pub(super) fn is_excluded(&self, key: Key) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut excluded = self.excluded.lock().unwrap_or_else(PoisonError::into_inner);
        match excluded.get(&key) {
            Some(end) if Instant::now() < *end => true,
            Some(_) => {
                excluded.remove(&key);
                self.any.store(!excluded.is_empty(), Ordering::Release);
                false
            }
            None => false,
        }
    }

    /// Readmits all keys: their values may differ in another generation.
    pub(super) fn clear(&self) {
        self.excluded.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.any.store(false, Ordering::Release);
    }

    /// The value, or [`Reply::TooLarge`] if it is oversized, which also excludes the key.
    pub(super) fn checked(&self, key: Key, value: Answer) -> Answer {
        if let Ok(reply) = &value
            && !key.0.is_single()
            && size(reply) > MAX_VALUE_BYTES
        {
            self.exclude(key);
            return Ok(Reply::TooLarge);
        }
        value
    }

    /// Excludes a key for a while.
    pub(super) fn exclude(&self, key: Key) {
        let mut excluded = self.excluded.lock().unwrap_or_else(PoisonError::into_inner);
        excluded.insert(key, Instant::now() + EXCLUSION);
        self.any.store(true, Ordering::Release);
    }
}

fn size(reply: &Reply) -> usize {
    match reply {
        Reply::Text(text) => text.len(),
        Reply::List(parts) => parts.iter().map(size).fold(0, usize::saturating_add),
        Reply::Nothing | Reply::Number(_) => 0,
        Reply::TooLarge => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn oversized_values_are_excluded_for_a_while() {
        let (oversized, key) = (OversizedKeys::default(), (Kind::UserEmbedding, 6));
        let small = Ok(Reply::Text(vec![0; MAX_VALUE_BYTES].into()));
        assert_eq!(oversized.checked(key, small.clone()), small);
        assert!(!oversized.is_excluded(key));
        let large = Ok(Reply::List(vec![Reply::Text(vec![0; MAX_VALUE_BYTES / 2 + 1].into()); 2]));
        assert_eq!(oversized.checked(key, large), Ok(Reply::TooLarge));
        assert!(oversized.is_excluded(key) && !oversized.is_excluded((Kind::UserEmbedding, 7)));
        oversized.clear();
        assert!(!oversized.is_excluded(key));
        let large = Ok(Reply::Text(vec![0; MAX_VALUE_BYTES + 1].into()));
        assert_eq!(oversized.checked(key, large), Ok(Reply::TooLarge));
        tokio::time::advance(EXCLUSION).await;
        assert!(!oversized.is_excluded(key));
    }
}
