//! The guard around a store that fails on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sparrow_model::{MovieId, UserId};
use sparrow_store::{
    Error, FeatureStore, Generation, GuardOptions, Guarded, MemoryStore, Push, Read, StoredMovie,
    StoredUser, UserList,
};

use crate::testsuite::{self, Handles};

/// A store that answers, fails or does not respond.
#[derive(Debug, Default)]
struct FaultyStore {
    mode: AtomicU32,
    calls: AtomicU64,
}

const OK: u32 = 0;
const UNAVAILABLE: u32 = 1;
const UNRESPONSIVE: u32 = 2;
const MALFORMED: u32 = 3;

impl FaultyStore {
    fn set(&self, mode: u32) {
        self.mode.store(mode, Ordering::SeqCst);
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl FeatureStore for FaultyStore {
    fn address(&self) -> &'static str {
        "faulty"
    }

    async fn generation(&self) -> Result<Generation, Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match self.mode.load(Ordering::SeqCst) {
            OK => Ok(Generation(1)),
            UNAVAILABLE => {
                Err(Error::Unavailable { store: "faulty".into(), what: "gone fishing".into() })
            }
            UNRESPONSIVE => std::future::pending().await,
            _ => Err(Error::Malformed { key: "k".into(), what: "is odd".into() }),
        }
    }

    async fn users(&self, _: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        unimplemented!("not used by these tests")
    }

    async fn movies(&self, _: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        unimplemented!("not used by these tests")
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        unimplemented!("not used by these tests")
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        unimplemented!("not used by these tests")
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        unimplemented!("not used by these tests")
    }

    async fn watermark(&self) -> Result<Read<Option<sparrow_live::Watermark>>, Error> {
        unimplemented!("not used by these tests")
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        unimplemented!("not used by these tests")
    }
}

fn guarded() -> (Arc<FaultyStore>, Arc<Guarded>) {
    let store = Arc::new(FaultyStore::default());
    let options = GuardOptions {
        deadline: Duration::from_millis(100),
        circuit: sparrow_guard::Circuit { min_requests: 3, ..Default::default() },
        pause: Duration::from_secs(1),
        ..GuardOptions::default()
    };
    let guarded = Guarded::new(Arc::clone(&store) as Arc<dyn FeatureStore>, options);
    (store, Arc::new(guarded))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_store_fulfils_the_contract() {
    testsuite::check(async || {
        let store = Arc::new(MemoryStore::default());
        let guard =
            || Guarded::new(Arc::clone(&store) as Arc<dyn FeatureStore>, GuardOptions::default());
        let handles: Handles = [Arc::new(guard()), Arc::new(guard())];
        handles
    })
    .await;
}

// These tests run with paused time, which advances to the next timer.

#[tokio::test(start_paused = true)]
async fn a_failure_rate_opens_the_circuit_and_one_probe_closes_it() {
    let (store, guarded) = guarded();
    store.set(UNAVAILABLE);
    for _ in 0..2 {
        assert!(guarded.generation().await.is_err());
    }
    assert!(guarded.status().outage.is_none(), "two failures are below the minimum");
    store.set(OK);
    for _ in 0..3 {
        assert!(guarded.generation().await.is_ok());
    }
    store.set(UNAVAILABLE);
    assert!(guarded.generation().await.is_err());
    let outage = guarded.status().outage.unwrap();
    assert!(outage.cause.to_string().contains("gone fishing"));

    let calls = store.calls();
    for _ in 0..100 {
        let error = guarded.generation().await.unwrap_err().to_string();
        assert!(
            error.contains("circuit breaker is open") && error.contains("gone fishing"),
            "{error}"
        );
    }
    assert_eq!(store.calls(), calls, "the open circuit breaker admits no calls");
    assert_eq!(guarded.status().rejected, 100);

    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(guarded.generation().await.is_err());
    assert!(guarded.generation().await.is_err());
    assert_eq!(store.calls(), calls + 1, "one probe per pause");

    store.set(OK);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(guarded.generation().await.unwrap(), Generation(1));
    let status = guarded.status();
    assert!(status.outage.is_none());
    assert_eq!((status.calls, status.failures), (calls + 2, 4));
}

#[tokio::test(start_paused = true)]
async fn calls_time_out_and_only_one_probe_runs_at_a_time() {
    let (store, guarded) = guarded();
    store.set(UNRESPONSIVE);
    let before = tokio::time::Instant::now();
    for _ in 0..3 {
        assert!(matches!(guarded.generation().await, Err(Error::TimedOut { .. })));
    }
    assert_eq!(before.elapsed(), Duration::from_millis(300));
    tokio::time::advance(Duration::from_secs(1)).await;

    let calls = store.calls();
    let patient = tokio::spawn({
        let guarded = Arc::clone(&guarded);
        async move { guarded.generation().await }
    });
    while store.calls() == calls {
        tokio::task::yield_now().await;
    }
    assert!(matches!(guarded.generation().await, Err(Error::Unavailable { .. })));
    // A probe that is dropped does not block the next one.
    patient.abort();
    let _ = patient.await;
    store.set(OK);
    assert!(guarded.generation().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn malformed_values_do_not_count_as_failures() {
    let (store, guarded) = guarded();
    store.set(MALFORMED);
    for _ in 0..10 {
        assert!(matches!(guarded.generation().await, Err(Error::Malformed { .. })));
    }
    assert_eq!(store.calls(), 10);
    assert!(guarded.status().outage.is_none());
}
