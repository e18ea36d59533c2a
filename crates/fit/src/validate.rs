use std::sync::Arc;

use futures::FutureExt as _;
use sparrow_embed::{Execution, Method, Model};
use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_neural::{EmbeddingTable, ItemVectors, Similarity, Validation};
use sparrow_rank::{EmbeddingRanker, ItemWeightsRanker, Query, Ranker};
use sparrow_train as train;

/// Measures a method: trains it without the ratings that the training of NeuralCF holds out, and measures the lists of the
/// result on these. `None` if nothing is held out.
pub fn validate(
    catalog: &Catalog,
    method: &dyn Method,
    execution: Execution,
) -> Result<Option<Validation>, sparrow_embed::Error> {
    Validator::new(catalog).validate(catalog, method, execution)
}

/// The held-out ratings of a catalogue, for several methods.
pub(crate) struct Validator(train::HeldOut);

impl Validator {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        Self(train::HeldOut::new(catalog, &train::Options::new(train::Method::NeuralCf)))
    }

    /// See [`validate`]. `catalog` is that of [`new`](Self::new).
    pub(crate) fn validate(
        &self,
        catalog: &Catalog,
        method: &dyn Method,
        execution: Execution,
    ) -> Result<Option<Validation>, sparrow_embed::Error> {
        let training = &self.0.training;
        let (ranker, users) = match method.compute(training, execution, &|_, _| {})? {
            Model::Weights { file, .. } => {
                let (kind, input) = (file.metadata.architecture.name(), file.metadata.input());
                let ranker = ItemWeightsRanker::over(kind, &file.weights, input, training);
                (Arc::new(ranker) as Arc<dyn Ranker>, None)
            }
            Model::Vectors(vectors) => {
                let ids = training.movies().iter().map(|movie| movie.id.0);
                let index = |id| training.index_of(sparrow_model::MovieId(id)).map(|found| found.0);
                let similarity = vectors.metadata.similarity;
                let items = ItemVectors::new(&vectors.movies, ids.len(), similarity, index);
                let mut users = vectors.users;
                if similarity == Similarity::Cosine {
                    users.normalise();
                }
                (Arc::new(EmbeddingRanker::new(Arc::new(items))) as Arc<dyn Ranker>, Some(users))
            }
        };
        Ok(self.0.measure(catalog, &mut scores(&*ranker, users.as_ref(), training)))
    }
}

/// The scores of all movies for users. Users whom the model cannot score have none.
fn scores<'a>(
    ranker: &'a dyn Ranker,
    vectors: Option<&'a EmbeddingTable>,
    training: &'a Catalog,
) -> impl FnMut(UserId, &mut Vec<f32>) + 'a {
    let movies: Vec<MovieIndex> = (0..training.len() as u32).map(MovieIndex).collect();
    move |user, scores| {
        let state = UserState {
            history: training.users().find(user),
            embedding: vectors.and_then(|vectors| vectors.get(user.0)),
            ..UserState::unknown(user)
        };
        // Models in memory answer at once.
        let answered = ranker.score(&Query::new(&state, &movies), scores).now_or_never();
        if !matches!(answered, Some(Ok(()))) {
            scores.clear();
        }
    }
}
