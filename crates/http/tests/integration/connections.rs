//! Timeouts and limits of connections.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use sparrow_http::Options;

use crate::support::{PATIENCE, Running, patient};

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn connection_without_a_request_is_closed() {
    let running = Running::start(Options { header_timeout: SHORT, ..patient() });
    let start = Instant::now();
    let mut client = running.connect();
    assert_eq!(client.rest(), b"");
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn slowly_sent_head_times_out() {
    let running = Running::start(Options { header_timeout: SHORT, ..patient() });
    // Also after answered requests.
    for earlier in [0, 2] {
        let mut client = running.connect();
        for _ in 0..earlier {
            assert_eq!(client.get("/healthz").status, 200);
        }
        let start = Instant::now();
        client.write(b"GET /healthz HTTP/1.1\r\n");
        client.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        // Single bytes must not extend the timeout.
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
fn idle_connection_is_closed() {
    let running = Running::start(Options { idle_timeout: SHORT, ..patient() });
    let mut client = running.connect();
    assert_eq!(client.get("/healthz").status, 200);
    let start = Instant::now();
    assert_eq!(client.get("/healthz").status, 200);
    assert_eq!(client.rest(), b"");
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn idle_timeout_may_exceed_the_header_timeout() {
    let options = Options { header_timeout: SHORT, idle_timeout: PATIENCE, ..patient() };
    let running = Running::start(options);
    let mut client = running.connect();
    assert_eq!(client.get("/healthz").status, 200);
    // The connection survives three times the header timeout without a request.
    client.stream.set_read_timeout(Some(SHORT * 3)).unwrap();
    let nothing = client.stream.read(&mut [0]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn client_that_does_not_read_is_cut() {
    let running = Running::start(Options { write_timeout: SHORT, max_connections: 1, ..patient() });
    let mut client = running.connect();
    // More answers than the sockets' buffers hold.
    let requests =
        "GET /getrecommendation?genre=Drama&size=1000 HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    client.write(requests.as_bytes());
    // The only permitted connection is free again once the server has cut this one.
    let start = Instant::now();
    let whole = loop {
        let answer = running.get("/getrecommendation?genre=Drama&size=1000");
        if answer.status != 503 {
            assert_eq!(answer.status, 200);
            break answer.body.len() * 100;
        }
        assert!(start.elapsed() < PATIENCE, "the connection was not cut");
    };
    let cut = client.rest().len();
    assert!(cut < whole, "{cut} of {whole} bytes were sent");
}

#[test]
fn half_closed_client_gets_its_answer() {
    let running = Running::start(patient());
    let mut client = running.connect();
    client.write(b"GET /getrecforyou?id=6 HTTP/1.1\r\nHost: test\r\n\r\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.rest(), b"");
}

#[test]
fn client_may_disconnect_within_a_head() {
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
fn connection_beyond_the_limit_gets_503() {
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
    // The other connections still work, and closing one permits another.
    assert_eq!(second.get("/healthz").status, 200);
    drop(first);
    let start = Instant::now();
    while running.get("/v1/genres").status == 503 {
        assert!(start.elapsed() < PATIENCE, "no room was made");
    }
}

/// The test runs itself again in a process with a low limit of open files.
#[test]
fn server_recovers_from_missing_file_descriptors() {
    const LIMITED: &str = "SPARROW_TEST_FEW_FILES";
    if std::env::var_os(LIMITED).is_none() {
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" --exact --nocapture \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg("connections::server_recovers_from_missing_file_descriptors")
            .env(LIMITED, "yes")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("1 passed"), "{text}");
        return;
    }

    // Without an open connection, whose end would free a descriptor.
    let running = Running::start(patient());
    let mut clock = File::open("/proc/self/stat").unwrap();
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(files.len() < 64 && files.pop().is_some());
    // The client takes the last descriptor: the system accepts the connection, the server cannot.
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

/// The processor time of this process, in hundredths of a second.
fn processor_time(stat: &mut File) -> u64 {
    let mut text = String::new();
    stat.rewind().unwrap();
    stat.read_to_string(&mut text).unwrap();
    // The second field is in parentheses; user and system time are fields 14 and 15.
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn longest_timeouts_do_not_overflow() {
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
