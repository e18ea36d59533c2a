//! `/metrics` on the admin port.

use sparrow_http::{Hosts, Options};

use crate::support::{Answer, Running, patient};

/// The value of a sample; `None` without one.
fn value(metrics: &Answer, sample: &str) -> Option<f64> {
    let values = metrics.text().lines().filter_map(|line| line.strip_prefix(sample));
    values.filter_map(|rest| rest.strip_prefix(' ')).find_map(|value| value.parse().ok())
}

fn requests(metrics: &Answer, route: &str, method: &str, status: u16) -> Option<f64> {
    let route = if route.is_empty() { String::new() } else { format!("http_route=\"{route}\",") };
    value(
        metrics,
        &format!(
            "http_server_request_duration_seconds_count{{{route}http_request_method=\"{method}\",\
             http_response_status_code=\"{status}\"}}"
        ),
    )
}

#[test]
fn requests_are_counted_by_route_method_and_status() {
    let running = Running::start(patient());
    let admin = running.admin();
    for target in
        ["/v1/movies/1", "/v1/movies/4", "/v1/movies/2", "/v1/movies/x", "/nothing", "/movies/1"]
    {
        running.get(target);
    }
    let mut client = running.connect();
    client.write(b"HEAD /v1/movies/1 HTTP/1.1\r\nHost: test\r\n\r\n");
    client.head();
    drop(client);
    running.send(b"DELETE /v1/movies/1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    running.get("/v1/users/1/recommendations?model=neuralcf");
    let metrics = admin.get("/metrics");
    assert_eq!(metrics.status, 200);
    let kind = metrics.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let movie = "/v1/movies/{id}";
    for (route, method, status, count) in [
        (movie, "GET", 200, 2.0),
        (movie, "GET", 404, 1.0),
        (movie, "GET", 400, 1.0),
        (movie, "DELETE", 405, 1.0),
        ("/movies/{id}", "GET", 200, 1.0),
        ("", "GET", 404, 1.0),
    ] {
        let counted = requests(&metrics, route, method, status);
        assert_eq!(counted, Some(count), "{method} {route} {status}\n{}", metrics.text());
    }
    assert_eq!(requests(&metrics, movie, "HEAD", 200), Some(1.0));
    let buckets = metrics.text().lines().filter(|line| {
        line.starts_with("http_server_request_duration_seconds_bucket")
            && line.contains("\"/movies/{id}\"")
    });
    assert_eq!(buckets.count(), 18);
    assert_eq!(
        value(&metrics, "sparrow_recommendations_with_reason_total{reason=\"model-unavailable\"}"),
        Some(1.0)
    );
    for (sample, expected) in [
        ("sparrow_model_requests_total{model=\"neuralcf\",outcome=\"unavailable\"}", 1.0),
        ("sparrow_model_requests_total{model=\"emb\",outcome=\"answered\"}", 1.0),
        ("sparrow_model_fallback_answers_total{model=\"emb\"}", 1.0),
        ("sparrow_model_duration_seconds_count{model=\"emb\"}", 1.0),
        ("sparrow_model_state{model=\"emb\",state=\"ready\"}", 1.0),
        ("sparrow_model_state{model=\"neuralcf\",state=\"unavailable\"}", 1.0),
        ("http_server_active_requests", 1.0),
        ("sparrow_ready", 1.0),
    ] {
        assert_eq!(value(&metrics, sample), Some(expected), "{sample}");
    }
    for sample in
        ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"]
    {
        assert!(value(&metrics, sample).is_some_and(|value| value > 0.0), "{sample}");
    }
    assert!(metrics.text().contains("\nsparrow_recall_candidates_total{strategy="));
    assert!(metrics.text().ends_with("# EOF\n"));
}

#[test]
fn reasons_of_the_rows_of_a_home_page_are_counted_once_per_answer() {
    let running = Running::start(patient());
    let home = running.json("/v1/users/6/home?model=neuralcf");
    let rows = home["rows"].as_array().unwrap().iter();
    let with_reason = rows.filter(|row| row["reason"] == "model-unavailable").count();
    assert!(with_reason > 0, "{home}");
    running.json("/v1/users/6/home?model=emb");
    let sample = "sparrow_recommendations_with_reason_total{reason=\"model-unavailable\"}";
    assert_eq!(value(&running.admin().get("/metrics"), sample), Some(1.0));
}

#[test]
fn metrics_are_for_local_hosts_on_loopback_and_for_collectors_beyond() {
    let running = Running::start(Options { hosts: Hosts::loopback(), ..patient() });
    assert_eq!(running.get("/metrics").status, 404);
    let rebound = b"GET /metrics HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n";
    assert_eq!(running.admin().send(rebound).status, 403);
    let beyond = running.admin_on("0.0.0.0:0");
    assert_eq!(beyond.send(rebound).status, 200);
    assert_eq!(beyond.get("/debug/config").status, 403);
}

#[test]
fn server_without_metrics_has_none() {
    let running = Running::start(Options { metrics: false, ..patient() });
    assert_eq!(running.get("/v1/movies/1").status, 200);
    assert_eq!(running.admin().get("/metrics").status, 404);
}

#[test]
fn server_without_data_counts_and_is_not_ready() {
    let running = Running::unpublished(patient());
    assert_eq!(running.get("/v1/movies/1").status, 503);
    let metrics = running.admin().get("/metrics");
    assert_eq!(value(&metrics, "sparrow_ready"), Some(0.0));
    assert_eq!(requests(&metrics, "/v1/movies/{id}", "GET", 503), Some(1.0));
}
