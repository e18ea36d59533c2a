//! Pushes that are interrupted: dropped, disconnected, or killed with their process.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sparrow_model::{MovieId, UserId};
use sparrow_store::{Entry, Error, FeatureStore, Generation, Options};
use sparrow_test_redis::{TestCluster, TestRedis, wait_until};

use crate::redis::{open, options};
use crate::testsuite::{push, start, user_fields};

const USERS: u32 = 300;

/// A generation in which every value contains its number; even ones contain half of the users.
fn stamped(number: u32) -> Vec<Entry> {
    users_of(number)
        .flat_map(|user| {
            [
                Entry::UserFeatures(UserId(user), user_fields(&number.to_string())),
                Entry::UserEmbedding(UserId(user), vec![number as f32]),
                Entry::MovieEmbedding(MovieId(user), vec![number as f32]),
            ]
        })
        .collect()
}

fn users_of(number: u32) -> impl Iterator<Item = u32> {
    (0..USERS).filter(move |&user| is_in(number, user))
}

fn is_in(number: u32, user: u32) -> bool {
    !number.is_multiple_of(2) || user.is_multiple_of(2)
}

/// Checks that the store contains exactly one complete generation; returns its number.
async fn whole(store: &dyn FeatureStore) -> u32 {
    let ids: Vec<UserId> = (0..USERS).map(UserId).collect();
    let users = store.users(&ids).await.unwrap().value;
    let number = users[0].embedding.as_ref().unwrap()[0] as u32;
    for (id, user) in (0..).zip(&users) {
        if !is_in(number, id) {
            assert!(user.is_empty(), "user {id} of {number}: {user:?}");
            continue;
        }
        assert_eq!(user.embedding, Some(vec![number as f32]), "user {id} of {number}");
        let features = user.features.as_ref().unwrap();
        assert!(features.0.iter().all(|(_, value)| *value == number.to_string()));
    }
    let movies = store.all_movies().await.unwrap().value;
    assert_eq!(movies.len(), users_of(number).count());
    assert!(movies.iter().all(|(_, movie)| movie.embedding == Some(vec![number as f32])));
    number
}

/// The keys in Redis besides those of a completed generation.
fn leftovers(redis: &TestRedis) -> Vec<String> {
    let keys = redis.cli(&["KEYS", "sparrow:*"]);
    keys.lines().filter(|key| *key != "sparrow:generation").map(str::to_owned).collect()
}

/// A short lock, so that the push after a killed one need not wait.
fn hasty() -> Options {
    Options { lock: Duration::from_millis(400), ..options() }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_commit_dropped_at_any_point_leaves_a_complete_generation() {
    let redis = TestRedis::start(&[]);
    let options = Options {
        deadline: Duration::from_millis(450),
        grace: Duration::from_millis(500),
        ..hasty()
    };
    let store = open(&redis.url(), &options).await;
    let reader = open(&redis.url(), &options).await;
    push(&store, stamped(1)).await;
    let mut announced = 0;
    for (number, millis) in
        (2..).zip([0, 1, 2, 4, 8, 100, 490, 500, 502, 504, 506, 508, 512, 520, 540])
    {
        let before = reader.generation().await.unwrap();
        let mut push = start(&store).await;
        push.put(stamped(number)).await.unwrap();
        let commit = tokio::time::timeout(Duration::from_millis(millis), push.commit());
        let done = commit.await.is_ok();
        let now = whole(&reader).await;
        // Again through the store that has cached the marker.
        assert_eq!(whole(&store).await, now);
        let after = reader.generation().await.unwrap();
        if after == before {
            assert!(now < number && !done, "{now} is not {number}");
        } else {
            assert_eq!(now, number);
            announced += u32::from(!done);
        }
    }
    assert!(announced > 0, "some were dropped after the announcement");
    push(&store, stamped(101)).await;
    assert_eq!(whole(&reader).await, 101);
    wait_until("the lock is released", || leftovers(&redis).is_empty());
}

/// A process that pushes until it is killed; started by the tests below.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn pusher_process() {
    let Ok(url) = std::env::var("SPARROW_TEST_PUSH_TO") else { return };
    let number = std::env::var("SPARROW_TEST_PUSH_NUMBER").unwrap().parse().unwrap();
    let store = open(&url, &Options { connections: 1, ..hasty() }).await;
    let mut push = start(&store).await;
    let slowly = std::env::var("SPARROW_TEST_PUSH_SLOWLY").is_ok();
    for some in stamped(number).chunks(30) {
        push.put(some.to_vec()).await.unwrap();
        if slowly {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    push.commit().await.unwrap();
}

fn pusher(url: &str, number: u32) -> Child {
    program(url, number).spawn().unwrap()
}

/// A process that pauses before it announces its generation.
fn slow_pusher(url: &str, number: u32) -> Child {
    program(url, number).env("SPARROW_TEST_PUSH_SLOWLY", "1").spawn().unwrap()
}

fn program(url: &str, number: u32) -> Command {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program
        .args(["--exact", "redis_push::pusher_process", "--include-ignored"])
        .env("SPARROW_TEST_PUSH_TO", url)
        .env("SPARROW_TEST_PUSH_NUMBER", number.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    program
}

fn signal(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill {signal}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_paused_push_never_mixes_with_the_next() {
    let redis = TestRedis::start(&[]);
    let reader = open(&redis.url(), &hasty()).await;
    push(&reader, stamped(1)).await;
    let state = || redis.cli(&["GET", "sparrow:generation"]);
    for (number, announced) in
        [(2, false), (4, true), (6, false), (8, true), (10, false), (12, true)]
    {
        let mut paused = slow_pusher(&redis.url(), number);
        if announced {
            wait_until("the generation is announced", || state().contains("staged"));
        } else {
            wait_until("keys are staged", || {
                !redis.cli(&["KEYS", "sparrow:new:*{uf:0}"]).is_empty()
            });
        }
        signal(&paused, "-STOP");
        wait_until("its lock expires", || redis.cli(&["EXISTS", "sparrow:lock"]) == "0");
        // Even generations have half of the users, so additions or removals by the paused push
        // would be visible.
        push(&reader, stamped(number + 1)).await;
        signal(&paused, "-CONT");
        let status = paused.wait().unwrap();
        assert!(announced || !status.success(), "it fails because another push has begun");
        assert_eq!(whole(&reader).await, number + 1);
    }
    push(&reader, stamped(101)).await;
    wait_until("no keys remain", || leftovers(&redis).is_empty());
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn markers_of_other_versions_are_errors_and_malformed_ones_count_as_missing() {
    let redis = TestRedis::start(&[]);
    let store = open(&redis.url(), &options()).await;
    let generation = push(&store, stamped(1)).await;
    redis.cli(&["SET", "sparrow:generation", &format!("{generation} sealed-3 x")]);
    for error in [
        store.users(&[UserId(0)]).await.map(|_| ()).unwrap_err(),
        store.push().await.map(|_| ()).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(matches!(error, Error::Refused { .. }), "{text}");
        assert!(text.contains("\"sealed-3\"") && text.contains("staged-2"), "{text}");
    }
    // An announcement of the previous version.
    redis.cli(&["SET", "sparrow:new:{uEmb:0}", "7"]);
    redis.cli(&["SET", "sparrow:generation", &format!("{} staged x", generation.0 + 1)]);
    let read = store.users(&[UserId(0)]).await.unwrap();
    assert_eq!(read.value[0].embedding, Some(vec![7.0]));
    assert_eq!(read.generation.0, generation.0 + 1);
    push(&store, vec![Entry::MovieEmbedding(MovieId(1), vec![1.0])]).await;
    assert_eq!(redis.cli(&["GET", "uEmb:0"]), "7", "the next push completed it");
    // A malformed marker, as a string and as a list.
    for garbage in [["SET", "sparrow:generation", "soon"], ["LPUSH", "sparrow:generation", "x"]] {
        redis.cli(&["DEL", "sparrow:generation"]);
        redis.cli(&garbage);
        assert_eq!(store.generation().await.unwrap(), Generation(0));
        assert_eq!(store.users(&[UserId(0)]).await.unwrap().value[0].embedding, Some(vec![7.0]));
        let next = push(&store, vec![Entry::MovieEmbedding(MovieId(1), vec![1.0])]).await;
        assert_eq!(store.generation().await.unwrap(), next);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_next_push_cleans_up_after_a_killed_one() {
    for _ in 0..sparrow_test_support::rounds("killed pushes to Redis", 1, 20) {
        kill_pushes().await;
    }
}

async fn kill_pushes() {
    let redis = TestRedis::start(&[]);
    let reader = open(&redis.url(), &hasty()).await;
    push(&reader, stamped(1)).await;
    let state = || redis.cli(&["GET", "sparrow:generation"]);
    let staged = || !redis.cli(&["KEYS", "sparrow:new:*{uf:0}"]).is_empty();

    // While it stages.
    let mut child = pusher(&redis.url(), 2);
    wait_until("keys are staged", staged);
    child.kill().unwrap();
    child.wait().unwrap();
    let stopped_before = state().contains("plain");
    assert_eq!(whole(&reader).await, if stopped_before { 1 } else { 2 });
    push(&reader, stamped(3)).await;
    assert_eq!(whole(&reader).await, 3);

    // After the announcement.
    let mut child = pusher(&redis.url(), 4);
    wait_until("the generation is announced", || state().contains("staged"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(whole(&reader).await, 4);
    let dead = reader.generation().await.unwrap();
    // A push without a commit completes the renaming as well.
    drop(start(&reader).await);
    wait_until("the keys are renamed", || leftovers(&redis).is_empty());
    assert!(state().starts_with(&format!("{dead} plain")));
    assert_eq!(redis.cli(&["GET", "uEmb:2"]), "4");
    assert_eq!(redis.cli(&["EXISTS", "uEmb:1"]), "0", "not in generation 4");
    assert_eq!(whole(&reader).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_next_push_cleans_up_after_a_killed_one_in_a_cluster() {
    let cluster = TestCluster::start(3);
    let reader = open(&cluster.url(), &hasty()).await;
    push(&reader, stamped(1)).await;
    let state = || -> String {
        cluster.nodes().iter().map(|node| node.cli(&["GET", "sparrow:generation"])).collect()
    };
    let mut child = pusher(&cluster.url(), 2);
    wait_until("the generation is announced", || state().contains("staged"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(whole(&reader).await, 2);
    push(&reader, stamped(3)).await;
    assert_eq!(whole(&reader).await, 3);
    push(&reader, stamped(4)).await;
    for node in cluster.nodes() {
        wait_until("the lock is released", || leftovers(node).is_empty());
        assert!(node.cli(&["DBSIZE"]).parse::<u32>().unwrap() > 100, "keys are on every node");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_disconnected_push_fails_or_completes() {
    let redis = TestRedis::start(&[]);
    let store = open(&redis.url(), &hasty()).await;
    let reader = open(&redis.url(), &hasty()).await;
    push(&store, stamped(1)).await;
    let cut = || redis.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);

    let mut push_2 = start(&store).await;
    push_2.put(stamped(2)).await.unwrap();
    cut();
    let done = match push_2.put(stamped(2)).await {
        Ok(()) => push_2.commit().await.map(|_| ()),
        Err(error) => Err(error),
    };
    reader.connected().await.unwrap();
    match done {
        Ok(()) => assert_eq!(whole(&reader).await, 2),
        Err(Error::Unavailable { .. }) => assert_eq!(whole(&reader).await, 1),
        Err(error) => panic!("{error}"),
    }

    // After the announcement, the push survives the disconnection.
    store.connected().await.unwrap();
    let mut push_3 = start(&store).await;
    push_3.put(stamped(3)).await.unwrap();
    let commit = tokio::spawn(push_3.commit());
    wait_until("the generation is announced", || {
        redis.cli(&["GET", "sparrow:generation"]).contains("staged")
    });
    cut();
    let generation = commit.await.unwrap().unwrap();
    reader.connected().await.unwrap();
    assert_eq!(whole(&reader).await, 3);
    assert_eq!(reader.generation().await.unwrap(), generation);
    wait_until("the lock is released", || leftovers(&redis).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_lock_is_renewed_and_its_loss_stops_the_push() {
    let redis = TestRedis::start(&[]);
    let store = open(&redis.url(), &hasty()).await;
    let mut long = start(&store).await;
    let end = std::time::Instant::now() + 3 * hasty().lock;
    while std::time::Instant::now() < end {
        long.put(vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = store.push().await.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("another push is in progress; if it was killed"), "{refused}");

    redis.cli(&["SET", "sparrow:lock", "someone else"]);
    let mut last = Ok(());
    let end = std::time::Instant::now() + Duration::from_secs(5);
    while last.is_ok() && std::time::Instant::now() < end {
        last = long.put(vec![Entry::UserEmbedding(UserId(1), vec![1.0])]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(last.unwrap_err().to_string().contains("lost its lock"));
    drop(long);
    assert_eq!(redis.cli(&["GET", "sparrow:lock"]), "someone else");
    assert_eq!(store.generation().await.unwrap(), Generation(0));
}
