//! A relay in this process between the client library and each server.
//!
//! The library resolves the name of a server before it connects. [`Relays`] is its resolver: it
//! connects to the server itself, and returns the address of a local listener that accepts one
//! connection. This adds two features to the library:
//!
//! * Limits on the depth and size of replies, before they are decoded (see [`super::frames`]).
//! * Reads that bypass the library: [`SharedConnection::run`] inserts commands between those of the
//!   library, and receives their replies. Such a read costs less than one through the library
//!   without a relay.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fred::bytes_utils::Str;
use fred::error::{Error as FredError, ErrorKind};
use fred::types::Resolve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{self, Instant};

use super::dial::{Commands, Replies, dial};
use super::frames::{Frames, Retention, command};
use super::{Answer, Endpoint, Reply, tls_name};
use crate::location::Topology;
use crate::{Options, RedisLocation};

/// The size of read and write buffers, in bytes.
const BUFFER_BYTES: usize = 64 * 1024;
/// The connection is closed if the server reads nothing for this long.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum time between two log lines about closed connections.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// The relays of one client.
pub(super) struct Relays {
    location: RedisLocation,
    tls: Option<Arc<rustls::ClientConfig>>,
    timeout: Duration,
    connections: Mutex<Vec<Arc<SharedConnection>>>,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Faults {
    last: Option<String>,
    warned: Option<Instant>,
}

impl std::fmt::Debug for Relays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relays")
            .field("location", &self.location.to_string())
            .finish_non_exhaustive()
    }
}

impl Relays {
    pub(super) fn new(
        location: &RedisLocation,
        tls: Option<Arc<rustls::ClientConfig>>,
        options: &Options,
    ) -> Self {
        Self {
            location: location.clone(),
            tls,
            // Shorter than the callers' timeout, so that their error contains the cause.
            timeout: options.connect_timeout * 4 / 5,
            connections: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// The connection to a server for reads; `None` stands for the only server. It is the oldest
    /// one: the library opens others temporarily, to discover a cluster.
    pub(super) fn connection(&self, server: Option<(&str, u16)>) -> Option<Arc<SharedConnection>> {
        let connections = locked(&self.connections);
        let matches = |connection: &SharedConnection| {
            server.is_none_or(|(host, port)| connection.port == port && *connection.host == *host)
        };
        connections.iter().find(|connection| connection.is_ready() && matches(connection)).cloned()
    }

    /// Why a connection was closed since the last call.
    pub(super) fn take_fault(&self) -> Option<String> {
        locked(&self.faults).last.take()
    }

    fn report(&self, what: String) {
        let mut faults = locked(&self.faults);
        if faults.warned.is_none_or(|last| last.elapsed() > BETWEEN_WARNINGS) {
            faults.warned = Some(Instant::now());
            tracing::warn!(store = %self.location, what, "closed a connection to the feature store");
        }
        faults.last = Some(what);
    }

    async fn connect(&self, host: &str, port: u16) -> Result<(Replies, Commands), FredError> {
        let endpoint = match &self.location.topology {
            Topology::Socket(path) => Endpoint::Socket(path.clone()),
            _ => Endpoint::Host(host.to_owned(), port),
        };
        let name = tls_name(&self.location, host);
        let connected = dial(&endpoint, self.tls.as_ref().map(|config| (config, &*name)));
        match time::timeout(self.timeout, connected).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(error)) => Err(FredError::new(ErrorKind::IO, error.to_string())),
            Err(_) => {
                Err(FredError::new(ErrorKind::Timeout, "the server does not accept connections"))
            }
        }
    }
}

/// The resolver for the library. The relays end with the client.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Arc<Relays>);

#[async_trait]
impl Resolve for Resolver {
    async fn resolve(&self, host: Str, port: u16) -> Result<Vec<SocketAddr>, FredError> {
        let relays = &self.0;
        let server = relays.connect(&host, port).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (requests, queue) = mpsc::unbounded_channel();
        let mut unconfirmed = 0;
        if relays.location.password.is_some() {
            unconfirmed |= LOGIN;
        }
        if relays.location.database != 0 {
            unconfirmed |= DATABASE;
        }
        let connection = Arc::new(SharedConnection {
            host: host.to_string(),
            port,
            unconfirmed: AtomicU8::new(unconfirmed),
            requests,
            pending: Mutex::default(),
            close_reason: Mutex::default(),
            is_closing: AtomicBool::new(false),
            closing: Notify::new(),
        });
        let (relays, timeout) = (Arc::clone(relays), relays.timeout);
        tokio::spawn(async move {
            // The library connects immediately, or never if it was dropped meanwhile.
            let accepted = async {
                loop {
                    let (client, peer) = listener.accept().await?;
                    if is_of_this_user(peer) {
                        return std::io::Result::Ok(client);
                    }
                }
            };
            let Ok(Ok(client)) = time::timeout(timeout, accepted).await else { return };
            drop(listener);
            locked(&relays.connections).push(Arc::clone(&connection));
            let ended = connection.serve(client, server, queue).await;
            locked(&relays.connections).retain(|other| !Arc::ptr_eq(other, &connection));
            if let Err(what) = ended {
                *locked(&connection.close_reason) = Some(what.clone());
                relays.report(what);
            }
            // There are no more receivers for pending replies.
            locked(&connection.pending).clear();
        });
        Ok(vec![address])
    }
}

/// Whether this local connection belongs to the user of this process. Other users must not reach a
/// server through the relay. On systems without a list of connections, this is assumed.
fn is_of_this_user(peer: SocketAddr) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let SocketAddr::V4(peer) = peer else { return false };
    let (Ok(list), Ok(own)) =
        (std::fs::read_to_string("/proc/self/net/tcp"), std::fs::metadata("/proc/self"))
    else {
        return true;
    };
    // The format of the kernel: the address as a number, then the port.
    let peer = format!("{:08X}:{:04X}", u32::from_ne_bytes(peer.ip().octets()), peer.port());
    let owner = list.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        if fields.next()? == peer { fields.nth(5)?.parse::<u32>().ok() } else { None }
    });
    owner == Some(own.uid())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Setup steps of a connection, after which commands run as the right user in the right database.
const LOGIN: u8 = 1;
const DATABASE: u8 = 2;

/// A connection to a server that the library and reads share.
#[derive(Debug)]
pub(super) struct SharedConnection {
    host: String,
    port: u16,
    /// The setup steps that the server has not confirmed yet.
    unconfirmed: AtomicU8,
    requests: mpsc::UnboundedSender<Request>,
    /// The recipients of the next replies, in the order of the commands.
    pending: Mutex<VecDeque<Recipient>>,
    close_reason: Mutex<Option<String>>,
    /// Whether it is being closed, and the notification of that.
    is_closing: AtomicBool,
    closing: Notify,
}

#[derive(Debug)]
struct Request {
    commands: Vec<u8>,
    batch: Read,
}

#[derive(Debug)]
enum Recipient {
    /// The library, for one reply, and the setup step that the reply confirms.
    Library(u8),
    /// A read, for all of its replies.
    Read(Read),
}

#[derive(Debug)]
struct Read {
    retention: Vec<Retention>,
    answers: Vec<Answer>,
    too_large: TooLarge,
    to: oneshot::Sender<Vec<Answer>>,
}

/// Oversized strings, recorded when they begin: index of the reply, and index in the reply.
pub(super) type TooLarge = Arc<Mutex<Vec<(usize, usize)>>>;

impl SharedConnection {
    fn is_ready(&self) -> bool {
        self.unconfirmed.load(Ordering::Acquire) == 0
            && !self.requests.is_closed()
            && !self.is_closing.load(Ordering::Acquire)
    }

    /// Closes the connection, which the library may keep open although it no longer uses it.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.closing.notify_one();
    }

    /// Sends commands and returns their replies. The error is the reason why the connection was
    /// closed.
    pub(super) async fn run(
        &self,
        commands: Vec<u8>,
        retention: Vec<Retention>,
        too_large: TooLarge,
    ) -> Result<Vec<Answer>, String> {
        let (to, answers) = oneshot::channel();
        let batch = Read { answers: Vec::with_capacity(retention.len()), retention, too_large, to };
        let closed = || {
            locked(&self.close_reason)
                .clone()
                .unwrap_or_else(|| "the connection was closed".to_owned())
        };
        self.requests.send(Request { commands, batch }).map_err(|_| closed())?;
        answers.await.map_err(|_| closed())
    }

    /// Relays commands and replies until one side closes its connection. The error is the reason if
    /// the relay closes it.
    async fn serve(
        &self,
        client: TcpStream,
        (from, to): (Replies, Commands),
        requests: mpsc::UnboundedReceiver<Request>,
    ) -> Result<(), String> {
        client.set_nodelay(true).map_err(|error| error.to_string())?;
        let (from_client, to_client) = client.into_split();
        tokio::select! {
            ended = self.forward(from_client, requests, to) => ended,
            ended = self.deliver(from, to_client) => ended,
            () = self.closing.notified() => Ok(()),
        }
    }

    /// Writes the commands of the library and of reads to the server.
    async fn forward(
        &self,
        mut client: OwnedReadHalf,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut server: Commands,
    ) -> Result<(), String> {
        let (mut read, mut begun, mut out) = (vec![0; BUFFER_BYTES], Vec::new(), Vec::new());
        loop {
            tokio::select! {
                length = client.read(&mut read) => {
                    let Ok(length @ 1..) = length else { return Ok(()) };
                    begun.extend_from_slice(&read[..length]);
                    let mut at = 0;
                    let mut pending = locked(&self.pending);
                    while let Some((length, name)) = command(&begun[at..])? {
                        pending.push_back(Recipient::Library(match name {
                            b"AUTH" | b"HELLO" => LOGIN,
                            b"SELECT" => DATABASE,
                            _ => 0,
                        }));
                        at += length;
                    }
                    drop(pending);
                    out.extend(begun.drain(..at));
                }
                request = requests.recv() => {
                    let mut next = request;
                    let mut pending = locked(&self.pending);
                    while let Some(request) = next {
                        pending.push_back(Recipient::Read(request.batch));
                        out.extend_from_slice(&request.commands);
                        next = if out.len() < BUFFER_BYTES { requests.try_recv().ok() } else { None };
                    }
                }
            }
            let written = async {
                server.write_all(&out).await?;
                server.flush().await
            };
            match time::timeout(WRITE_TIMEOUT, written).await {
                Ok(Ok(())) => out.clear(),
                _ => return Ok(()),
            }
        }
    }

    /// Distributes the replies of the server to their recipients.
    async fn deliver(&self, mut server: Replies, mut client: OwnedWriteHalf) -> Result<(), String> {
        let (mut read, mut for_client) = (vec![0; BUFFER_BYTES], Vec::new());
        let (mut frames, mut current) = (Frames::new(), None);
        loop {
            let Ok(length @ 1..) = server.read(&mut read).await else { return Ok(()) };
            let distributed =
                self.distribute(&read[..length], &mut frames, &mut current, &mut for_client);
            // The replies before a fault are valid.
            if !for_client.is_empty() && client.write_all(&for_client).await.is_err() {
                return Ok(());
            }
            for_client.clear();
            distributed?;
        }
    }

    fn distribute(
        &self,
        input: &[u8],
        frames: &mut Frames,
        current: &mut Option<Recipient>,
        for_client: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut at = 0;
        while at < input.len() {
            if current.is_none() {
                *current = locked(&self.pending).pop_front();
            }
            let retention = match current {
                Some(Recipient::Read(read)) => read.retention[read.answers.len()],
                _ => Retention::Nothing,
            };
            let (length, answer) = frames.read(&input[at..], retention)?;
            let bytes = &input[at..at + length];
            at += length;
            match current {
                Some(Recipient::Library(_)) => for_client.extend_from_slice(bytes),
                Some(Recipient::Read(read)) => {
                    if let Some(element) = frames.take_too_large() {
                        locked(&read.too_large).push((read.answers.len(), element));
                    }
                }
                None => return Err("a reply without a command".to_owned()),
            }
            let Some(answer) = answer else { continue };
            match current.take() {
                Some(Recipient::Read(mut read)) => {
                    read.answers.push(answer);
                    if read.answers.len() < read.retention.len() {
                        *current = Some(Recipient::Read(read));
                    } else {
                        // The receiver may have been dropped.
                        let _ = read.to.send(read.answers);
                    }
                }
                Some(Recipient::Library(step)) if answer == Ok(Reply::Text("OK".into())) => {
                    self.unconfirmed.fetch_and(!step, Ordering::AcqRel);
                }
                Some(Recipient::Library(_)) | None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_of_this_process_are_of_this_user() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert!(is_of_this_user(peer));
        if std::fs::exists("/proc/self/net/tcp").unwrap() {
            drop(client);
            let unknown = SocketAddr::from((Ipv4Addr::new(127, 9, 9, 9), 1));
            assert!(!is_of_this_user(unknown));
        }
    }
}
