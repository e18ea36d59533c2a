//! The guard around a store for live data that fails on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sparrow_live::{
    Accepted, Action, CreatedUser, Durability, Error, Limits, LiveStore, LiveUser, MemoryLive,
    Recorded, Sequence, Watermark, Write,
};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_store::{GuardOptions, GuardedLive};

use crate::live_testsuite::{self, Handles};

/// A store that works, fails or does not respond.
#[derive(Debug)]
struct FaultyLive {
    store: MemoryLive,
    mode: AtomicU32,
    calls: AtomicU64,
}

const OK: u32 = 0;
const UNAVAILABLE: u32 = 1;
const UNRESPONSIVE: u32 = 2;

impl FaultyLive {
    async fn check(&self) -> Result<(), Error> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        match self.mode.load(Ordering::SeqCst) {
            OK => Ok(()),
            UNAVAILABLE => {
                Err(Error::Unavailable { store: "faulty".into(), what: "gone fishing".into() })
            }
            _ => std::future::pending().await,
        }
    }
}

#[async_trait]
impl LiveStore for FaultyLive {
    fn address(&self) -> &'static str {
        "faulty"
    }

    fn durability(&self) -> Durability {
        self.store.durability()
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, Error>> {
        match self.check().await {
            Ok(()) => self.store.write(writes).await,
            Err(error) => vec![Err(error); writes.len()],
        }
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, Error> {
        self.check().await?;
        self.store.users(ids).await
    }

    async fn create_user(&self, key: Option<&str>) -> Result<CreatedUser, Error> {
        self.check().await?;
        self.store.create_user(key).await
    }

    fn partitions(&self) -> u16 {
        self.store.partitions()
    }

    async fn log(
        &self,
        number: u16,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        self.check().await?;
        self.store.log(number, after, limit).await
    }

    async fn drop_included(&self, watermark: &Watermark) -> Result<u64, Error> {
        self.check().await?;
        self.store.drop_included(watermark).await
    }

    async fn trim(&self, watermark: &Watermark) -> Result<u64, Error> {
        self.check().await?;
        self.store.trim(watermark).await
    }

    async fn trimmed(&self) -> Result<Watermark, Error> {
        self.check().await?;
        self.store.trimmed().await
    }
}

fn guarded(limits: Limits) -> (Arc<FaultyLive>, GuardedLive) {
    let store = MemoryLive::new(limits);
    let faulty = FaultyLive { store, mode: AtomicU32::new(OK), calls: AtomicU64::new(0) };
    let store = Arc::new(faulty);
    let options = GuardOptions {
        deadline: Duration::from_millis(100),
        pause: Duration::from_secs(1),
        ..GuardOptions::default()
    };
    let guarded = GuardedLive::new(Arc::clone(&store) as Arc<dyn LiveStore>, options);
    (store, guarded)
}

#[tokio::test]
async fn a_guarded_store_fulfils_the_contract_of_live_data() {
    live_testsuite::check(async |limits| {
        let (store, one) = guarded(limits);
        let two = GuardedLive::new(store, GuardOptions::default());
        let handles: Handles = [Arc::new(one), Arc::new(two)];
        handles
    })
    .await;
}

// These tests run with paused time, which advances to the next timer.

#[tokio::test(start_paused = true)]
async fn failed_writes_open_the_circuit_and_one_probe_closes_it() {
    let (store, guarded) = guarded(Limits { ratings: 1, events: 1 });
    let rate = |movie| Write::new(UserId(1), Action::Rate(MovieId(movie), Stars::LIKED), 1);
    // Rejected writes are not failures of the store.
    assert!(guarded.write(&[rate(1)]).await.remove(0).is_ok());
    for _ in 0..9 {
        let rejected = guarded.write(&[rate(2)]).await.remove(0);
        assert!(matches!(rejected, Err(Error::TooManyRatings { .. })));
    }
    assert!(guarded.status().outage.is_none());
    for (mode, word) in [(UNRESPONSIVE, "did not answer in time"), (UNAVAILABLE, "gone fishing")] {
        store.mode.store(mode, Ordering::SeqCst);
        for _ in 0..12 {
            let results = guarded.write(&[rate(1), rate(1)]).await;
            assert!(results.len() == 2 && results.iter().all(Result::is_err));
        }
        let calls = store.calls.load(Ordering::SeqCst);
        let error = guarded.users(&[UserId(1)]).await.unwrap_err().to_string();
        assert!(error.contains("circuit breaker is open") && error.contains(word), "{error}");
        assert_eq!(store.calls.load(Ordering::SeqCst), calls);
        store.mode.store(OK, Ordering::SeqCst);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(guarded.users(&[UserId(1)]).await.unwrap()[0].ratings.len(), 1);
        assert!(guarded.status().outage.is_none());
    }
}
