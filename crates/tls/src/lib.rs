//! TLS on rustls: for clients of stores, model servers and collectors, and for a server.
//!
//! A client trusts the certificates of a PEM file, or those of the system: [`Connector`] performs its handshakes with one host, and
//! [`client_config`] is for clients with their own connections. A server presents the certificates of an [`Identity`], which
//! [`Acceptor::replace`] exchanges while it serves. This crate opens and accepts no connections.

mod client;
mod expiry;
mod server;

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use sparrow_model::skip_byte_order_mark;
pub use tokio_rustls::TlsStream;

pub use client::{Connector, Stream, client_config, connect};
pub use server::{Acceptor, Identity};

/// The largest file of certificates or keys, in bytes.
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
    /// The file has no private key that a server can use.
    #[error("private key in {}: {source}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The private key belongs to another certificate.
    #[error(
        "the private key in {} does not belong to the first certificate in {}",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// The name of a host is neither a DNS name nor an address.
    #[error("{0:?} is not a host for TLS")]
    Host(String),
    /// No file is configured, and the system has no certificates.
    #[error("the system has no TLS certificates: configure a certificate file")]
    NoSystemCertificates,
    /// TLS itself cannot be configured.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// Reads the certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let file = || path.to_owned();
    let content = sparrow_files::read(path, MAX_FILE_SIZE)
        .map_err(|source| Error::Read { file: file(), source })?;
    let all = CertificateDer::pem_slice_iter(skip_byte_order_mark(&content))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::Pem { file: file(), source })?;
    if all.is_empty() { Err(Error::Empty { file: file() }) } else { Ok(all) }
}
