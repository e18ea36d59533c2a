use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time;

/// Whether the server replies to plain text on this port.
pub(super) async fn accepts_plain_text(host: &str, port: u16) -> bool {
    let first_byte = async {
        let mut socket = TcpStream::connect((host, port)).await.ok()?;
        socket.write_all(b"PING\r\n").await.ok()?;
        socket.read_u8().await.ok()
    };
    // `PONG`, or an error such as a missing password.
    time::timeout(TIMEOUT, first_byte)
        .await
        .is_ok_and(|byte| byte.is_some_and(|byte| matches!(byte, b'+' | b'-')))
}

const TIMEOUT: Duration = Duration::from_secs(1);

/// The first byte of a TLS reply: a handshake or an alert.
const TLS_RECORDS: [u8; 2] = [0x16, 0x15];

/// Whether the server uses TLS on this port.
pub(super) async fn uses_tls(host: &str, port: u16) -> bool {
    time::timeout(TIMEOUT, first_byte(host, port))
        .await
        .is_ok_and(|byte| byte.is_some_and(|byte| TLS_RECORDS.contains(&byte)))
}

/// The first byte of the reply to a TLS client hello.
async fn first_byte(host: &str, port: u16) -> Option<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut hello = Vec::new();
    ClientConnection::new(Arc::new(config), name).ok()?.write_tls(&mut hello).ok()?;
    let mut socket = TcpStream::connect((host, port)).await.ok()?;
    socket.write_all(&hello).await.ok()?;
    socket.read_u8().await.ok()
}
