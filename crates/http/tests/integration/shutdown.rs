//! Shutdown: bounded, and without losing requests.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_http::{Options, Served};

use crate::support::{Client, PATIENCE, Running, patient};

const LARGE: &str = "/getrecommendation?genre=Drama&size=1000";

/// Requests more than the sockets' buffers hold, and reads only the beginning.
fn slow_reader(running: &Running, answers: usize) -> Client {
    let mut client = running.connect();
    let request = format!("GET {LARGE} HTTP/1.1\r\nHost: test\r\n\r\n");
    client.write(request.repeat(answers).as_bytes());
    let mut one = [0];
    client.stream.read_exact(&mut one).unwrap();
    assert_eq!(&one, b"H");
    client
}

#[test]
fn request_in_progress_survives_and_idle_connections_end() {
    let mut running = Running::in_one_thread(patient());
    // Half a request, half a second request, and an idle connection after an answer.
    let beginning = b"GET /getrecforyou?id=6&size=1000 HTTP/1.1\r\nHost: te";
    let mut half = running.connect();
    half.write(beginning);
    let mut half_again = running.connect();
    assert_eq!(half_again.get("/healthz").status, 200);
    half_again.write(beginning);
    let mut idle = running.connect();
    assert_eq!(idle.get("/readyz").status, 200);
    // Until the server has read the half request, the connection is idle for it.
    let mut probe = running.connect();
    assert_eq!(probe.get("/healthz").status, 200);

    running.stop();
    let start = Instant::now();
    assert_eq!(idle.rest(), b"");
    assert_eq!(probe.rest(), b"");
    assert!(start.elapsed() < PATIENCE);
    // New connections are refused.
    let refused = std::net::TcpStream::connect(running.address);
    assert!(refused.is_err(), "{refused:?}");

    for mut client in [half, half_again] {
        client.write(b"st\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json().as_array().unwrap().len(), 1000);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(running.join(), Served { cut: 0 });
}

#[test]
fn readiness_fails_during_shutdown() {
    let mut running = Running::in_one_thread(patient());
    let mut client = running.connect();
    client.write(b"GET /readyz HTTP/1.1\r\nHost: te");
    let mut probe = running.connect();
    assert_eq!(probe.get("/healthz").status, 200);
    running.stop();
    assert_eq!(probe.rest(), b"");
    client.write(b"st\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status, 503);
    assert!(answer.problem()["detail"].as_str().unwrap().contains("shutting down"));
    assert_eq!(running.join(), Served { cut: 0 });
}

#[test]
fn answer_that_is_being_read_is_finished() {
    let mut running = Running::in_one_thread(patient());
    let whole = running.get(LARGE).body;
    let mut reader = slow_reader(&running, 1);
    running.stop();
    let rest = reader.rest();
    assert!(rest.ends_with(&whole), "{} of {} bytes", rest.len(), whole.len());
    assert_eq!(running.join(), Served { cut: 0 });
}

#[test]
fn client_that_does_not_read_is_cut_after_the_shutdown_timeout() {
    let grace = Duration::from_millis(300);
    let mut running = Running::in_one_thread(Options { shutdown_timeout: grace, ..patient() });
    let mut reader = slow_reader(&running, 200);
    let mut silent = running.connect();
    silent.write(b"GET /heal");
    let mut probe = running.connect();
    assert_eq!(probe.get("/healthz").status, 200);
    let start = Instant::now();
    running.stop();
    assert_eq!(running.join(), Served { cut: 2 });
    let took = start.elapsed();
    assert!(took >= grace && took < PATIENCE, "{took:?}");
    assert_eq!(silent.rest(), b"");
    reader.rest();
}

/// Sends requests on one connection until an answer has `Connection: close`.
fn ask_until_the_last(mut stream: &TcpStream, answered: &AtomicU64) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        stream.write_all(b"GET /getrecforyou?id=6&size=3 HTTP/1.1\r\nHost: test\r\n\r\n")?;
        let (mut length, mut last) = (0, false);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end().split_once(": ") {
                Some(("content-length", bytes)) => length = bytes.parse().unwrap(),
                Some(("connection", value)) => last = value == "close",
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        reader.read_exact(&mut vec![0; length])?;
        answered.fetch_add(1, Ordering::Relaxed);
        if last {
            return Ok(());
        }
    }
}

#[test]
fn kept_connections_lose_no_request_in_ten_shutdowns_under_load() {
    let (answered, mut lost) = (AtomicU64::new(0), 0);
    for round in 1..=10 {
        let mut running = Running::start(patient());
        thread::scope(|scope| {
            let clients: Vec<_> = (0..16)
                .map(|_| {
                    let client = running.connect();
                    let answered = &answered;
                    scope.spawn(move || ask_until_the_last(&client.stream, answered))
                })
                .collect();
            while answered.load(Ordering::Relaxed) < round * 500 {
                thread::yield_now();
            }
            running.stop();
            lost += clients.into_iter().filter_map(|client| client.join().unwrap().err()).count();
        });
        assert_eq!(running.join(), Served { cut: 0 });
    }
    let answered = answered.into_inner();
    assert!(answered >= 5000, "{answered} requests are no load");
    assert_eq!(lost, 0, "requests without an answer, of {answered}");
}

#[test]
fn connections_are_served_during_the_drain_delay() {
    let delay = Duration::from_millis(700);
    let mut running = Running::start(Options { drain_delay: delay, ..patient() });
    let mut kept = running.connect();
    assert_eq!(kept.get("/readyz").status, 200);
    let start = Instant::now();
    running.stop();
    while kept.get("/readyz").status == 200 {}
    // New connections are accepted, and none is closed.
    let mut new = running.connect();
    for client in [&mut kept, &mut new] {
        let answer = client.get("/getrecforyou?id=6&size=3");
        assert_eq!((answer.status, answer.header("connection")), (200, None));
    }
    assert!(start.elapsed() < delay, "too slow a machine for this test");
    loop {
        let answer = kept.get("/readyz");
        assert_eq!(answer.status, 503);
        if answer.header("connection") == Some("close") {
            break;
        }
    }
    assert!(start.elapsed() >= delay);
    assert_eq!(kept.rest(), b"");
    assert_eq!(new.rest(), b"");
    assert_eq!(running.join(), Served { cut: 0 });
}
