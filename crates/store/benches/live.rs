//! Acknowledged ratings from 16 clients: in Redis, against `redis-benchmark` running the same script on the same server, and
//! in a file. Then reads of users with and without live data.
//!
//! `cargo bench -p sparrow-store --bench live` prints rates, latencies and ratios.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may panic and prints")]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_live::{Action, Limits, LiveStore, Write};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_store::{
    Entry, FeatureStore, FileLive, Location, Options, RedisLive, RedisLocation, RedisStore,
    StoredRating,
};
use sparrow_test_redis::TestRedis;

const CLIENTS: u32 = 16;
const USERS: u32 = 10_000;
const TIME: Duration = Duration::from_secs(3);
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() {
    let everysec = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let always = ["--appendonly", "yes", "--appendfsync", "always"];
    for config in [everysec, always] {
        let redis = TestRedis::start(&config);
        let live = open(&redis, &Options { connections: 4, ..options() }).await;
        for _ in 0..ROUNDS {
            let own = writes(Arc::new(live.clone()), &format!("Redis, {}", config[3])).await;
            let bare = redis_benchmark(&redis);
            println!("  redis-benchmark: {bare:.0}/s; ratio {:.2}", own / bare);
        }
    }
    let folder = tempfile::tempdir_in(".").unwrap();
    let file = FileLive::open(&folder.path().join("live"), Limits::default()).unwrap();
    for _ in 0..ROUNDS {
        writes(Arc::new(file.clone()), "file, fsync").await;
    }
    reads().await;
}

fn options() -> Options {
    let deadline = Duration::from_secs(2);
    Options { deadline, grace: deadline, ..Options::default() }
}

fn location(redis: &TestRedis) -> RedisLocation {
    let Location::Redis(location) = redis.url().parse().unwrap() else { unreachable!() };
    location
}

async fn open(redis: &TestRedis, options: &Options) -> RedisLive {
    let live = RedisLive::open(&location(redis), options, Limits::default()).unwrap();
    live.connected().await.unwrap();
    live
}

fn rating(user: u32, movie: u32) -> Write {
    Write::new(UserId(user), Action::Rate(MovieId(movie), Stars::LIKED), 1_700_000_000)
}

/// One rating per call from each client. Returns the acknowledged ratings per second.
async fn writes(live: Arc<dyn LiveStore>, what: &str) -> f64 {
    let start = Instant::now();
    let clients = (0..CLIENTS).map(|client| {
        let live = Arc::clone(&live);
        tokio::spawn(async move {
            let (mut times, mut number) = (Vec::new(), client);
            while start.elapsed() < TIME {
                let before = Instant::now();
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let write = rating((number >> 8) % USERS, (number >> 4) % 5000);
                live.write(&[write]).await.remove(0).unwrap();
                times.push(before.elapsed());
            }
            times
        })
    });
    let mut times = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        times.append(&mut client.await.unwrap());
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    times.sort_unstable();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("{what}: {rate:.0} ratings/s, median {median:?}, 99% {late:?}");
    rate
}

/// The same script with random users and movies. Returns the calls per second.
fn redis_benchmark(redis: &TestRedis) -> f64 {
    let events = || redis.cli(&["XLEN", "sparrow:{p0}:events"]).trim().parse::<u64>().unwrap();
    let before = events();
    let digest = redis.cli(&["SCRIPT", "LOAD", include_str!("../src/redis/live.lua")]);
    let (port, clients) = (redis.port().to_string(), CLIENTS.to_string());
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-c", &clients, "-n", "40000", "-r", "10000", "--csv"])
        .args(["EVALSHA", &digest, "3", "sparrow:{p0}:events", "sparrow:{p0}:live:__rand_int__"])
        .args(["sparrow:{p0}:forgotten", "rate", "__rand_int__", "7", "0000", "1700000000", "", ""])
        .args(["10000", "1000", "86400000", "6", "", "v", "1", "action", "rate", "user", "6"])
        .args(["movie", "__rand_int__", "type", "rate", "value", "3.5", "time", "1700000000"])
        .output()
        .unwrap();
    assert_eq!(events() - before, 40_000, "the script must have accepted all ratings");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    let rate = last.rsplit("\",\"").nth(6).or_else(|| last.split("\",\"").nth(1));
    rate.and_then(|rate| rate.parse().ok()).unwrap_or_else(|| panic!("{text}"))
}

/// Reads of users of one store: without live data, with none for the user, and with 100 ratings.
async fn reads() {
    let redis = TestRedis::start(&[]);
    let live = open(&redis, &options()).await;
    let plain = RedisStore::open(&location(&redis), &options()).unwrap();
    plain.connected().await.unwrap();
    let mut push = plain.push().await.unwrap();
    let stars = Stars::LIKED;
    let rated = |n| StoredRating { movie: MovieId(n), stars, timestamp: n };
    for id in (0..1000).map(UserId) {
        let ratings = (0..70).map(rated).collect();
        let entries =
            vec![Entry::UserEmbedding(id, vec![0.125; 32]), Entry::UserRatings(id, ratings)];
        push.put(entries).await.unwrap();
    }
    push.commit().await.unwrap();
    for id in 500..1000 {
        let ratings: Vec<Write> = (0..100).map(|movie| rating(id, movie)).collect();
        assert!(live.write(&ratings).await.iter().all(Result::is_ok));
    }
    let with_live =
        RedisStore::open(&location(&redis), &Options { live: true, ..options() }).unwrap();
    with_live.connected().await.unwrap();
    for _ in 0..ROUNDS {
        let base = read(&plain, 0..500).await;
        let empty = read(&with_live, 0..500).await;
        let hundred = read(&with_live, 500..1000).await;
        println!(
            "reads: {base:.0}/s; ratio {:.2} without live data of the user, {:.2} with 100 ratings",
            empty / base,
            hundred / base
        );
    }
}

/// The reads per second of 16 readers.
async fn read(store: &RedisStore, ids: std::ops::Range<u32>) -> f64 {
    let start = Instant::now();
    let readers = (0..CLIENTS).map(|reader| {
        let (store, ids) = (store.clone(), ids.clone());
        tokio::spawn(async move {
            let (mut count, mut id) = (0_u64, reader);
            while start.elapsed() < TIME {
                id = (id + 7919) % (ids.end - ids.start);
                let users = store.users(&[UserId(ids.start + id)]).await.unwrap().value;
                assert!(users[0].embedding.is_some());
                count += 1;
            }
            count
        })
    });
    let mut count = 0;
    for reader in readers.collect::<Vec<_>>() {
        count += reader.await.unwrap();
    }
    count as f64 / start.elapsed().as_secs_f64()
}
