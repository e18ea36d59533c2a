//! Writing a generation: stage, announce, wait, move into place.
//!
//! Everything is written under staged keys first. The marker then says that the new generation is
//! there, under staged keys; from this moment on it cannot be lost. Only after a grace, when
//! no reader is left that has not seen the marker, are the keys renamed over the plain ones, and the marker
//! says so. Whoever pushes next after a push that was killed removes what it staged or, behind
//! that moment, ends the renaming.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{self, Instant};

use super::bulk::Bulk;
use super::client::{Answer, Batch, Command, Reply, refusal};
use super::text::{embedding_text, stamped, unstamped};
use super::{Inner, State, is_hash};
use crate::record::is_replaced;
use crate::{Entry, Error, Generation, Kind, Push, codec};

/// Batches on their way at once, when the next push clears up.
const IN_FLIGHT: usize = 4;
/// For how long a push tries to end the renaming of an announced generation.
const FINISH: Duration = Duration::from_secs(20);

/// Starts a push: takes the lock and clears up behind one that was killed.
pub(super) async fn start(store: Arc<Inner>) -> Result<Box<dyn Push>, Error> {
    let token = token();
    lock(&store, &token).await?;
    let lost = Arc::new(AtomicBool::new(false));
    let renewal = tokio::spawn(renew(Arc::clone(&store), token.clone(), Arc::clone(&lost)));
    let held = Arc::new(Held { store, token, lost, renewal });
    match begin(&held).await {
        Ok((generation, bulk)) => {
            let pusher = held.token.clone();
            let state =
                State { generation: generation.next(), phase: super::Phase::Fenced, pusher };
            let put = Kind::ALL.map(|_| HashSet::new());
            let before =
                State { generation, phase: super::Phase::Plain, pusher: state.pusher.clone() };
            Ok(Box::new(RedisPush {
                held,
                before,
                state,
                put,
                bulk: Some(bulk),
                phase: Phase::Staging,
            }))
        }
        Err(error) => {
            held.release().await;
            Err(error)
        }
    }
}

/// Ends what a killed push began, or removes it; returns the generation that there is, and the
/// connections for the new one.
async fn begin(held: &Held) -> Result<(Generation, Bulk), Error> {
    let store = &held.store;
    let state = store.current(store.bulk_deadline()).await?;
    if state.is_staged() {
        tracing::info!(generation = %state.generation, "ending a push that was interrupted");
        finish(held, &state).await?;
    }
    // With the pusher's name in the marker no push that began before can announce anything from here on.
    let now = marker_text(store).await?;
    let generation = store.state(Ok(Reply::Text(now.clone())))?.generation;
    let fenced = State { generation, phase: super::Phase::Plain, pusher: held.token.clone() };
    held.check()?;
    replace_marker(store, now, &fenced).await?;
    remove_staged(held, store.keys.staged_pattern()).await?;
    Ok((generation, Bulk::open(&store.connections, &store.options).await?))
}

/// The lock, as long as it is not lost. It is renewed until this is dropped, so whoever changes anything
/// under it keeps hold of this meanwhile.
struct Held {
    store: Arc<Inner>,
    token: String,
    lost: Arc<AtomicBool>,
    renewal: JoinHandle<()>,
}

impl Held {
    fn check(&self) -> Result<(), Error> {
        if self.lost.load(Ordering::Acquire) {
            let what = "this push lost its lock, maybe because the store did not answer for long";
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

    /// Removes the lock if it is still ours.
    async fn unlock(&self) {
        let (store, mut batch) = (&self.store, Batch::default());
        let (remove, token) = (Bytes::from_static(REMOVE), self.token.clone().into());
        batch.push(Command::Script(remove, vec![store.keys.lock()], vec![token]));
        // Otherwise it runs out.
        let _ = store.connections.run(batch, store.bulk_deadline()).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// A name for this push that no other one has.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let mut text = String::new();
    let _ = write!(text, "{now:x}-{:x}", std::process::id());
    text
}

async fn lock(store: &Inner, token: &str) -> Result<(), Error> {
    let key = store.keys.lock();
    let mut batch = Batch::default();
    let token = Bytes::from(token.to_owned());
    batch.push(Command::SetIfMissing(key.clone(), token, store.options.lock));
    batch.push(Command::TimeLeft(key));
    let [set, left] = two(store.connections.run(batch, store.bulk_deadline()).await?);
    match set.map_err(|says| refusal(store.connections.address(), &says))? {
        Reply::Nothing => {
            let seconds = match left {
                Ok(Reply::Number(millis)) if millis > 0 => (millis as u64).div_ceil(1000),
                _ => 1,
            };
            let what = format!(
                "another push is under way; if it was killed, its lock ends within {seconds} s"
            );
            Err(Error::refused(store.connections.address(), what))
        }
        _ => Ok(()),
    }
}

fn two(answers: Vec<Answer>) -> [Answer; 2] {
    let mut answers = answers.into_iter();
    [(); 2].map(|()| answers.next().unwrap_or(Ok(Reply::Nothing)))
}

/// Keeps the lock until it is lost or this task is aborted.
async fn renew(store: Arc<Inner>, token: String, lost: Arc<AtomicBool>) {
    let lifetime = store.options.lock;
    let mut renewed = Instant::now();
    loop {
        time::sleep(lifetime / 4).await;
        let asked = Instant::now();
        let mut batch = Batch::default();
        batch.push(Command::Get(store.keys.lock()));
        batch.push(Command::Expire(store.keys.lock(), lifetime));
        let owner = store.connections.run(batch, asked + lifetime / 4).await.map(two);
        match owner {
            Ok([Ok(Reply::Text(owner)), _]) if owner == token => renewed = asked,
            Ok([Ok(_), _]) => break,
            // No answer, or none that says anything: the lock may still stand.
            _ if renewed.elapsed() >= lifetime => break,
            _ => {}
        }
    }
    lost.store(true, Ordering::Release);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of it can be seen.
    Staging,
    /// The marker names the new generation, or is about to.
    Announced,
    /// Done or failed, and cleared up behind.
    Over,
}

struct RedisPush {
    held: Arc<Held>,
    /// The state that the marker must be in when it announces the new one.
    before: State,
    /// The state that the marker will announce.
    state: State,
    /// The ids that were put, by kind in the order of [`Kind::ALL`].
    put: [HashSet<u32>; Kind::ALL.len()],
    /// `None` once nothing is to be written any more.
    bulk: Option<Bulk>,
    phase: Phase,
}

#[async_trait]
impl Push for RedisPush {
    async fn put(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        match self.stage(entries).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    async fn commit(mut self: Box<Self>) -> Result<Generation, Error> {
        let tombstones = match self.complete().await {
            Ok(tombstones) => tombstones,
            Err(error) => {
                self.give_up().await;
                return Err(error);
            }
        };
        self.phase = Phase::Announced;
        if let Err(error) = self.announce().await {
            // Maybe the marker was written and only the answer did not come.
            let store = &self.held.store;
            match store.current(store.bulk_deadline()).await {
                Ok(state) if state == self.state => {}
                Ok(_) => {
                    self.phase = Phase::Staging;
                    self.give_up().await;
                    return Err(error);
                }
                Err(_) => return Err(error),
            }
        }
        time::sleep(self.held.store.options.grace).await;
        self.settle(&tombstones).await?;
        self.phase = Phase::Over;
        self.held.release().await;
        Ok(self.state.generation)
    }

    async fn abandon(mut self: Box<Self>) {
        if self.phase == Phase::Staging {
            self.give_up().await;
        }
    }
}

impl RedisPush {
    async fn stage(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        for entry in entries {
            self.held.check()?;
            entry.check()?;
            let (kind, id) = (entry.kind(), entry.id());
            let key = self.held.store.keys.staged(kind, id, Some(&self.held.token));
            if !self.put[kind as usize].insert(id) {
                self.bulk()?.push("UNLINK", &[&key]).await?;
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
                self.bulk()?.push("HSET", &arguments).await?;
                return match self.ttl() {
                    Some(ttl) => self.bulk()?.push("PEXPIRE", &[&key, ttl.as_bytes()]).await,
                    None => Ok(()),
                };
            }
            Entry::UserEmbedding(_, vector) | Entry::MovieEmbedding(_, vector) => {
                embedding_text(&vector).into_bytes()
            }
            Entry::UserRatings(_, ratings) => codec::pack_ratings(&ratings),
            Entry::MovieRatings(_, ratings) => codec::pack_movie(&ratings),
            Entry::UserList(list) => codec::pack_users(&list),
            Entry::EmbeddingInfo(text) => stamped(&text, self.state.generation.0).into_bytes(),
        };
        self.set(&key, &value).await
    }

    async fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        match self.ttl() {
            Some(ttl) => self.bulk()?.push("SET", &[key, value, b"PX", ttl.as_bytes()]).await,
            None => self.bulk()?.push("SET", &[key, value]).await,
        }
    }

    /// The time to live in milliseconds.
    fn ttl(&self) -> Option<String> {
        self.held.store.options.ttl.map(|ttl| ttl.as_millis().to_string())
    }

    fn bulk(&mut self) -> Result<&mut Bulk, Error> {
        let over = || Error::push_over(self.held.store.connections.address());
        self.bulk.as_mut().ok_or_else(over)
    }

    /// The plain keys of the kinds that were put, beyond those that were put.
    async fn stale(&self) -> Result<HashSet<(Kind, u32)>, Error> {
        let names = &self.held.store.keys;
        let put = |kind: Kind| !self.put[kind as usize].is_empty();
        let pushed: Vec<Kind> =
            Kind::ALL.into_iter().filter(|&kind| is_replaced(kind, put)).collect();
        let mut stale = HashSet::new();
        if pushed.is_empty() {
            return Ok(stale);
        }
        // One listing of everything takes fewer round trips than one for each kind.
        let mut scan = self.held.store.scan(names.every_pattern())?;
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

    /// Waits until everything is staged, and stages what says which keys are to go; returns those.
    async fn complete(&mut self) -> Result<Vec<(Kind, u32)>, Error> {
        self.bulk()?.land().await?;
        self.restamp().await?;
        let tombstones = self.stale().await?;
        for &(kind, id) in &tombstones {
            let key = self.held.store.keys.staged(kind, id, Some(&self.held.token));
            if is_hash(kind) {
                self.bulk()?.push("HSET", &[&key, b"", b""]).await?;
            } else {
                self.bulk()?.push("SET", &[&key, b""]).await?;
            }
        }
        // What the marker will say at the end is staged as well: renaming needs no memory.
        let settled = State { phase: super::Phase::Plain, ..self.state.clone() }.text();
        let staged_marker = self.held.store.keys.staged_marker(Some(&self.held.token));
        self.set(&staged_marker, &settled).await?;
        self.bulk()?.land().await?;
        Ok(tombstones.into_iter().collect())
    }

    /// Vectors that stay belong to the new generation too, and so does their description. One of any other
    /// generation than the last does not describe them.
    async fn restamp(&mut self) -> Result<(), Error> {
        let put = |kind: Kind| !self.put[kind as usize].is_empty();
        if is_replaced(Kind::EmbeddingInfo, put) {
            return Ok(());
        }
        let store = Arc::clone(&self.held.store);
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

    /// Makes the staged values the current ones.
    async fn announce(&mut self) -> Result<(), Error> {
        self.held.check()?;
        let store = &self.held.store;
        replace_marker(store, self.before.text(), &self.state).await
    }

    /// Moves everything into place. The generation stands already: a failure is tried over, and in the
    /// end is the next push's to mend.
    async fn settle(&mut self, tombstones: &[(Kind, u32)]) -> Result<(), Error> {
        let mut result = self.rename(tombstones).await;
        if let (Err(_), Some(mut bulk)) = (&result, self.bulk.take()) {
            bulk.abandon().await;
        }
        let end = Instant::now() + FINISH;
        let mut pause = Duration::from_millis(50);
        // Who refuses once does so again.
        while let Err(Error::Unavailable { .. } | Error::TimedOut { .. }) = result
            && Instant::now() < end
            && self.held.check().is_ok()
        {
            time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
            result = finish(&self.held, &self.state).await;
        }
        result.map_err(|error| {
            let but = |what: &str| {
                format!("the new generation is in force, but the next push has to put its keys in place: {what}")
            };
            match error {
                Error::Unavailable { store, what } => {
                    Error::Unavailable { store, what: but(&what) }
                }
                Error::Refused { store, what } => Error::Refused { store, what: but(&what) },
                error => error,
            }
        })
    }

    async fn rename(&mut self, tombstones: &[(Kind, u32)]) -> Result<(), Error> {
        let store = Arc::clone(&self.held.store);
        let (keys, token) = (&store.keys, self.held.token.clone());
        let token = Some(&*token);
        let bulk =
            self.bulk.as_mut().ok_or_else(|| Error::push_over(store.connections.address()))?;
        for &(kind, id) in tombstones {
            let (plain, staged) = (keys.plain(kind, id), keys.staged(kind, id, token));
            bulk.push_at(&plain, "EVAL", &[BURY, b"2", &staged, &plain]).await?;
        }
        for (kind, ids) in Kind::ALL.into_iter().zip(&self.put) {
            for &id in ids {
                let (plain, staged) = (keys.plain(kind, id), keys.staged(kind, id, token));
                bulk.push("RENAME", &[&staged, &plain]).await?;
            }
        }
        bulk.land().await?;
        self.held.check()?;
        bulk.push("RENAME", &[&keys.staged_marker(token), &keys.marker()]).await?;
        bulk.land().await
    }

    /// After a failure before the announcement: removes what was staged, as far as possible.
    async fn give_up(&mut self) {
        let Some(mut bulk) = self.bulk.take() else { return };
        bulk.abandon().await;
        self.phase = Phase::Over;
        if self.held.check().is_ok()
            && let Err(error) = remove_own(&self.held).await
        {
            tracing::debug!(%error, "a failed push leaves keys behind for the next one to remove");
        }
        self.held.release().await;
    }
}

impl Drop for RedisPush {
    fn drop(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        // Without a runtime the lock runs out by itself.
        let Ok(runtime) = Handle::try_current() else { return };
        let (held, bulk) = (Arc::clone(&self.held), self.bulk.take());
        let announced = self.phase == Phase::Announced;
        runtime.spawn(async move {
            if let Some(mut bulk) = bulk {
                bulk.abandon().await;
            }
            if !announced && let Err(error) = remove_own(&held).await {
                tracing::debug!(%error, "a dropped push leaves keys behind for the next one to remove");
            }
            held.release().await;
        });
    }
}

/// Removes a tombstone and the plain key that it is for, if the tombstone is still there: the keys may
/// have been moved by another push since.
const BURY: &[u8] = b"if redis.call('EXISTS', KEYS[1]) == 1 then \
    return redis.call('UNLINK', KEYS[1], KEYS[2]) else return 0 end";

/// Sets the marker if it says what is expected; something that is no text counts as nothing. In one step:
/// who was paused in between changes nothing.
const REPLACE: &[u8] = b"local now = redis.pcall('GET', KEYS[1]) \
    if type(now) ~= 'string' then now = '' end \
    if now ~= ARGV[1] then return 0 end \
    if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2]) \
    else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end return 1";

/// Removes a key if it says what is expected.
const REMOVE: &[u8] = b"if redis.call('GET', KEYS[1]) == ARGV[1] then \
    return redis.call('UNLINK', KEYS[1]) else return 0 end";

/// What the marker says, whatever it is; empty without one.
async fn marker_text(store: &Inner) -> Result<Bytes, Error> {
    let mut batch = Batch::default();
    batch.push(Command::Get(store.keys.marker()));
    let [answer, _] = two(store.connections.run(batch, store.bulk_deadline()).await?);
    match answer {
        Ok(Reply::Text(text)) => Ok(text),
        Err(says) if !says.starts_with("WRONGTYPE") => {
            Err(refusal(store.connections.address(), &says))
        }
        _ => Ok(Bytes::new()),
    }
}

/// Sets the marker if it still says `before`.
async fn replace_marker(store: &Inner, before: Bytes, to: &State) -> Result<(), Error> {
    let ttl = store.options.ttl.map_or_else(String::new, |ttl| ttl.as_millis().to_string());
    let mut batch = Batch::default();
    let arguments = vec![before, to.text(), ttl.into()];
    batch.push(Command::Script(Bytes::from_static(REPLACE), vec![store.keys.marker()], arguments));
    let [answer, _] = two(store.connections.run(batch, store.bulk_deadline()).await?);
    match answer.map_err(|says| refusal(store.connections.address(), &says))? {
        Reply::Number(0) => {
            let what = "this push lost its lock, and another one has begun since";
            Err(Error::refused(store.connections.address(), what))
        }
        _ => Ok(()),
    }
}

/// Removes what this push staged.
async fn remove_own(held: &Held) -> Result<(), Error> {
    remove_staged(held, held.store.keys.staged_pattern_of(&held.token)).await
}

/// Removes what was staged and never announced.
async fn remove_staged(held: &Held, pattern: Bytes) -> Result<(), Error> {
    let store = &held.store;
    let mut flight = Flight::default();
    let mut scan = store.scan(pattern)?;
    while let Some(keys) = scan.page().await? {
        held.check()?;
        let mut batch = Batch::default();
        for key in keys {
            batch.push(Command::Unlink(vec![key]));
        }
        flight.send(store, batch).await?;
    }
    flight.land(store).await
}

/// What `PTTL` says of a key that is not there.
const NO_SUCH_KEY: i64 = -2;

/// Ends the renaming of an announced generation from what there is, whatever was done of it.
async fn finish(held: &Held, state: &State) -> Result<(), Error> {
    let store = &held.store;
    let staged_marker = store.keys.staged_marker(state.fence());
    let mut scan = store.scan(store.keys.staged_pattern())?;
    while let Some(found) = scan.page().await? {
        held.check()?;
        let mut known = Vec::with_capacity(found.len());
        let (mut looks, mut moves) = (Batch::default(), Batch::default());
        for key in found {
            match store.keys.staged_id(&key, state.fence()) {
                Some((kind, id)) => {
                    if is_hash(kind) {
                        looks.push(Command::HashHas(key.clone(), Bytes::new()));
                    } else {
                        looks.push(Command::Length(key.clone()));
                    }
                    looks.push(Command::TimeLeft(key.clone()));
                    known.push((key, kind, id));
                }
                None if key == staged_marker => {}
                // Of another push, or no key of ours.
                None => moves.push(Command::Unlink(vec![key])),
            }
        }
        let looked = store.connections.run(looks, store.bulk_deadline()).await?;
        let looked: Vec<Reply> = looked
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|says| refusal(store.connections.address(), &says))?;
        for ((staged, kind, id), looked) in known.into_iter().zip(looked.as_chunks::<2>().0) {
            let [content, time_left] = looked;
            if *time_left == Reply::Number(NO_SUCH_KEY) {
                // A scan may list a key again that was moved in the meantime.
                continue;
            }
            // An empty string, or a hash with an unnamed field.
            let tombstone = *content == Reply::Number(i64::from(is_hash(kind)));
            let plain = store.keys.plain(kind, id);
            if tombstone {
                let bury = Bytes::from_static(BURY);
                moves.push(Command::Script(bury, vec![staged, plain], Vec::new()));
            } else {
                moves.push(Command::Rename(staged, plain));
            }
        }
        let mut flight = Flight::default();
        flight.send(store, moves).await?;
        flight.land(store).await?;
    }
    let mut batch = Batch::default();
    batch.push(Command::Rename(staged_marker, store.keys.marker()));
    let mut flight = Flight::default();
    flight.send(store, batch).await?;
    flight.land(store).await?;
    if store.current(store.bulk_deadline()).await?.is_staged() {
        // The staged marker was lost, for example by its time to live.
        let settled = State { phase: super::Phase::Plain, ..state.clone() };
        replace_marker(store, state.text(), &settled).await?;
    }
    Ok(())
}

/// Batches on their way: so many that the server does not wait for us, and no more.
#[derive(Default)]
struct Flight(JoinSet<Result<Vec<Answer>, Error>>);

impl Flight {
    async fn send(&mut self, store: &Arc<Inner>, batch: Batch) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        while self.0.len() >= IN_FLIGHT {
            self.land_one(store).await?;
        }
        let store = Arc::clone(store);
        self.0.spawn(async move { store.connections.run(batch, store.bulk_deadline()).await });
        Ok(())
    }

    /// Waits for all of them.
    async fn land(&mut self, store: &Inner) -> Result<(), Error> {
        while !self.0.is_empty() {
            self.land_one(store).await?;
        }
        Ok(())
    }

    async fn land_one(&mut self, store: &Inner) -> Result<(), Error> {
        let Some(landed) = self.0.join_next().await else { return Ok(()) };
        let answers = landed
            .map_err(|_| store.connections.unavailable("a batch of the push was abandoned"))??;
        for answer in answers {
            match answer {
                Ok(_) => {}
                // A key whose time to live ended, or one that was moved before.
                Err(says) if says.starts_with("ERR no such key") => {}
                Err(says) => return Err(refusal(store.connections.address(), &says)),
            }
        }
        Ok(())
    }
}
