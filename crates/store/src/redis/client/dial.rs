//! Connections to servers: over TCP, with TLS, or to a socket in the file system.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

use super::Place;

/// The half of a connection that replies come from.
pub(in crate::redis) type Replies = Box<dyn AsyncRead + Send + Unpin>;
/// The half that commands go to.
pub(in crate::redis) type Commands = Box<dyn AsyncWrite + Send + Unpin>;

/// Connects to a server; with a TLS configuration and the name that its certificate must have, over TLS.
pub(in crate::redis) async fn dial(
    place: &Place,
    tls: Option<(&Arc<rustls::ClientConfig>, &str)>,
) -> io::Result<(Replies, Commands)> {
    let socket = match place {
        Place::Host(host, port) => TcpStream::connect((&**host, *port)).await?,
        #[cfg(not(unix))]
        Place::Socket(_) => return Err(io::Error::other(crate::location::no_sockets())),
        #[cfg(unix)]
        Place::Socket(path) => {
            let (from, to) = UnixStream::connect(path).await?.into_split();
            return Ok((Box::new(from), Box::new(to)));
        }
    };
    socket.set_nodelay(true)?;
    let Some((config, name)) = tls else {
        let (from, to) = socket.into_split();
        return Ok((Box::new(from), Box::new(to)));
    };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no host name for TLS"))?;
    let socket = TlsConnector::from(Arc::clone(config)).connect(name, socket).await?;
    let (from, to) = tokio::io::split(socket);
    Ok((Box::new(from), Box::new(to)))
}
