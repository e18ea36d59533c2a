use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sparrow_metrics::{BUCKETS, DurationCounts, bucket_of};
use sparrow_model::{Catalog, GenreSet, MovieSet};
use sparrow_rank::{Counts, Status};

use crate::buffers::BufferPool;
use crate::favourites::FavouriteGenres;
use crate::mix::{Mix, Strategy};
use crate::model::{Model, find};
use crate::{Builder, Embeddings, Error};

/// Answers "recommended for you" and "similar movies" over one catalogue.
///
/// An engine is immutable; put it behind an `Arc` and share it. For new data, build a new engine.
pub struct Engine {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) embeddings: Option<Embeddings>,
    /// The default mix, and those with names.
    pub(crate) mixes: Vec<Mix>,
    pub(crate) models: Vec<RankingModel>,
    pub(crate) model_names: Arc<[Arc<str>]>,
    pub(crate) default_model: usize,
    pub(crate) default_reason: Option<Arc<str>>,
    /// The movies of each genre.
    pub(crate) genre_members: Vec<MovieSet>,
    /// The genre sets of all movies in one array, for scans.
    pub(crate) genre_sets: Vec<GenreSet>,
    /// The share of each genre of all ratings, with 1/k for each of the k genres of a movie.
    pub(crate) genre_shares: Vec<f32>,
    pub(crate) favourite_genres: FavouriteGenres,
    pub(crate) pool: BufferPool,
}

/// What a recall strategy did since the engine was built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecallCounts {
    /// The name of the strategy.
    pub strategy: Arc<str>,
    /// Requests that it was asked for.
    pub calls: u64,
    /// Those in which it failed.
    pub failures: u64,
    /// The candidates that it returned, including those that others returned, too.
    pub candidates: u64,
}

/// A ranking model of an engine, with the indices of the models that it refers to.
pub(crate) struct RankingModel {
    pub(crate) model: Model,
    pub(crate) fallback: Option<usize>,
    /// `None` for names that no model has.
    pub(crate) inputs: Vec<Option<usize>>,
}

/// A description of a model and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelInfo {
    /// The name in requests.
    pub name: Arc<str>,
    /// The kind, such as `embedding`.
    pub kind: &'static str,
    /// The state.
    pub status: Status,
    /// The dimension of its vectors, for models that have vectors.
    pub dimension: Option<usize>,
    /// The name of its fallback.
    pub fallback: Option<Arc<str>>,
    /// The number of its answers, by outcome.
    pub counts: Counts,
}

impl Engine {
    /// A builder of an engine over a catalogue, without strategies and models. Popular movies are the candidates that
    /// strategies leave.
    pub fn builder(catalog: Arc<Catalog>) -> Builder {
        Builder::new(catalog)
    }

    /// The catalogue of the engine.
    pub const fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The vectors, if the engine has any.
    pub const fn embeddings(&self) -> Option<&Embeddings> {
        self.embeddings.as_ref()
    }

    /// Whether a ranking model has this name or alias.
    pub fn has_model(&self, name: &str) -> bool {
        self.find_model(name).is_ok()
    }

    /// The ranking models, in the order in which they were added.
    pub fn models(&self) -> Vec<ModelInfo> {
        self.models
            .iter()
            .map(|RankingModel { model, fallback, .. }| ModelInfo {
                name: Arc::clone(&model.name),
                kind: model.ranker.kind(),
                status: model.ranker.status(),
                dimension: model.ranker.dimension(),
                fallback: fallback.map(|index| Arc::clone(&self.model_names[index])),
                counts: model.counters.counts(),
            })
            .collect()
    }

    /// The index in [`models`](Self::models) of a model by name or alias (`None`: the default), and a revision that grows
    /// whenever a version of the model, of its inputs or of its fallbacks is replaced. `None` if there is no such model.
    pub fn revision(&self, model: Option<&str>) -> Option<(usize, u64)> {
        let index = model.map_or(Ok(self.default_model), |name| self.find_model(name)).ok()?;
        let chain = std::iter::successors(Some(index), |&index| self.models[index].fallback);
        let revision = chain
            .flat_map(|index| self.models[index].inputs.iter().flatten().copied().chain([index]))
            .map(|index| self.models[index].model.ranker.revision())
            .sum();
        Some((index, revision))
    }

    /// Why the default model was chosen, if the builder knew it.
    pub fn default_reason(&self) -> Option<&str> {
        self.default_reason.as_deref()
    }

    /// The name of the model that ranks requests without a model.
    pub fn default_model(&self) -> &str {
        &self.model_names[self.default_model]
    }

    /// What the recall strategies did since the engine was built: one entry per name, with the sums over all mixes. Those of
    /// the default mix come first, in the order of [`strategies`](Self::strategies).
    pub fn recall_counts(&self) -> Vec<RecallCounts> {
        let mut all: Vec<RecallCounts> = Vec::new();
        for mix in &self.mixes {
            for (name, Strategy { counters, .. }) in mix.strategy_names.iter().zip(&mix.strategies)
            {
                let index = all.iter().position(|known| known.strategy == *name);
                let index = index.unwrap_or_else(|| {
                    let strategy = Arc::clone(name);
                    all.push(RecallCounts { strategy, calls: 0, failures: 0, candidates: 0 });
                    all.len() - 1
                });
                let counts = &mut all[index];
                counts.calls += counters.calls.get();
                counts.failures += counters.failures.get();
                counts.candidates += counters.candidates.get();
            }
        }
        all
    }

    /// The latency of the answers of each ranking model, in the order of [`models`](Self::models), in the buckets of
    /// `sparrow_metrics`.
    pub fn model_durations(&self) -> Vec<DurationCounts> {
        let bucketed = |model: &RankingModel| {
            let (mut buckets, mut sum) = ([0; BUCKETS], Duration::ZERO);
            model.model.counters.for_each_latency(|nanos, count| {
                buckets[bucket_of(nanos)] += count;
                sum += Duration::from_nanos(nanos)
                    .saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
            });
            DurationCounts { buckets, sum }
        };
        self.models.iter().map(bucketed).collect()
    }

    /// The names of the recall strategies of the default mix, in the order in which answers list them.
    pub fn strategies(&self) -> &[Arc<str>] {
        &self.mixes[0].strategy_names
    }

    /// The names of the recall mixes besides the default one, in the order in which they were added.
    pub fn recall_mixes(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.mixes[1..].iter().map(|mix| &mix.name)
    }

    /// The position of a recall mix in [`recall_mixes`](Self::recall_mixes), counted from 1; 0 for the default mix (`None`).
    pub fn find_recall_mix(&self, name: Option<&str>) -> Result<usize, Error> {
        let Some(name) = name else { return Ok(0) };
        let found = self.recall_mixes().position(|known| **known == *name);
        found.map(|index| index + 1).ok_or_else(|| Error::UnknownRecallMix {
            name: name.to_owned(),
            known: self.recall_mixes().cloned().collect(),
        })
    }

    pub(crate) fn find_model(&self, name: &str) -> Result<usize, Error> {
        find(self.models.iter().map(|model| &model.model), name)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("movies", &self.catalog.len())
            .field("strategies", &self.strategies())
            .field("models", &self.model_names)
            .finish_non_exhaustive()
    }
}
