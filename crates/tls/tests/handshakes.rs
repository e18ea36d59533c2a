//! Handshakes of clients with a server.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use sparrow_tls::{Acceptor, Connector, Identity};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// A certificate and its key, in a folder.
struct Files {
    _folder: TempDir,
    certificate: PathBuf,
    certified: CertifiedKey<rcgen::KeyPair>,
    identity: Identity,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let certified = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let identity = Identity::read(&certificate, &key).unwrap();
    Files { _folder: folder, certificate, certified, identity }
}

/// A server that sends "hello" over each connection and ends it.
async fn serve(identity: Identity) -> (SocketAddr, Arc<Acceptor>) {
    let acceptor = Arc::new(Acceptor::new(identity));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = Arc::clone(&acceptor);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = served.accept(socket).await else { continue };
            let _ = stream.write_all(b"hello").await;
            let _ = stream.shutdown().await;
        }
    });
    (address, acceptor)
}

/// A client that trusts a certificate.
fn client(files: &Files, version: &'static rustls::SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(files.certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

#[tokio::test]
async fn server_speaks_tls_1_2_and_1_3_and_http_1_1_alone() {
    let files = files();
    let (address, _) = serve(files.identity.clone()).await;
    for (version, expected) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut config = client(&files, version);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut stream = connect(address, config).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        // The end without close_notify would be an error.
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");

        let mut config = client(&files, version);
        config.alpn_protocols = vec![b"h2".to_vec()];
        assert!(connect(address, config).await.is_err());
    }
}

#[tokio::test]
async fn connector_trusts_the_certificates_of_its_file_alone() {
    let (files, other) = (files(), files());
    let (address, acceptor) = serve(files.identity.clone()).await;
    let connector = Connector::new("localhost", Some(&files.certificate)).unwrap();
    let connect = async || {
        let mut stream = connector.connect(TcpStream::connect(address).await?).await?;
        stream.read_u8().await
    };
    assert_eq!(connect().await.unwrap(), b'h');
    // A session of the replaced certificate is not resumed.
    acceptor.replace(other.identity.clone());
    let error = connect().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    acceptor.replace(files.identity.clone());
    assert_eq!(connect().await.unwrap(), b'h');
    assert!(Connector::new("local host", Some(&files.certificate)).is_err());
}
