//! Compares the users with live data in a store with a data set and the log: what servers compute, from what a training would
//! compute.
//!
//! Servers overlay the ratings of the generation in force with the live data of a user, from which ratings may have been dropped.
//! The same ratings result from the data set and all writes in the log. The stored features and vector of a user are those of
//! these ratings if a server projects them, else those of the generation.

use std::collections::BTreeSet;
use std::time::Duration;

use sparrow_engine::Embeddings;
use sparrow_features::{USER_FIELDS, UserWindow};
use sparrow_live::{LiveStore, LiveUser, Watermark};
use sparrow_model::{Catalog, History, OwnedHistory, Rated, UserId};
use sparrow_neural::{EmbeddingMetadata, Similarity, TableBuilder, check_vector};
use sparrow_progress::Progress;
use sparrow_store::{FeatureStore, Fields, Generation, Kind, StoredUser};
use tokio::time::sleep;

use crate::live::{self, Base, Replayed, replayed};
use crate::verify::{Difference, KEPT};

/// Users per round trip.
const BATCH: usize = 256;

/// How long the projection of a write may take.
const LAG: Duration = Duration::from_secs(3);

/// The difference between computed vectors of processors with other instruction sets, relative to their length.
const TOLERANCE: f32 = 1e-3;

/// Why the comparison failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log cannot be read, or the data set lacks trimmed writes.
    #[error(transparent)]
    Live(#[from] live::Error),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] sparrow_store::Error),
}

impl From<sparrow_live::Error> for Error {
    fn from(error: sparrow_live::Error) -> Self {
        Self::Live(error.into())
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The users in the log.
    pub users: BTreeSet<UserId>,
    /// The users who wrote during the comparison. They are not compared.
    pub writing: u64,
    /// The users whose stored features are those of the generation, without the live ratings: no server projects them.
    pub not_projected: u64,
    /// The users whose projected vectors were compared. Others have no projection, or events: these count for vectors as long as
    /// the configuration of the server determines.
    pub vectors: u64,
    /// The number of differences.
    pub differences: u64,
    /// The first differences.
    pub first: Vec<Difference>,
}

/// Compares the ratings of all users in the log, and their projected features and vectors.
pub async fn verify(
    store: &dyn FeatureStore,
    live: &dyn LiveStore,
    data: Base<'_>,
    progress: Progress<'_>,
) -> Result<Report, Error> {
    data.check(live).await?;
    let Replayed { users, watermark, .. } = replayed(live, progress, |_, _| Ok(())).await?;
    data.check(live).await?;
    let mut report = Report { users: users.keys().copied().collect(), ..Report::default() };
    let vectors = Vectors::read(store, data.catalog).await?;
    let compared = Compared { store, live, catalog: data.catalog, watermark, vectors };
    let users: Vec<(UserId, LiveUser)> = users.into_iter().collect();
    let mut late = Vec::new();
    for some in users.chunks(BATCH) {
        compared.users(some, &mut report, Some(&mut late)).await?;
    }
    if !late.is_empty() {
        sleep(LAG).await;
        for some in late.chunks(BATCH) {
            compared.users(some, &mut report, None).await?;
        }
    }
    Ok(report)
}

/// What is compared.
struct Compared<'a> {
    store: &'a dyn FeatureStore,
    live: &'a dyn LiveStore,
    catalog: &'a Catalog,
    /// The last write of each partition in the log.
    watermark: Watermark,
    /// `None` without vectors of movies.
    vectors: Option<Vectors>,
}

impl Compared<'_> {
    /// Compares users. Those whose stored features or vectors may still follow go to `late`; without it, they differ.
    async fn users(
        &self,
        users: &[(UserId, LiveUser)],
        report: &mut Report,
        mut late: Option<&mut Vec<(UserId, LiveUser)>>,
    ) -> Result<(), Error> {
        let catalog = self.catalog;
        let ids: Vec<UserId> = users.iter().map(|(id, _)| *id).collect();
        // First the live data: a push between the two reads stores the dropped ratings.
        let overlays = self.live.users(&ids).await?;
        let read = self.store.users(&ids).await?;
        let vectors = self.vectors.as_ref().filter(|it| it.generation == read.generation);
        for (((id, logged), overlay), stored) in users.iter().zip(overlays).zip(read.value) {
            let partition = sparrow_live::partition(*id, self.live.partitions());
            let newest =
                overlay.ratings.iter().map(|it| it.sequence).chain(overlay.forgotten).max();
            if newest.is_some_and(|newest| !self.watermark.contains(partition, newest)) {
                report.writing += 1;
                continue;
            }
            let of_generation = history(*id, &stored, catalog);
            let found = overlay.history(*id, Some(of_generation.get()), catalog);
            let features = stored.features.as_ref();
            // Without the ratings of the generation, servers keep its features.
            let is_unknown =
                stored.ratings.is_none() && features.is_some() && overlay.forgotten.is_none();
            let feature = differing_feature(features, &found, catalog).filter(|_| !is_unknown);
            let mut differing = feature.map(|feature| (Kind::UserFeatures, feature));
            if has_no_projection(&stored, &overlay, &of_generation, catalog) {
                report.not_projected += u64::from(differing.take().is_some());
            } else if let (None, Some(vectors)) = (&differing, vectors)
                && !is_unknown
                && overlay.events.is_empty()
            {
                let vector = vectors.differing(stored.embedding.as_deref(), &found.get());
                report.vectors += u64::from(vector.is_none() || late.is_none());
                differing = vector.map(|vector| (Kind::UserEmbedding, vector));
            }
            if let Some((kind, (field, expected, found))) = differing {
                if let Some(late) = &mut late {
                    late.push((*id, logged.clone()));
                    continue;
                }
                report.differ(&kind.key(id.0), field, expected, found);
            }
            let expected = logged.history(*id, catalog.users().find(*id), catalog);
            report.compare(*id, &expected, &found, catalog);
        }
        Ok(())
    }
}

/// The vectors of movies in the store, from which servers compute those of users.
struct Vectors {
    generation: Generation,
    /// The vectors as their description specifies, and by the other similarity, which a server can be configured with.
    embeddings: Vec<Embeddings>,
}

impl Vectors {
    /// `None` if the store has no vectors that a server can use.
    async fn read(store: &dyn FeatureStore, catalog: &Catalog) -> Result<Option<Self>, Error> {
        let read = store.embedding_info().await?;
        let generation = read.generation;
        let metadata = match read.value {
            Some(text) => match EmbeddingMetadata::read(text.as_bytes(), "embedding.json") {
                Ok(metadata) => Some(metadata),
                Err(_) => return Ok(None),
            },
            None => None,
        };
        let movies = store.all_movies().await?.value;
        let vectors = movies.iter().filter_map(|(id, it)| Some((id.0, it.embedding.as_deref()?)));
        let dimension = metadata.as_ref().and_then(EmbeddingMetadata::dimension);
        let mut table = TableBuilder::default();
        // Servers skip invalid vectors, too.
        for (id, vector) in vectors.filter(|(id, it)| check_vector(*id, it, dimension).is_ok()) {
            if table.push(id, vector).is_err() {
                return Ok(None);
            }
        }
        let Ok(table) = table.build() else { return Ok(None) };
        let (similarity, objective) =
            metadata.map(|it| (it.similarity, it.objective)).unwrap_or_default();
        let other = match similarity {
            Similarity::Cosine => Similarity::Dot,
            Similarity::Dot => Similarity::Cosine,
        };
        let embeddings = [similarity, other].into_iter().filter_map(|similarity| {
            let embeddings = Embeddings::of_items(&table, similarity, catalog).ok()?;
            Some(embeddings.with_objective(objective))
        });
        let embeddings: Vec<Embeddings> = embeddings.collect();
        Ok((!embeddings.is_empty()).then_some(Self { generation, embeddings }))
    }

    /// Why a stored vector is none that servers compute from these ratings, as [`differing_feature`] describes it.
    fn differing(&self, stored: Option<&[f32]>, history: &History<'_>) -> Option<Differing> {
        let expected: Vec<_> = self.embeddings.iter().map(|it| it.vector_of(history)).collect();
        if expected.iter().any(|expected| is_near(expected.as_deref(), stored)) {
            return None;
        }
        let shown = |vector: Option<&[f32]>| {
            let vector = vector?;
            Some(format!("{:.4?} of {} components", &vector[..vector.len().min(3)], vector.len()))
        };
        Some(("", shown(expected.first()?.as_deref()), shown(stored)))
    }
}

fn is_near(expected: Option<&[f32]>, found: Option<&[f32]>) -> bool {
    let (Some(expected), Some(found)) = (expected, found) else {
        return expected.is_none() && found.is_none();
    };
    let length =
        |values: &mut dyn Iterator<Item = f32>| values.map(|it| it * it).sum::<f32>().sqrt();
    let difference = &mut expected.iter().zip(found).map(|(a, b)| a - b);
    expected.len() == found.len()
        && length(difference) <= TOLERANCE * length(&mut expected.iter().copied())
}

/// Whether the stored features of a user are those of the generation. Redis has none of a deleted user; a file keeps them, and
/// servers hide them.
fn has_no_projection(
    stored: &StoredUser,
    overlay: &LiveUser,
    of_generation: &OwnedHistory,
    catalog: &Catalog,
) -> bool {
    if overlay.forgotten.is_some() && stored.ratings.is_none() {
        return stored.features.is_none();
    }
    differing_feature(stored.features.as_ref(), of_generation, catalog).is_none()
}

/// The name of what differs, empty for a whole value, and the expected and stored value.
type Differing = (&'static str, Option<String>, Option<String>);

/// A feature that differs from that of a history. Nothing is stored of an empty history.
fn differing_feature(
    stored: Option<&Fields>,
    history: &OwnedHistory,
    catalog: &Catalog,
) -> Option<Differing> {
    let history = history.get();
    let Some(stored) = stored else {
        let count = || Some(format!("the features of {} ratings", history.len()));
        return (!history.is_empty()).then(|| ("", count(), None));
    };
    if history.is_empty() {
        return Some(("", None, Some("features of a user without ratings".to_owned())));
    }
    let expected = UserWindow::of(&history, catalog).features().texts(catalog.genres());
    USER_FIELDS.into_iter().zip(expected).find_map(|(name, expected)| {
        let found = stored.get(name);
        (found != Some(&*expected)).then(|| (name, Some(expected), found.map(str::to_owned)))
    })
}

/// The ratings of the generation.
fn history(id: UserId, stored: &StoredUser, catalog: &Catalog) -> OwnedHistory {
    let rated = stored.ratings.iter().flatten().filter_map(|rating| {
        let movie = catalog.index_of(rating.movie)?;
        Some(Rated { movie, stars: rating.stars, timestamp: rating.timestamp })
    });
    OwnedHistory::new(id, rated)
}

impl Report {
    fn compare(
        &mut self,
        id: UserId,
        expected: &OwnedHistory,
        found: &OwnedHistory,
        catalog: &Catalog,
    ) {
        let [expected, found] = [expected, found].map(OwnedHistory::get);
        let key = format!("user {id} with live data");
        let shown = |rated: Rated| {
            let Rated { movie, stars, timestamp } = rated;
            format!("{stars} for movie {} at {timestamp}", catalog.movie(movie).id)
        };
        if expected.len() != found.len() {
            let count = |count: usize| Some(format!("{count} ratings"));
            return self.differ(&key, "", count(expected.len()), count(found.len()));
        }
        let mut pairs = expected.iter().zip(found.iter()).enumerate();
        if let Some((index, (expected, found))) = pairs.find(|(_, (a, b))| a != b) {
            let (expected, found) = (Some(shown(expected)), Some(shown(found)));
            return self.differ(&key, &index.to_string(), expected, found);
        }
        let features =
            |history| UserWindow::of(history, catalog).features().texts(catalog.genres());
        for (name, (expected, found)) in
            USER_FIELDS.iter().zip(features(&expected).into_iter().zip(features(&found)))
        {
            if expected != found {
                self.differ(&key, name, Some(expected), Some(found));
            }
        }
    }

    fn differ(&mut self, key: &str, field: &str, expected: Option<String>, found: Option<String>) {
        self.differences += 1;
        if self.first.len() < KEPT {
            let (key, field) = (key.to_owned(), field.to_owned());
            self.first.push(Difference { key, field, expected, found });
        }
    }
}
