//! Large answers on their way to clients: their bytes are bounded, and equal ones are kept once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

use crate::problem::{Kind, Problem};

/// Smaller answers are not counted: the number of connections bounds them.
const LARGE: usize = 64 << 10;

/// What large answers take together, until the sockets have taken them.
#[derive(Debug)]
pub(crate) struct InFlight {
    used: Arc<AtomicUsize>,
    most: usize,
    /// Answers by their target. Entries of those that have gone are removed when there are many.
    bodies: Mutex<HashMap<Box<str>, Weak<Large>>>,
}

/// A large answer; counted as long as a part of it waits to be sent.
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

/// What the pieces that hyper sends refer to.
struct Shared(Arc<Large>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl InFlight {
    pub(crate) fn new(most: usize) -> Self {
        Self { used: Arc::default(), most, bodies: Mutex::default() }
    }

    /// The body to send in place of this one, the same bytes; a problem where too much is on its way.
    pub(crate) fn admit(&self, target: &str, body: Bytes) -> Result<Bytes, Problem> {
        // What is not the request's own is in memory anyway.
        if body.len() < LARGE || !body.is_unique() {
            return Ok(body);
        }
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = bodies.get(target).and_then(Weak::upgrade) {
            drop(bodies);
            // The same target need not have the same answer.
            if known.bytes == body {
                return Ok(Bytes::from_owner(Shared(known)));
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

    fn count(&self, bytes: Bytes) -> Result<Arc<Large>, Problem> {
        let before = self.used.fetch_add(bytes.len(), Ordering::AcqRel);
        // From here on dropping it takes it back.
        let large = Arc::new(Large { bytes, used: Arc::clone(&self.used) });
        // One answer goes out whatever its size, or some could never be had.
        if before > 0 && before.saturating_add(large.bytes.len()) > self.most {
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

    fn used(flight: &InFlight) -> usize {
        flight.used.load(Ordering::Relaxed)
    }

    #[test]
    fn equal_answers_are_counted_once_and_given_back() {
        let flight = InFlight::new(LARGE * 2);
        let first = flight.admit("/a", body(b'a')).unwrap();
        let second = flight.admit("/a", body(b'a')).unwrap();
        assert_eq!(first.as_ptr(), second.as_ptr());
        assert_eq!(used(&flight), LARGE);
        // Another answer to the same question is another one.
        let third = flight.admit("/a", body(b'b')).unwrap();
        assert_eq!((&third[..], used(&flight)), (&body(b'b')[..], LARGE * 2));
        let refused = flight.admit("/c", body(b'c')).unwrap_err();
        assert_eq!((refused.kind(), used(&flight)), (Kind::Unavailable, LARGE * 2));
        // A piece that waits holds all of it.
        let piece = first.slice(5..6);
        drop((first, second));
        assert_eq!(used(&flight), LARGE * 2);
        drop((piece, third));
        assert_eq!(used(&flight), 0);
        assert!(flight.admit("/a", body(b'a')).is_ok());
    }

    #[test]
    fn small_and_shared_answers_are_not_counted_and_one_always_goes_out() {
        let flight = InFlight::new(10);
        let page = body(b'p');
        let _kept = page.clone();
        let _page = flight.admit("/page", page).unwrap();
        let _small = flight.admit("/small", Bytes::from(vec![0; LARGE - 1])).unwrap();
        assert_eq!(used(&flight), 0);
        let _one = flight.admit("/large", body(b'l')).unwrap();
        assert!(flight.admit("/other", body(b'o')).is_err());
    }

    #[test]
    fn answers_that_have_gone_leave_nothing_behind() {
        let flight = InFlight::new(usize::MAX);
        for at in 0..5000 {
            flight.admit(&format!("/{at}"), body(b'x')).unwrap();
        }
        assert!(flight.bodies.lock().unwrap().len() <= 1024);
        assert_eq!(used(&flight), 0);
    }
}
