//! Connects to servers over TCP, TLS or a Unix socket.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::Endpoint;

/// The half of a connection that receives replies.
pub(in crate::redis) type Replies = Box<dyn AsyncRead + Send + Unpin>;
/// The half of a connection that sends commands.
pub(in crate::redis) type Commands = Box<dyn AsyncWrite + Send + Unpin>;

/// Connects to a server, over TLS if a configuration and the required certificate name are present.
pub(in crate::redis) async fn dial(
    endpoint: &Endpoint,
    tls: Option<(&Arc<rustls::ClientConfig>, &str)>,
) -> io::Result<(Replies, Commands)> {
    let socket = match endpoint {
        Endpoint::Host(host, port) => TcpStream::connect((&**host, *port)).await?,
        #[cfg(not(unix))]
        Endpoint::Socket(_) => return Err(io::Error::other(crate::location::no_sockets())),
        #[cfg(unix)]
        Endpoint::Socket(path) => {
            let (from, to) = UnixStream::connect(path).await?.into_split();
            return Ok((Box::new(from), Box::new(to)));
        }
    };
    socket.set_nodelay(true)?;
    let Some((config, name)) = tls else {
        let (from, to) = socket.into_split();
        return Ok((Box::new(from), Box::new(to)));
    };
    let name = ServerName::try_from(name.to_owned()).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "the host name is invalid for TLS")
    })?;
    let socket = TlsConnector::from(Arc::clone(config)).connect(name, socket).await?;
    let (from, to) = tokio::io::split(socket);
    Ok((Box::new(from), Box::new(to)))
}
