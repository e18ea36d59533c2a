//! Rolling restarts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_test_support::rounds;

use crate::balancer::Balancer;
use crate::{Server, Stop, send_until, start};

const CLIENTS: usize = 8;

/// While it drains, a server is not ready and still accepts connections: much longer than the interval of health checks.
/// No ranking is refused, also if a busy machine makes them long.
const SETTINGS: [(&str, &str); 2] =
    [("SPARROW__SERVER__DRAIN_DELAY", "1s"), ("SPARROW__SERVER__WAITING_RANKINGS", "8")];

/// Paths of all kinds of answers.
fn path(number: usize) -> String {
    // The movies from 1 to 19 exist, and all these users.
    let id = number % 19 + 1;
    match number % 8 {
        0 => format!("/v1/users/{id}"),
        1 => format!("/v1/movies/{id}/similar"),
        2 => format!("/v1/users/{id}/home"),
        3 => format!("/getrecforyou?id={id}&size=32&model=emb"),
        _ => format!("/v1/users/{id}/recommendations?size=20"),
    }
}

#[test]
fn rolling_restarts_fail_no_request() {
    let _alone = crate::alone();
    let requests = rounds("requests during rolling restarts", 10_000, 100_000);
    let mut servers: Vec<Server> = (0..2).map(|_| start("", &[], &SETTINGS)).collect();
    let balancer = Balancer::start(servers.iter().map(|server| server.address()));
    let (sent, is_done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    let began = Instant::now();
    let replaced = thread::scope(|scope| {
        let _stop = Stop(&is_done);
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                send_until(&is_done, balancer.address, &failures, |client| {
                    let path = path(sent.fetch_add(1, Ordering::Relaxed));
                    match client.get(&path) {
                        Ok(answer) if answer.status == 200 && !answer.body.is_empty() => Ok(()),
                        Ok(answer) => Err(format!("{path}: {} {}", answer.status, answer.body)),
                        Err(error) => Err(format!("{path}: {error}")),
                    }
                });
            });
        }
        // Both servers at least once, and until all requests were sent.
        let mut replaced = 0;
        while replaced < 2 || sent.load(Ordering::Relaxed) < requests {
            let mut old = servers.remove(0);
            let address = old.address();
            old.stop();
            balancer.remove(address);
            let new = start("", &[], &SETTINGS);
            balancer.add(new.address());
            let end = Instant::now() + Duration::from_secs(30);
            while !balancer.is_used(new.address()) {
                assert!(Instant::now() < end, "the new server is not ready");
                thread::sleep(Duration::from_millis(5));
            }
            servers.push(new);
            replaced += 1;
        }
        replaced
    });
    let (failures, sent) = (failures.into_inner().unwrap(), sent.into_inner());
    let first = &failures[..failures.len().min(5)];
    assert!(failures.is_empty(), "{} of {sent} requests failed: {first:#?}", failures.len());
    assert_eq!(balancer.refused(), 0, "connections were refused");
    assert!(sent >= requests, "{sent}");
    let took = began.elapsed();
    eprintln!("{sent} requests in {took:?}, {replaced} servers replaced, none failed");
}
