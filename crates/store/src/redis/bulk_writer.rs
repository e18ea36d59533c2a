//! BulkWriter writes: a separate connection to each node, commands buffered into large chunks, and
//! replies that are checked for errors only. After each batch, an `ECHO` of a nonce proves that no
//! reply was lost or duplicated.
//!
//! The client library spends several microseconds on a command, several times what Redis does. That
//! is irrelevant for a read, but dominates a push of a million keys.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time;

use super::client::{Connections, Node, dial, refusal, slot, tls_config, words};
use crate::{Error, Options, RedisLocation};

/// A chunk is written when it reaches this size.
const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks queued per node; a caller with more waits.
const MAX_QUEUED_CHUNKS: usize = 4;
/// The longest line in a reply to a write.
const LONGEST_LINE: u64 = 64 * 1024;
const LONGEST_NONCE: usize = 64;

pub(super) struct BulkWriter {
    address: String,
    pipes: Vec<Pipe>,
    /// The index of the pipe for each slot; empty if there is only one pipe.
    by_slot: Vec<u16>,
    deadline: Duration,
}

struct Pipe {
    chunk: Vec<u8>,
    commands: u64,
    /// Commands sent to the writer.
    sent: u64,
    chunks: mpsc::Sender<Vec<u8>>,
    progress: Arc<Progress>,
    /// The writer and reader tasks, which end when this is dropped.
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Progress {
    replies: AtomicU64,
    fault: Mutex<Option<Error>>,
    changed: Notify,
    /// The nonces expected back, each with the number of its reply.
    nonces: Mutex<VecDeque<(u64, Vec<u8>)>>,
}

impl Progress {
    fn fail(&self, error: Error) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.changed.notify_waiters();
    }

    /// Whether a reply is in sequence: a nonce where one is expected, and no other string.
    fn is_in_sequence(&self, number: u64, reply: &Reply) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match (nonces.front(), reply) {
            (Some((due, nonce)), reply) if *due == number => {
                let matches = matches!(reply, Reply::Text(text) if text == nonce);
                nonces.pop_front();
                matches
            }
            (_, Reply::Text(_)) => false,
            _ => true,
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

impl BulkWriter {
    /// Connects to every node.
    pub(super) async fn open(connections: &Connections, options: &Options) -> Result<Self, Error> {
        let (address, location) = (connections.address(), connections.location());
        let nodes = connections.nodes()?;
        let mut by_slot = Vec::new();
        if nodes.len() > 1 {
            by_slot = vec![0; 16_384];
            for (index, node) in nodes.iter().enumerate() {
                for &(first, last) in &node.slots {
                    by_slot[usize::from(first)..=usize::from(last)].fill(index as u16);
                }
            }
        }
        let mut pipes = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let open = Pipe::open(address, node, location, options);
            let pipe = time::timeout(options.connect_timeout, open)
                .await
                .map_err(|_| Error::TimedOut { store: address.to_owned() })??;
            pipes.push(pipe);
        }
        Ok(Self { address: address.to_owned(), pipes, by_slot, deadline: options.bulk_deadline })
    }

    /// Queues a command for the node of its first argument, a key. Commands for one key are
    /// executed in order. The error may be that of an earlier command.
    pub(super) async fn push(&mut self, name: &str, arguments: &[&[u8]]) -> Result<(), Error> {
        self.push_for_key(arguments.first().copied().unwrap_or_default(), name, arguments).await
    }

    /// Queues a command for the node of `key`, which is not its first argument.
    pub(super) async fn push_for_key(
        &mut self,
        key: &[u8],
        name: &str,
        arguments: &[&[u8]],
    ) -> Result<(), Error> {
        let pipe = match &self.by_slot[..] {
            [] => 0,
            by_slot => usize::from(by_slot[usize::from(slot(key))]),
        };
        let pipe = &mut self.pipes[pipe];
        words(&mut pipe.chunk, name, arguments);
        pipe.commands += 1;
        if pipe.chunk.len() >= CHUNK_BYTES {
            pipe.send(&self.address, self.deadline).await?;
        }
        Ok(())
    }

    /// Waits for all replies.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        for pipe in &mut self.pipes {
            pipe.append_nonce();
            pipe.send(&self.address, self.deadline).await?;
        }
        for pipe in &self.pipes {
            pipe.flush(&self.address, self.deadline).await?;
        }
        Ok(())
    }

    /// Drops queued commands and waits for pending replies, ignoring errors.
    pub(super) async fn abandon(&mut self) {
        for pipe in &mut self.pipes {
            pipe.chunk.clear();
            pipe.commands = 0;
            let _ = pipe.wait_for_replies(&self.address, self.deadline).await;
        }
    }
}

impl Pipe {
    async fn open(
        address: &str,
        node: &Node,
        location: &RedisLocation,
        options: &Options,
    ) -> Result<Self, Error> {
        let tls = location.tls.then(|| tls_config(options)).transpose()?.map(Arc::new);
        let socket = dial(&node.endpoint, tls.as_ref().map(|config| (config, &*node.tls_name)));
        let (from, to) = socket.await.map_err(|error| Error::Unavailable {
            store: address.to_owned(),
            what: error.to_string(),
        })?;
        Self::begin(address, location, BufReader::new(from), to).await
    }

    /// Authenticates, selects the database, and starts the tasks.
    async fn begin(
        address: &str,
        location: &RedisLocation,
        mut from: BufReader<impl AsyncRead + Send + Unpin + 'static>,
        mut to: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, Error> {
        greet(address, location, &mut from, &mut to).await?;
        let progress = Arc::new(Progress::default());
        let (chunks, queue) = mpsc::channel(MAX_QUEUED_CHUNKS);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(to, queue, Arc::clone(&progress), address.to_owned()));
        tasks.spawn(read(from, Arc::clone(&progress), address.to_owned()));
        Ok(Self { chunk: Vec::new(), commands: 0, sent: 0, chunks, progress, _tasks: tasks })
    }

    /// Appends an `ECHO` of a nonce, which proves that all replies before it arrived.
    fn append_nonce(&mut self) {
        let number = self.sent + self.commands + 1;
        let nonce = format!("sparrow-{number}").into_bytes();
        words(&mut self.chunk, "ECHO", &[&nonce]);
        self.commands += 1;
        let nonces = &self.progress.nonces;
        nonces.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, nonce));
    }

    async fn send(&mut self, address: &str, deadline: Duration) -> Result<(), Error> {
        self.progress.check()?;
        if self.commands == 0 {
            return Ok(());
        }
        let permit = time::timeout(deadline, self.chunks.reserve()).await;
        match permit {
            Ok(Ok(permit)) => {
                self.sent += self.commands;
                self.commands = 0;
                permit.send(std::mem::replace(
                    &mut self.chunk,
                    Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8),
                ));
                Ok(())
            }
            Ok(Err(_)) => {
                self.progress.check()?;
                Err(closed(address))
            }
            Err(_) => Err(Error::TimedOut { store: address.to_owned() }),
        }
    }

    async fn flush(&self, address: &str, deadline: Duration) -> Result<(), Error> {
        self.wait_for_replies(address, deadline).await?;
        self.progress.check()
    }

    /// Waits for replies to all commands that were sent, until none arrives within the deadline or
    /// the connection fails.
    async fn wait_for_replies(&self, address: &str, deadline: Duration) -> Result<(), Error> {
        loop {
            let changed = self.progress.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.progress.replies.load(Ordering::Acquire) >= self.sent {
                return Ok(());
            }
            if let Err(error @ Error::Unavailable { .. }) = self.progress.check() {
                return Err(error);
            }
            time::timeout(deadline, changed)
                .await
                .map_err(|_| Error::TimedOut { store: address.to_owned() })?;
        }
    }
}

/// Authenticates, and selects the database.
pub(super) async fn greet(
    address: &str,
    location: &RedisLocation,
    from: &mut BufReader<impl AsyncRead + Send + Unpin>,
    to: &mut (impl AsyncWrite + Send + Unpin),
) -> Result<(), Error> {
    let mut hello = Vec::new();
    let mut expected = 0;
    match (&location.username, &location.password) {
        (Some(user), Some(password)) => {
            words(&mut hello, "AUTH", &[user.as_bytes(), password.as_bytes()]);
            expected += 1;
        }
        (None, Some(password)) => {
            words(&mut hello, "AUTH", &[password.as_bytes()]);
            expected += 1;
        }
        _ => {}
    }
    if location.database != 0 {
        words(&mut hello, "SELECT", &[location.database.to_string().as_bytes()]);
        expected += 1;
    }
    let unavailable = |error: io::Error| Error::Unavailable {
        store: address.to_owned(),
        what: error.to_string(),
    };
    to.write_all(&hello).await.map_err(unavailable)?;
    to.flush().await.map_err(unavailable)?;
    for _ in 0..expected {
        if let Reply::Error(message) =
            read_reply(from, &mut Vec::new()).await.map_err(unavailable)?
        {
            return Err(refusal(address, &message));
        }
    }
    Ok(())
}

fn closed(address: &str) -> Error {
    Error::Unavailable { store: address.to_owned(), what: "the connection was closed".to_owned() }
}

async fn write(
    mut to: impl AsyncWrite + Unpin,
    mut chunks: mpsc::Receiver<Vec<u8>>,
    progress: Arc<Progress>,
    address: String,
) {
    while let Some(chunk) = chunks.recv().await {
        let written = async {
            to.write_all(&chunk).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            progress.fail(Error::Unavailable { store: address, what: error.to_string() });
            return;
        }
    }
}

async fn read(
    mut from: BufReader<impl AsyncRead + Unpin>,
    progress: Arc<Progress>,
    address: String,
) {
    let mut line = Vec::new();
    let (mut number, mut unreported) = (0, 0);
    loop {
        number += 1;
        let reply = match read_reply(&mut from, &mut line).await {
            Ok(reply) => reply,
            Err(error) => {
                progress.fail(Error::Unavailable { store: address, what: error.to_string() });
                return;
            }
        };
        if !progress.is_in_sequence(number, &reply) {
            let what = "its replies are out of sequence".to_owned();
            progress.fail(Error::Unavailable { store: address, what });
            return;
        }
        match reply {
            Reply::Done | Reply::Text(_) => {}
            // The key expired, or an earlier attempt has renamed it.
            Reply::Error(message) if message.starts_with("ERR no such key") => {}
            Reply::Error(message) => progress.fail(refusal(&address, &message)),
        }
        unreported += 1;
        // Notify in batches.
        if unreported >= 64 || from.buffer().is_empty() {
            progress.replies.fetch_add(unreported, Ordering::Release);
            progress.changed.notify_waiters();
            unreported = 0;
        }
    }
}

/// The reply to a write.
#[derive(Debug, PartialEq)]
enum Reply {
    Done,
    /// The error message of Redis.
    Error(String),
    /// A nonce.
    Text(Vec<u8>),
}

/// Reads the reply to a write: a line or a nonce.
async fn read_reply(
    from: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> io::Result<Reply> {
    line.clear();
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a malformed reply to a write");
    from.take(LONGEST_LINE).read_until(b'\n', line).await?;
    match (line.first(), line.last()) {
        (Some(b'+' | b':'), Some(b'\n')) => Ok(Reply::Done),
        (Some(b'-'), Some(b'\n')) => {
            Ok(Reply::Error(String::from_utf8_lossy(&line[1..]).trim_end().to_owned()))
        }
        (Some(b'$'), Some(b'\n')) => {
            let length =
                str::from_utf8(&line[1..]).ok().and_then(|text| text.trim_end().parse().ok());
            let length: usize =
                length.filter(|&length| length <= LONGEST_NONCE).ok_or_else(malformed)?;
            let mut text = vec![0; length + 2];
            from.read_exact(&mut text).await?;
            text.truncate(length);
            Ok(Reply::Text(text))
        }
        (None, _) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn commands_are_arrays_of_byte_strings() {
        let mut text = Vec::new();
        words(&mut text, "HSET", &[b"k", b"a", b""]);
        assert_eq!(text, b"*4\r\n$4\r\nHSET\r\n$1\r\nk\r\n$1\r\na\r\n$0\r\n\r\n");
    }

    #[tokio::test]
    async fn replies_other_than_lines_and_nonces_are_errors() {
        let text = &b"+OK\r\n:3\r\n-OOM no memory\r\n$5\r\nhello\r\n$99\r\n"[..];
        let (mut from, mut line) = (BufReader::new(text), Vec::new());
        for expected in [
            Reply::Done,
            Reply::Done,
            Reply::Error("OOM no memory".to_owned()),
            Reply::Text(b"hello".to_vec()),
        ] {
            assert_eq!(read_reply(&mut from, &mut line).await.unwrap(), expected);
        }
        assert!(read_reply(&mut from, &mut line).await.is_err());
        for cut in [&b""[..], b"+OK", b"-ERR"] {
            assert!(read_reply(&mut BufReader::new(cut), &mut line).await.is_err());
        }
        let progress = Progress::default();
        progress.nonces.lock().unwrap().push_back((2, b"n".to_vec()));
        let nonce = Reply::Text(b"n".to_vec());
        assert!(!progress.is_in_sequence(1, &nonce), "a reply was lost");
        assert!(progress.is_in_sequence(1, &Reply::Done));
        assert!(!progress.is_in_sequence(2, &Reply::Done), "a reply was duplicated");
        let endless = vec![b'+'; 2 * LONGEST_LINE as usize];
        assert!(read_reply(&mut BufReader::new(&endless[..]), &mut line).await.is_err());
    }
}
