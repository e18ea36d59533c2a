//! Compares a feature store with [`sources`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::{fmt, mem};

use sparrow_live::Watermark;
use sparrow_model::{MovieId, UserId};
use sparrow_progress::Progress;
use sparrow_random::Random;
use sparrow_store::{
    Entry, FeatureStore, Fields, Generation, Kind, Malformed, MovieRatings, StoredMovie,
    StoredRating, StoredUser, UserList,
};

use crate::sources::{self, Counts, Reader};

/// Entries per round trip.
const BATCH: usize = 256;

/// The number of differences that are kept; the others are only counted.
pub(crate) const KEPT: usize = 20;

/// The entries to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The size of the random sample of each kind; `None` compares all entries.
    pub sample: Option<usize>,
    /// The seed of the sample.
    pub seed: u64,
}

/// Why the comparison failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sources cannot be read.
    #[error(transparent)]
    Source(#[from] sources::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] sparrow_store::Error),
    /// Another push took place during the comparison.
    #[error("generation {to} replaced {from} in the store during the comparison; verify again")]
    Replaced {
        /// The generation at the beginning.
        from: Generation,
        /// The later generation.
        to: Generation,
    },
}

/// A difference between the store and the sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key in the store, without the prefix.
    pub key: String,
    /// The field of the hash, or the index in the list; empty for the whole value.
    pub field: String,
    /// The value in the sources; `None` if there is none.
    pub expected: Option<String>,
    /// The value in the store; `None` if there is none.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, field, expected, found } = self;
        f.write_str(key)?;
        if !field.is_empty() {
            write!(f, " {field}")?;
        }
        let missing = "missing".to_owned();
        let [expected, found] = [expected, found].map(|it| it.as_ref().unwrap_or(&missing));
        write!(f, ": {expected} in the sources, {found} in the store")
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The compared generation.
    pub generation: Generation,
    /// The entries in the sources.
    pub sources: Counts,
    /// The compared entries.
    pub compared: Counts,
    /// The number of staged keys, of a push in progress or one that was killed. They are not
    /// readable.
    pub staged: u64,
    /// The number of differences.
    pub differences: u64,
    /// The first differences.
    pub first: Vec<Difference>,
}

/// Reads all sources, and the part of the store selected by [`Options`]. Movies that exist only in
/// the store are differences, too; such users cannot be found. Users in `except` are not compared.
pub async fn verify(
    mut reader: Reader,
    store: &dyn FeatureStore,
    options: Options,
    except: &BTreeSet<UserId>,
    progress: Progress<'_>,
) -> Result<Report, Error> {
    let generation = store.generation().await?;
    let mut verifier = Verifier { store, report: Report { generation, ..Report::default() } };
    let mut sample = Sample::new(options);
    let mut movies = MovieIds::default();
    while let Some(mut entries) = reader.next().await? {
        entries.retain(|entry| entry.user().is_none_or(|user| !except.contains(&user)));
        verifier.report.sources.add_all(&entries);
        movies.add_all(&entries);
        if options.sample.is_none() {
            verifier.compare(entries).await?;
        } else {
            for entry in entries {
                sample.offer(entry);
            }
        }
        let (done, total) = reader.progress();
        progress(done, total);
    }
    for entries in sample.drawn {
        verifier.compare(entries).await?;
    }
    verifier.movies_beyond(&movies).await?;
    verifier.report.staged = store.staged().await?;
    Ok(verifier.report)
}

/// A uniform sample of each kind, from a stream of unknown length.
struct Sample {
    size: usize,
    random: Random,
    counts: Counts,
    drawn: [Vec<Entry>; Kind::ALL.len()],
}

impl Sample {
    fn new(options: Options) -> Self {
        Self {
            size: options.sample.unwrap_or(0),
            random: Random::new(options.seed, 0),
            counts: Counts::default(),
            drawn: Default::default(),
        }
    }

    fn offer(&mut self, entry: Entry) {
        let kind = entry.kind();
        self.counts.add(kind);
        let drawn = &mut self.drawn[kind as usize];
        if drawn.len() < self.size {
            drawn.push(entry);
        } else {
            let index = self.random.below(self.counts.get(kind) as usize);
            if let Some(replaced) = drawn.get_mut(index) {
                *replaced = entry;
            }
        }
    }
}

/// The movies in the sources, by kind.
#[derive(Default)]
struct MovieIds {
    features: HashSet<MovieId>,
    embeddings: HashSet<MovieId>,
    ratings: HashSet<MovieId>,
}

impl MovieIds {
    fn add_all(&mut self, entries: &[Entry]) {
        for entry in entries {
            match entry {
                Entry::MovieFeatures(id, _) => self.features.insert(*id),
                Entry::MovieEmbedding(id, _) => self.embeddings.insert(*id),
                Entry::MovieRatings(id, _) => self.ratings.insert(*id),
                _ => false,
            };
        }
    }
}

struct Verifier<'a> {
    store: &'a dyn FeatureStore,
    report: Report,
}

impl Verifier<'_> {
    fn differ(&mut self, key: &str, field: &str, expected: Option<String>, found: Option<String>) {
        self.report.differences += 1;
        if self.report.first.len() < KEPT {
            let (key, field) = (key.to_owned(), field.to_owned());
            self.report.first.push(Difference { key, field, expected, found });
        }
    }

    /// Checks that the generation has not changed.
    fn check(&self, to: Generation) -> Result<(), Error> {
        let from = self.report.generation;
        if to == from { Ok(()) } else { Err(Error::Replaced { from, to }) }
    }

    async fn compare(&mut self, mut entries: Vec<Entry>) -> Result<(), Error> {
        while !entries.is_empty() {
            let rest = entries.split_off(entries.len().min(BATCH));
            self.compare_batch(entries).await?;
            entries = rest;
        }
        Ok(())
    }

    async fn compare_batch(&mut self, entries: Vec<Entry>) -> Result<(), Error> {
        let mut users: Vec<UserId> = Vec::new();
        let mut movies: Vec<MovieId> = Vec::new();
        let (mut list, mut info, mut watermark) = (false, false, false);
        for entry in &entries {
            self.report.compared.add(entry.kind());
            match entry {
                Entry::UserFeatures(id, _)
                | Entry::UserEmbedding(id, _)
                | Entry::UserRatings(id, _) => users.push(*id),
                Entry::MovieFeatures(id, _)
                | Entry::MovieEmbedding(id, _)
                | Entry::MovieRatings(id, _) => movies.push(*id),
                Entry::UserList(_) => list = true,
                Entry::EmbeddingInfo(_) => info = true,
                Entry::Watermark(_) => watermark = true,
            }
        }
        let mut found_users: HashMap<UserId, StoredUser> = HashMap::new();
        if !users.is_empty() {
            let read = self.store.users(&users).await?;
            self.check(read.generation)?;
            found_users.extend(users.into_iter().zip(read.value));
        }
        let mut found_movies: HashMap<MovieId, StoredMovie> = HashMap::new();
        if !movies.is_empty() {
            let read = self.store.movies(&movies).await?;
            self.check(read.generation)?;
            found_movies.extend(movies.into_iter().zip(read.value));
        }
        let mut found_list = UserList::default();
        if list {
            let read = self.store.user_list().await?;
            self.check(read.generation)?;
            found_list = read.value;
        }
        let mut found_info = None;
        if info {
            let read = self.store.embedding_info().await?;
            self.check(read.generation)?;
            found_info = read.value;
        }
        let mut found_watermark = None;
        if watermark {
            let read = self.store.watermark().await?;
            self.check(read.generation)?;
            found_watermark = read.value;
        }
        let malformed: Vec<Malformed> = found_users
            .values_mut()
            .map(|user| mem::take(&mut user.malformed))
            .chain(found_movies.values_mut().map(|movie| mem::take(&mut movie.malformed)))
            .flatten()
            .collect();
        let (no_user, no_movie) = (StoredUser::default(), StoredMovie::default());
        let user = |id: &UserId| found_users.get(id).unwrap_or(&no_user);
        let movie = |id: &MovieId| found_movies.get(id).unwrap_or(&no_movie);
        for entry in &entries {
            let key = entry.key();
            if let Some(fault) = malformed.iter().find(|fault| fault.key.ends_with(&key)) {
                let found = format!("a malformed value ({})", fault.what);
                self.differ(&key, "", Some("a valid value".to_owned()), Some(found));
                continue;
            }
            match entry {
                Entry::UserFeatures(id, fields) => {
                    self.fields(&key, fields, user(id).features.as_ref());
                }
                Entry::UserEmbedding(id, vector) => {
                    self.vector(&key, vector, user(id).embedding.as_deref());
                }
                Entry::UserRatings(id, ratings) => {
                    self.ratings(&key, ratings, user(id).ratings.as_deref());
                }
                Entry::MovieFeatures(id, fields) => {
                    self.fields(&key, fields, movie(id).features.as_ref());
                }
                Entry::MovieEmbedding(id, vector) => {
                    self.vector(&key, vector, movie(id).embedding.as_deref());
                }
                Entry::MovieRatings(id, sums) => {
                    self.sums(&key, sums, movie(id).ratings.as_ref());
                }
                Entry::UserList(list) => self.user_list(&key, list, &found_list),
                Entry::EmbeddingInfo(text) => {
                    if found_info.as_ref() != Some(text) {
                        self.differ(&key, "", Some(text.clone()), found_info.clone());
                    }
                }
                Entry::Watermark(expected) => {
                    self.watermark(&key, expected, &found_watermark.clone().unwrap_or_default());
                }
            }
        }
        Ok(())
    }

    fn watermark(&mut self, key: &str, expected: &Watermark, found: &Watermark) {
        for partition in 0..expected.partitions().max(found.partitions()) {
            let [expected, found] = [expected, found].map(|it| it.get(partition));
            if expected != found {
                let (field, expected) = (partition.to_string(), expected.to_string());
                self.differ(key, &field, Some(expected), Some(found.to_string()));
            }
        }
    }

    fn fields(&mut self, key: &str, expected: &Fields, found: Option<&Fields>) {
        let Some(found) = found else {
            return self.differ(key, "", Some(format!("{} fields", expected.0.len())), None);
        };
        for (name, value) in &expected.0 {
            let found_value = found.get(name);
            if found_value != Some(value) {
                self.differ(key, name, Some(quoted(value)), found_value.map(quoted));
            }
        }
        for (name, value) in &found.0 {
            if expected.get(name).is_none() {
                self.differ(key, name, None, Some(quoted(value)));
            }
        }
    }

    fn vector(&mut self, key: &str, expected: &[f32], found: Option<&[f32]>) {
        let count = |vector: &[f32]| format!("{} components", vector.len());
        match found {
            Some(found) if found.len() == expected.len() => {
                for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                    if expected != found {
                        let (expected, found) = (expected.to_string(), found.to_string());
                        return self.differ(key, &index.to_string(), Some(expected), Some(found));
                    }
                }
            }
            found => self.differ(key, "", Some(count(expected)), found.map(count)),
        }
    }

    fn ratings(&mut self, key: &str, expected: &[StoredRating], found: Option<&[StoredRating]>) {
        let count = |ratings: &[StoredRating]| format!("{} ratings", ratings.len());
        let shown = |rating: &StoredRating| {
            let StoredRating { movie, stars, timestamp } = rating;
            format!("{stars} for movie {movie} at {timestamp}")
        };
        match found {
            Some(found) if found.len() == expected.len() => {
                let mut pairs = expected.iter().zip(found).enumerate();
                if let Some((index, (expected, found))) = pairs.find(|(_, (a, b))| a != b) {
                    let index = index.to_string();
                    self.differ(key, &index, Some(shown(expected)), Some(shown(found)));
                }
            }
            found => self.differ(key, "", Some(count(expected)), found.map(count)),
        }
    }

    fn sums(&mut self, key: &str, expected: &MovieRatings, found: Option<&MovieRatings>) {
        let sums =
            |it: &MovieRatings| format!("{} half stars in {} ratings", it.half_stars, it.count);
        let Some(found) = found else {
            return self.differ(key, "", Some(sums(expected)), None);
        };
        if sums(expected) != sums(found) {
            self.differ(key, "", Some(sums(expected)), Some(sums(found)));
        }
        if expected.top != found.top {
            let shown = |it: &MovieRatings| format!("{} by {:?}", it.top.len(), users(it));
            self.differ(key, "best ratings", Some(shown(expected)), Some(shown(found)));
        }
    }

    fn user_list(&mut self, key: &str, expected: &UserList, found: &UserList) {
        let count = |list: &UserList| {
            format!("{} users, the {} most active", list.total, list.most_active.len())
        };
        if count(expected) != count(found) {
            return self.differ(key, "", Some(count(expected)), Some(count(found)));
        }
        let mut pairs = expected.most_active.iter().zip(&found.most_active).enumerate();
        if let Some((index, (expected, found))) = pairs.find(|(_, (a, b))| a != b) {
            let shown = |(user, count, half_stars): &(UserId, u32, u32)| {
                format!("user {user} with {half_stars} half stars in {count} ratings")
            };
            self.differ(key, &index.to_string(), Some(shown(expected)), Some(shown(found)));
        }
    }

    async fn movies_beyond(&mut self, ids: &MovieIds) -> Result<(), Error> {
        if ids.features.is_empty() && ids.embeddings.is_empty() && ids.ratings.is_empty() {
            return Ok(());
        }
        let read = self.store.all_movies().await?;
        self.check(read.generation)?;
        let mut movies = read.value;
        movies.sort_unstable_by_key(|(id, _)| *id);
        for (id, movie) in &movies {
            for (kind, is_stored, ids) in [
                (Kind::MovieFeatures, movie.features.is_some(), &ids.features),
                (Kind::MovieEmbedding, movie.embedding.is_some(), &ids.embeddings),
                (Kind::MovieRatings, movie.ratings.is_some(), &ids.ratings),
            ] {
                // Kinds that are not in the sources remain unchanged by a push.
                if is_stored && !ids.is_empty() && !ids.contains(id) {
                    self.differ(&kind.key(id.0), "", None, Some("present".to_owned()));
                }
            }
        }
        Ok(())
    }
}

fn users(ratings: &MovieRatings) -> Vec<u32> {
    ratings.top.iter().map(|top| top.user.0).collect()
}

fn quoted(value: impl AsRef<str>) -> String {
    format!("{:?}", value.as_ref())
}
