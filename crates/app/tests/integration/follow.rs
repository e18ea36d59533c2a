//! Servers that follow ratings: statistics of movies, and the values that other programs read.

use std::time::Duration;

use serde_json::{Value, json};
use sparrow_app::Running;
use sparrow_test_redis::TestRedis;

use crate::redis;
use crate::support::{config, demo_entries, get, push, send, until};

async fn rate(running: &Running, user: u32, movie: u32, stars: f32) {
    let target = format!("/v1/users/{user}/ratings/{movie}");
    let body = json!({ "stars": stars }).to_string();
    let answer = send(running.address, "PUT", &target, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

fn popular(home: &Value) -> Vec<u64> {
    let rows = home["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["kind"] == "popular-now").unwrap();
    let items = row["items"].as_array().unwrap();
    items.iter().map(|item| item["movie"]["movieId"].as_u64().unwrap()).collect()
}

/// Waits until the movie has this number of ratings, and returns it.
async fn counted(running: &Running, movie: u32, count: u64) -> Value {
    let is_counted = |answer: &crate::support::Answer| answer.json()["ratingNumber"] == count;
    until(running.address, &format!("/v1/movies/{movie}"), is_counted).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_and_popular_now_follow_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = || async {
        let mut config = config();
        config.live.path = Some(folder.path().join("live"));
        let mut running = sparrow_app::start(config).await.unwrap();
        running.loaded().await.unwrap();
        running
    };
    let running = start().await;
    let home = get(running.address, "/v1/home").await.json();
    let movie = *popular(&home).last().unwrap() as u32;
    let before = get(running.address, &format!("/v1/movies/{movie}")).await.json();
    let count = before["ratingNumber"].as_u64().unwrap();
    let average = before["averageRating"].as_f64().unwrap();
    for user in 0..30 {
        rate(&running, 1_000_000 + user, movie, 0.5).await;
    }
    let expect = |after: &Value| {
        let sum = average * count as f64 + 15.0;
        let found = after["averageRating"].as_f64().unwrap();
        assert!((found - sum / (count + 30) as f64).abs() < 1e-9, "{after}");
        assert_eq!(after["bayesianRating"], before["bayesianRating"]);
    };
    expect(&counted(&running, movie, count + 30).await);
    let home = get(running.address, "/v1/home").await.json();
    assert_eq!(popular(&home)[0], u64::from(movie));
    running.stop().await;

    let running = start().await;
    expect(&counted(&running, movie, count + 30).await);
    let home = get(running.address, "/v1/home").await.json();
    assert_eq!(popular(&home)[0], u64::from(movie));
    // A rating that is replaced counts once, one that is removed no more.
    rate(&running, 1_000_000, movie, 5.0).await;
    for user in 1..30 {
        let target = format!("/v1/users/{}/ratings/{movie}", 1_000_000 + user);
        assert_eq!(send(running.address, "DELETE", &target, "").await.status, 200);
    }
    counted(&running, movie, count + 1).await;
    // Users with live data alone are listed.
    let target = "/v1/users?size=1&sort=userId&offset=";
    let total = get(running.address, target.trim_end_matches("&offset=")).await.json();
    let total = total["total"].as_u64().unwrap();
    let last = get(running.address, &format!("{target}{}", total - 30)).await.json();
    assert_eq!(last["items"][0]["userId"], 1_000_000, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn contract_keys_follow_live_ratings() {
    let redis = TestRedis::start(&[]);
    push(&*redis::pusher(&redis.url()).await, demo_entries()).await;
    let (one, two) = (redis::serve(&redis.url()).await, redis::serve(&redis.url()).await);
    let field = |user: u32| redis.cli(&["HGET", &format!("uf:{user}"), "userRatingCount"]);
    let vector = || redis.cli(&["GET", "uEmb:6"]);
    let (trained, count) = (vector(), field(6).parse::<u32>().unwrap());
    let unrated = get(one.address, "/v1/users/6/recommendations?size=1").await.json();
    let movie = unrated["items"][0]["movie"]["movieId"].as_u64().unwrap() as u32;
    let wait = async |what: &str, done: &dyn Fn() -> bool| {
        let start = std::time::Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        start.elapsed()
    };
    rate(&one, 6, movie, 5.0).await;
    let rated = |count: u32| move |text: String| text == count.to_string();
    let took = wait("features", &|| rated(count + 1)(field(6))).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    wait("vector", &|| vector() != trained).await;
    // As readers compute them.
    let features = get(two.address, "/v1/users/6/features").await.json();
    assert_eq!(
        features["features"]["userAvgRating"],
        redis.cli(&["HGET", "uf:6", "userAvgRating"])
    );
    let stored: Vec<f64> = vector().split(' ').map(|number| number.parse().unwrap()).collect();
    assert_eq!(features["embedding"], json!(stored));

    // A user with live data alone: the store has features, and answers are not degraded.
    rate(&two, 2_000_000, movie, 5.0).await;
    wait("new user", &|| field(2_000_000) == "1").await;
    let answer = get(one.address, "/v1/users/2000000/recommendations").await.json();
    assert_eq!(answer["degraded"], false, "{answer}");

    // Without a live rating, what the generation has is back.
    let target = format!("/v1/users/6/ratings/{movie}");
    assert_eq!(send(two.address, "DELETE", &target, "").await.status, 200);
    wait("restored", &|| vector() == trained && rated(count)(field(6))).await;

    // A new generation does not have the live user, who is projected again.
    push(&*redis::pusher(&redis.url()).await, demo_entries()).await;
    wait("projected again", &|| field(2_000_000) == "1").await;

    let deleted = send(one.address, "DELETE", "/v1/users/2000000", "").await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    let exists = || redis.cli(&["EXISTS", "uf:2000000", "uEmb:2000000", "sparrow:ratings:2000000"]);
    wait("removed", &|| exists() == "0").await;
    let ready = get(one.address, "/readyz").await.json();
    assert_eq!(ready["live"]["projector"]["failures"], 0, "{ready}");
}
