//! Ratings and events that arrive while the server runs, and the answers after them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde_json::{Value, json};
use sparrow_http::{Options, SnapshotOptions};
use sparrow_live::{
    Accepted, CreatedUser, Durability, Error, Limits, LiveStore, LiveUser, MemoryLive, Recorded,
    Sequence, Watermark, Write,
};
use sparrow_model::UserId;
use sparrow_user_state::LiveSource;

use crate::support::{Answer, Running, patient, snapshot};

fn source(store: impl LiveStore + 'static) -> LiveSource {
    LiveSource { store: Arc::new(store), types: Arc::default() }
}

/// A server that keeps live data in memory.
pub(crate) fn server() -> Running {
    with_store(MemoryLive::new(Limits::default()))
}

fn with_store(store: impl LiveStore + 'static) -> Running {
    let options = SnapshotOptions { live: Some(source(store)), ..SnapshotOptions::default() };
    Running::with_snapshot(patient(), snapshot(options))
}

fn send(running: &Running, method: &str, target: &str, headers: &str, body: &str) -> Answer {
    let length = if body.is_empty() && method == "DELETE" {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{headers}{length}\r\n{body}");
    running.send(request.as_bytes())
}

fn accepted(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn rate(running: &Running, user: u32, movie: u64, stars: f64) -> Value {
    let target = format!("/v1/users/{user}/ratings/{movie}");
    accepted(&send(running, "PUT", &target, "", &json!({ "stars": stars }).to_string()))
}

fn unrate(running: &Running, user: u32, movie: u64) -> Value {
    let target = format!("/v1/users/{user}/ratings/{movie}");
    accepted(&send(running, "DELETE", &target, "", ""))
}

fn event(running: &Running, event: &Value) -> Value {
    let body = json!({ "events": [event] }).to_string();
    accepted(&send(running, "POST", "/v1/events", "", &body))
}

fn forget(running: &Running, user: u32) -> Value {
    accepted(&send(running, "DELETE", &format!("/v1/users/{user}"), "", ""))
}

fn ids(items: &Value) -> Vec<u64> {
    let id = |item: &Value| item["movie"]["movieId"].as_u64().unwrap();
    items.as_array().unwrap().iter().map(id).collect()
}

fn recommended(running: &Running, user: u32) -> Vec<u64> {
    ids(&running.json(&format!("/v1/users/{user}/recommendations?size=20"))["items"])
}

fn shown_on_home(running: &Running, user: u32) -> Vec<u64> {
    let home = running.json(&format!("/v1/users/{user}/home"));
    home["rows"].as_array().unwrap().iter().flat_map(|row| ids(&row["items"])).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn rating_changes_the_very_next_answer() {
    let running = server();
    let before = recommended(&running, 6);
    let movie = before[0];
    let written = rate(&running, 6, movie, 5.0);
    assert_eq!((&written["applied"], &written["repeated"]), (&json!(true), &json!(false)));
    assert_eq!(written["durability"], "memory");
    assert!(written["sequence"].as_str().unwrap().contains('-'), "{written}");

    let after = recommended(&running, 6);
    assert!(!after.contains(&movie) && !shown_on_home(&running, 6).contains(&movie));
    // The vector is another one, so the order of the rest changes.
    assert_ne!(after[..19], before[1..]);
    let user = running.json("/v1/users/6");
    let newest = &user["ratings"]["items"][0];
    assert_eq!((&newest["movie"]["movieId"], &newest["score"]), (&json!(movie), &json!(5.0)));
    assert_eq!(user["ratingCount"], 27);
    assert_eq!(running.json("/getuser?id=6")["ratingCount"], 27);
    let listed = running.json("/v1/users?size=6");
    assert_eq!(listed["items"][5]["ratingCount"], 27);
    assert_eq!(listed["items"][5]["averageRating"], user["averageRating"]);

    // Replaced, and removed: as before.
    rate(&running, 6, movie, 0.5);
    assert_eq!(running.json("/v1/users/6")["ratings"]["items"][0]["score"], 0.5);
    unrate(&running, 6, movie);
    assert_eq!(running.json("/v1/users/6")["ratingCount"], 26);
    assert!(recommended(&running, 6).contains(&movie));
    // Removing what is not there is no error.
    assert_eq!(unrate(&running, 6, movie)["applied"], true);
}

#[test]
fn rating_of_the_data_set_can_be_replaced_and_removed() {
    let running = server();
    let ratings = running.json("/v1/users/6?size=1000")["ratings"]["items"].clone();
    let (movie, time) =
        (ratings[0]["movie"]["movieId"].as_u64().unwrap(), ratings[0]["timestamp"].as_u64());
    // Older than the rating of the data set: it is not in force.
    let target = format!("/v1/users/6/ratings/{movie}");
    let older = json!({"stars": 1, "timestamp": time.unwrap() - 1}).to_string();
    assert_eq!(accepted(&send(&running, "PUT", &target, "", &older))["applied"], false);
    assert_eq!(running.json("/v1/users/6?size=1000")["ratings"]["items"], ratings);
    unrate(&running, 6, movie);
    let user = running.json("/v1/users/6?size=1000");
    assert_eq!(user["ratingCount"], 25);
    assert!(!ids(&user["ratings"]["items"]).contains(&movie));
    // An older change of the removal is not in force either.
    assert_eq!(accepted(&send(&running, "PUT", &target, "", &older))["applied"], false);
    assert_eq!(running.json("/v1/users/6")["ratingCount"], 25);
}

#[test]
fn new_user_is_created_by_a_rating() {
    let running = server();
    let created = accepted(&send(&running, "POST", "/v1/users", "", "{}"));
    assert_eq!(created, json!({"userId": 1_000_000_001_u32, "durability": "memory"}));
    let again = accepted(&send(&running, "POST", "/v1/users", "", "{}"));
    assert_eq!(again["userId"], 1_000_000_002_u32);
    // Retries are one request.
    let with_key = |key: &str| {
        send(&running, "POST", "/v1/users", &format!("Idempotency-Key: {key}\r\n"), "{}")
    };
    for (key, id) in [("a", 1_000_000_003_u32), ("b", 1_000_000_004), ("a", 1_000_000_003)] {
        assert_eq!(accepted(&with_key(key))["userId"], id, "{key}");
    }
    assert_eq!(with_key("a b").status, 400);
    let user = 1_000_000_001;
    assert_eq!(running.get(&format!("/v1/users/{user}")).status, 404);
    let target = format!("/v1/users/{user}/recommendations?size=5");
    assert_eq!(running.json(&target)["reason"], "unknown-user");
    rate(&running, user, 301, 5.0);
    let answer = running.json(&target);
    assert_eq!((&answer["model"], &answer["degraded"]), (&json!("emb"), &json!(false)));
    // The vector of one movie: its nearest ones come first, as for the same rating in a request.
    let similar = running.json("/v1/movies/301/similar?size=1");
    assert_eq!(ids(&answer["items"])[0], ids(&similar["items"])[0]);
    let body = json!({"ratings": [{"movieId": 301, "stars": 5}], "size": 5}).to_string();
    let posted = accepted(&send(&running, "POST", "/v1/recommendations", "", &body));
    assert_eq!(ids(&answer["items"]), ids(&posted["items"]));
    let shown = running.json(&format!("/v1/users/{user}"));
    assert_eq!((&shown["ratingCount"], &shown["averageRating"]), (&json!(1), &json!(5.0)));
    assert_eq!(running.get(&format!("/users/{user}")).status, 200);
    let features = running.json(&format!("/v1/users/{user}/features"));
    assert_eq!(features["features"]["userRatedMovie1"], "301");
    assert_eq!(features["features"]["userAvgRating"], "5.00");
}

#[test]
fn dismissed_movie_leaves_every_channel_and_comes_back() {
    let running = server();
    let movie = recommended(&running, 6)[0];
    let on_home = shown_on_home(&running, 6)[30];
    for movie in [movie, on_home] {
        let dismiss = json!({"type": "dismiss", "userId": 6, "movieId": movie});
        event(&running, &dismiss);
        for parameters in ["", "&exclude_seen=false", "&candidates=all", "&model=popularity"] {
            let target = format!("/v1/users/6/recommendations?size=1000{parameters}");
            assert!(!ids(&running.json(&target)["items"]).contains(&movie), "{target}");
        }
        assert!(!shown_on_home(&running, 6).contains(&movie));
        let original = running.json("/getrecforyou?id=6&size=1000");
        let original = original.as_array().unwrap();
        assert!(original.iter().all(|item| item["movieId"] != movie));
        // It is no rating, and others still see it.
        assert_eq!(running.json("/v1/users/6")["ratingCount"], 26);
        let target = "/v1/users/7/recommendations?size=1000&candidates=all&exclude_seen=false";
        assert!(ids(&running.json(target)["items"]).contains(&movie));
        let events = running.json("/v1/users/6/events");
        assert_eq!(events["items"][0]["movieId"], movie);
        assert_eq!(
            (&events["items"][0]["type"], &events["items"][0]["count"]),
            (&json!("dismiss"), &json!(1))
        );
        let undo = json!({"type": "dismiss", "userId": 6, "movieId": movie, "value": 0});
        event(&running, &undo);
        let target = "/v1/users/6/recommendations?size=1000&candidates=all";
        assert!(ids(&running.json(target)["items"]).contains(&movie));
    }
    assert_eq!(recommended(&running, 6)[0], movie);
}

#[test]
fn likes_move_the_vector_and_watched_movies_are_seen() {
    let running = server();
    let before = recommended(&running, 6);
    let features = running.json("/v1/users/6/features")["features"].clone();
    event(&running, &json!({"type": "like", "userId": 6, "movieId": 1804}));
    let after = recommended(&running, 6);
    assert_ne!(after, before);
    // No rating, and not seen.
    assert_eq!(running.json("/v1/users/6")["ratingCount"], 26);
    assert_eq!(running.json("/v1/users/6/features")["features"], features);
    let all = "/v1/users/6/recommendations?size=1000&candidates=all";
    assert!(ids(&running.json(all)["items"]).contains(&1804));
    event(&running, &json!({"type": "watch", "userId": 6, "movieId": 1804, "share": 0.5}));
    assert!(!ids(&running.json(all)["items"]).contains(&1804));
    let shown = running.json(&format!("{all}&exclude_seen=false"));
    assert!(ids(&shown["items"]).contains(&1804));
    // Half of it is not enough interest by itself.
    event(&running, &json!({"type": "like", "userId": 6, "movieId": 1804, "value": 0}));
    assert_eq!(recommended(&running, 6), before);
    let seconds = json!({"type": "watch", "userId": 6, "movieId": 1804, "seconds": 5400});
    assert_eq!(event(&running, &seconds)["items"][0]["status"], 200);
    let events = running.json("/v1/users/6/events");
    assert_eq!((&events["total"], &events["items"][0]["greatest"]), (&json!(2), &json!(0.9)));
}

#[test]
fn forgotten_user_is_gone_until_the_next_rating() {
    let running = server();
    rate(&running, 6, 4, 3.0);
    forget(&running, 6);
    for target in ["/v1/users/6", "/v1/users/6/features", "/getuser?id=6", "/users/6"] {
        assert_eq!(running.get(target).status, 404, "{target}");
    }
    let answer = running.json("/v1/users/6/recommendations");
    assert_eq!(answer["reason"], "unknown-user");
    let summary = running.json("/v1/users?size=6")["items"][5].clone();
    assert_eq!(summary, json!({"userId": 6, "ratingCount": 0, "averageRating": null}));
    rate(&running, 6, 301, 4.0);
    assert_eq!(running.json("/v1/users/6")["ratingCount"], 1);
}

#[test]
fn a_key_makes_retries_safe() {
    let running = server();
    let key = "Idempotency-Key: 7f3a\r\n";
    let put = |stars: f64| {
        let body = json!({ "stars": stars }).to_string();
        send(&running, "PUT", "/v1/users/6/ratings/4", key, &body)
    };
    let first = accepted(&put(2.5));
    let retry = accepted(&put(2.5));
    assert_eq!(first["sequence"], retry["sequence"]);
    assert_eq!((&first["repeated"], &retry["repeated"]), (&json!(false), &json!(true)));
    let other = put(3.0);
    assert_eq!((other.status, &other.problem()["type"]), (422, &json!("/problems/key-reused")));
    assert_eq!(running.json("/v1/users/6")["ratings"]["items"][0]["score"], 2.5);
    for bad in ["", "with space", "ü", &"x".repeat(101)] {
        let headers = format!("Idempotency-Key: {bad}\r\n");
        let answer = send(&running, "PUT", "/v1/users/6/ratings/4", &headers, "{\"stars\":3}");
        assert_eq!(
            (answer.status, &answer.problem()["parameter"]),
            (400, &json!("Idempotency-Key"))
        );
    }
    // Events count once, also within a batch and in a batch with a key of its own.
    let click = json!({"type": "click", "userId": 6, "movieId": 4, "eventId": "e1"});
    let body = json!({"events": [click, click]}).to_string();
    for _ in 0..2 {
        accepted(&send(&running, "POST", "/v1/events", "", &body));
    }
    let body = json!({"events": [{"type": "view", "userId": 6, "movieId": 4}]}).to_string();
    for _ in 0..2 {
        accepted(&send(&running, "POST", "/v1/events", "Idempotency-Key: b\r\n", &body));
    }
    let events = running.json("/v1/users/6/events")["items"].clone();
    let counts: Vec<_> = events.as_array().unwrap().iter().map(|event| &event["count"]).collect();
    assert_eq!(counts, [1, 1]);
}

#[test]
fn batch_is_checked_before_anything_is_stored() {
    let running = server();
    let good = json!({"movieId": 4, "stars": 4.5});
    for (bad, status, parameter) in [
        (json!({"movieId": 5, "stars": 4}), 404, "ratings[1].movieId"),
        (json!({"movieId": 7, "stars": 4.2}), 400, "ratings[1].stars"),
        (json!({"movieId": 7, "stars": 0}), 400, "ratings[1].stars"),
        (json!({"movieId": 7, "stars": "4"}), 400, "ratings[1].stars"),
        (json!({"movieId": 7}), 400, "ratings[1].stars"),
        (json!({"stars": 4}), 400, "ratings[1].movieId"),
        (json!({"movieId": 7, "stars": 4, "timestamp": -1}), 400, "ratings[1].timestamp"),
        (json!({"movieId": 7, "stars": 4, "timestamp": now() + 400}), 400, "ratings[1].timestamp"),
        (json!({"movieId": 7, "stars": 4, "eventId": ""}), 400, "ratings[1].eventId"),
        (json!({"movieId": 7, "stars": 4, "time": 1}), 400, "ratings[1].time"),
        (json!([]), 400, "ratings[1]"),
    ] {
        let body = json!({"ratings": [good, bad]}).to_string();
        let answer = send(&running, "POST", "/v1/users/6/ratings", "", &body);
        let problem = answer.problem();
        assert_eq!(
            (answer.status, &problem["parameter"]),
            (status, &json!(parameter)),
            "{problem}"
        );
        assert_eq!(running.json("/v1/users/6")["ratingCount"], 26);
    }
    let ahead = json!({"movieId": 7, "stars": 5, "timestamp": now() + 200});
    let bad = json!({"movieId": 5, "stars": 4});
    let body = json!({"ratings": [good, bad, ahead]}).to_string();
    let answer = accepted(&send(&running, "POST", "/v1/users/6/ratings?partial=true", "", &body));
    let statuses: Vec<_> =
        answer["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, [200, 404, 200]);
    assert_eq!(answer["items"][1]["parameter"], "ratings[1].movieId");
    assert_eq!(running.json("/v1/users/6")["ratingCount"], 28);
    let many = vec![good; 1001];
    let body = json!({ "ratings": many }).to_string();
    let answer = send(&running, "POST", "/v1/users/6/ratings", "", &body);
    assert_eq!((answer.status, &answer.problem()["parameter"]), (400, &json!("ratings")));
}

#[test]
fn invalid_writes_are_refused_with_the_field() {
    let running = server();
    for (method, target, body, status, parameter) in [
        ("PUT", "/v1/users/6/ratings/5", "{\"stars\":4}", 404, "movieId"),
        ("PUT", "/v1/users/6/ratings/x", "{\"stars\":4}", 400, "movieId"),
        ("PUT", "/v1/users/x/ratings/4", "{\"stars\":4}", 400, "id"),
        ("PUT", "/v1/users/6/ratings/4", "{\"stars\":5.5}", 400, "stars"),
        ("PUT", "/v1/users/6/ratings/4", "{}", 400, "stars"),
        ("PUT", "/v1/users/6/ratings/4", "{\"star\":4}", 400, "star"),
        ("PUT", "/v1/users/6/ratings/4?a=1", "{\"stars\":4}", 400, "a"),
        ("DELETE", "/v1/users/6/ratings/5", "", 404, "movieId"),
        ("POST", "/v1/users", "{\"name\":\"x\"}", 400, "name"),
        (
            "POST",
            "/v1/events",
            "{\"events\":[{\"type\":\"view\",\"userId\":6}]}",
            400,
            "events[0].movieId",
        ),
        (
            "POST",
            "/v1/events",
            "{\"events\":[{\"type\":\"vew\",\"userId\":6,\"movieId\":4}]}",
            400,
            "events[0].type",
        ),
        (
            "POST",
            "/v1/events",
            "{\"events\":[{\"userId\":6,\"movieId\":4}]}",
            400,
            "events[0].type",
        ),
        (
            "POST",
            "/v1/events",
            "{\"events\":[{\"type\":\"watch\",\"userId\":6,\"movieId\":4,\"share\":1.5}]}",
            400,
            "events[0].share",
        ),
        ("POST", "/v1/events", "{}", 400, "events"),
    ] {
        let answer = send(&running, method, target, "", body);
        let problem = answer.problem();
        assert_eq!(
            (answer.status, &problem["parameter"]),
            (status, &json!(parameter)),
            "{problem}"
        );
    }
    let unknown = "{\"events\":[{\"type\":\"vew\",\"userId\":6,\"movieId\":4}]}";
    assert_eq!(send(&running, "POST", "/v1/events", "", unknown).problem()["nearest"], "view");
    for body in ["", "[]", "{", "{\"stars\":4"] {
        let answer = send(&running, "PUT", "/v1/users/6/ratings/4", "", body);
        assert_eq!(answer.status, 400, "{body}");
    }
    let form = b"PUT /v1/users/6/ratings/4 HTTP/1.1\r\nHost: test\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\n{\"stars\":4}";
    assert_eq!(running.send(form).status, 415);
    let untyped = b"POST /v1/users HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(running.send(untyped).status, 415);
    let with_body = send(&running, "DELETE", "/v1/users/6/ratings/4", "", "{}");
    assert_eq!(with_body.status, 413);
    let large = format!("{{\"stars\":4{}}}", " ".repeat(1 << 20));
    assert_eq!(send(&running, "PUT", "/v1/users/6/ratings/4", "", &large).status, 413);
    assert_eq!(running.json("/v1/users/6")["ratingCount"], 26);
}

#[test]
fn paths_name_all_their_methods() {
    let running = server();
    for (target, allowed) in [
        ("/v1/users", "GET, HEAD, POST"),
        ("/v1/users/6", "GET, HEAD, DELETE"),
        ("/v1/users/6/ratings", "POST"),
        ("/v1/users/6/ratings/4", "PUT, DELETE"),
        ("/v1/events", "POST"),
        ("/v1/users/6/events", "GET, HEAD"),
    ] {
        let request = format!("PATCH {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        let answer = running.send(request.as_bytes());
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)), "{target}");
    }
}

#[test]
fn pages_of_other_origins_must_not_write() {
    let running = server();
    let put = |headers: &str| {
        send(&running, "PUT", "/v1/users/6/ratings/4", headers, "{\"stars\":4}").status
    };
    for (origin, status) in [
        ("http://test", 200),
        ("https://test", 200),
        ("http://test:8080", 403),
        ("https://other.example", 403),
        ("null", 403),
    ] {
        assert_eq!(put(&format!("Origin: {origin}\r\n")), status, "{origin}");
    }
    let preflight = "OPTIONS /v1/users/6/ratings/4 HTTP/1.1\r\nHost: test\r\nOrigin: https://other.example\r\n\
                     Access-Control-Request-Method: PUT\r\n\r\n";
    assert_eq!(running.send(preflight.as_bytes()).status, 405);
}

#[test]
fn server_without_writes_refuses_them() {
    let live = Some(source(MemoryLive::new(Limits::default())));
    let options = SnapshotOptions { live, ..SnapshotOptions::default() };
    let closed = Options { accepts_writes: false, ..patient() };
    let closed = Running::with_snapshot(closed, snapshot(options));
    let without = Running::start(patient());
    for running in [closed, without] {
        for (method, target, body) in [
            ("PUT", "/v1/users/6/ratings/4", "{\"stars\":4}"),
            ("DELETE", "/v1/users/6/ratings/4", ""),
            ("DELETE", "/v1/users/6", ""),
            ("POST", "/v1/users", "{}"),
            ("POST", "/v1/events", "{\"events\":[]}"),
        ] {
            let answer = send(&running, method, target, "", body);
            assert_eq!(
                (answer.status, &answer.problem()["type"]),
                (403, &json!("/problems/forbidden")),
                "{target}"
            );
        }
        assert_eq!(running.json("/v1/users/6")["ratingCount"], 26);
        assert_eq!(running.json("/v1/users/6/events")["total"], 0);
    }
}

#[test]
fn limit_of_ratings_names_the_remedy() {
    let running = with_store(MemoryLive::new(Limits { ratings: 2, events: 10 }));
    rate(&running, 6, 4, 4.0);
    rate(&running, 6, 7, 4.0);
    rate(&running, 6, 7, 3.0);
    let answer = send(&running, "PUT", "/v1/users/6/ratings/10", "", "{\"stars\":4}");
    let problem = answer.problem();
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!((answer.status, detail.contains("2 live ratings")), (429, true), "{problem}");
    assert!(detail.contains("max_ratings"), "{problem}");
    // A batch of which a part was accepted.
    let items =
        [(4, 5.0), (10, 1.0)].map(|(movie, stars)| json!({"movieId": movie, "stars": stars}));
    let body = json!({ "ratings": items }).to_string();
    let answer = send(&running, "POST", "/v1/users/6/ratings", "", &body);
    let problem = answer.problem();
    assert_eq!((answer.status, &problem["items"][0]["status"]), (429, &json!(200)), "{problem}");
    assert_eq!(problem["items"][1]["status"], 429);
}

/// A store that does not answer.
#[derive(Debug)]
struct Broken;

impl Broken {
    fn error() -> Error {
        Error::TimedOut { store: "broken".to_owned() }
    }
}

#[async_trait]
impl LiveStore for Broken {
    fn address(&self) -> &'static str {
        "broken"
    }

    fn durability(&self) -> Durability {
        Durability::Unknown
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, Error>> {
        writes.iter().map(|_| Err(Self::error())).collect()
    }

    async fn users(&self, _: &[UserId]) -> Result<Vec<LiveUser>, Error> {
        Err(Self::error())
    }

    async fn create_user(&self, _: Option<&str>) -> Result<CreatedUser, Error> {
        Err(Self::error())
    }

    fn partitions(&self) -> u16 {
        1
    }

    async fn log(&self, _: u16, _: Sequence, _: usize) -> Result<Vec<Recorded>, Error> {
        Err(Self::error())
    }

    async fn drop_included(&self, _: &Watermark) -> Result<u64, Error> {
        Err(Self::error())
    }

    async fn trim(&self, _: &Watermark) -> Result<u64, Error> {
        Err(Self::error())
    }

    async fn trimmed(&self) -> Result<Watermark, Error> {
        Err(Self::error())
    }
}

#[test]
fn failing_store_refuses_writes_and_degrades_answers() {
    let running = with_store(Broken);
    for (method, target, body) in [
        ("PUT", "/v1/users/6/ratings/4", "{\"stars\":4}"),
        ("DELETE", "/v1/users/6", ""),
        ("POST", "/v1/users", "{}"),
        ("POST", "/v1/users/6/ratings", "{\"ratings\":[{\"movieId\":4,\"stars\":4}]}"),
    ] {
        let answer = send(&running, method, target, "", body);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{target}");
        answer.problem();
    }
    let body = "{\"ratings\":[{\"movieId\":4,\"stars\":4}]}";
    let batch = send(&running, "POST", "/v1/users/6/ratings", "", body).problem();
    assert_eq!(batch["items"][0]["status"], 503);
    let without = Running::start(patient());
    let target = "/v1/users/6/recommendations?size=5";
    let answer = running.json(target);
    assert_eq!(
        (&answer["degraded"], &answer["reason"]),
        (&json!(true), &json!("live-unavailable"))
    );
    assert_eq!(answer["items"], without.json(target)["items"]);
    assert_eq!(running.get("/v1/users/6").status, 503);
    assert_eq!(running.json("/v1/users/6/home")["rows"][0]["degraded"], true);
}

#[test]
fn readiness_names_where_live_data_are() {
    let expected = json!({"kind": "memory", "durability": "memory", "lostAtRestart": true});
    assert_eq!(server().json("/readyz")["live"], expected);
    let admin = server().admin().json("/readyz");
    assert_eq!(admin["live"]["address"], "memory");
}

#[test]
fn answers_have_ids_to_which_events_refer() {
    let running = server();
    let id_of = |target: &str| {
        let body: Value = serde_json::from_slice(&running.get(target).body).unwrap();
        body["recommendationId"].as_str().unwrap().to_owned()
    };
    let original = || {
        let answer = running.get("/getrecforyou?id=6");
        answer.header("x-sparrow-recommendation-id").unwrap().to_owned()
    };
    let target = "/v1/users/6/recommendations";
    let mut all =
        vec![id_of(target), id_of(target), id_of("/v1/users/6/home"), original(), original()];
    let click = json!({
        "type": "click", "userId": 6, "movieId": 4, "recommendationId": all[0], "session": "s",
    });
    event(&running, &click);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5, "{all:?}");
}
