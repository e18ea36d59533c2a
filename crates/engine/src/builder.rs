use std::fmt;
use std::sync::Arc;

use sparrow_model::{Catalog, GenreSet, MovieIndex, MovieSet, Sort};
use sparrow_rank::{EmbeddingRanker, PopularityRanker};
use sparrow_recall::{Inputs, Recall, STRATEGIES};

use crate::buffers::BufferPool;
use crate::engine::RankingModel;
use crate::favourites::FavouriteGenres;
use crate::mix::{Mix, Scope};
use crate::model::{Model, find};
use crate::{Embeddings, Engine, Error, RecallMix};

/// The name of the model that ranks requests without a model, if the builder does not specify one.
pub const DEFAULT_MODEL: &str = "emb";

/// Builds an [`Engine`]; see [`Engine::builder`].
#[must_use]
pub struct Builder {
    catalog: Arc<Catalog>,
    embeddings: Option<Embeddings>,
    /// The default mix.
    recall: RecallMix,
    mixes: Vec<(Arc<str>, RecallMix)>,
    models: Vec<Model>,
    default_model: Arc<str>,
    default_reason: Option<Arc<str>>,
}

impl Builder {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        Self {
            catalog,
            embeddings: None,
            recall: RecallMix::default(),
            mixes: Vec::new(),
            models: Vec::new(),
            default_model: DEFAULT_MODEL.into(),
            default_reason: None,
        }
    }

    /// Adds the standard strategies (see [`STRATEGIES`]) and the models `emb`, with the fallback `popularity`, and
    /// `popularity`. Without embeddings, `emb` is unavailable. The scope of the strategies is [`Scope::Fallback`].
    pub fn standard(mut self, embeddings: Option<Embeddings>) -> Self {
        let inputs = Inputs::new(embeddings.as_ref().map(|embeddings| &embeddings.items));
        for kind in STRATEGIES.iter().filter(|kind| kind.standard) {
            // Defaults are valid, so there is no error.
            if let Ok(Some(recall)) = kind.build(&inputs, &[]) {
                self = self.strategy_for(Scope::Fallback, recall, kind.share);
            }
        }
        let emb = match &embeddings {
            Some(embeddings) => {
                Model::new("emb", Arc::new(EmbeddingRanker::new(Arc::clone(&embeddings.items))))
            }
            None => Model::unavailable("emb", "embedding", "the engine has no embeddings"),
        };
        let popularity = PopularityRanker::new(Arc::clone(&self.catalog));
        self = self.model(emb.fallback("popularity"));
        self = self.model(Model::new("popularity", Arc::new(popularity)));
        self.embeddings = embeddings;
        self
    }

    /// Sets the users' vectors, and the movies' vectors for similar movies.
    pub fn embeddings(mut self, embeddings: Embeddings) -> Self {
        self.embeddings = Some(embeddings);
        self
    }

    /// Adds a recall strategy to the default mix; see [`RecallMix::strategy`].
    pub fn strategy(self, recall: impl Recall + 'static, share: usize) -> Self {
        self.strategy_for(Scope::Always, recall, share)
    }

    /// The same for the requests of a scope.
    pub fn strategy_for(
        mut self,
        scope: Scope,
        recall: impl Recall + 'static,
        share: usize,
    ) -> Self {
        self.recall = self.recall.strategy_for(scope, recall, share);
        self
    }

    /// Sets the default mix, in place of the strategies and the number of candidates so far.
    pub fn recall(mut self, mix: RecallMix) -> Self {
        self.recall = mix;
        self
    }

    /// Adds a recall mix that requests select by name.
    pub fn recall_mix(mut self, name: impl Into<Arc<str>>, mix: RecallMix) -> Self {
        self.mixes.push((name.into(), mix));
        self
    }

    /// Adds a ranking model. One that can always rank, such as popularity, should be among the fallbacks.
    pub fn model(mut self, model: Model) -> Self {
        self.models.push(model);
        self
    }

    /// Sets the model that ranks requests without a model; `emb` by default.
    pub fn default_model(mut self, name: impl Into<Arc<str>>) -> Self {
        self.default_model = name.into();
        self
    }

    /// Sets why the default model was chosen, for descriptions of the engine.
    pub fn default_reason(mut self, reason: impl Into<Arc<str>>) -> Self {
        self.default_reason = Some(reason.into());
        self
    }

    /// Sets the number of candidates of the default mix; see [`RecallMix::candidates`].
    pub fn candidates(mut self, candidates: usize) -> Self {
        self.recall = self.recall.candidates(candidates);
        self
    }

    /// Builds the engine, and checks that names are distinct and exist, and that fallbacks have no cycle.
    pub fn build(self) -> Result<Engine, Error> {
        let Self { catalog, embeddings, recall, mixes: named, models, default_model, .. } = self;
        let default_reason = self.default_reason;
        check_names(&models)?;
        let default_model = find(&models, &default_model)?;
        let fallbacks = fallbacks(&models)?;
        let inputs = inputs(&models)?;
        let mut mixes: Vec<Mix> = Vec::with_capacity(1 + named.len());
        for (name, mix) in std::iter::once((Arc::from(""), recall)).chain(named) {
            if mixes.iter().any(|known| known.name == name) {
                return Err(Error::DuplicateRecallMix(name.to_string()));
            }
            mixes.push(mix.build(name, &models)?);
        }

        let genre_members = catalog
            .genres()
            .iter()
            .map(|genre| {
                let mut members = MovieSet::new(catalog.len());
                members.extend(catalog.ordered(Sort::Rating, Some(genre)).iter().copied());
                members
            })
            .collect();
        let genre_sets: Vec<GenreSet> =
            catalog.movies().iter().map(|movie| movie.genre_set).collect();
        let genre_shares = genre_shares(&catalog);
        let favourite_genres = FavouriteGenres::new(&catalog, &genre_sets);
        let pool = BufferPool::new(catalog.len(), models.len());
        let model_names = models.iter().map(|model| Arc::clone(&model.name)).collect();
        let models = models
            .into_iter()
            .zip(fallbacks.into_iter().zip(inputs))
            .map(|(model, (fallback, inputs))| RankingModel { model, fallback, inputs })
            .collect();
        Ok(Engine {
            catalog,
            embeddings,
            mixes,
            models,
            model_names,
            default_model,
            default_reason,
            genre_members,
            genre_sets,
            genre_shares,
            favourite_genres,
            pool,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("movies", &self.catalog.len())
            .field("models", &self.models)
            .finish_non_exhaustive()
    }
}

/// The share of each genre of all ratings, with 1/k for each of the k genres of a movie.
fn genre_shares(catalog: &Catalog) -> Vec<f32> {
    let mut shares = vec![0.0; catalog.genres().len()];
    for (movie, index) in catalog.movies().iter().zip((0..).map(MovieIndex)) {
        let share = f64::from(catalog.stats(index).count) / f64::from(movie.genre_set.len());
        for genre in movie.genre_set.iter() {
            shares[genre.index()] += share;
        }
    }
    let total: f64 = shares.iter().sum();
    shares.iter().map(|share| if total > 0.0 { (share / total) as f32 } else { 0.0 }).collect()
}

fn check_names(models: &[Model]) -> Result<(), Error> {
    let mut names: Vec<&str> = Vec::new();
    for model in models {
        for name in std::iter::once(&model.name).chain(&model.aliases) {
            if names.contains(&&**name) {
                return Err(Error::DuplicateModel(name.to_string()));
            }
            names.push(name);
        }
    }
    Ok(())
}

/// The index of each model's fallback.
fn fallbacks(models: &[Model]) -> Result<Vec<Option<usize>>, Error> {
    let index = |model: &Model| model.fallback.as_ref().map(|name| find(models, name)).transpose();
    let fallbacks: Vec<Option<usize>> = models.iter().map(index).collect::<Result<_, _>>()?;
    for (start, model) in models.iter().enumerate() {
        // A chain without a cycle has at most as many steps as there are models.
        let steps = std::iter::successors(Some(start), |&index| fallbacks[index]);
        if steps.take(models.len() + 1).count() > models.len() {
            return Err(Error::CyclicFallback(model.name.to_string()));
        }
    }
    Ok(fallbacks)
}

/// The indices of the models that each model combines.
fn inputs(models: &[Model]) -> Result<Vec<Vec<Option<usize>>>, Error> {
    let indices = |model: &Model| {
        let inputs = model.inputs.iter().map(|name| {
            let Ok(input) = find(models, name) else { return Ok(None) };
            if models[input].inputs.is_empty() {
                return Ok(Some(input));
            }
            let (model, input) = (model.name.to_string(), name.to_string());
            Err(Error::NestedInput { model, input })
        });
        inputs.collect::<Result<Vec<_>, _>>()
    };
    models.iter().map(indices).collect()
}
