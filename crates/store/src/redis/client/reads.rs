//! Reads beside the client library, with a nonce wherever replies could be exchanged.

use std::mem;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use fred::interfaces::{ClientLike, ClusterInterface};
use fred::types::config::Server;
use futures::future;
use tokio::time::{self, Instant};

use super::frames::Keep;
use super::relay::{Line, TooLarge};
use super::{
    Answer, Batch, Command, Connection, Connections, Exchange, Reply, refusal, slot, words,
};
use crate::Error;
use crate::location::Topology;

/// Errors that a server may answer `ECHO` with.
const REFUSALS: [&str; 6] = ["LOADING", "BUSY", "NOPERM", "NOAUTH", "MASTERDOWN", "CLUSTERDOWN"];

/// The limit for all strings of a reply, in bytes.
const LARGEST_REPLY: usize = 256 << 20;

/// The commands of a batch, by index, that go to one server.
pub(super) struct Part {
    line: Arc<Line>,
    commands: Vec<usize>,
}

/// What goes to one server.
struct Sent {
    bytes: Vec<u8>,
    /// What is kept of each reply.
    keep: Vec<Keep>,
    /// Nonces, each with the number of its reply.
    nonces: Vec<(usize, Bytes)>,
}

impl Sent {
    fn nonce(&mut self, nonce: Bytes) {
        words(&mut self.bytes, "ECHO", &[&nonce]);
        self.nonces.push((self.keep.len(), nonce));
        self.keep.push(Keep::Most { each: LONGEST_NONCE, all: LONGEST_NONCE });
    }

    /// The replies without the nonces, if all of those are in their places.
    fn prove(&self, replies: Vec<Answer>) -> Result<Vec<Answer>, Unproven> {
        let mut nonces = self.nonces.iter().peekable();
        let mut others = Vec::with_capacity(replies.len());
        for (at, reply) in replies.into_iter().enumerate() {
            match nonces.next_if(|(place, _)| *place == at) {
                Some((_, nonce)) => prove(&reply, nonce)?,
                None => others.push(reply),
            }
        }
        if nonces.peek().is_some() { Err(Unproven::OutOfStep) } else { Ok(others) }
    }
}

/// Longer than any nonce.
const LONGEST_NONCE: usize = 64;

/// Why replies are not taken.
pub(super) enum Unproven {
    /// The server refuses the nonce itself: it is loading, or does not let us.
    Refused(String),
    /// The connection was closed.
    Closed(String),
    /// A nonce is not in its place.
    OutOfStep,
}

pub(super) fn prove(answer: &Answer, nonce: &Bytes) -> Result<(), Unproven> {
    match answer {
        Ok(Reply::Text(text)) if text == nonce => Ok(()),
        Err(says) if REFUSALS.iter().any(|code| says.starts_with(code)) => {
            Err(Unproven::Refused(says.clone()))
        }
        _ => Err(Unproven::OutOfStep),
    }
}

impl Connections {
    /// Which commands of a batch go to which server, if all of them are reads that need not go through the library.
    pub(super) fn parts(&self, connection: &Connection, batch: &Batch) -> Option<Vec<Part>> {
        if !batch.commands.iter().all(Command::is_read) {
            return None;
        }
        let all = || (0..batch.commands.len()).collect();
        let line = |server: Option<&Server>| {
            connection.relays.line(server.map(|server| (&*server.host, server.port)))
        };
        match &self.location.topology {
            Topology::Server(_) | Topology::Socket(_) => {
                Some(vec![Part { line: line(None)?, commands: all() }])
            }
            Topology::Sentinel { .. } => {
                let server = connection.client.active_connections().pop()?;
                Some(vec![Part { line: line(Some(&server))?, commands: all() }])
            }
            Topology::Cluster(_) => {
                let state = connection.client.cached_cluster_state()?;
                let mut parts: Vec<(&Server, Part)> = Vec::new();
                for (at, command) in batch.commands.iter().enumerate() {
                    let server = state.get_server(slot(command.key()?))?;
                    if let Some((_, part)) = parts.iter_mut().find(|(known, _)| *known == server) {
                        part.commands.push(at);
                    } else {
                        parts
                            .push((server, Part { line: line(Some(server))?, commands: vec![at] }));
                    }
                }
                Some(parts.into_iter().map(|(_, part)| part).collect())
            }
        }
    }

    /// Reads without the library. `None` if a key is on another server than it knows: it then has to look.
    pub(super) async fn read(
        &self,
        connection: &Connection,
        batch: &Batch,
        parts: &[Part],
        end: Instant,
    ) -> Result<Option<Vec<Answer>>, Error> {
        let mut sent: Vec<Sent> = parts.iter().map(|part| self.sent(batch, part)).collect();
        let too_large: Vec<TooLarge> = parts.iter().map(|_| TooLarge::default()).collect();
        let mut exchange = Exchange::begin(connection, end);
        let read = parts.iter().zip(&mut sent).zip(&too_large).map(|((part, sent), too_large)| {
            let (bytes, keep) = (mem::take(&mut sent.bytes), mem::take(&mut sent.keep));
            part.line.run(bytes, keep, Arc::clone(too_large))
        });
        let read: Vec<_> = read.collect();
        let read = time::timeout_at(end, future::join_all(read)).await;
        let Ok(read) = read else {
            exchange.distrust();
            for part in parts {
                part.line.close();
            }
            let mut keys = batch.too_large.lock().unwrap_or_else(PoisonError::into_inner);
            for ((part, sent), too_large) in parts.iter().zip(&sent).zip(&too_large) {
                for &(reply, place) in &*too_large.lock().unwrap_or_else(PoisonError::into_inner) {
                    if sent.nonces.iter().any(|(at, _)| *at == reply) {
                        // Out of step: a value where a nonce should be.
                        continue;
                    }
                    let nonces = sent.nonces.iter().filter(|(at, _)| *at < reply).count();
                    let command = part.commands.get(reply - nonces).map(|&at| &batch.commands[at]);
                    keys.extend(command.and_then(|command| command.key_at(place)).cloned());
                }
            }
            return Err(Error::TimedOut { store: self.address.clone() });
        };
        exchange.over = true;
        let mut answers = vec![Ok(Reply::Nothing); batch.commands.len()];
        for ((part, sent), read) in parts.iter().zip(&sent).zip(read) {
            let proven = read.map_err(Unproven::Closed).and_then(|replies| sent.prove(replies));
            let replies = proven.map_err(|unproven| match unproven {
                Unproven::Refused(says) => refusal(&self.address, &says),
                Unproven::Closed(why) => self.unavailable(why),
                Unproven::OutOfStep => {
                    exchange.distrust();
                    part.line.close();
                    self.unavailable("its replies are out of step")
                }
            })?;
            for (&at, reply) in part.commands.iter().zip(replies) {
                answers[at] = reply;
            }
        }
        let moved = |answer: &Answer| {
            answer.as_ref().is_err_and(|says| says.starts_with("MOVED") || says.starts_with("ASK"))
        };
        Ok((!answers.iter().any(moved)).then_some(answers))
    }

    /// The commands of a part as they are sent, with nonces.
    fn sent(&self, batch: &Batch, part: &Part) -> Sent {
        let mut sent =
            Sent { bytes: Vec::with_capacity(256), keep: Vec::new(), nonces: Vec::new() };
        let mut last: Option<&Command> = None;
        for &at in &part.commands {
            let command = &batch.commands[at];
            // The reply to HGETALL has an even number of elements: where that to MGET has an odd one, neither can be
            // taken for the other.
            let differs = matches!(last, Some(Command::GetMany(keys)) if keys.len() % 2 == 1)
                && matches!(command, Command::HashGetAll(_));
            if !differs {
                sent.nonce(self.nonce());
            }
            let all =
                if let Command::HashGetAll(_) = command { batch.largest } else { LARGEST_REPLY };
            sent.keep.push(Keep::Most { each: batch.largest, all });
            match command {
                Command::HashGetAll(key) => words(&mut sent.bytes, "HGETALL", &[key]),
                Command::GetMany(keys) => {
                    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
                    words(&mut sent.bytes, "MGET", &keys);
                }
                other => words(&mut sent.bytes, "GET", &[other.key().map_or(&[][..], |key| key)]),
            }
            last = Some(command);
        }
        sent.nonce(self.nonce());
        sent
    }
}
