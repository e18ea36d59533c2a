//! A limit on concurrent requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparrow_metrics::Count;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::response::problem::{Kind, Problem};

/// Lets a few requests run at once and a few more wait, and refuses the rest at once: a client that would wait for
/// long does better to retry.
#[derive(Debug)]
pub(crate) struct Limiter {
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
    refused: Count,
    /// The name of the limited requests, for problem documents.
    what: &'static str,
}

impl Limiter {
    /// With `most` running requests and `waiting` further ones.
    pub(crate) fn new(most: usize, waiting: usize, what: &'static str) -> Self {
        Self {
            running: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            most_waiting: waiting,
            refused: Count::default(),
            what,
        }
    }

    /// Waits for a permit, which dropping returns; a problem if too many wait.
    pub(crate) async fn enter(&self) -> Result<SemaphorePermit<'_>, Problem> {
        if let Ok(permit) = self.running.try_acquire() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(self).ok_or_else(|| self.refuse())?;
        // Boxed: few requests wait, and all have a future of this size.
        Box::pin(self.running.acquire()).await.map_err(|_| self.refuse())
    }

    /// The same with a permit for another thread.
    pub(crate) async fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(self).ok_or_else(|| self.refuse())?;
        Arc::clone(&self.running).acquire_owned().await.map_err(|_| self.refuse())
    }

    fn refuse(&self) -> Problem {
        self.refused.add(1);
        let detail = format!("too many {} at once, try again in a moment", self.what);
        Problem::new(Kind::Unavailable, detail)
    }

    /// The number of waiting requests.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The number of refused requests.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Waits for a permit, however many wait: for requests that turn out to be cheap, perhaps.
    pub(crate) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed, so there is one.
        Arc::clone(&self.running).acquire_owned().await.ok()
    }
}

/// A waiting request; counted until it is dropped, also if its client is gone.
struct Waiting<'a>(&'a Limiter);

impl<'a> Waiting<'a> {
    fn enter(limiter: &'a Limiter) -> Option<Self> {
        let waiting = Self(limiter);
        // If this is one too many, dropping it uncounts it.
        (limiter.waiting.fetch_add(1, Ordering::AcqRel) < limiter.most_waiting).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    #[test]
    fn requests_beyond_the_waiting_ones_are_refused() {
        let limiter = Limiter::new(1, 4, "tests");
        let running = poll(pin!(limiter.admit())).unwrap().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(limiter.admit())).collect();
        assert!(waiting.iter_mut().all(|one| poll(one.as_mut()).is_none()));
        let refused = poll(pin!(limiter.admit())).unwrap().unwrap_err();
        assert_eq!((refused.kind(), limiter.refused()), (Kind::Unavailable, 1));
        // A request that is dropped lets another one wait.
        drop(waiting.pop());
        assert!(poll(pin!(limiter.admit())).is_none());
        drop(running);
        assert!(poll(waiting[0].as_mut()).unwrap().is_ok());
        drop(waiting);
        assert_eq!(limiter.waiting.load(Ordering::Relaxed), 0);
    }
}
