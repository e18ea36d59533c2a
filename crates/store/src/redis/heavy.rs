//! Keys whose values are too large to be read with all others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::{Answer, Reply};
use crate::Kind;

/// The largest value of a user or a movie: more than 100,000 ratings.
pub(super) const LARGEST: usize = 1 << 20;

/// For how long a key is left out before it is read again.
const PAUSE: Duration = Duration::from_secs(30);

type Key = (Kind, u32);

/// Which keys are left out for now.
#[derive(Debug, Default)]
pub(super) struct Heavy {
    any: AtomicBool,
    out: Mutex<HashMap<Key, Instant>>,
}

impl Heavy {
    /// Whether a key is left out.
    pub(super) fn is_out(&self, key: Key) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        match out.get(&key) {
            Some(end) if Instant::now() < *end => true,
            Some(_) => {
                out.remove(&key);
                self.any.store(!out.is_empty(), Ordering::Release);
                false
            }
            None => false,
        }
    }

    /// Reads all keys again: another generation may have other values.
    pub(super) fn clear(&self) {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.any.store(false, Ordering::Release);
    }

    /// The value, unless it is too large; its key is then left out for a while.
    pub(super) fn checked(&self, key: Key, value: Answer) -> Answer {
        if let Ok(reply) = &value
            && !key.0.is_single()
            && size(reply) > LARGEST
        {
            self.leave_out(key);
            return Ok(Reply::TooLarge);
        }
        value
    }

    /// Leaves a key out for a while.
    pub(super) fn leave_out(&self, key: Key) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.insert(key, Instant::now() + PAUSE);
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
    async fn large_values_are_left_out_for_a_while() {
        let (heavy, key) = (Heavy::default(), (Kind::UserEmbedding, 6));
        let small = Ok(Reply::Text(vec![0; LARGEST].into()));
        assert_eq!(heavy.checked(key, small.clone()), small);
        assert!(!heavy.is_out(key));
        let large = Ok(Reply::List(vec![Reply::Text(vec![0; LARGEST / 2 + 1].into()); 2]));
        assert_eq!(heavy.checked(key, large), Ok(Reply::TooLarge));
        assert!(heavy.is_out(key) && !heavy.is_out((Kind::UserEmbedding, 7)));
        heavy.clear();
        assert!(!heavy.is_out(key));
        let large = Ok(Reply::Text(vec![0; LARGEST + 1].into()));
        assert_eq!(heavy.checked(key, large), Ok(Reply::TooLarge));
        tokio::time::advance(PAUSE).await;
        assert!(!heavy.is_out(key));
    }
}
