//! Ids of requests, and the access log.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use sparrow_http::{
    AccessLines, AccessLog, AddressHeader, LoggedUsers, Operations, Options, TrustedProxies,
};

use crate::support::{Running, patient};

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<Value>>);

impl AccessLines for Lines {
    fn write(&self, line: Vec<u8>) {
        assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(line.len() - 1));
        self.0.lock().unwrap().push(serde_json::from_slice(&line).unwrap());
    }
}

#[test]
fn answers_have_the_id_of_the_client_or_a_new_one() {
    let running = Running::start(patient());
    let answer = running.get_with("/v1/movies/1", "X-Request-Id: trace-7\r\n");
    assert_eq!(answer.header("x-request-id"), Some("trace-7"));
    let ids: Vec<String> = ["/v1/movies/1", "/v1/movies/1", "/nothing", "/v1/movies/x", "/"]
        .into_iter()
        .map(|target| running.get(target).header("x-request-id").unwrap().to_owned())
        .collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!id.is_empty() && !ids[..index].contains(id), "{ids:?}");
    }
    let replaced = running.get_with("/v1/movies/x", "X-Request-Id: a b\r\n");
    let problem: Value = serde_json::from_slice(&replaced.body).unwrap();
    assert_eq!(problem["requestId"].as_str(), replaced.header("x-request-id"));
    assert_ne!(problem["requestId"], "a b");
}

#[test]
fn access_log_has_a_line_for_each_request() {
    let proxies = TrustedProxies::new(["127.0.0.1"], AddressHeader::default()).unwrap();
    let running = Running::start(Options { proxies, ..patient() });
    let lines = Arc::<Lines>::default();
    let sink = Arc::clone(&lines) as Arc<dyn AccessLines>;
    let access_log =
        AccessLog { sample: 1.0, users: LoggedUsers::Plain, addresses: true, lines: sink };
    running.server.operate(Operations { access_log: Some(access_log), ..Operations::default() });
    let id = "X-Request-Id: one\r\nX-Forwarded-For: 203.0.113.9, 192.0.2.1\r\n";
    running.get_with("/v1/users/1/recommendations?model=neuralcf", id);
    running.get("/v1/movies/x");
    running.get("/nothing");
    let logged = lines.0.lock().unwrap();
    let [ranked, problem, nothing] = &logged[..] else { panic!("{logged:?}") };
    for (field, value) in [
        ("requestId", "one"),
        ("address", "192.0.2.1"),
        ("method", "GET"),
        ("route", "/v1/users/{id}/recommendations"),
        ("model", "emb"),
        ("reason", "model-unavailable"),
        ("user", "1"),
    ] {
        assert_eq!(ranked[field], value, "{ranked}");
    }
    assert_eq!((&ranked["status"], &ranked["degraded"]), (&200.into(), &true.into()));
    assert!(ranked["micros"].as_u64().is_some_and(|micros| micros > 0));
    assert_eq!(problem["address"], "127.0.0.1");
    assert_eq!((&problem["status"], &problem["route"]), (&400.into(), &"/v1/movies/{id}".into()));
    assert_eq!((&nothing["status"], nothing.get("route")), (&404.into(), None));
}
