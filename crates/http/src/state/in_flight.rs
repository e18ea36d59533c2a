//! Large answers that are being sent: their bytes are bounded, and equal answers share them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use sparrow_metrics::Count;

use crate::response::problem::{Kind, Problem};

/// Smaller answers are not counted: the number of connections bounds them.
const LARGE: usize = 64 << 10;

/// The bytes of all large answers that the sockets have not taken yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    used: Arc<AtomicUsize>,
    most: usize,
    refused: Count,
    /// Answers by request target. Entries of answers that were sent are removed when there are many.
    bodies: Mutex<HashMap<Box<str>, Weak<Large>>>,
}

/// A large answer; counted until its last part was sent.
#[derive(Debug)]
struct Large {
    bytes: Bytes,
    used: Arc<AtomicUsize>,
}

impl Drop for Large {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes.len(), Ordering::AcqRel);
    }
}

/// The owner of the pieces that hyper sends.
struct Shared(Arc<Large>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl InFlight {
    pub(crate) fn new(most: usize) -> Self {
        Self { used: Arc::default(), most, refused: Count::default(), bodies: Mutex::default() }
    }

    /// A body with the same bytes that is counted; a problem if too many bytes are being sent.
    pub(crate) fn admit(&self, target: &str, body: Bytes) -> Result<Bytes, Problem> {
        // Bytes that the answer shares are in memory anyway.
        if body.len() < LARGE || !body.is_unique() {
            return Ok(body);
        }
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(same_target) = bodies.get(target).and_then(Weak::upgrade) {
            drop(bodies);
            // The data may have changed in between.
            if same_target.bytes == body {
                return Ok(Bytes::from_owner(Shared(same_target)));
            }
            return self.count(body).map(|large| Bytes::from_owner(Shared(large)));
        }
        let large = self.count(body)?;
        if bodies.len() >= 1024 {
            bodies.retain(|_, body| body.strong_count() > 0);
        }
        bodies.insert(target.into(), Arc::downgrade(&large));
        Ok(Bytes::from_owner(Shared(large)))
    }

    /// The bytes that are being sent.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The number of refused answers.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    fn count(&self, bytes: Bytes) -> Result<Arc<Large>, Problem> {
        let before = self.used.fetch_add(bytes.len(), Ordering::AcqRel);
        // From here on dropping it uncounts it.
        let large = Arc::new(Large { bytes, used: Arc::clone(&self.used) });
        // One answer is sent whatever its size, or an answer above the limit could never be sent.
        if before > 0 && before.saturating_add(large.bytes.len()) > self.most {
            self.refused.add(1);
            let detail = "too many large answers are being sent, try again in a moment";
            return Err(Problem::new(Kind::Unavailable, detail));
        }
        Ok(large)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn body(letter: u8) -> Bytes {
        Bytes::from(vec![letter; LARGE])
    }

    #[test]
    fn equal_answers_are_counted_once_until_they_are_sent() {
        let flight = InFlight::new(LARGE * 2);
        let first = flight.admit("/a", body(b'a')).unwrap();
        let second = flight.admit("/a", body(b'a')).unwrap();
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert_eq!(flight.used(), LARGE);
        // Another answer to the same target is counted.
        let third = flight.admit("/a", body(b'b')).unwrap();
        assert_eq!((&third[..], flight.used()), (&body(b'b')[..], LARGE * 2));
        let refused = flight.admit("/c", body(b'c')).unwrap_err();
        assert_eq!((refused.kind(), flight.used()), (Kind::Unavailable, LARGE * 2));
        // A piece keeps all of its answer.
        let piece = first.slice(5..6);
        drop((first, second));
        assert_eq!(flight.used(), LARGE * 2);
        drop((piece, third));
        assert_eq!(flight.used(), 0);
        assert!(flight.admit("/a", body(b'a')).is_ok());
    }

    #[test]
    fn small_and_shared_answers_are_not_counted_and_one_is_always_sent() {
        let flight = InFlight::new(10);
        let page = body(b'p');
        let _kept = page.clone();
        let _page = flight.admit("/page", page).unwrap();
        let _small = flight.admit("/small", Bytes::from(vec![0; LARGE - 1])).unwrap();
        assert_eq!(flight.used(), 0);
        let _one = flight.admit("/large", body(b'l')).unwrap();
        assert!(flight.admit("/other", body(b'o')).is_err());
    }

    #[test]
    fn entries_of_sent_answers_are_removed() {
        let flight = InFlight::new(usize::MAX);
        for number in 0..5000 {
            flight.admit(&format!("/{number}"), body(b'x')).unwrap();
        }
        assert!(flight.bodies.lock().unwrap().len() <= 1024);
        assert_eq!(flight.used(), 0);
    }
}
