//! TLS client configuration.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sparrow_model::skip_byte_order_mark;

use crate::Error;

/// Creates a configuration that trusts the certificates of a file, or those of the system.
pub(crate) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Certificates(format!("TLS: {error}")))?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth())
}

/// Maximum size of a certificate file in bytes.
const MAX_FILE_SIZE: u64 = 16 << 20;

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        let (_, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let fault = "the system has no TLS certificates: configure a certificate file";
            return Err(Error::Certificates(fault.to_owned()));
        }
        return Ok(roots);
    };
    let fault = |message: String| {
        Error::Certificates(format!("certificates in {}: {message}", path.display()))
    };
    let pem = sparrow_files::read(path, MAX_FILE_SIZE).map_err(|error| fault(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(skip_byte_order_mark(&pem)) {
        let certificate = certificate.map_err(|error| fault(error.to_string()))?;
        roots.add(certificate).map_err(|error| fault(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(fault("no certificates found".to_owned()));
    }
    Ok(roots)
}
