//! Ratings in a cluster: what follows them, a fail-over, and the migration of a slot.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sparrow_live::{Limits, LiveStore as _, Sequence, partition};
use sparrow_model::UserId;
use sparrow_store::{Location, Options, RedisLive};
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

/// Two servers record events of users in one partition, whose slot is moved meanwhile from node to node.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs redis-server"]
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the figures")]
async fn the_migration_of_a_slot_loses_and_doubles_no_event() {
    const CLIENTS: usize = 4;
    let rounds = sparrow_test_support::rounds("migrations of a slot during writes", 4, 20);
    let cluster = Arc::new(TestCluster::start(3));
    push(&*redis::pusher(&cluster.url()).await, demo_entries()).await;
    let servers = [redis::serve(&cluster.url()).await, redis::serve(&cluster.url()).await];
    let number = partition(UserId(6_000_000), 256);
    let users = (6_000_000..).filter(|&user| partition(UserId(user), 256) == number);
    let users: Vec<u32> = users.take(CLIENTS).collect();
    let movies: Vec<u32> = crate::support::DEMO.catalog.movies().iter().map(|it| it.id.0).collect();

    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = users
        .iter()
        .enumerate()
        .map(|(client, &user)| {
            let (done, movies) = (Arc::clone(&done), movies.clone());
            let addresses = [servers[0].address, servers[1].address];
            tokio::spawn(async move {
                let (mut sequences, mut rejected, mut count) = (Vec::new(), 0, 0);
                while !done.load(Ordering::Relaxed) {
                    let event = json!({"type": "view", "userId": user, "eventId": count.to_string(),
                        "movieId": movies[count % movies.len()]});
                    let body = json!({"events": [event]}).to_string();
                    let end = Instant::now() + PATIENCE;
                    loop {
                        let address = addresses[(client + count + rejected) % 2];
                        let answer = send(address, "POST", "/v1/events", &body).await;
                        if answer.status == 200 {
                            let sequence = &answer.json()["items"][0]["sequence"];
                            sequences.push(sequence.as_str().unwrap().to_owned());
                            break;
                        }
                        assert!(answer.status == 503 && Instant::now() < end, "{answer:?}");
                        assert!(answer.header("retry-after").is_some(), "{answer:?}");
                        rejected += 1;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    count += 1;
                }
                (sequences, rejected)
            })
        })
        .collect();
    let key = format!("sparrow:{{p{number}}}:events");
    let slot: u16 = cluster.nodes()[0].cli(&["CLUSTER", "KEYSLOT", &key]).parse().unwrap();
    let first = usize::from(slot) * 3 / 16_384;
    let moving = Arc::clone(&cluster);
    let migrations = tokio::task::spawn_blocking(move || {
        for round in 0..rounds {
            let node = first + round;
            // Some time to write in between.
            std::thread::sleep(Duration::from_millis(500));
            moving.move_slot(slot, node % 3, (node + 1) % 3, Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(500));
    });
    migrations.await.unwrap();
    done.store(true, Ordering::Relaxed);
    let (mut acknowledged, mut of_users, mut rejected) = (BTreeSet::new(), Vec::new(), 0);
    for client in clients {
        let (sequences, of_client) = client.await.unwrap();
        of_users.push(sequences.len());
        acknowledged.extend(sequences);
        rejected += of_client;
    }
    println!("{} events in {rounds} migrations, {rejected} rejected", acknowledged.len());
    assert!(rejected > 0 && of_users.iter().all(|&count| count > 10 * rounds), "{of_users:?}");
    assert_eq!(acknowledged.len(), of_users.iter().sum::<usize>());

    let Location::Redis(location) = cluster.url().parse().unwrap() else { panic!() };
    let live = RedisLive::open(&location, &Options::default(), Limits::default()).unwrap();
    live.connected().await.unwrap();
    let mut recorded = BTreeSet::new();
    loop {
        let last: Option<&Sequence> = recorded.last();
        let page = live.log(number, last.copied().unwrap_or_default(), 10_000).await.unwrap();
        if page.is_empty() {
            break;
        }
        recorded.extend(page.iter().map(|entry| entry.sequence));
    }
    let recorded: BTreeSet<String> = recorded.iter().map(ToString::to_string).collect();
    assert!(recorded == acknowledged, "{} of {}", recorded.len(), acknowledged.len());
    let ids: Vec<UserId> = users.iter().copied().map(UserId).collect();
    for (user, count) in live.users(&ids).await.unwrap().iter().zip(of_users) {
        let kept = user.events.iter().map(|event| event.count as usize).sum::<usize>();
        // A fast machine records more than are kept for a user.
        assert_eq!(kept, count.min(Limits::default().events));
    }
    // The servers follow the stream on its new node.
    for server in &servers {
        until(server.address, "/readyz", |answer| {
            let live = &answer.json()["live"];
            live["statistics"]["pending"] == 0 && live["projector"]["pending"] == 0
        })
        .await;
    }
}
