//! A relay in this process between the client library and each server.
//!
//! The library resolves the name of a server before it connects. [`Relays`] is its resolver: it connects to the
//! server itself, and returns the address of a listener that accepts one connection. This gives two things that the
//! library does not have:
//!
//! * Limits on the depth and size of replies, in front of its decoder (see [`super::frames`]).
//! * A short way for reads: [`Line::run`] writes commands between those of the library, and takes their replies. The
//!   library is not involved, so a read costs less than without the relay.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use fred::bytes_utils::Str;
use fred::error::{Error as FredError, ErrorKind};
use fred::types::Resolve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{self, Instant};

use super::dial::{Commands, Replies, dial};
use super::frames::{Frames, Keep, command};
use super::{Answer, Place, Reply, tls_name};
use crate::location::Topology;
use crate::{Options, RedisLocation};

/// Bytes that are read or written at once.
const PIECE: usize = 64 * 1024;
/// A server that reads nothing for so long is given up.
const LONGEST_WRITE: Duration = Duration::from_secs(10);
/// Between two log lines on closed connections.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// The relays of one client.
pub(super) struct Relays {
    location: RedisLocation,
    tls: Option<Arc<rustls::ClientConfig>>,
    timeout: Duration,
    lines: Mutex<Vec<Arc<Line>>>,
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
            // A little before those who wait for it give up, so that they learn the reason.
            timeout: options.connect_timeout * 4 / 5,
            lines: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    /// The connection to a server that reads may use; `None` as the server means that there is only one. Of
    /// several it is the oldest: the library opens others for a short time, to look at a cluster.
    pub(super) fn line(&self, server: Option<(&str, u16)>) -> Option<Arc<Line>> {
        let lines = locked(&self.lines);
        let mut lines = lines.iter();
        let is_it = |line: &Line| {
            server.is_none_or(|(host, port)| line.port == port && *line.host == *host)
        };
        lines.find(|line| line.is_ready() && is_it(line)).cloned()
    }

    /// Why a connection was closed since this was last called.
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
        let place = match &self.location.topology {
            Topology::Socket(path) => Place::Socket(path.clone()),
            _ => Place::Host(host.to_owned(), port),
        };
        let name = tls_name(&self.location, host);
        let connected = dial(&place, self.tls.as_ref().map(|config| (config, &*name)));
        match time::timeout(self.timeout, connected).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(error)) => Err(FredError::new(ErrorKind::IO, error.to_string())),
            Err(_) => {
                Err(FredError::new(ErrorKind::Timeout, "the server does not accept connections"))
            }
        }
    }
}

/// What [`Relays`] is to the library: a resolver whose relays end when the client is gone.
#[derive(Debug)]
pub(super) struct Resolver(pub(super) Arc<Relays>);

#[async_trait]
impl Resolve for Resolver {
    async fn resolve(&self, host: Str, port: u16) -> Result<Vec<SocketAddr>, FredError> {
        let relays = &self.0;
        let server = relays.connect(&host, port).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (requests, waiting) = mpsc::unbounded_channel();
        let mut missing = 0;
        if relays.location.password.is_some() {
            missing |= LOGIN;
        }
        if relays.location.database != 0 {
            missing |= DATABASE;
        }
        let line = Arc::new(Line {
            host: host.to_string(),
            port,
            missing: AtomicU8::new(missing),
            requests,
            owed: Mutex::default(),
            why: Mutex::default(),
        });
        let (relays, timeout) = (Arc::clone(relays), relays.timeout);
        tokio::spawn(async move {
            // The library connects at once, or not at all if it was dropped meanwhile.
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
            locked(&relays.lines).push(Arc::clone(&line));
            let ended = line.serve(client, server, waiting).await;
            locked(&relays.lines).retain(|other| !Arc::ptr_eq(other, &line));
            if let Err(what) = ended {
                *locked(&line.why) = Some(what.clone());
                relays.report(what);
            }
            // Nobody waits any more for what is owed.
            locked(&line.owed).clear();
        });
        Ok(vec![address])
    }
}

/// Whether the user of this process opened a connection from this address of this machine. Another one must not come
/// to a server this way that it may not connect to. Where the system has no such list, it counts as the same user.
fn is_of_this_user(peer: SocketAddr) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let SocketAddr::V4(peer) = peer else { return false };
    let (Ok(list), Ok(own)) =
        (std::fs::read_to_string("/proc/self/net/tcp"), std::fs::metadata("/proc/self"))
    else {
        return true;
    };
    // As the kernel prints them: the address as a number, then the port.
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

/// Steps of a connection's setup, after which its replies are those of the right user and database.
const LOGIN: u8 = 1;
const DATABASE: u8 = 2;

/// A connection to a server, which the library and reads share.
#[derive(Debug)]
pub(super) struct Line {
    host: String,
    port: u16,
    /// Steps of the setup that the server has not confirmed yet.
    missing: AtomicU8,
    requests: mpsc::UnboundedSender<Request>,
    /// For whom the next replies are, in the order of their commands.
    owed: Mutex<VecDeque<Owed>>,
    /// Why it was closed.
    why: Mutex<Option<String>>,
}

/// Commands of a read.
#[derive(Debug)]
struct Request {
    commands: Vec<u8>,
    batch: Read,
}

#[derive(Debug)]
enum Owed {
    /// One reply for the library, and the step of the setup that it confirms.
    Library(u8),
    /// All replies to a request.
    Read(Read),
}

#[derive(Debug)]
struct Read {
    keep: Vec<Keep>,
    answers: Vec<Answer>,
    too_large: TooLarge,
    to: oneshot::Sender<Vec<Answer>>,
}

/// Strings that are too large, noted when they begin: reply, and place in it.
pub(super) type TooLarge = Arc<Mutex<Vec<(usize, usize)>>>;

impl Line {
    fn is_ready(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0 && !self.requests.is_closed()
    }

    /// Sends commands, of each of whose replies this is kept, and returns the replies. An error is why the connection
    /// was closed.
    pub(super) async fn run(
        &self,
        commands: Vec<u8>,
        keep: Vec<Keep>,
        too_large: TooLarge,
    ) -> Result<Vec<Answer>, String> {
        let (to, answers) = oneshot::channel();
        let batch = Read { answers: Vec::with_capacity(keep.len()), keep, too_large, to };
        let closed =
            || locked(&self.why).clone().unwrap_or_else(|| "the connection was closed".to_owned());
        self.requests.send(Request { commands, batch }).map_err(|_| closed())?;
        answers.await.map_err(|_| closed())
    }

    /// Passes commands and replies on until one side closes its connection. An error is why this side did.
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
        }
    }

    /// Writes the commands of both to the server.
    async fn forward(
        &self,
        mut client: OwnedReadHalf,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut server: Commands,
    ) -> Result<(), String> {
        let (mut read, mut begun, mut out) = (vec![0; PIECE], Vec::new(), Vec::new());
        loop {
            tokio::select! {
                length = client.read(&mut read) => {
                    let Ok(length @ 1..) = length else { return Ok(()) };
                    begun.extend_from_slice(&read[..length]);
                    let mut at = 0;
                    let mut owed = locked(&self.owed);
                    while let Some((length, name)) = command(&begun[at..])? {
                        owed.push_back(Owed::Library(match name {
                            b"AUTH" | b"HELLO" => LOGIN,
                            b"SELECT" => DATABASE,
                            _ => 0,
                        }));
                        at += length;
                    }
                    drop(owed);
                    out.extend(begun.drain(..at));
                }
                request = requests.recv() => {
                    let mut next = request;
                    let mut owed = locked(&self.owed);
                    while let Some(request) = next {
                        owed.push_back(Owed::Read(request.batch));
                        out.extend_from_slice(&request.commands);
                        next = if out.len() < PIECE { requests.try_recv().ok() } else { None };
                    }
                }
            }
            let written = async {
                server.write_all(&out).await?;
                server.flush().await
            };
            match time::timeout(LONGEST_WRITE, written).await {
                Ok(Ok(())) => out.clear(),
                _ => return Ok(()),
            }
        }
    }

    /// Hands the server's replies to those whom they are for.
    async fn deliver(&self, mut server: Replies, mut client: OwnedWriteHalf) -> Result<(), String> {
        let (mut read, mut for_client) = (vec![0; PIECE], Vec::new());
        let (mut frames, mut current) = (Frames::new(), None);
        loop {
            let Ok(length @ 1..) = server.read(&mut read).await else { return Ok(()) };
            let taken = self.take(&read[..length], &mut frames, &mut current, &mut for_client);
            // What came before a fault is not spoilt by it.
            if !for_client.is_empty() && client.write_all(&for_client).await.is_err() {
                return Ok(());
            }
            for_client.clear();
            taken?;
        }
    }

    fn take(
        &self,
        input: &[u8],
        frames: &mut Frames,
        current: &mut Option<Owed>,
        for_client: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut at = 0;
        while at < input.len() {
            if current.is_none() {
                *current = locked(&self.owed).pop_front();
            }
            let keep = match current {
                Some(Owed::Read(read)) => read.keep[read.answers.len()],
                _ => Keep::Nothing,
            };
            let (length, answer) = frames.read(&input[at..], keep)?;
            let bytes = &input[at..at + length];
            at += length;
            match current {
                Some(Owed::Library(_)) => for_client.extend_from_slice(bytes),
                Some(Owed::Read(read)) => {
                    if let Some(place) = frames.take_too_large() {
                        locked(&read.too_large).push((read.answers.len(), place));
                    }
                }
                None => return Err("a reply that no command asked for".to_owned()),
            }
            let Some(answer) = answer else { continue };
            match current.take() {
                Some(Owed::Read(mut read)) => {
                    read.answers.push(answer);
                    if read.answers.len() < read.keep.len() {
                        *current = Some(Owed::Read(read));
                    } else {
                        // Whoever waited may have gone away.
                        let _ = read.to.send(read.answers);
                    }
                }
                Some(Owed::Library(step)) if answer == Ok(Reply::Text("OK".into())) => {
                    self.missing.fetch_and(!step, Ordering::AcqRel);
                }
                Some(Owed::Library(_)) | None => {}
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
            let nobody = SocketAddr::from((Ipv4Addr::new(127, 9, 9, 9), 1));
            assert!(!is_of_this_user(nobody));
        }
    }
}
