//! The admin port: health and readiness on a thread of its own, so that load on the public port does not delay them.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use sparrow_http::Server;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The admin port of a running server; dropping it closes the port.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

/// Listens on an address, if one is configured. The server works without the admin port: if it cannot listen, it logs a
/// warning.
pub(crate) fn start(listen: Option<SocketAddr>, server: &Arc<Server>) -> Option<Admin> {
    let address = listen?;
    match serve(address, Arc::clone(server)) {
        Ok(admin) => {
            tracing::info!(address = %admin.address, "the admin port is open");
            Some(admin)
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                %address,
                error,
                "cannot listen on the admin port, serving without it; admin.listen chooses another, or \"off\""
            );
            None
        }
    }
}

fn serve(address: SocketAddr, server: Arc<Server>) -> std::io::Result<Admin> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    thread::Builder::new().name("sparrow-admin".to_owned()).spawn(move || {
        runtime.block_on(async {
            match tokio::net::TcpListener::from_std(listener) {
                // Dropping the sender stops it.
                Ok(listener) => server.serve_admin(listener, async { drop(stopped.await) }).await,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the admin port cannot be served");
                }
            }
        });
    })?;
    Ok(Admin { address, _stop: stop })
}
