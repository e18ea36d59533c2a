use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use sparrow_model::UserId;

use crate::{
    Accepted, CreatedUser, Durability, Error, Idempotency, KEY_LIFETIME, LAST_ID_OF_DATA_SETS,
    Limits, LiveStore, LiveUser, Recorded, Sequence, Watermark, Write,
};

/// Live data in the memory of this process. Clones share the data.
#[derive(Debug, Clone)]
pub struct MemoryLive {
    state: Arc<Mutex<State>>,
    limits: Limits,
}

const ADDRESS: &str = "memory";

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}

#[derive(Debug)]
struct State {
    users: HashMap<UserId, LiveUser>,
    log: BTreeMap<Sequence, (Write, bool)>,
    keys: HashMap<(UserId, Box<str>), (u64, Accepted)>,
    /// The keys in the order in which they expire.
    expiring: VecDeque<(u64, UserId, Box<str>)>,
    /// The users who were created with a key, and the keys in the order in which they expire.
    created: HashMap<Box<str>, UserId>,
    expiring_created: VecDeque<(u64, Box<str>)>,
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
            created: HashMap::new(),
            expiring_created: VecDeque::new(),
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
        let accepted =
            Accepted { sequence, applied, repeated: false, durability: Durability::Memory };
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

    fn create_user(&mut self, key: Option<&str>, now: u64) -> UserId {
        self.expire_keys(now);
        if let Some(&known) = key.and_then(|key| self.created.get(key)) {
            return known;
        }
        self.last_user += 1;
        let user = UserId(self.last_user);
        if let Some(key) = key {
            self.created.insert(key.into(), user);
            self.expiring_created.push_back((now, key.into()));
        }
        user
    }

    fn expire_keys(&mut self, now: u64) {
        let is_over = |since: u64| now.saturating_sub(since) > KEY_LIFETIME.as_millis() as u64;
        while let Some((_, user, key)) = self.expiring.pop_front_if(|it| is_over(it.0)) {
            self.keys.remove(&(user, key));
        }
        while let Some((_, key)) = self.expiring_created.pop_front_if(|it| is_over(it.0)) {
            self.created.remove(&key);
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
        let (mut state, now) = (self.state(), milliseconds());
        writes.iter().map(|write| state.write(write, self.limits, now)).collect()
    }

    async fn users(&self, ids: &[UserId]) -> Result<Vec<LiveUser>, Error> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.users.get(id).cloned().unwrap_or_default()).collect())
    }

    async fn create_user(&self, key: Option<&str>) -> Result<CreatedUser, Error> {
        let id = self.state().create_user(key, milliseconds());
        Ok(CreatedUser { id, durability: Durability::Memory })
    }

    fn partitions(&self) -> u16 {
        1
    }

    async fn positions(&self) -> Result<Vec<Sequence>, Error> {
        Ok(vec![self.state().last])
    }

    async fn all_users(&self) -> Result<Vec<UserId>, Error> {
        let state = self.state();
        let of_users = state.users.iter().filter(|(_, user)| !user.is_empty());
        Ok(of_users.map(|(&id, _)| id).collect())
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_model::MovieId;

    use super::*;
    use crate::Action;

    #[test]
    fn keys_expire_after_their_lifetime() {
        let store = MemoryLive::new(Limits::default());
        let lifetime = KEY_LIFETIME.as_millis() as u64;
        let mut state = store.state();
        let first = state.create_user(Some("k"), 5);
        assert_eq!(state.create_user(Some("k"), 5 + lifetime), first);
        assert_ne!(state.create_user(Some("k"), 6 + lifetime), first);
        assert_eq!((state.created.len(), state.expiring_created.len()), (1, 1));

        let idempotency = Some(Idempotency { key: "k".into(), digest: 1 });
        let write = Write { idempotency, ..Write::new(first, Action::Unrate(MovieId(1)), 1) };
        for (now, repeated) in [(5, false), (5 + lifetime, true), (6 + lifetime, false)] {
            let accepted = state.write(&write, Limits::default(), now).unwrap();
            assert_eq!(accepted.repeated, repeated, "{now}");
        }
    }
}
