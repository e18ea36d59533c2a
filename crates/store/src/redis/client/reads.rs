//! Reads and scripts that bypass the client library, with a nonce wherever replies could be confused.

use std::mem;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::interfaces::{ClientLike, ClusterInterface};
use fred::types::config::Server;
use futures::future;
use tokio::time::{self, Instant};

use super::frames::Retention;
use super::library::command_options;
use super::relay::{SharedConnection, TooLarge};
use super::{
    Answer, Batch, Command, Connection, Connections, Exchange, Reply, refusal, slot, words,
};
use crate::Error;
use crate::location::Topology;

/// Error codes with which a server may reject `ECHO`.
const ECHO_ERRORS: [&str; 6] = ["LOADING", "BUSY", "NOPERM", "NOAUTH", "MASTERDOWN", "CLUSTERDOWN"];

/// The limit for all strings of a reply, in bytes.
const LARGEST_REPLY: usize = 256 << 20;

/// The commands of a batch, by index, for one server.
pub(super) struct Part {
    connection: Arc<SharedConnection>,
    commands: Vec<usize>,
}

/// The encoded commands for one server.
struct Sent {
    bytes: Vec<u8>,
    /// The part of each reply to keep.
    retention: Vec<Retention>,
    /// Nonces, each with the index of its reply.
    nonces: Vec<(usize, Bytes)>,
}

impl Sent {
    fn nonce(&mut self, nonce: Bytes) {
        words(&mut self.bytes, "ECHO", &[&nonce]);
        self.nonces.push((self.retention.len(), nonce));
        self.retention.push(Retention::Limited { each: LONGEST_NONCE, all: LONGEST_NONCE });
    }

    /// The replies without the nonces, if all nonces are at their positions.
    fn verify(&self, replies: Vec<Answer>) -> Result<Vec<Answer>, Unverified> {
        let mut nonces = self.nonces.iter().peekable();
        let mut others = Vec::with_capacity(replies.len());
        for (index, reply) in replies.into_iter().enumerate() {
            match nonces.next_if(|(position, _)| *position == index) {
                Some((_, nonce)) => verify(&reply, nonce)?,
                None => others.push(reply),
            }
        }
        if nonces.peek().is_some() { Err(Unverified::OutOfSequence) } else { Ok(others) }
    }
}

/// More than the length of any nonce.
const LONGEST_NONCE: usize = 64;

/// Why replies are rejected.
pub(super) enum Unverified {
    /// The server rejected the `ECHO`, for example while it is loading.
    Refused(String),
    Closed(String),
    /// A nonce is not at its position.
    OutOfSequence,
}

pub(super) fn verify(answer: &Answer, nonce: &Bytes) -> Result<(), Unverified> {
    match answer {
        Ok(Reply::Text(text)) if text == nonce => Ok(()),
        Err(message) if ECHO_ERRORS.iter().any(|code| message.starts_with(code)) => {
            Err(Unverified::Refused(message.clone()))
        }
        _ => Err(Unverified::OutOfSequence),
    }
}

/// Whether the key of a command is on another server, so that the command was not executed.
pub(in crate::redis) fn has_moved(answer: &Answer) -> bool {
    answer.as_ref().is_err_and(|message| message.starts_with("MOVED") || message.starts_with("ASK"))
}

/// A Lua script.
#[derive(Debug)]
pub(in crate::redis) struct Script {
    text: &'static [u8],
    /// The digest by which servers know it, once one has loaded it.
    digest: OnceLock<Bytes>,
}

impl Script {
    pub(in crate::redis) const fn new(text: &'static str) -> Self {
        Self { text: text.as_bytes(), digest: OnceLock::new() }
    }
}

/// The replicas that should have what was written.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Replicas {
    /// With 0, the server answers at once with the number that have it.
    pub(in crate::redis) count: u32,
    /// How long to wait for them, at most a half of the time until the deadline.
    pub(in crate::redis) within: Duration,
}

/// A call of a script that was executed.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Ran {
    pub(in crate::redis) answer: Answer,
    /// The number of replicas that have what it wrote; `None` if that is unknown.
    pub(in crate::redis) replicas: Option<u32>,
}

/// The keys of a script, all in one slot, and its arguments.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Call {
    pub(in crate::redis) keys: Vec<Bytes>,
    pub(in crate::redis) arguments: Vec<Bytes>,
}

impl Connections {
    /// The commands of a batch by server, if all of them may bypass the library.
    pub(super) fn parts(&self, connection: &Connection, batch: &Batch) -> Option<Vec<Part>> {
        if !batch.commands.iter().all(Command::bypasses) {
            return None;
        }
        self.servers(connection, batch)
    }

    /// The commands of a batch by server. `None` without a connection to one of the servers.
    fn servers(&self, connection: &Connection, batch: &Batch) -> Option<Vec<Part>> {
        let all = || (0..batch.commands.len()).collect();
        let shared = |server: Option<&Server>| {
            connection.relays.connection(server.map(|server| (&*server.host, server.port)))
        };
        match &self.location.topology {
            Topology::Server(_) | Topology::Socket(_) => {
                Some(vec![Part { connection: shared(None)?, commands: all() }])
            }
            Topology::Sentinel { .. } => {
                let server = connection.client.active_connections().pop()?;
                Some(vec![Part { connection: shared(Some(&server))?, commands: all() }])
            }
            Topology::Cluster(_) => {
                let state = connection.client.cached_cluster_state()?;
                let mut parts: Vec<(&Server, Part)> = Vec::new();
                for (at, command) in batch.commands.iter().enumerate() {
                    let server = state.get_server(slot(command.key()?))?;
                    if let Some((_, part)) = parts.iter_mut().find(|(known, _)| *known == server) {
                        part.commands.push(at);
                    } else {
                        parts.push((
                            server,
                            Part { connection: shared(Some(server))?, commands: vec![at] },
                        ));
                    }
                }
                Some(parts.into_iter().map(|(_, part)| part).collect())
            }
        }
    }

    /// Reads without the library. `None` if a key has moved to another server, which only the
    /// library can find.
    pub(super) async fn read(
        &self,
        connection: &Connection,
        batch: &Batch,
        parts: &[Part],
        end: Instant,
    ) -> Result<Option<Vec<Answer>>, Error> {
        let answers = self.exchange_parts(connection, batch, parts, end).await?;
        Ok((!answers.iter().any(has_moved)).then_some(answers))
    }

    /// Runs a script with several sets of keys and arguments, in this order for each key. One result
    /// each: the servers of a cluster fail independently. A script is not executed twice.
    pub(in crate::redis) async fn run_script(
        &self,
        script: &Script,
        calls: Vec<Call>,
        end: Instant,
    ) -> Vec<Result<Answer, Error>> {
        let ran = self.run_script_and_wait(script, calls, None, end).await;
        ran.into_iter().map(|ran| ran.map(|ran| ran.answer)).collect()
    }

    /// The same, and waits until replicas have what the scripts wrote.
    pub(in crate::redis) async fn run_script_and_wait(
        &self,
        script: &Script,
        calls: Vec<Call>,
        replicas: Option<Replicas>,
        end: Instant,
    ) -> Vec<Result<Ran, Error>> {
        let count = calls.len();
        let connection = match self.pick() {
            Ok(connection) => connection,
            Err(error) => return vec![Err(error); count],
        };
        let Ok(_permit) = self.permits.try_acquire() else {
            return vec![Err(self.unavailable("too many commands are pending")); count];
        };
        let mut results = vec![None; count];
        let has_code = |result: &Option<Result<Ran, Error>>, code: &str| {
            let answer = result.as_ref().and_then(|result| Some(&result.as_ref().ok()?.answer));
            answer.is_some_and(|answer| {
                answer.as_ref().is_err_and(|message| message.starts_with(code))
            })
        };
        if let Some(digest) = self.digest(connection, script, end).await {
            let by_digest = |Call { keys, arguments }: Call| {
                Command::LoadedScript(digest.clone(), keys, arguments)
            };
            let all: Vec<usize> = (0..count).collect();
            self.run_directly(connection, (&calls, &by_digest), &all, replicas, end, &mut results)
                .await;
            let unknown: Vec<usize> =
                all.into_iter().filter(|&at| has_code(&results[at], "NOSCRIPT")).collect();
            let by_text = |Call { keys, arguments }: Call| {
                Command::Script(Bytes::from_static(script.text), keys, arguments)
            };
            self.run_directly(
                connection,
                (&calls, &by_text),
                &unknown,
                replicas,
                end,
                &mut results,
            )
            .await;
        }
        // These have not been executed. The library finds their server, and possibly another connection, so that it is unknown
        // which replicas have the writes.
        let was_not_run = |result: &Option<Result<Ran, Error>>| {
            result.is_none() || has_code(result, "MOVED") || has_code(result, "ASK")
        };
        let remaining: Vec<usize> = (0..count).filter(|&at| was_not_run(&results[at])).collect();
        if !remaining.is_empty() {
            let mut batch = Batch::default();
            for &at in &remaining {
                let Call { keys, arguments } = calls[at].clone();
                batch.push(Command::Script(Bytes::from_static(script.text), keys, arguments));
            }
            let options = command_options(end.saturating_duration_since(Instant::now()), None);
            let answers = self.exchange(connection, batch, &options, end).await;
            for (position, &at) in remaining.iter().enumerate() {
                results[at] = Some(match &answers {
                    Ok(answers) => Ok(Ran { answer: answers[position].clone(), replicas: None }),
                    Err(error) => Err(error.clone()),
                });
            }
        }
        let missing = || Err(self.unavailable("a missing reply to a script"));
        results.into_iter().map(|result| result.unwrap_or_else(missing)).collect()
    }

    /// Runs some of the calls of a script without the library, on all servers at the same time. Leaves the results alone if
    /// there is no connection to a server.
    async fn run_directly(
        &self,
        connection: &Connection,
        (calls, command): (&[Call], &(dyn Fn(Call) -> Command + Sync)),
        indices: &[usize],
        replicas: Option<Replicas>,
        end: Instant,
        results: &mut [Option<Result<Ran, Error>>],
    ) {
        let mut batch = Batch::default();
        for &at in indices {
            batch.push(command(calls[at].clone()));
        }
        let replicas = replicas.map(|Replicas { count, within }| {
            let remaining = end.saturating_duration_since(Instant::now());
            Replicas { count, within: within.min(remaining / 2) }
        });
        let parts = if indices.is_empty() { None } else { self.servers(connection, &batch) };
        let runs =
            parts.unwrap_or_default().into_iter().map(|Part { connection: server, commands }| {
                let mut own = Batch::default();
                for &at in &commands {
                    own.push(batch.commands[at].clone());
                }
                if let Some(replicas) = replicas {
                    let key = own.commands.first().and_then(Command::key).cloned();
                    own.push(Command::Wait(key.unwrap_or_default(), replicas));
                }
                let part = Part { connection: server, commands: (0..own.commands.len()).collect() };
                async move { (commands, self.exchange_parts(connection, &own, &[part], end).await) }
            });
        for (commands, answers) in future::join_all(runs.collect::<Vec<_>>()).await {
            match answers {
                Ok(mut answers) => {
                    let waited = replicas.and_then(|_| answers.pop());
                    let reached = match waited {
                        Some(Ok(Reply::Number(count))) => u32::try_from(count).ok(),
                        _ => None,
                    };
                    for (at, answer) in commands.into_iter().zip(answers) {
                        results[indices[at]] = Some(Ok(Ran { answer, replicas: reached }));
                    }
                }
                Err(error) => {
                    for at in commands {
                        results[indices[at]] = Some(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// The digest of a script, which the first call loads. `None` if that fails.
    async fn digest(
        &self,
        connection: &Connection,
        script: &Script,
        end: Instant,
    ) -> Option<Bytes> {
        if let Some(digest) = script.digest.get() {
            return Some(digest.clone());
        }
        let mut batch = Batch::default();
        batch.push(Command::LoadScript(Bytes::from_static(script.text)));
        let options = command_options(end.saturating_duration_since(Instant::now()), None);
        let mut answers = self.exchange(connection, batch, &options, end).await.ok()?;
        let Some(Ok(Reply::Text(digest))) = answers.pop() else { return None };
        Some(script.digest.get_or_init(|| digest).clone())
    }

    /// Exchanges commands and replies with servers at the same time.
    async fn exchange_parts(
        &self,
        connection: &Connection,
        batch: &Batch,
        parts: &[Part],
        end: Instant,
    ) -> Result<Vec<Answer>, Error> {
        let mut sent: Vec<Sent> = parts.iter().map(|part| self.encode(batch, part)).collect();
        let too_large: Vec<TooLarge> = parts.iter().map(|_| TooLarge::default()).collect();
        let mut exchange = Exchange::begin(connection, end);
        let read = parts.iter().zip(&mut sent).zip(&too_large).map(|((part, sent), too_large)| {
            let (bytes, retention) = (mem::take(&mut sent.bytes), mem::take(&mut sent.retention));
            part.connection.run(bytes, retention, Arc::clone(too_large))
        });
        let read: Vec<_> = read.collect();
        let read = time::timeout_at(end, future::join_all(read)).await;
        let Ok(read) = read else {
            exchange.reset_connection();
            for part in parts {
                part.connection.close();
            }
            let mut keys = batch.too_large.lock().unwrap_or_else(PoisonError::into_inner);
            for ((part, sent), too_large) in parts.iter().zip(&sent).zip(&too_large) {
                for &(reply, element) in &*too_large.lock().unwrap_or_else(PoisonError::into_inner)
                {
                    if sent.nonces.iter().any(|(at, _)| *at == reply) {
                        // Out of sequence: a value instead of a nonce.
                        continue;
                    }
                    let nonces = sent.nonces.iter().filter(|(at, _)| *at < reply).count();
                    let command = part.commands.get(reply - nonces).map(|&at| &batch.commands[at]);
                    keys.extend(
                        command.and_then(|command| command.key_of_element(element)).cloned(),
                    );
                }
            }
            return Err(Error::TimedOut { store: self.address.clone() });
        };
        exchange.done = true;
        let mut answers = vec![Ok(Reply::Nothing); batch.commands.len()];
        for ((part, sent), read) in parts.iter().zip(&sent).zip(read) {
            let verified =
                read.map_err(Unverified::Closed).and_then(|replies| sent.verify(replies));
            let replies = verified.map_err(|unverified| match unverified {
                Unverified::Refused(message) => refusal(&self.address, &message),
                Unverified::Closed(why) => self.unavailable(why),
                Unverified::OutOfSequence => {
                    exchange.reset_connection();
                    part.connection.close();
                    self.unavailable("its replies are out of sequence")
                }
            })?;
            for (&at, reply) in part.commands.iter().zip(replies) {
                answers[at] = reply;
            }
        }
        Ok(answers)
    }

    /// Encodes the commands of a part, with nonces.
    fn encode(&self, batch: &Batch, part: &Part) -> Sent {
        let mut sent =
            Sent { bytes: Vec::with_capacity(256), retention: Vec::new(), nonces: Vec::new() };
        let mut last: Option<&Command> = None;
        for &at in &part.commands {
            let command = &batch.commands[at];
            // The reply to HGETALL has an even number of elements. If that to MGET has an odd
            // number, they cannot be confused.
            let differs = matches!(last, Some(Command::GetMany(keys)) if keys.len() % 2 == 1)
                && matches!(command, Command::HashGetAll(_));
            if !differs {
                sent.nonce(self.nonce());
            }
            let all =
                if let Command::HashGetAll(_) = command { batch.largest } else { LARGEST_REPLY };
            sent.retention.push(Retention::Limited { each: batch.largest, all });
            match command {
                Command::HashGetAll(key) => words(&mut sent.bytes, "HGETALL", &[key]),
                Command::GetMany(keys) => {
                    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
                    words(&mut sent.bytes, "MGET", &keys);
                }
                Command::LoadedScript(script, keys, arguments)
                | Command::Script(script, keys, arguments) => {
                    let count = keys.len().to_string();
                    let mut parts: Vec<&[u8]> = vec![script, count.as_bytes()];
                    parts.extend(keys.iter().chain(arguments).map(|part| &part[..]));
                    let is_loaded = matches!(command, Command::LoadedScript(..));
                    words(&mut sent.bytes, if is_loaded { "EVALSHA" } else { "EVAL" }, &parts);
                }
                Command::Wait(_, Replicas { count, within }) => {
                    // Zero would be no limit.
                    let within = within.as_millis().max(1);
                    let parts = [count.to_string(), within.to_string()];
                    words(&mut sent.bytes, "WAIT", &parts.each_ref().map(String::as_bytes));
                }
                other => words(&mut sent.bytes, "GET", &[other.key().map_or(&[][..], |key| key)]),
            }
            last = Some(command);
        }
        sent.nonce(self.nonce());
        sent
    }
}
