//! Servers whose store fails and recovers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use sparrow_model::UserId;
use sparrow_store::{Entry, MemoryStore};

use crate::support::{Mode, PATIENCE, Switch, config, demo_entries, get, push, serve, until};

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_degraded_while_the_store_fails() {
    let store = MemoryStore::default();
    let pushed = push(&store, demo_entries()).await;
    let store = Switch::new(store);
    let running = serve(config(), store.clone()).await;
    let address = running.address;
    let ready = get(address, "/readyz").await.json();
    let side = json!({"kind": "test", "generation": pushed.0, "degraded": false});
    let idle = json!({"lagSeconds": 0.0, "pending": 0, "users": 0, "superseded": 0, "failures": 0});
    let live = json!({
        "kind": "memory", "durability": "memory", "lostAtRestart": true, "statistics": idle,
    });
    assert_eq!(ready, json!({"status": "ready", "store": side, "live": live}));
    let before = get(address, "/v1/users/6").await;

    for (mode, reason) in [(Mode::IsAway, "switched off"), (Mode::IsLate, "did not answer in time")]
    {
        store.set(mode);
        let answer = get(address, "/v1/users/6/recommendations?size=5").await;
        assert_eq!(answer.status, 200);
        let answer = answer.json();
        assert_eq!(answer["model"], "popularity");
        assert_eq!((&answer["degraded"], &answer["requestedModel"]), (&json!(true), &json!("emb")));
        assert_eq!(answer["reason"], "store-unavailable");
        assert_eq!(answer["items"].as_array().unwrap().len(), 5);
        // The model does not depend on the user, but seen movies cannot be excluded.
        let popular = get(address, "/v1/users/6/recommendations?model=popularity").await.json();
        assert_eq!(
            (&popular["degraded"], &popular["reason"]),
            (&json!(true), &json!("store-unavailable"))
        );
        let original = get(address, "/getrecforyou?id=6&size=5").await;
        assert_eq!((original.status, original.header("x-sparrow-degraded")), (200, Some("true")));

        for target in
            ["/v1/users/6", "/getuser?id=6", "/v1/users/6/features", "/v1/movies/1/features"]
        {
            let answer = get(address, target).await;
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{target}");
            assert_eq!(answer.json()["type"], "/problems/unavailable");
        }
        let page = get(address, "/users/6").await;
        assert_eq!((page.status, page.header("retry-after")), (503, Some("1")));
        assert!(page.body.contains("<html"));
        for target in [
            "/getmovie?id=1",
            "/v1/movies/1",
            "/v1/movies/1/similar",
            "/v1/users",
            "/",
            "/getrecommendation?genre=Drama",
        ] {
            assert_eq!(get(address, target).await.status, 200, "{target}");
        }

        let ready = get(address, "/readyz").await;
        assert_eq!(ready.status, 200);
        let side = &ready.json()["store"];
        assert_eq!(side["degraded"], true);
        assert!(side["reason"].as_str().unwrap().ends_with(reason), "{side}");

        store.set(Mode::Answers);
        until(address, "/readyz", |ready| ready.json()["store"]["degraded"] == false).await;
        assert_eq!(get(address, "/v1/users/6").await.body, before.body);
        let answer = get(address, "/v1/users/6/recommendations").await.json();
        assert_eq!((&answer["model"], &answer["degraded"]), (&json!("emb"), &json!(false)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_starts_before_its_store() {
    let store = Switch::new(MemoryStore::default());
    store.set(Mode::IsAway);
    let mut running = sparrow_app::start_with_store(config(), store.clone()).await.unwrap();
    let address = running.address;
    let ready = until(address, "/readyz", |ready| ready.body.contains("switched off")).await;
    assert_eq!((ready.status, ready.header("retry-after")), (503, Some("1")));
    // Movies are served without statistics, and answers are not personal.
    let movie = until(address, "/v1/movies/1", |movie| movie.status == 200).await.json();
    assert_eq!(movie["ratingNumber"], 0);
    let answer = get(address, "/v1/users/6/recommendations?size=5").await.json();
    assert_eq!(
        (&answer["degraded"], &answer["reason"]),
        (&json!(true), &json!("store-unavailable"))
    );
    assert_eq!(answer["items"].as_array().unwrap().len(), 5);
    assert_eq!(get(address, "/users/6").await.status, 503);

    // The store answers and is empty.
    store.set(Mode::Answers);
    let empty = "the feature store test holds no movies";
    until(address, "/readyz", |ready| ready.body.contains(empty)).await;
    assert_eq!(get(address, "/v1/users/6").await.status, 503);
    push(&*store.inner(), demo_entries()).await;
    tokio::time::timeout(PATIENCE, running.loaded()).await.unwrap().unwrap();
    assert_eq!(get(address, "/readyz").await.status, 200);
    assert_eq!(get(address, "/v1/users/6/recommendations").await.json()["model"], "emb");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_generation_is_served_without_a_restart() {
    let store = MemoryStore::default();
    push(&store, demo_entries()).await;
    let mut slow = config();
    // Only requests can detect the new generation.
    slow.store.refresh = Duration::from_hours(1);
    let running = serve(slow, Arc::new(store.clone())).await;
    let address = running.address;
    let before = get(address, "/v1/users/6/recommendations").await.json();
    assert_eq!(before["degraded"], false);

    // All users now have the vector of user 7.
    let vector = crate::support::DEMO.users.get(7).unwrap();
    let all = (1..=500).map(|id| Entry::UserEmbedding(UserId(id), vector.to_vec())).collect();
    let second = push(&store, all).await;
    let between = get(address, "/v1/users/6/recommendations").await;
    assert_eq!(between.status, 200);
    let between = between.json();
    // Either vectors of two generations are not compared, or the new ones are loaded.
    assert!(between["degraded"] == false || between["reason"] == "store-updating", "{between}");
    let whole = |answer: &crate::support::Answer| answer.json()["degraded"] == false;
    let after = until(address, "/v1/users/6/recommendations", whole).await.json();
    assert_ne!(after["items"], before["items"]);
    let ready = get(address, "/readyz").await.json();
    assert_eq!(ready["store"]["generation"], second.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_not_unknown_after_the_store_was_emptied() {
    let store = MemoryStore::default();
    push(&store, demo_entries()).await;
    let (full, empty) = (store.clone(), MemoryStore::default());
    let store = Switch::new(full.clone());
    let running = serve(config(), store.clone()).await;
    let address = running.address;

    store.replace(empty);
    let ready = until(address, "/readyz", |ready| ready.json()["store"]["degraded"] == true).await;
    assert!(ready.body.contains("holds no movies"), "{}", ready.body);
    assert_eq!(get(address, "/v1/users/6").await.status, 503);
    assert_eq!(get(address, "/users/6").await.status, 503);
    let user = get(address, "/v1/users/6").await;
    assert!(user.body.contains("the feature store is empty"), "{}", user.body);
    let answer = get(address, "/v1/users/6/recommendations").await.json();
    assert_eq!(answer["reason"], "store-unavailable");
    assert!(get(address, "/v1/movies/1").await.json()["ratingNumber"].as_u64() > Some(0));

    store.replace(full);
    until(address, "/readyz", |ready| ready.json()["store"]["degraded"] == false).await;
    assert_eq!(get(address, "/v1/users/6").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_files_and_models_fail_the_start() {
    let mut nowhere = config();
    nowhere.data.path = Some("/nowhere".into());
    let store = Switch::new(MemoryStore::default());
    let mut running = sparrow_app::start_with_store(nowhere, store.clone()).await.unwrap();
    let error = anyhow::Error::new(running.loaded().await.unwrap_err());
    assert!(format!("{error:#}").contains("/nowhere"), "{error:#}");
    let mut wrong = config();
    wrong.ranking.default = "emd".to_owned();
    let mut running = sparrow_app::start_with_store(wrong, store).await.unwrap();
    let error = anyhow::Error::new(running.loaded().await.unwrap_err());
    assert!(format!("{error:#}").contains("no model is named \"emd\""), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_reads_open_the_circuit_breaker() {
    let store = MemoryStore::default();
    push(&store, demo_entries()).await;
    let store = Switch::new(store);
    let running = serve(config(), store.clone()).await;
    store.set(Mode::IsLate);
    let start = Instant::now();
    for user in 1..=400 {
        let target = format!("/v1/users/{user}/recommendations?size=1");
        assert_eq!(get(running.address, &target).await.json()["reason"], "store-unavailable");
    }
    // Each would wait for 50 ms if the circuit breaker stayed closed.
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(store.user_reads.load(Ordering::SeqCst) < 100);
}
