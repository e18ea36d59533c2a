//! Redis behind sockets, database numbers and sentinels.

use std::time::Duration;

use sparrow_model::UserId;
use sparrow_store::{Entry, Error, FeatureStore, Options, connect};
use sparrow_test_redis::{TestRedis, wait_until};

use crate::redis::{check_contract, open, options};
use crate::testsuite::push;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_socket_fulfils_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.sock");
    let path = path.to_str().unwrap();
    let redis = TestRedis::start(&["--unixsocket", path]);
    let url = format!("unix://{path}?db=2");
    check_contract(&url, |n| format!("t{n}:"), &options()).await;
    assert_eq!(redis.cli(&["DBSIZE"]), "0");
    assert_ne!(redis.cli(&["-n", "2", "DBSIZE"]), "0");

    let hasty = Options { connect_timeout: Duration::from_millis(300), ..options() };
    let nowhere = "unix:///nowhere/redis.sock".parse().unwrap();
    let error = connect(&nowhere, &hasty).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn sentinels_lead_to_the_current_primary() {
    let redis = TestRedis::start(&["--requirepass", "films", "--masterauth", "films"]);
    let replica = TestRedis::start(&[
        "--replicaof",
        &format!("127.0.0.1 {}", redis.port()),
        "--masterauth",
        "films",
        "--requirepass",
        "films",
    ]);
    let sentinel = sentinel(redis.port(), "films");
    let url = format!("redis-sentinel://:films@127.0.0.1:{}/cinema/3", sentinel.port());
    let store = open(&url, &options()).await;
    push(&store, vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await;
    assert_eq!(redis.cli(&["-a", "films", "-n", "3", "GET", "uEmb:1"]), "1");
    assert!(!store.address().contains("films@"), "{}", store.address());

    // After a fail-over, they lead to the other server.
    wait_until("the replica has it", || {
        replica.cli(&["-a", "films", "-n", "3", "GET", "uEmb:1"]) == "1"
            && sentinel.cli(&["SENTINEL", "REPLICAS", "cinema"]).contains("replica")
    });
    wait_until("a fail-over begins", || sentinel.cli(&["SENTINEL", "FAILOVER", "cinema"]) == "OK");
    wait_until("the replica leads", || {
        replica.try_cli(&["-a", "films", "ROLE"]).1.starts_with("master")
            && redis.try_cli(&["-a", "films", "ROLE"]).1.starts_with("slave")
    });
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        // The old server rejects writes, and connections to it are reopened.
        let pushed = async {
            let mut push = store.push().await?;
            push.put(vec![Entry::UserEmbedding(UserId(1), vec![2.0])]).await?;
            push.commit().await
        };
        match pushed.await {
            Ok(_) => break,
            Err(error) => assert!(tokio::time::Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(replica.cli(&["-a", "films", "-n", "3", "GET", "uEmb:1"]), "2");

    let wrong = format!("redis-sentinel://:films@127.0.0.1:{}/theatre", sentinel.port());
    let hasty = Options { connect_timeout: Duration::from_millis(500), ..options() };
    let error = connect(&wrong.parse().unwrap(), &hasty).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("theatre"), "{error}");
}

/// A sentinel that monitors the server under the name `cinema`.
fn sentinel(port: u16, password: &str) -> TestRedis {
    TestRedis::start_sentinel(&format!(
        "sentinel monitor cinema 127.0.0.1 {port} 1\n\
         sentinel auth-pass cinema {password}\n\
         sentinel down-after-milliseconds cinema 2000\n\
         sentinel failover-timeout cinema 5000\n"
    ))
}
