//! All that knows the client library: connections, batches of commands, and what errors mean.
//!
//! * Every connection has a task that connects it, again and again if need be.
//! * A command is sent at most once, and not at all while there is no connection: nobody waits for a
//!   server that is away, and nothing is written behind the back of someone who gave up.
//! * Replies carry no name of their command: after one that was lost, all later ones would go to the wrong
//!   commands. So an `ECHO` of a nonce stands before every command whose reply could be taken for that of another one
//!   in its batch, and behind the last. A batch is taken only if all nonces come back in their places; a connection
//!   on which they do not, or on which a deadline passes, is closed.
//! * Between the library and each server is a relay of ours, which limits replies and serves reads by itself.

mod config;
mod dial;
mod faults;
mod frames;
mod keeper;
mod library;
mod probe;
mod reads;
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
use self::keeper::keep;
use self::library::{command_options, send};
use self::reads::{Unproven, prove};
use self::relay::Relays;
use crate::location::Topology;
use crate::{Error, Options, RedisLocation};

pub(super) use self::config::tls_config;
pub(super) use self::dial::dial;
pub(super) use self::faults::refusal;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) use self::frames::read_replies;
pub(super) use self::frames::words;

/// What the server answered to one command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reply {
    Nothing,
    Number(i64),
    Text(Bytes),
    List(Vec<Reply>),
    /// A value that was not read, or was thrown away, because of its size.
    TooLarge,
}

/// An answer, or what the server says is wrong with the command or its key.
pub(super) type Answer = Result<Reply, String>;

/// A command; the first key says to which node of a cluster it goes.
#[derive(Debug, Clone)]
pub(super) enum Command {
    Get(Bytes),
    /// Of keys in one slot. What is no string is nothing.
    GetMany(Vec<Bytes>),
    HashGetAll(Bytes),
    /// Whether a hash has a field.
    HashHas(Bytes, Bytes),
    /// `SET … NX`: with this time to live.
    SetIfMissing(Bytes, Bytes, Duration),
    Length(Bytes),
    Expire(Bytes, Duration),
    TimeLeft(Bytes),
    Rename(Bytes, Bytes),
    Unlink(Vec<Bytes>),
    /// Cursor and pattern.
    Scan(Bytes, Bytes),
    /// What a server says of itself.
    Info,
    /// A Lua script, its keys, which are in one slot, and its arguments.
    Script(Bytes, Vec<Bytes>, Vec<Bytes>),
    /// The text back; in a cluster, from the server that has the slot.
    Echo(Bytes, Option<u16>),
}

impl Command {
    /// Whether it only reads values, and so may go to the server without the library.
    const fn is_read(&self) -> bool {
        matches!(self, Self::Get(_) | Self::GetMany(_) | Self::HashGetAll(_))
    }

    /// The key that a place in the reply to a read is about.
    fn key_at(&self, place: usize) -> Option<&Bytes> {
        match self {
            Self::GetMany(keys) => keys.get(place),
            other => other.key(),
        }
    }

    /// The key that says which server the command goes to; `None` goes to any.
    fn key(&self) -> Option<&Bytes> {
        match self {
            Self::GetMany(keys) | Self::Unlink(keys) | Self::Script(_, keys, _) => keys.first(),
            Self::Get(key)
            | Self::HashGetAll(key)
            | Self::HashHas(key, _)
            | Self::SetIfMissing(key, ..)
            | Self::Length(key)
            | Self::Expire(key, _)
            | Self::TimeLeft(key)
            | Self::Rename(key, _) => Some(key),
            Self::Scan(..) | Self::Info | Self::Echo(..) => None,
        }
    }
}

/// The limit for one string of a reply, unless a batch has its own.
const LARGEST_STRING: usize = 64 << 20;

/// Commands that go out together.
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
    /// A batch that reads no larger strings, and no larger hashes, than of so many bytes. In place of those is
    /// [`Reply::TooLarge`].
    pub(super) fn limited(largest: usize) -> Self {
        Self { commands: Vec::new(), largest, too_large: Arc::default() }
    }

    /// Where keys are noted whose values were still being skipped when the time was over.
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

/// A server, and the slots whose keys it has.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    /// The name that its certificate has to have.
    pub(super) tls_name: String,
    pub(super) slots: Vec<(u16, u16)>,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Host(String, u16),
    Socket(PathBuf),
}

impl Node {
    /// A server that has all keys.
    fn single(place: Place) -> Self {
        let tls_name = match &place {
            Place::Host(host, _) => host.clone(),
            Place::Socket(_) => String::new(),
        };
        Self { place, tls_name, slots: vec![(0, u16::MAX)] }
    }
}

/// In which slot of a cluster a key is.
pub(super) fn slot(key: &[u8]) -> u16 {
    fred::util::redis_keyslot(key)
}

/// Batches on their way at once; more fail at once.
const PLACES: usize = 4096;

/// A few connections, used in turn.
#[derive(Debug)]
pub(super) struct Connections {
    address: String,
    location: RedisLocation,
    all: Vec<Connection>,
    next: AtomicUsize,
    nonces: AtomicU64,
    cluster: bool,
    /// Batches that may be on their way. The library's own limit is not used: it counts a command that it
    /// refuses as one that waits, and from then on never finds its queue empty.
    places: Semaphore,
}

#[derive(Debug)]
struct Connection {
    client: Client,
    relays: Arc<Relays>,
    reset: Arc<Reset>,
    /// Why there is no connection, as of the last attempt.
    trouble: Arc<Mutex<Option<Error>>>,
    keeper: JoinHandle<()>,
}

/// How often a connection was closed because its replies could not be trusted.
#[derive(Debug, Default)]
struct Reset {
    count: AtomicU64,
    /// Whether that is going on.
    now: AtomicBool,
}

impl Connection {
    /// Closes the connection and opens it again, unless that was done since `count`.
    fn reset(&self, count: u64) {
        // The longest time without this connection: the client goes on to connect by itself.
        const PATIENCE: Duration = Duration::from_secs(2);
        let reset = &self.reset;
        if reset
            .count
            .compare_exchange(count, count + 1, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        reset.now.store(true, Ordering::Release);
        let (client, reset) = (self.client.clone(), Arc::clone(reset));
        runtime.spawn(async move {
            let _ = time::timeout(PATIENCE, client.force_reconnection()).await;
            reset.now.store(false, Ordering::Release);
        });
    }

    fn stands(&self) -> bool {
        self.client.is_connected()
            && !self.reset.now.load(Ordering::Acquire)
            && self.relays.line(None).is_some()
    }
}

/// A batch on its way. Unless its replies were taken, its connection is closed: also when whoever waits for
/// them goes away at the deadline.
struct Exchange<'a> {
    connection: &'a Connection,
    count: u64,
    end: Instant,
    over: bool,
}

impl<'a> Exchange<'a> {
    fn begin(connection: &'a Connection, end: Instant) -> Self {
        let count = connection.reset.count.load(Ordering::Acquire);
        Self { connection, count, end, over: false }
    }

    fn distrust(&mut self) {
        self.over = true;
        self.connection.reset(self.count);
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        // Timers of those who wait may be early by so much.
        const ACCURACY: Duration = Duration::from_millis(10);
        if !self.over && Instant::now() + ACCURACY >= self.end {
            self.distrust();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Connections {
    /// Starts to connect; must be called inside of a tokio runtime.
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
                let trouble = Arc::new(Mutex::new(None));
                let relays = Arc::new(Relays::new(location, tls.clone(), options));
                let keeper = keep(
                    client.clone(),
                    Arc::clone(&relays),
                    location.clone(),
                    address.clone(),
                    Arc::clone(&trouble),
                );
                let reset = Arc::default();
                Connection { client, relays, reset, trouble, keeper: tokio::spawn(keeper) }
            })
            .collect();
        Ok(Self {
            address,
            location: location.clone(),
            all,
            next: AtomicUsize::new(0),
            nonces: AtomicU64::new(0),
            cluster: location.is_cluster(),
            places: Semaphore::new(PLACES),
        })
    }

    /// Where the keys are: each node, and the first and last slot of each range that it has.
    pub(super) fn nodes(&self) -> Result<Vec<Node>, Error> {
        match &self.location.topology {
            Topology::Server((host, port)) => {
                return Ok(vec![Node::single(Place::Host(host.clone(), *port))]);
            }
            Topology::Socket(path) => return Ok(vec![Node::single(Place::Socket(path.clone()))]),
            Topology::Sentinel { .. } => {
                let Some(Server { host, port, .. }) =
                    self.pick()?.client.active_connections().pop()
                else {
                    return Err(self.unavailable("the sentinels have not named a server yet"));
                };
                return Ok(vec![Node::single(Place::Host(host.to_string(), port))]);
            }
            Topology::Cluster(_) => {}
        }
        let Some(state) = self.pick()?.client.cached_cluster_state() else {
            return Err(self.unavailable("the nodes of the cluster are not known yet"));
        };
        let mut nodes: Vec<Node> = Vec::new();
        for range in state.slots() {
            let Server { host, port, .. } = &range.primary;
            let place = Place::Host(host.to_string(), *port);
            let at = nodes.iter().position(|node| node.place == place);
            let at = at.unwrap_or_else(|| {
                let tls_name = tls_name(&self.location, host);
                nodes.push(Node { place, tls_name, slots: Vec::new() });
                nodes.len() - 1
            });
            nodes[at].slots.push((range.start, range.end));
        }
        if nodes.is_empty() {
            return Err(self.unavailable("the nodes of the cluster are not known yet"));
        }
        Ok(nodes)
    }

    /// Whether all keys are in one place.
    pub(super) const fn is_one_server(&self) -> bool {
        !self.cluster
    }

    pub(super) const fn location(&self) -> &RedisLocation {
        &self.location
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until there is a connection, at most until `end`; then says why not.
    pub(super) async fn wait(&self, end: Instant) -> Result<(), Error> {
        const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
        loop {
            match self.pick() {
                Ok(_) => return Ok(()),
                // A wrong password does not get better by waiting.
                Err(error @ Error::Refused { .. }) => return Err(error),
                Err(error) if Instant::now() >= end => return Err(error),
                Err(_) => time::sleep(BETWEEN_LOOKS).await,
            }
        }
    }

    /// A connection that stands.
    fn pick(&self) -> Result<&Connection, Error> {
        let count = self.all.len();
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for step in 0..count {
            let connection = &self.all[(first + step) % count];
            if connection.stands() {
                return Ok(connection);
            }
        }
        let trouble = &self.all[first % count].trouble;
        let trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(trouble.unwrap_or_else(|| self.unavailable("not connected yet")))
    }

    pub(super) fn unavailable(&self, what: impl Into<String>) -> Error {
        Error::Unavailable { store: self.address.clone(), what: what.into() }
    }

    /// Sends the commands at once and waits for all answers, at most until `end`. Commands for one
    /// key are executed in order.
    pub(super) async fn run(&self, batch: Batch, end: Instant) -> Result<Vec<Answer>, Error> {
        let connection = self.pick()?;
        let Ok(_place) = self.places.try_acquire() else {
            return Err(self.unavailable("too many commands wait for it"));
        };
        if let Some(parts) = self.parts(connection, &batch)
            && let Some(answers) = self.read(connection, &batch, &parts, end).await?
        {
            return Ok(answers);
        }
        let left = end.saturating_duration_since(Instant::now());
        self.exchange(connection, batch, &command_options(left, None), end).await
    }

    fn nonce(&self) -> Bytes {
        format!("sparrow-{}", self.nonces.fetch_add(1, Ordering::Relaxed)).into()
    }

    /// Sends the commands between nonces, and takes the replies if all nonces come back in their places.
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
                exchange.distrust();
                return Err(self.unavailable("an answer that does not fit the commands"));
            }
            Err(error) => {
                if let Error::TimedOut { .. } = error {
                    exchange.distrust();
                }
                exchange.over = true;
                return Err(error);
            }
        };
        exchange.over = true;
        for (at, nonce) in nonces.iter().rev() {
            match prove(&answers.remove(*at), nonce) {
                Ok(()) => {}
                Err(Unproven::Refused(says)) => return Err(refusal(&self.address, &says)),
                Err(_) => {
                    exchange.distrust();
                    return Err(self.unavailable("its replies are out of step"));
                }
            }
        }
        Ok(answers)
    }

    /// A slot of each server that the commands go to.
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

    /// The servers that have keys; `None` is the only one.
    fn primaries(&self, client: &Client) -> Result<Vec<Option<Server>>, Error> {
        if !self.cluster {
            return Ok(vec![None]);
        }
        let state = client.cached_cluster_state();
        let nodes = state.map(|state| state.unique_primary_nodes()).unwrap_or_default();
        if nodes.is_empty() {
            return Err(self.unavailable("the nodes of the cluster are not known yet"));
        }
        Ok(nodes.into_iter().map(Some).collect())
    }

    /// A text that differs when something was written to one of the servers. `None` if the servers do
    /// not report it, or not to this user.
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

    /// Starts to list the keys that match a pattern, on every node.
    pub(super) fn scan(&self, pattern: Bytes, page_deadline: Duration) -> Result<Scan<'_>, Error> {
        let connection = self.pick()?;
        let nodes = self.primaries(&connection.client)?;
        Ok(Scan { connections: self, connection, nodes, cursor: START, pattern, page_deadline })
    }
}

const START: Bytes = Bytes::from_static(b"0");
/// A listing of keys: those that are there all the time come at least once, others maybe.
pub(super) struct Scan<'a> {
    connections: &'a Connections,
    /// Cursors are those of one server, which several connections may not lead to.
    connection: &'a Connection,
    /// Nodes to go through, the current one last; `None` is the only one.
    nodes: Vec<Option<Server>>,
    cursor: Bytes,
    pattern: Bytes,
    page_deadline: Duration,
}

impl Scan<'_> {
    /// The next keys, maybe none; `None` at the end.
    pub(super) async fn page(&mut self) -> Result<Option<Vec<Bytes>>, Error> {
        let Some(node) = self.nodes.last() else { return Ok(None) };
        let mut batch = Batch::default();
        batch.push(Command::Scan(self.cursor.clone(), self.pattern.clone()));
        let options = command_options(self.page_deadline, node.clone());
        let end = Instant::now() + self.page_deadline;
        let exchange = self.connections.exchange(self.connection, batch, &options, end);
        let answer = exchange.await?.into_iter().next().unwrap_or(Ok(Reply::Nothing));
        let says = |says: String| refusal(&self.connections.address, &says);
        let Reply::List(parts) = answer.map_err(says)? else {
            return Err(self.nonsense());
        };
        let Ok([Reply::Text(cursor), Reply::List(keys)]) = <[Reply; 2]>::try_from(parts) else {
            return Err(self.nonsense());
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

    fn nonsense(&self) -> Error {
        self.connections.unavailable("an answer to SCAN that is none")
    }
}
