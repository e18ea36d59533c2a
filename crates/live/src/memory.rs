use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sparrow_model::UserId;

use crate::{
    Accepted, Durability, Error, Idempotency, KEY_LIFETIME, LAST_ID_OF_DATA_SETS, Limits,
    LiveStore, LiveUser, Recorded, Sequence, Watermark, Write,
};

/// Live data in the memory of this process. Clones share the data.
#[derive(Debug, Clone)]
pub struct MemoryLive {
    state: Arc<Mutex<State>>,
    limits: Limits,
}

const ADDRESS: &str = "memory";

#[derive(Debug)]
struct State {
    users: HashMap<UserId, LiveUser>,
    log: BTreeMap<Sequence, (Write, bool)>,
    keys: HashMap<(UserId, Box<str>), (u64, Accepted)>,
    /// The keys in the order in which they expire.
    expiring: VecDeque<(u64, UserId, Box<str>)>,
    last: Sequence,
    last_user: u32,
    trimmed: Sequence,
}

impl MemoryLive {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        let state = State {
            users: HashMap::new(),
            log: BTreeMap::new(),
            keys: HashMap::new(),
            expiring: VecDeque::new(),
            last: Sequence::default(),
            last_user: LAST_ID_OF_DATA_SETS,
            trimmed: Sequence::default(),
        };
        Self { state: Arc::new(Mutex::new(state)), limits }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, write: &Write, limits: Limits, now: u64) -> Result<Accepted, Error> {
        self.expire_keys(now);
        if let Some(Idempotency { key, digest }) = &write.idempotency
            && let Some((first, accepted)) = self.keys.get(&(write.user, key.clone()))
        {
            if first != digest {
                return Err(Error::KeyReused { key: key.to_string() });
            }
            return Ok(Accepted { repeated: true, ..*accepted });
        }
        let sequence = self.last.next(now);
        let user = self.users.entry(write.user).or_default();
        let applied = user
            .apply(write, sequence, limits)
            .map_err(|_| Error::TooManyRatings { user: write.user, limit: limits.ratings })?;
        self.last = sequence;
        let accepted = Accepted { sequence, applied, repeated: false };
        if let Some(Idempotency { key, digest }) = &write.idempotency {
            self.keys.insert((write.user, key.clone()), (*digest, accepted));
            self.expiring.push_back((now, write.user, key.clone()));
        }
        let recorded = Write { stored_time: None, ..write.clone() };
        self.log.insert(sequence, (recorded, applied));
        Ok(accepted)
    }

    /// The sequence of a watermark of these data.
    fn position_of(&self, watermark: &Watermark) -> Option<Sequence> {
        let last = watermark.get(0);
        let is_known = last == self.trimmed || self.log.contains_key(&last);
        (watermark.partitions() == 1 && is_known).then_some(last)
    }

    fn expire_keys(&mut self, now: u64) {
        while let Some((since, ..)) = self.expiring.front()
            && now.saturating_sub(*since) > KEY_LIFETIME.as_millis() as u64
        {
            if let Some((_, user, key)) = self.expiring.pop_front() {
                self.keys.remove(&(user, key));
            }
        }
    }
}

#[async_trait]
impl LiveStore for MemoryLive {
    fn address(&self) -> &str {
        ADDRESS
    }

    fn durability(&self) -> Durability {
        Durability::Memory
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<Accepted, Error>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut state = self.state();
        let now = now.as_millis() as u64;
        writes.iter().map(|write| state.write(write, self.limits, now)).collect()
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, Error> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.users.get(id).cloned().unwrap_or_default()).collect())
    }

    async fn create_user(&self) -> Result<UserId, Error> {
        let mut state = self.state();
        state.last_user += 1;
        Ok(UserId(state.last_user))
    }

    fn partitions(&self) -> u16 {
        1
    }

    async fn positions(&self) -> Result<Vec<Sequence>, Error> {
        Ok(vec![self.state().last])
    }

    async fn all_users(&self) -> Result<Vec<UserId>, Error> {
        Ok(self.state().users.keys().copied().collect())
    }

    async fn log(&self, _: u16, after: Sequence, limit: usize) -> Result<Vec<Recorded>, Error> {
        use std::ops::Bound::{Excluded, Unbounded};
        let state = self.state();
        let later = state.log.range((Excluded(after), Unbounded)).take(limit);
        let record = |(&sequence, (write, applied)): (_, &(Write, bool))| Recorded {
            sequence,
            write: write.clone(),
            applied: *applied,
        };
        Ok(later.map(record).collect())
    }

    async fn drop_included(&self, watermark: &Watermark) -> Result<u64, Error> {
        let mut state = self.state();
        let Some(last) = state.position_of(watermark) else { return Ok(0) };
        let mut dropped = 0;
        state.users.retain(|_, user| {
            dropped += user.drop_included(last) as u64;
            !user.is_empty()
        });
        Ok(dropped)
    }

    async fn trim(&self, watermark: &Watermark) -> Result<u64, Error> {
        let mut state = self.state();
        let Some(last) = state.position_of(watermark) else { return Ok(0) };
        let before = state.log.len();
        state.log.retain(|&sequence, _| sequence > last);
        state.trimmed = last;
        Ok((before - state.log.len()) as u64)
    }

    async fn trimmed(&self) -> Result<Watermark, Error> {
        let mut trimmed = Watermark::new(1);
        trimmed.advance(0, self.state().trimmed);
        Ok(trimmed)
    }
}
