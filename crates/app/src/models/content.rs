//! What a version of a model consists of, and the ranker that it makes for a catalogue.

use std::fmt;
use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task;

use anyhow::{Context, Result, bail, ensure};
use sparrow_engine::Embeddings;
use sparrow_model::{Catalog, MovieId, MovieIndex, OwnedHistory, Rated, Stars, UserId, UserState};
use sparrow_neural::ease::{EaseFile, Scorer};
use sparrow_neural::neural_cf::{MODEL_FILE, ModelFile};
use sparrow_neural::{
    ABOUT_FILE, About, EmbeddingTable, ITEM_FILE, Similarity, USER_FILE, has_direction,
};
use sparrow_rank::{EaseRanker, EmbeddingRanker, NeuralCfRanker, Ranker, UNSCORED};

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
    pub(crate) about: Option<About>,
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
            Self::Vectors(_) => &[ITEM_FILE, USER_FILE, ABOUT_FILE],
        }
    }

    /// Reads the files of a version.
    pub(super) fn read(self, folder: &Path) -> Result<Content> {
        match self {
            Self::NeuralCf => {
                let bytes = fs::read(folder.join(MODEL_FILE))
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
                let bytes = fs::read(folder.join(MODEL_FILE))
                    .with_context(|| format!("cannot read {MODEL_FILE}"))?;
                Ok(Content::Ease(EaseFile::read(&bytes, MODEL_FILE)?))
            }
        }
    }
}

/// The vectors of items and of users in a folder. Errors name the files, and leave the folder to the caller.
pub(crate) fn read_vectors(folder: &Path) -> Result<Vectors> {
    let about = match fs::read(folder.join(ABOUT_FILE)) {
        Ok(bytes) => Some(About::read(&bytes, ABOUT_FILE)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {ABOUT_FILE}")),
    };
    // The files are one set: those that do not match belong to different runs.
    let read = |name: &str| {
        let file = File::open(folder.join(name)).with_context(|| format!("cannot open {name}"))?;
        let sha256 = about.as_ref().and_then(|about: &About| about.sha256(name));
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
    /// The model laid out for a catalogue, which has shown that it scores.
    pub(super) fn lay_out(&self, catalog: &Catalog) -> Result<Layout> {
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
        probe(&*ranker, &user, catalog)?;
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

/// Lets a ranker that waits for nothing score the whole catalogue for a user, and looks at the scores.
fn probe(ranker: &dyn Ranker, user: &UserState<'_>, catalog: &Catalog) -> Result<()> {
    let movies: Vec<MovieIndex> = (0..catalog.len() as u32).map(MovieIndex).collect();
    let mut scores = Vec::new();
    {
        let mut score = pin!(ranker.score(user, &movies, &mut scores));
        match score.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop())) {
            task::Poll::Ready(outcome) => outcome.context("it does not score")?,
            task::Poll::Pending => bail!("it does not score at once"),
        }
    }
    ensure!(scores.len() == movies.len(), "{} scores for {} movies", scores.len(), movies.len());
    let good = |score: &f32| score.is_finite() || *score == UNSCORED;
    ensure!(scores.iter().all(good), "a score is not finite");
    ensure!(
        movies.is_empty() || scores.iter().any(|score| *score != UNSCORED),
        "it scores no movie"
    );
    Ok(())
}
