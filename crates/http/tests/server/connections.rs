//! Connections that make no progress, and too many of them.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use sparrow_http::Options;

use crate::support::{PATIENCE, Running, patient};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_connection_without_a_request_is_closed() {
    let running = Running::start(Options { header_timeout: SHORT, ..patient() });
    let start = Instant::now();
    let mut client = running.connect();
    assert_eq!(client.rest(), b"");
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn a_head_that_dribbles_in_is_cut_in_time() {
    let running = Running::start(Options { header_timeout: SHORT, ..patient() });
    // Also where requests were answered before.
    for earlier in [0, 2] {
        let mut client = running.connect();
        for _ in 0..earlier {
            assert_eq!(client.get("/healthz").status, 200);
        }
        let start = Instant::now();
        client.write(b"GET /healthz HTTP/1.1\r\n");
        client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // Each byte is progress of a kind, and must not put off the end.
        loop {
            assert!(start.elapsed() < PATIENCE, "the connection was not cut");
            let mut byte = [0];
            match client.stream.peek(&mut byte) {
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => break,
            }
            if client.stream.write_all(b"X").is_err() {
                break;
            }
        }
        assert!(start.elapsed() >= SHORT);
        client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = client.answer();
        assert_eq!(answer.status, 408);
        assert_eq!(answer.problem()["type"], "/problems/request-timeout");
        client.rest();
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let running = Running::start(Options { idle_timeout: SHORT, ..patient() });
    let mut client = running.connect();
    assert_eq!(client.get("/healthz").status, 200);
    let start = Instant::now();
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.rest(), b"");
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn the_idle_limit_is_longer_than_the_head_limit_where_it_is_set_so() {
    let options = Options { header_timeout: SHORT, idle_timeout: PATIENCE, ..patient() };
    let running = Running::start(options);
    let mut client = running.connect();
    assert_eq!(client.get("/healthz").status, 200);
    // Nothing comes for three times the head's limit, and the connection is still good.
    client.stream.set_read_timeout(Some(SHORT * 3)).unwrap();
    let nothing = client.stream.read(&mut [0]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let running = Running::start(Options { write_timeout: SHORT, max_connections: 1, ..patient() });
    let mut client = running.connect();
    // More answers than the sockets' buffers hold; nobody reads them.
    let requests =
        "GET /getrecommendation?genre=Drama&size=1000 HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    client.write(requests.as_bytes());
    // The only connection there may be is free again when the server has cut it.
    let start = Instant::now();
    while running.get("/v1/genres").status == 503 {
        assert!(start.elapsed() < PATIENCE, "the connection was not cut");
    }
    let cut = client.rest().len();
    let whole = running.get("/getrecommendation?genre=Drama&size=1000").body.len() * 100;
    assert!(cut < whole, "{cut} of {whole} bytes were sent");
}

#[test]
fn a_client_that_stops_sending_still_gets_its_answer() {
    let running = Running::start(patient());
    let mut client = running.connect();
    client.write(b"GET /getrecforyou?id=6 HTTP/1.1\r\nHost: test\r\n\r\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn a_client_that_goes_away_within_a_head_does_no_harm() {
    let running = Running::start(patient());
    for _ in 0..10 {
        let mut client = running.connect();
        client.write(b"GET /getrecforyou?id=6 HT");
    }
    let mut client = running.connect();
    client.write(b"GET /getrecforyou?id=6 HT");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"");
    assert_eq!(running.get("/healthz").status, 200);
}

#[test]
fn a_connection_too_many_is_told_so() {
    let running = Running::start(Options { max_connections: 2, ..patient() });
    let (mut first, mut second) = (running.connect(), running.connect());
    assert_eq!(first.get("/healthz").status, 200);
    assert_eq!(second.get("/healthz").status, 200);
    let mut third = running.connect();
    let answer = third.get("/v1/genres");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("connection"), Some("close"));
    answer.problem();
    third.end();
    // The others are as they were, and one that ends makes room.
    assert_eq!(second.get("/healthz").status, 200);
    drop(first);
    let start = Instant::now();
    while running.get("/v1/genres").status == 503 {
        assert!(start.elapsed() < PATIENCE, "no room was made");
    }
}

/// The test runs itself again, in a process that may have few files open.
#[test]
fn without_file_descriptors_the_server_waits_for_some() {
    const LIMITED: &str = "SPARROW_TEST_FEW_FILES";
    if std::env::var_os(LIMITED).is_none() {
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" --exact --nocapture \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg("connections::without_file_descriptors_the_server_waits_for_some")
            .env(LIMITED, "yes")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("1 passed"), "{text}");
        return;
    }

    // No connection yet, lest its end make room.
    let running = Running::start(patient());
    let mut clock = File::open("/proc/self/stat").unwrap();
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(files.len() < 64 && files.pop().is_some());
    // The client takes the last descriptor: the system accepts it, the server cannot.
    let mut client = running.connect();
    client.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n");
    client.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let before = processor_time(&mut clock);
    let nothing = client.stream.read(&mut [0]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    let used = processor_time(&mut clock) - before;
    assert!(used < 20, "{used} hundredths of a second of processor time within half a second");

    drop(files);
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.answer().status, 200);
    assert_eq!(running.get("/healthz").status, 200);
}

/// Hundredths of a second that this process has run.
fn processor_time(stat: &mut File) -> u64 {
    let mut text = String::new();
    stat.rewind().unwrap();
    stat.read_to_string(&mut text).unwrap();
    // The second field is in parentheses; user and system time are the 14th and 15th.
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn limits_of_any_length_are_limits() {
    let forever = Duration::MAX;
    let options = Options {
        header_timeout: forever,
        idle_timeout: forever,
        write_timeout: forever,
        answer_timeout: forever,
        request_timeout: forever,
        ..patient()
    };
    let running = Running::start(options);
    let mut client = running.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/getrecforyou?id=6").status, 200);
    }
}
