//! What a version of a model consists of, and the ranker that it makes for a catalogue.

use std::fmt;
use std::fs::{self, File};
use std::future::Future;
use std::io::BufReader;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task;

use anyhow::{Context, Result, bail, ensure};
use sparrow_engine::Embeddings;
use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_neural::neural_cf::{MODEL_FILE, ModelFile};
use sparrow_neural::{EmbeddingTable, ITEM_FILE, Similarity, USER_FILE};
use sparrow_rank::{EmbeddingRanker, NeuralCfRanker, Ranker, UNSCORED};

/// What is in the folder of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A model file.
    NeuralCf,
    /// The vectors of items and of users, which compare so.
    Vectors(Similarity),
}

/// A version that was read, apart from any catalogue.
pub(super) enum Content {
    NeuralCf(Box<ModelFile>),
    Vectors { items: EmbeddingTable, users: Arc<EmbeddingTable>, similarity: Similarity },
}

impl Format {
    /// What sort of model it is.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::NeuralCf => "neuralcf",
            Self::Vectors(_) => "embedding",
        }
    }

    /// The files that a version consists of.
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::NeuralCf => &[MODEL_FILE],
            Self::Vectors(_) => &[ITEM_FILE, USER_FILE],
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
                let (items, mut users) = read_vectors(folder)?;
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
        }
    }
}

/// The vectors of items and of users in a folder. Errors name the files, and leave the folder to the caller.
pub(crate) fn read_vectors(folder: &Path) -> Result<(EmbeddingTable, EmbeddingTable)> {
    let read = |name: &str| {
        let file = File::open(folder.join(name)).with_context(|| format!("cannot open {name}"))?;
        anyhow::Ok(EmbeddingTable::read(BufReader::with_capacity(1 << 18, file), name)?)
    };
    Ok((read(ITEM_FILE)?, read(USER_FILE)?))
}

impl Content {
    /// The model laid out for a catalogue, which has shown that it scores.
    pub(super) fn ranker(&self, catalog: &Catalog) -> Result<Arc<dyn Ranker>> {
        let ranker: Arc<dyn Ranker> = match self {
            Self::NeuralCf(file) => Arc::new(NeuralCfRanker::new(&file.model, catalog)),
            Self::Vectors { items, users, similarity } => {
                let items = Embeddings::of_items(items, *similarity, catalog)?.items;
                Arc::new(EmbeddingRanker::with_users(items, Arc::clone(users)))
            }
        };
        let known = match self {
            Self::NeuralCf(file) => file.model.users().table.iter().next(),
            Self::Vectors { users, .. } => users.iter().next(),
        };
        probe(&*ranker, UserId(known.map_or(0, |(id, _)| id)), catalog)?;
        Ok(ranker)
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
        }
    }
}

/// Lets a ranker that waits for nothing score the whole catalogue for a user, and looks at the scores.
fn probe(ranker: &dyn Ranker, user: UserId, catalog: &Catalog) -> Result<()> {
    let movies: Vec<MovieIndex> = (0..catalog.len() as u32).map(MovieIndex).collect();
    let mut scores = Vec::new();
    let state = UserState::unknown(user);
    {
        let mut score = pin!(ranker.score(&state, &movies, &mut scores));
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
