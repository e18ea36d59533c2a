//! Invalid requests: the status, and a helpful problem document.

use std::time::Duration;

use serde_json::{Value, json};
use sparrow_http::Options;

use crate::support::{Running, patient};

#[test]
fn problem_names_the_invalid_parameter() {
    const INVALID: &str = "invalid-parameter";
    let running = Running::start(patient());
    let long = format!("/v1/search?q={}", "a".repeat(201));
    for (target, kind, parameter) in [
        // Missing.
        ("/getmovie", "missing-parameter", "id"),
        ("/getuser?", "missing-parameter", "id"),
        ("/getsimilarmovie?size=5", "missing-parameter", "movieId"),
        ("/getrecommendation", "missing-parameter", "genre"),
        ("/getrecforyou?size=5", "missing-parameter", "id"),
        ("/v1/search", "missing-parameter", "q"),
        // Not a number, negative, too large, spelt in another way.
        ("/getmovie?id=", INVALID, "id"),
        ("/getmovie?id=one", INVALID, "id"),
        ("/getmovie?id=-1", INVALID, "id"),
        ("/getmovie?id=1.0", INVALID, "id"),
        ("/getmovie?id=01", INVALID, "id"),
        ("/getmovie?id=%2B1", INVALID, "id"),
        ("/getmovie?id=4294967296", INVALID, "id"),
        ("/getuser?id=99999999999999999999999999", INVALID, "id"),
        ("/v1/movies/abc", INVALID, "id"),
        ("/v1/movies/-1", INVALID, "id"),
        ("/v1/movies/%31", INVALID, "id"),
        ("/v1/users/1e3", INVALID, "id"),
        ("/v1/users/4294967296/recommendations", INVALID, "id"),
        ("/v1/movies/x/similar", INVALID, "id"),
        // Out of range.
        ("/getrecforyou?id=1&size=0", INVALID, "size"),
        ("/getrecforyou?id=1&size=1001", INVALID, "size"),
        ("/getrecommendation?genre=Drama&size=-5", INVALID, "size"),
        ("/v1/movies?size=many", INVALID, "size"),
        ("/v1/movies?offset=-1", INVALID, "offset"),
        ("/v1/users/1?size=0", INVALID, "size"),
        // Checked before the user is looked up.
        ("/v1/users/999?size=0", INVALID, "size"),
        // Not one of the words.
        ("/v1/movies?sort=Rating", INVALID, "sort"),
        ("/v1/movies?genre=drama", INVALID, "genre"),
        ("/v1/movies?genre=", INVALID, "genre"),
        ("/v1/users?sort=name", INVALID, "sort"),
        ("/getrecommendation?genre=Nothing", INVALID, "genre"),
        ("/getrecommendation?genre=Drama&sortby=popularity", INVALID, "sortby"),
        ("/getrecforyou?id=1&model=best", INVALID, "model"),
        ("/getrecforyou?id=1&model=", INVALID, "model"),
        ("/getsimilarmovie?movieId=1&model=popularity", INVALID, "model"),
        ("/v1/movies/1/similar?model=x", INVALID, "model"),
        ("/v1/users/1/recommendations?explain=yes", INVALID, "explain"),
        ("/v1/users/1/recommendations?candidates=some", INVALID, "candidates"),
        ("/v1/users/1/recommendations?exclude_seen=", INVALID, "exclude_seen"),
        ("/v1/users/1/recommendations?genres=", INVALID, "genres"),
        ("/v1/users/1/recommendations?genres=Drama,", INVALID, "genres"),
        ("/v1/users/1/recommendations?genres=Drama,,Comedy", INVALID, "genres"),
        ("/v1/users/1/recommendations?genres=Drama,drama", INVALID, "genres"),
        ("/v1/search?q=", INVALID, "q"),
        ("/v1/search?q=+%20", INVALID, "q"),
        ("/v1/search?q=%00%C2%A0", INVALID, "q"),
        (&long, INVALID, "q"),
        // Invalid percent-encoding.
        ("/v1/search?q=%zz", INVALID, "q"),
        ("/v1/search?q=%e4", INVALID, "q"),
        ("/v1/search?q=100%", INVALID, "q"),
        ("/getmovie?id=%", INVALID, "id"),
        // Repeated.
        ("/getmovie?id=1&id=1", "repeated-parameter", "id"),
        ("/v1/movies?size=1&offset=1&siz%65=2", "repeated-parameter", "size"),
        // Parameters of another endpoint, or of none.
        ("/v1/movies/1?size=3", "unknown-parameter", "size"),
        ("/v1/genres?x", "unknown-parameter", "x"),
        ("/v1/models?x=1", "unknown-parameter", "x"),
        ("/v1/users/1/recommendations?id=1&limit=3", "unknown-parameter", "id"),
        // Repeated, or with an invalid value.
        ("/v1/users/1/recommendations?genres=Drama&genres=drama", INVALID, "genres"),
        ("/v1/users/1/recommendations?size=1&size=1", "repeated-parameter", "size"),
    ] {
        let answer = running.get(target);
        assert_eq!(answer.status, 400, "{target}");
        let problem = answer.problem();
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{target}");
        assert_eq!(problem["parameter"], parameter, "{target}");
        assert!(problem["detail"].as_str().unwrap().contains(parameter), "{problem}");
    }
    let unreadable_name = running.get("/v1/movies?%zz=1");
    assert_eq!(unreadable_name.status, 400);
    assert_eq!(unreadable_name.problem()["type"], "/problems/malformed-request");
}

#[test]
fn problem_lists_allowed_values_and_the_nearest() {
    let running = Running::start(patient());
    for (target, allowed, nearest) in [
        ("/v1/search?q=a&szie=3", json!(["q", "size", "offset"]), json!("size")),
        (
            "/v1/movies?sort=raiting",
            json!(["rating", "releaseYear", "popularity"]),
            json!("rating"),
        ),
        (
            "/v1/movies?genre=drama",
            json!(["Comedy", "Drama", "Film-Noir", "Sci-Fi", "Über & Out"]),
            json!("Drama"),
        ),
        (
            "/getrecforyou?id=1&model=neuralfc",
            json!(["emb", "popularity", "neuralcf"]),
            json!("neuralcf"),
        ),
        ("/v1/movies/1/similar?model=zzz", json!(["emb", "genre"]), Value::Null),
        ("/v1/users/1/recommendations?explain=1", json!(["true", "false"]), Value::Null),
    ] {
        let problem = running.get(target).problem();
        assert_eq!(problem["allowed"], allowed, "{target}");
        assert_eq!(problem["nearest"], nearest, "{target}");
    }
    let detail = running.get("/v1/movies?size=abc").problem()["detail"].clone();
    assert_eq!(detail, "size must be a whole number from 1 to 1000, got \"abc\"");
}

#[test]
fn missing_paths_and_ids_return_404() {
    let running = Running::start(patient());
    for target in [
        "/getmovie?id=2",
        "/getuser?id=999",
        "/getsimilarmovie?movieId=4294967295",
        "/v1/movies/2",
        "/v1/movies/2/similar",
        "/v1/users/999",
        "/posters/1.jpg",
        "/v1",
        "/v1/",
        "/v1/movies/",
        "/v1/movie",
        "/v1/users/1/rating",
        "/getmovies",
        "/GETMOVIE",
        "/movies/",
        "/users/abc",
        "/movies/1/2",
        "/assets/",
        "/assets/none.js",
        "/assets/../home.html",
        "/assets/%2e%2e/home.html",
        "/assets/..%2fhome.html",
        "/home.html",
        "/posters/../1.jpg",
        "//",
        "/favicon.ico",
    ] {
        let answer = running.get(target);
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.problem()["type"], "/problems/not-found", "{target}");
    }
    let slash = running.get("/v1/movies/").problem();
    assert!(slash["detail"].as_str().unwrap().contains("without a slash"), "{slash}");
    // Unknown users get recommendations.
    assert_eq!(running.get("/getrecforyou?id=999").status, 200);
    assert_eq!(running.get("/v1/users/999/recommendations").status, 200);
}

#[test]
fn methods_other_than_get_and_head_return_405() {
    let running = Running::start(patient());
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW"] {
        for target in ["/getrecforyou?id=1", "/v1/movies/1", "/", "/assets/site.css", "/healthz"] {
            let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n\r\n");
            let answer = running.send(request.as_bytes());
            assert_eq!(answer.status, 405, "{method} {target}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"));
            assert_eq!(answer.problem()["type"], "/problems/method-not-allowed");
        }
    }
    assert_eq!(running.send(b"OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n").status, 405);
    assert_eq!(running.send(b"CONNECT a:1 HTTP/1.1\r\nHost: test\r\n\r\n").status, 405);
    assert_eq!(running.send(b"POST /nothing HTTP/1.1\r\nHost: test\r\n\r\n").status, 404);
}

#[test]
fn request_with_a_body_is_refused_and_the_connection_closed() {
    let running = Running::start(patient());
    let mut large =
        b"GET /v1/genres HTTP/1.1\r\nHost: test\r\nContent-Length: 500000\r\n\r\n".to_vec();
    large.resize(large.len() + 500_000, b'x');
    for (request, status) in [
        (&b"GET /v1/genres HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello"[..], 413),
        (b"GET /v1/genres HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 413),
        // Announced but not sent.
        (b"GET /v1/genres HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", 413),
        (b"POST /v1/genres HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", 405),
        (b"POST /nothing HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", 404),
        (&large, 413),
    ] {
        let mut client = running.connect();
        client.write(request);
        let answer = client.answer();
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&request[..90.min(request.len())]));
        assert_eq!(answer.header("connection"), Some("close"));
        answer.problem();
        client.end();
    }
    let none = b"GET /v1/genres HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(running.send(none).status, 200);
}

#[test]
fn empty_chunked_body_is_accepted() {
    let running = Running::start(patient());
    let mut client = running.connect();
    let head = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n")
    };
    for target in ["/v1/genres", "/getmovie?id=1", "/", "/healthz", "/assets/site.css"] {
        for end in ["0\r\n\r\n", "0\r\nTrailer: x\r\n\r\n", "0;extension\r\n\r\n"] {
            // The end may arrive later, and the connection is kept.
            client.write(head(target).as_bytes());
            client.write(end.as_bytes());
            assert_eq!(client.answer().status, 200, "{target}");
        }
    }
    assert_eq!(client.get("/healthz").status, 200);

    for (rest, status) in
        [("1\r\nx\r\n0\r\n\r\n", 413), ("zzz\r\n\r\n", 400), ("0\r\nx\r\n\r\n", 400)]
    {
        let mut client = running.connect();
        client.write((head("/v1/genres") + rest).as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, status, "{rest:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{rest:?}");
        answer.problem();
    }
}

#[test]
fn endless_chunked_body_times_out() {
    let options = Options { header_timeout: Duration::from_millis(200), ..patient() };
    let running = Running::start(options);
    let mut client = running.connect();
    client.write(b"GET /v1/genres HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    answer.problem();
    client.end();
}

#[test]
fn endpoints_outside_v1_ignore_unknown_parameters() {
    let running = Running::start(patient());
    for target in [
        "/getmovie?id=1&_=1700000000000",
        "/getuser?id=1&callback=f&callback=g",
        "/getsimilarmovie?movieId=1&size=5&%zz=%",
        "/getrecommendation?genre=Drama&limit=3",
        "/getrecforyou?id=1&utm_source=x",
        "/healthz?t=1",
        "/readyz?t=1&t=2",
        "/openapi.json?v=1",
        "/assets/site.css?v=2",
    ] {
        assert_eq!(running.get(target).status, 200, "{target}");
    }
    assert_eq!(running.json("/getmovie?id=1&_=1"), running.json("/getmovie?id=1"));
}

#[test]
fn refused_body_does_not_reset_the_connection() {
    let running = Running::start(patient());
    let mut client = running.connect();
    client.write(b"GET /v1/genres HTTP/1.1\r\nHost: test\r\nContent-Length: 200000\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    client.end();
    // A server that had closed the connection for reading, too, would reset it now, and a client that
    // sends everything before it reads would lose its answer.
    for _ in 0..20 {
        client.write(&[b'x'; 10_000]);
    }
}

#[test]
fn long_urls_return_414_and_large_headers_431() {
    let running = Running::start(patient());
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").into_bytes()
    };
    let target = |len: usize| format!("/v1/search?q={}", "a".repeat(len - 13));
    let many = "X: 1\r\n".repeat(120);
    let wide = |len: usize| format!("X: {}\r\n", "a".repeat(len));
    for (request, status) in [
        // Refused by this server.
        (get(&target(8 << 10), ""), 400),
        (get(&target((8 << 10) + 1), ""), 414),
        (get(&target(60_000), ""), 414),
        (get("/healthz", &wide(15_000)), 200),
        (get("/healthz", &wide(17_000)), 431),
        (get("/healthz", &wide(9_000).repeat(2)), 431),
        // Refused by hyper.
        (get(&target(70_000), ""), 414),
        (get(&target(300_000), ""), 414),
        (get("/healthz", &wide(300_000)), 431),
        (get("/healthz", &many), 431),
    ] {
        let mut client = running.connect();
        client.write(&request);
        let answer = client.answer();
        let shown = String::from_utf8_lossy(&request[..50]).into_owned();
        assert_eq!(answer.status, status, "{} bytes of {shown}", request.len());
        if status != 200 {
            answer.problem();
        }
        if answer.header("connection") == Some("close") {
            client.end();
        }
    }
}

#[test]
fn unparsable_requests_get_problem_documents() {
    let running = Running::start(patient());
    for (request, status) in [
        (&b"GET\r\n\r\n"[..], 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nBad Header: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nNo colon\r\n\r\n", 400),
        (b"GET /healthz HTTP/9.9\r\nHost: test\r\n\r\n", 400),
        (b"G@T /healthz HTTP/1.1\r\nHost: test\r\n\r\n", 400),
        (b"GET /healthz\x01 HTTP/1.1\r\nHost: test\r\n\r\n", 400),
        (b"GET nowhere HTTP/1.1\r\nHost: test\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: test\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: test\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        // Line ends without a carriage return: proxies may parse them differently.
        (b"GET /healthz HTTP/1.1\nHost: test\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: test\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: test\r\n\n", 400),
        (b"GET /healthz HTTP/1.1\nHost: test\n\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        // Well-formed, but without exactly one host.
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ] {
        let answer = running.send(request);
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(request));
        answer.problem();
    }
    let absolute = b"GET http://test/healthz HTTP/1.1\r\nHost: test\r\n\r\n";
    assert_eq!(running.send(absolute).status, 200);
    // After an answer, and in the same packet.
    let mut client = running.connect();
    client.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\nrubbish\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let refused = client.answer();
    assert_eq!(refused.status, 400);
    refused.problem();
    client.end();
}

#[test]
fn problem_documents_shorten_client_input() {
    let running = Running::start(patient());
    let answer = running.get(&format!("/v1/movies?genre={}", "%3Cb%3E".repeat(500)));
    assert_eq!(answer.status, 400);
    assert!(answer.body.len() < 1000);
    answer.problem();
}
