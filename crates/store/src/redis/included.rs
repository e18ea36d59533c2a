//! Live data that a generation contains: dropped from the live data of users after its announcement, and trimmed from the
//! streams. Every step is one script on keys of one slot, and can be repeated.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use sparrow_live::{Sequence, Watermark, partition};
use sparrow_model::UserId;
use tokio::time::Instant;

use super::client::{Answer, Batch, Command, Connections, Reply, refusal};
use super::keys::Keys;
use crate::Error;

/// Users, or partitions, per round trip.
const BATCH: usize = 256;
/// Writes that a stream loses in one step.
const TRIMMED_AT_ONCE: i64 = 10_000;

const DROP: &str = include_str!("drop.lua");

/// Returns 1 if the stream contains, or contained, the write with this sequence.
const CONTAINS: &str = "if redis.call('GET', KEYS[2]) == ARGV[1] then return 1 end \
    return #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1], 'COUNT', 1)";

/// Records that the stream is trimmed up to a sequence, and removes some of the writes up to there. Returns their number, and
/// -1 if a consumer group has not read them. The first condition is that of `CONTAINS`.
const TRIM: &str = "local last, first_kept = ARGV[1], ARGV[2] \
    if redis.call('GET', KEYS[2]) ~= last and #redis.call('XRANGE', KEYS[1], last, last, 'COUNT', 1) == 0 then return 0 end \
    if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end \
    local function parts(id) local a, b = string.match(id, '^(%d+)-(%d+)$') return tonumber(a), tonumber(b) end \
    local time, count = parts(last) \
    for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do \
      for at = 1, #group, 2 do \
        if group[at] == 'last-delivered-id' then \
          local read_time, read_count = parts(group[at + 1]) \
          if read_time < time or read_time == time and read_count < count then return -1 end \
        end \
      end \
    end \
    redis.call('SET', KEYS[2], last) \
    local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', first_kept, 'LIMIT', ARGV[3]) \
    if removed > 0 then return removed end \
    return redis.call('XTRIM', KEYS[1], 'MINID', first_kept)";

/// The live data of one store.
#[derive(Clone, Copy)]
pub(super) struct Included<'a> {
    pub(super) connections: &'a Connections,
    pub(super) keys: &'a Keys,
    /// Of one round trip.
    pub(super) deadline: Duration,
}

impl Included<'_> {
    async fn run(&self, batch: Batch) -> Result<Vec<Answer>, Error> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.connections.run(batch, Instant::now() + self.deadline).await
    }

    /// The number that a script returned.
    fn number(&self, answer: Answer) -> Result<i64, Error> {
        match answer {
            Ok(Reply::Number(number)) => Ok(number),
            Ok(_) => Err(self.connections.unavailable("a malformed reply to a script")),
            Err(message) => Err(refusal(self.connections.address(), &message)),
        }
    }

    /// The number of partitions; `None` if the store has no live data.
    pub(super) async fn partitions(&self) -> Result<Option<u16>, Error> {
        let key = self.keys.partitions();
        let end = Instant::now() + self.deadline;
        self.connections.ask_number(&key, Command::Get(key.clone()), end).await
    }

    /// The partitions of a watermark with writes, whose streams contain the write at the watermark.
    async fn known(
        &self,
        watermark: &Watermark,
        partitions: u16,
    ) -> Result<HashMap<u16, Sequence>, Error> {
        let mut known = HashMap::new();
        if watermark.partitions() != partitions {
            return Ok(known);
        }
        let stated: Vec<(u16, Sequence)> =
            watermark.iter().filter(|&(_, last)| last != Sequence::default()).collect();
        for some in stated.chunks(BATCH) {
            let mut batch = Batch::default();
            for &(partition, last) in some {
                let keys = vec![self.keys.events(partition), self.keys.trimmed(partition)];
                let script = Bytes::from_static(CONTAINS.as_bytes());
                batch.push(Command::Script(script, keys, vec![last.to_string().into()]));
            }
            for (&(partition, last), answer) in some.iter().zip(self.run(batch).await?) {
                if self.number(answer)? > 0 {
                    known.insert(partition, last);
                }
            }
        }
        if known.len() < stated.len() {
            let unknown = stated.len() - known.len();
            tracing::warn!(
                partitions = unknown,
                "the watermark of the generation is not one of these live data: they remain in force"
            );
        }
        Ok(known)
    }

    /// Removes the ratings up to a watermark from the live data of users; returns their number.
    pub(super) async fn drop(&self, watermark: &Watermark, partitions: u16) -> Result<u64, Error> {
        let known = self.known(watermark, partitions).await?;
        if known.is_empty() {
            return Ok(0);
        }
        let mut dropped = 0;
        let mut scan = self.connections.scan(self.keys.live_pattern(), self.deadline)?;
        while let Some(page) = scan.page().await? {
            let last = |key: &Bytes| {
                let user = self.keys.live_id(key)?;
                known.get(&partition(user, partitions)).copied()
            };
            let users: Vec<(Bytes, Sequence)> =
                page.into_iter().filter_map(|key| last(&key).map(|last| (key, last))).collect();
            for some in users.chunks(BATCH) {
                dropped += self.drop_users(some).await?;
            }
        }
        Ok(dropped)
    }

    async fn drop_users(&self, users: &[(Bytes, Sequence)]) -> Result<u64, Error> {
        let mut batch = Batch::default();
        for (key, last) in users {
            let arguments = [last.milliseconds, last.count].map(|number| number.to_string().into());
            let script = Bytes::from_static(DROP.as_bytes());
            batch.push(Command::Script(script, vec![key.clone()], arguments.into()));
        }
        let mut dropped = 0;
        for ((key, _), answer) in users.iter().zip(self.run(batch).await?) {
            let count = match answer {
                // The reads of this user report it.
                Err(message) if message.contains("WRONGTYPE") => -1,
                answer => self.number(answer)?,
            };
            if let Ok(count) = u64::try_from(count) {
                dropped += count;
            } else {
                tracing::warn!(?key, "the live data are malformed, and not changed");
            }
        }
        Ok(dropped)
    }

    /// Removes the writes up to a watermark from the streams; returns their number.
    pub(super) async fn trim(&self, watermark: &Watermark, partitions: u16) -> Result<u64, Error> {
        let (mut removed, mut held_back) = (0, 0);
        for (partition, last) in self.known(watermark, partitions).await? {
            loop {
                let first_kept = Sequence { count: last.count.saturating_add(1), ..last };
                let arguments =
                    [last.to_string(), first_kept.to_string(), TRIMMED_AT_ONCE.to_string()];
                let keys = vec![self.keys.events(partition), self.keys.trimmed(partition)];
                let script = Bytes::from_static(TRIM.as_bytes());
                let mut batch = Batch::default();
                batch.push(Command::Script(script, keys, arguments.map(Bytes::from).into()));
                let answer = self.run(batch).await?.into_iter().next();
                match self.number(answer.unwrap_or(Ok(Reply::Nothing)))? {
                    0 => break,
                    count if count < 0 => {
                        held_back += 1;
                        break;
                    }
                    count => removed += count.unsigned_abs(),
                }
            }
        }
        if held_back > 0 {
            tracing::warn!(
                streams = held_back,
                "streams are not trimmed, because a consumer group has not read them"
            );
        }
        Ok(removed)
    }

    /// Up to where the streams were trimmed.
    pub(super) async fn trimmed(&self, partitions: u16) -> Result<Watermark, Error> {
        let mut trimmed = Watermark::new(partitions);
        let all: Vec<u16> = (0..partitions).collect();
        for some in all.chunks(BATCH) {
            let mut batch = Batch::default();
            for &partition in some {
                batch.push(Command::Get(self.keys.trimmed(partition)));
            }
            for (&partition, answer) in some.iter().zip(self.run(batch).await?) {
                let text = match answer {
                    Ok(Reply::Text(text)) => text,
                    Ok(_) => continue,
                    Err(message) => return Err(refusal(self.connections.address(), &message)),
                };
                let sequence = str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                let malformed = || Error::Malformed {
                    key: String::from_utf8_lossy(&self.keys.trimmed(partition)).into_owned(),
                    what: "is not a sequence".to_owned(),
                };
                trimmed.advance(partition, sequence.ok_or_else(malformed)?);
            }
        }
        Ok(trimmed)
    }

    /// The users who were deleted, with the sequence of the deletion; a malformed one counts as later than any watermark.
    pub(super) async fn forgotten(
        &self,
        partitions: u16,
    ) -> Result<HashMap<UserId, Sequence>, Error> {
        let mut forgotten = HashMap::new();
        let all: Vec<u16> = (0..partitions).collect();
        for some in all.chunks(BATCH) {
            let mut batch = Batch::default();
            for &partition in some {
                batch.push(Command::HashGetAll(self.keys.forgotten(partition)));
            }
            for answer in self.run(batch).await? {
                let parts = match answer {
                    Ok(Reply::List(parts)) => parts,
                    Ok(_) => continue,
                    Err(message) => return Err(refusal(self.connections.address(), &message)),
                };
                for pair in parts.as_chunks::<2>().0 {
                    let [Reply::Text(user), Reply::Text(sequence)] = pair else { continue };
                    let text = |bytes| str::from_utf8(bytes).ok();
                    let Some(user) = text(user).and_then(|text| text.parse().ok()) else {
                        continue;
                    };
                    let never = Sequence { milliseconds: u64::MAX, count: u64::MAX };
                    let sequence = text(sequence).and_then(|text| text.parse().ok());
                    forgotten.insert(UserId(user), sequence.unwrap_or(never));
                }
            }
        }
        Ok(forgotten)
    }
}
