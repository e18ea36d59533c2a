//! TLS client configurations for feature stores and model servers.
//!
//! [`client_config`] trusts the certificates of a PEM file, or those of the system. It opens no connections.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use sparrow_model::skip_byte_order_mark;

/// The largest file of certificates, in bytes.
const MAX_FILE_SIZE: u64 = 16 << 20;

/// Why a TLS configuration cannot be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("certificates in {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("certificates in {}: {source}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: pem::Error,
    },
    /// A certificate of the file is invalid.
    #[error("certificates in {}: {source}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// The file has no certificates.
    #[error("certificates in {}: no certificates found", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
    /// No file is configured, and the system has no certificates.
    #[error("the system has no TLS certificates: configure a certificate file")]
    NoSystemCertificates,
    /// TLS itself cannot be configured.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

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
    let file = || path.to_owned();
    let content = sparrow_files::read(path, MAX_FILE_SIZE)
        .map_err(|source| Error::Read { file: file(), source })?;
    for certificate in CertificateDer::pem_slice_iter(skip_byte_order_mark(&content)) {
        let certificate = certificate.map_err(|source| Error::Pem { file: file(), source })?;
        roots.add(certificate).map_err(|source| Error::Certificate { file: file(), source })?;
    }
    if roots.is_empty() { Err(Error::Empty { file: file() }) } else { Ok(roots) }
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
