use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{self, PemObject as _};
use sparrow_model::skip_byte_order_mark;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::expiry::expiry;
use crate::{Error, MAX_FILE_SIZE, TlsStream, certificates};

/// A chain of certificates, with the private key of the first one.
#[derive(Debug, Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    expires: Option<SystemTime>,
}

impl Identity {
    /// Reads the chain and the key from PEM files, and checks that they belong together. The key must not be encrypted.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let chain = certificates(certificate)?;
        let expires = expiry(&chain[0]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private_key(key)?)
            .map_err(|source| match source {
                rustls::Error::InconsistentKeys(_) => {
                    Error::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() }
                }
                rustls::Error::InvalidCertificate(_) => {
                    Error::Certificate { file: certificate.to_owned(), source }
                }
                _ => Error::Key { file: key.to_owned(), source: source.into() },
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), expires })
    }

    /// The end of the validity of the certificate; `None` if it has none that can be read.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let unusable = |source| Error::Key { file: path.to_owned(), source };
    let content = sparrow_files::read(path, MAX_FILE_SIZE).map_err(|e| unusable(e.into()))?;
    let key = PrivateKeyDer::from_pem_slice(skip_byte_order_mark(&content));
    key.map_err(|error| match error {
        pem::Error::NoItemsFound => unusable("no unencrypted private key found".into()),
        error => unusable(error.into()),
    })
}

/// Performs the handshakes of a server for HTTP/1.1, by TLS 1.2 and 1.3.
#[derive(Debug)]
pub struct Acceptor {
    identity: RwLock<Identity>,
}

impl Acceptor {
    /// An acceptor that presents this identity.
    pub fn new(identity: Identity) -> Self {
        Self { identity: RwLock::new(identity) }
    }

    /// Presents another identity from the next handshake on. Open connections keep theirs, and no session of the earlier one is
    /// resumed.
    pub fn replace(&self, identity: Identity) {
        *self.identity.write().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// The identity in force.
    pub fn identity(&self) -> Identity {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Performs a handshake. The caller sets its time limit.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        Ok(TlsAcceptor::from(self.identity().config).accept(socket).await?.into())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    /// Writes a certificate and its key into a folder.
    fn write(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let file = |end: &str| folder.join(format!("{name}.{end}"));
        fs::write(file("pem"), cert.pem()).unwrap();
        fs::write(file("key"), signing_key.serialize_pem()).unwrap();
        (file("pem"), file("key"))
    }

    #[test]
    fn errors_name_the_file_and_the_fault() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path(), "one");
        let (_, other_key) = write(folder.path(), "other");
        let missing = folder.path().join("missing.pem");
        let encrypted = folder.path().join("encrypted.key");
        let text =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        fs::write(&encrypted, text).unwrap();
        let broken = folder.path().join("broken.key");
        fs::write(&broken, text.replace("ENCRYPTED ", "")).unwrap();
        Identity::read(&certificate, &key).unwrap();
        for (certificate, key, parts) in [
            (&missing, &key, ["certificates in", "missing.pem"]),
            (&key, &key, ["one.key", "no certificates found"]),
            (&certificate, &missing, ["private key in", "missing.pem"]),
            (&certificate, &certificate, ["one.pem", "no unencrypted private key found"]),
            (&certificate, &encrypted, ["encrypted.key", "no unencrypted private key found"]),
            (&certificate, &broken, ["private key in", "broken.key"]),
            (&certificate, &other_key, ["other.key does not belong", "one.pem"]),
        ] {
            let error = Identity::read(certificate, key).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
