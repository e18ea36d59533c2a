//! Kills of the server while it acknowledges writes.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparrow_test_support::rounds;

use crate::client::Client;
use crate::start;

const CLIENTS: usize = 8;
/// Of all clients, per kill.
const WRITES: usize = 2000;
const PATIENCE: Duration = Duration::from_mins(2);

/// Records events, each until it is acknowledged. Returns the session and the sequence of each, and the number of failures.
fn write(
    client: usize,
    count: usize,
    address: &Mutex<SocketAddr>,
    acknowledged: &AtomicUsize,
) -> (Vec<(String, String)>, usize) {
    let (mut own, mut failures) = (Vec::new(), 0);
    let mut connection: Option<Client> = None;
    for number in 0..count {
        let (session, end) = (format!("{client}-{number}"), Instant::now() + PATIENCE);
        // The movies from 1 to 19 exist.
        let event = json!({"type": "view", "userId": client + 1, "movieId": number % 19 + 1,
            "session": session, "eventId": session});
        let body = json!({"events": [event]}).to_string();
        let sequence = loop {
            let current = *address.lock().unwrap();
            let mut used = connection.take().or_else(|| Client::connect(current).ok());
            let answer = used.as_mut().and_then(|it| it.send("POST", "/v1/events", &body).ok());
            if let Some(answer) = answer.filter(|answer| answer.status == 200) {
                connection = used;
                let answer: Value = serde_json::from_str(&answer.body).unwrap();
                break answer["items"][0]["sequence"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < end, "no server acknowledges {session}");
            failures += 1;
            thread::sleep(Duration::from_millis(10));
        };
        own.push((session, sequence));
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    (own, failures)
}

/// The session and the sequence of each write in the log, from the admin port.
fn log(admin: SocketAddr) -> Vec<(String, String)> {
    let mut client = Client::connect(admin).unwrap();
    let mut recorded: Vec<(String, String)> = Vec::new();
    loop {
        let after = recorded.last().map_or("0-0", |(_, sequence)| sequence);
        let answer = client.get(&format!("/debug/live/log?after={after}&limit=1000")).unwrap();
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        let writes = page["writes"].as_array().unwrap();
        if writes.is_empty() {
            return recorded;
        }
        let text = |write: &Value, name: &str| write[name].as_str().unwrap().to_owned();
        recorded.extend(writes.iter().map(|it| (text(it, "session"), text(it, "sequence"))));
    }
}

#[test]
fn kills_of_the_server_lose_and_double_no_acknowledged_write() {
    let kills = rounds("kills of the server during live writes", 3, 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.redb");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = free.local_addr().unwrap();
    drop(free);
    let (path, listen) = (path.to_str().unwrap(), admin.to_string());
    let settings = [("SPARROW__LIVE__PATH", path), ("SPARROW__ADMIN__LISTEN", &*listen)];
    let mut server = start("", &[], &settings);
    let (address, acknowledged) = (Mutex::new(server.address()), AtomicUsize::new(0));
    let began = Instant::now();
    let (mut written, mut failures) = (Vec::new(), 0);
    thread::scope(|scope| {
        let (address, acknowledged) = (&address, &acknowledged);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let count = kills * WRITES / CLIENTS;
                scope.spawn(move || write(client, count, address, acknowledged))
            })
            .collect();
        for kill in 0..kills {
            // Somewhere in the middle.
            let end = Instant::now() + PATIENCE;
            while acknowledged.load(Ordering::Relaxed) < kill * WRITES + WRITES / 3 {
                assert!(Instant::now() < end, "the clients do not write");
                thread::sleep(Duration::from_millis(1));
            }
            server.process().kill();
            server = start("", &[], &settings);
            *address.lock().unwrap() = server.address();
        }
        for client in clients {
            let (own, failed) = client.join().unwrap();
            written.extend(own);
            failures += failed;
        }
    });
    assert_eq!(written.len(), kills * WRITES);
    assert!(failures > 0, "no write met a killed server");
    let recorded = log(admin);
    let known: BTreeSet<&(String, String)> = recorded.iter().collect();
    let lost = written.iter().filter(|write| !known.contains(write)).count();
    let sessions: BTreeSet<&String> = recorded.iter().map(|(session, _)| session).collect();
    let doubled = recorded.len() - sessions.len();
    assert_eq!((lost, doubled, recorded.len()), (0, 0, written.len()));
    let took = began.elapsed();
    eprintln!("{} writes in {took:?}, {kills} kills, {failures} failed requests", written.len());
}
