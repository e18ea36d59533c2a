//! The only user of the client library: connections, batches of commands, and the classification of
//! errors.
//!
//! * Each connection has a task that connects and reconnects it.
//! * A command is sent at most once, and only while there is a connection. So calls fail at once if
//!   the server is unreachable, and no write is sent after its caller has failed.
//! * Replies do not identify their commands: after a lost reply, all later ones would be assigned
//!   to the wrong commands. Therefore an `ECHO` of a nonce precedes each command whose reply could
//!   be confused with that of another command in the batch, and follows the last one. The replies
//!   of a batch are used only if all nonces are at their positions. Otherwise, or if a deadline
//!   passes, the connection is closed.
//! * A relay in this process between the library and each server limits the size of replies, and
//!   sends reads without the library.

mod config;
mod dial;
mod faults;
mod frames;
mod library;
mod probe;
mod reads;
mod reconnect;
mod relay;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::{ClientLike, ClusterInterface};
use fred::types::config::{Options as CommandOptions, Server};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{self, Instant};

use self::config::{config, connection, performance, reconnect, tls_name};
use self::library::{command_options, send};
use self::reads::{Unverified, verify};
use self::reconnect::keep_connected;
use self::relay::Relays;
use crate::location::Topology;
use crate::{Error, Options, RedisLocation};

pub(super) use self::config::tls_config;
pub(super) use self::dial::{Commands, Replies, dial};
pub(super) use self::faults::refusal;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use self::frames::read_replies;
pub(super) use self::frames::{Frames, Retention, words};
pub(super) use self::reads::{Call, Ran, Replicas, Script, has_moved};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reply {
    Nothing,
    Number(i64),
    Text(Bytes),
    List(Vec<Reply>),
    /// An oversized value, which was skipped or discarded.
    TooLarge,
}

/// A reply, or the error that the server returned.
pub(super) type Answer = Result<Reply, String>;

/// A command. Its first key determines the node of a cluster.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Get(Bytes),
    /// `MGET`: the keys are in one slot. Keys of another type have no value.
    GetMany(Vec<Bytes>),
    HashGetAll(Bytes),
    /// `HEXISTS`.
    HashHas(Bytes, Bytes),
    /// `SET … NX PX`.
    SetIfMissing(Bytes, Bytes, Duration),
    Length(Bytes),
    Expire(Bytes, Duration),
    TimeLeft(Bytes),
    Rename(Bytes, Bytes),
    Unlink(Vec<Bytes>),
    /// Cursor and pattern.
    Scan(Bytes, Bytes),
    /// `INFO`.
    Info,
    /// A Lua script, its keys in one slot, and its arguments.
    Script(Bytes, Vec<Bytes>, Vec<Bytes>),
    /// The same script by its digest: `EVALSHA`. Sent only without the library.
    LoadedScript(Bytes, Vec<Bytes>, Vec<Bytes>),
    /// `SCRIPT LOAD`.
    LoadScript(Bytes),
    /// `CONFIG GET`.
    Configuration(&'static str),
    /// `XRANGE`: key, first and last position, and the maximum number of entries.
    Entries(Bytes, Bytes, Bytes, usize),
    /// `WAIT`: a key of the server, and for how many replicas and how long. Sent only without the library, as it is about the
    /// commands before it on the same connection.
    Wait(Bytes, Replicas),
    /// `ECHO`; in a cluster, to the server of this slot.
    Echo(Bytes, Option<u16>),
}

impl Command {
    /// Whether it may bypass the library.
    const fn bypasses(&self) -> bool {
        matches!(
            self,
            Self::Get(_)
                | Self::GetMany(_)
                | Self::HashGetAll(_)
                | Self::LoadedScript(..)
                | Self::Wait(..)
        )
    }

    /// The key of an element in the reply to a read.
    fn key_of_element(&self, index: usize) -> Option<&Bytes> {
        match self {
            Self::GetMany(keys) => keys.get(index),
            other => other.key(),
        }
    }

    /// The key that determines the server; `None` for any server.
    fn key(&self) -> Option<&Bytes> {
        match self {
            Self::GetMany(keys)
            | Self::Unlink(keys)
            | Self::Script(_, keys, _)
            | Self::LoadedScript(_, keys, _) => keys.first(),
            Self::Get(key)
            | Self::HashGetAll(key)
            | Self::HashHas(key, _)
            | Self::SetIfMissing(key, ..)
            | Self::Length(key)
            | Self::Expire(key, _)
            | Self::TimeLeft(key)
            | Self::Entries(key, ..)
            | Self::Wait(key, _)
            | Self::Rename(key, _) => Some(key),
            Self::Scan(..)
            | Self::Info
            | Self::Echo(..)
            | Self::LoadScript(_)
            | Self::Configuration(_) => None,
        }
    }
}

/// The default limit for one string of a reply, in bytes.
const LARGEST_STRING: usize = 64 << 20;

/// Commands that are sent together.
#[derive(Debug)]
pub(super) struct Batch {
    commands: Vec<Command>,
    largest: usize,
    too_large: Arc<Mutex<Vec<Bytes>>>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::limited(LARGEST_STRING)
    }
}

impl Batch {
    /// A batch with [`Reply::TooLarge`] in endpoint of strings and hashes that exceed this size, in
    /// bytes.
    pub(super) fn limited(largest: usize) -> Self {
        Self { commands: Vec::new(), largest, too_large: Arc::default() }
    }

    /// The keys of oversized values that were still being skipped when the deadline passed.
    pub(super) fn too_large(&self) -> Arc<Mutex<Vec<Bytes>>> {
        Arc::clone(&self.too_large)
    }

    pub(super) fn push(&mut self, command: Command) {
        self.commands.push(command);
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }
}

/// A server, and the slots that it owns.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) endpoint: Endpoint,
    /// The name required in its certificate.
    pub(super) tls_name: String,
    pub(super) slots: Vec<(u16, u16)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Host(String, u16),
    Socket(PathBuf),
}

impl Node {
    /// A server that owns all keys.
    fn single(endpoint: Endpoint) -> Self {
        let tls_name = match &endpoint {
            Endpoint::Host(host, _) => host.clone(),
            Endpoint::Socket(_) => String::new(),
        };
        Self { endpoint, tls_name, slots: vec![(0, u16::MAX)] }
    }
}

/// The slot of a key in a cluster.
pub(super) fn slot(key: &[u8]) -> u16 {
    fred::util::redis_keyslot(key)
}

/// The maximum number of concurrent batches; more are rejected.
const MAX_CONCURRENT_BATCHES: usize = 4096;

/// A few connections, used in turn.
#[derive(Debug)]
pub(super) struct Connections {
    address: String,
    location: RedisLocation,
    all: Vec<Connection>,
    next: AtomicUsize,
    nonces: AtomicU64,
    cluster: bool,
    /// Limits concurrent batches. The library's own limit is not used: it counts rejected commands
    /// as queued, and then never considers its queue empty.
    permits: Semaphore,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    relays: Arc<Relays>,
    reset: Arc<Reset>,
    /// The error of the last connection attempt.
    last_error: Arc<Mutex<Option<Error>>>,
    keeper: JoinHandle<()>,
}

/// The resets of a connection whose replies cannot be trusted.
#[derive(Debug, Default)]
struct Reset {
    count: AtomicU64,
    in_progress: AtomicBool,
}

impl Connection {
    /// Closes and reopens the connection, unless it was reset since `count`.
    fn reset(&self, count: u64) {
        // After this time the connection is used again; the client reconnects by itself.
        const MAX_RESET: Duration = Duration::from_secs(2);
        let reset = &self.reset;
        if reset
            .count
            .compare_exchange(count, count + 1, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        reset.in_progress.store(true, Ordering::Release);
        let (client, reset) = (self.client.clone(), Arc::clone(reset));
        runtime.spawn(async move {
            let _ = time::timeout(MAX_RESET, client.force_reconnection()).await;
            reset.in_progress.store(false, Ordering::Release);
        });
    }

    fn is_usable(&self) -> bool {
        self.client.is_connected()
            && !self.reset.in_progress.load(Ordering::Acquire)
            && self.relays.connection(None).is_some()
    }
}

/// A batch in flight. Unless its replies were received, its connection is reset, also if the caller
/// drops the future at the deadline.
struct Exchange<'a> {
    connection: &'a Connection,
    count: u64,
    end: Instant,
    done: bool,
}

impl<'a> Exchange<'a> {
    fn begin(connection: &'a Connection, end: Instant) -> Self {
        let count = connection.reset.count.load(Ordering::Acquire);
        Self { connection, count, end, done: false }
    }

    fn reset_connection(&mut self) {
        self.done = true;
        self.connection.reset(self.count);
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        // Callers' timers may fire early by this much.
        const TOLERANCE: Duration = Duration::from_millis(10);
        if !self.done && Instant::now() + TOLERANCE >= self.end {
            self.reset_connection();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Connections {
    /// Starts to connect; requires a tokio runtime.
    pub(super) fn open(location: &RedisLocation, options: &Options) -> Result<Self, Error> {
        let address = location.to_string();
        let config = config(location);
        let tls = location.tls.then(|| tls_config(options)).transpose()?.map(Arc::new);
        let all = (0..options.connections)
            .map(|_| {
                let client = Client::new(
                    config.clone(),
                    Some(performance(options)),
                    Some(connection(options)),
                    Some(reconnect()),
                );
                let last_error = Arc::new(Mutex::new(None));
                let relays = Arc::new(Relays::new(location, tls.clone(), options));
                let keeper = keep_connected(
                    client.clone(),
                    Arc::clone(&relays),
                    location.clone(),
                    address.clone(),
                    Arc::clone(&last_error),
                );
                let reset = Arc::default();
                Connection { client, relays, reset, last_error, keeper: tokio::spawn(keeper) }
            })
            .collect();
        Ok(Self {
            address,
            location: location.clone(),
            all,
            next: AtomicUsize::new(0),
            nonces: AtomicU64::new(0),
            cluster: location.is_cluster(),
            permits: Semaphore::new(MAX_CONCURRENT_BATCHES),
        })
    }

    /// The nodes that own keys, with their ranges of slots.
    pub(super) fn nodes(&self) -> Result<Vec<Node>, Error> {
        match &self.location.topology {
            Topology::Server((host, port)) => {
                return Ok(vec![Node::single(Endpoint::Host(host.clone(), *port))]);
            }
            Topology::Socket(path) => {
                return Ok(vec![Node::single(Endpoint::Socket(path.clone()))]);
            }
            Topology::Sentinel { .. } => {
                let Some(Server { host, port, .. }) =
                    self.pick()?.client.active_connections().pop()
                else {
                    return Err(self.unavailable("the sentinels have not reported a server yet"));
                };
                return Ok(vec![Node::single(Endpoint::Host(host.to_string(), port))]);
            }
            Topology::Cluster(_) => {}
        }
        let Some(state) = self.pick()?.client.cached_cluster_state() else {
            return Err(self.unavailable("the nodes of the cluster are not discovered yet"));
        };
        let mut nodes: Vec<Node> = Vec::new();
        for range in state.slots() {
            let Server { host, port, .. } = &range.primary;
            let endpoint = Endpoint::Host(host.to_string(), *port);
            let at = nodes.iter().position(|node| node.endpoint == endpoint);
            let at = at.unwrap_or_else(|| {
                let tls_name = tls_name(&self.location, host);
                nodes.push(Node { endpoint, tls_name, slots: Vec::new() });
                nodes.len() - 1
            });
            nodes[at].slots.push((range.start, range.end));
        }
        if nodes.is_empty() {
            return Err(self.unavailable("the nodes of the cluster are not discovered yet"));
        }
        Ok(nodes)
    }

    /// Whether one server owns all keys.
    pub(super) const fn is_one_server(&self) -> bool {
        !self.cluster
    }

    pub(super) const fn location(&self) -> &RedisLocation {
        &self.location
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until there is a connection or `end` has passed.
    pub(super) async fn wait(&self, end: Instant) -> Result<(), Error> {
        const POLL_INTERVAL: Duration = Duration::from_millis(5);
        loop {
            match self.pick() {
                Ok(_) => return Ok(()),
                // Rejected credentials do not improve by waiting.
                Err(error @ Error::Refused { .. }) => return Err(error),
                Err(error) if Instant::now() >= end => return Err(error),
                Err(_) => time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// A usable connection.
    fn pick(&self) -> Result<&Connection, Error> {
        let count = self.all.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for step in 0..count {
            let connection = &self.all[(first + step) % count];
            if connection.is_usable() {
                return Ok(connection);
            }
        }
        let last_error = &self.all[first % count].last_error;
        let last_error = last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(last_error.unwrap_or_else(|| self.unavailable("not connected yet")))
    }

    pub(super) fn unavailable(&self, what: impl Into<String>) -> Error {
        Error::Unavailable { store: self.address.clone(), what: what.into() }
    }

    /// Sends the commands together and waits for all replies until `end`. Commands for one key are
    /// executed in order.
    pub(super) async fn run(&self, batch: Batch, end: Instant) -> Result<Vec<Answer>, Error> {
        let connection = self.pick()?;
        let Ok(_permit) = self.permits.try_acquire() else {
            return Err(self.unavailable("too many commands are pending"));
        };
        if let Some(parts) = self.parts(connection, &batch)
            && let Some(answers) = self.read(connection, &batch, &parts, end).await?
        {
            return Ok(answers);
        }
        let remaining = end.saturating_duration_since(Instant::now());
        self.exchange(connection, batch, &command_options(remaining, None), end).await
    }

    fn nonce(&self) -> Bytes {
        format!("sparrow-{}", self.nonces.fetch_add(1, Ordering::Relaxed)).into()
    }

    /// Sends the commands between nonces, and returns the replies if all nonces are at their
    /// positions.
    async fn exchange(
        &self,
        connection: &Connection,
        batch: Batch,
        options: &CommandOptions,
        end: Instant,
    ) -> Result<Vec<Answer>, Error> {
        let slots = self.slots(&connection.client, &batch);
        let (mut commands, mut nonces) = (Vec::new(), Vec::new());
        let mut echo = |commands: &mut Vec<Command>, slot| {
            let nonce = self.nonce();
            nonces.push((commands.len(), nonce.clone()));
            commands.push(Command::Echo(nonce, slot));
        };
        for command in batch.commands {
            let slot =
                if self.cluster { Some(command.key().map_or(0, |key| slot(key))) } else { None };
            echo(&mut commands, slot);
            commands.push(command);
        }
        for &slot in &slots {
            echo(&mut commands, slot);
        }
        let expected = commands.len();
        let mut exchange = Exchange::begin(connection, end);
        let commands = Batch { commands, ..Batch::default() };
        let sent = send(&connection.client, commands, options, &self.address, end).await;
        let mut answers = match sent {
            Ok(answers) if answers.len() == expected => answers,
            Ok(_) => {
                exchange.reset_connection();
                return Err(
                    self.unavailable("the number of replies differs from that of the commands")
                );
            }
            Err(error) => {
                if let Error::TimedOut { .. } = error {
                    exchange.reset_connection();
                }
                exchange.done = true;
                return Err(error);
            }
        };
        exchange.done = true;
        for (index, nonce) in nonces.iter().rev() {
            match verify(&answers.remove(*index), nonce) {
                Ok(()) => {}
                Err(Unverified::Refused(message)) => return Err(refusal(&self.address, &message)),
                Err(_) => {
                    exchange.reset_connection();
                    return Err(self.unavailable("its replies are out of sequence"));
                }
            }
        }
        Ok(answers)
    }

    /// A slot of each server that receives commands.
    fn slots(&self, client: &Client, batch: &Batch) -> Vec<Option<u16>> {
        if !self.cluster {
            return vec![None];
        }
        let Some(state) = client.cached_cluster_state() else { return vec![Some(0)] };
        let mut servers: Vec<(&Server, u16)> = Vec::new();
        for key in batch.commands.iter().filter_map(Command::key) {
            let slot = slot(key);
            if let Some(server) = state.get_server(slot)
                && servers.iter().all(|(known, _)| *known != server)
            {
                servers.push((server, slot));
            }
        }
        if servers.is_empty() {
            return vec![Some(0)];
        }
        servers.into_iter().map(|(_, slot)| Some(slot)).collect()
    }

    /// The servers that own keys; `None` stands for the only one.
    fn primaries(&self, client: &Client) -> Result<Vec<Option<Server>>, Error> {
        if !self.cluster {
            return Ok(vec![None]);
        }
        let state = client.cached_cluster_state();
        let nodes = state.map(|state| state.unique_primary_nodes()).unwrap_or_default();
        if nodes.is_empty() {
            return Err(self.unavailable("the nodes of the cluster are not discovered yet"));
        }
        Ok(nodes.into_iter().map(Some).collect())
    }

    /// The write counters of all servers as text. `None` if a server does not report them to this
    /// user.
    pub(super) async fn writes(&self, deadline: Duration) -> Result<Option<String>, Error> {
        const COUNTERS: [&str; 3] = ["run_id", "rdb_changes_since_last_save", "rdb_last_save_time"];
        let connection = self.pick()?;
        let mut text = String::new();
        for node in self.primaries(&connection.client)? {
            let mut batch = Batch::default();
            batch.push(Command::Info);
            let (options, end) = (command_options(deadline, node), Instant::now() + deadline);
            let mut answers = self.exchange(connection, batch, &options, end).await?;
            let Some(Ok(Reply::Text(info))) = answers.pop() else { return Ok(None) };
            let info = String::from_utf8_lossy(&info);
            for counter in COUNTERS {
                let value =
                    |line: &str| Some(line.strip_prefix(counter)?.strip_prefix(':')?.to_owned());
                let Some(value) = info.lines().find_map(value) else { return Ok(None) };
                text.push_str(&value);
                text.push(' ');
            }
        }
        Ok(Some(text))
    }

    /// The value of a configuration parameter on each server. `None` if a server does not report it to
    /// this user.
    pub(super) async fn configuration(
        &self,
        parameter: &'static str,
        end: Instant,
    ) -> Result<Option<Vec<Bytes>>, Error> {
        let connection = self.pick()?;
        let mut values = Vec::new();
        for node in self.primaries(&connection.client)? {
            let mut batch = Batch::default();
            batch.push(Command::Configuration(parameter));
            let remaining = end.saturating_duration_since(Instant::now());
            let options = command_options(remaining, node);
            let mut answers = self.exchange(connection, batch, &options, end).await?;
            let Some(Ok(Reply::List(mut pair))) = answers.pop() else { return Ok(None) };
            let Some(Reply::Text(value)) = pair.pop() else { return Ok(None) };
            values.push(value);
        }
        Ok(Some(values))
    }

    /// Starts a scan for the keys that match a pattern, on every node.
    pub(super) fn scan(&self, pattern: Bytes, page_deadline: Duration) -> Result<Scan<'_>, Error> {
        let connection = self.pick()?;
        let nodes = self.primaries(&connection.client)?;
        Ok(Scan { connections: self, connection, nodes, cursor: START, pattern, page_deadline })
    }
}

const START: Bytes = Bytes::from_static(b"0");
/// A scan. Keys that exist during the whole scan are returned at least once, others possibly.
pub(super) struct Scan<'a> {
    connections: &'a Connections,
    /// A cursor is valid on one server only, and connections may lead to different ones.
    connection: &'a Connection,
    /// The remaining nodes, the current one last; `None` stands for the only one.
    nodes: Vec<Option<Server>>,
    cursor: Bytes,
    pattern: Bytes,
    page_deadline: Duration,
}

impl Scan<'_> {
    /// The next page of keys, which may be empty; `None` at the end.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Bytes>>, Error> {
        let Some(node) = self.nodes.last() else { return Ok(None) };
        let mut batch = Batch::default();
        batch.push(Command::Scan(self.cursor.clone(), self.pattern.clone()));
        let options = command_options(self.page_deadline, node.clone());
        let end = Instant::now() + self.page_deadline;
        let exchange = self.connections.exchange(self.connection, batch, &options, end);
        let answer = exchange.await?.into_iter().next().unwrap_or(Ok(Reply::Nothing));
        let message = |message: String| refusal(&self.connections.address, &message);
        let Reply::List(parts) = answer.map_err(message)? else {
            return Err(self.malformed_reply());
        };
        let Ok([Reply::Text(cursor), Reply::List(keys)]) = <[Reply; 2]>::try_from(parts) else {
            return Err(self.malformed_reply());
        };
        self.cursor = cursor;
        if self.cursor == START {
            self.nodes.pop();
        }
        let keys = keys.into_iter().filter_map(|key| match key {
            Reply::Text(key) => Some(key),
            _ => None,
        });
        Ok(Some(keys.collect()))
    }

    fn malformed_reply(&self) -> Error {
        self.connections.unavailable("a malformed reply to SCAN")
    }
}
