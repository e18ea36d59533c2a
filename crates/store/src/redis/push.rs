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
use super::client::{Answer, Batch, Reply, refusal};
use super::command::Command;
use super::{Inner, State, is_hash};
use crate::{Entry, Error, Generation, Kind, Options, Push, codec};

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
    let held = Held { store, token, lost, renewal };
    match begin(&held).await {
        Ok((generation, bulk)) => {
            let pusher = held.token.clone();
            let state = State { generation: generation.next(), staged: true, pusher };
            let put = Kind::ALL.map(|_| HashSet::new());
            Ok(Box::new(RedisPush { held, state, put, bulk: Some(bulk), phase: Phase::Staging }))
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
    if state.staged {
        tracing::info!(generation = %state.generation, "ending a push that was interrupted");
        finish(store, &state).await?;
    } else {
        remove_staged(store).await?;
    }
    Ok((state.generation, Bulk::open(&store.connections, &store.options).await?))
}

/// The lock, as long as it is not lost.
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
            unlock(&self.store, &self.token).await;
        }
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
    held: Held,
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
            let key = self.held.store.keys.staged(kind, id);
            if !self.put[kind as usize].insert(id) {
                self.write(Command::Unlink(vec![key.clone()])).await?;
            }
            self.stage_one(key, entry).await?;
        }
        Ok(())
    }

    async fn stage_one(&mut self, key: Bytes, entry: Entry) -> Result<(), Error> {
        let ttl = self.held.store.options.ttl;
        let value: Bytes = match entry {
            Entry::UserFeatures(_, fields) | Entry::MovieFeatures(_, fields) => {
                let fields = fields.0.into_iter();
                let fields = fields.map(|(name, value)| (name.into(), value.into())).collect();
                self.write(Command::HashSet(key.clone(), fields)).await?;
                return match ttl {
                    Some(ttl) => self.write(Command::Expire(key, ttl)).await,
                    None => Ok(()),
                };
            }
            Entry::UserEmbedding(_, vector) | Entry::MovieEmbedding(_, vector) => {
                codec::embedding_text(&vector).into()
            }
            Entry::UserRatings(_, ratings) => codec::pack_ratings(&ratings).into(),
            Entry::MovieRatings(_, ratings) => codec::pack_movie(&ratings).into(),
            Entry::UserList(list) => codec::pack_users(&list).into(),
        };
        self.write(Command::Set(key, value, ttl)).await
    }

    fn bulk(&mut self) -> Result<&mut Bulk, Error> {
        let over = || Error::push_over(self.held.store.connections.address());
        self.bulk.as_mut().ok_or_else(over)
    }

    async fn write(&mut self, command: Command) -> Result<(), Error> {
        self.bulk()?.push(&command).await
    }

    /// Waits until everything is staged, and stages what says which keys are to go; returns those.
    async fn complete(&mut self) -> Result<Vec<(Kind, u32)>, Error> {
        self.bulk()?.land().await?;
        let mut tombstones = HashSet::new();
        for kind in Kind::ALL {
            let put = &self.put[kind as usize];
            if put.is_empty() {
                continue;
            }
            let names = &self.held.store.keys;
            let mut scan = self.held.store.scan(names.plain_pattern(kind))?;
            while let Some(keys) = scan.page().await? {
                let ids = keys.iter().filter_map(|key| names.plain_id(kind, key));
                tombstones.extend(ids.filter(|id| !put.contains(id)).map(|id| (kind, id)));
            }
        }
        for &(kind, id) in &tombstones {
            let key = self.held.store.keys.staged(kind, id);
            self.write(if is_hash(kind) {
                Command::HashSet(key, vec![(Bytes::new(), Bytes::new())])
            } else {
                Command::Set(key, Bytes::new(), None)
            })
            .await?;
        }
        // What the marker will say at the end is staged as well: renaming needs no memory.
        let settled = State { staged: false, ..self.state.clone() }.text();
        let Options { ttl, .. } = self.held.store.options;
        self.write(Command::Set(self.held.store.keys.staged_marker(), settled, ttl)).await?;
        self.bulk()?.land().await?;
        Ok(tombstones.into_iter().collect())
    }

    /// Makes the staged values the current ones.
    async fn announce(&mut self) -> Result<(), Error> {
        self.held.check()?;
        let store = &self.held.store;
        let mut batch = Batch::default();
        batch.push(Command::Set(store.keys.marker(), self.state.text(), store.options.ttl));
        let [answer, _] = two(store.connections.run(batch, store.bulk_deadline()).await?);
        answer.map(|_| ()).map_err(|says| refusal(store.connections.address(), &says))
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
            result = finish(&self.held.store, &self.state).await;
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
        let keys = &store.keys;
        for &(kind, id) in tombstones {
            self.write(bury(keys.staged(kind, id), keys.plain(kind, id))).await?;
        }
        let put = std::mem::take(&mut self.put);
        for (kind, ids) in Kind::ALL.into_iter().zip(put) {
            for id in ids {
                self.write(Command::Rename(keys.staged(kind, id), keys.plain(kind, id))).await?;
            }
        }
        self.bulk()?.land().await?;
        self.held.check()?;
        self.write(Command::Rename(keys.staged_marker(), keys.marker())).await?;
        self.bulk()?.land().await
    }

    /// After a failure before the announcement: removes what was staged, as far as possible.
    async fn give_up(&mut self) {
        let Some(mut bulk) = self.bulk.take() else { return };
        bulk.abandon().await;
        self.phase = Phase::Over;
        if self.held.check().is_ok()
            && let Err(error) = remove_staged(&self.held.store).await
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
        let (store, token) = (Arc::clone(&self.held.store), self.held.token.clone());
        let (announced, bulk) = (self.phase == Phase::Announced, self.bulk.take());
        runtime.spawn(async move {
            if let Some(mut bulk) = bulk {
                bulk.abandon().await;
            }
            if !announced && let Err(error) = remove_staged(&store).await {
                tracing::debug!(%error, "a dropped push leaves keys behind for the next one to remove");
            }
            unlock(&store, &token).await;
        });
    }
}

/// Releases the lock if it is still ours.
async fn unlock(store: &Inner, token: &str) {
    let mut batch = Batch::default();
    batch.push(Command::Get(store.keys.lock()));
    let owner = store.connections.run(batch, store.bulk_deadline()).await.map(two);
    if let Ok([Ok(Reply::Text(owner)), _]) = owner
        && owner == token
    {
        let mut batch = Batch::default();
        batch.push(Command::Unlink(vec![store.keys.lock()]));
        // Otherwise it runs out.
        let _ = store.connections.run(batch, store.bulk_deadline()).await;
    }
}

/// Removes a key together with the tombstone that stands for that.
fn bury(staged: Bytes, plain: Bytes) -> Command {
    Command::Unlink(vec![plain, staged])
}

/// Removes all that was staged and never announced.
async fn remove_staged(store: &Arc<Inner>) -> Result<(), Error> {
    let mut flight = Flight::default();
    let mut scan = store.scan(store.keys.staged_pattern())?;
    while let Some(keys) = scan.page().await? {
        let mut batch = Batch::default();
        for key in keys {
            batch.push(Command::Unlink(vec![key]));
        }
        flight.send(store, batch).await?;
    }
    flight.land(store).await
}

/// Ends the renaming of an announced generation from what there is, whatever was done of it.
async fn finish(store: &Arc<Inner>, state: &State) -> Result<(), Error> {
    let staged_marker = store.keys.staged_marker();
    let mut scan = store.scan(store.keys.staged_pattern())?;
    while let Some(found) = scan.page().await? {
        let mut known = Vec::with_capacity(found.len());
        let (mut looks, mut moves) = (Batch::default(), Batch::default());
        for key in found {
            match store.keys.staged_id(&key) {
                Some((kind, id)) => {
                    if is_hash(kind) {
                        looks.push(Command::HashHas(key.clone(), Bytes::new()));
                    } else {
                        looks.push(Command::Length(key.clone()));
                    }
                    known.push((key, kind, id));
                }
                None if key == staged_marker => {}
                // No key of ours, but in our way.
                None => moves.push(Command::Unlink(vec![key])),
            }
        }
        let looked = store.connections.run(looks, store.bulk_deadline()).await?;
        for ((staged, kind, id), looked) in known.into_iter().zip(looked) {
            let looked = looked.map_err(|says| refusal(store.connections.address(), &says))?;
            // An empty string, or a hash with an unnamed field.
            let tombstone = looked == Reply::Number(i64::from(is_hash(kind)));
            let plain = store.keys.plain(kind, id);
            if tombstone {
                moves.push(bury(staged, plain));
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
    if store.current(store.bulk_deadline()).await?.staged {
        // The staged marker was lost, for example by its time to live.
        let settled = State { staged: false, ..state.clone() };
        let mut batch = Batch::default();
        batch.push(Command::Set(store.keys.marker(), settled.text(), store.options.ttl));
        flight.send(store, batch).await?;
        flight.land(store).await?;
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
