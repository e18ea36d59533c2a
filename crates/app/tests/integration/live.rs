//! Ratings that arrive while the server runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparrow_store::MemoryStore;

use crate::support::{PATIENCE, config, demo_entries, get, push, send, serve, until};

/// Rates a movie; returns the answer. Tries again if the store does not answer in time, as the disk of a busy machine can be
/// slow.
pub(crate) async fn rate(address: SocketAddr, user: u32, movie: &Value, stars: f64) -> Value {
    let (target, body) = (format!("/v1/users/{user}/ratings/{movie}"), json!({"stars": stars}));
    let end = Instant::now() + PATIENCE;
    let answer = loop {
        let answer = send(address, "PUT", &target, &body.to_string()).await;
        if answer.status != 503 || Instant::now() > end {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let (status, answer) = (answer.status, answer.json());
    assert_eq!((status, &answer["applied"]), (200, &json!(true)), "{answer}");
    answer
}

/// The ids of the recommended movies, in order.
pub(crate) fn ids(answer: &Value) -> Vec<Value> {
    let items = answer["items"].as_array().unwrap();
    items.iter().map(|item| item["movie"]["movieId"].clone()).collect()
}

/// The ratings of a user as in the body of a request.
async fn ratings(address: SocketAddr, user: u32) -> Value {
    let user = get(address, &format!("/v1/users/{user}?size=1000")).await.json();
    let items = user["ratings"]["items"].as_array().unwrap();
    let rating = |item: &Value| {
        json!({
            "movieId": item["movie"]["movieId"], "stars": item["score"], "timestamp": item["timestamp"],
        })
    };
    json!(items.iter().map(rating).collect::<Vec<_>>())
}

/// A user whose ratings changed is ranked as a user without an id who has the same ratings: no model uses what it stored about
/// the user in training.
#[tokio::test(flavor = "multi_thread")]
async fn every_model_ranks_by_the_new_history() {
    let mut running = sparrow_app::start(config()).await.unwrap();
    running.loaded().await.unwrap();
    let address = running.address;
    for model in ["blend", "ease", "next-item", "item-knn", "emb"] {
        let target = format!("/v1/users/6/recommendations?model={model}&size=30");
        let before = get(address, &target).await.json();
        assert_eq!((&before["model"], &before["degraded"]), (&json!(model), &json!(false)));
        let best = &ids(&before)[0];
        rate(address, 6, best, 5.0).await;
        let after = get(address, &target).await.json();
        assert!(!ids(&after).contains(best), "{model}");
        assert_ne!(ids(&after)[..29], ids(&before)[1..], "{model}");
        let body = json!({"ratings": ratings(address, 6).await, "model": model, "size": 30});
        let answer = send(address, "POST", "/v1/recommendations", &body.to_string()).await;
        let (status, anonymous) = (answer.status, answer.json());
        assert_eq!((status, &anonymous["model"]), (200, &json!(model)), "{anonymous}");
        assert_eq!(ids(&anonymous), ids(&after), "{model}");
    }
    assert!(running.live.contains("lost at restart"), "{}", running.live);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_ratings_stay_in_force_on_a_new_generation() {
    let store = MemoryStore::default();
    push(&store, demo_entries()).await;
    let running = serve(config(), Arc::new(store.clone())).await;
    let address = running.address;
    let target = "/v1/users/6/recommendations?size=1";
    let best = ids(&get(address, target).await.json())[0].clone();
    rate(address, 6, &best, 4.5).await;
    let features = get(address, "/v1/users/6/features").await.json();
    assert_eq!(features["features"]["userRatedMovie1"], json!(best.to_string()));
    // Without a time, a change is newer than the store, also for a rating that the store has.
    let rated = ratings(address, 6).await[1]["movieId"].clone();
    rate(address, 6, &rated, 0.5).await;
    let target_of_rating = format!("/v1/users/6/ratings/{rated}");
    let old = "{\"stars\": 5, \"timestamp\": 1}";
    let answer = send(address, "PUT", &target_of_rating, old).await;
    assert_eq!((answer.status, &answer.json()["applied"]), (200, &json!(false)));

    let second = push(&store, demo_entries()).await;
    until(address, "/readyz", |ready| ready.json()["store"]["generation"] == second.0).await;
    let after = get(address, "/v1/users/6/features").await.json();
    // The second rating is no like.
    let liked = "userRatedMovie1";
    assert_eq!(after["features"][liked], features["features"][liked]);
    assert_eq!(after["generation"], second.0);
    let ratings = ratings(address, 6).await;
    assert_eq!((&ratings[0]["movieId"], &ratings[0]["stars"]), (&rated, &json!(0.5)));
    assert_eq!((&ratings[1]["movieId"], &ratings[1]["stars"]), (&best, &json!(4.5)));
    assert!(!ids(&get(address, target).await.json()).contains(&best));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_beyond_loopback_need_a_setting() {
    for open_writes in [false, true] {
        let mut config = config();
        config.listen = "0.0.0.0:0".parse().unwrap();
        config.live.open_writes = open_writes;
        let mut running = sparrow_app::start(config).await.unwrap();
        running.loaded().await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], running.address.port()));
        let answer = send(address, "PUT", "/v1/users/6/ratings/1", "{\"stars\": 4}").await;
        assert_eq!(answer.status, if open_writes { 200 } else { 403 }, "{answer:?}");
        assert_eq!(running.live.contains("not accepted"), !open_writes, "{}", running.live);
        assert_eq!(get(address, "/v1/users/6").await.status, 200);
    }
}
