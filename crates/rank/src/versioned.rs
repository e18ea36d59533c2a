use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use async_trait::async_trait;
use sparrow_model::UserState;

use crate::{Contribution, Error, ItemScores, Query, Ranker, State, Status};

/// A ranker whose version can be replaced while requests run. A query in progress finishes with the version that it
/// started with.
pub struct VersionedRanker {
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

impl VersionedRanker {
    /// A model of a kind such as `neuralcf` without any version, and the reason for that.
    pub fn empty(kind: &'static str, reason: impl Into<String>) -> Self {
        let (since, trouble) = (SystemTime::now(), Some(reason.into()));
        let current = Current { ranker: None, version: None, since, trouble };
        Self { kind, current: RwLock::new(current), revision: AtomicU64::new(0) }
    }

    /// Replaces the version. `since` is the time at which the first engine used this version.
    pub fn replace(&self, ranker: Arc<dyn Ranker>, version: Option<u64>, since: SystemTime) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) =
            Current { ranker: Some(ranker), version, since, trouble: None };
        self.revision.fetch_add(1, Ordering::Release);
    }

    /// Sets or clears the problem that the status reports. The current version remains in use.
    pub fn set_problem(&self, trouble: Option<String>) {
        self.current.write().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }

    fn ranker(&self) -> Result<Arc<dyn Ranker>, Error> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.ranker.clone().ok_or_else(|| {
            let reason = current.trouble.clone();
            Error::Unavailable(reason.unwrap_or_else(|| "no version is loaded".to_owned()).into())
        })
    }
}

#[async_trait]
impl Ranker for VersionedRanker {
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

    fn uses_input(&self, index: usize) -> bool {
        self.ranker().is_ok_and(|ranker| ranker.uses_input(index))
    }

    fn explain(&self, query: &Query<'_>) -> Vec<Contribution> {
        self.ranker().map_or_else(|_| Vec::new(), |ranker| ranker.explain(query))
    }

    fn score_all(&self, user: &UserState<'_>) -> Option<Result<Arc<ItemScores>, Error>> {
        match self.ranker() {
            Ok(ranker) => ranker.score_all(user),
            Err(error) => Some(Err(error)),
        }
    }

    async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
        let ranker = self.ranker()?;
        ranker.score(query, scores).await
    }
}

impl fmt::Debug for VersionedRanker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("VersionedRanker");
        debug.field("kind", &self.kind).field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::{MovieIndex, UserId};

    use super::*;
    use crate::tests::ready;
    use crate::testsuite;

    struct Constant(f32);

    #[async_trait]
    impl Ranker for Constant {
        fn kind(&self) -> &'static str {
            "constant"
        }

        async fn score(&self, query: &Query<'_>, scores: &mut Vec<f32>) -> Result<(), Error> {
            scores.clear();
            scores.extend(query.movies.iter().map(|_| self.0));
            Ok(())
        }
    }

    #[test]
    fn loaded_version_fulfils_the_contract() {
        let ranker = VersionedRanker::empty("constant", "no version exists");
        ranker.replace(Arc::new(Constant(0.5)), None, SystemTime::UNIX_EPOCH);
        ready(testsuite::check(&ranker, 5, &[UserState::unknown(UserId(1))], &[]));
    }

    #[test]
    fn versions_are_replaced_and_problems_reported() {
        let ranker = VersionedRanker::empty("constant", "no version exists");
        let score = || {
            let mut scores = Vec::new();
            let user = UserState::unknown(UserId(1));
            let query = Query::new(&user, &[MovieIndex(0)]);
            ready(ranker.score(&query, &mut scores)).map(|()| scores[0])
        };
        assert!(
            matches!(score(), Err(Error::Unavailable(why)) if why.to_string() == "no version exists")
        );
        assert_eq!((ranker.status().state, ranker.revision()), (State::Unavailable, 0));

        let since = SystemTime::UNIX_EPOCH;
        ranker.replace(Arc::new(Constant(1.0)), Some(1), since);
        ranker.set_problem(Some("version 2 is broken".to_owned()));
        assert_eq!(score().unwrap(), 1.0);
        let status = ranker.status();
        assert_eq!((status.state, status.version), (State::Ready, Some(1)));
        assert_eq!(status.trouble.as_deref(), Some("version 2 is broken"));

        ranker.replace(Arc::new(Constant(3.0)), Some(3), since);
        assert_eq!(score().unwrap(), 3.0);
        assert_eq!((ranker.status().version, ranker.status().trouble), (Some(3), None));
        assert_eq!((ranker.status().since, ranker.revision()), (Some(since), 2));
    }
}
