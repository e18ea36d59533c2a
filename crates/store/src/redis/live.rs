//! Live data in Redis and Redis Cluster. `docs/live.md` describes keys, layouts and guarantees.
//!
//! Each write is one script, `live.lua`, on keys of one slot.

use std::collections::HashSet;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sparrow_live::{
    Accepted, Action, Change, CreatedUser, Durability, Error as LiveError, KEY_LIFETIME,
    LAST_ID_OF_DATA_SETS, Limits, LiveStore, LiveUser, Recorded, Sequence, Watermark, Write,
    partition,
};
use sparrow_model::UserId;
use tokio::time::Instant;

use super::client::{
    Answer, Batch, Call, Command, Connections, Ran, Replicas, Reply, Script, refusal,
};
use super::follow::Feed;
use super::included::Included;
use super::keys::Keys;
use super::{USER_KINDS, string, too_large_fault};
use crate::codec::Fault;
use crate::guarded_live::live_error;
use crate::live::{codec, entry};
use crate::{Error, Options, RedisLocation};

/// Live data in Redis or Redis Cluster. Clones share the connections.
#[derive(Debug, Clone)]
pub struct RedisLive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: Connections,
    /// For writes that wait for replicas, as the server executes nothing else on their connection meanwhile.
    waiting: Option<Connections>,
    /// When replicas were last too slow, or too few.
    replicas_missed: Mutex<Option<Instant>>,
    keys: Keys,
    options: Options,
    limits: Limits,
    script: Script,
    create_user: Script,
    partitions: Partitions,
    feed: Feed,
    durability: Mutex<(Durability, Option<Instant>)>,
}

/// The number of partitions of a new store.
const PARTITIONS: u16 = 256;
/// How long a store that refused a number of partitions is not asked again.
const REFUSAL_LIFETIME: Duration = Duration::from_secs(10);
/// How long the durability that a server reported is assumed.
const DURABILITY_LIFETIME: Duration = Duration::from_secs(10);
/// The least number of connections for writes that wait for replicas.
const WAITING_CONNECTIONS: usize = 4;
/// How long writes do not wait for replicas after these were missed, so that they do not hold up each other: they only ask.
const MISSED_LIFETIME: Duration = Duration::from_secs(1);

impl RedisLive {
    /// Starts to connect and returns at once; requires a tokio runtime. Without a connection, calls
    /// fail at once. Errors concern the options.
    pub fn open(
        location: &RedisLocation,
        options: &Options,
        limits: Limits,
    ) -> Result<Self, Error> {
        options.check()?;
        let waiting = || {
            let connections = options.connections.max(WAITING_CONNECTIONS);
            Connections::open(location, &Options { connections, ..options.clone() })
        };
        Ok(Self(Arc::new(Inner {
            connections: Connections::open(location, options)?,
            waiting: (options.replicas > 0).then(waiting).transpose()?,
            replicas_missed: Mutex::default(),
            keys: Keys::new(options),
            options: options.clone(),
            limits,
            script: Script::new(include_str!("live.lua")),
            create_user: Script::new(include_str!("create_user.lua")),
            partitions: Partitions::default(),
            feed: Feed::default(),
            durability: Mutex::new((Durability::Unknown, None)),
        })))
    }

    /// Whether the store has live data. Chooses no number of partitions.
    pub async fn exists(&self) -> Result<bool, LiveError> {
        let inner = &self.0;
        let end = Instant::now() + inner.options.connect_timeout;
        inner.connections.wait(end).await.map_err(live_error)?;
        let key = inner.keys.partitions();
        let number =
            inner.connections.ask_number(&key, Command::Get(key.clone()), inner.deadline());
        Ok(number.await.map_err(live_error)?.is_some())
    }

    /// Waits for a connection, for at most [`Options::connect_timeout`], and asks the store for its
    /// number of partitions and its durability.
    pub async fn connected(&self) -> Result<(), LiveError> {
        let inner = &self.0;
        let end = Instant::now() + inner.options.connect_timeout;
        inner.connections.wait(end).await.map_err(live_error)?;
        if let Some(waiting) = &inner.waiting {
            waiting.wait(end).await.map_err(live_error)?;
        }
        inner.partitions(inner.deadline()).await.map_err(live_error)?;
        inner.ask_durability(inner.deadline()).await;
        Ok(())
    }
}

/// The number of partitions of a store.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    known: OnceLock<u16>,
    /// When a store without a number last refused to take one.
    refused: Mutex<Option<Instant>>,
}

impl Partitions {
    /// The number, which is chosen if the store has none.
    async fn get(
        &self,
        connections: &Connections,
        keys: &Keys,
        end: Instant,
    ) -> Result<u16, Error> {
        if let Some(&number) = self.known.get() {
            return Ok(number);
        }
        let key = keys.partitions();
        let mut number = connections.ask_number(&key, Command::Get(key.clone()), end).await?;
        if number.is_none() {
            let script =
                b"redis.call('SET', KEYS[1], ARGV[1], 'NX') return redis.call('GET', KEYS[1])";
            let value = Bytes::from(PARTITIONS.to_string());
            let set = Command::Script(Bytes::from_static(script), vec![key.clone()], vec![value]);
            let chosen = connections.ask_number(&key, set, end).await;
            if let Err(Error::Refused { .. }) = chosen {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            number = chosen?;
        }
        let number = number.ok_or_else(|| connections.unavailable("a malformed reply to GET"))?;
        Ok(*self.known.get_or_init(|| number))
    }

    /// The same for reads. A store that forbids writes and has no number is read as if it had the default for a while: it
    /// has no live data yet.
    pub(super) async fn for_reads(
        &self,
        connections: &Connections,
        keys: &Keys,
        end: Instant,
    ) -> Result<u16, Error> {
        let is_refused = || {
            let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.is_some_and(|when| when.elapsed() < REFUSAL_LIFETIME)
        };
        if is_refused() {
            return Ok(self.known.get().copied().unwrap_or(PARTITIONS));
        }
        let number = self.get(connections, keys, end).await;
        if is_refused() { Ok(number.unwrap_or(PARTITIONS)) } else { number }
    }
}

/// The live data in a reply to a read of their key.
pub(super) fn live_user(answer: Answer) -> Result<LiveUser, Fault> {
    string(answer, codec::unpack).map(Option::unwrap_or_default)
}

impl Inner {
    fn included(&self) -> Included<'_> {
        let Self { connections, keys, options, .. } = self;
        Included { connections, keys, deadline: options.bulk_deadline }
    }

    /// Removes what the generation in force contains about users. Their deletion hides it already.
    async fn remove_stored(&self, users: &[UserId], end: Instant) -> Result<(), Error> {
        let mut batch = Batch::default();
        for user in users {
            for kind in USER_KINDS {
                batch.push(Command::Unlink(vec![self.keys.plain(kind, user.0)]));
            }
        }
        for answer in self.connections.run(batch, end).await? {
            answer.map_err(|message| refusal(self.connections.address(), &message))?;
        }
        Ok(())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    async fn partitions(&self, end: Instant) -> Result<u16, Error> {
        self.partitions.get(&self.connections, &self.keys, end).await
    }

    /// Asks the servers for their durability, unless they reported it recently.
    async fn ask_durability(&self, end: Instant) {
        let is_due = || {
            let mut last = self.durability.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = last.1.is_none_or(|asked| asked.elapsed() >= DURABILITY_LIFETIME);
            if is_due {
                // Other writes do not ask meanwhile.
                last.1 = Some(Instant::now());
            }
            is_due
        };
        if !is_due() {
            return;
        }
        let asked = self.reported_durability(end).await.ok().flatten();
        let mut last = self.durability.lock().unwrap_or_else(PoisonError::into_inner);
        last.0 = asked.unwrap_or(Durability::Unknown);
    }

    /// The least durability of all servers. `None` if one does not report it.
    async fn reported_durability(&self, end: Instant) -> Result<Option<Durability>, Error> {
        let enabled = self.connections.configuration("appendonly", end);
        let Some(enabled) = enabled.await? else { return Ok(None) };
        if enabled.iter().any(|value| value != "yes") {
            return Ok(Some(Durability::Memory));
        }
        let fsync = self.connections.configuration("appendfsync", end);
        let Some(fsync) = fsync.await? else { return Ok(None) };
        Ok(if fsync.iter().all(|value| value == "always") {
            Some(Durability::Fsync)
        } else if fsync.iter().all(|value| value == "always" || value == "everysec") {
            Some(Durability::EverySecond)
        } else {
            None
        })
    }

    /// Runs a script that writes, and waits for replicas if that is configured.
    async fn run(
        &self,
        script: &Script,
        calls: Vec<Call>,
        end: Instant,
    ) -> Vec<Result<Ran, Error>> {
        let Some(waiting) = &self.waiting else {
            let run = self.connections.run_script_and_wait(script, calls, None, end);
            return Box::pin(run).await;
        };
        let (started, count) = (Instant::now(), self.options.replicas);
        let last = *self.replicas_missed.lock().unwrap_or_else(PoisonError::into_inner);
        let asks_only = last.is_some_and(|when| started - when < MISSED_LIFETIME);
        // Servers end waits up to 100 ms late.
        let within = end.saturating_duration_since(started) / 4;
        let replicas = Some(Replicas { count: if asks_only { 0 } else { count }, within });
        let ran = Box::pin(waiting.run_script_and_wait(script, calls, replicas, end)).await;
        let reached = ran.iter().filter_map(|ran| ran.as_ref().ok()?.replicas).min();
        if let Some(reached) = reached.filter(|&reached| reached < count) {
            if last.is_none_or(|when| started - when >= DURABILITY_LIFETIME) {
                let store = self.connections.address();
                tracing::warn!(
                    store,
                    reached,
                    count,
                    "fewer replicas than configured have a write"
                );
            }
            let mut missed = self.replicas_missed.lock().unwrap_or_else(PoisonError::into_inner);
            if !asks_only {
                *missed = Some(Instant::now());
            }
        }
        ran
    }

    /// What a write survives that this number of replicas have.
    fn reached(&self, replicas: Option<u32>) -> Durability {
        let of_server = self.durability.lock().unwrap_or_else(PoisonError::into_inner).0;
        replicas.filter(|&count| count > 0).map_or(of_server, Durability::Replicas)
    }

    /// The keys and arguments of the script for a write.
    fn call(&self, write: &Write, partitions: u16) -> Call {
        let partition = partition(write.user, partitions);
        let keys = &self.keys;
        let mut names = vec![
            keys.events(partition),
            keys.live(partition, write.user),
            keys.forgotten(partition),
        ];
        let (mut half_stars, mut amount, mut kind) = (0, 0.0_f32, "");
        match &write.action {
            Action::Rate(_, stars) => half_stars = stars.half_stars(),
            Action::Event { kind: name, value, .. } => (kind, amount) = (name, *value),
            Action::Unrate(_) | Action::Expose(_) | Action::Forget => {}
        }
        let number = |number: Option<u32>| {
            Bytes::from(number.map(|number| number.to_string()).unwrap_or_default())
        };
        let mut digest = Bytes::new();
        if let Some(idempotency) = &write.idempotency {
            names.push(keys.idempotency(partition, write.user, &idempotency.key));
            digest = idempotency.digest.to_string().into();
        }
        let mut arguments = vec![
            Bytes::from_static(entry::action_name(&write.action).as_bytes()),
            number(write.action.movie().map(|movie| movie.0)),
            number(Some(half_stars.into())),
            Bytes::copy_from_slice(&amount.to_le_bytes()),
            number(Some(write.time)),
            number(write.stored_time),
            digest,
            self.limits.ratings.to_string().into(),
            self.limits.events.to_string().into(),
            KEY_LIFETIME.as_millis().to_string().into(),
            number(Some(write.user.0)),
            Bytes::copy_from_slice(kind.as_bytes()),
        ];
        for (name, value) in entry::fields(write) {
            arguments.extend([Bytes::from_static(name.as_bytes()), value.into()]);
        }
        Call { keys: names, arguments }
    }

    /// The result of a write from the reply of the script.
    fn accepted(
        &self,
        write: &Write,
        partitions: u16,
        Ran { answer, replicas }: Ran,
    ) -> Result<Accepted, LiveError> {
        let malformed = || {
            live_error(self.connections.unavailable("a malformed reply to the script of a write"))
        };
        let parts = match answer {
            Ok(Reply::List(parts)) => parts,
            Ok(_) => return Err(malformed()),
            Err(message) => {
                return Err(live_error(refusal(self.connections.address(), &message)));
            }
        };
        let text = |part: &Reply| match part {
            Reply::Text(text) => String::from_utf8_lossy(text).into_owned(),
            _ => String::new(),
        };
        let status = parts.first().map(text).unwrap_or_default();
        match (&*status, &parts[..]) {
            ("ok" | "repeated", [_, sequence, Reply::Number(applied)]) => Ok(Accepted {
                sequence: Sequence::from_str(&text(sequence)).map_err(|_| malformed())?,
                applied: *applied == 1,
                repeated: status == "repeated",
                durability: self.reached(replicas),
            }),
            ("reused", _) => {
                let key = write.idempotency.as_ref().map_or("", |id| &id.key).to_owned();
                Err(LiveError::KeyReused { key })
            }
            ("limit", _) => {
                Err(LiveError::TooManyRatings { user: write.user, limit: self.limits.ratings })
            }
            ("malformed", [_, what]) => Err(self.malformed(write.user, partitions, text(what))),
            _ => Err(malformed()),
        }
    }

    fn malformed(&self, user: UserId, partitions: u16, what: Fault) -> LiveError {
        let key = self.keys.live(partition(user, partitions), user);
        LiveError::Malformed { key: String::from_utf8_lossy(&key).into_owned(), what }
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, LiveError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let end = self.deadline();
        let partitions = self.partitions.for_reads(&self.connections, &self.keys, end);
        let partitions = partitions.await.map_err(live_error)?;
        let key = |&id: &UserId| self.keys.live(partition(id, partitions), id);
        let mut batch = Batch::default();
        let at_once = self.connections.is_one_server() && ids.len() > 1;
        if at_once {
            batch.push(Command::GetMany(ids.iter().map(key).collect()));
        } else {
            for id in ids {
                batch.push(Command::Get(key(id)));
            }
        }
        let mut answers = self.connections.run(batch, end).await.map_err(live_error)?;
        if at_once {
            answers = match answers.pop() {
                Some(Ok(Reply::List(values))) if values.len() == ids.len() => {
                    values.into_iter().map(Ok).collect()
                }
                Some(Err(message)) => {
                    return Err(live_error(refusal(self.connections.address(), &message)));
                }
                _ => {
                    let error = self.connections.unavailable("a malformed reply to MGET");
                    return Err(live_error(error));
                }
            };
        }
        let user = |(&id, answer): (&UserId, Answer)| match answer {
            Err(message) if !message.starts_with("WRONGTYPE") => {
                Err(live_error(refusal(self.connections.address(), &message)))
            }
            answer => live_user(answer).map_err(|what| self.malformed(id, partitions, what)),
        };
        ids.iter().zip(answers).map(user).collect()
    }

    /// The keys of the streams of all partitions.
    async fn streams(&self) -> Result<Vec<Bytes>, Error> {
        let partitions =
            self.partitions.for_reads(&self.connections, &self.keys, self.deadline()).await?;
        Ok((0..partitions).map(|partition| self.keys.events(partition)).collect())
    }

    async fn changes(&self, after: &mut [Sequence], wait: Duration) -> Result<Vec<Change>, Error> {
        let keys = self.streams().await?;
        if keys.len() != after.len() {
            let what = format!("it has {} partitions, not {}", keys.len(), after.len());
            return Err(self.connections.unavailable(what));
        }
        let read = self.feed.read(&self.connections, &self.options, &keys, after, wait).await?;
        let mut changes = Vec::new();
        for (partition, users, last) in read.streams {
            after[usize::from(partition)] = last;
            changes.extend(users);
        }
        for partition in read.moved {
            // The library finds the server, and remembers it for the next connections.
            let position = &mut after[usize::from(partition)];
            for recorded in self.log(partition, *position, 100).await? {
                *position = recorded.sequence;
                changes.extend(recorded.change());
            }
        }
        Ok(changes)
    }

    async fn log(
        &self,
        partition: u16,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let end = Instant::now() + self.options.bulk_deadline;
        let first = match after.count.checked_add(1) {
            Some(count) => Sequence { count, ..after },
            None => Sequence { milliseconds: after.milliseconds.saturating_add(1), count: 0 },
        };
        let key = self.keys.events(partition);
        let mut batch = Batch::default();
        let first = Bytes::from(first.to_string());
        batch.push(Command::Entries(key.clone(), first, Bytes::from_static(b"+"), limit));
        let answer = self.connections.run(batch, end).await?.into_iter().next();
        let fault = |what: Fault| Error::Malformed {
            key: String::from_utf8_lossy(&key).into_owned(),
            what,
        };
        match answer.unwrap_or(Ok(Reply::Nothing)) {
            Ok(Reply::List(entries)) => {
                entries.iter().map(recorded).collect::<Result<_, _>>().map_err(fault)
            }
            Ok(Reply::TooLarge) => Err(fault(too_large_fault())),
            Ok(_) => Ok(Vec::new()),
            Err(message) => Err(refusal(self.connections.address(), &message)),
        }
    }
}

/// A write from its entry in a stream.
fn recorded(entry: &Reply) -> Result<Recorded, Fault> {
    let malformed = |what: &str| format!("has an entry with {what}");
    let Reply::List(parts) = entry else { return Err(malformed("an unknown form")) };
    let [Reply::Text(sequence), Reply::List(fields)] = &parts[..] else {
        return Err(malformed("an unknown form"));
    };
    let sequence = str::from_utf8(sequence).ok().and_then(|text| text.parse().ok());
    let sequence: Sequence = sequence.ok_or_else(|| malformed("a malformed sequence"))?;
    let (pairs, _) = fields.as_chunks::<2>();
    entry::recorded(sequence, |name| {
        pairs.iter().find_map(|[key, value]| match (key, value) {
            (Reply::Text(key), Reply::Text(value)) if key == name => str::from_utf8(value).ok(),
            _ => None,
        })
    })
}

#[async_trait]
impl LiveStore for RedisLive {
    fn address(&self) -> &str {
        self.0.connections.address()
    }

    fn durability(&self) -> Durability {
        self.0.durability.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, LiveError>> {
        if writes.is_empty() {
            return Vec::new();
        }
        let (inner, end) = (&self.0, self.0.deadline());
        let partitions = match inner.partitions(end).await {
            Ok(partitions) => partitions,
            Err(error) => return vec![Err(live_error(error)); writes.len()],
        };
        let calls = writes.iter().map(|write| inner.call(write, partitions)).collect();
        let written = inner.run(&inner.script, calls, end);
        let asked = inner.ask_durability(end);
        let (answers, ()) = Box::pin(futures::future::join(written, asked)).await;
        let accepted = |(write, ran): (&Write, Result<Ran, Error>)| {
            inner.accepted(write, partitions, ran.map_err(live_error)?)
        };
        let mut results: Vec<_> = writes.iter().zip(answers).map(accepted).collect();
        let deleted = |(write, result): (&Write, &Result<Accepted, LiveError>)| {
            (write.action == Action::Forget && result.is_ok()).then_some(write.user)
        };
        let deleted: Vec<UserId> = writes.iter().zip(&results).filter_map(deleted).collect();
        if !deleted.is_empty()
            && let Err(error) = inner.remove_stored(&deleted, end).await
        {
            // A retry removes the rest.
            for (write, result) in writes.iter().zip(&mut results) {
                if write.action == Action::Forget && result.is_ok() {
                    *result = Err(live_error(error.clone()));
                }
            }
        }
        results
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, LiveError> {
        self.0.users(ids).await
    }

    async fn create_user(&self, key: Option<&str>) -> Result<CreatedUser, LiveError> {
        let (inner, end) = (&self.0, self.0.deadline());
        let mut keys = vec![inner.keys.last_user()];
        keys.extend(key.map(|key| inner.keys.created(key)));
        let arguments = vec![
            LAST_ID_OF_DATA_SETS.to_string().into(),
            KEY_LIFETIME.as_millis().to_string().into(),
        ];
        let ran = inner.run(&inner.create_user, vec![Call { keys, arguments }], end);
        let (ran, ()) = Box::pin(futures::future::join(ran, inner.ask_durability(end))).await;
        let none = || live_error(inner.connections.unavailable("it has no more user ids"));
        let Ran { answer, replicas } =
            ran.into_iter().next().ok_or_else(none)?.map_err(live_error)?;
        let id = match answer {
            Ok(Reply::Number(number)) => u32::try_from(number).ok(),
            Ok(_) => None,
            Err(message) => {
                return Err(live_error(refusal(inner.connections.address(), &message)));
            }
        };
        let id = id.map(UserId).ok_or_else(none)?;
        Ok(CreatedUser { id, durability: inner.reached(replicas) })
    }

    fn partitions(&self) -> u16 {
        self.0.partitions.known.get().copied().unwrap_or(PARTITIONS)
    }

    async fn log(
        &self,
        partition: u16,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Recorded>, LiveError> {
        self.0.log(partition, after, limit).await.map_err(live_error)
    }

    async fn positions(&self) -> Result<Vec<Sequence>, LiveError> {
        let inner = &self.0;
        let keys = inner.streams().await.map_err(live_error)?;
        let positions = inner.feed.positions(&inner.connections, &inner.options, &keys);
        Box::pin(positions).await.map_err(live_error)
    }

    async fn changes(
        &self,
        after: &mut [Sequence],
        wait: Duration,
    ) -> Result<Vec<Change>, LiveError> {
        Box::pin(self.0.changes(after, wait)).await.map_err(live_error)
    }

    async fn all_users(&self) -> Result<Vec<UserId>, LiveError> {
        let inner = &self.0;
        let users = async {
            let mut users = HashSet::new();
            let pattern = inner.keys.live_pattern();
            let mut scan = inner.connections.scan(pattern, inner.options.bulk_deadline)?;
            while let Some(keys) = scan.page().await? {
                users.extend(keys.iter().filter_map(|key| inner.keys.live_id(key)));
            }
            Ok(users.into_iter().collect())
        };
        Box::pin(users).await.map_err(live_error)
    }

    async fn drop_included(&self, watermark: &Watermark) -> Result<u64, LiveError> {
        let dropped = async {
            let partitions = self.0.partitions(self.0.deadline()).await?;
            self.0.included().drop(watermark, partitions).await
        };
        Box::pin(dropped).await.map_err(live_error)
    }

    async fn trim(&self, watermark: &Watermark) -> Result<u64, LiveError> {
        let trimmed = async {
            let partitions = self.0.partitions(self.0.deadline()).await?;
            self.0.included().trim(watermark, partitions).await
        };
        Box::pin(trimmed).await.map_err(live_error)
    }

    async fn trimmed(&self) -> Result<Watermark, LiveError> {
        let trimmed = async {
            let partitions = self.0.partitions(self.0.deadline()).await?;
            self.0.included().trimmed(partitions).await
        };
        Box::pin(trimmed).await.map_err(live_error)
    }
}
