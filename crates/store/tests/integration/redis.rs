//! The contract on real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sparrow_store::{Location, Options, RedisStore};
use sparrow_test_redis::{TestCluster, TestRedis};

use crate::testsuite::{self, Handles};

/// Short durations for fast tests.
pub(crate) fn options() -> Options {
    Options {
        deadline: Duration::from_millis(800),
        grace: Duration::from_millis(900),
        connections: 2,
        ..Options::default()
    }
}

/// A connected store.
pub(crate) async fn open(url: &str, options: &Options) -> RedisStore {
    let Location::Redis(location) = url.parse().unwrap() else { panic!("{url}") };
    let store = RedisStore::open(&location, options).unwrap();
    store.connected().await.unwrap();
    store
}

/// Runs the tests of the contract, each under its own prefix.
pub(crate) async fn check_contract(url: &str, prefix: impl Fn(usize) -> String, options: &Options) {
    let count = AtomicUsize::new(0);
    testsuite::check(async || {
        let prefix = prefix(count.fetch_add(1, Ordering::Relaxed));
        let options = Options { prefix, ..options.clone() };
        let handles: Handles =
            [Arc::new(open(url, &options).await), Arc::new(open(url, &options).await)];
        handles
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_fulfils_the_contract() {
    let redis = TestRedis::start(&[]);
    check_contract(&redis.url(), |n| format!("t{n}:"), &options()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cluster_fulfils_the_contract() {
    let cluster = TestCluster::start(3);
    check_contract(&cluster.url(), |n| format!("t{n}:"), &options()).await;
}
