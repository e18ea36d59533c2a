//! Live data on real servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sparrow_live::{
    Action, Durability, Error, Idempotency, Limits, LiveStore, LiveUser, Sequence, Write, partition,
};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_store::{Entry, FeatureStore, Location, Options, RedisLive};
use sparrow_test_redis::{TestCluster, TestRedis};

use crate::live_testsuite::{self, Handles};
use crate::redis::options;
use crate::testsuite::push;

async fn open(url: &str, options: &Options, limits: Limits) -> RedisLive {
    let Location::Redis(location) = url.parse().unwrap() else { panic!("{url}") };
    let live = RedisLive::open(&location, options, limits).unwrap();
    live.connected().await.unwrap();
    live
}

async fn check_contract(url: &str, replicas: u32, prefix: impl Fn(usize) -> String) {
    let count = AtomicUsize::new(0);
    live_testsuite::check(async |limits| {
        let prefix = prefix(count.fetch_add(1, Ordering::Relaxed));
        let options = Options { prefix, replicas, ..options() };
        let handles: Handles = [
            Arc::new(open(url, &options, limits).await),
            Arc::new(open(url, &options, limits).await),
        ];
        handles
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_fulfils_the_contract_of_live_data() {
    let redis = TestRedis::start(&[]);
    check_contract(&redis.url(), 0, |n| format!("t{n}:")).await;
    check_contract(&redis.url(), 0, |n| format!("{{u{n}}}:")).await;
    let _replica = replica_of(&redis);
    check_contract(&redis.url(), 1, |n| format!("v{n}:")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cluster_fulfils_the_contract_of_live_data() {
    let cluster = TestCluster::start(3);
    check_contract(&cluster.url(), 0, |n| format!("t{n}:")).await;
}

/// A replica that follows a server.
fn replica_of(redis: &TestRedis) -> TestRedis {
    let replica = TestRedis::start(&["--replicaof", &format!("127.0.0.1 {}", redis.port())]);
    sparrow_test_redis::wait_until("the replica follows", || {
        replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
    });
    replica
}

/// Writes for a user until replicas have it.
async fn until_replicated(live: &RedisLive, user: u32, replicas: u32) {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let accepted = live.write(&[rate(user, 1, 1, 1)]).await.remove(0).unwrap();
        if accepted.durability == Durability::Replicas(replicas) {
            return;
        }
        assert!(Instant::now() < end, "{accepted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn results_state_how_many_replicas_have_the_write() {
    let redis = TestRedis::start(&[]);
    let replica = replica_of(&redis);
    let deadline = Duration::from_secs(2);
    let with = |replicas| Options { replicas, deadline, grace: deadline, ..options() };
    let live = open(&redis.url(), &with(1), Limits::default()).await;
    until_replicated(&live, 1, 1).await;
    for number in 0..200 {
        let write = with_key(rate(6, number, 9, 5), &number.to_string());
        let accepted = live.write(&[write]).await.remove(0).unwrap();
        assert_eq!(accepted.durability, Durability::Replicas(1), "{number}");
        // The replica has it already.
        let key = format!("sparrow:{{p{}}}:id:6:{number}", partition(UserId(6), 256));
        assert_eq!(replica.cli(&["EXISTS", &key]), "1", "{number}");
    }
    let repeated = live.write(&[with_key(rate(6, 7, 9, 5), "7")]).await.remove(0).unwrap();
    assert!(repeated.repeated && repeated.durability == Durability::Replicas(1), "{repeated:?}");
    let created = live.create_user(Some("k")).await.unwrap();
    assert_eq!(created.durability, Durability::Replicas(1));
    assert_eq!(live.durability(), Durability::Memory);

    // More than there are: what was reached, within the deadline.
    let two = open(&redis.url(), &with(2), Limits::default()).await;
    let begin = Instant::now();
    let accepted = two.write(&[rate(6, 1, 9, 6)]).await.remove(0).unwrap();
    assert_eq!(accepted.durability, Durability::Replicas(1));
    assert!(begin.elapsed() >= deadline / 8 && begin.elapsed() < deadline, "{begin:?}");

    replica.freeze();
    let begin = Instant::now();
    let write = with_key(rate(6, 1, 9, 7), "frozen");
    let accepted = live.write(std::slice::from_ref(&write)).await.remove(0).unwrap();
    assert!(accepted.applied && accepted.durability == Durability::Memory, "{accepted:?}");
    assert!(begin.elapsed() < deadline, "{:?}", begin.elapsed());
    // Retries do not promise more, on no connection. Writes do not wait again, and so do not hold up each other.
    let begin = Instant::now();
    for round in 0..8 {
        let repeated = live.write(std::slice::from_ref(&write)).await.remove(0).unwrap();
        assert!(repeated.repeated && repeated.durability == Durability::Memory, "{round}");
    }
    assert!(begin.elapsed() < deadline / 2, "{:?}", begin.elapsed());
    assert_eq!(live.create_user(Some("k")).await.unwrap().durability, Durability::Memory);
    replica.thaw();
    until_replicated(&live, 1, 1).await;
    let repeated = live.write(&[write]).await.remove(0).unwrap();
    assert!(repeated.repeated && repeated.durability == Durability::Replicas(1), "{repeated:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn results_in_a_cluster_are_about_the_replicas_of_their_primary() {
    let cluster = TestCluster::start(3);
    let _replica = cluster.add_replica(0);
    // A quarter of it is the time for replicas.
    let deadline = Duration::from_secs(4);
    let options = Options { replicas: 1, deadline, grace: deadline, ..options() };
    let live = open(&cluster.url(), &options, Limits::default()).await;
    let slot_of = |user: u32| -> usize {
        let key = format!("sparrow:{{p{}}}:events", partition(UserId(user), 256));
        cluster.nodes()[0].cli(&["CLUSTER", "KEYSLOT", &key]).parse().unwrap()
    };
    let has_replica = |user: u32| slot_of(user) < 16_384 / 3;
    // The replica may be about to take part.
    until_replicated(&live, (0..60).find(|&user| has_replica(user)).unwrap(), 1).await;
    let writes: Vec<Write> = (0..60).map(|user| rate(user, 1, 9, 5)).collect();
    let results = live.write(&writes).await;
    let mut replicated = 0;
    for (user, result) in (0..).zip(results) {
        let expected = if has_replica(user) { Durability::Replicas(1) } else { Durability::Memory };
        assert_eq!(result.unwrap().durability, expected, "{user}");
        replicated += usize::from(expected != Durability::Memory);
    }
    assert!((5..55).contains(&replicated), "{replicated}");
}

fn with_key(write: Write, key: &str) -> Write {
    Write { idempotency: Some(Idempotency { key: key.into(), digest: 1 }), ..write }
}

fn rate(user: u32, movie: u32, half_stars: u8, time: u32) -> Write {
    let stars = Stars::from_half_stars(half_stars).unwrap();
    Write::new(UserId(user), Action::Rate(MovieId(movie), stars), time)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn keys_and_entries_of_streams_have_the_documented_form() {
    let redis = TestRedis::start(&[]);
    let live = open(&redis.url(), &options(), Limits::default()).await;
    let mut write = rate(6, 1, 9, 1_700_000_000);
    write.session = Some("s".into());
    write.recommendation = Some("r".into());
    write.idempotency = Some(Idempotency { key: "key".into(), digest: 12 });
    let accepted = live.write(&[write]).await.remove(0).unwrap();
    let number = partition(UserId(6), 256);
    let mut keys: Vec<String> = redis.cli(&["KEYS", "*"]).lines().map(str::to_owned).collect();
    keys.sort();
    let tag = format!("sparrow:{{p{number}}}");
    let mut expected =
        vec![format!("{tag}:events"), format!("{tag}:id:6:key"), format!("{tag}:live:6")];
    expected.push("sparrow:partitions".to_owned());
    expected.sort();
    assert_eq!(keys, expected);
    assert_eq!(redis.cli(&["GET", "sparrow:partitions"]), "256");
    let entry = redis.cli(&["XRANGE", &format!("{tag}:events"), "-", "+"]);
    let sequence = accepted.sequence.to_string();
    let expected = [
        &sequence,
        "applied",
        "1",
        "v",
        "1",
        "action",
        "rate",
        "user",
        "6",
        "movie",
        "1",
        "type",
        "rate",
        "value",
        "4.5",
        "time",
        "1700000000",
        "session",
        "s",
        "recommendation",
        "r",
        "id",
        "key",
        "digest",
        "12",
    ];
    assert_eq!(entry.lines().collect::<Vec<_>>(), expected);
    let lifetime: i64 = redis.cli(&["TTL", &format!("{tag}:id:6:key")]).parse().unwrap();
    assert!((86_390..=86_400).contains(&lifetime), "{lifetime}");
    assert_eq!(redis.cli(&["TTL", &format!("{tag}:live:6")]), "-1");

    live.write(&[Write::new(UserId(6), Action::Forget, 1)]).await.remove(0).unwrap();
    let forgotten = redis.cli(&["HGET", &format!("{tag}:forgotten"), "6"]);
    assert!(forgotten.parse::<Sequence>().unwrap() > accepted.sequence, "{forgotten}");
    assert_eq!(live.create_user(None).await.unwrap().id, UserId(1_000_000_001));
    assert_eq!(redis.cli(&["GET", "sparrow:last-user"]), "1000000001");
    assert_eq!(live.create_user(Some("k")).await.unwrap().id, UserId(1_000_000_002));
    let key = "sparrow:created:{sparrow:last-user}:k";
    assert_eq!(redis.cli(&["GET", key]), "1000000002");
    let lifetime: i64 = redis.cli(&["TTL", key]).parse().unwrap();
    assert!((86_390..=86_400).contains(&lifetime), "{lifetime}");
    // A repetition does not lengthen it.
    redis.cli(&["EXPIRE", key, "1000"]);
    assert_eq!(live.create_user(Some("k")).await.unwrap().id, UserId(1_000_000_002));
    let lifetime: i64 = redis.cli(&["TTL", key]).parse().unwrap();
    assert!((990..=1000).contains(&lifetime), "{lifetime}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_number_of_partitions_of_a_store_is_kept() {
    let redis = TestRedis::start(&[]);
    redis.cli(&["SET", "sparrow:partitions", "3"]);
    let live = open(&redis.url(), &options(), Limits::default()).await;
    assert_eq!(live.partitions(), 3);
    live.write(&[rate(6, 1, 9, 5)]).await.remove(0).unwrap();
    let key = format!("sparrow:{{p{}}}:live:6", partition(UserId(6), 3));
    assert_eq!(redis.cli(&["EXISTS", &key]), "1");
    for text in ["0", "x", "-1", "65536", ""] {
        redis.cli(&["SET", "sparrow:partitions", text]);
        let Location::Redis(location) = redis.url().parse().unwrap() else { panic!() };
        let live = RedisLive::open(&location, &options(), Limits::default()).unwrap();
        let error = live.connected().await.unwrap_err();
        assert!(matches!(&error, Error::Malformed { key, .. } if key == "sparrow:partitions"));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn durability_is_what_the_server_promises() {
    for (config, expected) in [
        (&[][..], Durability::Memory),
        (&["--appendonly", "yes", "--appendfsync", "everysec"], Durability::EverySecond),
        (&["--appendonly", "yes", "--appendfsync", "always"], Durability::Fsync),
        (&["--appendonly", "yes", "--appendfsync", "no"], Durability::Unknown),
        (&["--appendonly", "yes", "--rename-command", "CONFIG", "hidden"], Durability::Unknown),
    ] {
        let redis = TestRedis::start(config);
        let live = open(&redis.url(), &options(), Limits::default()).await;
        assert_eq!(live.durability(), expected, "{config:?}");
        assert!(live.write(&[rate(6, 1, 9, 5)]).await.remove(0).unwrap().applied);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn malformed_live_data_are_errors_that_name_the_key_and_change_nothing() {
    let redis = TestRedis::start(&[]);
    let live = open(&redis.url(), &options(), Limits::default()).await;
    let number = partition(UserId(6), 256);
    let key = format!("sparrow:{{p{number}}}:live:6");
    for value in ["\x02xyz", "\x01", "\x01xxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "x"] {
        redis.cli(&["SET", &key, value]);
        let error = live.users(&[UserId(6)]).await.unwrap_err();
        assert!(matches!(&error, Error::Malformed { key: named, .. } if *named == key), "{error}");
        let error = live.write(&[rate(6, 1, 9, 5)]).await.remove(0).unwrap_err();
        assert!(matches!(&error, Error::Malformed { key: named, .. } if *named == key), "{error}");
        assert_eq!(redis.cli(&["GET", &key]), value);
        assert_eq!(live.log(number, Sequence::default(), 9).await.unwrap(), []);
    }
    redis.cli(&["DEL", &key]);
    redis.cli(&["HSET", &key, "a", "b"]);
    assert!(live.users(&[UserId(6)]).await.is_err());
    assert!(live.write(&[rate(6, 1, 9, 5)]).await.remove(0).is_err());
    // Other users are not affected, nor is the deletion of this one.
    redis.cli(&["SET", &key, "x"]);
    let writes = [rate(7, 1, 9, 5), Write::new(UserId(6), Action::Forget, 5), rate(6, 1, 9, 5)];
    assert!(live.write(&writes).await.iter().all(Result::is_ok));
    let stream = format!("sparrow:{{p{number}}}:events");
    redis.cli(&["XADD", &stream, "*", "v", "2"]);
    let error = live.log(number, Sequence::default(), 9).await.unwrap_err();
    assert!(error.to_string().contains("version"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn servers_that_forget_scripts_are_taught_again() {
    let redis = TestRedis::start(&[]);
    let live = open(&redis.url(), &options(), Limits::default()).await;
    for round in 1..=3 {
        let writes = vec![
            Write::new(
                UserId(6),
                Action::Event { movie: MovieId(1), kind: "view".into(), value: 1.0 },
                round,
            );
            4
        ];
        let results = live.write(&writes).await;
        let sequences: Vec<_> = results.into_iter().map(|r| r.unwrap().sequence).collect();
        assert!(sequences.is_sorted_by(|a, b| a < b));
        let user = live.users(&[UserId(6)]).await.unwrap().remove(0);
        assert_eq!(user.events[0].count, 4 * round);
        redis.cli(&["SCRIPT", "FLUSH", "SYNC"]);
    }
    let calls = redis.command_calls();
    let of = |name: &str| calls.iter().find(|(known, _)| known == name).map_or(0, |(_, n)| *n);
    assert!(of("evalsha") >= 8, "{calls:?}");
}

/// Retries a write with the same key until it is acknowledged.
async fn persistent(live: &RedisLive, write: &Write) -> (Sequence, u32) {
    let (end, mut errors) = (Instant::now() + Duration::from_mins(1), 0);
    loop {
        match live.write(std::slice::from_ref(write)).await.remove(0) {
            Ok(accepted) => return (accepted.sequence, errors),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        errors += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn kills_of_redis_lose_and_double_no_acknowledged_write() {
    const CLIENTS: u32 = 8;
    const EACH: u32 = 250;
    let config = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = TestRedis::start(&config);
    let rounds = sparrow_test_support::rounds("kills of Redis during live writes", 3, 10);
    let (mut errors, mut acknowledged) = (0, Vec::new());
    let live = open(&redis.url(), &options(), Limits::default()).await;
    for round in 0..rounds as u32 {
        let done = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (live, done) = (live.clone(), Arc::clone(&done));
                tokio::spawn(async move {
                    let mut own = Vec::new();
                    for number in 0..EACH {
                        let movie = MovieId(round * EACH + number);
                        let action = Action::Event { movie, kind: "view".into(), value: 1.0 };
                        let mut write = Write::new(UserId(client), action, 1);
                        let key = format!("{round}-{number}").into();
                        write.idempotency = Some(Idempotency { key, digest: 1 });
                        let (sequence, errors) = persistent(&live, &write).await;
                        own.push((client, movie, sequence, errors));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    own
                })
            })
            .collect();
        // Somewhere in the middle.
        let third = (CLIENTS * EACH) as usize / 3;
        sparrow_test_redis::wait_until("a third of the writes", || {
            std::thread::sleep(Duration::from_millis(1));
            done.load(Ordering::Relaxed) >= third
        });
        redis.kill();
        redis.restart();
        for client in clients {
            for (client, movie, sequence, failed) in client.await.unwrap() {
                acknowledged.push((client, movie, sequence));
                errors += failed;
            }
        }
    }
    assert!(errors > 0, "no write met a killed server");
    let mut recorded = Vec::new();
    for number in 0..live.partitions() {
        for entry in live.log(number, Sequence::default(), 100_000).await.unwrap() {
            let movie = entry.write.action.movie().unwrap();
            recorded.push((entry.write.user.0, movie, entry.sequence));
        }
    }
    recorded.sort_unstable();
    acknowledged.sort_unstable();
    assert_eq!(acknowledged.len(), rounds * (CLIENTS * EACH) as usize);
    let lost = acknowledged.iter().filter(|write| recorded.binary_search(write).is_err()).count();
    let doubled = recorded.windows(2).filter(|two| (two[0].0, two[0].1) == (two[1].0, two[1].1));
    assert_eq!((lost, doubled.count(), recorded.len()), (0, 0, acknowledged.len()));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn writes_to_a_frozen_server_fail_within_the_deadline_and_recover() {
    let redis = TestRedis::start(&[]);
    let deadline = Duration::from_millis(200);
    let options = Options { deadline, ..options() };
    let live = open(&redis.url(), &options, Limits::default()).await;
    let keyed = |number: u32| Write {
        idempotency: Some(Idempotency { key: format!("{number}").into(), digest: 1 }),
        ..rate(number % 50, number, 5, 5)
    };
    live.write(&[keyed(0)]).await.remove(0).unwrap();
    let seconds =
        sparrow_test_support::rounds("seconds of a frozen Redis during live writes", 2, 5);
    redis.freeze();
    let (end, mut failed) = (Instant::now() + Duration::from_secs(seconds as u64), 1);
    while Instant::now() < end {
        let begin = Instant::now();
        let error = live.write(&[keyed(failed)]).await.remove(0).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. } | Error::Unavailable { .. }), "{error}");
        let took = begin.elapsed();
        assert!(took < deadline + Duration::from_millis(800), "{took:?}");
        failed += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    redis.thaw();
    for number in 1..failed {
        persistent(&live, &keyed(number)).await;
    }
    let mut recorded = 0;
    for number in 0..live.partitions() {
        recorded += live.log(number, Sequence::default(), 1000).await.unwrap().len();
    }
    assert_eq!(recorded, failed as usize);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn reads_of_users_contain_their_live_data_in_one_round_trip() {
    let redis = TestRedis::start(&[]);
    let options = Options { live: true, ..options() };
    let store = crate::redis::open(&redis.url(), &options).await;
    let live = open(&redis.url(), &options, Limits::default()).await;
    let vectors = (1..4).map(|id| Entry::UserEmbedding(UserId(id), vec![1.0])).collect();
    push(&store, vectors).await;
    let ids = [UserId(2), UserId(9), UserId(3)];
    let before = store.users(&ids).await.unwrap().value;
    assert!(before.iter().all(|user| user.live.as_ref().is_some_and(LiveUser::is_empty)));
    assert!(before[1].is_empty() && !before[0].is_empty());
    live.write(&[rate(9, 1, 5, 5), rate(3, 2, 5, 5)]).await.remove(0).unwrap();
    redis.cli(&["CONFIG", "RESETSTAT"]);
    let users = store.users(&ids).await.unwrap().value;
    let calls = redis.command_calls();
    let of = |name: &str| calls.iter().find(|(known, _)| known == name).map_or(0, |(_, n)| *n);
    assert_eq!((of("mget"), of("get"), of("hgetall")), (1, 0, 3), "{calls:?}");
    let expected = live.users(&ids).await.unwrap();
    let found: Vec<LiveUser> = users.iter().map(|user| user.live.clone().unwrap()).collect();
    assert_eq!(found, expected);
    assert!(!users[1].is_empty() && users[0].embedding.is_some());
    let key = format!("sparrow:{{p{}}}:live:9", partition(UserId(9), 256));
    redis.cli(&["SET", &key, "x"]);
    let users = store.users(&ids).await.unwrap().value;
    assert_eq!((&users[1].malformed[0].key, &users[1].live), (&key, &None));
    assert!(users[2].malformed.is_empty() && users[2].live.is_some());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn reads_of_users_contain_their_live_data_in_a_cluster() {
    let cluster = TestCluster::start(3);
    let options = Options { live: true, ..options() };
    let store = crate::redis::open(&cluster.url(), &options).await;
    let live = open(&cluster.url(), &options, Limits::default()).await;
    let ids: Vec<UserId> = (0..50).map(UserId).collect();
    let writes: Vec<Write> = ids.iter().map(|id| rate(id.0, 1, 5, 5)).collect();
    assert!(live.write(&writes).await.iter().all(Result::is_ok));
    let expected = live.users(&ids).await.unwrap();
    let users = store.users(&ids).await.unwrap().value;
    let found: Vec<LiveUser> = users.into_iter().map(|user| user.live.unwrap()).collect();
    assert_eq!(found, expected);
    assert!(found.iter().all(|user| user.ratings.len() == 1));
}
