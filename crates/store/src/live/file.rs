//! Live data in one file, which one process opens. `docs/live.md` describes the guarantees.
//!
//! A thread commits all queued writes together, in one transaction with one fsync, and answers afterwards. What users
//! have is kept in memory as well, for reads.

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use async_trait::async_trait;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};
use sparrow_live::{
    Accepted, CreatedUser, Durability, Error, Idempotency, KEY_LIFETIME, LAST_ID_OF_DATA_SETS,
    Limits, LiveStore, LiveUser, Recorded, Sequence, Watermark, Write,
};
use sparrow_model::UserId;
use tokio::sync::oneshot;
use tokio::{task, time};

use super::{codec, entry};

/// Live data in a file. Clones share it.
#[derive(Debug, Clone)]
pub struct FileLive(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    /// `None` once this is dropped.
    queue: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    address: String,
    limits: Limits,
    users: RwLock<HashMap<UserId, LiveUser>>,
    /// `None` after a failure, until the file is open again.
    database: Mutex<Option<Arc<Database>>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the writer thread executes.
enum Job {
    Write(Vec<Write>, oneshot::Sender<Vec<Result<Accepted, Error>>>),
    /// With an idempotency key.
    CreateUser(Option<String>, oneshot::Sender<Result<UserId, Error>>),
    /// Drops the ratings of users up to a sequence.
    Drop(Vec<UserId>, Sequence, Counted),
    /// Removes some of the writes up to a sequence from the log.
    Trim(Sequence, Counted),
}

/// Where the number of removed ratings or writes goes.
type Counted = oneshot::Sender<Result<u64, Error>>;

/// Opens the file.
type Open = Box<dyn Fn() -> Result<Database, redb::Error> + Send>;

/// The version of the file.
const FORMAT: u64 = 1;
/// Properties by name.
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("live meta");
const FORMAT_NAME: &str = "format";
const LAST_MILLISECONDS: &str = "last milliseconds";
const LAST_COUNT: &str = "last count";
const LAST_USER: &str = "last user";
const TRIMMED_MILLISECONDS: &str = "trimmed milliseconds";
const TRIMMED_COUNT: &str = "trimmed count";
/// The packed live data by user id.
const USERS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("live users");
/// The packed writes by sequence.
const LOG: TableDefinition<'static, (u64, u64), &[u8]> = TableDefinition::new("live log");
/// By user and key: the digest, the sequence, and whether the write was in force.
const KEYS: TableDefinition<'static, (u32, &str), (u64, u64, u64, bool)> =
    TableDefinition::new("live keys");
/// User and key by sequence, in the order in which keys expire.
const EXPIRING: TableDefinition<'static, (u64, u64), (u32, &str)> =
    TableDefinition::new("live expiring keys");
/// By key: the user who was created with it, and when, in milliseconds.
const CREATED: TableDefinition<'static, &str, (u32, u64)> = TableDefinition::new("live created");
/// The same keys in the order in which they expire.
const CREATED_EXPIRING: TableDefinition<'static, (u64, u32), &str> =
    TableDefinition::new("live expiring created");

/// The time limit of a call.
const DEADLINE: Duration = Duration::from_secs(5);
/// The greatest number of writes in one transaction.
const MOST_WRITES: usize = 4096;
/// The greatest number of expired keys that one transaction removes.
const MOST_EXPIRED: usize = 1000;
/// The users whose ratings one transaction drops, and the writes that one removes from the log.
const USERS_AT_ONCE: usize = 1000;
const TRIMMED_AT_ONCE: usize = 10_000;
/// The page cache, in bytes.
const CACHE: usize = 32 << 20;

impl FileLive {
    /// Opens the file, or creates it. Recovers it after a crash.
    ///
    /// # Errors
    /// If another process has it open, if it is another kind of file, or if it is damaged.
    pub fn open(path: &Path, limits: Limits) -> Result<Self, Error> {
        let address = format!("file:{}", path.display());
        // redb would block on a named pipe until a writer opens it.
        match sparrow_files::open(path, u64::MAX) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unavailable(&address, error.to_string()));
            }
            _ => {}
        }
        let path = path.to_owned();
        let open = move || Ok(Builder::new().set_cache_size(CACHE).create(&path)?);
        Self::open_with(address, limits, Box::new(open))
    }

    fn open_with(address: String, limits: Limits, open: Open) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            address,
            limits,
            users: RwLock::default(),
            database: Mutex::new(None),
        });
        let state = shared.load(&open)?;
        let (queue, jobs) = mpsc::channel();
        let writer = Writer { shared: Arc::clone(&shared), open, state: Some(state) };
        let thread = thread::Builder::new().name("live-writer".to_owned());
        let thread = thread
            .spawn(move || writer.run(&jobs))
            .map_err(|error| unavailable(&shared.address, error.to_string()))?;
        Ok(Self(Arc::new(Inner { shared, queue: Some(queue), writer: Some(thread) })))
    }

    /// The users who were deleted, with the sequence of the deletion.
    pub(crate) fn forgotten(&self) -> HashMap<UserId, Sequence> {
        let users = self.0.shared.users.read().unwrap_or_else(PoisonError::into_inner);
        users.iter().filter_map(|(&id, user)| Some((id, user.forgotten?))).collect()
    }

    /// Reads a snapshot of the file.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.0.shared);
        let read = move || {
            let database = shared.database().clone();
            let database = database.ok_or_else(|| unavailable(&shared.address, "it is closed"))?;
            let transaction = database.begin_read().map_err(|error| shared.fault(error))?;
            read(&transaction).map_err(|error| shared.fault(error))
        };
        let ended = unavailable(self.address(), "the read failed");
        task::spawn_blocking(read).await.unwrap_or(Err(ended))
    }

    /// The sequence of a watermark of these data: the log contains, or contained, the write.
    async fn position_of(&self, watermark: &Watermark) -> Result<Option<Sequence>, Error> {
        if watermark.partitions() != 1 {
            return Ok(None);
        }
        let last = watermark.get(0);
        self.read(move |transaction| {
            let log = transaction.open_table(LOG)?;
            let is_known = log.get((last.milliseconds, last.count))?.is_some()
                || trimmed(&transaction.open_table(META)?)? == last;
            Ok(is_known.then_some(last))
        })
        .await
    }

    /// Waits for the answer of the writer thread.
    async fn answer<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, Error> {
        let address = &self.0.shared.address;
        let (to, answer) = oneshot::channel();
        let sent = self.0.queue.as_ref().is_some_and(|queue| queue.send(job(to)).is_ok());
        let ended = || unavailable(address, "its writer has ended");
        if !sent {
            return Err(ended());
        }
        match time::timeout(DEADLINE, answer).await {
            Ok(answer) => answer.map_err(|_| ended()),
            Err(_) => Err(Error::TimedOut { store: address.clone() }),
        }
    }
}

impl Drop for Inner {
    /// Waits until queued writes are committed and the file is closed.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Up to where the log was trimmed.
fn trimmed(meta: &impl ReadableTable<&'static str, u64>) -> Result<Sequence, redb::Error> {
    let number = |name| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |value| value.value()));
    Ok(Sequence { milliseconds: number(TRIMMED_MILLISECONDS)?, count: number(TRIMMED_COUNT)? })
}

/// Removes some of the writes up to a sequence from the log; returns their number.
fn trim(
    transaction: &redb::WriteTransaction,
    log: &mut redb::Table<'_, (u64, u64), &'static [u8]>,
    last: Sequence,
) -> Result<u64, redb::Error> {
    let mut removed = 0;
    while removed < TRIMMED_AT_ONCE {
        let first = log.first()?.map(|(sequence, _)| sequence.value());
        let Some(first) = first.filter(|&first| first <= (last.milliseconds, last.count)) else {
            break;
        };
        log.remove(first)?;
        removed += 1;
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert(TRIMMED_MILLISECONDS, last.milliseconds)?;
    meta.insert(TRIMMED_COUNT, last.count)?;
    Ok(removed as u64)
}

/// The user of a key, or a new one; `None` if there are no more ids.
fn create_user(
    transaction: &redb::WriteTransaction,
    key: Option<&str>,
    last_user: &mut u32,
    now: u64,
) -> Result<Option<UserId>, redb::Error> {
    let mut created = transaction.open_table(CREATED)?;
    let mut expiring = transaction.open_table(CREATED_EXPIRING)?;
    for _ in 0..MOST_EXPIRED {
        let first = expiring.first()?.map(|(at, key)| (at.value(), key.value().to_owned()));
        let is_over = |since: u64| now.saturating_sub(since) > KEY_LIFETIME.as_millis() as u64;
        let Some((at, key)) = first.filter(|((since, _), _)| is_over(*since)) else { break };
        expiring.remove(at)?;
        created.remove(&*key)?;
    }
    if let Some(key) = key
        && let Some(known) = created.get(key)?
    {
        return Ok(Some(UserId(known.value().0)));
    }
    let Some(next) = last_user.checked_add(1) else { return Ok(None) };
    *last_user = next;
    if let Some(key) = key {
        created.insert(key, (next, now))?;
        expiring.insert((now, next), key)?;
    }
    Ok(Some(UserId(next)))
}

/// The result of a write, which the file contains when its caller gets it.
const fn accepted(sequence: Sequence, applied: bool, repeated: bool) -> Accepted {
    Accepted { sequence, applied, repeated, durability: Durability::Fsync }
}

fn unavailable(address: &str, what: impl Into<String>) -> Error {
    Error::Unavailable { store: address.to_owned(), what: what.into() }
}

fn milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// What the writer counts.
#[derive(Debug, Clone, Copy)]
struct Counters {
    last: Sequence,
    last_user: u32,
}

impl Shared {
    fn database(&self) -> MutexGuard<'_, Option<Arc<Database>>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, error: impl Into<redb::Error>) -> Error {
        let what = match error.into() {
            redb::Error::DatabaseAlreadyOpen => {
                "another process has the file open: only one server can use it".to_owned()
            }
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                "the file does not contain live data".to_owned()
            }
            error @ (redb::Error::Corrupted(_) | redb::Error::RepairAborted) => {
                format!("the file is damaged ({error}): restore it from a backup")
            }
            error => error.to_string(),
        };
        unavailable(&self.address, what)
    }

    /// Opens the file and reads the live data of all users.
    fn load(&self, open: &Open) -> Result<Counters, Error> {
        // Two open handles of one process would exclude each other.
        *self.database() = None;
        let database = open().map_err(|error| self.fault(error))?;
        let (counters, users) = self.read_all(&database)?;
        *self.users.write().unwrap_or_else(PoisonError::into_inner) = users;
        *self.database() = Some(Arc::new(database));
        Ok(counters)
    }

    fn read_all(
        &self,
        database: &Database,
    ) -> Result<(Counters, HashMap<UserId, LiveUser>), Error> {
        let all = || -> Result<_, redb::Error> {
            // Creates the tables of a new file.
            let transaction = database.begin_write()?;
            {
                let mut meta = transaction.open_table(META)?;
                if meta.get(FORMAT_NAME)?.is_none() {
                    meta.insert(FORMAT_NAME, FORMAT)?;
                }
                transaction.open_table(USERS)?;
                transaction.open_table(LOG)?;
                transaction.open_table(KEYS)?;
                transaction.open_table(EXPIRING)?;
                transaction.open_table(CREATED)?;
                transaction.open_table(CREATED_EXPIRING)?;
            }
            transaction.commit()?;
            let transaction = database.begin_read()?;
            let meta = transaction.open_table(META)?;
            let number = |name| Ok::<_, redb::Error>(meta.get(name)?.map(|value| value.value()));
            let format = number(FORMAT_NAME)?.unwrap_or_default();
            let last = Sequence {
                milliseconds: number(LAST_MILLISECONDS)?.unwrap_or_default(),
                count: number(LAST_COUNT)?.unwrap_or_default(),
            };
            let last_user = number(LAST_USER)?.and_then(|user| u32::try_from(user).ok());
            let last_user = last_user.unwrap_or(LAST_ID_OF_DATA_SETS);
            let mut users = HashMap::new();
            for row in transaction.open_table(USERS)?.iter()? {
                let (id, packed) = row?;
                users.insert(UserId(id.value()), codec::unpack(packed.value()));
            }
            Ok((format, Counters { last, last_user }, users))
        };
        let (format, counters, users) = all().map_err(|error| self.fault(error))?;
        if format != FORMAT {
            let what = format!("the file has format {format}, this program reads format {FORMAT}");
            return Err(unavailable(&self.address, what));
        }
        let named = |(id, user): (UserId, Result<LiveUser, String>)| match user {
            Ok(user) => Ok((id, user)),
            Err(what) => {
                Err(Error::Malformed { key: format!("user {id} in {}", self.address), what })
            }
        };
        Ok((counters, users.into_iter().map(named).collect::<Result<_, _>>()?))
    }
}

struct Writer {
    shared: Arc<Shared>,
    open: Open,
    /// `None` after a failure, until the file is open again.
    state: Option<Counters>,
}

impl Writer {
    /// Commits queued writes until all handles are dropped.
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            let count = |job: &Job| if let Job::Write(writes, _) = job { writes.len() } else { 1 };
            let mut writes = count(&batch[0]);
            while writes < MOST_WRITES
                && let Ok(next) = jobs.try_recv()
            {
                writes += count(&next);
                batch.push(next);
            }
            self.execute(batch);
        }
        *self.shared.database() = None;
    }

    fn execute(&mut self, batch: Vec<Job>) {
        match self.commit(&batch) {
            Ok(outcomes) => {
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    // The caller may have been dropped.
                    match (job, outcome) {
                        (Job::Write(_, to), Outcome::Written(results)) => {
                            let _ = to.send(results);
                        }
                        (Job::CreateUser(_, to), Outcome::Created(user)) => {
                            let _ = to.send(user);
                        }
                        (Job::Drop(_, _, to) | Job::Trim(_, to), Outcome::Removed(count)) => {
                            let _ = to.send(Ok(count));
                        }
                        _ => {}
                    }
                }
            }
            Err(error) => {
                // What the file contains is read again before the next write.
                self.state = None;
                tracing::warn!(%error, "writes of live data failed");
                for job in batch {
                    match job {
                        Job::Write(writes, to) => {
                            let _ = to.send(vec![Err(error.clone()); writes.len()]);
                        }
                        Job::CreateUser(_, to) => {
                            let _ = to.send(Err(error.clone()));
                        }
                        Job::Drop(_, _, to) | Job::Trim(_, to) => {
                            let _ = to.send(Err(error.clone()));
                        }
                    }
                }
            }
        }
    }

    /// Commits a batch in one transaction, and makes it visible.
    fn commit(&mut self, batch: &[Job]) -> Result<Vec<Outcome>, Error> {
        let counters = match self.state {
            Some(counters) => counters,
            None => self.shared.load(&self.open)?,
        };
        self.state = Some(counters);
        let database = self.shared.database().clone();
        let database = database.ok_or_else(|| unavailable(&self.shared.address, "it is closed"))?;
        let committed = self.transact(&database, batch, counters);
        let (outcomes, counters, changed) = committed.map_err(|error| self.shared.fault(error))?;
        self.state = Some(counters);
        let mut users = self.shared.users.write().unwrap_or_else(PoisonError::into_inner);
        for (id, user) in changed {
            if user.is_empty() {
                users.remove(&id);
            } else {
                users.insert(id, user);
            }
        }
        Ok(outcomes)
    }

    fn user(&self, id: UserId) -> LiveUser {
        let users = self.shared.users.read().unwrap_or_else(PoisonError::into_inner);
        users.get(&id).cloned().unwrap_or_default()
    }

    fn transact(
        &self,
        database: &Database,
        batch: &[Job],
        mut counters: Counters,
    ) -> Result<Committed, redb::Error> {
        let now = milliseconds();
        let mut changed: HashMap<UserId, LiveUser> = HashMap::new();
        let mut outcomes = Vec::with_capacity(batch.len());
        let transaction = database.begin_write()?;
        {
            let mut log = transaction.open_table(LOG)?;
            let mut keys = transaction.open_table(KEYS)?;
            let mut expiring = transaction.open_table(EXPIRING)?;
            for _ in 0..MOST_EXPIRED {
                let first = match expiring.first()? {
                    Some((sequence, key)) => {
                        let (user, key) = key.value();
                        (sequence.value(), user, key.to_owned())
                    }
                    None => break,
                };
                if now.saturating_sub(first.0.0) <= KEY_LIFETIME.as_millis() as u64 {
                    break;
                }
                expiring.remove(first.0)?;
                keys.remove((first.1, &*first.2))?;
            }
            for job in batch {
                let writes = match job {
                    Job::Write(writes, _) => writes,
                    Job::CreateUser(key, _) => {
                        let last = &mut counters.last_user;
                        let created = create_user(&transaction, key.as_deref(), last, now)?;
                        let none = || unavailable(&self.shared.address, "it has no more user ids");
                        outcomes.push(Outcome::Created(created.ok_or_else(none)));
                        continue;
                    }
                    Job::Drop(ids, last, _) => {
                        let mut dropped = 0;
                        for &id in ids {
                            let user = changed.entry(id).or_insert_with(|| self.user(id));
                            dropped += user.drop_included(*last) as u64;
                        }
                        outcomes.push(Outcome::Removed(dropped));
                        continue;
                    }
                    Job::Trim(last, _) => {
                        outcomes.push(Outcome::Removed(trim(&transaction, &mut log, *last)?));
                        continue;
                    }
                };
                let mut results = Vec::with_capacity(writes.len());
                for write in writes {
                    if let Some(Idempotency { key, digest }) = &write.idempotency
                        && let Some(seen) = keys.get((write.user.0, &**key))?
                    {
                        let (first, milliseconds, count, applied) = seen.value();
                        results.push(if first == *digest {
                            let sequence = Sequence { milliseconds, count };
                            Ok(accepted(sequence, applied, true))
                        } else {
                            Err(Error::KeyReused { key: key.to_string() })
                        });
                        continue;
                    }
                    let user = changed.entry(write.user).or_insert_with(|| self.user(write.user));
                    let (sequence, limits) = (counters.last.next(now), self.shared.limits);
                    let Ok(applied) = user.apply(write, sequence, limits) else {
                        let limit = limits.ratings;
                        results.push(Err(Error::TooManyRatings { user: write.user, limit }));
                        continue;
                    };
                    counters.last = sequence;
                    let position = (sequence.milliseconds, sequence.count);
                    log.insert(position, &*entry::pack(write, applied))?;
                    if let Some(Idempotency { key, digest }) = &write.idempotency {
                        let value = (*digest, position.0, position.1, applied);
                        keys.insert((write.user.0, &**key), value)?;
                        expiring.insert(position, (write.user.0, &**key))?;
                    }
                    results.push(Ok(accepted(sequence, applied, false)));
                }
                outcomes.push(Outcome::Written(results));
            }
            let mut users = transaction.open_table(USERS)?;
            for (id, user) in &changed {
                if user.is_empty() {
                    users.remove(id.0)?;
                } else {
                    users.insert(id.0, &*codec::pack(user))?;
                }
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert(LAST_MILLISECONDS, counters.last.milliseconds)?;
            meta.insert(LAST_COUNT, counters.last.count)?;
            meta.insert(LAST_USER, u64::from(counters.last_user))?;
        }
        transaction.commit()?;
        Ok((outcomes, counters, changed))
    }
}

/// What became of the jobs of a transaction, the counters after it, and the users that it changed.
type Committed = (Vec<Outcome>, Counters, HashMap<UserId, LiveUser>);

/// What became of a job.
enum Outcome {
    Written(Vec<Result<Accepted, Error>>),
    Created(Result<UserId, Error>),
    Removed(u64),
}

#[async_trait]
impl LiveStore for FileLive {
    fn address(&self) -> &str {
        &self.0.shared.address
    }

    fn durability(&self) -> Durability {
        Durability::Fsync
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, Error>> {
        if writes.is_empty() {
            return Vec::new();
        }
        match self.answer(|to| Job::Write(writes.to_vec(), to)).await {
            Ok(results) => results,
            Err(error) => vec![Err(error); writes.len()],
        }
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, Error> {
        let users = self.0.shared.users.read().unwrap_or_else(PoisonError::into_inner);
        Ok(ids.iter().map(|id| users.get(id).cloned().unwrap_or_default()).collect())
    }

    async fn create_user(&self, key: Option<&str>) -> Result<CreatedUser, Error> {
        let key = key.map(str::to_owned);
        let id = self.answer(|to| Job::CreateUser(key, to)).await??;
        Ok(CreatedUser { id, durability: Durability::Fsync })
    }

    fn partitions(&self) -> u16 {
        1
    }

    async fn positions(&self) -> Result<Vec<Sequence>, Error> {
        let shared = Arc::clone(&self.0.shared);
        let read = move || {
            let database = shared.database().clone();
            let database = database.ok_or_else(|| unavailable(&shared.address, "it is closed"))?;
            let read = || -> Result<_, redb::Error> {
                let meta = database.begin_read()?.open_table(META)?;
                let number =
                    |name| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |it| it.value()));
                Ok(Sequence {
                    milliseconds: number(LAST_MILLISECONDS)?,
                    count: number(LAST_COUNT)?,
                })
            };
            read().map(|last| vec![last]).map_err(|error| shared.fault(error))
        };
        let ended = unavailable(self.address(), "the read failed");
        task::spawn_blocking(read).await.unwrap_or(Err(ended))
    }

    async fn all_users(&self) -> Result<Vec<UserId>, Error> {
        let users = self.0.shared.users.read().unwrap_or_else(PoisonError::into_inner);
        let of_users = users.iter().filter(|(_, user)| !user.is_empty());
        Ok(of_users.map(|(&id, _)| id).collect())
    }

    async fn log(&self, _: u16, after: Sequence, limit: usize) -> Result<Vec<Recorded>, Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        let rows = self.read(move |transaction| {
            let log = transaction.open_table(LOG)?;
            let after = (after.milliseconds, after.count);
            let mut rows = Vec::new();
            for row in log.range::<(u64, u64)>((Excluded(after), Unbounded))?.take(limit) {
                let (sequence, packed) = row?;
                let (milliseconds, count) = sequence.value();
                let sequence = Sequence { milliseconds, count };
                rows.push(entry::unpack(sequence, packed.value()));
            }
            Ok(rows)
        });
        let named = |what| Error::Malformed { key: self.address().to_owned(), what };
        rows.await?.into_iter().map(|row| row.map_err(named)).collect()
    }

    async fn drop_included(&self, watermark: &Watermark) -> Result<u64, Error> {
        let Some(last) = self.position_of(watermark).await? else { return Ok(0) };
        let ids: Vec<UserId> = {
            let users = self.0.shared.users.read().unwrap_or_else(PoisonError::into_inner);
            let has_some = |user: &LiveUser| {
                user.forgotten.is_none() && user.ratings.iter().any(|it| it.sequence <= last)
            };
            users.iter().filter(|(_, user)| has_some(user)).map(|(&id, _)| id).collect()
        };
        let mut dropped = 0;
        for some in ids.chunks(USERS_AT_ONCE) {
            dropped += self.answer(|to| Job::Drop(some.to_vec(), last, to)).await??;
        }
        Ok(dropped)
    }

    async fn trim(&self, watermark: &Watermark) -> Result<u64, Error> {
        let Some(last) = self.position_of(watermark).await? else { return Ok(0) };
        let mut removed = 0;
        loop {
            match self.answer(|to| Job::Trim(last, to)).await?? {
                0 => return Ok(removed),
                count => removed += count,
            }
        }
    }

    async fn trimmed(&self) -> Result<Watermark, Error> {
        let last = self.read(|transaction| trimmed(&transaction.open_table(META)?)).await?;
        let mut watermark = Watermark::new(1);
        watermark.advance(0, last);
        Ok(watermark)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::StorageBackend;
    use sparrow_live::Action;
    use sparrow_model::MovieId;

    use super::*;

    /// A disk in memory that can be full. A new file begins with what was written, as after a crash.
    #[derive(Debug, Clone, Default)]
    struct Disk {
        bytes: Arc<Mutex<Vec<u8>>>,
        is_full: Arc<AtomicBool>,
    }

    impl Disk {
        fn check(&self) -> Result<(), io::Error> {
            if self.is_full.load(Ordering::SeqCst) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            Ok(())
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> Result<u64, io::Error> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
            let (bytes, offset) = (self.bytes.lock().unwrap(), offset as usize);
            out.copy_from_slice(&bytes[offset..offset + out.len()]);
            Ok(())
        }

        fn set_len(&self, length: u64) -> Result<(), io::Error> {
            self.check()?;
            self.bytes.lock().unwrap().resize(length as usize, 0);
            Ok(())
        }

        fn sync_data(&self) -> Result<(), io::Error> {
            self.check()
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
            self.check()?;
            let offset = offset as usize;
            self.bytes.lock().unwrap()[offset..offset + data.len()].copy_from_slice(data);
            Ok(())
        }
    }

    fn open(disk: &Disk) -> Result<FileLive, Error> {
        let disk = disk.clone();
        let open = move || Ok(Builder::new().create_with_backend(disk.clone())?);
        FileLive::open_with("file:test".to_owned(), Limits::default(), Box::new(open))
    }

    fn view(movie: u32) -> Write {
        let action = Action::Event { movie: MovieId(movie), kind: "view".into(), value: 1.0 };
        let idempotency = Some(Idempotency { key: movie.to_string().into(), digest: 1 });
        Write { idempotency, ..Write::new(UserId(1), action, 1) }
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_and_loses_nothing() {
        let disk = Disk::default();
        let store = open(&disk).unwrap();
        let mut acknowledged = Vec::new();
        for round in 0..5 {
            for movie in 10 * round..10 * round + 10 {
                let accepted = store.write(&[view(movie)]).await.remove(0).unwrap();
                acknowledged.push((accepted.sequence, MovieId(movie)));
            }
            disk.is_full.store(true, Ordering::SeqCst);
            for movie in 900..903 {
                let error = store.write(&[view(movie)]).await.remove(0).unwrap_err();
                assert!(matches!(error, Error::Unavailable { .. }), "{error}");
                assert!(store.create_user(None).await.is_err());
                // Reads go on.
                let user = store.users(&[UserId(1)]).await.unwrap().remove(0);
                assert_eq!(user.events.len(), acknowledged.len());
            }
            disk.is_full.store(false, Ordering::SeqCst);
        }
        // The first write afterwards opens the file again.
        let accepted = store.write(&[view(77)]).await.remove(0).unwrap();
        acknowledged.push((accepted.sequence, MovieId(77)));
        let before = store.users(&[UserId(1)]).await.unwrap();
        drop(store);
        let store = open(&disk).unwrap();
        assert_eq!(store.users(&[UserId(1)]).await.unwrap(), before);
        let log = store.log(0, Sequence::default(), 1000).await.unwrap();
        let found: Vec<_> =
            log.iter().map(|entry| (entry.sequence, entry.write.action.movie().unwrap())).collect();
        assert_eq!(found, acknowledged);
    }

    #[tokio::test]
    async fn writes_of_concurrent_clients_share_commits() {
        let disk = Disk::default();
        let store = open(&disk).unwrap();
        let clients = (0..64).map(|movie| {
            let store = store.clone();
            tokio::spawn(async move { store.write(&[view(movie)]).await.remove(0).unwrap() })
        });
        let mut sequences = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            sequences.push(client.await.unwrap().sequence);
        }
        sequences.sort_unstable();
        sequences.dedup();
        assert_eq!(sequences.len(), 64);
        let user = store.users(&[UserId(1)]).await.unwrap().remove(0);
        assert_eq!(user.events.len(), 64);
    }

    #[tokio::test]
    async fn expired_keys_can_be_used_again() {
        let disk = Disk::default();
        let store = open(&disk).unwrap();
        let first = store.write(&[view(1)]).await.remove(0).unwrap();
        let database = store.0.shared.database().clone().unwrap();
        let transaction = database.begin_write().unwrap();
        {
            // As if it had been written in 1970.
            let mut expiring = transaction.open_table(EXPIRING).unwrap();
            expiring.remove((first.sequence.milliseconds, first.sequence.count)).unwrap();
            expiring.insert((5, 0), (1, "1")).unwrap();
        }
        transaction.commit().unwrap();
        assert!(!store.write(&[view(1)]).await.remove(0).unwrap().repeated);
        assert!(store.write(&[view(1)]).await.remove(0).unwrap().repeated);

        let create = async || store.create_user(Some("k")).await.unwrap().id;
        let first = create().await;
        assert_eq!(create().await, first);
        let transaction = database.begin_write().unwrap();
        {
            let mut expiring = transaction.open_table(CREATED_EXPIRING).unwrap();
            let (at, _) = expiring.pop_first().unwrap().unwrap();
            let (_, user) = at.value();
            drop(at);
            expiring.insert((5, user), "k").unwrap();
        }
        transaction.commit().unwrap();
        let second = create().await;
        assert_ne!(second, first);
        assert_eq!(create().await, second);
    }

    #[tokio::test]
    async fn files_of_later_versions_and_damaged_users_are_errors() {
        let disk = Disk::default();
        let store = open(&disk).unwrap();
        store.write(&[view(1)]).await.remove(0).unwrap();
        let database = store.0.shared.database().clone().unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(USERS).unwrap().insert(1, &b"x"[..]).unwrap();
        transaction.commit().unwrap();
        drop((store, database));
        let error = open(&disk).unwrap_err();
        assert!(matches!(&error, Error::Malformed { key, .. } if key == "user 1 in file:test"));
        let database = Builder::new().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(FORMAT_NAME, 2).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let error = open(&disk).unwrap_err().to_string();
        assert!(error.contains("has format 2, this program reads format 1"), "{error}");
    }
}
