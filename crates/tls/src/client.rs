use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Error, TlsStream, certificates};

/// Creates a configuration that trusts the certificates of a file, or those of the system.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth())
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        let system = rustls_native_certs::load_native_certs().certs;
        // Systems contain certificates that rustls does not accept.
        let (_, _) = roots.add_parsable_certificates(system);
        return if roots.is_empty() { Err(Error::NoSystemCertificates) } else { Ok(roots) };
    };
    for certificate in certificates(path)? {
        let invalid = |source| Error::Certificate { file: path.to_owned(), source };
        roots.add(certificate).map_err(invalid)?;
    }
    Ok(roots)
}

/// Performs the handshakes of a client with one host.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
    host: ServerName<'static>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Connector {
    /// For a host name or an address without brackets, whose certificate must follow from those of a file, or of the system.
    pub fn new(host: &str, ca_file: Option<&Path>) -> Result<Self, Error> {
        let name = ServerName::try_from(host.to_owned());
        let host = name.map_err(|_| Error::Host(host.to_owned()))?;
        let connector = TlsConnector::from(Arc::new(client_config(ca_file)?));
        Ok(Self { connector, host })
    }

    /// Performs a handshake. The caller sets its time limit.
    pub async fn connect(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        Ok(self.connector.connect(self.host.clone(), socket).await?.into())
    }
}

/// A connection of a client, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Performs the handshake of a client that may use TLS. The caller sets its time limit.
pub async fn connect(
    connector: Option<&Connector>,
    socket: TcpStream,
) -> io::Result<Box<dyn Stream>> {
    Ok(match connector {
        Some(connector) => Box::new(connector.connect(socket).await?),
        None => Box::new(socket),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_without_valid_certificates_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = || client_config(Some(&path)).unwrap_err();
        assert!(matches!(error(), Error::Read { .. }));
        fs::write(&path, "").unwrap();
        assert!(matches!(error(), Error::Empty { .. }));
        fs::write(&path, "-----BEGIN CERTIFICATE-----\nx").unwrap();
        assert!(matches!(error(), Error::Pem { .. }));
        let begin_and_end = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fs::write(&path, begin_and_end).unwrap();
        assert!(matches!(error(), Error::Certificate { .. }));
    }
}
