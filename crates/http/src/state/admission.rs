//! The limit on requests at work, with a reserve for cheap ones.

use tokio::sync::SemaphorePermit;

use crate::response::problem::Problem;
use crate::state::limiter::Limiter;

/// The class of a request, which decides who goes first at the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Health, and requests of operators: never limited.
    Exempt,
    /// Reads of what is in memory, and files of the web pages.
    Cheap,
    /// Rankings and writes.
    Costly,
}

/// Lets a number of requests work at once and a few more wait, and refuses the rest before work begins.
///
/// Cheap requests go first: a quarter of the places are for them alone, and costly requests wait for the others.
#[derive(Debug)]
pub(crate) struct Admission {
    all: Limiter,
    costly: Limiter,
}

/// A request at work, until it is dropped.
#[derive(Debug)]
pub(crate) struct AtWork<'a> {
    _costly: Option<SemaphorePermit<'a>>,
    _one: Option<SemaphorePermit<'a>>,
}

impl Admission {
    /// With `most` requests at work, at least one, and `waiting` of each class that wait.
    pub(crate) fn new(most: usize, waiting: usize) -> Self {
        let most = most.max(1);
        Self {
            all: Limiter::new(most, waiting, "requests"),
            costly: Limiter::new(most - most / 4, waiting, "rankings and writes"),
        }
    }

    /// Waits until a request may work; a problem if too many wait.
    pub(crate) async fn admit(&self, class: Class) -> Result<AtWork<'_>, Problem> {
        let (mut costly, mut one) = (None, None);
        if class == Class::Costly {
            costly = Some(self.costly.enter().await?);
        }
        if class != Class::Exempt {
            one = Some(self.all.enter().await?);
        }
        Ok(AtWork { _costly: costly, _one: one })
    }

    /// The limits by the names in metrics.
    pub(crate) fn limiters(&self) -> [(&'static str, &Limiter); 2] {
        [("requests", &self.all), ("costly-requests", &self.costly)]
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

    fn now(admission: &Admission, class: Class) -> Option<Result<AtWork<'_>, Problem>> {
        poll(pin!(admission.admit(class)))
    }

    #[test]
    fn costly_requests_leave_places_to_cheap_ones() {
        let admission = Admission::new(4, 0);
        let costly: Vec<_> =
            (0..3).map(|_| now(&admission, Class::Costly).unwrap().unwrap()).collect();
        assert!(now(&admission, Class::Costly).unwrap().is_err());
        let cheap = now(&admission, Class::Cheap).unwrap().unwrap();
        assert!(now(&admission, Class::Cheap).unwrap().is_err());
        assert!(now(&admission, Class::Exempt).unwrap().is_ok());
        let refused = admission.limiters().map(|(name, limiter)| (name, limiter.refused()));
        assert_eq!(refused, [("requests", 1), ("costly-requests", 1)]);
        drop((costly, cheap));
        let places: Vec<_> = (0..4).map(|_| now(&admission, Class::Cheap).unwrap()).collect();
        assert!(places.iter().all(Result::is_ok), "a place was lost");
    }

    #[test]
    fn waiting_request_works_when_a_place_is_free_and_a_dropped_one_leaves_the_queue() {
        let admission = Admission::new(1, 1);
        let running = now(&admission, Class::Cheap).unwrap().unwrap();
        let mut gone = Box::pin(admission.admit(Class::Cheap));
        assert!(poll(gone.as_mut()).is_none());
        assert!(now(&admission, Class::Cheap).unwrap().is_err());
        drop(gone);
        let mut waiting = Box::pin(admission.admit(Class::Costly));
        assert!(poll(waiting.as_mut()).is_none());
        drop(running);
        assert!(poll(waiting.as_mut()).unwrap().is_ok());
    }
}
