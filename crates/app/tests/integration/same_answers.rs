//! A server with a store returns the same answers as one with all data in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use sparrow_model::{MovieId, UserId};
use sparrow_store::{Entry, Fields, MemoryStore, UserList};

use crate::entries::contract_entries;
use crate::support::{Answer, DEMO, Switch, config, demo_entries, get, push, serve, until};

/// An answer without its varying parts.
fn comparable(answer: &Answer) -> (u16, Option<String>, Value) {
    let mut body = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
    if let Some(object) = body.as_object_mut() {
        object.remove("timings");
        object.remove("recommendationId");
        object.remove("requestId");
    }
    // Counts and latencies of models vary too.
    for item in body.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            item.remove("requests");
            item.remove("latency");
        }
    }
    (answer.status, answer.header("x-sparrow-model").map(str::to_owned), body)
}

#[tokio::test(flavor = "multi_thread")]
async fn store_and_memory_return_equal_answers() {
    let mut in_memory = sparrow_app::start(config()).await.unwrap();
    in_memory.loaded().await.unwrap();
    let store = MemoryStore::default();
    push(&store, demo_entries()).await;
    let store = Switch::new(store);
    let on_store = serve(config(), store.clone()).await;
    compare(in_memory.address, on_store.address).await;

    // One read a request.
    let before = store.user_reads.load(Ordering::SeqCst);
    get(on_store.address, "/getrecforyou?id=6").await;
    assert_eq!(store.user_reads.load(Ordering::SeqCst), before + 1);
    get(on_store.address, "/getmovie?id=1").await;
    assert_eq!(store.user_reads.load(Ordering::SeqCst), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn file_store_returns_equal_answers_and_can_be_replaced() {
    let mut in_memory = sparrow_app::start(config()).await.unwrap();
    in_memory.loaded().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store.url = format!("file:{}/store.redb", folder.path().display()).try_into().unwrap();
    let open = || sparrow_store::open(&config.store.url.0, &sparrow_store::Options::default());
    // The loader is another process with another handle.
    push(&*open().unwrap(), demo_entries()).await;
    let mut on_file = sparrow_app::start(config.clone()).await.unwrap();
    on_file.loaded().await.unwrap();
    compare(in_memory.address, on_file.address).await;
    let second = push(&*open().unwrap(), demo_entries()).await;
    until(on_file.address, "/readyz", |ready| ready.json()["store"]["generation"] == second.0)
        .await;
    compare(in_memory.address, on_file.address).await;
}

/// Asserts that both servers return equal answers.
pub(crate) async fn compare(in_memory: SocketAddr, on_store: SocketAddr) {
    let mut targets: Vec<String> = [
        "/getmovie?id=1",
        "/getmovie?id=999999",
        "/getuser?id=6",
        "/getuser?id=999999",
        "/getsimilarmovie?movieId=2&size=9&model=emb",
        "/getrecommendation?genre=Comedy&size=20&sortby=rating",
        "/getrecforyou?id=6&size=50&model=nerualcf",
        "/getrecforyou?id=999999",
        "/getrecforyou?id=6&candidates=all",
        "/v1/users?size=1000",
        "/v1/users?sort=ratingCount&offset=7",
        "/v1/users/999999",
        "/v1/users/999999/recommendations?size=3",
        "/v1/movies?sort=popularity&size=1000",
        "/v1/movies?sort=rating&size=1000&offset=500",
        "/v1/search?q=the",
        "/v1/genres",
        "/v1/models",
        "/users/6",
        "/users/999999",
    ]
    .map(str::to_owned)
    .into();
    for user in (1..500).step_by(17) {
        targets.push(format!("/getuser?id={user}"));
        targets.push(format!("/getrecforyou?id={user}&size=100"));
        targets.push(format!("/v1/users/{user}?size=5&offset=3"));
        targets.push(format!("/v1/users/{user}/recommendations?explain=true&size=200"));
        targets.push(format!("/v1/users/{user}/recommendations?model=popularity"));
        targets.push(format!("/v1/users/{user}/recommendations?exclude_seen=false&genres=Drama"));
        targets.push(format!("/v1/movies/{user}"));
        targets.push(format!("/v1/movies/{user}/similar"));
    }
    for target in &targets {
        let memory = get(in_memory, target).await;
        let stored = get(on_store, target).await;
        assert_eq!(comparable(&stored), comparable(&memory), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_returned_as_stored() {
    let mut in_memory = sparrow_app::start(config()).await.unwrap();
    in_memory.loaded().await.unwrap();
    let store = MemoryStore::default();
    let pushed = push(&store, demo_entries()).await;
    let on_store = serve(config(), Arc::new(store)).await;
    for target in ["/v1/users/6/features", "/v1/movies/1/features"] {
        let memory = get(in_memory.address, target).await.json();
        let stored = get(on_store.address, target).await.json();
        assert_eq!(memory["features"], stored["features"], "{target}");
        assert_eq!(memory["ratingCount"], stored["ratingCount"], "{target}");
        assert_eq!((&memory["store"], &memory["generation"]), (&json!("memory"), &json!(0)));
        assert_eq!((&stored["store"], &stored["generation"]), (&json!("memory"), &json!(pushed.0)));
        assert_eq!(stored["malformed"], json!([]));
    }
    let user = get(on_store.address, "/v1/users/6/features").await.json();
    let vector: Vec<f32> = serde_json::from_value(user["embedding"].clone()).unwrap();
    assert_eq!(DEMO.users.get(6), Some(&vector[..]));
    assert_eq!(user["features"].as_object().unwrap().len(), 15);

    let unrated = DEMO
        .catalog
        .movies()
        .iter()
        .find(|movie| DEMO.catalog.stats(DEMO.catalog.index_of(movie.id).unwrap()).count == 0);
    let unrated = format!("/v1/movies/{}/features", unrated.unwrap().id);
    for address in [in_memory.address, on_store.address] {
        assert_eq!(get(address, "/v1/users/999999/features").await.status, 404);
        assert_eq!(get(address, "/v1/movies/999999/features").await.status, 404);
        assert_eq!(get(address, &unrated).await.json()["features"], Value::Null);
        assert_eq!(get(address, "/v1/users/x/features").await.status, 400);
        assert_eq!(get(address, "/v1/users/6/features?x=1").await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_users_without_ratings_have_no_average() {
    let store = MemoryStore::default();
    let mut entries = contract_entries(&DEMO.catalog, &DEMO.items, &DEMO.users);
    let most_active = vec![(UserId(6), 2, 7), (UserId(7), 0, 0)];
    entries.push(Entry::UserList(UserList { total: 2, most_active }));
    push(&store, entries).await;
    let running = serve(config(), Arc::new(store)).await;
    let list = get(running.address, "/v1/users").await.json();
    let averages: Vec<&Value> =
        list["items"].as_array().unwrap().iter().map(|user| &user["averageRating"]).collect();
    assert_eq!(averages, [&json!(1.75), &Value::Null], "{list}");
}

/// Entries of Spark jobs: hashes and vectors, no ratings.
#[tokio::test(flavor = "multi_thread")]
async fn features_and_vectors_alone_are_enough() {
    let store = MemoryStore::default();
    let mut entries = contract_entries(&DEMO.catalog, &DEMO.items, &DEMO.users);
    // Malformed values.
    let odd = [("movieRatingCount", "many"), ("movieAvgRating", "9e9"), ("userGenre1", "No")];
    let odd = Fields(odd.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    entries.push(Entry::MovieFeatures(MovieId(1), odd.clone()));
    entries.push(Entry::UserFeatures(UserId(7), odd));
    push(&store, entries).await;
    let running = serve(config(), Arc::new(store)).await;

    let features = get(running.address, "/v1/users/6/features").await.json();
    assert_eq!(features["ratingCount"], Value::Null);
    let features = &features["features"];
    let user = get(running.address, "/v1/users/6").await.json();
    let text = |name: &str| features[name].as_str().unwrap().to_owned();
    assert_eq!(user["ratingCount"].to_string(), text("userRatingCount"));
    assert_eq!(
        user["averageRating"].as_f64().unwrap(),
        text("userAvgRating").parse::<f64>().unwrap()
    );
    assert_eq!(user["favouriteGenres"][0]["genre"], text("userGenre1"));
    assert_eq!(user["ratings"]["total"], 0);
    assert_eq!(get(running.address, "/getuser?id=6").await.json()["ratings"], json!([]));

    let answer = get(running.address, "/v1/users/6/recommendations?explain=true").await.json();
    assert_eq!((&answer["model"], &answer["degraded"]), (&json!("emb"), &json!(false)));
    let popular = "/v1/users/6/recommendations?explain=true&model=popularity";
    let popular = get(running.address, popular).await.json();
    let items = popular["items"].as_array().unwrap();
    assert!(
        items.iter().any(|item| item["recalledBy"].as_array().unwrap().contains(&json!("genre")))
    );
    let all = get(running.address, "/v1/users/6/recommendations?size=1000").await.json();
    for rank in 1..=5 {
        let seen: u64 = text(&format!("userRatedMovie{rank}")).parse().unwrap();
        assert!(!all["items"].as_array().unwrap().iter().any(|i| i["movie"]["movieId"] == seen));
    }
    // Counts are the store's, means those of two decimals.
    let movie = get(running.address, "/v1/movies/2").await.json();
    let index = DEMO.catalog.index_of(MovieId(2)).unwrap();
    assert_eq!(movie["ratingNumber"], DEMO.catalog.stats(index).count);
    let difference = movie["averageRating"].as_f64().unwrap() - DEMO.catalog.stats(index).average();
    assert!(difference.abs() < 0.01, "{movie}");
    assert_eq!(get(running.address, "/v1/movies/1").await.json()["averageRating"], 0.0);
    assert_eq!(get(running.address, "/v1/users/7").await.json()["ratingCount"], 0);
    assert_eq!(get(running.address, "/v1/users").await.json()["total"], 0);
}
