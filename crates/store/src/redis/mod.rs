//! Redis and Redis Cluster. `docs/redis.md` describes keys, layouts and the generation scheme.
//!
//! Start with `RedisStore::fetch`, which reads values of one generation in one round trip.

mod bulk_writer;
mod client;
mod embeddings;
mod follow;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod included;
mod keys;
mod live;
mod number;
mod oversized;
mod project;
mod push;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{iter, vec};

use async_trait::async_trait;
use bytes::Bytes;
use sparrow_live::{LiveUser, Watermark};
use sparrow_model::{MovieId, UserId};
use tokio::time::Instant;

use self::client::{Answer, Batch, Command, Connections, Reply, Scan, refusal};
use self::included::Included;
use self::keys::Keys;
pub use self::live::RedisLive;
use self::oversized::{MAX_VALUE_BYTES, OversizedKeys};
use crate::codec::{self, Fault};
use crate::{
    Error, FeatureStore, Fields, Generation, Kind, Malformed, Options, OtherGeneration, Projection,
    ProjectionOutcome, Push, Read, RedisLocation, StoredMovie, StoredUser, UserList,
};

/// A store in Redis or Redis Cluster. Clones share the connections.
#[derive(Debug, Clone)]
pub struct RedisStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connections: Connections,
    keys: Keys,
    options: Options,
    /// The state at the last read, which the next read assumes.
    last_state: Mutex<State>,
    /// The time of the last warning about an invalid marker.
    last_warning: Mutex<Option<Instant>>,
    oversized: OversizedKeys,
    /// The number of partitions of live data.
    partitions: live::Partitions,
    /// The write counters of the servers at the last hash of the movies, and the hash.
    hashed: Mutex<Option<(String, u64)>>,
}

/// The content of the marker: the current generation and the location of its values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct State {
    generation: Generation,
    phase: Phase,
    /// The token of the push, which distinguishes two pushes of the same generation.
    pusher: String,
}

/// The location of a generation's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// Plain keys.
    #[default]
    Plain,
    /// Staged keys that contain the token of the push, or plain keys if already renamed.
    Fenced,
    /// The same with staged keys of format 1, without a token.
    Staged,
}

impl Phase {
    const ALL: [(&str, Self); 3] =
        [("plain", Self::Plain), ("staged-2", Self::Fenced), ("staged", Self::Staged)];
}

#[derive(Debug, PartialEq)]
enum MarkerFault {
    Malformed,
    UnknownVersion(String),
}

impl State {
    fn text(&self) -> Bytes {
        let phase = Phase::ALL.iter().find(|(_, phase)| *phase == self.phase);
        let phase = phase.map_or("", |(name, _)| name);
        format!("{} {phase} {}", self.generation, self.pusher).into()
    }

    fn parse(text: &[u8]) -> Result<Self, MarkerFault> {
        let words = std::str::from_utf8(text).ok().map(|text| text.split(' ').collect::<Vec<_>>());
        let (generation, phase, pusher) = match words.as_deref() {
            Some([generation, phase]) => (*generation, *phase, ""),
            Some([generation, phase, pusher, ..]) => (*generation, *phase, *pusher),
            _ => return Err(MarkerFault::Malformed),
        };
        let generation = Generation(generation.parse().map_err(|_| MarkerFault::Malformed)?);
        let parsed = Phase::ALL.iter().find(|(name, _)| *name == phase);
        let three = words.is_some_and(|words| words.len() <= 3);
        match parsed {
            Some(&(_, phase)) if three => Ok(Self { generation, phase, pusher: pusher.to_owned() }),
            Some(_) => Err(MarkerFault::Malformed),
            None => Err(MarkerFault::UnknownVersion(phase.to_owned())),
        }
    }

    /// Whether values may be under staged keys.
    fn is_staged(&self) -> bool {
        self.phase != Phase::Plain
    }

    fn staged_token(&self) -> Option<&str> {
        (self.phase == Phase::Fenced).then_some(&*self.pusher)
    }
}

/// The minimum time between two log lines about the same fault.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// Attempts of a read whose generation changes meanwhile.
const MAX_ATTEMPTS: usize = 4;
/// Movies per round trip of [`FeatureStore::all_movies`].
const MOVIES_PER_BATCH: usize = 500;

const USER_KINDS: [Kind; 3] = [Kind::UserFeatures, Kind::UserEmbedding, Kind::UserRatings];
/// The movies' keys that other programs may write.
const CONTRACT_KINDS: [Kind; 2] = [Kind::MovieFeatures, Kind::MovieEmbedding];
const MOVIE_KINDS: [Kind; 3] = [Kind::MovieFeatures, Kind::MovieEmbedding, Kind::MovieRatings];

impl RedisStore {
    /// Starts to connect and returns at once; requires a tokio runtime. Without a connection, calls
    /// fail at once. Connection attempts continue as long as the store exists. Errors concern the
    /// options.
    pub fn open(location: &RedisLocation, options: &Options) -> Result<Self, Error> {
        options.check()?;
        Ok(Self(Arc::new(Inner {
            connections: Connections::open(location, options)?,
            keys: Keys::new(options),
            options: options.clone(),
            last_state: Mutex::default(),
            oversized: OversizedKeys::default(),
            last_warning: Mutex::default(),
            partitions: live::Partitions::default(),
            hashed: Mutex::default(),
        })))
    }

    /// Waits for a connection, for at most [`Options::connect_timeout`].
    pub async fn connected(&self) -> Result<(), Error> {
        self.0.connections.wait(Instant::now() + self.0.options.connect_timeout).await
    }
}

impl Inner {
    fn last_state(&self) -> State {
        self.last_state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_last_state(&self, state: State) {
        let mut last_state = self.last_state.lock().unwrap_or_else(PoisonError::into_inner);
        if *last_state != state {
            self.oversized.clear();
            *last_state = state;
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    fn bulk_deadline(&self) -> Instant {
        Instant::now() + self.options.bulk_deadline
    }

    fn included(&self) -> Included<'_> {
        let Self { connections, keys, options, .. } = self;
        Included { connections, keys, deadline: options.bulk_deadline }
    }

    fn scan(&self, pattern: Bytes) -> Result<Scan<'_>, Error> {
        self.connections.scan(pattern, self.options.bulk_deadline)
    }

    /// The state in a reply to a read of the marker. A malformed marker counts as missing.
    fn state(&self, answer: Answer) -> Result<State, Error> {
        let key = || String::from_utf8_lossy(&self.keys.marker()).into_owned();
        let fault = match answer {
            Ok(Reply::Nothing) => return Ok(State::default()),
            Ok(Reply::Text(text)) if text.is_empty() => return Ok(State::default()),
            Ok(Reply::Text(text)) => match State::parse(&text) {
                Ok(state) => return Ok(state),
                Err(fault) => fault,
            },
            Err(message) if message.starts_with("WRONGTYPE") => MarkerFault::Malformed,
            Ok(_) => {
                return Err(self.connections.unavailable("a malformed reply to GET"));
            }
            Err(message) => return Err(refusal(self.connections.address(), &message)),
        };
        match fault {
            MarkerFault::Malformed => {
                let mut warned = self.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
                if warned.is_none_or(|last| last.elapsed() > BETWEEN_WARNINGS) {
                    *warned = Some(Instant::now());
                    tracing::warn!(
                        key = key(),
                        "the generation marker is malformed and counts as missing"
                    );
                }
                Ok(State::default())
            }
            MarkerFault::UnknownVersion(phase) => {
                let known = Phase::ALL.map(|(name, _)| name).join(", ");
                let what = format!(
                    "{} has an unknown version: its phase is {phase:?}, this program reads {known}",
                    key()
                );
                Err(Error::refused(self.connections.address(), what))
            }
        }
    }

    async fn current(&self, end: Instant) -> Result<State, Error> {
        let mut batch = Batch::default();
        batch.push(Command::Get(self.keys.marker()));
        let answers = self.connections.run(batch, end).await?;
        self.state(answers.into_iter().next().unwrap_or(Ok(Reply::Nothing)))
    }

    /// The values of these keys, all of one generation.
    ///
    /// One round trip reads the marker, and the values from the location that the last known marker
    /// states. If the marker has changed, the values are read again. This is sufficient because a
    /// push waits, after each change of the marker and before it changes keys, for longer than the
    /// deadline of a read. So a value read within the deadline was still at the location that the
    /// marker stated.
    async fn fetch(
        &self,
        keys: &[(Kind, u32)],
        end: Instant,
    ) -> Result<(Generation, Vec<Answer>), Error> {
        let (generation, values, _) = self.fetch_with(keys, &[], end).await?;
        Ok((generation, values))
    }

    /// The same, and the values of keys that belong to no generation.
    async fn fetch_with(
        &self,
        keys: &[(Kind, u32)],
        others: &[Bytes],
        end: Instant,
    ) -> Result<(Generation, Vec<Answer>, Vec<Answer>), Error> {
        for _ in 0..MAX_ATTEMPTS {
            let assumed = self.last_state();
            let (state, values, others) = self.fetch_once(&assumed, keys, others, end).await?;
            if state == assumed {
                return Ok((state.generation, values, others));
            }
            self.set_last_state(state);
        }
        Err(self.connections.unavailable("its generation changes too often"))
    }

    /// One round trip: the marker, the values at the location stated by `state`, and those of `others`,
    /// which are strings.
    async fn fetch_once(
        &self,
        state: &State,
        keys: &[(Kind, u32)],
        others: &[Bytes],
        end: Instant,
    ) -> Result<(State, Vec<Answer>, Vec<Answer>), Error> {
        let excluded: Vec<bool> = keys.iter().map(|&key| self.oversized.is_excluded(key)).collect();
        let locations = |hashes: bool| {
            let selected = keys.iter().zip(&excluded);
            let selected = selected
                .filter(move |((kind, _), excluded)| is_hash(*kind) == hashes && !**excluded);
            let selected = selected.map(|(key, _)| key);
            selected.flat_map(|&(kind, id)| {
                // Read before the plain key, to which it may be renamed meanwhile.
                let staged =
                    state.is_staged().then(|| self.keys.staged(kind, id, state.staged_token()));
                staged.into_iter().chain([self.keys.plain(kind, id)])
            })
        };
        let strings = iter::once(self.keys.marker()).chain(locations(false));
        let strings: Vec<Bytes> = strings.chain(others.iter().cloned()).collect();
        // Only single entries, such as the list of users, may be larger.
        let batch = if keys.iter().any(|(kind, _)| kind.is_single()) {
            Batch::default()
        } else {
            Batch::limited(MAX_VALUE_BYTES)
        };
        let too_large = batch.too_large();
        let read = self.read(batch, strings, locations(true), end).await;
        let (mut strings, mut hashes) = read.map_err(|error| {
            let too_large = too_large.lock().unwrap_or_else(PoisonError::into_inner);
            self.exclude_oversized(error, state, keys, &too_large)
        })?;
        let marker = self.state(next(&mut strings))?;
        let mut values = Vec::with_capacity(keys.len());
        for (&(kind, id), &excluded) in keys.iter().zip(&excluded) {
            if excluded {
                values.push(Ok(Reply::TooLarge));
                continue;
            }
            let answers: &mut dyn Iterator<Item = Answer> =
                if is_hash(kind) { &mut hashes } else { &mut strings };
            let staged = if state.is_staged() { answers.next() } else { None };
            let plain = answers.next().unwrap_or(Ok(Reply::Nothing));
            let value = match staged {
                None => plain,
                Some(staged) if is_tombstone(kind, &staged) => Ok(Reply::Nothing),
                Some(staged) if is_nothing(&staged) => plain,
                Some(staged) => staged,
            };
            if let Err(message) = &value
                && !message.starts_with("WRONGTYPE")
            {
                return Err(refusal(self.connections.address(), message));
            }
            if let (true, Ok(Reply::List(parts))) = (is_hash(kind), &value)
                && parts.len() % 2 == 1
            {
                return Err(self.connections.unavailable("a malformed reply to HGETALL"));
            }
            values.push(self.oversized.checked((kind, id), value));
        }
        Ok((marker, values, strings.collect()))
    }

    /// Maps the error of a read during which oversized values were found: excludes their keys, and
    /// attributes the error to the values instead of the store.
    fn exclude_oversized(
        &self,
        error: Error,
        state: &State,
        keys: &[(Kind, u32)],
        too_large: &[Bytes],
    ) -> Error {
        let is_large = |&&(kind, id): &&(Kind, u32)| {
            let staged = self.keys.staged(kind, id, state.staged_token());
            too_large.iter().any(|key| *key == self.keys.plain(kind, id) || *key == staged)
        };
        let mut first = None;
        for &(kind, id) in keys.iter().filter(is_large) {
            self.oversized.exclude((kind, id));
            first.get_or_insert((kind, id));
        }
        first.map_or(error, |(kind, id)| {
            let Malformed { key, what } = self.malformed(kind, id, too_large_fault());
            Error::Malformed { key, what }
        })
    }

    /// Reads strings and hashes in one round trip; the first string is read first. On a single
    /// server, one command reads all strings, which is much cheaper. A key of another type then
    /// counts as missing, instead of being an error.
    async fn read(
        &self,
        mut batch: Batch,
        strings: Vec<Bytes>,
        hashes: impl Iterator<Item = Bytes>,
        end: Instant,
    ) -> Result<(vec::IntoIter<Answer>, vec::IntoIter<Answer>), Error> {
        let (count, at_once) = (strings.len(), self.connections.is_one_server());
        if at_once {
            batch.push(Command::GetMany(strings));
        } else {
            for key in strings {
                batch.push(Command::Get(key));
            }
        }
        for key in hashes {
            batch.push(Command::HashGetAll(key));
        }
        let mut strings = self.connections.run(batch, end).await?;
        let hashes = strings.split_off(if at_once { 1 } else { count }.min(strings.len()));
        if at_once {
            strings = match strings.pop() {
                Some(Ok(Reply::List(values))) if values.len() == count => {
                    values.into_iter().map(Ok).collect()
                }
                Some(Err(message)) => return Err(refusal(self.connections.address(), &message)),
                _ => return Err(self.connections.unavailable("a malformed reply to MGET")),
            };
        }
        Ok((strings.into_iter(), hashes.into_iter()))
    }

    async fn single<T>(
        &self,
        kind: Kind,
        parse: impl FnOnce(&[u8]) -> Result<T, Fault>,
    ) -> Result<Read<Option<T>>, Error> {
        let (generation, values) = self.fetch(&[(kind, 0)], self.bulk_deadline()).await?;
        let value = string(next(&mut values.into_iter()), parse).map_err(|what| {
            let Malformed { key, what } = self.malformed(kind, 0, what);
            Error::Malformed { key, what }
        })?;
        Ok(Read { generation, value })
    }

    fn malformed(&self, kind: Kind, id: u32, what: impl Into<String>) -> Malformed {
        let key = String::from_utf8_lossy(&self.keys.plain(kind, id)).into_owned();
        Malformed { key, what: what.into() }
    }

    fn user(&self, id: UserId, values: &mut impl Iterator<Item = Answer>) -> StoredUser {
        let mut user = StoredUser::default();
        let [features, embedding, ratings] = [(); 3].map(|()| next(values));
        let malformed = &mut user.malformed;
        let mut note = |kind, what| malformed.push(self.malformed(kind, id.0, what));
        user.features = read(fields(features), |what| note(Kind::UserFeatures, what));
        user.embedding = read(string(embedding, embeddings::parse_embedding), |what| {
            note(Kind::UserEmbedding, what);
        });
        user.ratings =
            read(string(ratings, codec::unpack_ratings), |what| note(Kind::UserRatings, what));
        user
    }

    /// The keys of live data; none if the store was opened without them, or if their number of partitions is malformed or
    /// must not be read.
    async fn live_keys(&self, ids: &[UserId], end: Instant) -> Result<Vec<Bytes>, Error> {
        if !self.options.live {
            return Ok(Vec::new());
        }
        let partitions = self.partitions.for_reads(&self.connections, &self.keys, end).await;
        let partitions = match partitions {
            Ok(partitions) => partitions,
            // The other values of users do not depend on it.
            Err(Error::Refused { .. } | Error::Malformed { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let key = |&id: &UserId| self.keys.live(sparrow_live::partition(id, partitions), id);
        Ok(ids.iter().map(key).collect())
    }

    /// The live data of users; `None` for malformed ones.
    async fn live_of(&self, ids: &[UserId]) -> Result<Vec<Option<LiveUser>>, Error> {
        let Some(partitions) = self.included().partitions().await? else {
            return Ok(vec![Some(LiveUser::default()); ids.len()]);
        };
        let mut batch = Batch::default();
        for &id in ids {
            batch.push(Command::Get(self.keys.live(sparrow_live::partition(id, partitions), id)));
        }
        let answers = self.connections.run(batch, self.bulk_deadline()).await?;
        Ok(answers.into_iter().map(|answer| live::live_user(answer).ok()).collect())
    }

    fn add_live(&self, user: &mut StoredUser, key: &Bytes, answer: Answer) -> Result<(), Error> {
        if let Err(message) = &answer
            && !message.starts_with("WRONGTYPE")
        {
            return Err(refusal(self.connections.address(), message));
        }
        match live::live_user(answer) {
            Ok(live) => user.live = Some(live),
            Err(what) => {
                let key = String::from_utf8_lossy(key).into_owned();
                user.malformed.push(Malformed { key, what });
            }
        }
        Ok(())
    }

    fn movie(&self, id: MovieId, values: &mut impl Iterator<Item = Answer>) -> StoredMovie {
        let mut movie = StoredMovie::default();
        let [features, embedding, ratings] = [(); 3].map(|()| next(values));
        let malformed = &mut movie.malformed;
        let mut note = |kind, what| malformed.push(self.malformed(kind, id.0, what));
        movie.features = read(fields(features), |what| note(Kind::MovieFeatures, what));
        movie.embedding = read(string(embedding, embeddings::parse_embedding), |what| {
            note(Kind::MovieEmbedding, what);
        });
        movie.ratings =
            read(string(ratings, codec::unpack_movie), |what| note(Kind::MovieRatings, what));
        movie
    }

    /// The ids of movies with keys of these kinds in this state, and possibly some more.
    async fn movie_ids(&self, state: &State, kinds: &[Kind]) -> Result<BTreeSet<u32>, Error> {
        let mut ids = BTreeSet::new();
        if state.is_staged() {
            // Before the plain keys, so that a key renamed meanwhile is found there.
            let mut scan = self.scan(self.keys.staged_pattern())?;
            while let Some(keys) = scan.page().await? {
                let named =
                    keys.iter().filter_map(|key| self.keys.staged_id(key, state.staged_token()));
                ids.extend(named.filter(|(kind, _)| kinds.contains(kind)).map(|(_, id)| id));
            }
        }
        for &kind in kinds {
            let mut scan = self.scan(self.keys.plain_pattern(kind))?;
            while let Some(keys) = scan.page().await? {
                ids.extend(keys.iter().filter_map(|key| self.keys.plain_id(kind, key)));
            }
        }
        Ok(ids)
    }

    /// A hash of the movies' values that other programs may write.
    async fn hash_movies(&self, state: &State) -> Result<u64, Error> {
        let ids: Vec<u32> = self.movie_ids(state, &CONTRACT_KINDS).await?.into_iter().collect();
        let mut hasher = DefaultHasher::new();
        for some in ids.chunks(MOVIES_PER_BATCH) {
            let keys = keys_of(some.iter().copied(), &CONTRACT_KINDS);
            let fetched = self.fetch_once(state, &keys, &[], self.bulk_deadline()).await;
            let (_, values, _) = fetched?;
            for ((kind, id), value) in keys.into_iter().zip(values) {
                (kind, id).hash(&mut hasher);
                hash_value(value, &mut hasher);
            }
        }
        Ok(hasher.finish())
    }

    /// All movies of a state; `None` if the state has changed meanwhile.
    async fn movies_of(&self, state: &State) -> Result<Option<Vec<(MovieId, StoredMovie)>>, Error> {
        let ids = self.movie_ids(state, &MOVIE_KINDS).await?;
        let ids: Vec<MovieId> = ids.into_iter().map(MovieId).collect();
        let mut movies = Vec::with_capacity(ids.len());
        for some in ids.chunks(MOVIES_PER_BATCH) {
            let keys = keys_of(some.iter().map(|id| id.0), &MOVIE_KINDS);
            let fetched = self.fetch_once(state, &keys, &[], self.bulk_deadline()).await;
            let (marker, values, _) = fetched?;
            if marker != *state {
                return Ok(None);
            }
            let mut values = values.into_iter();
            for &id in some {
                let movie = self.movie(id, &mut values);
                if !movie.is_empty() {
                    movies.push((id, movie));
                }
            }
        }
        Ok((self.current(self.bulk_deadline()).await? == *state).then_some(movies))
    }
}

#[async_trait]
impl FeatureStore for RedisStore {
    fn address(&self) -> &str {
        self.0.connections.address()
    }

    async fn generation(&self) -> Result<Generation, Error> {
        let state = self.0.current(self.0.deadline()).await?;
        let generation = state.generation;
        self.0.set_last_state(state);
        Ok(generation)
    }

    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        let end = self.0.deadline();
        let keys = keys_of(ids.iter().map(|id| id.0), &USER_KINDS);
        let live_keys = self.0.live_keys(ids, end).await?;
        let (generation, values, live) = self.0.fetch_with(&keys, &live_keys, end).await?;
        let mut values = values.into_iter();
        let mut users: Vec<StoredUser> =
            ids.iter().map(|&id| self.0.user(id, &mut values)).collect();
        for ((user, key), answer) in users.iter_mut().zip(live_keys).zip(live) {
            self.0.add_live(user, &key, answer)?;
        }
        Ok(Read { generation, value: users })
    }

    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        let keys = keys_of(ids.iter().map(|id| id.0), &MOVIE_KINDS);
        let (generation, values) = self.0.fetch(&keys, self.0.deadline()).await?;
        let mut values = values.into_iter();
        Ok(Read {
            generation,
            value: ids.iter().map(|&id| self.0.movie(id, &mut values)).collect(),
        })
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        for _ in 0..MAX_ATTEMPTS {
            let state = self.0.current(self.0.bulk_deadline()).await?;
            if let Some(value) = self.0.movies_of(&state).await? {
                let generation = state.generation;
                self.0.set_last_state(state);
                return Ok(Read { generation, value });
            }
        }
        Err(self.0.connections.unavailable("its generation changes too often"))
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        let read = self.0.single(Kind::UserList, codec::unpack_users).await?;
        Ok(Read { generation: read.generation, value: read.value.unwrap_or_default() })
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        let read = self.0.single(Kind::EmbeddingInfo, codec::unpack_text).await?;
        let Some(text) = read.value else { return Ok(read) };
        let (stamp, text) = embeddings::unstamped(&text);
        let generation = read.generation;
        // Generation 0 has no marker: another program fills the store.
        if let Some(stamp) = stamp
            && stamp != generation.0
            && generation != Generation(0)
        {
            let what = format!(
                "describes the vectors of generation {stamp}, but the store contains generation {generation}: another program or an \
                 older loader has replaced them"
            );
            let Malformed { key, what } = self.0.malformed(Kind::EmbeddingInfo, 0, what);
            return Err(Error::Malformed { key, what });
        }
        Ok(Read { generation, value: Some(text) })
    }

    async fn watermark(&self) -> Result<Read<Option<Watermark>>, Error> {
        self.0.single(Kind::Watermark, codec::unpack_watermark).await
    }

    async fn fingerprint(&self) -> Result<Option<u64>, Error> {
        let inner = &self.0;
        let state = inner.current(inner.deadline()).await?;
        if state.generation != Generation(0) {
            return Ok(None);
        }
        // Before the movies are read, so that concurrent writes change the counters again.
        let writes = inner.connections.writes(inner.options.bulk_deadline).await?;
        let last = inner.hashed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (Some(writes), Some((then, hash))) = (&writes, &last)
            && writes == then
        {
            return Ok(Some(*hash));
        }
        let hash = inner.hash_movies(&state).await?;
        *inner.hashed.lock().unwrap_or_else(PoisonError::into_inner) =
            writes.map(|writes| (writes, hash));
        Ok(Some(hash))
    }

    async fn staged(&self) -> Result<u64, Error> {
        let mut scan = self.0.scan(self.0.keys.staged_pattern())?;
        let mut count = 0;
        while let Some(keys) = scan.page().await? {
            count += keys.len() as u64;
        }
        Ok(count)
    }

    async fn project(
        &self,
        generation: Generation,
        users: &[Projection],
    ) -> Result<Result<ProjectionOutcome, OtherGeneration>, Error> {
        Box::pin(self.0.project(generation, users)).await
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        push::start(Arc::clone(&self.0)).await
    }
}

fn is_hash(kind: Kind) -> bool {
    matches!(kind, Kind::UserFeatures | Kind::MovieFeatures)
}

/// Whether a staged value marks a key for deletion. Tombstones are values that no entry can have.
fn is_tombstone(kind: Kind, staged: &Answer) -> bool {
    match staged {
        Ok(Reply::List(parts)) if is_hash(kind) => {
            matches!(&parts[..], [Reply::Text(name), _] if name.is_empty())
        }
        Ok(Reply::Text(text)) => text.is_empty(),
        _ => false,
    }
}

fn is_nothing(answer: &Answer) -> bool {
    match answer {
        Ok(Reply::Nothing) => true,
        Ok(Reply::List(parts)) => parts.is_empty(),
        _ => false,
    }
}

fn keys_of(ids: impl Iterator<Item = u32>, kinds: &[Kind]) -> Vec<(Kind, u32)> {
    ids.flat_map(|id| kinds.iter().map(move |&kind| (kind, id))).collect()
}

/// Hashes with the same fields have the same hash, in any order of fields.
fn hash_value(value: Answer, hasher: &mut impl Hasher) {
    match value {
        Ok(Reply::List(parts)) => {
            let mut fields: Vec<&[Reply]> = parts.chunks(2).collect();
            fields.sort_unstable();
            fields.hash(hasher);
        }
        other => other.hash(hasher),
    }
}

fn next(values: &mut impl Iterator<Item = Answer>) -> Answer {
    values.next().unwrap_or(Ok(Reply::Nothing))
}

fn read<T>(value: Result<Option<T>, Fault>, note: impl FnOnce(Fault)) -> Option<T> {
    value.unwrap_or_else(|what| {
        note(what);
        None
    })
}

fn fields(answer: Answer) -> Result<Option<Fields>, Fault> {
    let parts = match answer {
        Ok(Reply::Nothing) => return Ok(None),
        Ok(Reply::List(parts)) => parts,
        Ok(Reply::TooLarge) => return Err(too_large_fault()),
        _ => return Err("is not a hash".to_owned()),
    };
    let mut fields = Vec::with_capacity(parts.len() / 2);
    let mut texts = parts.into_iter().map(|part| match part {
        Reply::Text(text) => String::from_utf8(text.into())
            .map_err(|_| "has a field that is not valid UTF-8".to_owned()),
        _ => Err("is not a hash of strings".to_owned()),
    });
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        fields.push((name?, value?));
    }
    Ok((!fields.is_empty()).then_some(Fields(fields)))
}

fn too_large_fault() -> Fault {
    format!("is larger than {MAX_VALUE_BYTES} bytes")
}

fn string<T>(
    answer: Answer,
    parse: impl FnOnce(&[u8]) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    match answer {
        Ok(Reply::Nothing) => Ok(None),
        Ok(Reply::Text(text)) => parse(&text).map(Some),
        Ok(Reply::TooLarge) => Err(too_large_fault()),
        _ => Err("is not a string".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_round_trip_and_other_texts_are_errors() {
        for (name, phase) in Phase::ALL {
            let state = State { generation: Generation(17), phase, pusher: "3fa9".into() };
            assert_eq!(state.text(), format!("17 {name} 3fa9"));
            assert_eq!(State::parse(&state.text()), Ok(state));
        }
        for text in ["", "x plain a", "1", "1 plain a b", "-1 plain a"] {
            assert_eq!(State::parse(text.as_bytes()), Err(MarkerFault::Malformed), "{text}");
        }
        let newer = State::parse(b"1 sealed a");
        assert_eq!(newer, Err(MarkerFault::UnknownVersion("sealed".to_owned())));
    }
}
