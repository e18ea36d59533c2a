//! Collectors with and without TLS.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use sparrow_otlp::{Error, Options, check};
use sparrow_tls::{Acceptor, Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A collector over TLS that answers the first request with this status. Returns its address.
async fn collector(identity: Identity, status: &'static str) -> String {
    let acceptor = Acceptor::new(identity);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"POST /v1/traces HTTP/1.1\r\n"));
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    address
}

async fn checked(endpoint: String, ca_file: &Path) -> Result<(), Error> {
    let ca_file = Some(ca_file.to_owned());
    let name = "sparrow".to_owned();
    check(Options { endpoint, ca_file, service_name: name.clone(), service_version: name }).await
}

#[tokio::test]
async fn collector_over_tls_needs_a_trusted_certificate_and_must_accept_spans() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let [certificate, key, untrusted, missing] =
        ["cert.pem", "key.pem", "other.pem", "none.pem"].map(|name| folder.path().join(name));
    fs::write(&certificate, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    fs::write(&untrusted, other.cert.pem()).unwrap();
    let identity = Identity::read(&certificate, &key).unwrap();

    let accepting = collector(identity.clone(), "200 OK").await;
    checked(accepting.clone(), &certificate).await.unwrap();
    let error = checked(accepting.clone(), &untrusted).await.unwrap_err().to_string();
    assert!(error.contains(&accepting) && error.contains("certificate"), "{error}");
    assert!(matches!(checked(accepting, &missing).await, Err(Error::Endpoint(..))));
    let refusing = collector(identity, "404 Not Found").await;
    let error = checked(refusing, &certificate).await.unwrap_err().to_string();
    assert!(error.contains("404"), "{error}");
}
