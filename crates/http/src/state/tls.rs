//! The interface to a TLS library: this crate contains none.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A handshake, which ends with an encrypted connection.
pub type Handshake<'a> =
    Pin<Box<dyn Future<Output = io::Result<Box<dyn EncryptedStream>>> + Send + 'a>>;

/// Encrypts the connections of a server.
pub trait Tls: fmt::Debug + Send + Sync {
    /// Performs the handshake of an accepted connection. The server sets the time limit, and closes the connection by dropping
    /// the future.
    fn accept(&self, socket: TcpStream) -> Handshake<'_>;

    /// When the certificate for new connections expires, if that is known.
    fn expires(&self) -> Option<SystemTime>;
}

/// An encrypted connection. It may keep a part of what was written until it is flushed. Its shutdown flushes it, announces the end
/// (`close_notify`), and ends the writing half of the socket.
pub trait EncryptedStream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> EncryptedStream for T {}
