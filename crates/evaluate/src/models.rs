use std::fmt::Display;
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use sparrow_embed::{self as embed, Execution, METHODS, MethodKind};
use sparrow_engine::{self as engine, Engine};
use sparrow_hyperparameters::{Hyperparameter, Hyperparameters, Settings as _};
use sparrow_model::Catalog;
use sparrow_neural::item_weights::ItemWeightsFile;
use sparrow_neural::neural_cf::Model;
use sparrow_neural::{EmbeddingFolder, EmbeddingTable, Objective, Similarity};
use sparrow_rank::{EmbeddingRanker, ItemWeightsRanker, NeuralCfRanker, PopularityRanker, Ranker};
use sparrow_recall::ByEmbedding;
use sparrow_train as train;

use super::{Answers, Fitted, Method, Training};

/// The model by the vectors of the default method, or by vectors from files.
pub(crate) const EMBEDDING_MODEL: &str = "emb";

/// The name of the model that a method of `embed` computes.
pub(crate) fn model_of(kind: &MethodKind) -> &'static str {
    if *kind == METHODS[0] { EMBEDDING_MODEL } else { kind.name }
}

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn scores(training: Training<'_>, ranker: impl Ranker + 'static, probabilities: bool) -> Fitted {
    Fitted {
        catalog: Arc::clone(training.catalog),
        answers: Answers::Scores { ranker: Arc::new(ranker), probabilities },
        vectors: None,
        diversity: 0.0,
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

/// The biases of users and movies, without their interaction.
#[derive(Debug, Clone, Copy)]
pub struct UserAndMovieBiases {
    /// Each bias is shrunk to zero as if by this many ratings.
    pub prior: f64,
}

impl Default for UserAndMovieBiases {
    fn default() -> Self {
        Self { prior: train::Options::new(train::Method::Gmf).bias_prior }
    }
}

impl Hyperparameters for UserAndMovieBiases {
    const TABLE: &'static [Hyperparameter<Self>] = &[Hyperparameter::<Self>::new(
        "bias-prior",
        train::BIAS_PRIOR,
        |it| &mut it.prior,
        "Each bias is shrunk to zero as if by this many ratings",
    )];
}

impl Method for UserAndMovieBiases {
    fn name(&self) -> String {
        "biases".to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        sparrow_hyperparameters::Settings::settings(self)
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let model = train::fit_biases(training.catalog, self.prior)?;
        Ok(scores(training, NeuralCfRanker::new(&model, training.catalog), true))
    }
}

/// A model of [`train`].
#[derive(Debug, Clone)]
pub struct Trained {
    /// The options. The seed and the split of the validation part are those of the evaluation; no other test part is
    /// held out.
    pub options: train::Options,
}

impl Trained {
    fn model(&self, training: Training<'_>) -> Result<Model, train::Error> {
        let options = train::Options {
            split: training.hold_out.validation_split(),
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
        self.options.settings()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let model = self.model(training)?;
        // With negatives a score is the probability that a movie is chosen, not liked.
        let probabilities = self.options.negatives == 0;
        Ok(scores(training, NeuralCfRanker::new(&model, training.catalog), probabilities))
    }
}

/// A method of [`embed`], fitted to the training part.
#[derive(Debug)]
pub struct Computed {
    /// The method.
    pub kind: MethodKind,
    /// Its hyperparameters.
    pub method: Box<dyn embed::Method>,
}

impl Computed {
    fn compute(&self, training: Training<'_>) -> Result<embed::Model, embed::Error> {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.kind.same_on_all_threads { processors() } else { 1 };
        let execution = Execution { threads, seed: training.seed };
        self.method.compute(training.catalog, execution, &|_, _| {})
    }
}

impl Method for Computed {
    fn name(&self) -> String {
        model_of(&self.kind).to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        self.method.settings()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        match self.compute(training)? {
            embed::Model::Vectors(vectors) => by_vectors(training, vectors.into()),
            embed::Model::Weights { file, .. } => {
                Ok(scores(training, by_weights(&file, training.catalog), false))
            }
        }
    }
}

/// Ranking by item–item weights.
pub(crate) fn by_weights(file: &ItemWeightsFile, catalog: &Catalog) -> ItemWeightsRanker {
    let ItemWeightsFile { weights, metadata } = file;
    ItemWeightsRanker::over(metadata.architecture.name(), weights, metadata.input(), catalog)
}

/// A folder with vectors that `sparrow-loader embed` or another program wrote; their training data are unknown.
#[derive(Debug, Clone)]
pub struct VectorFolder(pub PathBuf);

/// Vectors by id.
pub(crate) struct VectorTables {
    movies: EmbeddingTable,
    users: EmbeddingTable,
    similarity: Similarity,
    objective: Option<Objective>,
}

impl VectorTables {
    /// Lays the vectors out as the server does.
    pub(crate) fn laid_out(self, training: Training<'_>) -> Result<engine::Embeddings, Failure> {
        let Self { movies, users, similarity, objective } = self;
        let vectors = engine::Embeddings::new(&movies, users, similarity, training.catalog)?;
        Ok(vectors.with_objective(objective))
    }
}

impl From<embed::Embeddings> for VectorTables {
    fn from(vectors: embed::Embeddings) -> Self {
        let embed::Embeddings { movies, users, metadata, .. } = vectors;
        let (similarity, objective) = (metadata.similarity, metadata.objective);
        Self { movies, users, similarity, objective }
    }
}

/// Ranking by the similarity of vectors.
fn by_vectors(training: Training<'_>, tables: VectorTables) -> Result<Fitted, Failure> {
    let vectors = tables.laid_out(training)?;
    let ranker = EmbeddingRanker::new(Arc::clone(&vectors.items));
    Ok(Fitted { vectors: Some(vectors), ..scores(training, ranker, false) })
}

/// The message of an error with its causes.
fn in_folder(folder: &dyn Display, error: &dyn std::error::Error) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    let causes = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    format!("{folder}: {causes}")
}

impl VectorFolder {
    fn read(&self) -> Result<VectorTables, Failure> {
        let folder = self.0.display();
        let EmbeddingFolder { items: movies, users, metadata } =
            EmbeddingFolder::read(&self.0).map_err(|error| in_folder(&folder, &error))?;
        let similarity = metadata.as_ref().map(|it| it.similarity).unwrap_or_default();
        let objective = metadata.and_then(|it| it.objective);
        Ok(VectorTables { movies, users, similarity, objective })
    }
}

impl Method for VectorFolder {
    fn name(&self) -> String {
        model_of(&METHODS[0]).to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("embeddings".to_owned(), self.0.display().to_string())]
    }

    fn unknown_training(&self) -> bool {
        true
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        by_vectors(training, self.read()?)
    }
}

/// The vectors of [`EndToEnd`].
#[derive(Debug)]
pub enum Vectors {
    /// Computed from the training part.
    Computed(Computed),
    /// Read from files.
    Files(VectorFolder),
}

impl Vectors {
    fn method(&self) -> &dyn Method {
        match self {
            Self::Computed(computed) => computed,
            Self::Files(folder) => folder,
        }
    }

    fn tables(&self, training: Training<'_>) -> Result<VectorTables, Failure> {
        match self {
            Self::Files(folder) => folder.read(),
            Self::Computed(computed) => match computed.compute(training)? {
                embed::Model::Vectors(vectors) => Ok(vectors.into()),
                embed::Model::Weights { .. } => {
                    Err(format!("{} computes no vectors", computed.kind.name).into())
                }
            },
        }
    }
}

/// The end-to-end pipeline of the server: recall, ranking by a model, and fallbacks.
#[derive(Debug)]
pub struct EndToEnd {
    /// The vectors for recall, and for the model `emb`.
    pub vectors: Vectors,
    /// The ranking model, if it is not `emb`.
    pub ranking: Option<Trained>,
    /// The lists.
    pub lists: ListOptions,
}

/// How an engine makes lists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListOptions {
    /// The number of candidates for ranking.
    pub candidates: usize,
    /// How much lists are re-ranked for diversity, from 0 to 1.
    pub diversity: f32,
}

impl ListOptions {
    /// The values of the server.
    pub const DEFAULT: Self =
        Self { candidates: engine::DEFAULT_CANDIDATES, diversity: engine::DEFAULT_DIVERSITY };

    pub(crate) fn settings(self) -> [(String, String); 2] {
        [
            ("candidates".to_owned(), self.candidates.to_string()),
            ("diversity".to_owned(), self.diversity.to_string()),
        ]
    }
}

impl Method for EndToEnd {
    fn name(&self) -> String {
        "engine".to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let ranking = self.ranking.as_ref().map_or_else(|| "emb".to_owned(), Method::name);
        let mut settings = vec![("ranking".to_owned(), ranking)];
        settings.extend(self.lists.settings());
        settings.extend(self.ranking.iter().flat_map(Method::settings));
        settings.push(("embeddings".to_owned(), self.vectors.method().name()));
        settings.extend(self.vectors.method().settings());
        settings
    }

    fn unknown_training(&self) -> bool {
        self.vectors.method().unknown_training()
    }

    fn scores(&self) -> bool {
        false
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let embeddings = self.vectors.tables(training)?.laid_out(training)?;
        let mut builder = Engine::builder(Arc::clone(training.catalog))
            .standard(Some(embeddings))
            .candidates(self.lists.candidates);
        if let Some(trained) = &self.ranking {
            let model = trained.model(training)?;
            let ranker = Arc::new(NeuralCfRanker::new(&model, training.catalog));
            let model = engine::Model::new("neuralcf", ranker).recall(ByEmbedding::NAME);
            let model = model.fallback("emb");
            builder = builder.model(model).default_model("neuralcf");
        }
        let engine = builder.build()?;
        Ok(Fitted {
            catalog: Arc::clone(training.catalog),
            answers: Answers::Lists(Box::new(engine)),
            vectors: None,
            diversity: self.lists.diversity,
        })
    }
}
