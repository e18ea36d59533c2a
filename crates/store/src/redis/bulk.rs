//! The way for many writes: a connection of its own to each node, commands packed into large pieces, and
//! nothing kept of an answer but whether it is an error. At the end of each batch an `ECHO` of a nonce
//! proves that every answer was that of its command, none lost and none doubled.
//!
//! The client library spends several microseconds on a command, several times of what Redis does.
//! That does not matter for a read; a push of a million keys would take its time from it.

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

/// A piece is written when it has so many bytes.
const PIECE: usize = 64 * 1024;
/// Pieces that wait to be written to a node; more make the caller wait.
const PIECES: usize = 4;
/// The longest line that Redis answers a write with.
const LONGEST_LINE: u64 = 64 * 1024;
const LONGEST_NONCE: usize = 64;

/// Open connections for writing.
pub(super) struct Bulk {
    address: String,
    pipes: Vec<Pipe>,
    /// By slot, the position of its pipe; empty if there is only one.
    by_slot: Vec<u16>,
    deadline: Duration,
}

struct Pipe {
    piece: Vec<u8>,
    commands: u64,
    /// Commands handed to the writer.
    sent: u64,
    pieces: mpsc::Sender<Vec<u8>>,
    progress: Arc<Progress>,
    /// Writer and reader; they end with this.
    _tasks: JoinSet<()>,
}

/// What the reader has seen.
#[derive(Default)]
struct Progress {
    answered: AtomicU64,
    fault: Mutex<Option<Error>>,
    changed: Notify,
    /// Nonces that are to come back, each with the number of its answer.
    nonces: Mutex<VecDeque<(u64, Vec<u8>)>>,
}

impl Progress {
    fn fail(&self, error: Error) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.changed.notify_waiters();
    }

    /// Whether the answer of this number is what it must be: a nonce where one is due, and no other text.
    fn is_in_step(&self, number: u64, answer: &Answer) -> bool {
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match (nonces.front(), answer) {
            (Some((due, nonce)), answer) if *due == number => {
                let matches = matches!(answer, Answer::Text(text) if text == nonce);
                nonces.pop_front();
                matches
            }
            (_, Answer::Text(_)) => false,
            _ => true,
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

impl Bulk {
    /// Connects to every node.
    pub(super) async fn open(connections: &Connections, options: &Options) -> Result<Self, Error> {
        let (address, location) = (connections.address(), connections.location());
        let nodes = connections.nodes()?;
        let mut by_slot = Vec::new();
        if nodes.len() > 1 {
            by_slot = vec![0; 16_384];
            for (at, node) in nodes.iter().enumerate() {
                for &(first, last) in &node.slots {
                    by_slot[usize::from(first)..=usize::from(last)].fill(at as u16);
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

    /// Takes a command on its way to where its first argument, a key, is. Commands for one key are executed
    /// in order. An error may be that of an earlier one.
    pub(super) async fn push(&mut self, name: &str, arguments: &[&[u8]]) -> Result<(), Error> {
        self.push_at(arguments.first().copied().unwrap_or_default(), name, arguments).await
    }

    /// The same for a command whose first argument is no key: to where `key` is.
    pub(super) async fn push_at(
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
        words(&mut pipe.piece, name, arguments);
        pipe.commands += 1;
        if pipe.piece.len() >= PIECE {
            pipe.send(&self.address, self.deadline).await?;
        }
        Ok(())
    }

    /// Waits until all is answered.
    pub(super) async fn land(&mut self) -> Result<(), Error> {
        for pipe in &mut self.pipes {
            pipe.mark();
            pipe.send(&self.address, self.deadline).await?;
        }
        for pipe in &self.pipes {
            pipe.land(&self.address, self.deadline).await?;
        }
        Ok(())
    }

    /// Waits for what is on its way, whatever comes of it: it is then over with it.
    pub(super) async fn abandon(&mut self) {
        for pipe in &mut self.pipes {
            pipe.piece.clear();
            pipe.commands = 0;
            let _ = pipe.drained(&self.address, self.deadline).await;
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
        let socket = dial(&node.place, tls.as_ref().map(|config| (config, &*node.tls_name)));
        let (from, to) = socket.await.map_err(|error| Error::Unavailable {
            store: address.to_owned(),
            what: error.to_string(),
        })?;
        Self::begin(address, location, BufReader::new(from), to).await
    }

    /// Says who we are and which database we want, and starts the tasks.
    async fn begin(
        address: &str,
        location: &RedisLocation,
        mut from: BufReader<impl AsyncRead + Send + Unpin + 'static>,
        mut to: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Self, Error> {
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
        let away = |error: io::Error| Error::Unavailable {
            store: address.to_owned(),
            what: error.to_string(),
        };
        to.write_all(&hello).await.map_err(away)?;
        to.flush().await.map_err(away)?;
        for _ in 0..expected {
            if let Answer::Error(says) = answer(&mut from, &mut Vec::new()).await.map_err(away)? {
                return Err(refusal(address, &says));
            }
        }
        let progress = Arc::new(Progress::default());
        let (pieces, waiting) = mpsc::channel(PIECES);
        let mut tasks = JoinSet::new();
        tasks.spawn(write(to, waiting, Arc::clone(&progress), address.to_owned()));
        tasks.spawn(read(from, Arc::clone(&progress), address.to_owned()));
        Ok(Self { piece: Vec::new(), commands: 0, sent: 0, pieces, progress, _tasks: tasks })
    }

    /// Appends a nonce that must come back behind all other answers.
    fn mark(&mut self) {
        let number = self.sent + self.commands + 1;
        let nonce = format!("sparrow-{number}").into_bytes();
        words(&mut self.piece, "ECHO", &[&nonce]);
        self.commands += 1;
        let nonces = &self.progress.nonces;
        nonces.lock().unwrap_or_else(PoisonError::into_inner).push_back((number, nonce));
    }

    async fn send(&mut self, address: &str, deadline: Duration) -> Result<(), Error> {
        self.progress.check()?;
        if self.commands == 0 {
            return Ok(());
        }
        let place = time::timeout(deadline, self.pieces.reserve()).await;
        match place {
            Ok(Ok(place)) => {
                self.sent += self.commands;
                self.commands = 0;
                place.send(std::mem::replace(
                    &mut self.piece,
                    Vec::with_capacity(PIECE + PIECE / 8),
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

    async fn land(&self, address: &str, deadline: Duration) -> Result<(), Error> {
        self.drained(address, deadline).await?;
        self.progress.check()
    }

    /// Waits until all that was sent is answered, for as long as answers come at all, or until
    /// none can come any more.
    async fn drained(&self, address: &str, deadline: Duration) -> Result<(), Error> {
        loop {
            let changed = self.progress.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.progress.answered.load(Ordering::Acquire) >= self.sent {
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

fn closed(address: &str) -> Error {
    Error::Unavailable { store: address.to_owned(), what: "the connection was closed".to_owned() }
}

async fn write(
    mut to: impl AsyncWrite + Unpin,
    mut pieces: mpsc::Receiver<Vec<u8>>,
    progress: Arc<Progress>,
    address: String,
) {
    while let Some(piece) = pieces.recv().await {
        let written = async {
            to.write_all(&piece).await?;
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
        let answer = match answer(&mut from, &mut line).await {
            Ok(answer) => answer,
            Err(error) => {
                progress.fail(Error::Unavailable { store: address, what: error.to_string() });
                return;
            }
        };
        if !progress.is_in_step(number, &answer) {
            let what = "its replies are out of step".to_owned();
            progress.fail(Error::Unavailable { store: address, what });
            return;
        }
        match answer {
            Answer::Done | Answer::Text(_) => {}
            // A key whose time to live ended, or one that was moved before.
            Answer::Error(says) if says.starts_with("ERR no such key") => {}
            Answer::Error(says) => progress.fail(refusal(&address, &says)),
        }
        unreported += 1;
        // Whoever waits need not wake up for each of them.
        if unreported >= 64 || from.buffer().is_empty() {
            progress.answered.fetch_add(unreported, Ordering::Release);
            progress.changed.notify_waiters();
            unreported = 0;
        }
    }
}

/// The answer to a write.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    /// What Redis says is wrong.
    Error(String),
    /// A nonce.
    Text(Vec<u8>),
}

/// Reads the answer to a write: a line, or a nonce.
async fn answer(
    from: &mut BufReader<impl AsyncRead + Unpin>,
    line: &mut Vec<u8>,
) -> io::Result<Answer> {
    line.clear();
    let none = || io::Error::new(io::ErrorKind::InvalidData, "an answer to a write that is none");
    from.take(LONGEST_LINE).read_until(b'\n', line).await?;
    match (line.first(), line.last()) {
        (Some(b'+' | b':'), Some(b'\n')) => Ok(Answer::Done),
        (Some(b'-'), Some(b'\n')) => {
            Ok(Answer::Error(String::from_utf8_lossy(&line[1..]).trim_end().to_owned()))
        }
        (Some(b'$'), Some(b'\n')) => {
            let length =
                str::from_utf8(&line[1..]).ok().and_then(|text| text.trim_end().parse().ok());
            let length: usize =
                length.filter(|&length| length <= LONGEST_NONCE).ok_or_else(none)?;
            let mut text = vec![0; length + 2];
            from.read_exact(&mut text).await?;
            text.truncate(length);
            Ok(Answer::Text(text))
        }
        (None, _) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was closed")),
        _ => Err(none()),
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
    async fn answers_are_lines_or_nonces_and_nothing_else() {
        let text = &b"+OK\r\n:3\r\n-OOM no memory\r\n$5\r\nhello\r\n$99\r\n"[..];
        let (mut from, mut line) = (BufReader::new(text), Vec::new());
        for expected in [
            Answer::Done,
            Answer::Done,
            Answer::Error("OOM no memory".to_owned()),
            Answer::Text(b"hello".to_vec()),
        ] {
            assert_eq!(answer(&mut from, &mut line).await.unwrap(), expected);
        }
        assert!(answer(&mut from, &mut line).await.is_err());
        for cut in [&b""[..], b"+OK", b"-ERR"] {
            assert!(answer(&mut BufReader::new(cut), &mut line).await.is_err());
        }
        let progress = Progress::default();
        progress.nonces.lock().unwrap().push_back((2, b"n".to_vec()));
        let nonce = Answer::Text(b"n".to_vec());
        assert!(!progress.is_in_step(1, &nonce), "a lost reply");
        assert!(progress.is_in_step(1, &Answer::Done));
        assert!(!progress.is_in_step(2, &Answer::Done), "a doubled one");
        let endless = vec![b'+'; 2 * LONGEST_LINE as usize];
        assert!(answer(&mut BufReader::new(&endless[..]), &mut line).await.is_err());
    }
}
