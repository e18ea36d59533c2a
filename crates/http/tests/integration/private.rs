//! Hosts, caches, and the admin port.

use std::time::Duration;

use sparrow_http::{Hosts, Options};

use crate::support::{Answer, Running, patient};

fn get(running: &Running, target: &str, host: &str) -> Answer {
    running.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes())
}

#[test]
fn request_for_another_host_returns_421() {
    let running = Running::start(Options { hosts: Hosts::loopback(), ..patient() });
    for host in ["localhost:6010", "127.0.0.1", "[::1]:80", "LOCALHOST"] {
        for target in ["/getuser?id=1", "/v1/users/1", "/", "/assets/site.css"] {
            assert_eq!(get(&running, target, host).status, 200, "{host} {target}");
        }
    }
    for host in ["rebound.example", "localhost.rebound.example:6010", "10.0.0.7"] {
        for target in ["/getuser?id=1", "/v1/users/1", "/", "/nothing", "/openapi.json"] {
            let answer = get(&running, target, host);
            assert_eq!(answer.status, 421, "{host} {target}");
            let problem = answer.problem();
            assert_eq!(problem["type"], "/problems/misdirected-request");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("[server]") && detail.contains("hosts"), "{detail}");
        }
        // Load balancers use addresses.
        for target in ["/healthz", "/readyz"] {
            assert_eq!(get(&running, target, host).status, 200, "{host} {target}");
        }
    }
    let absolute = b"GET http://rebound.example/v1/users/1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(running.send(absolute).status, 421);
    // The preflight of a browser, too.
    let preflight =
        b"OPTIONS /getmovie?id=1 HTTP/1.1\r\nHost: rebound.example\r\nOrigin: http://a.example\r\n\
        Access-Control-Request-Method: GET\r\n\r\n";
    assert_eq!(running.send(preflight).status, 421);
}

#[test]
fn answers_about_users_are_not_cached() {
    let running = Running::start(patient());
    for target in [
        "/getuser?id=1",
        "/getrecforyou?id=1",
        "/v1/users",
        "/v1/users/1",
        "/v1/users/999",
        "/v1/users/1/features",
        "/v1/users/1/recommendations",
    ] {
        assert_eq!(running.get(target).header("cache-control"), Some("no-store"), "{target}");
    }
}

#[test]
fn shared_caches_may_keep_answers_about_movies_alone() {
    let targets =
        ["/getmovie?id=1", "/getsimilarmovie?movieId=1", "/v1/movies", "/v1/movies/1/similar"];
    let caching = |options: Options| {
        let running = Running::start(options);
        assert_eq!(running.get("/v1/movies/2").header("cache-control"), None);
        assert_eq!(running.get("/healthz").header("cache-control"), None);
        targets.map(|target| {
            let answer = running.get(target);
            assert_eq!(answer.status, 200, "{target}");
            answer.header("cache-control").map(str::to_owned)
        })
    };
    let expected = Some("public, max-age=0, s-maxage=10".to_owned());
    assert!(caching(patient()).iter().all(|control| *control == expected));
    let none = Options { shared_cache: Duration::from_millis(900), ..patient() };
    assert!(caching(none).iter().all(Option::is_none));
}

#[test]
fn admin_port_serves_only_health_and_models() {
    let running =
        Running::start(Options { hosts: Hosts::loopback(), max_connections: 1, ..patient() });
    let admin = running.admin();
    let mut only = running.connect();
    only.write(b"GET /v1/genres HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(only.answer().status, 200);
    for target in ["/healthz", "/readyz", "/v1/models"] {
        assert_eq!(admin.get(target).status, 200, "{target}");
    }
    for target in ["/", "/v1/users/1", "/getuser?id=1", "/openapi.json", "/nothing"] {
        assert_eq!(admin.get(target).status, 404, "{target}");
    }
    // A web page whose name was bound to this address has health alone.
    for (target, status) in [("/healthz", 200), ("/v1/models", 403), ("/debug/config", 403)] {
        let mut rebound = admin.connect();
        rebound.write(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes());
        assert_eq!(rebound.answer().status, status, "{target}");
    }
    let unpublished = Running::unpublished(patient());
    let admin = unpublished.admin();
    assert_eq!((admin.get("/healthz").status, admin.get("/readyz").status), (200, 503));
}
