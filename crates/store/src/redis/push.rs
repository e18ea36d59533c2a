//! Writes a generation: stage, announce, wait, rename.
//!
//! All values are first written under staged keys. Then the marker announces the new generation at
//! these keys; from here on it cannot be lost. After a grace period, when no reader can still rely
//! on the old marker, the staged keys are renamed to the plain ones, and the marker is updated.
//! At the end, live ratings that the generation contains are dropped from the live data of users.
//! After a push was killed, the next one removes its staged keys or, if it was announced, completes
//! the renaming.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use sparrow_model::UserId;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{self, Instant};

use super::bulk_writer::BulkWriter;
use super::client::{Answer, Batch, Command, Reply, refusal};
use super::embeddings::{format_embedding, stamped, unstamped};
use super::{Inner, State, is_hash};
use crate::entries::is_replaced;
use crate::live::PushedLive;
use crate::{Entry, Error, Generation, Kind, Push, codec};

/// Batches in in_flight while the next push cleans up.
const IN_FLIGHT: usize = 4;
/// The time limit for retries of the renaming.
const RENAME_TIMEOUT: Duration = Duration::from_secs(20);

/// Starts a push: takes the lock and cleans up after a killed push.
pub(super) async fn start(store: Arc<Inner>) -> Result<Box<dyn Push>, Error> {
    let token = token();
    acquire_lock(&store, &token).await?;
    let lost = Arc::new(AtomicBool::new(false));
    let renewal = tokio::spawn(renew(Arc::clone(&store), token.clone(), Arc::clone(&lost)));
    let lock = Arc::new(PushLock { store, token, lost, renewal });
    match prepare(&lock).await {
        Ok((generation, writer, live)) => {
            let pusher = lock.token.clone();
            let state =
                State { generation: generation.next(), phase: super::Phase::Fenced, pusher };
            let put = Kind::ALL.map(|_| HashSet::new());
            let before =
                State { generation, phase: super::Phase::Plain, pusher: state.pusher.clone() };
            Ok(Box::new(RedisPush {
                lock,
                before,
                state,
                put,
                omitted: [false; Kind::ALL.len()],
                live,
                writer: Some(writer),
                phase: Phase::Staging,
            }))
        }
        Err(error) => {
            lock.release().await;
            Err(error)
        }
    }
}

/// Completes an announced push that was killed, or removes the keys of another. Returns the current
/// generation and connections for the new one.
async fn prepare(lock: &PushLock) -> Result<(Generation, BulkWriter, PushedLive), Error> {
    let store = &lock.store;
    let state = store.current(store.bulk_deadline()).await?;
    if state.is_staged() {
        tracing::info!(generation = %state.generation, "completing an interrupted push");
        complete_renaming(lock, &state).await?;
    }
    let live = read_live(store).await?;
    if state.is_staged() {
        // Users who were deleted after their values had been staged.
        let in_force = live.in_force.clone().unwrap_or_default();
        let users = live.forgotten.keys().filter(|&&user| !live.is_included(&in_force, user));
        remove_stored(lock, users.copied().collect()).await?;
    }
    // With the new token in the marker, earlier pushes can no longer announce anything.
    let now = marker_text(store).await?;
    let generation = store.state(Ok(Reply::Text(now.clone())))?.generation;
    let fenced = State { generation, phase: super::Phase::Plain, pusher: lock.token.clone() };
    lock.check()?;
    replace_marker(store, now, &fenced).await?;
    remove_staged(lock, store.keys.staged_pattern()).await?;
    let writer = BulkWriter::open(&store.connections, &store.options).await?;
    Ok((generation, writer, live))
}

async fn read_live(store: &Inner) -> Result<PushedLive, Error> {
    let in_force = store.single(Kind::Watermark, codec::unpack_watermark).await?.value;
    let partitions = store.included().partitions().await?.unwrap_or_default();
    let forgotten = store.included().forgotten(partitions).await?;
    let trimmed = store.included().trimmed(partitions).await?;
    Ok(PushedLive { partitions, in_force, forgotten, trimmed, ..PushedLive::default() })
}

/// Removes values of users that are in force. Those of users with live data remain: they were created again.
async fn remove_stored(lock: &PushLock, users: Vec<UserId>) -> Result<(), Error> {
    let (store, mut in_flight) = (&lock.store, InFlight::default());
    for some in users.chunks(256) {
        lock.check()?;
        let live = store.live_of(some).await?;
        let mut batch = Batch::default();
        for (user, live) in some.iter().zip(live) {
            if live.is_none_or(|live| live.ratings.is_empty() && live.events.is_empty()) {
                for kind in super::USER_KINDS {
                    batch.push(Command::Unlink(vec![store.keys.plain(kind, user.0)]));
                }
            }
        }
        in_flight.send(store, batch).await?;
    }
    in_flight.flush(store).await
}

/// The lock of a push, renewed until this is dropped. Every task that changes keys under the lock
/// holds a reference.
struct PushLock {
    store: Arc<Inner>,
    token: String,
    lost: Arc<AtomicBool>,
    renewal: JoinHandle<()>,
}

impl PushLock {
    fn check(&self) -> Result<(), Error> {
        if self.lost.load(Ordering::Acquire) {
            let what =
                "this push lost its lock, possibly because the store did not respond for too long";
            return Err(Error::refused(self.store.connections.address(), what));
        }
        Ok(())
    }

    async fn release(&self) {
        self.renewal.abort();
        if self.check().is_ok() {
            self.unlock().await;
        }
    }

    /// Removes the lock if this push still owns it.
    async fn unlock(&self) {
        let (store, mut batch) = (&self.store, Batch::default());
        let (remove, token) = (Bytes::from_static(REMOVE_IF_EQUAL), self.token.clone().into());
        batch.push(Command::Script(remove, vec![store.keys.lock()], vec![token]));
        // If this fails, the lock expires.
        let _ = store.connections.run(batch, store.bulk_deadline()).await;
    }
}

impl Drop for PushLock {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// A unique token for this push.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let mut text = String::new();
    let _ = write!(text, "{now:x}-{:x}", std::process::id());
    text
}

async fn acquire_lock(store: &Inner, token: &str) -> Result<(), Error> {
    let key = store.keys.lock();
    let mut batch = Batch::default();
    let token = Bytes::from(token.to_owned());
    batch.push(Command::SetIfMissing(key.clone(), token, store.options.lock));
    batch.push(Command::TimeLeft(key));
    let [set, time_left] = first_two(store.connections.run(batch, store.bulk_deadline()).await?);
    match set.map_err(|message| refusal(store.connections.address(), &message))? {
        Reply::Nothing => {
            let seconds = match time_left {
                Ok(Reply::Number(millis)) if millis > 0 => (millis as u64).div_ceil(1000),
                _ => 1,
            };
            let what = format!(
                "another push is in progress; if it was killed, its lock expires within {seconds} s"
            );
            Err(Error::refused(store.connections.address(), what))
        }
        _ => Ok(()),
    }
}

fn first_two(answers: Vec<Answer>) -> [Answer; 2] {
    let mut answers = answers.into_iter();
    [(); 2].map(|()| answers.next().unwrap_or(Ok(Reply::Nothing)))
}

/// Renews the lock until it is lost or this task is aborted.
async fn renew(store: Arc<Inner>, token: String, lost: Arc<AtomicBool>) {
    let lifetime = store.options.lock;
    let mut renewed = Instant::now();
    loop {
        time::sleep(lifetime / 4).await;
        let sent = Instant::now();
        let mut batch = Batch::default();
        batch.push(Command::Get(store.keys.lock()));
        batch.push(Command::Expire(store.keys.lock(), lifetime));
        let owner = store.connections.run(batch, sent + lifetime / 4).await.map(first_two);
        match owner {
            Ok([Ok(Reply::Text(owner)), _]) if owner == token => renewed = sent,
            Ok([Ok(_), _]) => break,
            // Without a usable reply the lock may still exist.
            _ if renewed.elapsed() >= lifetime => break,
            _ => {}
        }
    }
    lost.store(true, Ordering::Release);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is visible to readers.
    Staging,
    /// The marker announces the new generation, or an attempt to write it is in progress.
    Announced,
    /// Completed or failed, and cleaned up.
    Ended,
}

struct RedisPush {
    lock: Arc<PushLock>,
    /// The expected state of the marker before the announcement.
    before: State,
    /// The announced state.
    state: State,
    /// The ids of the entries by kind, in the order of [`Kind::ALL`].
    put: [HashSet<u32>; Kind::ALL.len()],
    /// Whether entries of a kind were omitted, because their users were deleted.
    omitted: [bool; Kind::ALL.len()],
    live: PushedLive,
    /// `None` after the last write.
    writer: Option<BulkWriter>,
    phase: Phase,
}

#[async_trait]
impl Push for RedisPush {
    async fn put(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        match self.stage(entries).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.clean_up().await;
                Err(error)
            }
        }
    }

    async fn commit(mut self: Box<Self>) -> Result<Generation, Error> {
        let tombstones = match self.complete_staging().await {
            Ok(tombstones) => tombstones,
            Err(error) => {
                self.clean_up().await;
                return Err(error);
            }
        };
        self.phase = Phase::Announced;
        if let Err(error) = self.announce().await {
            // The marker may have been written although the reply is missing.
            let store = &self.lock.store;
            match store.current(store.bulk_deadline()).await {
                Ok(state) if state == self.state => {}
                Ok(_) => {
                    self.phase = Phase::Staging;
                    self.clean_up().await;
                    return Err(error);
                }
                Err(_) => return Err(error),
            }
        }
        time::sleep(self.lock.store.options.grace).await;
        self.rename_with_retries(&tombstones).await?;
        self.follow_live_data().await?;
        self.phase = Phase::Ended;
        self.lock.release().await;
        Ok(self.state.generation)
    }

    async fn abandon(mut self: Box<Self>) {
        if self.phase == Phase::Staging {
            self.clean_up().await;
        }
    }
}

impl RedisPush {
    async fn stage(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        for entry in entries {
            self.lock.check()?;
            entry.check()?;
            let (kind, id) = (entry.kind(), entry.id());
            self.live.admit(self.lock.store.connections.address(), &entry)?;
            let Some(entry) = self.live.without_deleted(entry) else {
                self.omitted[kind as usize] = true;
                continue;
            };
            let key = self.lock.store.keys.staged(kind, id, Some(&self.lock.token));
            if !self.put[kind as usize].insert(id) {
                self.writer()?.push("UNLINK", &[&key]).await?;
            }
            self.stage_one(key, entry).await?;
        }
        Ok(())
    }

    async fn stage_one(&mut self, key: Bytes, entry: Entry) -> Result<(), Error> {
        let value = match entry {
            Entry::UserFeatures(_, fields) | Entry::MovieFeatures(_, fields) => {
                let mut arguments: Vec<&[u8]> = vec![&key];
                for (name, value) in &fields.0 {
                    arguments.extend([name.as_bytes(), value.as_bytes()]);
                }
                self.writer()?.push("HSET", &arguments).await?;
                return match self.ttl() {
                    Some(ttl) => self.writer()?.push("PEXPIRE", &[&key, ttl.as_bytes()]).await,
                    None => Ok(()),
                };
            }
            Entry::UserEmbedding(_, vector) | Entry::MovieEmbedding(_, vector) => {
                format_embedding(&vector).into_bytes()
            }
            Entry::UserRatings(_, ratings) => codec::pack_ratings(&ratings),
            Entry::MovieRatings(_, ratings) => codec::pack_movie(&ratings),
            Entry::UserList(list) => codec::pack_users(&list),
            Entry::EmbeddingInfo(text) => stamped(&text, self.state.generation.0).into_bytes(),
            Entry::Watermark(watermark) => watermark.to_csv().into_bytes(),
        };
        self.set(&key, &value).await
    }

    async fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        match self.ttl() {
            Some(ttl) => self.writer()?.push("SET", &[key, value, b"PX", ttl.as_bytes()]).await,
            None => self.writer()?.push("SET", &[key, value]).await,
        }
    }

    /// The time to live in milliseconds.
    fn ttl(&self) -> Option<String> {
        self.lock.store.options.ttl.map(|ttl| ttl.as_millis().to_string())
    }

    fn writer(&mut self) -> Result<&mut BulkWriter, Error> {
        let failed = || Error::push_failed(self.lock.store.connections.address());
        self.writer.as_mut().ok_or_else(failed)
    }

    /// Whether this push replaces the entries of a kind.
    fn has(&self, kind: Kind) -> bool {
        !self.put[kind as usize].is_empty() || self.omitted[kind as usize]
    }

    /// The plain keys, of the kinds with entries, that have no entry in this push.
    async fn stale(&self) -> Result<HashSet<(Kind, u32)>, Error> {
        let names = &self.lock.store.keys;
        let put = |kind: Kind| self.has(kind);
        let pushed: Vec<Kind> =
            Kind::ALL.into_iter().filter(|&kind| is_replaced(kind, put)).collect();
        let mut stale = HashSet::new();
        if pushed.is_empty() {
            return Ok(stale);
        }
        // One scan over all keys takes fewer round trips than one per kind.
        let mut scan = self.lock.store.scan(names.every_pattern())?;
        while let Some(keys) = scan.page().await? {
            for key in keys {
                let id_of = |&kind: &Kind| Some((kind, names.plain_id(kind, &key)?));
                if let Some((kind, id)) = pushed.iter().find_map(id_of)
                    && !self.put[kind as usize].contains(&id)
                {
                    stale.insert((kind, id));
                }
            }
        }
        Ok(stale)
    }

    /// Completes the staging, including tombstones for keys to delete; returns those keys.
    async fn complete_staging(&mut self) -> Result<Vec<(Kind, u32)>, Error> {
        self.writer()?.flush().await?;
        self.restamp().await?;
        self.omit_deleted().await?;
        let tombstones = self.stale().await?;
        for &(kind, id) in &tombstones {
            let key = self.lock.store.keys.staged(kind, id, Some(&self.lock.token));
            if is_hash(kind) {
                self.writer()?.push("HSET", &[&key, b"", b""]).await?;
            } else {
                self.writer()?.push("SET", &[&key, b""]).await?;
            }
        }
        // The final marker is staged as well: renaming needs no memory.
        let settled = State { phase: super::Phase::Plain, ..self.state.clone() }.text();
        let staged_marker = self.lock.store.keys.staged_marker(Some(&self.lock.token));
        self.set(&staged_marker, &settled).await?;
        self.writer()?.flush().await?;
        Ok(tombstones.into_iter().collect())
    }

    /// Removes the staged values of users who were deleted meanwhile.
    async fn omit_deleted(&mut self) -> Result<(), Error> {
        let store = Arc::clone(&self.lock.store);
        // The first deletion of a store chooses the number of partitions.
        self.live.partitions = store.included().partitions().await?.unwrap_or_default();
        self.live.forgotten = store.included().forgotten(self.live.partitions).await?;
        let deleted: Vec<UserId> = self
            .live
            .forgotten
            .keys()
            .copied()
            .filter(|&user| self.live.is_deleted(user))
            .collect();
        for user in deleted {
            for kind in super::USER_KINDS {
                if self.put[kind as usize].remove(&user.0) {
                    self.omitted[kind as usize] = true;
                    let key = store.keys.staged(kind, user.0, Some(&self.lock.token));
                    self.writer()?.push("UNLINK", &[&key]).await?;
                }
            }
        }
        self.writer()?.flush().await
    }

    /// After the renaming: removes the values of users who were deleted after the announcement, and drops live ratings that
    /// the generation in force contains. Failures are retried, and finally left to the next push.
    async fn follow_live_data(&self) -> Result<(), Error> {
        let end = Instant::now() + RENAME_TIMEOUT;
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match self.try_to_follow_live_data().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let is_temporary = matches!(error, Error::Unavailable { .. } | Error::TimedOut { .. });
            if !is_temporary || Instant::now() >= end || self.lock.check().is_err() {
                let what = format!(
                    "the new generation is in effect, but the next push must drop the live ratings that it contains: {error}"
                );
                return Err(Error::refused(self.lock.store.connections.address(), what));
            }
            time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn try_to_follow_live_data(&self) -> Result<(), Error> {
        let store = &self.lock.store;
        let Some(partitions) = store.included().partitions().await? else { return Ok(()) };
        let mut deleted = store.included().forgotten(partitions).await?;
        deleted.retain(|user, deletion| self.live.forgotten.get(user) != Some(deletion));
        remove_stored(&self.lock, deleted.into_keys().collect()).await?;
        let in_force = store.single(Kind::Watermark, codec::unpack_watermark).await?.value;
        let Some(in_force) = in_force else { return Ok(()) };
        let dropped = store.included().drop(&in_force, partitions).await?;
        tracing::info!(dropped, "dropped the live ratings that the generation contains");
        Ok(())
    }

    /// Unchanged vectors also belong to the new generation, so their description is stamped with
    /// it, unless the description belongs to an older generation.
    async fn restamp(&mut self) -> Result<(), Error> {
        let put = |kind: Kind| self.has(kind);
        if is_replaced(Kind::EmbeddingInfo, put) {
            return Ok(());
        }
        let store = Arc::clone(&self.lock.store);
        let mut batch = Batch::default();
        batch.push(Command::Get(store.keys.plain(Kind::EmbeddingInfo, 0)));
        let answers = store.connections.run(batch, store.bulk_deadline()).await?;
        if let Some(Ok(Reply::Text(text))) = answers.into_iter().next()
            && let Ok(text) = str::from_utf8(&text)
            && let (Some(stamp), text) = unstamped(text)
            && stamp == self.before.generation.0
        {
            self.stage(vec![Entry::EmbeddingInfo(text)]).await?;
        }
        Ok(())
    }

    /// Announces the staged values as the current ones.
    async fn announce(&mut self) -> Result<(), Error> {
        self.lock.check()?;
        let store = &self.lock.store;
        replace_marker(store, self.before.text(), &self.state).await
    }

    /// Renames the keys. The generation is announced already: failures are retried, and finally
    /// left to the next push.
    async fn rename_with_retries(&mut self, tombstones: &[(Kind, u32)]) -> Result<(), Error> {
        let mut result = self.rename(tombstones).await;
        if let (Err(_), Some(mut writer)) = (&result, self.writer.take()) {
            writer.abandon().await;
        }
        let end = Instant::now() + RENAME_TIMEOUT;
        let mut pause = Duration::from_millis(50);
        // A rejected command would be rejected again.
        while let Err(Error::Unavailable { .. } | Error::TimedOut { .. }) = result
            && Instant::now() < end
            && self.lock.check().is_ok()
        {
            time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
            result = complete_renaming(&self.lock, &self.state).await;
        }
        result.map_err(|error| {
            let qualified = |what: &str| {
                format!("the new generation is in effect, but the next push must complete the renaming of its keys: {what}")
            };
            match error {
                Error::Unavailable { store, what } => {
                    Error::Unavailable { store, what: qualified(&what) }
                }
                Error::Refused { store, what } => Error::Refused { store, what: qualified(&what) },
                error => error,
            }
        })
    }

    async fn rename(&mut self, tombstones: &[(Kind, u32)]) -> Result<(), Error> {
        let store = Arc::clone(&self.lock.store);
        let (keys, token) = (&store.keys, self.lock.token.clone());
        let token = Some(&*token);
        let writer =
            self.writer.as_mut().ok_or_else(|| Error::push_failed(store.connections.address()))?;
        for &(kind, id) in tombstones {
            let (plain, staged) = (keys.plain(kind, id), keys.staged(kind, id, token));
            writer.push_for_key(&plain, "EVAL", &[APPLY_TOMBSTONE, b"2", &staged, &plain]).await?;
        }
        for (kind, ids) in Kind::ALL.into_iter().zip(&self.put) {
            for &id in ids {
                let (plain, staged) = (keys.plain(kind, id), keys.staged(kind, id, token));
                writer.push("RENAME", &[&staged, &plain]).await?;
            }
        }
        writer.flush().await?;
        self.lock.check()?;
        writer.push("RENAME", &[&keys.staged_marker(token), &keys.marker()]).await?;
        writer.flush().await
    }

    /// Removes the staged keys after a failure before the announcement, if possible.
    async fn clean_up(&mut self) {
        let Some(mut writer) = self.writer.take() else { return };
        writer.abandon().await;
        self.phase = Phase::Ended;
        if self.lock.check().is_ok()
            && let Err(error) = remove_own_staged(&self.lock).await
        {
            tracing::debug!(%error, "a failed push left staged keys, which the next push removes");
        }
        self.lock.release().await;
    }
}

impl Drop for RedisPush {
    fn drop(&mut self) {
        if self.phase == Phase::Ended {
            return;
        }
        // Without a runtime the lock expires.
        let Ok(runtime) = Handle::try_current() else { return };
        let (lock, writer) = (Arc::clone(&self.lock), self.writer.take());
        let announced = self.phase == Phase::Announced;
        runtime.spawn(async move {
            if let Some(mut writer) = writer {
                writer.abandon().await;
            }
            if !announced && let Err(error) = remove_own_staged(&lock).await {
                tracing::debug!(%error, "a dropped push left staged keys, which the next push removes");
            }
            lock.release().await;
        });
    }
}

/// Removes a tombstone and its plain key, if the tombstone still exists: another push may have
/// renamed the keys.
const APPLY_TOMBSTONE: &[u8] = b"if redis.call('EXISTS', KEYS[1]) == 1 then \
    return redis.call('UNLINK', KEYS[1], KEYS[2]) else return 0 end";

/// Sets the marker if it has the expected value; a value that is not a string counts as empty. It
/// is atomic, so that a push that was paused meanwhile has no effect.
const REPLACE_MARKER: &[u8] = b"local now = redis.pcall('GET', KEYS[1]) \
    if type(now) ~= 'string' then now = '' end \
    if now ~= ARGV[1] then return 0 end \
    if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) \
    else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end return 1";

/// Removes a key if it has the expected value.
const REMOVE_IF_EQUAL: &[u8] = b"if redis.call('GET', KEYS[1]) == ARGV[1] then \
    return redis.call('UNLINK', KEYS[1]) else return 0 end";

/// The raw text of the marker; empty if it is missing.
async fn marker_text(store: &Inner) -> Result<Bytes, Error> {
    let mut batch = Batch::default();
    batch.push(Command::Get(store.keys.marker()));
    let [answer, _] = first_two(store.connections.run(batch, store.bulk_deadline()).await?);
    match answer {
        Ok(Reply::Text(text)) => Ok(text),
        Err(message) if !message.starts_with("WRONGTYPE") => {
            Err(refusal(store.connections.address(), &message))
        }
        _ => Ok(Bytes::new()),
    }
}

/// Sets the marker if it is still `before`.
async fn replace_marker(store: &Inner, before: Bytes, to: &State) -> Result<(), Error> {
    let ttl = store.options.ttl.map_or_else(String::new, |ttl| ttl.as_millis().to_string());
    let mut batch = Batch::default();
    let arguments = vec![before, to.text(), ttl.into()];
    batch.push(Command::Script(
        Bytes::from_static(REPLACE_MARKER),
        vec![store.keys.marker()],
        arguments,
    ));
    let [answer, _] = first_two(store.connections.run(batch, store.bulk_deadline()).await?);
    match answer.map_err(|message| refusal(store.connections.address(), &message))? {
        Reply::Number(0) => {
            let what = "this push lost its lock, and another push has begun";
            Err(Error::refused(store.connections.address(), what))
        }
        _ => Ok(()),
    }
}

/// Removes the staged keys of this push.
async fn remove_own_staged(lock: &PushLock) -> Result<(), Error> {
    remove_staged(lock, lock.store.keys.staged_pattern_of(&lock.token)).await
}

/// Removes staged keys that were never announced.
async fn remove_staged(lock: &PushLock, pattern: Bytes) -> Result<(), Error> {
    let store = &lock.store;
    let mut in_flight = InFlight::default();
    let mut scan = store.scan(pattern)?;
    while let Some(keys) = scan.page().await? {
        lock.check()?;
        let mut batch = Batch::default();
        for key in keys {
            batch.push(Command::Unlink(vec![key]));
        }
        in_flight.send(store, batch).await?;
    }
    in_flight.flush(store).await
}

/// The reply of `PTTL` for a missing key.
const NO_SUCH_KEY: i64 = -2;

/// Completes the renaming of an announced generation from any intermediate state.
async fn complete_renaming(lock: &PushLock, state: &State) -> Result<(), Error> {
    let store = &lock.store;
    let staged_marker = store.keys.staged_marker(state.staged_token());
    let mut scan = store.scan(store.keys.staged_pattern())?;
    while let Some(page) = scan.page().await? {
        lock.check()?;
        let mut ours = Vec::with_capacity(page.len());
        let (mut inspections, mut moves) = (Batch::default(), Batch::default());
        for key in page {
            match store.keys.staged_id(&key, state.staged_token()) {
                Some((kind, id)) => {
                    if is_hash(kind) {
                        inspections.push(Command::HashHas(key.clone(), Bytes::new()));
                    } else {
                        inspections.push(Command::Length(key.clone()));
                    }
                    inspections.push(Command::TimeLeft(key.clone()));
                    ours.push((key, kind, id));
                }
                None if key == staged_marker => {}
                // A key of another push or of another program.
                None => moves.push(Command::Unlink(vec![key])),
            }
        }
        let inspected = store.connections.run(inspections, store.bulk_deadline()).await?;
        let inspected: Vec<Reply> = inspected
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|message| refusal(store.connections.address(), &message))?;
        for ((staged, kind, id), inspected) in ours.into_iter().zip(inspected.as_chunks::<2>().0) {
            let [content, time_left] = inspected;
            if *time_left == Reply::Number(NO_SUCH_KEY) {
                // A scan may return a key again that was renamed meanwhile.
                continue;
            }
            // The length of an empty string, or the existence of an unnamed field.
            let tombstone = *content == Reply::Number(i64::from(is_hash(kind)));
            let plain = store.keys.plain(kind, id);
            if tombstone {
                let bury = Bytes::from_static(APPLY_TOMBSTONE);
                moves.push(Command::Script(bury, vec![staged, plain], Vec::new()));
            } else {
                moves.push(Command::Rename(staged, plain));
            }
        }
        let mut in_flight = InFlight::default();
        in_flight.send(store, moves).await?;
        in_flight.flush(store).await?;
    }
    let mut batch = Batch::default();
    batch.push(Command::Rename(staged_marker, store.keys.marker()));
    let mut in_flight = InFlight::default();
    in_flight.send(store, batch).await?;
    in_flight.flush(store).await?;
    if store.current(store.bulk_deadline()).await?.is_staged() {
        // The staged marker is missing, for example because it expired.
        let settled = State { phase: super::Phase::Plain, ..state.clone() };
        replace_marker(store, state.text(), &settled).await?;
    }
    Ok(())
}

/// A bounded number of concurrent batches.
#[derive(Default)]
struct InFlight(JoinSet<Result<Vec<Answer>, Error>>);

impl InFlight {
    async fn send(&mut self, store: &Arc<Inner>, batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        while self.0.len() >= IN_FLIGHT {
            self.wait_for_one(store).await?;
        }
        let store = Arc::clone(store);
        self.0.spawn(async move { store.connections.run(batch, store.bulk_deadline()).await });
        Ok(())
    }

    async fn flush(&mut self, store: &Inner) -> Result<(), Error> {
        while !self.0.is_empty() {
            self.wait_for_one(store).await?;
        }
        Ok(())
    }

    async fn wait_for_one(&mut self, store: &Inner) -> Result<(), Error> {
        let Some(landed) = self.0.join_next().await else { return Ok(()) };
        let answers = landed
            .map_err(|_| store.connections.unavailable("a batch of the push was cancelled"))??;
        for answer in answers {
            match answer {
                Ok(_) => {}
                // The key expired, or an earlier attempt has renamed it.
                Err(message) if message.starts_with("ERR no such key") => {}
                Err(message) => return Err(refusal(store.connections.address(), &message)),
            }
        }
        Ok(())
    }
}
