use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use sparrow_embed::{self as embed, cooccurrence, ease};
use sparrow_engine::{self as engine, Engine};
use sparrow_model::MovieId;
use sparrow_neural::item_weights::Scorer;
use sparrow_neural::neural_cf::Model;
use sparrow_neural::{EmbeddingMetadata, EmbeddingTable, Similarity};
use sparrow_rank::{EmbeddingRanker, ItemWeightsRanker, NeuralCfRanker, PopularityRanker, Ranker};
use sparrow_train as train;

use super::{Answers, Fitted, Method, Training};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn scores(training: Training<'_>, ranker: impl Ranker + 'static, probabilities: bool) -> Fitted {
    Fitted {
        catalog: Arc::clone(training.catalog),
        answers: Answers::Scores { ranker: Arc::new(ranker), probabilities },
        users: None,
    }
}

/// The number of ratings in training.
#[derive(Debug, Clone, Copy, Default)]
pub struct Popularity;

impl Method for Popularity {
    fn name(&self) -> String {
        "popularity".to_owned()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        Ok(scores(training, PopularityRanker::new(Arc::clone(training.catalog)), false))
    }
}

/// How easily pleased a user is, and how well liked a movie: no taste.
#[derive(Debug, Clone, Copy)]
pub struct UserAndMovieBiases {
    /// Each bias is pulled to zero as if by so many ratings.
    pub prior: f64,
}

impl Default for UserAndMovieBiases {
    fn default() -> Self {
        Self { prior: train::Options::new(train::Method::Gmf).bias_prior }
    }
}

impl Method for UserAndMovieBiases {
    fn name(&self) -> String {
        "biases".to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("bias-prior".to_owned(), self.prior.to_string())]
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let model = train::fit_biases(training.catalog, self.prior)?;
        Ok(scores(training, NeuralCfRanker::new(&model, training.catalog), true))
    }
}

/// A model of [`train`].
#[derive(Debug, Clone)]
pub struct Trained {
    /// How it is trained. The seed and the split of what tells when to stop are those of the evaluation;
    /// nothing more is held out.
    pub options: train::Options,
}

impl Trained {
    fn model(&self, training: Training<'_>) -> Result<Model, train::Error> {
        let options = train::Options {
            split: training.split.inner(),
            seed: training.seed,
            ..self.options.clone()
        };
        train::fit(training.catalog, &options, &mut ())
    }
}

impl Method for Trained {
    fn name(&self) -> String {
        self.options.method.to_string()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let own = ["method", "split", "test", "seed"];
        self.options.described().filter(|(name, _)| !own.contains(&&**name)).collect()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let model = self.model(training)?;
        // With negatives a score says how likely a movie is chosen, not liked.
        let probabilities = self.options.negatives == 0;
        Ok(scores(training, NeuralCfRanker::new(&model, training.catalog), probabilities))
    }
}

/// Ranking by the vectors of users and movies.
#[derive(Debug, Clone)]
pub enum Embeddings {
    /// Computed from the training part. The seed is that of the evaluation.
    Computed(embed::Method),
    /// Files that `sparrow-loader embed` or another program has made, from ratings that are not known here.
    Files(PathBuf),
}

/// Vectors of movies, then of users.
struct Tables {
    movies: EmbeddingTable,
    users: EmbeddingTable,
    similarity: Similarity,
}

impl Embeddings {
    fn tables(&self, training: Training<'_>) -> Result<Tables, Failure> {
        match self {
            Self::Computed(method) => {
                let method = method.clone().with_seed(training.seed);
                let computed = embed::compute(training.catalog, &method, &|_, _| {})?;
                let embed::Embeddings { movies, users, about, .. } = computed;
                Ok(Tables { movies, users, similarity: about.similarity })
            }
            Self::Files(folder) => {
                let about = match sparrow_files::read(&folder.join(embed::METADATA_FILE), 1 << 20) {
                    Ok(bytes) => Some(EmbeddingMetadata::read(&bytes, embed::METADATA_FILE)?),
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    Err(error) => return Err(error.into()),
                };
                let read = |name: &str| -> Result<EmbeddingTable, Failure> {
                    let path = folder.join(name);
                    let shown = path.display().to_string();
                    let file = sparrow_files::open(&path, u64::MAX)
                        .map_err(|error| format!("{shown}: {error}"))?;
                    let sha256 =
                        about.as_ref().and_then(|about: &EmbeddingMetadata| about.sha256(name));
                    Ok(EmbeddingTable::read_verified(file, &shown, sha256)?)
                };
                let (movies, users) = (read(embed::ITEM_FILE)?, read(embed::USER_FILE)?);
                let similarity = about.map_or_else(Similarity::default, |about| about.similarity);
                Ok(Tables { movies, users, similarity })
            }
        }
    }

    /// Lays the vectors out as the server does.
    fn laid_out(&self, training: Training<'_>) -> Result<engine::Embeddings, Failure> {
        let Tables { movies, users, similarity } = self.tables(training)?;
        Ok(engine::Embeddings::new(&movies, users, similarity, training.catalog)?)
    }
}

impl Method for Embeddings {
    fn name(&self) -> String {
        match self {
            Self::Computed(embed::Method::Ials(_)) => "ials",
            Self::Computed(embed::Method::Item2Vec(_)) | Self::Files(_) => "emb",
        }
        .to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        match self {
            Self::Computed(method) => method.settings(),
            Self::Files(folder) => {
                vec![("embeddings".to_owned(), folder.display().to_string())]
            }
        }
    }

    fn unknown_training(&self) -> bool {
        matches!(self, Self::Files(_))
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let vectors = self.laid_out(training)?;
        let ranker = EmbeddingRanker::new(vectors.items);
        Ok(Fitted { users: Some(vectors.users), ..scores(training, ranker, false) })
    }
}

/// Item–item weights in closed form.
#[derive(Debug, Clone)]
pub struct Ease {
    /// How they are computed.
    pub options: ease::Options,
}

impl Method for Ease {
    fn name(&self) -> String {
        "ease".to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.options.settings()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let weights = ease::compute(training.catalog, &self.options, &|_, _| {})?;
        let catalog = training.catalog;
        let position = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
        let scorer = Scorer::new(&weights, catalog.len(), position);
        let ranker = ItemWeightsRanker::new("ease", Arc::new(scorer), self.options.input());
        Ok(scores(training, ranker, false))
    }
}

/// Sparse weights between movies that are rated near each other in time.
#[derive(Debug, Clone)]
pub struct Cooccurrence {
    /// How they are computed.
    pub options: cooccurrence::Options,
}

impl Method for Cooccurrence {
    fn name(&self) -> String {
        self.options.architecture.name().to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.options.settings()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let weights = cooccurrence::compute(training.catalog, &self.options, &|_, _| {})?;
        let catalog = training.catalog;
        let position = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
        let scorer = Scorer::new(&weights, catalog.len(), position);
        let kind = self.options.architecture.name();
        let ranker = ItemWeightsRanker::new(kind, Arc::new(scorer), self.options.input());
        Ok(scores(training, ranker, false))
    }
}

/// The whole way of a request, as the server goes it: recall, ranking by a model, and what steps in.
#[derive(Debug, Clone)]
pub struct WholePath {
    /// The vectors for recall, and for the model `emb`.
    pub embeddings: Embeddings,
    /// The model that ranks, if not `emb`.
    pub ranking: Option<Trained>,
    /// The number of candidates that are ranked.
    pub candidates: usize,
}

impl Method for WholePath {
    fn name(&self) -> String {
        "engine".to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let ranking = self.ranking.as_ref().map_or_else(|| "emb".to_owned(), Method::name);
        let mut settings = vec![
            ("ranking".to_owned(), ranking),
            ("candidates".to_owned(), self.candidates.to_string()),
        ];
        settings.extend(self.ranking.iter().flat_map(Method::settings));
        settings.push(("embeddings".to_owned(), self.embeddings.name()));
        settings.extend(self.embeddings.settings());
        settings
    }

    fn unknown_training(&self) -> bool {
        self.embeddings.unknown_training()
    }

    fn scores(&self) -> bool {
        false
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let embeddings = self.embeddings.laid_out(training)?;
        let mut builder = Engine::builder(Arc::clone(training.catalog))
            .standard(Some(embeddings))
            .candidates(self.candidates);
        if let Some(trained) = &self.ranking {
            let model = trained.model(training)?;
            let ranker = Arc::new(NeuralCfRanker::new(&model, training.catalog));
            let model = engine::Model::new("neuralcf", ranker).fallback("emb");
            builder = builder.model(model).default_model("neuralcf");
        }
        let engine = builder.build()?;
        Ok(Fitted {
            catalog: Arc::clone(training.catalog),
            answers: Answers::Lists(Box::new(engine)),
            users: None,
        })
    }
}
