//! Servers with a real redis-server that is stopped, frozen, emptied and filled.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sparrow_app::{Config, Running};
use sparrow_model::{MovieId, UserId};
use sparrow_store::{Entry, FeatureStore, Options};
use sparrow_test_redis::TestRedis;

use crate::load::{Load, Outcome};
use crate::same_answers::compare;
use crate::support::{Answer, DEMO, PATIENCE, config, demo_entries, get, push, until};

/// The tolerance beyond the store's deadline on a busy machine.
pub(crate) const SLACK: Duration = Duration::from_millis(800);

pub(crate) fn on(url: &str) -> Config {
    let mut config = config();
    config.store.url = url.to_owned().try_into().unwrap();
    config
}

pub(crate) async fn serve(url: &str) -> Running {
    let mut running = sparrow_app::start(on(url)).await.unwrap();
    tokio::time::timeout(PATIENCE, running.loaded()).await.expect("not loaded").unwrap();
    running
}

/// The data of the loader.
pub(crate) async fn pusher(url: &str) -> Arc<dyn FeatureStore> {
    sparrow_store::connect(&url.parse().unwrap(), &Options::default()).await.unwrap()
}

fn healthy(ready: &Answer) -> bool {
    ready.status == 200 && ready.json()["store"]["degraded"] == false
}

fn degraded(ready: &Answer) -> bool {
    ready.status == 200 && ready.json()["store"]["degraded"] == true
}

/// Asserts that recommendations are answered, users too unless the store is unavailable, and all within the deadline.
fn check(outcomes: &[Outcome]) {
    let longest = config().store.deadline + SLACK;
    for outcome in outcomes {
        let allowed: &[u16] = if outcome.target.contains("rec") { &[200] } else { &[200, 503] };
        assert!(allowed.contains(&outcome.status), "{outcome:?}");
        assert!(outcome.took < longest, "{outcome:?}");
    }
    assert!(outcomes.iter().any(|outcome| outcome.status == 200 && !outcome.degraded));
    assert!(outcomes.iter().any(|outcome| outcome.degraded));
    assert!(outcomes.iter().any(|outcome| outcome.status == 503));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_and_memory_return_equal_answers_with_one_read_per_request() {
    let redis = TestRedis::start(&[]);
    push(&*pusher(&redis.url()).await, demo_entries()).await;
    let mut in_memory = sparrow_app::start(config()).await.unwrap();
    in_memory.loaded().await.unwrap();
    let mut rarely = on(&redis.url());
    rarely.store.refresh = Duration::from_hours(1);
    let mut on_store = sparrow_app::start(rarely).await.unwrap();
    on_store.loaded().await.unwrap();
    compare(in_memory.address, on_store.address).await;

    redis.cli(&["CONFIG", "RESETSTAT"]);
    for user in 1..=100 {
        get(on_store.address, &format!("/getrecforyou?id={user}")).await;
    }
    // Features; and the vector, the ratings, and the marker that tells the generation together.
    let executed = redis.command_calls();
    let count = |name: &str| executed.iter().find(|(known, _)| known == name).map(|(_, n)| *n);
    assert_eq!((count("hgetall"), count("mget")), (Some(100), Some(100)), "{executed:?}");

    let features = get(on_store.address, "/v1/users/6/features").await.json();
    assert_eq!(features["store"], "redis");
    assert_eq!(
        features["features"]["userRatingCount"],
        redis.cli(&["HGET", "uf:6", "userRatingCount"])
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn answers_are_degraded_while_redis_is_frozen() {
    let redis = TestRedis::start(&[]);
    push(&*pusher(&redis.url()).await, demo_entries()).await;
    let running = serve(&redis.url()).await;
    let load = Load::start(&[running.address]);
    load.more(100).await;
    for _ in 0..2 {
        redis.freeze();
        until(running.address, "/readyz", degraded).await;
        load.more(40).await;
        redis.thaw();
        until(running.address, "/readyz", healthy).await;
        load.more(100).await;
    }
    check(&load.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn killed_redis_recovers_with_or_without_its_data() {
    let mut redis = TestRedis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let first = push(&*pusher(&redis.url()).await, demo_entries()).await;
    let running = serve(&redis.url()).await;
    let address = running.address;
    let load = Load::start(&[address]);
    load.more(100).await;
    redis.kill();
    until(address, "/readyz", degraded).await;
    load.more(100).await;
    redis.restart();
    let ready = until(address, "/readyz", healthy).await.json();
    assert_eq!(ready["store"]["generation"], first.0);
    load.more(100).await;

    // It restarts empty: users do not become unknown, and the loaded data stay in use.
    redis.kill();
    std::fs::remove_dir_all(redis.folder().join("appendonlydir")).unwrap();
    redis.restart();
    let ready = until(address, "/readyz", |ready| ready.body.contains("holds no movies")).await;
    assert!(degraded(&ready));
    assert_eq!(get(address, "/v1/users/6").await.status, 503);
    let answer = get(address, "/v1/users/6/recommendations").await.json();
    assert_eq!(
        (&answer["degraded"], &answer["reason"]),
        (&json!(true), &json!("store-unavailable"))
    );
    let second = push(&*pusher(&redis.url()).await, demo_entries()).await;
    let ready = until(address, "/readyz", healthy).await.json();
    assert_eq!(ready["store"]["generation"], second.0);
    assert_ne!(first, second);
    load.more(100).await;
    let outcomes = load.stop().await;
    check(&outcomes);
    let personal = get(address, "/v1/users/6/recommendations").await.json();
    assert_eq!(personal["degraded"], false);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_may_start_after_the_server() {
    let mut redis = TestRedis::start(&[]);
    redis.kill();
    let mut running = sparrow_app::start(on(&redis.url())).await.unwrap();
    let address = running.address;
    let reason = "the feature store … is unavailable: ";
    let ready = until(address, "/readyz", |ready| ready.body.contains(reason)).await;
    assert_eq!((ready.status, ready.header("retry-after")), (503, Some("1")));
    until(address, "/v1/movies/1", |movie| movie.status == 200).await;
    let answer = get(address, "/v1/users/6/recommendations").await.json();
    assert_eq!(
        (&answer["degraded"], &answer["reason"]),
        (&json!(true), &json!("store-unavailable"))
    );
    redis.restart();
    push(&*pusher(&redis.url()).await, demo_entries()).await;
    tokio::time::timeout(PATIENCE, running.loaded()).await.unwrap().unwrap();
    assert!(healthy(&get(address, "/readyz").await));
    assert_eq!(get(address, "/v1/users/6/recommendations").await.json()["degraded"], false);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn two_servers_load_a_new_generation_under_load() {
    let redis = TestRedis::start(&[]);
    let loader = pusher(&redis.url()).await;
    push(&*loader, demo_entries()).await;
    let servers = [serve(&redis.url()).await, serve(&redis.url()).await];
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    let target = "/v1/users/6/recommendations";
    let before = get(addresses[0], target).await.json();
    let load = Load::start(&addresses);
    load.more(100).await;
    // All users now have the vector of user 7.
    let mut entries = demo_entries();
    let vector = DEMO.users.get(7).unwrap();
    entries.extend((1..=500).map(|id| Entry::UserEmbedding(UserId(id), vector.to_vec())));
    let second = push(&*loader, entries).await;
    for &address in &addresses {
        until(address, "/readyz", |ready| ready.json()["store"]["generation"] == second.0).await;
        let after = get(address, target).await.json();
        assert_eq!(after["degraded"], false);
        assert_ne!(after["items"], before["items"]);
    }
    load.more(100).await;
    let outcomes = load.stop().await;
    for outcome in &outcomes {
        assert_eq!(outcome.status, 200, "{outcome:?}");
        assert!(outcome.took < config().store.deadline + SLACK, "{outcome:?}");
    }
    // Only while the two generations were apart.
    let degraded = outcomes.iter().filter(|outcome| outcome.degraded).count();
    assert!(degraded * 2 < outcomes.len(), "{degraded} of {}", outcomes.len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn wrong_password_is_reported_without_the_password() {
    let redis = TestRedis::start(&["--requirepass", "the-right-one"]);
    let with = |password: &str| redis.url().replace("redis://", &format!("redis://:{password}@"));
    push(&*pusher(&with("the-right-one")).await, demo_entries()).await;
    let running = sparrow_app::start(on(&with("a-wrong-one"))).await.unwrap();
    let refused = "user or password is wrong";
    let ready = until(running.address, "/readyz", |ready| ready.body.contains(refused)).await;
    assert_eq!(ready.status, 503);
    assert!(!ready.body.contains("wrong-one") && !ready.head.contains("wrong-one"));

    let running = serve(&with("the-right-one")).await;
    let features = get(running.address, "/v1/users/6/features").await;
    assert_eq!(features.json()["store"], "redis");
    assert!(!format!("{features:?} {running:?}").contains("right-one"));
}

/// The keys that a Spark job writes for the demonstration set: features and vectors.
fn fill(redis: &TestRedis) {
    let lines = demo_entries().into_iter().filter_map(|entry| {
        let key = entry.key();
        match entry {
            Entry::UserFeatures(_, fields) | Entry::MovieFeatures(_, fields) => {
                let pairs = fields.0.iter().map(|(name, value)| format!(" {name} \"{value}\""));
                Some(format!("HSET {key}{}\r\n", pairs.collect::<String>()))
            }
            Entry::UserEmbedding(_, vector) | Entry::MovieEmbedding(_, vector) => {
                let text: Vec<String> = vector.iter().map(f32::to_string).collect();
                Some(format!("SET {key} \"{}\"\r\n", text.join(" ")))
            }
            _ => None,
        }
    });
    redis.cli_lines(&lines.collect::<String>());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn changes_of_a_store_by_another_program_are_loaded() {
    let redis = TestRedis::start(&[]);
    let running = sparrow_app::start(on(&redis.url())).await.unwrap();
    let address = running.address;
    until(address, "/readyz", |ready| ready.body.contains("it is empty")).await;
    tokio::task::block_in_place(|| {
        redis.cli(&["HSET", "mf:1", "movieRatingCount", "3"]);
    });
    until(address, "/readyz", healthy).await;
    tokio::task::block_in_place(|| fill(&redis));
    let emb = |answer: &Answer| answer.json()["model"] == "emb";
    let answer = until(address, "/v1/users/6/recommendations", emb).await.json();
    // Seen movies are not known.
    assert_eq!(
        (&answer["degraded"], &answer["reason"]),
        (&json!(false), &json!("no-history")),
        "{answer}"
    );
    let target = "/v1/users/6/recommendations?exclude_seen=false";
    let answer = get(address, target).await.json();
    assert_eq!((&answer["degraded"], &answer["reason"]), (&json!(false), &json!(null)));
    let user = get(address, "/v1/users/6").await.json();
    assert_eq!((&user["highestRating"], &user["lowestRating"]), (&json!(null), &json!(null)));
    assert!(user["averageRating"].as_f64() > Some(0.5), "{user}");
    let user = get(address, "/getuser?id=6").await.json();
    assert_eq!((&user["highestRating"], &user["lowestRating"]), (&json!(0.0), &json!(0.0)));

    // An overwritten vector, and one of another dimension.
    let vector = redis.cli(&["GET", "i2vEmb:2"]);
    redis.cli(&["SET", "i2vEmb:1", &vector]);
    redis.cli(&["SET", "i2vEmb:3", "1 2 3"]);
    let score = |answer: &Answer| {
        let first = &answer.json()["items"][0];
        first["movie"]["movieId"] == 2 && first["score"].as_f64() > Some(0.999)
    };
    until(address, "/v1/movies/1/similar?model=emb", score).await;
    let third = get(address, "/v1/movies/3/similar?model=emb").await.json();
    assert_eq!(third["reason"], "no-movie-embedding");

    redis.cli(&["FLUSHALL"]);
    until(address, "/readyz", |ready| ready.body.contains("it is empty")).await;
    let user = get(address, "/v1/users/6").await;
    assert_eq!(user.status, 503);
    assert!(user.body.contains("the feature store is empty"), "{}", user.body);
    let answer = get(address, "/v1/users/6/recommendations").await.json();
    assert_eq!(answer["reason"], "store-unavailable");
    tokio::task::block_in_place(|| fill(&redis));
    until(address, "/v1/users/6", |user| user.status == 200).await;
    until(address, "/readyz", healthy).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn users_are_not_unknown_after_a_store_without_generations_was_emptied() {
    let redis = TestRedis::start(&[]);
    tokio::task::block_in_place(|| fill(&redis));
    let mut config = on(&redis.url());
    // The server does not check by itself.
    config.store.refresh = Duration::from_hours(1);
    let mut running = sparrow_app::start(config).await.unwrap();
    tokio::time::timeout(PATIENCE, running.loaded()).await.expect("not loaded").unwrap();
    let address = running.address;
    assert_eq!(get(address, "/v1/users/6").await.status, 200);
    let unknown = get(address, "/v1/users/999999").await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);

    redis.cli(&["FLUSHALL"]);
    for target in ["/v1/users/6", "/getuser?id=6", "/v1/users/6/features", "/users/6"] {
        let user = get(address, target).await;
        assert_eq!(user.status, 503, "{target}: {}", user.body);
        assert!(
            target.starts_with("/users") || user.body.contains("the feature store is empty"),
            "{target}: {}",
            user.body
        );
    }
    let answer = get(address, "/v1/users/6/recommendations").await.json();
    assert_eq!(
        (&answer["degraded"], &answer["reason"]),
        (&json!(true), &json!("store-unavailable"))
    );
}

/// Reads a value that another program has broken, and returns the counts of the guard and of readiness.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn malformed_values_disable_only_their_purpose_and_are_counted() {
    let redis = TestRedis::start(&[]);
    push(&*pusher(&redis.url()).await, demo_entries()).await;
    redis.cli(&["SET", "sparrow:users", "garbage"]);
    redis.cli(&["SET", "sparrow:embedding", "garbage"]);
    let vector = redis.cli(&["GET", "uEmb:7"]);
    redis.cli(&["SET", "uEmb:7", "0.5 many"]);
    let running = serve(&redis.url()).await;
    let address = running.address;
    assert_eq!(get(address, "/v1/users").await.json()["total"], 0);
    let target = "/v1/users/6/recommendations";
    let answer = get(address, target).await.json();
    assert_eq!((&answer["degraded"], &answer["requestedModel"]), (&json!(true), &json!("emb")));
    assert_ne!(answer["reason"], "store-unavailable");
    assert_eq!(get(address, "/v1/users/6").await.status, 200);
    for _ in 0..3 {
        let answer = get(address, "/v1/users/7/recommendations").await.json();
        assert_eq!(
            (&answer["degraded"], &answer["reason"]),
            (&json!(true), &json!("store-failed"))
        );
    }
    let ready = get(address, "/readyz").await;
    let malformed = &ready.json()["store"]["malformed"];
    assert_eq!(malformed["uEmb"], 3, "{}", ready.body);
    assert_eq!(malformed["sparrow:users"], 1, "{}", ready.body);
    assert!(!ready.body.contains("uEmb:7"), "{}", ready.body);
    assert!(healthy(&ready), "{}", ready.body);

    // The next push repairs all values.
    assert_ne!(vector, "");
    push(&*pusher(&redis.url()).await, demo_entries()).await;
    let emb = |answer: &Answer| answer.json()["model"] == "emb";
    until(address, target, emb).await;
    assert!(get(address, "/v1/users").await.json()["total"].as_u64() > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn malformed_marker_counts_as_missing() {
    let redis = TestRedis::start(&[]);
    push(&*pusher(&redis.url()).await, demo_entries()).await;
    let marker = redis.cli(&["GET", "sparrow:generation"]);
    for break_it in
        [&["SET", "sparrow:generation", "soon"][..], &["LPUSH", "sparrow:generation", "1"]]
    {
        redis.cli(&["DEL", "sparrow:generation"]);
        redis.cli(break_it);
        let running = serve(&redis.url()).await;
        let address = running.address;
        let ready = get(address, "/readyz").await.json();
        assert_eq!(ready["store"]["generation"], 0, "{ready}");
        let answer = get(address, "/v1/users/6/recommendations").await.json();
        assert_eq!((&answer["model"], &answer["degraded"]), (&json!("emb"), &json!(false)));
        assert_eq!(get(address, "/v1/users/6").await.status, 200);
        assert_eq!(get(address, "/v1/users/999999").await.status, 404);

        // While the server runs: repaired, and broken again.
        redis.cli(&["DEL", "sparrow:generation"]);
        redis.cli(&["SET", "sparrow:generation", &marker]);
        until(address, "/readyz", |ready| ready.json()["store"]["generation"] != 0).await;
        redis.cli(&["DEL", "sparrow:generation"]);
        redis.cli(break_it);
        until(address, "/readyz", |ready| ready.json()["store"]["generation"] == 0).await;
        assert_eq!(get(address, "/v1/users/6").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn zero_and_missing_vectors_degrade_answers() {
    let redis = TestRedis::start(&[]);
    push(&*pusher(&redis.url()).await, demo_entries()).await;
    let dimension = DEMO.items.dimension();
    let zeros = vec!["0"; dimension].join(" ");
    redis.cli(&["SET", "uEmb:6", &zeros]);
    redis.cli(&["SET", "i2vEmb:1", &zeros]);
    let running = serve(&redis.url()).await;
    let address = running.address;
    for target in ["/v1/users/6/recommendations", "/v1/users/6/recommendations?candidates=all"] {
        let answer = get(address, target).await;
        assert_eq!(answer.header("x-sparrow-degraded"), Some("true"), "{target}");
        let answer = answer.json();
        assert_eq!(
            (&answer["degraded"], &answer["requestedModel"], &answer["reason"]),
            (&json!(true), &json!("emb"), &json!("no-user-embedding")),
            "{answer}"
        );
        assert_ne!(answer["model"], "emb");
    }
    let similar = get(address, "/v1/movies/1/similar?model=emb").await.json();
    assert_eq!(
        (&similar["degraded"], &similar["reason"]),
        (&json!(true), &json!("no-movie-embedding")),
        "{similar}"
    );
    // Of another movie the list has no movie with a zero vector before those with one.
    let other = get(address, "/v1/movies/2/similar?model=emb&size=5").await.json();
    assert_eq!(other["degraded"], false);
    let items = other["items"].as_array().unwrap();
    assert!(items.iter().all(|item| item["movie"]["movieId"] != 1), "{other}");
    let fine = get(address, "/v1/users/7/recommendations").await.json();
    assert_eq!((&fine["model"], &fine["degraded"]), (&json!("emb"), &json!(false)));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn candidates_without_vectors_degrade_answers() {
    let redis = TestRedis::start(&[]);
    let mut entries = demo_entries();
    // One movie that the user has seen keeps its vector.
    let history = DEMO.catalog.users().find(UserId(6)).unwrap();
    let seen = DEMO.catalog.movie(history.iter().next().unwrap().movie).id;
    entries.retain(|entry| match entry {
        Entry::MovieEmbedding(id, _) => *id == seen,
        _ => true,
    });
    let kept = vec![0.5; DEMO.items.dimension()];
    entries.push(Entry::MovieEmbedding(seen, kept));
    push(&*pusher(&redis.url()).await, entries).await;
    let running = serve(&redis.url()).await;
    for target in ["/v1/users/6/recommendations", "/v1/users/6/recommendations?candidates=all"] {
        let answer = get(running.address, target).await.json();
        assert_eq!(
            (&answer["degraded"], &answer["requestedModel"], &answer["reason"]),
            (&json!(true), &json!("emb"), &json!("candidates-not-in-model")),
            "{answer}"
        );
        assert_eq!(answer["model"], "popularity");
        assert!(!answer["items"].as_array().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn users_without_stored_histories_have_histories_of_the_data_set() {
    let redis = TestRedis::start(&[]);
    tokio::task::block_in_place(|| fill(&redis));
    let mut config = on(&redis.url());
    config.data.path = Some(sparrow_test_support::demo());
    let mut running = sparrow_app::start(config).await.unwrap();
    tokio::time::timeout(PATIENCE, running.loaded()).await.expect("not loaded").unwrap();
    let address = running.address;
    let history = DEMO.catalog.users().find(UserId(6)).unwrap();
    let user = get(address, "/v1/users/6").await.json();
    assert_eq!(user["ratings"]["total"], history.len());
    assert!(user["lowestRating"].as_f64() >= Some(0.5), "{user}");
    assert_eq!(get(address, "/v1/users").await.json()["total"], DEMO.catalog.users().len());
    let target = "/v1/users/6/recommendations?size=500&candidates=all";
    let answer = get(address, target).await.json();
    assert_eq!((&answer["degraded"], &answer["reason"]), (&json!(false), &json!(null)));
    let seen: Vec<u32> = history.iter().map(|rated| DEMO.catalog.movie(rated.movie).id.0).collect();
    for item in answer["items"].as_array().unwrap() {
        let id = item["movie"]["movieId"].as_u64().unwrap() as u32;
        assert!(!seen.contains(&id), "movie {id} was seen");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn similarity_follows_the_description_in_the_store() {
    let redis = TestRedis::start(&[]);
    let mut entries = demo_entries();
    for (movie, vector) in [(1, [1.0, 0.0]), (2, [1.0, 0.1]), (3, [9.0, 9.0])] {
        entries.push(Entry::MovieEmbedding(MovieId(movie), vector.to_vec()));
    }
    entries.push(Entry::UserEmbedding(UserId(6), vec![1.0, 0.0]));
    entries.retain(|entry| match entry {
        Entry::MovieEmbedding(_, vector) | Entry::UserEmbedding(_, vector) => vector.len() == 2,
        _ => true,
    });
    let info = r#"{"format":1,"method":"ials","similarity":"dot","dimension":2}"#;
    entries.push(Entry::EmbeddingInfo(info.to_owned()));
    push(&*pusher(&redis.url()).await, entries).await;
    let running = serve(&redis.url()).await;
    let target =
        "/v1/users/6/recommendations?candidates=all&exclude_seen=false&explain=true&size=1";
    let best = get(running.address, target).await.json();
    assert_eq!(best["items"][0]["movie"]["movieId"], 3, "{best}");
    assert_eq!(best["items"][0]["score"], 9.0);
}
