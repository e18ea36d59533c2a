use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use async_trait::async_trait;
use sparrow_model::{MovieIndex, UserState};

use crate::{Error, Ranker, State, Status};

/// A model whose version can be exchanged while requests run. A request keeps the version that it
/// began with.
pub struct Slot {
    kind: &'static str,
    current: RwLock<Current>,
    revision: AtomicU64,
}

struct Current {
    ranker: Option<Arc<dyn Ranker>>,
    version: Option<u64>,
    since: SystemTime,
    trouble: Option<String>,
}

impl Slot {
    /// A slot for models of a kind, such as `neuralcf`, that is empty for a reason.
    pub fn empty(kind: &'static str, why: impl Into<String>) -> Self {
        let (since, trouble) = (SystemTime::now(), Some(why.into()));
        let current = Current { ranker: None, version: None, since, trouble };
        Self { kind, current: RwLock::new(current), revision: AtomicU64::new(0) }
    }

    /// Requests from now on get this ranker, of a version that answers since then, here or in the slots of
    /// other catalogues.
    pub fn put(&self, ranker: Arc<dyn Ranker>, version: Option<u64>, since: SystemTime) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) =
            Current { ranker: Some(ranker), version, since, trouble: None };
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Says what is the matter with the model, or that all is well. What answers stays.
    pub fn set_trouble(&self, trouble: Option<String>) {
        self.current.write().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }

    fn ranker(&self) -> Result<Arc<dyn Ranker>, Error> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.ranker.clone().ok_or_else(|| {
            let why = current.trouble.clone().unwrap_or_else(|| "nothing is loaded".to_owned());
            Error::Unavailable(why.into())
        })
    }
}

#[async_trait]
impl Ranker for Slot {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn dimension(&self) -> Option<usize> {
        self.ranker().ok()?.dimension()
    }

    fn status(&self) -> Status {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let inner = current.ranker.as_ref().map(|ranker| ranker.status());
        let inner = inner.unwrap_or(Status { state: State::Unavailable, ..Status::default() });
        Status {
            state: inner.state,
            version: inner.version.or(current.version),
            since: inner.since.or(Some(current.since)),
            trouble: inner.trouble.or_else(|| current.trouble.clone()),
        }
    }

    fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    async fn score(
        &self,
        user: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let ranker = self.ranker()?;
        ranker.score(user, movies, scores).await
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Slot");
        debug.field("kind", &self.kind).field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::UserId;

    use super::*;
    use crate::tests::ready;

    struct Constant(f32);

    #[async_trait]
    impl Ranker for Constant {
        fn kind(&self) -> &'static str {
            "constant"
        }

        async fn score(
            &self,
            _user: &UserState<'_>,
            movies: &[MovieIndex],
            scores: &mut Vec<f32>,
        ) -> Result<(), Error> {
            scores.clear();
            scores.extend(movies.iter().map(|_| self.0));
            Ok(())
        }
    }

    #[test]
    fn versions_are_exchanged_and_their_troubles_told() {
        let slot = Slot::empty("constant", "no version is there");
        let score = || {
            let mut scores = Vec::new();
            let nobody = UserState::unknown(UserId(1));
            ready(slot.score(&nobody, &[MovieIndex(0)], &mut scores)).map(|()| scores[0])
        };
        assert!(
            matches!(score(), Err(Error::Unavailable(why)) if why.to_string() == "no version is there")
        );
        assert_eq!((slot.status().state, slot.revision()), (State::Unavailable, 0));

        let since = SystemTime::UNIX_EPOCH;
        slot.put(Arc::new(Constant(1.0)), Some(1), since);
        slot.set_trouble(Some("version 2 is broken".to_owned()));
        assert_eq!(score().unwrap(), 1.0);
        let status = slot.status();
        assert_eq!((status.state, status.version), (State::Ready, Some(1)));
        assert_eq!(status.trouble.as_deref(), Some("version 2 is broken"));

        slot.put(Arc::new(Constant(3.0)), Some(3), since);
        assert_eq!(score().unwrap(), 3.0);
        assert_eq!((slot.status().version, slot.status().trouble), (Some(3), None));
        assert_eq!((slot.status().since, slot.revision()), (Some(since), 2));
    }
}
