//! `/status` on the admin port.

use sparrow_http::{Hosts, Options};

use crate::support::{Running, patient};

#[test]
fn status_has_the_requests_routes_and_models_since_the_admin_port_opened() {
    let running = Running::start(patient());
    let admin = running.admin();
    // The basis of the differences is the state when the port is opened.
    assert_eq!(admin.get("/healthz").status, 200);
    for target in ["/v1/movies/1", "/v1/movies/4", "/v1/movies/x", "/nothing"] {
        running.get(target);
    }
    running.get("/v1/users/1/recommendations?model=neuralcf");
    let status = admin.json("/status.json");
    let movie = |status: &serde_json::Value| {
        let routes = status["routes"].as_array().unwrap();
        routes.iter().find(|route| route["route"] == "/v1/movies/{id}").cloned().unwrap()
    };
    let movies = movie(&status);
    assert_eq!((&movies["count"], &movies["clientErrors"]), (&3.into(), &1.into()));
    assert_eq!(movies["serverErrors"], 0);
    let [p50, p95, p99] = ["p50", "p95", "p99"].map(|name| movies[name].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p95 && p95 <= p99 && p99 < 10.0, "{movies}");
    let models = status["models"].as_array().unwrap();
    let model = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
    assert_eq!((&model("emb")["answered"], &model("emb")["asFallback"]), (&1.into(), &1.into()));
    assert_eq!(
        (&model("neuralcf")["state"], &model("neuralcf")["failed"]),
        (&"unavailable".into(), &1.into())
    );
    assert_eq!((&status["state"], &status["metrics"]), (&"ready".into(), &true.into()));
    let points = status["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|point| point["fallbacks"].as_u64().unwrap()).sum::<u64>(), 1);
    // The time since the last sample is part of it.
    running.get("/v1/movies/1");
    assert_eq!(movie(&admin.json("/status.json"))["count"], 4);
}

#[test]
fn page_and_its_files_are_on_the_admin_port_alone() {
    let running = Running::start(patient());
    let admin = running.admin();
    running.get("/v1/movies/1");
    let page = admin.get("/status");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().contains("data-model=\"emb\"") && page.text().contains("<svg"));
    for file in ["/assets/site.css", "/assets/status.css", "/assets/status.js"] {
        assert!(page.text().contains(file), "{file}");
        assert_eq!(admin.get(file).status, 200, "{file}");
    }
    assert_eq!(admin.get("/").status, 404);
    for target in ["/status", "/status.json"] {
        assert_eq!(running.get(target).status, 404, "{target}");
    }
    let posted =
        admin.send(b"POST /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(posted.status, 405);
}

#[test]
fn status_is_for_operators() {
    let running = Running::start(Options { hosts: Hosts::loopback(), ..patient() });
    let beyond = running.admin_on("0.0.0.0:0");
    for target in ["/status", "/status.json"] {
        let rebound =
            format!("GET {target} HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n");
        assert_eq!(running.admin().send(rebound.as_bytes()).status, 403, "{target}");
        assert_eq!(beyond.get(target).status, 403, "{target}");
    }
}

#[test]
fn status_is_shown_without_data_and_without_metrics() {
    let running = Running::unpublished(Options { metrics: false, ..patient() });
    let admin = running.admin();
    let page = admin.get("/status");
    assert_eq!(page.status, 200);
    assert!(page.text().contains("Loading") && page.text().contains("Metrics are off"));
    assert_eq!(admin.get("/assets/status.css").status, 200);
    assert_eq!(admin.json("/status.json")["state"], "loading");
}
