//! The packed live data of a user, in Redis and in files. `docs/live.md` describes it for other programs.
//!
//! Numbers are little-endian. A sequence is its milliseconds in 6 bytes and its count in 4. After the version byte follow
//! * the sequence of the last deletion of the user, 0 if there was none;
//! * the number of ratings (4 bytes), and the ratings in order of movie, of [`RATING`] bytes each: movie (4), half stars (1;
//!   0 for a removal), time (4), sequence;
//! * the number of types of events (2), and each type as its length (2) and its name in UTF-8;
//! * until the end, the events in order of sequence, of [`EVENT`] bytes each: movie (4), index of the type (2), count (4),
//!   greatest, newest and sum as 32-bit floats, time (4), sequence.
//!
//! The script `redis/live.lua` changes this layout in place.

use sparrow_live::{LiveEvent, LiveRating, LiveUser, Sequence};
use sparrow_model::{MovieId, Stars};

use crate::codec::Fault;

/// The first byte.
pub(crate) const VERSION: u8 = 1;
/// The bytes of a rating.
const RATING: usize = 19;
/// The bytes of an event.
const EVENT: usize = 36;

/// Packs the live data of a user.
#[cfg(any(test, feature = "file", feature = "fuzzing"))]
pub(crate) fn pack(user: &LiveUser) -> Vec<u8> {
    let sequence = |sequence: Sequence| {
        let mut bytes = [0; 10];
        bytes[..6].copy_from_slice(&sequence.milliseconds.to_le_bytes()[..6]);
        bytes[6..].copy_from_slice(&(sequence.count as u32).to_le_bytes());
        bytes
    };
    let mut kinds: Vec<&str> = user.events.iter().map(|event| &*event.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut packed =
        Vec::with_capacity(64 + RATING * user.ratings.len() + EVENT * user.events.len());
    packed.push(VERSION);
    packed.extend(sequence(user.forgotten.unwrap_or_default()));
    packed.extend((user.ratings.len() as u32).to_le_bytes());
    for rating in &user.ratings {
        packed.extend(rating.movie.0.to_le_bytes());
        packed.push(rating.stars.map_or(0, Stars::half_stars));
        packed.extend(rating.time.to_le_bytes());
        packed.extend(sequence(rating.sequence));
    }
    packed.extend((kinds.len() as u16).to_le_bytes());
    for kind in &kinds {
        packed.extend((kind.len() as u16).to_le_bytes());
        packed.extend(kind.as_bytes());
    }
    let mut events: Vec<&LiveEvent> = user.events.iter().collect();
    events.sort_by_key(|event| event.sequence);
    for event in events {
        let kind = kinds.binary_search(&&*event.kind).unwrap_or_default();
        packed.extend(event.movie.0.to_le_bytes());
        packed.extend((kind as u16).to_le_bytes());
        packed.extend(event.count.to_le_bytes());
        packed.extend(event.greatest.to_le_bytes());
        packed.extend(event.newest.to_le_bytes());
        packed.extend(event.sum.to_le_bytes());
        packed.extend(event.time.to_le_bytes());
        packed.extend(sequence(event.sequence));
    }
    packed
}

/// Unpacks the live data of a user.
pub(crate) fn unpack(packed: &[u8]) -> Result<LiveUser, Fault> {
    let mut rest = Rest(packed);
    match rest.array::<1>()? {
        [VERSION] => {}
        [version] => {
            return Err(format!("has version {version}, this program reads version {VERSION}"));
        }
    }
    let forgotten = Some(rest.sequence()?).filter(|&sequence| sequence != Sequence::default());
    let count = rest.number()? as usize;
    let mut ratings = Vec::with_capacity(count.min(rest.0.len() / RATING));
    for _ in 0..count {
        let movie = MovieId(rest.number()?);
        let stars = match rest.array::<1>()? {
            [0] => None,
            [half_stars] => Some(
                Stars::from_half_stars(half_stars)
                    .ok_or_else(|| format!("has a rating of {half_stars} half stars"))?,
            ),
        };
        ratings.push(LiveRating { movie, stars, time: rest.number()?, sequence: rest.sequence()? });
    }
    if !ratings.is_sorted_by(|a, b| a.movie < b.movie) {
        return Err("has ratings out of order".to_owned());
    }
    let mut kinds: Vec<&str> = Vec::new();
    for _ in 0..rest.short()? {
        let length = usize::from(rest.short()?);
        let (name, behind) = rest.0.split_at_checked(length).ok_or_else(truncated)?;
        rest = Rest(behind);
        kinds.push(str::from_utf8(name).map_err(|_| "has a type that is not valid UTF-8")?);
    }
    if !rest.0.len().is_multiple_of(EVENT) {
        return Err(truncated());
    }
    let mut events = Vec::with_capacity(rest.0.len() / EVENT);
    while !rest.0.is_empty() {
        let movie = MovieId(rest.number()?);
        let kind = kinds.get(usize::from(rest.short()?)).ok_or("has an event of no type")?;
        events.push(LiveEvent {
            movie,
            kind: Box::from(*kind),
            count: rest.number()?,
            greatest: rest.float()?,
            newest: rest.float()?,
            sum: rest.float()?,
            time: rest.number()?,
            sequence: rest.sequence()?,
        });
    }
    events.sort_by(|a, b| (a.movie, &*a.kind).cmp(&(b.movie, &*b.kind)));
    let twice = |pair: &[LiveEvent]| pair[0].movie == pair[1].movie && pair[0].kind == pair[1].kind;
    if events.windows(2).any(twice) {
        return Err("has events twice".to_owned());
    }
    Ok(LiveUser { forgotten, ratings, events })
}

fn truncated() -> Fault {
    "is truncated".to_owned()
}

/// The bytes that are not unpacked yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or_else(truncated)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn number(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    fn short(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_le_bytes)
    }

    fn float(&mut self) -> Result<f32, Fault> {
        self.array().map(f32::from_le_bytes)
    }

    fn sequence(&mut self) -> Result<Sequence, Fault> {
        let mut milliseconds = [0; 8];
        milliseconds[..6].copy_from_slice(&self.array::<6>()?);
        let milliseconds = u64::from_le_bytes(milliseconds);
        Ok(Sequence { milliseconds, count: u64::from(self.number()?) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sparrow_live::{Action, Limits, Write};
    use sparrow_model::UserId;

    use super::*;

    fn user() -> impl Strategy<Value = LiveUser> {
        let write = (0..5_u32, 0..12_u8, any::<u32>(), -1e30..1e30_f32);
        (prop::collection::vec(write, 0..30), any::<u32>(), any::<bool>()).prop_map(
            |(writes, start, forgets)| {
                let mut user = LiveUser::default();
                let mut sequence = Sequence { milliseconds: u64::from(start) << 12, count: 7 };
                let forget = forgets.then(|| Write::new(UserId(1), Action::Forget, 0));
                let writes = writes.into_iter().map(|(movie, kind, time, value)| {
                    let movie = MovieId(movie.wrapping_mul(1_000_000_007));
                    let action = match Stars::from_half_stars(kind) {
                        Some(stars) if kind < 6 => Action::Rate(movie, stars),
                        Some(_) => {
                            let kind = ["view", "", "été"][usize::from(kind) % 3].into();
                            Action::Event { movie, kind, value }
                        }
                        None => Action::Unrate(movie),
                    };
                    Write::new(UserId(1), action, time)
                });
                for write in forget.into_iter().chain(writes) {
                    sequence = sequence.next(sequence.milliseconds + u64::from(write.time % 2));
                    let _ = user.apply(&write, sequence, Limits::default());
                }
                user
            },
        )
    }

    proptest! {
        #[test]
        fn live_data_round_trip_and_truncated_ones_are_errors(user in user(), cut in 1..40_usize) {
            let packed = pack(&user);
            prop_assert_eq!(unpack(&packed), Ok(user.clone()));
            let cut_off = &packed[..packed.len().saturating_sub(cut)];
            if cut != EVENT || user.events.is_empty() {
                prop_assert!(unpack(cut_off).is_err(), "{} of {}", cut_off.len(), packed.len());
            }
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..120), valid: bool) {
            if let (true, Some(version)) = (valid, bytes.first_mut()) {
                *version = VERSION;
            }
            let _ = unpack(&bytes);
        }

        #[test]
        fn changed_bytes_never_panic(user in user(), at: prop::sample::Index, byte: u8) {
            let mut packed = pack(&user);
            let at = at.index(packed.len());
            packed[at] = byte;
            let _ = unpack(&packed);
        }
    }

    #[test]
    fn faults_are_described() {
        let empty = pack(&LiveUser::default());
        assert_eq!(unpack(&empty), Ok(LiveUser::default()));
        let fault = |bytes: &[u8]| unpack(bytes).err().unwrap_or_default();
        assert_eq!(fault(&[]), "is truncated");
        assert_eq!(fault(&[2]), "has version 2, this program reads version 1");
        assert_eq!(fault(&[&empty[..], &[0; EVENT]].concat()), "has an event of no type");
        let huge = [&[1][..], &[0; 10], &[0xff; 4]].concat();
        assert_eq!(fault(&huge), "is truncated");
    }
}
