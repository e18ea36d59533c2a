//! Redis that is unreachable, frozen, restarted, or rejects commands.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sparrow_model::{MovieId, UserId};
use sparrow_store::{
    Entry, Error, FeatureStore, Generation, GuardOptions, Guarded, Location, Options, connect, open,
};
use sparrow_test_redis::{TestRedis, wait_until};

use crate::redis::{open as open_redis, options};
use crate::testsuite::{push, start};

fn embeddings(count: u32, value: f32) -> Vec<Entry> {
    (0..count).map(|id| Entry::UserEmbedding(UserId(id), vec![value; 50])).collect()
}

async fn first(store: &dyn FeatureStore) -> Result<Option<f32>, Error> {
    let users = store.users(&[UserId(0)]).await?.value;
    Ok(users[0].embedding.as_ref().map(|vector| vector[0]))
}

/// Retries a read until it succeeds.
async fn back(store: &dyn FeatureStore) -> Option<f32> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match first(store).await {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < end, "the store does not recover: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn reads_end_in_time_and_recover_after_kills_and_freezes() {
    let mut redis = TestRedis::start(&["--appendonly", "yes"]);
    let options = Options { deadline: Duration::from_millis(200), ..options() };
    let store = open_redis(&redis.url(), &options).await;
    push(&store, embeddings(10, 1.0)).await;

    // Concurrent readers, none of which may wait much longer than the deadline.
    let stop = Arc::new(AtomicBool::new(false));
    let slowest = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (store, stop, slowest) = (store.clone(), Arc::clone(&stop), Arc::clone(&slowest));
            tokio::spawn(async move {
                let mut good = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let before = Instant::now();
                    match first(&store).await {
                        Ok(value) => {
                            assert_eq!(value, Some(1.0));
                            good += 1;
                        }
                        Err(Error::Unavailable { .. } | Error::TimedOut { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    slowest.fetch_max(before.elapsed().as_millis() as u64, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                good
            })
        })
        .collect();

    for _ in 0..2 {
        redis.freeze();
        let error = loop {
            if let Err(error) = first(&store).await {
                break error;
            }
        };
        // An exceeded deadline of one read closes the connection for all reads on it.
        assert!(matches!(error, Error::TimedOut { .. } | Error::Unavailable { .. }), "{error}");
        redis.thaw();
        assert_eq!(back(&store).await, Some(1.0));

        redis.kill();
        let error = loop {
            match first(&store).await {
                Err(error @ Error::Unavailable { .. }) => break error,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        assert!(error.to_string().contains("127.0.0.1"), "{error}");
        // Reads fail at once when the connection is known to be closed.
        wait_until("a read fails at once", || {
            let before = Instant::now();
            let failed = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(first(&store))
            })
            .is_err();
            failed && before.elapsed() < Duration::from_millis(20)
        });
        redis.restart();
        assert_eq!(back(&store).await, Some(1.0));
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    let slowest = slowest.load(Ordering::Relaxed);
    assert!(slowest < 600, "a read took {slowest} ms with a deadline of 200 ms");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn reads_recover_after_connections_to_a_frozen_server_are_closed() {
    let redis = TestRedis::start(&[]);
    let options = Options {
        deadline: Duration::from_millis(100),
        bulk_deadline: Duration::from_millis(200),
        connect_timeout: Duration::from_millis(300),
        ..options()
    };
    let store = open_redis(&redis.url(), &options).await;
    push(&store, embeddings(10, 1.0)).await;
    redis.freeze();
    // Longer than the timeout of unresponsive connections.
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let before = Instant::now();
        assert!(first(&store).await.is_err());
        assert!(before.elapsed() < Duration::from_millis(400));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    redis.thaw();
    assert_eq!(back(&store).await, Some(1.0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_guarded_store_opens_without_redis_and_connects_later() {
    let mut redis = TestRedis::start(&["--appendonly", "yes"]);
    let location: Location = redis.url().parse().unwrap();
    push(&open_redis(&redis.url(), &options()).await, embeddings(10, 1.0)).await;
    redis.kill();

    let before = Instant::now();
    let store = Guarded::new(open(&location, &options()).unwrap(), GuardOptions::default());
    assert!(before.elapsed() < Duration::from_millis(100), "opening does not wait");
    let end = Instant::now() + Duration::from_secs(10);
    while store.status().outage.is_none() {
        assert!(first(&store).await.is_err());
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let why = store.status().outage.unwrap().cause.to_string();
    assert!(why.contains("refused") || why.contains("not connected yet"), "{why}");
    redis.restart();
    assert_eq!(back(&store).await, Some(1.0));
    assert!(store.status().outage.is_none());
    let status = store.status();
    assert!(status.calls > 0 && status.failures >= 3);
}

/// The error of `connect` for an address.
async fn refusal(url: &str, options: &Options) -> Error {
    connect(&url.parse().unwrap(), options).await.map(|_| ()).unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn errors_of_connect_contain_the_cause_and_no_password() {
    let hasty = Options { connect_timeout: Duration::from_millis(500), ..options() };
    let unreachable = format!("redis://:hunter2@127.0.0.1:{}", TestRedis::free_port());
    let before = Instant::now();
    let error = refusal(&unreachable, &hasty).await;
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
    assert!(before.elapsed() < Duration::from_secs(3));

    // A listener that never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let before = Instant::now();
    let error = refusal(&url, &hasty).await;
    assert!(matches!(error, Error::Unavailable { .. } | Error::TimedOut { .. }), "{error}");
    assert!(before.elapsed() < Duration::from_secs(3));

    let locked = TestRedis::start(&["--requirepass", "hunter2"]);
    let url = |user: &str| format!("redis://{user}127.0.0.1:{}", locked.port());
    assert!(connect(&url(":hunter2@").parse().unwrap(), &hasty).await.is_ok());
    let before = Instant::now();
    for (user, expected) in [
        ("", "requires a password"),
        (":hunter3@", "password is wrong"),
        ("ghost:hunter3@", "password is wrong"),
    ] {
        let error = refusal(&url(user), &hasty).await;
        assert!(matches!(error, Error::Refused { .. }), "{error}");
        let printed = format!("{error} {error:?}");
        assert!(printed.contains(expected) && !printed.contains("hunter"), "{printed}");
    }
    assert!(before.elapsed() < Duration::from_secs(5));
    let store = open(&url(":hunter2@").parse().unwrap(), &hasty).unwrap();
    assert!(!format!("{store:?}").contains("hunter"), "{store:?}");

    let plain = TestRedis::start(&[]);
    let cluster = format!("redis-cluster://127.0.0.1:{}", plain.port());
    let error = refusal(&cluster, &hasty).await;
    assert!(error.to_string().contains("cluster support disabled"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_push_without_memory_leaves_the_store_unchanged() {
    let redis = TestRedis::start(&["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"]);
    let store = open_redis(&redis.url(), &options()).await;
    let first_one = push(&store, embeddings(1000, 1.0)).await;

    let mut too_much = start(&store).await;
    let mut result = Ok(());
    for round in 0..100 {
        let entries =
            (0..1000).map(|id| Entry::MovieEmbedding(MovieId(round * 1000 + id), vec![0.5; 50]));
        result = too_much.put(entries.collect()).await;
        if result.is_err() {
            break;
        }
    }
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("it is out of memory (OOM"), "{error}");
    assert!(too_much.commit().await.is_err());
    assert_eq!(redis.cli(&["KEYS", "sparrow:new:*"]), "", "the staged keys are removed");
    assert_eq!(redis.cli(&["EXISTS", "sparrow:lock"]), "0");
    assert_eq!(store.generation().await.unwrap(), first_one);
    assert_eq!(first(&store).await.unwrap(), Some(1.0));

    // Running out of memory between announcement and renaming has no effect: renaming needs none.
    let mut last = start(&store).await;
    last.put(embeddings(1000, 2.0)).await.unwrap();
    let commit = tokio::spawn(last.commit());
    wait_until("the generation is announced", || {
        redis.cli(&["GET", "sparrow:generation"]).contains("staged")
    });
    redis.cli(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let second = commit.await.unwrap().unwrap();
    assert_eq!(store.generation().await.unwrap(), second);
    assert_eq!(first(&store).await.unwrap(), Some(2.0));
    assert_eq!(redis.cli(&["KEYS", "sparrow:new:*"]), "");
    assert!(redis.cli(&["GET", "sparrow:generation"]).contains("plain"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn errors_name_read_only_replicas_and_missing_permissions() {
    let redis = TestRedis::start(&[]);
    let primary = redis.port().to_string();
    let replica = TestRedis::start(&["--replicaof", "127.0.0.1", &primary]);
    let store = open_redis(&redis.url(), &options()).await;
    push(&store, embeddings(10, 1.0)).await;
    wait_until("the replica follows", || replica.cli(&["EXISTS", "uEmb:0"]) == "1");

    let reader = open_redis(&replica.url(), &options()).await;
    assert_eq!(first(&reader).await.unwrap(), Some(1.0), "reading from a replica works");
    let error = reader.push().await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains("it is a read-only replica (READONLY"), "{error}");

    // A user with read permission, and one who may also write, but only some keys.
    redis.cli(&["ACL", "SETUSER", "reader", "on", ">r", "~*", "+@read", "+@connection", "+info"]);
    let url = |user: &str| format!("redis://{user}@127.0.0.1:{}", redis.port());
    let reader = open_redis(&url("reader:r"), &options()).await;
    assert_eq!(first(&reader).await.unwrap(), Some(1.0));
    let error = reader.push().await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("the user lacks the permission (NOPERM"), "{error}");

    redis.cli(&["ACL", "SETUSER", "narrow", "on", ">n", "~sparrow:*", "+@all"]);
    let narrow = open_redis(&url("narrow:n"), &options()).await;
    let mut refused = start(&narrow).await;
    refused.put(embeddings(10, 2.0)).await.unwrap();
    let error = refused.commit().await.unwrap_err();
    assert!(error.to_string().contains("in effect, but the next push must"), "{error}");
    assert!(error.to_string().contains("NOPERM"), "{error}");
    // The values are readable under staged keys; a push with permission completes the renaming.
    assert_eq!(first(&store).await.unwrap(), Some(2.0));
    drop(start(&store).await);
    wait_until("the keys are renamed", || redis.cli(&["KEYS", "sparrow:new:*"]).is_empty());
    assert_eq!(first(&store).await.unwrap(), Some(2.0));
    assert_ne!(store.generation().await.unwrap(), Generation(0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn connect_waits_for_a_server_that_loads_its_data() {
    let mut redis = TestRedis::start(&["--appendonly", "yes"]);
    let store = open_redis(&redis.url(), &options()).await;
    push(&store, embeddings(10, 1.0)).await;
    redis.kill();
    redis.restart();
    assert_eq!(back(&store).await, Some(1.0));
    // A push over connections that were all replaced.
    push(&store, embeddings(10, 2.0)).await;
    assert_eq!(first(&store).await.unwrap(), Some(2.0));
}
