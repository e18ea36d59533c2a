//! A server with a certificate.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use sparrow_app::{Config, Running};
use sparrow_live_overlay::open_address;
use sparrow_process::Address;
use sparrow_tls::{Connector, TlsStream};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::{PATIENCE, config, get};

/// Writes a new certificate and its key as `cert.pem` and `key.pem` of a folder. Returns the certificate in a file of its own.
fn certify(folder: &Path, name: &str) -> PathBuf {
    let names = vec!["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let trusted = folder.join(name);
    fs::write(&trusted, cert.pem()).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    trusted
}

/// A configuration with a certificate in a folder, and the certificate.
fn with_tls() -> (Config, TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path(), "first.pem");
    let mut config = config();
    config.tls.certificate = Some(folder.path().join("cert.pem"));
    config.tls.key = Some(folder.path().join("key.pem"));
    (config, folder, trusted)
}

async fn serve(config: Config) -> Running {
    let mut running = sparrow_app::start(config).await.unwrap();
    running.loaded().await.unwrap();
    running
}

async fn connect(address: SocketAddr, trusted: &Path) -> io::Result<TlsStream<TcpStream>> {
    handshake(TcpStream::connect(address).await?, trusted).await
}

async fn handshake(socket: TcpStream, trusted: &Path) -> io::Result<TlsStream<TcpStream>> {
    Connector::new("localhost", Some(trusted)).unwrap().connect(socket).await
}

/// Sends a request on a connection that is kept; returns the answer.
async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &str,
) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    answer(stream).await
}

/// Reads the status, the headers and the body of an answer.
async fn answer(stream: &mut (impl AsyncRead + Unpin)) -> (u16, String, String) {
    let read = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let (_, rest) = head.split_once("content-length: ").unwrap();
        let mut body = vec![0; rest.lines().next().unwrap().parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        (head[9..12].parse().unwrap(), head, String::from_utf8(body).unwrap())
    };
    timeout(PATIENCE, read).await.expect("no answer")
}

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_certificate_reaches_new_connections_and_a_broken_one_changes_nothing() {
    let (config, folder, first) = with_tls();
    let running = serve(config.clone()).await;
    let mut early = connect(running.address, &first).await.unwrap();
    assert_eq!(ask(&mut early, &request("/v1/movies/1")).await.0, 200);

    // The server notices it by itself.
    let second = certify(folder.path(), "second.pem");
    let start = Instant::now();
    let mut late = loop {
        match connect(running.address, &second).await {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(connect(running.address, &first).await.is_err());
    for stream in [&mut early, &mut late] {
        assert_eq!(ask(stream, &request("/v1/movies/1")).await.0, 200);
    }

    fs::write(folder.path().join("key.pem"), "no key").unwrap();
    let error = running.reload(&config).unwrap_err().to_string();
    assert!(error.contains("tls.key: ") && error.contains("key.pem"), "{error}");
    let mut kept = connect(running.address, &second).await.unwrap();
    assert_eq!(ask(&mut kept, &request("/v1/movies/1")).await.0, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_arrive_whole_and_a_client_that_reads_none_is_cut() {
    let (mut config, _folder, trusted) = with_tls();
    config.server.write_timeout = Duration::from_millis(300);
    let running = serve(config).await;
    let plain = serve(self::config()).await;
    let large = "/getrecommendation?genre=Drama&size=1000&sortby=rating";
    let expected = get(plain.address, large).await.body;
    let mut stream = connect(running.address, &trusted).await.unwrap();
    let (status, _, body) = ask(&mut stream, &request(large)).await;
    assert!(status == 200 && body == expected, "{} of {}", body.len(), expected.len());

    // The server is ahead of a client that takes little at a time, also with the end of the last answer.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let socket = socket.connect(running.address).await.unwrap();
    let mut slow = handshake(socket, &trusted).await.unwrap();
    for answers in 1..16 {
        slow.write_all(request(large).repeat(answers).as_bytes()).await.unwrap();
        for _ in 0..answers {
            let (status, _, body) = answer(&mut slow).await;
            assert!(status == 200 && body == expected, "{} of {}", body.len(), expected.len());
        }
    }

    // It asks for more and more, until its connection is closed.
    let mut deaf = connect(running.address, &trusted).await.unwrap();
    let asking = async { while deaf.write_all(request(large).as_bytes()).await.is_ok() {} };
    timeout(PATIENCE, asking).await.expect("the connection stays open");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_and_requests_end_with_the_header_timeout() {
    let (mut config, _folder, trusted) = with_tls();
    config.server.header_timeout = Duration::from_secs(1);
    let running = serve(config).await;
    // Nothing, and the beginning of a ClientHello.
    for sent in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01"] {
        let start = Instant::now();
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        // Closing it resets the connection if bytes are unread.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("stays open");
        assert!(rest.is_empty() && start.elapsed() >= Duration::from_millis(900), "{rest:?}");
    }
    // No request after the handshake: the end is announced, since it would be an error otherwise.
    let mut silent = connect(running.address, &trusted).await.unwrap();
    let mut rest = Vec::new();
    timeout(PATIENCE, silent.read_to_end(&mut rest)).await.expect("stays open").unwrap();
    let mut half = connect(running.address, &trusted).await.unwrap();
    half.write_all(b"GET /v1/movies/1 HTTP/1.1\r\nho").await.unwrap();
    let status = async {
        let mut head = [0; 12];
        half.read_exact(&mut head).await.unwrap();
        head
    };
    assert_eq!(&timeout(PATIENCE, status).await.expect("no answer"), b"HTTP/1.1 408");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_to_the_tls_port_is_answered_400() {
    let (config, _folder, _) = with_tls();
    let running = serve(config).await;
    let answer = get(running.address, "/v1/movies/1").await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("https://"), "{answer:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_beyond_the_limit_on_connections() {
    let (mut config, _folder, trusted) = with_tls();
    config.server.max_connections = NonZeroUsize::MIN;
    let running = serve(config).await;
    let mut only = connect(running.address, &trusted).await.unwrap();
    assert_eq!(ask(&mut only, &request("/v1/movies/1")).await.0, 200);
    for (target, expected) in [("/healthz", 200), ("/readyz", 200), ("/v1/movies/1", 503)] {
        let mut more = connect(running.address, &trusted).await.unwrap();
        let (status, head, _) = ask(&mut more, &request(target)).await;
        assert!(status == expected && head.contains("connection: close"), "{target}: {head}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_per_address_applies() {
    let (mut config, _folder, trusted) = with_tls();
    config.server.max_connections_per_address = 1;
    let running = serve(config).await;
    let mut only = connect(running.address, &trusted).await.unwrap();
    assert_eq!(ask(&mut only, &request("/healthz")).await.0, 200);
    assert!(connect(running.address, &trusted).await.is_err());
    assert_eq!(ask(&mut only, &request("/healthz")).await.0, 200);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_announces_the_end_of_connections() {
    let (config, _folder, trusted) = with_tls();
    let running = serve(config).await;
    let address = running.address;
    let mut idle = connect(address, &trusted).await.unwrap();
    assert_eq!(ask(&mut idle, &request("/healthz")).await.0, 200);
    // A handshake that does not end does not delay it.
    let mut begun = TcpStream::connect(address).await.unwrap();
    begun.write_all(b"\x16\x03\x01").await.unwrap();
    let start = Instant::now();
    running.stop().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_secure_and_pages_of_the_server_may_write() {
    let (mut config, folder, trusted) = with_tls();
    let (key, sha256) = sparrow_http::generate_key().unwrap();
    let file = folder.path().join("keys.toml");
    let scopes = "scopes = [\"read\", \"write\"]";
    fs::write(&file, format!("[[keys]]\nname = \"app\"\nsha256 = \"{sha256}\"\n{scopes}\n"))
        .unwrap();
    config.auth.keys_file = Some(file);
    let running = serve(config).await;
    let mut stream = connect(running.address, &trusted).await.unwrap();
    let body = format!("{{\"key\": \"{key}\"}}");
    let sign_in = format!(
        "POST /v1/session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\norigin: https://localhost\r\n\r\n{body}",
        body.len()
    );
    let (status, head, _) = ask(&mut stream, &sign_in).await;
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(status == 200 && cookie.contains("; Secure"), "{head}");
    let cookie = cookie.split(';').next().unwrap();
    let rate = format!(
        "PUT /v1/users/6/ratings/50 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: 11\r\norigin: https://localhost\r\ncookie: {cookie}\r\n\r\n{{\"stars\":4}}"
    );
    let (status, head, body) = ask(&mut stream, &rate).await;
    assert!((200..300).contains(&status), "{head}{body}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn admin_port_is_encrypted_beyond_loopback_alone() {
    let (mut config, _folder, trusted) = with_tls();
    config.admin.listen = Some("127.0.0.1:0".parse().unwrap());
    let running = serve(config.clone()).await;
    let metrics = get(running.admin_address().unwrap(), "/metrics").await.body;
    let name = "sparrow_tls_certificate_expiry_timestamp_seconds ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    assert!(line.parse::<f64>().unwrap() > 2e9, "{line}");
    running.stop().await;

    config.admin.listen = Some("0.0.0.0:0".parse().unwrap());
    let running = serve(config).await;
    let mut address = running.admin_address().unwrap();
    address.set_ip([127, 0, 0, 1].into());
    assert_eq!(get(address, "/healthz").await.status, 400);
    let mut stream = connect(address, &trusted).await.unwrap();
    assert_eq!(ask(&mut stream, &request("/healthz")).await.0, 200);
    // An export of live data gets as far as its missing key with the scope admin.
    let url = Address(format!("https://localhost:{}", address.port()).into());
    let export = open_address(&url, Some(&trusted)).await.map(|_| ()).unwrap_err();
    assert!(export.to_string().contains("it answered 403"), "{export}");
    assert!(open_address(&url, None).await.is_err());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_with_a_wrong_pair_fails_and_names_key_and_file() {
    let (config, folder, first) = with_tls();
    certify(folder.path(), "second.pem");
    let missing = folder.path().join("missing.pem");
    let error = async |change: &dyn Fn(&mut Config)| {
        let mut config = config.clone();
        change(&mut config);
        sparrow_app::start(config).await.unwrap_err().to_string()
    };
    for (change, parts) in [
        (
            &(|config: &mut Config| config.tls.key = None) as &dyn Fn(&mut Config),
            ["tls.key", "both"],
        ),
        (&|config| config.tls.certificate = None, ["tls.certificate", "both"]),
        (
            &|config| config.tls.certificate = Some(missing.clone()),
            ["tls.certificate", "missing.pem"],
        ),
        (&|config| config.tls.key = Some(first.clone()), ["tls.key", "first.pem"]),
        (
            &|config| config.tls.certificate = Some(first.clone()),
            ["tls.key: the private key in", "does not belong"],
        ),
    ] {
        let error = error(change).await;
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}
