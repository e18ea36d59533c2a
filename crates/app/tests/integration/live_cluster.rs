//! Ratings in a cluster: what follows them, and a fail-over.

use std::time::{Duration, Instant};

use serde_json::json;
use sparrow_test_redis::{TestCluster, wait_until};

use crate::redis::{self, SLACK};
use crate::support::{PATIENCE, config, demo_entries, get, push, send, until};

const BODY: &str = "{\"stars\": 4}";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn ratings_are_followed_in_a_cluster() {
    let cluster = TestCluster::start(3);
    push(&*redis::pusher(&cluster.url()).await, demo_entries()).await;
    let servers = [redis::serve(&cluster.url()).await, redis::serve(&cluster.url()).await];
    let before = get(servers[0].address, "/v1/movies/1").await.json();
    let before = before["ratingNumber"].as_u64().unwrap();
    for node in cluster.nodes() {
        node.cli(&["CONFIG", "RESETSTAT"]);
    }
    // Users of many partitions, on all nodes.
    for user in 0..30 {
        let target = format!("/v1/users/{}/ratings/1", 4_000_000 + user);
        assert_eq!(send(servers[user % 2].address, "PUT", &target, BODY).await.status, 200);
    }
    for server in &servers {
        until(server.address, "/v1/movies/1", |answer| {
            answer.json()["ratingNumber"] == before + 30
        })
        .await;
        until(server.address, "/readyz", |answer| {
            answer.json()["live"]["projector"]["users"] == 30
        })
        .await;
        let ready = get(server.address, "/readyz").await.json();
        for consumer in ["statistics", "projector"] {
            assert_eq!(ready["live"][consumer]["failures"], 0, "{ready}");
        }
    }
    let projected: usize = cluster
        .nodes()
        .iter()
        .map(|node| node.cli(&["--raw", "KEYS", "uf:40000??"]).lines().count())
        .sum();
    assert_eq!(projected, 30);
    for node in cluster.nodes() {
        let errors = node.cli(&["INFO", "errorstats"]);
        assert!(!errors.contains("CROSSSLOT"), "{errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the figures")]
async fn a_fail_over_rejects_writes_within_the_deadline_and_keeps_replicated_ones() {
    const USERS: u32 = 24;
    let mut cluster = TestCluster::start(3);
    push(&*redis::pusher(&cluster.url()).await, demo_entries()).await;
    let replica = cluster.add_replica(0);
    let running = redis::serve(&cluster.url()).await;
    let address = running.address;
    let user = |number: u32| 5_000_000 + number;
    let target = |number, movie| format!("/v1/users/{}/ratings/{movie}", user(number));
    for number in 0..USERS {
        assert_eq!(send(address, "PUT", &target(number, 1), BODY).await.status, 200);
    }
    let offset = cluster.nodes()[0].info("master_repl_offset");
    wait_until("the replica has the ratings", || replica.info("slave_repl_offset") >= offset);

    cluster.kill(0);
    let killed = Instant::now();
    let longest = config().store.deadline + SLACK;
    let (mut rejected, mut degraded, mut slowest) = (0, 0, Duration::ZERO);
    // Every user rates another movie, until that is acknowledged.
    let mut left: Vec<u32> = (0..USERS).collect();
    while !left.is_empty() {
        assert!(killed.elapsed() < PATIENCE, "{left:?}");
        let mut still = Vec::new();
        for number in left {
            let start = Instant::now();
            let answer = send(address, "PUT", &target(number, 2), BODY).await;
            slowest = slowest.max(start.elapsed());
            if answer.status != 200 {
                assert_eq!(answer.status, 503, "{answer:?}");
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                rejected += 1;
                still.push(number);
            }
            let recommendations = format!("/v1/users/{}/recommendations?size=5", user(number));
            let start = Instant::now();
            let answer = get(address, &recommendations).await;
            slowest = slowest.max(start.elapsed());
            assert_eq!(answer.status, 200, "{answer:?}");
            degraded += u32::from(answer.json()["degraded"] == true);
        }
        left = still;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "writes again after {:?}; {rejected} rejected, {degraded} degraded reads, slowest {slowest:?}",
        killed.elapsed()
    );
    assert!(rejected > 0 && degraded > 0, "{rejected} {degraded}");
    assert!(slowest < longest, "{slowest:?}");
    for number in 0..USERS {
        let answer =
            until(address, &format!("/v1/users/{}", user(number)), |answer| answer.status == 200)
                .await
                .json();
        let items = answer["ratings"]["items"].as_array().unwrap();
        let mut movies: Vec<_> = items.iter().map(|item| &item["movie"]["movieId"]).collect();
        movies.sort_by_key(|movie| movie.as_u64());
        assert_eq!(movies, [&json!(1), &json!(2)], "{answer}");
    }
    // Followed again, on the new primary.
    until(address, "/v1/movies/2", |answer| {
        answer.json()["ratingNumber"].as_u64().is_some_and(|count| count >= u64::from(USERS))
    })
    .await;
    until(address, "/readyz", |answer| {
        let live = &answer.json()["live"];
        live["statistics"]["pending"] == 0 && live["projector"]["pending"] == 0
    })
    .await;
}
