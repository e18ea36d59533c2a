//! What a version of a model consists of, and the ranker that it makes for a catalogue.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sparrow_engine::Embeddings;
use sparrow_model::{Catalog, MovieId, MovieIndex, OwnedHistory, Rated, Stars, UserId, UserState};
use sparrow_neural::ease::{EaseFile, Scorer};
use sparrow_neural::neural_cf::{self, MODEL_FILE, Model, ModelFile};
use sparrow_neural::{
    EmbeddingMetadata, EmbeddingTable, ITEM_FILE, METADATA_FILE, Similarity, USER_FILE,
    has_direction,
};
use sparrow_rank::{EaseRanker, EmbeddingRanker, NeuralCfRanker, Ranker, UNSCORED};

/// The largest model file, in bytes.
const LARGEST_MODEL: u64 = 16 << 30;

/// The largest file of vectors, which is read line by line.
const LARGEST_VECTORS: u64 = 64 << 30;

/// The largest file beside vectors.
const LARGEST_ABOUT: u64 = 1 << 20;

/// What is in the folder of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A model file.
    NeuralCf,
    /// The vectors of items and of users, which compare so, or else as is said beside them.
    Vectors(Option<Similarity>),
    /// A file of item–item weights.
    Ease,
}

/// A version that was read, apart from any catalogue.
pub(super) enum Content {
    NeuralCf(Box<ModelFile>),
    Vectors { items: EmbeddingTable, users: Arc<EmbeddingTable>, similarity: Similarity },
    Ease(EaseFile),
}

/// What a folder with vectors holds.
pub(crate) struct Vectors {
    pub(crate) items: EmbeddingTable,
    pub(crate) users: EmbeddingTable,
    /// What is said of them, if anything is.
    pub(crate) about: Option<EmbeddingMetadata>,
}

impl Format {
    /// What sort of model it is.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::NeuralCf => "neuralcf",
            Self::Vectors(_) => "embedding",
            Self::Ease => "ease",
        }
    }

    /// The files that a version consists of.
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::NeuralCf | Self::Ease => &[MODEL_FILE],
            Self::Vectors(_) => &[ITEM_FILE, USER_FILE, METADATA_FILE],
        }
    }

    /// Reads the files of a version.
    pub(super) fn read(self, folder: &Path) -> Result<Content> {
        match self {
            Self::NeuralCf => {
                let bytes = sparrow_files::read(&folder.join(MODEL_FILE), LARGEST_MODEL)
                    .with_context(|| format!("cannot read {MODEL_FILE}"))?;
                Ok(Content::NeuralCf(Box::new(ModelFile::read(&bytes, MODEL_FILE)?)))
            }
            Self::Vectors(similarity) => {
                let Vectors { items, mut users, about } = read_vectors(folder)?;
                let similarity = similarity.or(about.map(|about| about.similarity));
                let similarity = similarity.unwrap_or_default();
                ensure!(
                    items.dimension() == users.dimension(),
                    "user vectors have {} numbers, item vectors {}",
                    users.dimension(),
                    items.dimension()
                );
                if similarity == Similarity::Cosine {
                    users.normalise();
                }
                Ok(Content::Vectors { items, users: Arc::new(users), similarity })
            }
            Self::Ease => {
                let bytes = sparrow_files::read(&folder.join(MODEL_FILE), LARGEST_MODEL)
                    .with_context(|| format!("cannot read {MODEL_FILE}"))?;
                Ok(Content::Ease(EaseFile::read(&bytes, MODEL_FILE)?))
            }
        }
    }
}

/// The vectors of items and of users in a folder. Errors name the files, and leave the folder to the caller.
pub(crate) fn read_vectors(folder: &Path) -> Result<Vectors> {
    let about = match sparrow_files::read(&folder.join(METADATA_FILE), LARGEST_ABOUT) {
        Ok(bytes) => Some(EmbeddingMetadata::read(&bytes, METADATA_FILE)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {METADATA_FILE}")),
    };
    // The files are one set: those that do not match belong to different runs.
    let read = |name: &str| {
        let file = sparrow_files::open(&folder.join(name), LARGEST_VECTORS)
            .with_context(|| format!("cannot open {name}"))?;
        let sha256 = about.as_ref().and_then(|about: &EmbeddingMetadata| about.sha256(name));
        anyhow::Ok(EmbeddingTable::read_verified(file, name, sha256)?)
    };
    let (items, users) = (read(ITEM_FILE)?, read(USER_FILE)?);
    Ok(Vectors { items, users, about })
}

/// A model laid out for a catalogue.
pub(super) struct Layout {
    pub(super) ranker: Arc<dyn Ranker>,
    /// For a model that recall can go by: its weights, and whether only likes count.
    pub(super) weights: Option<(Arc<Scorer>, bool)>,
}

impl Content {
    /// The model laid out for a catalogue, which has shown that it scores all of it within `budget`.
    pub(super) fn lay_out(&self, catalog: &Catalog, budget: Duration) -> Result<Layout> {
        if let Self::NeuralCf(file) = self {
            let expected = expected_time(&file.model, catalog);
            ensure!(
                expected <= budget,
                "scoring {} movies would take about {expected:.1?}, and its trial may take {budget:?} \
                 (ranking.trial_timeout)",
                catalog.len()
            );
        }
        let mut for_recall = None;
        let ranker: Arc<dyn Ranker> = match self {
            Self::NeuralCf(file) => Arc::new(NeuralCfRanker::new(&file.model, catalog)),
            Self::Vectors { items, users, similarity } => {
                let items = Embeddings::of_items(items, *similarity, catalog)?.items;
                Arc::new(EmbeddingRanker::with_users(items, Arc::clone(users)))
            }
            Self::Ease(EaseFile { weights, metadata }) => {
                let position = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
                let scorer = Arc::new(Scorer::new(weights, catalog.len(), position));
                for_recall = Some((Arc::clone(&scorer), metadata.liked_only));
                Arc::new(EaseRanker::new(scorer, metadata.liked_only))
            }
        };
        let known = match self {
            Self::NeuralCf(file) => file.model.users().table.iter().next(),
            // For a user with a zero vector it has no scores.
            Self::Vectors { users, .. } => users.iter().find(|(_, vector)| has_direction(vector)),
            Self::Ease(_) => None,
        };
        let user = UserId(known.map_or(0, |(id, _)| id));
        // Of a user who likes a movie that the model knows, for a model that goes by histories.
        let liked = match self {
            Self::Ease(file) => {
                file.weights.ids().iter().find_map(|&id| catalog.index_of(MovieId(id)))
            }
            Self::NeuralCf(_) | Self::Vectors { .. } => None,
        };
        let rated = liked.map(|movie| Rated { movie, stars: Stars::MAX, timestamp: 0 });
        let history = OwnedHistory::new(user, rated);
        let user = UserState { history: Some(history.get()), ..UserState::unknown(user) };
        probe(&*ranker, &user, catalog, budget)?;
        Ok(Layout { ranker, weights: for_recall })
    }
}

/// For log lines.
impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeuralCf(file) => {
                let ModelFile { model, metadata } = &**file;
                let (movies, users) = (model.movies().table.len(), model.users().table.len());
                write!(f, "a {} model of {movies} movies and {users} users", model.architecture())?;
                match metadata.metrics.get("roc_auc") {
                    Some(roc_auc) => write!(f, ", ROC AUC {roc_auc:.3}"),
                    None => Ok(()),
                }
            }
            Self::Vectors { items, users, .. } => write!(
                f,
                "vectors of {} numbers for {} movies and {} users",
                items.dimension(),
                items.len(),
                users.len()
            ),
            Self::Ease(EaseFile { weights, .. }) => {
                write!(f, "{} weights between {} movies", weights.weight_count(), weights.len())
            }
        }
    }
}

/// So many movies are scored in one go on trial.
const CHUNK: usize = 256;

/// The time that laying out and scoring a catalogue takes, by a part of it. Both cost the same for each movie.
fn expected_time(model: &Model, catalog: &Catalog) -> Duration {
    let time = |movies: usize| {
        let ids: Vec<u32> = catalog.movies().iter().take(movies).map(|movie| movie.id.0).collect();
        let start = Instant::now();
        let scorer = neural_cf::Scorer::new(model, ids.into_iter());
        scorer.score_all(&scorer.query(0), &mut Vec::new());
        start.elapsed()
    };
    if catalog.len() <= CHUNK {
        return Duration::ZERO;
    }
    // What does not depend on the number of movies is not multiplied. The least of some measurements is the
    // least disturbed by other work.
    let expected = || {
        let movies = time(CHUNK).saturating_sub(time(1));
        movies.mul_f64(catalog.len() as f64 / CHUNK as f64)
    };
    (0..3).map(|_| expected()).min().unwrap_or_default()
}

/// Lets a ranker that waits for nothing score the whole catalogue for a user within `budget`, and looks at the scores.
fn probe(
    ranker: &dyn Ranker,
    user: &UserState<'_>,
    catalog: &Catalog,
    budget: Duration,
) -> Result<()> {
    let movies: Vec<MovieIndex> = (0..catalog.len() as u32).map(MovieIndex).collect();
    let start = Instant::now();
    let mut scores = Vec::new();
    let (mut done, mut any) = (0, false);
    for chunk in movies.chunks(CHUNK) {
        {
            let mut score = pin!(ranker.score(user, chunk, &mut scores));
            match score.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop())) {
                task::Poll::Ready(outcome) => outcome.context("it does not score")?,
                task::Poll::Pending => bail!("it does not score at once"),
            }
        }
        ensure!(scores.len() == chunk.len(), "{} scores for {} movies", scores.len(), chunk.len());
        let good = |score: &f32| score.is_finite() || *score == UNSCORED;
        ensure!(scores.iter().all(good), "a score is not finite");
        any |= scores.iter().any(|score| *score != UNSCORED);
        done += chunk.len();
        let took = start.elapsed();
        ensure!(
            took <= budget,
            "scoring {done} of {} movies took {took:.1?}, and its trial may take {budget:?} \
             (ranking.trial_timeout)",
            movies.len()
        );
    }
    ensure!(movies.is_empty() || any, "it scores no movie");
    Ok(())
}
