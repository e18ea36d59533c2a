//! Web pages of other origins.

use sparrow_http::{Cors, Options};

use crate::support::{Answer, Running, patient};

const OPEN: [&str; 3] =
    ["/getmovie?id=1", "/getsimilarmovie?movieId=1", "/getrecommendation?genre=Drama"];
const LISTED: [&str; 6] = [
    "/getuser?id=1",
    "/getrecforyou?id=1",
    "/v1/users/1",
    "/v1/movies",
    "/v1/search?q=lantern",
    "/v1/nothing",
];
const NEVER: [&str; 5] = ["/", "/users/1", "/healthz", "/openapi.json", "/assets/site.css"];

fn server(origins: &[&str]) -> Running {
    Running::start(Options { cors: Cors::new(origins.iter().copied()).unwrap(), ..patient() })
}

fn get(running: &Running, target: &str, origin: &str) -> Answer {
    running.get_with(target, &format!("Origin: {origin}\r\n"))
}

fn preflight(running: &Running, target: &str, origin: &str) -> Answer {
    let request = format!(
        "OPTIONS {target} HTTP/1.1\r\nHost: test\r\nOrigin: {origin}\r\n\
         Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-requested-with\r\n\r\n"
    );
    running.send(request.as_bytes())
}

const ALLOWED: &str = "access-control-allow-origin";

fn varies_by_origin(answer: &Answer) -> bool {
    answer.header("vary").is_some_and(|headers| headers.split(", ").any(|name| name == "origin"))
}

#[test]
fn every_origin_may_read_sparrowrecsys_movies() {
    let running = server(&[]);
    for target in OPEN {
        assert_eq!(running.get(target).header(ALLOWED), Some("*"), "{target}");
        assert_eq!(get(&running, target, "https://any.example").header(ALLOWED), Some("*"));
        let answer = preflight(&running, target, "https://any.example");
        assert_eq!((answer.status, answer.header(ALLOWED)), (204, Some("*")), "{target}");
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD"));
        assert_eq!(answer.header("access-control-allow-headers"), Some("*, authorization"));
    }
    // Also problems, so that a page can show them.
    let problem = get(&running, "/getmovie?id=x", "https://any.example");
    assert_eq!((problem.status, problem.header(ALLOWED)), (400, Some("*")));
}

#[test]
fn other_endpoints_are_closed_by_default() {
    let running = server(&[]);
    for target in LISTED.into_iter().chain(NEVER) {
        let answer = get(&running, target, "https://any.example");
        assert_eq!(answer.header(ALLOWED), None, "{target}");
        assert!(!varies_by_origin(&answer), "{target}");
        let answer = preflight(&running, target, "https://any.example");
        assert!([404, 405].contains(&answer.status), "{target}: {}", answer.status);
        assert_eq!(answer.header(ALLOWED), None, "{target}");
    }
}

#[test]
fn listed_origins_may_read_v1_and_users() {
    let running = server(&["https://movies.example", "http://localhost:8000"]);
    for target in LISTED {
        for origin in ["https://movies.example", "http://localhost:8000"] {
            let answer = get(&running, target, origin);
            assert_eq!(answer.header(ALLOWED), Some(origin), "{target}");
            assert!(varies_by_origin(&answer), "{target}");
            let exposed = answer.header("access-control-expose-headers").unwrap();
            assert!(exposed.contains("x-sparrow-model"), "{exposed}");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
        for origin in ["https://movies.example.org", "http://movies.example", "null"] {
            let answer = get(&running, target, origin);
            assert_eq!((answer.header(ALLOWED), varies_by_origin(&answer)), (None, true));
        }
        // Caches must not reuse an answer for another origin.
        assert!(varies_by_origin(&running.get(target)), "{target}");
    }
    for target in &LISTED[..5] {
        let answer = preflight(&running, target, "https://movies.example");
        assert_eq!(answer.status, 204, "{target}");
        assert_eq!(answer.header(ALLOWED), Some("https://movies.example"));
        assert_eq!(preflight(&running, target, "https://other.example").status, 405);
    }
    for target in NEVER {
        assert_eq!(get(&running, target, "https://movies.example").header(ALLOWED), None);
    }
}

#[test]
fn star_allows_every_origin() {
    let running = server(&["*"]);
    for target in LISTED {
        assert_eq!(get(&running, target, "https://any.example").header(ALLOWED), Some("*"));
    }
    assert_eq!(preflight(&running, LISTED[0], "https://any.example").status, 204);
}

#[test]
fn origins_may_read_the_answer_while_the_server_loads() {
    let running = Running::unpublished(patient());
    let answer = get(&running, "/getmovie?id=1", "https://any.example");
    assert_eq!((answer.status, answer.header(ALLOWED)), (503, Some("*")));
}
