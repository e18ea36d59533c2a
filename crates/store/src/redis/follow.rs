//! Follows the streams of live data, over connections of its own: reads that block would hold up other commands.
//!
//! One `XREAD` that blocks reads all streams of a server. In a cluster, each stream is in a slot of its own and no command
//! spans slots: one `XREAD` per stream is sent to its server, all of a server together, at intervals.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future;
use sparrow_live::{Change, Sequence};
use sparrow_model::UserId;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::Mutex;
use tokio::time;

use super::bulk_writer::greet;
use super::client::{
    Answer, Commands, Connections, Frames, Node, Replies, Reply, Retention, dial, has_moved,
    refusal, slot, tls_config, words,
};
use crate::{Error, Options};

/// The entries of one stream in a reply at most.
const ENTRIES: &[u8] = b"100";

/// The time between two reads of the streams in a cluster.
const CLUSTER_INTERVAL: Duration = Duration::from_millis(250);

const RETENTION: Retention = Retention::Limited { each: 1 << 20, all: 256 << 20 };

/// The connections that follow the streams; none until the first call, and after an error.
#[derive(Debug, Default)]
pub(super) struct Feed(Mutex<Option<Lines>>);

#[derive(Debug)]
struct Lines(Vec<Line>);

/// A connection to a server.
struct Line {
    from: BufReader<Replies>,
    to: Commands,
    frames: Frames,
    /// The partitions whose streams the server has.
    partitions: Vec<u16>,
    /// Whether one command may read all of them.
    at_once: bool,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("partitions", &self.partitions.len()).finish_non_exhaustive()
    }
}

/// What a read of streams returned.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// By partition, in the order of the stream; the last position, and the users of the entries.
    pub(super) streams: Vec<(u16, Vec<Change>, Sequence)>,
    /// Partitions whose stream is on another server now.
    pub(super) moved: Vec<u16>,
}

impl Feed {
    /// Reads the streams `keys` after these positions, and waits for at most `wait` for entries.
    pub(super) async fn read(
        &self,
        connections: &Connections,
        options: &Options,
        keys: &[Bytes],
        after: &[Sequence],
        wait: Duration,
    ) -> Result<Followed, Error> {
        let command = |line: &Line| {
            let (mut bytes, milliseconds) = (Vec::new(), wait.as_millis().max(1).to_string());
            if line.at_once {
                let streams =
                    line.partitions.iter().map(|&partition| &keys[usize::from(partition)]);
                let ids: Vec<String> =
                    line.partitions.iter().map(|&at| after[usize::from(at)].to_string()).collect();
                let mut parts: Vec<&[u8]> =
                    vec![b"COUNT", ENTRIES, b"BLOCK", milliseconds.as_bytes(), b"STREAMS"];
                parts.extend(streams.map(|key| &key[..]));
                parts.extend(ids.iter().map(String::as_bytes));
                words(&mut bytes, "XREAD", &parts);
                return (bytes, 1);
            }
            for &partition in &line.partitions {
                let id = after[usize::from(partition)].to_string();
                let key = &keys[usize::from(partition)];
                words(&mut bytes, "XREAD", &[b"COUNT", ENTRIES, b"STREAMS", key, id.as_bytes()]);
            }
            (bytes, line.partitions.len())
        };
        let (replies, blocks) = self.exchange(connections, options, keys, wait, command).await?;
        let mut followed = Followed::default();
        for (partitions, answers) in replies {
            for (index, answer) in answers.into_iter().enumerate() {
                if has_moved(&answer) {
                    followed.moved.extend(partitions.get(index));
                    continue;
                }
                let answer = answer.map_err(|message| refusal(connections.address(), &message))?;
                let Reply::List(streams) = answer else { continue };
                for stream in streams {
                    let stream = entries(&stream, keys).ok_or_else(|| malformed(connections))?;
                    followed.streams.push(stream);
                }
            }
        }
        if !followed.moved.is_empty() {
            // The next call connects to the servers that have the streams then.
            self.0.lock().await.take();
        }
        if followed.streams.is_empty() && !blocks {
            time::sleep(CLUSTER_INTERVAL.min(wait)).await;
        }
        Ok(followed)
    }

    /// The positions of the last entries of streams.
    pub(super) async fn positions(
        &self,
        connections: &Connections,
        options: &Options,
        keys: &[Bytes],
    ) -> Result<Vec<Sequence>, Error> {
        let command = |line: &Line| {
            let mut bytes = Vec::new();
            for &partition in &line.partitions {
                let key = &keys[usize::from(partition)];
                words(&mut bytes, "XREVRANGE", &[key, b"+", b"-", b"COUNT", b"1"]);
            }
            (bytes, line.partitions.len())
        };
        let (replies, _) =
            self.exchange(connections, options, keys, Duration::ZERO, command).await?;
        let mut positions = vec![Sequence::default(); keys.len()];
        for (partitions, answers) in replies {
            for (partition, answer) in partitions.into_iter().zip(answers) {
                let answer = answer.map_err(|message| refusal(connections.address(), &message))?;
                if let Reply::List(entries) = answer
                    && let Some(entry) = entries.first()
                {
                    let (sequence, _) = entry_of(entry).ok_or_else(|| malformed(connections))?;
                    positions[usize::from(partition)] = sequence;
                }
            }
        }
        Ok(positions)
    }

    /// Sends a command, or several, to each server and returns the replies by server, and whether the servers wait.
    async fn exchange(
        &self,
        connections: &Connections,
        options: &Options,
        keys: &[Bytes],
        wait: Duration,
        command: impl Fn(&Line) -> (Vec<u8>, usize),
    ) -> Result<(Vec<(Vec<u16>, Vec<Answer>)>, bool), Error> {
        let mut kept = self.0.lock().await;
        // Dropped with the connections if this future is dropped, or fails.
        let lines = match kept.take() {
            Some(lines) => lines,
            None => Lines::open(connections, options, keys).await?,
        };
        let Lines(mut lines) = lines;
        let limit = wait + options.bulk_deadline;
        let exchanges = lines.iter_mut().map(|line| {
            let (bytes, replies) = command(line);
            line.exchange(bytes, replies)
        });
        let exchanges: Vec<_> = exchanges.collect();
        let answers = time::timeout(limit, future::try_join_all(exchanges)).await;
        let address = connections.address();
        let answers = answers
            .map_err(|_| Error::TimedOut { store: address.to_owned() })?
            .map_err(|error| connections.unavailable(error.to_string()))?;
        let blocks = lines.iter().any(|line| line.at_once);
        let partitions = lines.iter().map(|line| line.partitions.clone());
        let replies = partitions.zip(answers).collect();
        *kept = Some(Lines(lines));
        Ok((replies, blocks))
    }
}

fn malformed(connections: &Connections) -> Error {
    connections.unavailable("a malformed reply to a read of streams")
}

impl Lines {
    async fn open(
        connections: &Connections,
        options: &Options,
        keys: &[Bytes],
    ) -> Result<Self, Error> {
        let nodes = connections.nodes()?;
        let is_one = nodes.len() == 1 && connections.is_one_server();
        let mut lines = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let has =
                |slot: u16| node.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
            let slots: Vec<u16> = keys.iter().map(|key| slot(key)).collect();
            let partitions: Vec<u16> =
                (0..).zip(&slots).filter(|(_, slot)| has(**slot)).map(|(at, _)| at).collect();
            if partitions.is_empty() {
                continue;
            }
            let is_one_slot = slots.iter().all(|slot| *slot == slots[0]);
            let open = Line::open(connections, node, options);
            let (from, to) = time::timeout(options.connect_timeout, open)
                .await
                .map_err(|_| Error::TimedOut { store: connections.address().to_owned() })??;
            let at_once = is_one || is_one_slot;
            lines.push(Line { from, to, frames: Frames::new(), partitions, at_once });
        }
        let found: usize = lines.iter().map(|line| line.partitions.len()).sum();
        if found != keys.len() {
            return Err(connections.unavailable("some slots of the cluster have no server"));
        }
        Ok(Self(lines))
    }
}

impl Line {
    async fn open(
        connections: &Connections,
        node: &Node,
        options: &Options,
    ) -> Result<(BufReader<Replies>, Commands), Error> {
        let location = connections.location();
        let tls = location.tls.then(|| tls_config(options)).transpose()?.map(Arc::new);
        let socket = dial(&node.endpoint, tls.as_ref().map(|config| (config, &*node.tls_name)));
        let (from, mut to) =
            socket.await.map_err(|error| connections.unavailable(error.to_string()))?;
        let mut from = BufReader::new(from);
        greet(connections.address(), location, &mut from, &mut to).await?;
        Ok((from, to))
    }

    async fn exchange(&mut self, bytes: Vec<u8>, replies: usize) -> io::Result<Vec<Answer>> {
        self.to.write_all(&bytes).await?;
        self.to.flush().await?;
        let mut answers = Vec::with_capacity(replies);
        while answers.len() < replies {
            let input = self.from.fill_buf().await?;
            if input.is_empty() {
                let closed = "the connection was closed";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, closed));
            }
            let (taken, answer) = self.frames.read(input, RETENTION).map_err(io::Error::other)?;
            self.from.consume(taken);
            answers.extend(answer);
        }
        Ok(answers)
    }
}

/// The partition of a stream in a reply to `XREAD`, the users of its entries, and the position of the last one. Entries of
/// other programs without a user are skipped.
fn entries(stream: &Reply, keys: &[Bytes]) -> Option<(u16, Vec<Change>, Sequence)> {
    let Reply::List(parts) = stream else { return None };
    let [Reply::Text(key), Reply::List(entries)] = &parts[..] else { return None };
    let partition = keys.iter().position(|known| known == key)?;
    let mut changes = Vec::with_capacity(entries.len());
    let mut last = Sequence::default();
    for entry in entries {
        let (sequence, user) = entry_of(entry)?;
        last = sequence;
        changes.extend(user.map(|user| Change { user, sequence }));
    }
    Some((u16::try_from(partition).ok()?, changes, last))
}

/// The position of an entry, and its user if it has one.
fn entry_of(entry: &Reply) -> Option<(Sequence, Option<UserId>)> {
    let Reply::List(parts) = entry else { return None };
    let Some(Reply::Text(sequence)) = parts.first() else { return None };
    let sequence = str::from_utf8(sequence).ok()?.parse().ok()?;
    // A deleted entry has no fields.
    let Some(Reply::List(fields)) = parts.get(1) else { return Some((sequence, None)) };
    let (pairs, _) = fields.as_chunks::<2>();
    let user = pairs.iter().find_map(|[name, value]| match (name, value) {
        (Reply::Text(name), Reply::Text(value)) if name == "user" => {
            str::from_utf8(value).ok()?.parse().ok().map(UserId)
        }
        _ => None,
    });
    Some((sequence, user))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Reply {
        Reply::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn entries_without_a_user_move_the_position_only() {
        let fields =
            |fields: &[&'static str]| Reply::List(fields.iter().map(|it| text(it)).collect());
        let entry = |id, parts| Reply::List(vec![text(id), parts]);
        let stream = Reply::List(vec![
            text("b"),
            Reply::List(vec![
                entry("1-0", fields(&["v", "1", "user", "6"])),
                entry("1-1", fields(&["user", "x"])),
                entry("2-0", fields(&["other", "6"])),
                entry("3-7", Reply::Nothing),
            ]),
        ]);
        let keys = [Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        let (partition, changes, last) = entries(&stream, &keys).unwrap();
        let sequence = Sequence { milliseconds: 1, count: 0 };
        assert_eq!((partition, last.to_string()), (1, "3-7".to_owned()));
        assert_eq!(changes, [Change { user: UserId(6), sequence }]);
        assert!(entries(&stream, &keys[..1]).is_none());
        assert!(entries(&text("b"), &keys).is_none());
    }
}
