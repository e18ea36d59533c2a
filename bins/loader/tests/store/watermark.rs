//! Pushes of data that contain live ratings, and the trimming of logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sparrow_live::{Action, Limits, LiveStore, Write};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_random::Random;
use sparrow_store::{
    FeatureStore, FileLive, Location, Options, RedisLive, StoredUser, connect, live_path,
};
use sparrow_test_redis::TestRedis;
use tokio::task::JoinHandle;

use crate::support::{Running, data_set, ends, fails, loader, succeeds};

/// A store with live data, which no process has open between calls.
struct Stores {
    url: String,
    location: Location,
}

/// The movies of a user with stars and time.
type History = BTreeMap<u32, (u8, u32)>;

const NEW: u32 = 1_000_000_001;
/// Later than the times of synthetic ratings.
const LATE: u32 = 1_900_000_000;

/// A call that times out may have been executed, which no test could tell: on a busy computer, calls wait.
fn patient() -> Options {
    let deadline = Duration::from_secs(30);
    Options { deadline, bulk_deadline: deadline, grace: deadline, ..Options::default() }
}

impl Stores {
    fn new(url: String) -> Self {
        Self { location: url.parse().unwrap(), url }
    }

    async fn store(&self) -> Arc<dyn FeatureStore> {
        connect(&self.location, &patient()).await.unwrap()
    }

    async fn live(&self) -> Arc<dyn LiveStore> {
        match &self.location {
            Location::Redis(redis) => {
                let live = RedisLive::open(redis, &patient(), Limits::default()).unwrap();
                live.connected().await.unwrap();
                Arc::new(live)
            }
            Location::File(path) => {
                Arc::new(FileLive::open(&live_path(path), Limits::default()).unwrap())
            }
            Location::Memory => unreachable!(),
        }
    }

    async fn write(&self, writes: &[Write]) {
        assert!(self.live().await.write(writes).await.iter().all(Result::is_ok));
    }

    /// What servers do after a push to a file; pushes to Redis do it themselves.
    async fn dropped(&self) {
        let watermark = self.store().await.watermark().await.unwrap().value.unwrap();
        if matches!(self.location, Location::File(_)) {
            self.live().await.drop_included(&watermark).await.unwrap();
        }
    }

    /// The ratings of users as servers read them: the stored ones overlaid with the live ones.
    async fn histories(&self) -> BTreeMap<u32, History> {
        let ids: Vec<UserId> = (1..=70).chain([NEW]).map(UserId).collect();
        let stored = self.store().await.users(&ids).await.unwrap().value;
        let live = self.live().await.users(&ids).await.unwrap();
        let mut histories = BTreeMap::new();
        for ((id, stored), live) in ids.iter().zip(stored).zip(live) {
            let mut history = History::new();
            if live.forgotten.is_none() {
                let rated = stored.ratings.unwrap_or_default();
                history.extend(
                    rated.iter().map(|it| (it.movie.0, (it.stars.half_stars(), it.timestamp))),
                );
            }
            for rating in live.ratings {
                if history.get(&rating.movie.0).is_none_or(|&(_, time)| time <= rating.time) {
                    match rating.stars {
                        Some(stars) => {
                            history.insert(rating.movie.0, (stars.half_stars(), rating.time));
                        }
                        None => {
                            history.remove(&rating.movie.0);
                        }
                    }
                }
            }
            histories.insert(id.0, history);
        }
        histories
    }

    /// The number of live ratings and removals of a user.
    async fn live_count(&self, user: u32) -> usize {
        self.live().await.users(&[UserId(user)]).await.unwrap()[0].ratings.len()
    }
}

fn rate(user: u32, movie: u32, half_stars: u8, time: u32) -> Write {
    let stars = Stars::from_half_stars(half_stars).unwrap();
    Write::new(UserId(user), Action::Rate(MovieId(movie), stars), time)
}

const RUN: &str = "run --no-models --method ials --epochs 1 --dimension 4 --store {} --data {}";

/// Live ratings become part of a generation, in both ways, and nothing that was changed since is lost or comes back.
async fn live_ratings_move_into_generations(stores: &Stores, data: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let url = &stores.url;
    succeeds(RUN, &[url, &data]);
    let before = stores.histories().await;
    let removed = *before[&3].keys().next().unwrap();
    stores
        .write(&[
            rate(1, 1, 9, LATE),
            rate(NEW, 2, 7, LATE),
            Write::new(UserId(3), Action::Unrate(MovieId(removed)), LATE),
            Write::new(UserId(2), Action::Forget, LATE),
        ])
        .await;
    let written = stores.histories().await;
    assert_eq!(written[&1][&1], (9, LATE));
    assert_eq!(written[&NEW].len(), 1);
    assert!(!written[&3].contains_key(&removed) && written[&2].is_empty());

    let verify = "verify --store {} --data {} --sample all";
    let said = succeeds(&format!("{verify} --live {{}}"), &[url, &data, url]);
    assert!(said.contains("compared 4 users with live data"), "{said}");

    // One command exports, computes and pushes.
    succeeds(&format!("{RUN} --live {{}} --out {{}}"), &[url, &data, url, &out("first")]);
    assert_eq!(stores.histories().await, written);
    stores.dropped().await;
    for user in [1, 3, NEW] {
        assert_eq!(stores.live_count(user).await, 0, "user {user}");
    }
    assert_eq!(stores.histories().await, written);

    // An export, ratings after it, and a push of the export.
    stores.write(&[rate(1, 2, 3, LATE + 1)]).await;
    succeeds("export --store {} --data {} --out {}", &[url, &data, &out("export")]);
    let after = [
        rate(1, 3, 10, LATE + 2),
        rate(4, 3, 10, LATE + 2),
        Write::new(UserId(NEW), Action::Unrate(MovieId(2)), LATE + 2),
    ];
    stores.write(&after).await;
    let written = stores.histories().await;
    assert!(written[&NEW].is_empty() && written[&1][&2] == (3, LATE + 1));
    succeeds(RUN, &[url, &out("export")]);
    stores.dropped().await;
    assert_eq!(stores.histories().await, written);
    for user in [1, 4, NEW] {
        assert_eq!(stores.live_count(user).await, 1, "user {user}");
    }

    let said = succeeds(verify, &[url, &out("export")]);
    assert!(said.contains("compared 5 users with live data"), "{said}");
    // A data set that lacks a rating of user 1.
    let changed = out("changed");
    fs::create_dir(&changed).unwrap();
    for file in ["movies.csv", "links.csv", "watermark.csv"] {
        fs::copy(out("export").join(file), changed.join(file)).unwrap();
    }
    let ratings = fs::read_to_string(out("export").join("ratings.csv")).unwrap();
    let lost = ratings.lines().find(|line| line.starts_with("1,") && !line.contains(",19000"));
    let ratings = ratings.replacen(&format!("{}\n", lost.unwrap()), "", 1);
    fs::write(changed.join("ratings.csv"), ratings).unwrap();
    let (differences, _) = ends(5, &mut loader(verify, &[url, &changed]));
    assert!(differences.contains("user 1 with live data: "), "{differences}");

    // Sources of which one states nothing drop nothing.
    let (_, said) = ends(0, &mut loader("push --store {} --data {}", &[url, &data]));
    assert!(said.starts_with("warning: the generation before contained live ratings"), "{said}");
    let watermark = fs::read(out("export").join("watermark.csv")).unwrap();
    let in_force = stores.store().await.watermark().await.unwrap().value.unwrap();
    assert_eq!(in_force.to_csv().into_bytes(), watermark);
    // The deleted user, whom the data set still contains, is not stored.
    let users = stores.store().await.users(&[UserId(2), UserId(4)]).await.unwrap().value;
    assert_eq!(users.iter().map(StoredUser::is_empty).collect::<Vec<_>>(), [true, false]);
    let (first, export) = (out("first"), out("export"));
    let push = "push --store {} --data {} --features {} --embeddings {}";
    // The features are older than the generation in force.
    let behind = fails(4, push, &[url, &export, &first, &first]);
    assert!(behind.contains("but the generation in force up to"), "{behind}");
    succeeds("push --store {} --data {} --live {}", &[url, &data, url]);
    stores.dropped().await;
    assert_eq!(stores.histories().await, written);
    assert_eq!(stores.live_count(1).await, 0);
    fs::write(export.join("watermark.csv"), "partition,sequence\n0;1\n").unwrap();
    let bad = fails(3, "push --store {} --data {}", &[url, &export]);
    assert!(bad.contains("watermark.csv: line 2"), "{bad}");
}

/// The log is trimmed up to what was exported and is in force, and data without it are refused.
async fn logs_are_trimmed(stores: &Stores, data: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let url = &stores.url;
    let trim = "trim --store {} --exported {}";
    stores.write(&[rate(1, 1, 9, LATE), rate(2, 1, 9, LATE)]).await;
    succeeds("export --store {} --data {} --out {}", &[url, &data, &out("export")]);
    succeeds(RUN, &[url, &data]);
    let none = fails(3, trim, &[url, &out("export")]);
    assert!(none.contains("contains no live data"), "{none}");
    let foreign = fails(3, trim, &[url, &data]);
    assert!(foreign.contains("is not the folder of an export"), "{foreign}");
    fails(2, "trim --store {}", &[url]);

    let run = format!("{RUN} --live {{}} --out {{}}");
    succeeds(&run, &[url, &out("export"), url, &out("files")]);
    stores.write(&[rate(1, 2, 9, LATE)]).await;
    let said = succeeds(trim, &[url, &out("export")]);
    assert!(said.contains("removed 2 writes from the log"), "{said}");
    let said = succeeds("trim --store {} --force", &[url]);
    assert!(said.contains("removed 0 writes"), "{said}");

    let embed = "embed --method ials --epochs 1 --dimension 4 --data {} --live {} --out {}";
    for refused in [
        fails(3, embed, &[&data, url, &out("vectors")]),
        fails(3, &run, &[url, &data, url, &out("files")]),
        fails(3, "push --store {} --data {} --live {}", &[url, &data, url]),
        fails(3, "export --store {} --data {} --out {}", &[url, &data, &out("late")]),
        fails(4, RUN, &[url, &data]),
        fails(4, "push --store {} --data {}", &[url, &data]),
    ] {
        assert!(
            refused.contains("up to 0-0, but ") && refused.contains("was trimmed up to"),
            "{refused}"
        );
    }
    // The export goes on being enough.
    let before = stores.histories().await;
    succeeds(&run, &[url, &out("export"), url, &out("files")]);
    stores.dropped().await;
    assert_eq!(stores.histories().await, before);
    assert_eq!(stores.live_count(1).await, 0);
    let log = succeeds("export --store {} --out {}", &[url, &out("rest")]);
    assert!(log.contains("exported 1 writes"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_ratings_in_a_file_move_into_generations() {
    let data = data_set();
    let stores = Stores::new(format!("file:{}", data.path().join("store").display()));
    live_ratings_move_into_generations(&stores, data.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn live_ratings_in_redis_move_into_generations() {
    let (redis, data) = (TestRedis::start(&[]), data_set());
    live_ratings_move_into_generations(&Stores::new(redis.url()), data.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_in_files_are_trimmed() {
    let data = data_set();
    let stores = Stores::new(format!("file:{}", data.path().join("store").display()));
    logs_are_trimmed(&stores, data.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn logs_in_redis_are_trimmed() {
    let (redis, data) = (TestRedis::start(&[]), data_set());
    logs_are_trimmed(&Stores::new(redis.url()), data.path()).await;
}

/// Writes ratings and removals one after the other until it is stopped.
struct Writer {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
    expected: Arc<Mutex<BTreeMap<u32, History>>>,
}

impl Writer {
    fn start(live: Arc<dyn LiveStore>, before: BTreeMap<u32, History>, seed: u64) -> Self {
        let (stop, expected) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(before)));
        // Exports leave out ratings of movies outside the data set.
        let movies: BTreeSet<u32> =
            expected.lock().unwrap().values().flat_map(History::keys).copied().collect();
        let movies: Vec<u32> = movies.into_iter().collect();
        let (stopped, histories) = (Arc::clone(&stop), Arc::clone(&expected));
        let task = tokio::spawn(async move {
            let (mut random, mut count) = (Random::new(seed, 0), 0);
            while !stopped.load(Ordering::Relaxed) {
                let (user, movie) =
                    (1 + random.below(70) as u32, movies[random.below(movies.len())]);
                let (half_stars, time) = (random.below(11) as u8, LATE + count as u32);
                let write = match half_stars {
                    0 => Write::new(UserId(user), Action::Unrate(MovieId(movie)), time),
                    _ => rate(user, movie, half_stars, time),
                };
                let accepted = live.write(&[write]).await.remove(0).unwrap();
                assert!(accepted.applied);
                count += 1;
                let mut histories = histories.lock().unwrap();
                let history = histories.get_mut(&user).unwrap();
                match half_stars {
                    0 => drop(history.remove(&movie)),
                    _ => drop(history.insert(movie, (half_stars, time))),
                }
            }
            count
        });
        Self { stop, task, expected }
    }

    /// The number of acknowledged writes, and the ratings of all users after them.
    async fn stop(self) -> (u64, BTreeMap<u32, History>) {
        self.stop.store(true, Ordering::Relaxed);
        let count = self.task.await.unwrap();
        (count, self.expected.lock().unwrap().clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn killed_pushes_neither_lose_nor_double_live_ratings() {
    const WHAT: &str = "killed pushes of live ratings during writes";
    let data = data_set();
    let mut random = Random::new(15, 0);
    let mut took = Duration::ZERO;
    let mut killed = 0;
    let rounds = sparrow_test_support::rounds(WHAT, 3, 20);
    for round in 0..rounds {
        let redis = TestRedis::start(&[]);
        let stores = Stores::new(redis.url());
        let (url, live) = (&stores.url, format!("{RUN} --live {{}}"));
        let started = Instant::now();
        succeeds(RUN, &[url, &data]);
        took = took.max(started.elapsed());
        let writer =
            Writer::start(stores.live().await, stores.histories().await, 100 + round as u64);
        // From before it reads the log until after it dropped the live ratings.
        let push = Running::start(loader(&live, &[url, &data, url]));
        let share = (random.below(1000) as u32 + 1000 * round as u32) / rounds as u32;
        tokio::time::sleep(took * share / 1000).await;
        push.signal("-KILL");
        killed += usize::from(push.end().0.is_none());
        let (count, expected) = writer.stop().await;
        assert!(stores.histories().await == expected, "round {round}");
        let export = tempfile::tempdir().unwrap();
        let exported = succeeds("export --store {} --out {}", &[url, &export]);
        assert!(exported.contains(&format!("exported {count} writes")), "{count}: {exported}");

        // The next push waits until the lock of the killed one expires, and contains all of it.
        let end = Instant::now() + Duration::from_mins(1);
        while !loader(&live, &[url, &data, url]).output().unwrap().status.success() {
            assert!(Instant::now() < end, "round {round}: no push succeeds");
        }
        assert!(stores.histories().await == expected, "round {round}");
        for user in 1..=70 {
            assert_eq!(stores.live_count(user).await, 0, "round {round}, user {user}");
        }
    }
    assert!(killed > 0, "every push ended before it was killed");
}
