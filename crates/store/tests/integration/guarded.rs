//! The guard, around a store that fails on demand.

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

/// A store that answers, refuses, or never answers.
#[derive(Debug, Default)]
struct Moody {
    mood: AtomicU32,
    asked: AtomicU64,
}

const WELL: u32 = 0;
const AWAY: u32 = 1;
const SILENT: u32 = 2;
const GARBLED: u32 = 3;

impl Moody {
    fn set(&self, mood: u32) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl FeatureStore for Moody {
    fn address(&self) -> &'static str {
        "moody"
    }

    async fn generation(&self) -> Result<Generation, Error> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.mood.load(Ordering::SeqCst) {
            WELL => Ok(Generation(1)),
            AWAY => Err(Error::Unavailable { store: "moody".into(), what: "gone fishing".into() }),
            SILENT => std::future::pending().await,
            _ => Err(Error::Malformed { key: "k".into(), what: "is odd".into() }),
        }
    }

    async fn users(&self, _: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        unimplemented!("not asked for here")
    }

    async fn movies(&self, _: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        unimplemented!("not asked for here")
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        unimplemented!("not asked for here")
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        unimplemented!("not asked for here")
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        unimplemented!("not asked for here")
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        unimplemented!("not asked for here")
    }
}

fn guarded() -> (Arc<Moody>, Arc<Guarded>) {
    let store = Arc::new(Moody::default());
    let options = GuardOptions {
        deadline: Duration::from_millis(100),
        circuit: sparrow_circuit::Options { min_requests: 3, ..Default::default() },
        pause: Duration::from_secs(1),
        ..GuardOptions::default()
    };
    let guarded = Guarded::new(Arc::clone(&store) as Arc<dyn FeatureStore>, options);
    (store, Arc::new(guarded))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guarded_store_keeps_the_contract() {
    testsuite::check(async || {
        let store = Arc::new(MemoryStore::default());
        let guard =
            || Guarded::new(Arc::clone(&store) as Arc<dyn FeatureStore>, GuardOptions::default());
        let handles: Handles = [Arc::new(guard()), Arc::new(guard())];
        handles
    })
    .await;
}

// Time stands still in these tests and jumps to where someone waits for.

#[tokio::test(start_paused = true)]
async fn a_rate_of_failures_opens_the_circuit_and_one_try_closes_it() {
    let (store, guarded) = guarded();
    store.set(AWAY);
    for _ in 0..2 {
        assert!(guarded.generation().await.is_err());
    }
    assert!(guarded.status().away.is_none(), "two are not enough");
    store.set(WELL);
    for _ in 0..3 {
        assert!(guarded.generation().await.is_ok());
    }
    store.set(AWAY);
    assert!(guarded.generation().await.is_err());
    let away = guarded.status().away.unwrap();
    assert!(away.why.to_string().contains("gone fishing"));

    let asked = store.asked();
    for _ in 0..100 {
        let error = guarded.generation().await.unwrap_err().to_string();
        assert!(error.contains("given up on for now") && error.contains("gone fishing"), "{error}");
    }
    assert_eq!(store.asked(), asked, "nobody bothers it meanwhile");
    assert_eq!(guarded.status().rejected, 100);

    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(guarded.generation().await.is_err());
    assert!(guarded.generation().await.is_err());
    assert_eq!(store.asked(), asked + 1, "one try a pause");

    store.set(WELL);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(guarded.generation().await.unwrap(), Generation(1));
    let status = guarded.status();
    assert!(status.away.is_none());
    assert_eq!((status.calls, status.failures), (asked + 2, 4));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline_and_only_one_call_waits_for_it() {
    let (store, guarded) = guarded();
    store.set(SILENT);
    let before = tokio::time::Instant::now();
    for _ in 0..3 {
        assert!(matches!(guarded.generation().await, Err(Error::TimedOut { .. })));
    }
    assert_eq!(before.elapsed(), Duration::from_millis(300));
    tokio::time::advance(Duration::from_secs(1)).await;

    let asked = store.asked();
    let patient = tokio::spawn({
        let guarded = Arc::clone(&guarded);
        async move { guarded.generation().await }
    });
    while store.asked() == asked {
        tokio::task::yield_now().await;
    }
    assert!(matches!(guarded.generation().await, Err(Error::Unavailable { .. })));
    // A caller that goes away in the middle of its try leaves the next one free.
    patient.abort();
    let _ = patient.await;
    store.set(WELL);
    assert!(guarded.generation().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_is_no_failure_of_the_store() {
    let (store, guarded) = guarded();
    store.set(GARBLED);
    for _ in 0..10 {
        assert!(matches!(guarded.generation().await, Err(Error::Malformed { .. })));
    }
    assert_eq!(store.asked(), 10);
    assert!(guarded.status().away.is_none());
}
