use std::fmt;
use std::sync::Arc;

use sparrow_model::{Catalog, GenreSet, MovieSet, Sort};
use sparrow_neural::{EmbeddingTable, ItemVectors, Similarity};
use sparrow_rank::{Counters, Counts, EmbeddingRanker, PopularityRanker, Ranker, Status};
use sparrow_recall::{ByEmbedding, ByGenre, ByOrder, Recall};

use crate::Error;
use crate::favourites::FavouriteGenres;
use crate::scratch::Pool;

/// Answers "recommended for you" and "similar movies" over one catalogue.
///
/// An engine never changes; put it behind an `Arc` and share it. New data means a new engine.
pub struct Engine {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) embeddings: Option<Embeddings>,
    pub(crate) strategies: Vec<Strategy>,
    pub(crate) strategy_names: Vec<Arc<str>>,
    /// Place in `strategy_names` of the strategy that fills up what the others leave.
    pub(crate) fill: usize,
    pub(crate) models: Vec<Model>,
    pub(crate) default_model: usize,
    /// For each model the place of the one that steps in for it.
    pub(crate) fallbacks: Vec<Option<usize>>,
    pub(crate) candidates: usize,
    /// Movies of each genre.
    pub(crate) genre_members: Vec<MovieSet>,
    /// The genre sets of all movies side by side, for scans.
    pub(crate) genre_sets: Vec<GenreSet>,
    pub(crate) favourite_genres: FavouriteGenres,
    pub(crate) pool: Pool,
}

/// Vectors of users and of a catalogue's movies, of one length.
#[derive(Debug, Clone)]
pub struct Embeddings {
    /// The movies' vectors; their items are the catalogue's movie indexes.
    pub items: Arc<ItemVectors>,
    /// The users' vectors by user id; of length 1 where the items are compared by cosine.
    pub users: Arc<EmbeddingTable>,
}

impl Embeddings {
    /// Lays out the vectors for a catalogue. Vectors of other movies are left out. Zero vectors count
    /// as missing, and a log line reports how many there are.
    pub fn new(
        items: &EmbeddingTable,
        mut users: EmbeddingTable,
        similarity: Similarity,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        if items.dimension() != users.dimension() {
            return Err(Error::Dimensions { users: users.dimension(), items: items.dimension() });
        }
        let mut embeddings = Self::of_items(items, similarity, catalog)?;
        warn_of_zeros("users", users.zero_count(), users.len());
        if similarity == Similarity::Cosine {
            users.normalise();
        }
        embeddings.users = Arc::new(users);
        Ok(embeddings)
    }

    /// The same without users: their vectors come with the requests, through
    /// [`prepare`](Self::prepare).
    pub fn of_items(
        items: &EmbeddingTable,
        similarity: Similarity,
        catalog: &Catalog,
    ) -> Result<Self, Error> {
        let position = |id| catalog.index_of(sparrow_model::MovieId(id)).map(|index| index.0);
        let vectors = ItemVectors::new(items, catalog.len(), similarity, position);
        let known = items.iter().filter(|(id, _)| position(*id).is_some()).count();
        if vectors.is_empty() {
            return Err(match known {
                0 => Error::ForeignEmbeddings(items.len()),
                _ => Error::ZeroEmbeddings(known),
            });
        }
        warn_of_zeros("movies", known - vectors.len(), known);
        Ok(Self { items: Arc::new(vectors), users: Arc::default() })
    }

    /// Makes a user's vector one that compares with the items'. Says whether it can be: of the same
    /// length, of finite numbers of a sensible size.
    pub fn prepare(&self, vector: &mut [f32]) -> bool {
        let fits = sparrow_neural::check_vector(0, vector, Some(self.items.dimension())).is_ok();
        if fits && self.items.similarity() == Similarity::Cosine {
            sparrow_neural::normalise(vector);
        }
        fits
    }
}

fn warn_of_zeros(whose: &str, zeros: usize, all: usize) {
    if zeros > 0 {
        tracing::warn!("{zeros} of {all} vectors of {whose} are zero and count as missing");
    }
}

/// A recall strategy and how many candidates it is asked for.
pub struct Strategy {
    /// The strategy.
    pub recall: Box<dyn Recall>,
    /// Its share of [`Parts::candidates`]; larger requests ask for proportionally more.
    pub share: usize,
}

/// A ranking model as requests know it.
pub struct Model {
    /// The name in requests.
    pub name: Arc<str>,
    /// Other names for it.
    pub aliases: Vec<Arc<str>>,
    /// What sort of model it is, for a model that is not there.
    pub kind: &'static str,
    /// The model, or why it is not there.
    pub ranker: Result<Arc<dyn Ranker>, String>,
    /// The name of the model that steps in when this one has no scores, and that orders the movies
    /// that it does not know; without one, the number of ratings orders.
    pub fallback: Option<Arc<str>>,
    /// What the model has answered. Engines that are built one after the other may share them.
    pub counters: Arc<Counters>,
}

impl Model {
    /// A model without aliases, for which nothing steps in.
    pub fn new(name: &str, kind: &'static str, ranker: Result<Arc<dyn Ranker>, String>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            kind,
            ranker,
            fallback: None,
            counters: Arc::default(),
        }
    }
}

/// What there is to say about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// The name in requests.
    pub name: Arc<str>,
    /// What sort of model it is, such as `embedding`.
    pub kind: &'static str,
    /// How it is doing.
    pub status: Status,
    /// The length of its vectors, for models that have them.
    pub dimension: Option<usize>,
    /// The model that steps in for it.
    pub fallback: Option<Arc<str>>,
    /// What it has answered.
    pub counts: Counts,
}

/// Sizes of the standard engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Candidates to rank for a request: at least its size.
    pub candidates: usize,
    /// Candidates asked of recall by embedding.
    pub by_embedding: usize,
    /// Candidates asked of recall by genre.
    pub by_genre: usize,
    /// Candidates asked of recall by rating.
    pub by_rating: usize,
    /// Candidates asked of recall by recency.
    pub by_recency: usize,
    /// The model for requests that name none.
    pub default_model: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            candidates: 800,
            by_embedding: 200,
            by_genre: 200,
            by_rating: 150,
            by_recency: 100,
            default_model: "emb".to_owned(),
        }
    }
}

/// The parts that an engine is put together from.
pub struct Parts {
    /// Recall strategies, at most 15, in the order in which answers list them. What they leave of
    /// the candidates is filled up with the most popular movies.
    pub strategies: Vec<Strategy>,
    /// Ranking models. One that is always able to answer, such as popularity, should be among them.
    pub models: Vec<Model>,
    /// The name of the model for requests that name none.
    pub default_model: String,
    /// Candidates to rank for a request: at least its size.
    pub candidates: usize,
    /// The users' vectors, and the movies' for "similar movies".
    pub embeddings: Option<Embeddings>,
}

impl Parts {
    /// The parts of the standard engine: recall by embedding, genre, rating and recency; the models
    /// `emb` and `popularity`, and `neuralcf` under both spellings of its name. `embeddings` may be
    /// missing, with the reason in words: the model `emb` is then unavailable. So is `neuralcf` until
    /// [`with_model`](Self::with_model) brings one. For `neuralcf` steps in `emb`, for that `popularity`.
    pub fn standard(
        catalog: &Arc<Catalog>,
        embeddings: Result<Embeddings, String>,
        options: &Options,
    ) -> Self {
        let mut strategies = Vec::new();
        let mut add = |recall: Box<dyn Recall>, share| strategies.push(Strategy { recall, share });
        if let Ok(embeddings) = &embeddings {
            add(Box::new(ByEmbedding::new(Arc::clone(&embeddings.items))), options.by_embedding);
        }
        add(Box::new(ByGenre), options.by_genre);
        add(Box::new(ByOrder(Sort::Rating)), options.by_rating);
        add(Box::new(ByOrder(Sort::ReleaseYear)), options.by_recency);

        let emb: Result<Arc<dyn Ranker>, String> = match &embeddings {
            Ok(embeddings) => Ok(Arc::new(EmbeddingRanker::new(Arc::clone(&embeddings.items)))),
            Err(why) => Err(why.clone()),
        };
        let popularity: Arc<dyn Ranker> = Arc::new(PopularityRanker::new(Arc::clone(catalog)));
        let mut emb = Model::new("emb", "embedding", emb);
        emb.fallback = Some("popularity".into());
        let popularity = Model::new("popularity", "popularity", Ok(popularity));
        let no_neuralcf = Err("no NeuralCF model is loaded".to_owned());
        let mut neuralcf = Model::new("neuralcf", "neuralcf", no_neuralcf);
        neuralcf.fallback = Some("emb".into());
        // The original system spells it so in its requests.
        neuralcf.aliases = vec!["nerualcf".into()];
        Self {
            strategies,
            models: vec![emb, popularity, neuralcf],
            default_model: options.default_model.clone(),
            candidates: options.candidates,
            embeddings: embeddings.ok(),
        }
    }

    /// The same with another model. It takes the place of one with its name, whose aliases stay.
    #[must_use]
    pub fn with_model(mut self, mut model: Model) -> Self {
        match self.models.iter_mut().find(|known| known.name == model.name) {
            Some(known) => {
                model.aliases.append(&mut known.aliases);
                *known = model;
            }
            None => self.models.push(model),
        }
        self
    }
}

impl Engine {
    /// Puts an engine together. Names must be distinct, those of the default model and of the
    /// fallbacks must belong to models, and fallbacks must not go in a circle.
    pub fn new(catalog: Arc<Catalog>, parts: Parts) -> Result<Self, Error> {
        let Parts { strategies, models, default_model, candidates, embeddings } = parts;
        let mut names: Vec<&str> = Vec::new();
        for model in &models {
            for name in std::iter::once(&model.name).chain(&model.aliases) {
                if names.contains(&&**name) {
                    return Err(Error::Parts(format!("two models are named {name:?}")));
                }
                names.push(name);
            }
        }
        let default_model = find(&models, &default_model)?;
        let fallbacks = fallbacks(&models)?;

        let mut strategy_names: Vec<Arc<str>> =
            strategies.iter().map(|strategy| strategy.recall.name().into()).collect();
        let fill_name = ByOrder(Sort::Popularity).name().to_owned();
        let fill =
            strategy_names.iter().position(|name| **name == *fill_name).unwrap_or_else(|| {
                strategy_names.push(fill_name.into());
                strategy_names.len() - 1
            });
        if strategy_names.len() > 16 {
            return Err(Error::Parts("more than 15 recall strategies".to_owned()));
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
        let favourite_genres = FavouriteGenres::new(&catalog, &genre_sets);
        let pool = Pool::new(catalog.len());
        Ok(Self {
            catalog,
            embeddings,
            strategies,
            strategy_names,
            fill,
            models,
            default_model,
            fallbacks,
            candidates,
            genre_members,
            genre_sets,
            favourite_genres,
            pool,
        })
    }

    /// The catalogue that the engine answers about.
    pub const fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The vectors, where there are any.
    pub const fn embeddings(&self) -> Option<&Embeddings> {
        self.embeddings.as_ref()
    }

    /// Whether a ranking model has this name or alias.
    pub fn has_model(&self, name: &str) -> bool {
        find(&self.models, name).is_ok()
    }

    /// The ranking models, in the order in which they were given.
    pub fn models(&self) -> Vec<ModelInfo> {
        self.models
            .iter()
            .zip(&self.fallbacks)
            .map(|(model, fallback)| ModelInfo {
                name: Arc::clone(&model.name),
                kind: model.ranker.as_ref().map_or(model.kind, |ranker| ranker.kind()),
                status: match &model.ranker {
                    Ok(ranker) => ranker.status(),
                    Err(why) => Status::unavailable(why.as_str()),
                },
                dimension: model.ranker.as_ref().ok().and_then(|ranker| ranker.dimension()),
                fallback: fallback.map(|place| Arc::clone(&self.models[place].name)),
                counts: model.counters.counts(),
            })
            .collect()
    }

    /// The place in [`models`](Self::models) of a model by name or alias, `None` for the default one, and the
    /// revision of all that may score in its place: of the model and its fallbacks together. It grows whenever one
    /// of them is exchanged.
    pub fn revision(&self, model: Option<&str>) -> Option<(usize, u64)> {
        let place = match model {
            None => self.default_model,
            Some(name) => find(&self.models, name).ok()?,
        };
        let chain = std::iter::successors(Some(place), |&at| self.fallbacks[at]);
        let rankers = chain.filter_map(|at| self.models[at].ranker.as_ref().ok());
        Some((place, rankers.map(|ranker| ranker.revision()).sum()))
    }

    /// The name of the model at a place of [`models`](Self::models).
    pub fn model_name(&self, place: usize) -> &str {
        self.models.get(place).map_or("", |model| &model.name)
    }

    /// The name of the model for requests that name none.
    pub fn default_model(&self) -> &str {
        &self.models[self.default_model].name
    }

    /// The names of the recall strategies; a place here is a bit of a
    /// [`StrategySet`](crate::StrategySet).
    pub fn strategies(&self) -> &[Arc<str>] {
        &self.strategy_names
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("movies", &self.catalog.len())
            .field("strategies", &self.strategy_names)
            .field("models", &self.models.iter().map(|model| &*model.name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// For each model the place of the one that steps in for it.
fn fallbacks(models: &[Model]) -> Result<Vec<Option<usize>>, Error> {
    let place = |model: &Model| model.fallback.as_ref().map(|name| find(models, name)).transpose();
    let fallbacks: Vec<Option<usize>> = models.iter().map(place).collect::<Result<_, _>>()?;
    for (start, model) in models.iter().enumerate() {
        // A chain without a circle is shorter than the list.
        let steps = std::iter::successors(Some(start), |&at| fallbacks[at]);
        if steps.take(models.len() + 1).count() > models.len() {
            let what = format!("the fallbacks of the model {:?} go in a circle", model.name);
            return Err(Error::Parts(what));
        }
    }
    Ok(fallbacks)
}

/// The place of the model with this name or alias.
pub(crate) fn find(models: &[Model], name: &str) -> Result<usize, Error> {
    models
        .iter()
        .position(|model| *model.name == *name || model.aliases.iter().any(|a| **a == *name))
        .ok_or_else(|| Error::UnknownModel {
            name: name.to_owned(),
            known: models.iter().map(|model| Arc::clone(&model.name)).collect(),
        })
}
