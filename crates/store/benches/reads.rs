//! Reads of one user from a real Redis, as for a request of a server.
//!
//! `cargo bench -p sparrow-store --bench reads` prints reads per second, and median and 99th
//! percentile of their latency, for several numbers of concurrent readers on one connection.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark may panic and prints")]

use std::time::{Duration, Instant};

use sparrow_model::{MovieId, Stars, UserId};
use sparrow_store::{
    Entry, FeatureStore, Fields, Location, Options, RedisStore, StoredRating, connect,
};
use sparrow_test_redis::TestRedis;

const USERS: u32 = 10_000;
const READERS: [usize; 3] = [1, 8, 64];
const TIME: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() {
    let redis = TestRedis::start(&[]);
    let location: Location = redis.url().parse().unwrap();
    let options = Options { connections: 1, ..Options::default() };
    fill(&location, &options).await;
    let Location::Redis(location) = location else { return };
    let store = RedisStore::open(&location, &options).unwrap();
    store.connected().await.unwrap();
    store.users(&[UserId(0)]).await.unwrap();
    for readers in READERS {
        let start = Instant::now();
        let tasks: Vec<_> =
            (0..readers).map(|reader| tokio::spawn(read(store.clone(), reader as u32))).collect();
        let mut times = Vec::new();
        for task in tasks {
            times.append(&mut task.await.unwrap());
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort_unstable();
        let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        println!("{readers} readers: {rate:.0} reads/s, median {median:?}, 99% {late:?}");
    }
}

async fn read(store: RedisStore, mut id: u32) -> Vec<Duration> {
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < TIME {
        let before = Instant::now();
        id = (id + 7919) % USERS;
        let users = store.users(&[UserId(id)]).await.unwrap().value;
        assert!(users[0].embedding.is_some());
        times.push(before.elapsed());
    }
    times
}

/// Users with 15 features, a vector of 10 dimensions and 70 ratings.
async fn fill(location: &Location, options: &Options) {
    let store = connect(location, options).await.unwrap();
    let mut push = store.push().await.unwrap();
    let names = sparrow_features::USER_FIELDS;
    let fields = || names.iter().map(|name| ((*name).to_owned(), "3.50".to_owned())).collect();
    let rating = |n: u32| StoredRating {
        movie: MovieId(n),
        stars: Stars::from_half_stars(7).unwrap(),
        timestamp: n,
    };
    for id in (0..USERS).map(UserId) {
        push.put(vec![
            Entry::UserFeatures(id, Fields(fields())),
            Entry::UserEmbedding(id, vec![0.125; 10]),
            Entry::UserRatings(id, (0..70).map(rating).collect()),
        ])
        .await
        .unwrap();
    }
    push.commit().await.unwrap();
}
