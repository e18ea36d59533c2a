//! TLS of the server from its configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sparrow_http::{EncryptedStream, Handshake};
use sparrow_tls::{Acceptor, Error as TlsError, Identity};
use tokio::net::TcpStream;

use crate::{Error, config};

/// TLS with the certificate of two files.
#[derive(Debug)]
pub(crate) struct Tls {
    config: config::Tls,
    acceptor: Acceptor,
}

impl Tls {
    /// Reads the files of the configuration; `None` if it has none.
    pub(crate) fn open(config: &config::Tls) -> Result<Option<Arc<Self>>, Error> {
        if !config.is_configured() {
            return Ok(None);
        }
        let acceptor = Acceptor::new(read(config)?);
        Ok(Some(Arc::new(Self { config: config.clone(), acceptor })))
    }

    /// Reads the files again.
    pub(crate) fn read(&self) -> Result<Identity, Error> {
        read(&self.config)
    }

    /// Presents another certificate to new connections.
    pub(crate) fn replace(&self, identity: Identity) {
        let days = validity(&identity).map(days);
        tracing::info!(days, "the certificate was read again");
        self.acceptor.replace(identity);
    }

    /// The files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.config.certificate, &self.config.key].into_iter().filter_map(Option::as_deref)
    }
}

impl sparrow_http::Tls for Tls {
    fn accept(&self, socket: TcpStream) -> Handshake<'_> {
        Box::pin(async move {
            let stream = self.acceptor.accept(socket).await?;
            Ok(Box::new(stream) as Box<dyn EncryptedStream>)
        })
    }

    fn expires(&self) -> Option<SystemTime> {
        self.acceptor.identity().expires()
    }
}

/// Reads the certificate and the key. An expired certificate is a warning: clients refuse it, and the next one may come while the
/// server runs.
fn read(config: &config::Tls) -> Result<Identity, Error> {
    let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else {
        let missing = if config.key.is_none() { "tls.key" } else { "tls.certificate" };
        let what = format!("{missing} is missing: set both tls.certificate and tls.key, or none");
        return Err(Error::Setting(what));
    };
    let identity = Identity::read(certificate, key).map_err(|error| {
        let name = match error {
            TlsError::Key { .. } | TlsError::Mismatch { .. } => "tls.key",
            _ => "tls.certificate",
        };
        Error::Setting(format!("{name}: {error}"))
    })?;
    if validity(&identity).is_some_and(|left| left.is_zero()) {
        tracing::warn!(file = %certificate.display(), "the certificate has expired");
    }
    Ok(identity)
}

/// The remaining time of a certificate; zero if it has expired.
fn validity(identity: &Identity) -> Option<Duration> {
    let left = |expires: SystemTime| expires.duration_since(SystemTime::now());
    identity.expires().map(|expires| left(expires).unwrap_or_default())
}

const fn days(time: Duration) -> u64 {
    time.as_secs() / (24 * 60 * 60)
}

/// Describes the certificate of a configuration; an error if it has expired.
pub(crate) fn check(config: &config::Tls) -> Result<String, Error> {
    match validity(&read(config)?) {
        Some(left) if left.is_zero() => {
            Err(Error::Setting("tls.certificate: it has expired".to_owned()))
        }
        Some(left) => Ok(format!("valid for another {} days", days(left))),
        None => Ok("valid".to_owned()),
    }
}
