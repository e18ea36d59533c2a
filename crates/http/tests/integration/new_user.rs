//! Recommendations for the ratings in a request.

use std::time::Duration;

use serde_json::{Value, json};
use sparrow_http::Options;

use crate::support::{Answer, Running, patient};

fn request(target: &str, content_type: &str, body: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: test\r\n{content_type}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "Content-Type: application/json\r\n";

fn post(running: &Running, query: &str, body: &Value) -> Answer {
    let target = format!("/v1/recommendations{query}");
    running.send(request(&target, JSON, &body.to_string()).as_bytes())
}

fn ids(answer: &Answer) -> Vec<u64> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let items = answer.json()["items"].as_array().unwrap().clone();
    items.iter().map(|item| item["movie"]["movieId"].as_u64().unwrap()).collect()
}

#[test]
fn ratings_in_the_request_personalise_the_answer() {
    let running = Running::start(patient());
    let liked = |movie: u64| json!({"ratings": [{"movieId": movie, "stars": 5}]});
    let answer = post(&running, "?size=5&explain=true", &liked(301));
    let (found, document) = (ids(&answer), answer.json());
    assert_eq!(found.len(), 5);
    assert!(!found.contains(&301));
    assert_eq!((&document["model"], &document["degraded"]), (&json!("emb"), &json!(false)));
    assert_eq!(document["unknownMovies"], json!([]));
    assert!(document.get("userId").is_none());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-sparrow-model"), Some("emb"));
    // The vector of one movie: its nearest ones come first.
    let similar =
        running.json("/v1/movies/301/similar?size=1")["items"][0]["movie"]["movieId"].clone();
    assert_eq!(similar, found[0]);
    assert_ne!(found, ids(&post(&running, "?size=5", &liked(904))));
    // The user with the greatest id does not exist, and no user has the ratings of the request.
    assert_eq!(running.get("/v1/users/4294967295").status, 404);
}

#[test]
fn options_are_parameters_or_fields() {
    let running = Running::start(patient());
    let ratings = json!([{"movieId": 301, "stars": 4.5, "timestamp": 964_982_703}]);
    let query =
        "?size=7&genres=Drama&exclude=4,7&min_year=1950&model=popularity&exclude_seen=false";
    let by_query = post(&running, query, &json!({ "ratings": ratings }));
    let body = json!({
        "ratings": ratings, "size": 7.0, "exclude_genres": [], "genres": ["Drama"], "exclude": [4, 7], "min_year": 1950,
        "model": "popularity", "exclude_seen": false,
    });
    let by_body = post(&running, "", &body);
    assert_eq!(by_query.json(), by_body.json());
    assert_eq!(ids(&by_body).len(), 7);
    // A field takes precedence, and the parameter must be valid all the same.
    assert_eq!(ids(&post(&running, "?size=7", &json!({"ratings": [], "size": 8}))).len(), 8);
    for (query, parameter) in [("?size=0", "size"), ("?model=embb", "model")] {
        let body = json!({"ratings": [], "size": 8, "model": "emb"});
        let answer = post(&running, query, &body);
        assert_eq!((answer.status, &answer.problem()["parameter"]), (400, &json!(parameter)));
    }
}

#[test]
fn the_reason_names_what_a_model_lacks() {
    let running = Running::start(patient());
    for (ratings, model, reason) in [
        (json!([]), "popularity", "unknown-user"),
        (json!([{"movieId": 2, "stars": 5}]), "popularity", "unknown-user"),
        // Without a liked movie, and with one without a vector.
        (json!([{"movieId": 1, "stars": 0.5}]), "popularity", "no-user-embedding"),
        (json!([{"movieId": 3598, "stars": 5}]), "popularity", "no-user-embedding"),
    ] {
        let answer = post(&running, "", &json!({ "ratings": ratings }));
        assert_eq!(ids(&answer).len(), 32);
        let document = answer.json();
        assert_eq!((&document["model"], &document["reason"]), (&json!(model), &json!(reason)));
        assert_eq!(document["degraded"], true);
    }
    let answer = post(&running, "", &json!({"ratings": [{"movieId": 2, "stars": 1}]}));
    assert_eq!(answer.json()["unknownMovies"], json!([2]));
}

#[test]
fn the_newest_rating_of_a_movie_counts() {
    let running = Running::start(patient());
    let rated = |first: Value, second: Value| {
        let answer = post(&running, "", &json!({"ratings": [first, second]}));
        answer.json()["model"].clone()
    };
    let (low, high) = (json!({"movieId": 1, "stars": 1}), json!({"movieId": 1, "stars": 5}));
    assert_eq!(rated(low.clone(), high.clone()), "emb");
    assert_eq!(rated(high.clone(), low.clone()), "popularity");
    let old = json!({"movieId": 1, "stars": 1, "timestamp": 5});
    assert_eq!(rated(high.clone(), old.clone()), "emb");
    assert_eq!(rated(json!({"movieId": 1, "stars": 5, "timestamp": 4}), old), "popularity");
}

#[test]
fn problems_name_item_and_field() {
    let running = Running::start(patient());
    let good = json!({"movieId": 1, "stars": 5});
    for (body, parameter) in [
        (json!({}), "ratings"),
        (json!({"ratings": 5}), "ratings"),
        (json!({"ratings": [good, 7]}), "ratings[1]"),
        (json!({"ratings": [good, {"stars": 5}]}), "ratings[1].movieId"),
        (json!({"ratings": [good, {"movieId": -1, "stars": 5}]}), "ratings[1].movieId"),
        (json!({"ratings": [good, {"movieId": "1", "stars": 5}]}), "ratings[1].movieId"),
        (
            json!({"ratings": [good, {"movieId": 4_294_967_296_u64, "stars": 5}]}),
            "ratings[1].movieId",
        ),
        (json!({"ratings": [{"movieId": 1}]}), "ratings[0].stars"),
        (json!({"ratings": [{"movieId": 1, "stars": 4.7}]}), "ratings[0].stars"),
        (json!({"ratings": [{"movieId": 1, "stars": 0}]}), "ratings[0].stars"),
        (json!({"ratings": [{"movieId": 1, "stars": 5.5}]}), "ratings[0].stars"),
        (
            json!({"ratings": [{"movieId": 1, "stars": 5, "timestamp": 1.5}]}),
            "ratings[0].timestamp",
        ),
        (json!({"ratings": [{"movieId": 1, "stars": 5, "star": 1}]}), "ratings[0].star"),
        (json!({"ratings": [], "size": "5"}), "size"),
        (json!({"ratings": [], "size": 5.5}), "size"),
        (json!({"ratings": [], "genres": "Drama"}), "genres"),
        (json!({"ratings": [], "genres": ["Dramma"]}), "genres"),
        (json!({"ratings": [], "exclude": ["1"]}), "exclude"),
        (json!({"ratings": [], "explain": 1}), "explain"),
        (json!({"ratings": [], "sise": 5}), "sise"),
    ] {
        let answer = post(&running, "", &body);
        assert_eq!(answer.status, 400, "{body}");
        let problem = answer.problem();
        assert_eq!(problem["parameter"], parameter, "{problem}");
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{problem}");
    }
    let problem = post(&running, "", &json!({"ratings": [], "sise": 5})).problem();
    assert_eq!(problem["nearest"], "size");
    for body in ["", "{", "[]", "5", "{\"ratings\": []} x", "\u{feff}{}", "{\"ratings\": [\u{1}]}"]
    {
        let answer = running.send(request("/v1/recommendations", JSON, body).as_bytes());
        assert_eq!(
            (answer.status, &answer.problem()["type"]),
            (400, &json!("/problems/invalid-body"))
        );
    }
}

#[test]
fn other_types_and_encodings_return_415() {
    let running = Running::start(patient());
    let body = r#"{"ratings": []}"#;
    for headers in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/jsonp\r\n",
        "Content-Type: application/json; charset=latin1\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        let answer = running.send(request("/v1/recommendations", headers, body).as_bytes());
        assert_eq!(answer.status, 415, "{headers}");
        assert_eq!(answer.header("connection"), Some("close"));
        answer.problem();
    }
    for content_type in ["application/json; charset=UTF-8", "Application/JSON"] {
        let headers = format!("Content-Type: {content_type}\r\n");
        let answer = running.send(request("/v1/recommendations", &headers, body).as_bytes());
        assert_eq!(answer.status, 200, "{content_type}");
    }
}

#[test]
fn a_body_of_more_than_a_mebibyte_returns_413() {
    let running = Running::start(patient());
    let padded = |bytes: usize| format!("{{\"ratings\": []{}}}", " ".repeat(bytes - 15));
    let fits = running.send(request("/v1/recommendations", JSON, &padded(1 << 20)).as_bytes());
    assert_eq!(fits.status, 200, "{}", fits.text());
    // Announced, but not sent.
    let head = format!(
        "POST /v1/recommendations HTTP/1.1\r\nHost: test\r\n{JSON}Content-Length: {}\r\n\r\n",
        (1 << 20) + 1
    );
    let mut client = running.connect();
    client.write(head.as_bytes());
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    assert_eq!(answer.problem()["type"], "/problems/body-too-large");
    client.end();
    // In chunks, without an announcement.
    let mut client = running.connect();
    let head = format!(
        "POST /v1/recommendations HTTP/1.1\r\nHost: test\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
    );
    client.write(head.as_bytes());
    for _ in 0..17 {
        client.write(format!("10000\r\n{}\r\n", " ".repeat(1 << 16)).as_bytes());
    }
    assert_eq!(client.answer().status, 413);
}

#[test]
fn a_body_that_does_not_arrive_returns_408() {
    let options = Options { body_timeout: Duration::from_millis(200), ..patient() };
    let running = Running::start(options);
    let mut client = running.connect();
    let request = request("/v1/recommendations", JSON, "{\"ratings\": []}");
    client.write(&request.as_bytes()[..request.len() - 1]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    answer.problem();
    client.end();
}

#[test]
fn connections_are_kept_after_a_body() {
    let running = Running::start(patient());
    let mut client = running.connect();
    // Line ends without a carriage return are whitespace in JSON. The body arrives in one read with the head and the next
    // request, in pieces, or in chunks.
    let body = "{\n\"ratings\": [\n{\"movieId\": 301,\n\"stars\": 5}]\n}\n";
    let whole = request("/v1/recommendations?size=3", JSON, body);
    client.write(format!("{whole}GET /v1/genres HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
    let first = client.answer();
    assert_eq!(ids(&first).len(), 3);
    assert_eq!(client.answer().status, 200);
    let (head, rest) = whole.split_at(whole.len() - 20);
    client.write(head.as_bytes());
    client.write(rest.as_bytes());
    assert_eq!(client.answer().json(), first.json());
    let chunks = format!(
        "POST /v1/recommendations?size=3 HTTP/1.1\r\nHost: test\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    client.write(chunks.as_bytes());
    assert_eq!(client.answer().json(), first.json());
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn only_post_is_allowed() {
    let running = Running::start(patient());
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let request = format!("{method} /v1/recommendations HTTP/1.1\r\nHost: test\r\n\r\n");
        let mut client = running.connect();
        client.write(request.as_bytes());
        let answer = client.head();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
    }
}
