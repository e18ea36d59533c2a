//! A tiny load balancer: it forwards connections to servers that are ready.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client::Client;

/// The interval of health checks.
const INTERVAL: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Backends {
    /// The servers, and whether each was ready at its last health check.
    all: Mutex<Vec<(SocketAddr, bool)>>,
    next: AtomicUsize,
    stops: AtomicBool,
    /// Connections that a server refused after its last health check; another server took them.
    refused: AtomicUsize,
}

/// A balancer that stops when dropped.
pub(crate) struct Balancer {
    pub(crate) address: SocketAddr,
    backends: Arc<Backends>,
    threads: Vec<JoinHandle<()>>,
}

impl Balancer {
    pub(crate) fn start(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backends = Arc::new(Backends::default());
        *backends.all.lock().unwrap() = servers.into_iter().map(|server| (server, true)).collect();
        let (checked, accepting) = (Arc::clone(&backends), Arc::clone(&backends));
        let threads = vec![
            thread::spawn(move || checked.check_health()),
            thread::spawn(move || accepting.accept(&listener)),
        ];
        Self { address, backends, threads }
    }

    /// Adds a server, which receives connections after a health check.
    pub(crate) fn add(&self, server: SocketAddr) {
        self.backends.all.lock().unwrap().push((server, false));
    }

    pub(crate) fn remove(&self, server: SocketAddr) {
        self.backends.all.lock().unwrap().retain(|(known, _)| *known != server);
    }

    pub(crate) fn is_used(&self, server: SocketAddr) -> bool {
        self.backends.all.lock().unwrap().contains(&(server, true))
    }

    pub(crate) fn refused(&self) -> usize {
        self.backends.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.backends.stops.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Backends {
    fn check_health(&self) {
        while !self.stops.load(Ordering::Relaxed) {
            let servers = self.all.lock().unwrap().clone();
            for (server, _) in servers {
                let is_ready = is_ready(server);
                let mut all = self.all.lock().unwrap();
                if let Some(known) = all.iter_mut().find(|(known, _)| *known == server) {
                    known.1 = is_ready;
                }
            }
            thread::sleep(INTERVAL);
        }
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.stops.load(Ordering::Relaxed) {
                return;
            }
            let (client, backends) = (client.unwrap(), Arc::clone(self));
            // A client without a server sees that its connection is closed.
            thread::spawn(move || drop(backends.forward(client)));
        }
    }

    /// Connects to the next server that is ready.
    fn connect(&self) -> io::Result<TcpStream> {
        let mut ready = self.all.lock().unwrap().clone();
        ready.retain(|(_, is_ready)| *is_ready);
        if ready.is_empty() {
            return Err(ErrorKind::NotConnected.into());
        }
        let first = self.next.fetch_add(1, Ordering::Relaxed) % ready.len();
        ready.rotate_left(first);
        for (server, _) in &ready {
            match TcpStream::connect(server) {
                Ok(stream) => return Ok(stream),
                Err(_) => self.refused.fetch_add(1, Ordering::Relaxed),
            };
        }
        Err(ErrorKind::ConnectionRefused.into())
    }

    fn forward(&self, client: TcpStream) -> io::Result<()> {
        let server = self.connect()?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
        let upwards = thread::spawn(move || copy(from_client, to_server));
        copy(server, client);
        let _ = upwards.join();
        Ok(())
    }
}

/// Whether a server is ready.
fn is_ready(address: SocketAddr) -> bool {
    Client::connect(address).is_ok_and(|mut client| {
        client.set_timeout(Duration::from_secs(1));
        client.get("/readyz").is_ok_and(|answer| answer.status == 200)
    })
}

/// Copies one direction until its end, and passes the end on.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    // An error ends the connection, which the client sees.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
