//! Redis behind a proxy that loses, cuts, repeats, delays and corrupts replies.

use std::time::{Duration, Instant};

use sparrow_model::{MovieId, UserId};
use sparrow_store::{Entry, Error, FeatureStore, Options, RedisStore, StoredUser};
use sparrow_test_redis::{Fault, LossyProxy, TestCluster, TestRedis, wait_until};

use crate::redis::{open, options};
use crate::testsuite::{push, user_fields};

const USERS: u32 = 200;

fn entries(stamp: u32) -> Vec<Entry> {
    let of_user = |user: u32| {
        let value = user + 1000 * stamp;
        [
            Entry::UserFeatures(UserId(user), user_fields(&value.to_string())),
            Entry::UserEmbedding(UserId(user), vec![value as f32]),
            Entry::MovieEmbedding(MovieId(user), vec![value as f32]),
        ]
    };
    (0..USERS).flat_map(of_user).collect()
}

fn is_right(user: &StoredUser, id: u32, stamp: u32) -> bool {
    let value = id + 1000 * stamp;
    user.embedding == Some(vec![value as f32])
        && user.features == Some(user_fields(&value.to_string()))
        && user.malformed.is_empty()
}

/// Retries a read until it succeeds; returns the elapsed time.
async fn recovery(store: &RedisStore, pause: Duration) -> Duration {
    let start = Instant::now();
    loop {
        if store.users(&[UserId(7)]).await.is_ok() {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "the store does not recover");
        tokio::time::sleep(pause).await;
    }
}

/// Reads a few users at a time until this many reads succeeded; returns the number of failures.
async fn read_many(store: RedisStore, reader: u32, answers: u32) -> u32 {
    let (mut answered, mut failed) = (0, 0);
    let mut id = reader * 31;
    while answered < answers {
        id = (id + 7) % USERS;
        let ids = [UserId(id), UserId((id + 50) % USERS)];
        // Mostly one user, as in a request.
        let ids = if id.is_multiple_of(5) { &ids[..] } else { &ids[..1] };
        match store.users(ids).await {
            Ok(read) => {
                for (user, id) in read.value.iter().zip(ids) {
                    assert!(is_right(user, id.0, 1), "{id:?}: {user:?}");
                }
                answered += 1;
            }
            Err(Error::Unavailable { .. } | Error::TimedOut { .. }) => {
                failed += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    failed
}

// Two stores, as in two servers.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn no_read_of_100_000_returns_wrong_values_despite_lost_replies() {
    const READERS: u32 = 8;
    const READS: u32 = 100_000;
    let redis = TestRedis::start(&[]);
    push(&open(&redis.url(), &options()).await, entries(1)).await;
    let proxy = LossyProxy::before(redis.port());
    let options = Options { deadline: Duration::from_millis(100), connections: 4, ..options() };
    let stores = [open(&proxy.url(), &options).await, open(&proxy.url(), &options).await];
    for store in &stores {
        store.users(&[UserId(7)]).await.unwrap();
    }
    proxy.set(Fault::Mixed, 2500);
    let readers: Vec<_> = stores
        .iter()
        .flat_map(|store| (0..READERS).map(move |reader| (store.clone(), reader)))
        .map(|(store, reader)| tokio::spawn(read_many(store, reader, READS / READERS / 2)))
        .collect();
    let mut failed = 0;
    for reader in readers {
        failed += reader.await.unwrap();
    }
    let spoilt = proxy.spoilt();
    assert!(spoilt > 60 && failed > 0, "{failed} failed, {spoilt} faults");
    proxy.set(Fault::None, 1);
    for store in &stores {
        assert!(recovery(store, Duration::from_millis(10)).await < Duration::from_secs(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn reads_recover_from_each_fault_at_any_rate() {
    let redis = TestRedis::start(&[]);
    push(&open(&redis.url(), &options()).await, entries(1)).await;
    for connections in [1, 4] {
        let proxy = LossyProxy::before(redis.port());
        let options = Options { deadline: Duration::from_millis(200), connections, ..options() };
        let store = open(&proxy.url(), &options).await;
        for fault in Fault::EACH {
            for pause in [5, 600] {
                proxy.set(fault, 1);
                for _ in 0..2 {
                    if let Ok(read) = store.users(&[UserId(7)]).await {
                        assert!(is_right(&read.value[0], 7, 1), "{fault:?}: {read:?}");
                    }
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                proxy.set(Fault::None, 1);
                let took = recovery(&store, Duration::from_millis(pause)).await;
                assert!(took < Duration::from_secs(2), "{fault:?}, {pause} ms: {took:?}");
                for id in 0..20 {
                    let read = store.users(&[UserId(id)]).await.unwrap();
                    assert!(is_right(&read.value[0], id, 1), "{fault:?}: {read:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_fault_costs_at_most_one_more_read_at_one_read_per_second() {
    let redis = TestRedis::start(&[]);
    push(&open(&redis.url(), &options()).await, entries(1)).await;
    let proxy = LossyProxy::before(redis.port());
    let options = Options { deadline: Duration::from_millis(200), connections: 1, ..options() };
    let store = open(&proxy.url(), &options).await;
    store.users(&[UserId(7)]).await.unwrap();
    for fault in Fault::EACH {
        let before = proxy.spoilt();
        proxy.set(fault, 2);
        while proxy.spoilt() == before {
            let _ = store.users(&[UserId(7)]).await;
        }
        proxy.set(Fault::None, 1);
        let mut outcomes = Vec::new();
        for id in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let read = store.users(&[UserId(id)]).await;
            if let Ok(read) = &read {
                assert!(is_right(&read.value[0], id, 1), "{fault:?}: {read:?}");
            }
            outcomes.push(read.is_ok());
        }
        assert!(matches!(outcomes[..], [_, true, true]), "{fault:?}: {outcomes:?}");
    }
}

/// Swaps replies within batches without changing their number: no value may be assigned to another
/// key.
async fn check_swapped_replies(store: &RedisStore, proxies: &[LossyProxy]) {
    let ids: Vec<UserId> = (0..30).map(UserId).collect();
    let (mut right, mut failed) = (0, 0);
    for one_in in [1, 5, 20, 60] {
        for proxy in proxies {
            proxy.set(Fault::Shift, one_in);
        }
        for _ in 0..10 {
            match store.users(&ids).await {
                Ok(read) => {
                    for (user, id) in read.value.iter().zip(&ids) {
                        assert!(is_right(user, id.0, 1), "{id:?}: {user:?}");
                    }
                    right += 1;
                }
                Err(Error::Unavailable { .. } | Error::TimedOut { .. }) => failed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        for proxy in proxies {
            proxy.set(Fault::None, 1);
        }
        recovery(store, Duration::from_millis(10)).await;
    }
    let spoilt: u64 = proxies.iter().map(LossyProxy::spoilt).sum();
    assert!(failed > 0 && spoilt > 10, "{right} right, {failed} failed, {spoilt} faults");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn swapped_replies_within_a_batch_are_rejected() {
    let redis = TestRedis::start(&[]);
    push(&open(&redis.url(), &options()).await, entries(1)).await;
    let proxy = LossyProxy::before(redis.port());
    let store = open(&proxy.url(), &options()).await;
    check_swapped_replies(&store, &[proxy]).await;

    let cluster = TestCluster::start(3);
    push(&open(&cluster.url(), &options()).await, entries(1)).await;
    let proxies: Vec<LossyProxy> =
        cluster.nodes().iter().map(|node| LossyProxy::before(node.port())).collect();
    for (node, proxy) in cluster.nodes().iter().zip(&proxies) {
        let port = proxy.port().to_string();
        assert_eq!(node.cli(&["CONFIG", "SET", "cluster-announce-port", &port]), "OK");
    }
    wait_until("all nodes announce their proxies", || {
        cluster.nodes().iter().all(|node| {
            let slots = node.cli(&["CLUSTER", "SLOTS"]);
            proxies.iter().all(|proxy| slots.contains(&proxy.port().to_string()))
        })
    });
    let url = format!("redis-cluster://127.0.0.1:{}", proxies[0].port());
    let store = open(&url, &options()).await;
    check_swapped_replies(&store, &proxies).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_push_through_lost_replies_is_complete_or_fails() {
    let redis = TestRedis::start(&[]);
    let direct = open(&redis.url(), &options()).await;
    push(&direct, entries(0)).await;
    let proxy = LossyProxy::before(redis.port());
    let options = Options {
        deadline: Duration::from_millis(100),
        bulk_deadline: Duration::from_millis(300),
        grace: Duration::from_millis(120),
        lock: Duration::from_millis(400),
        ..options()
    };
    let store = open(&proxy.url(), &options).await;
    let (mut pushed, mut failed, mut current) = (0, 0, 0);
    for stamp in 1..=16 {
        // Some pushes meet several faults, others none.
        proxy.set(Fault::Mixed, if stamp % 2 == 0 { 6000 } else { 400 });
        let outcome = async {
            let mut push = store.push().await?;
            push.put(entries(stamp)).await?;
            push.commit().await
        };
        let outcome = outcome.await;
        proxy.set(Fault::None, 1);
        let ids: Vec<UserId> = (0..USERS).map(UserId).collect();
        let users = direct.users(&ids).await.unwrap().value;
        let now = (users[0].embedding.as_ref().unwrap()[0] / 1000.0) as u32;
        for (id, user) in (0..).zip(&users) {
            assert!(is_right(user, id, now), "user {id} of {now} after {stamp}: {user:?}");
        }
        if outcome.is_ok() {
            assert_eq!(now, stamp);
            pushed += 1;
        } else {
            // The new generation may be in effect although the reply to its announcement was lost.
            assert!(now == current || now == stamp, "{now} after {current}, {stamp}: {outcome:?}");
            failed += 1;
        }
        current = now;
        recovery(&store, Duration::from_millis(10)).await;
    }
    assert!(pushed > 0 && failed > 0, "{pushed} pushed, {failed} failed");
}
