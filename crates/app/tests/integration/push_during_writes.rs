//! Pushes that are killed while two servers accept ratings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparrow_app::Running;
use sparrow_features::WINDOW;
use sparrow_live::{Action, Limits, LiveStore, Sequence, Watermark};
use sparrow_model::{MovieIndex, RatingLog, UserId};
use sparrow_store::{Entry, Location, Options, RedisLive};
use sparrow_test_redis::TestRedis;
use sparrow_test_support::random::Random;

use crate::redis;
use crate::support::{DEMO, PATIENCE, demo_entries, get, push, send, until};

/// The address of the store, for the process that pushes.
const URL: &str = "SPARROW_TEST_PUSH_TO";
/// Of the data set, and without ratings.
const USERS: [u32; 8] = [6, 7, 8, 9, 3_000_000, 3_000_001, 3_000_002, 3_000_003];
/// Ratings of each user per round.
const EACH: usize = 6;

fn options() -> Options {
    // The lock of a killed push expires soon.
    Options {
        lock: Duration::from_secs(3),
        grace: Duration::from_millis(400),
        ..Options::default()
    }
}

/// The data set with all ratings in the log, and the watermark of these.
async fn entries_with_live_data(url: &str) -> Vec<Entry> {
    let Location::Redis(location) = url.parse().unwrap() else { panic!("{url}") };
    let live = RedisLive::open(&location, &options(), Limits::default()).unwrap();
    live.connected().await.unwrap();
    let (mut log, mut watermark) = (RatingLog::default(), Watermark::new(live.partitions()));
    for history in DEMO.catalog.users().iter() {
        for rated in history.iter() {
            log.push(history.user(), rated.movie, rated.stars, rated.timestamp);
        }
    }
    for partition in 0..live.partitions() {
        for entry in live.log(partition, Sequence::default(), 100_000).await.unwrap() {
            let Action::Rate(movie, stars) = entry.write.action else { panic!("{entry:?}") };
            let movie = DEMO.catalog.index_of(movie).unwrap();
            log.push(entry.write.user, movie, stars, entry.write.time);
            watermark.advance(partition, entry.sequence);
        }
    }
    let catalog = DEMO.catalog.with_histories(log.into_histories().0);
    let mut entries = crate::entries::entries(&catalog, &DEMO.items, &DEMO.users);
    entries.push(Entry::Watermark(watermark));
    entries
}

/// Not a test: what the process that is killed does.
#[tokio::test]
#[ignore = "pushes to the store that the test below names"]
async fn process_that_pushes() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = sparrow_store::connect(&url.parse().unwrap(), &options()).await.unwrap();
    let end = Instant::now() + PATIENCE;
    let mut push = loop {
        match store.push().await {
            Ok(push) => break push,
            // The lock of the killed push before.
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    push.put(entries_with_live_data(&url).await).await.unwrap();
    push.commit().await.unwrap();
}

fn start_push(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "push_during_writes::process_that_pushes", "--include-ignored"])
        .env(URL, url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Rates until the rating is acknowledged. Returns the number of failures.
async fn rate(address: SocketAddr, user: u32, movie: u32) -> u32 {
    let (end, mut failures) = (Instant::now() + PATIENCE, 0);
    let target = format!("/v1/users/{user}/ratings/{movie}");
    let body = json!({"stars": 4.5, "timestamp": sparrow_live::unix_time()}).to_string();
    loop {
        let answer = send(address, "PUT", &target, &body).await;
        if answer.status == 200 {
            return failures;
        }
        assert!(answer.status == 503 && Instant::now() < end, "{answer:?}");
        failures += 1;
    }
}

/// The ratings of users, and how many were acknowledged.
struct Expected {
    movies: BTreeMap<u32, BTreeSet<u32>>,
    acknowledged: usize,
}

impl Expected {
    /// Those of the data set.
    fn of_demo() -> Self {
        let movies_of = |user| {
            let history = DEMO.catalog.users().find(UserId(user));
            let rated = history.iter().flat_map(sparrow_model::History::iter);
            rated.map(|rated| DEMO.catalog.movie(rated.movie).id.0).collect()
        };
        Self { movies: USERS.map(|user| (user, movies_of(user))).into(), acknowledged: 0 }
    }

    /// The next movies for each user.
    fn unrated(&self) -> Vec<(u32, Vec<u32>)> {
        let all = DEMO.catalog.movies().iter().map(|movie| movie.id.0);
        let unrated = self.movies.iter().map(|(&user, rated)| {
            (user, all.clone().filter(|movie| !rated.contains(movie)).take(EACH).collect())
        });
        unrated.collect()
    }

    /// Asserts that a server returns each rating once.
    async fn check_users(&self, running: &Running) {
        for (user, expected) in &self.movies {
            let target = format!("/v1/users/{user}?size=1000");
            let is_read = |answer: &crate::support::Answer| answer.status == 200;
            let answer = until(running.address, &target, is_read).await.json();
            let items = answer["ratings"]["items"].as_array().unwrap();
            let id = |item: &Value| item["movie"]["movieId"].as_u64().unwrap() as u32;
            let mut found: Vec<u32> = items.iter().map(id).collect();
            found.sort_unstable();
            assert_eq!(found, expected.iter().copied().collect::<Vec<_>>(), "user {user}");
        }
    }

    /// Waits until a server counts each rating once in the statistics of movies.
    async fn check_movies(&self, running: &Running) {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for (user, movies) in &self.movies {
            let demo = DEMO.catalog.users().find(UserId(*user));
            let of_demo = demo.map_or(0, |history| history.len());
            assert!(movies.len() >= of_demo);
            for &movie in movies {
                *counts.entry(movie).or_default() += 1;
            }
        }
        let others = |index: MovieIndex| {
            let rated = |user: &u32| {
                let history = DEMO.catalog.users().find(UserId(*user));
                history.is_some_and(|history| history.iter().any(|rated| rated.movie == index))
            };
            DEMO.catalog.stats(index).count - USERS.iter().filter(|user| rated(user)).count() as u32
        };
        for (movie, count) in counts {
            let index = DEMO.catalog.index_of(sparrow_model::MovieId(movie)).unwrap();
            let expected = others(index) + count;
            until(running.address, &format!("/v1/movies/{movie}"), |answer| {
                answer.status == 200 && answer.json()["ratingNumber"] == expected
            })
            .await;
        }
    }
}

/// Two servers, each of which takes every second rating of each user.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "needs redis-server"]
#[expect(clippy::print_stdout, reason = "`--nocapture` shows the figures")]
async fn pushes_killed_while_two_servers_write_lose_and_double_no_rating() {
    let redis = TestRedis::start(&[]);
    let url = redis.url();
    push(&*redis::pusher(&url).await, demo_entries()).await;
    let servers = [redis::serve(&url).await, redis::serve(&url).await];
    let kills = sparrow_test_support::rounds("kills of a push while two servers write", 3, 20);
    let (mut expected, mut random) = (Expected::of_demo(), Random(15));
    let mut failures = 0;
    // The time of a push with the servers.
    let start = Instant::now();
    assert!(start_push(&url).wait().unwrap().success());
    let whole = start.elapsed();
    let (mut killed, mut announced) = (0, 0);
    for _ in 0..kills {
        let work = expected.unrated();
        let mut pushing = start_push(&url);
        // The beginning is the start of the process.
        let at = whole / 5 + whole.mul_f64(random.below(800) as f64 / 1000.0);
        let writers: Vec<_> = work
            .iter()
            .cloned()
            .map(|(user, movies)| {
                let addresses = [servers[0].address, servers[1].address];
                tokio::spawn(async move {
                    let mut failures = 0;
                    for (number, movie) in movies.into_iter().enumerate() {
                        failures += rate(addresses[number % 2], user, movie).await;
                        tokio::time::sleep(at / EACH as u32).await;
                    }
                    failures
                })
            })
            .collect();
        tokio::time::sleep(at).await;
        killed += usize::from(pushing.try_wait().unwrap().is_none());
        let _ = pushing.kill();
        pushing.wait().unwrap();
        announced += usize::from(redis.cli(&["GET", "sparrow:generation"]).contains(" staged"));
        for writer in writers {
            failures += writer.await.unwrap();
        }
        for (user, movies) in work {
            expected.acknowledged += movies.len();
            expected.movies.get_mut(&user).unwrap().extend(movies);
        }
        for server in &servers {
            expected.check_users(server).await;
            expected.check_movies(server).await;
        }
    }
    assert_eq!(expected.acknowledged, kills * USERS.len() * EACH);
    assert!(killed > 0, "no push was killed before its end: {whole:?}");
    println!("{killed} pushes killed, {announced} of them announced; {failures} writes repeated");

    assert!(start_push(&url).wait().unwrap().success());
    for server in &servers {
        expected.check_users(server).await;
        expected.check_movies(server).await;
    }
    // The generation has all ratings, and nothing is live any more.
    let live = redis.cli(&["EVAL", "return #redis.call('KEYS', 'sparrow:{p*}:live:*')", "0"]);
    assert_eq!(live, "0");
    let end = Instant::now() + PATIENCE;
    for (user, movies) in &expected.movies {
        let features = format!("uf:{user}");
        // Features are of the last ratings.
        let count = movies.len().min(WINDOW).to_string();
        while redis.cli(&["HGET", &features, "userRatingCount"]) != count {
            assert!(Instant::now() < end, "{features}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let ready = get(servers[0].address, "/readyz").await.json();
    assert_eq!(ready["store"]["degraded"], false, "{ready}");
}
