use std::sync::Arc;

use sparrow_blend::fit::{Failure, Models};
use sparrow_blend::{INPUTS, Objective};
use sparrow_embed::{Execution, Method, Model, cooccurrence, ease};
use sparrow_model::{Catalog, MovieId};
use sparrow_neural::item_weights::{ItemWeightsFile, Scorer};
use sparrow_progress::Progress;
use sparrow_rank::{ItemWeightsRanker, Ranker};

/// The age at which ratings weigh 1/e in the input of EASE, if the objective is the next movie: as measured on
/// MovieLens' small set (`docs/quality.md`).
const RECENCY: f32 = 4.0;

/// The models that a blend combines, in the order of [`INPUTS`].
#[derive(Debug, Clone)]
pub struct Inputs([ItemWeightsFile; INPUTS.len()]);

impl Inputs {
    /// Trains the models for an objective on a catalogue.
    pub fn train(
        catalog: &Catalog,
        objective: Objective,
        threads: usize,
        progress: Progress<'_>,
    ) -> Result<Self, sparrow_embed::Error> {
        let recency = match objective {
            Objective::Lists => 0.0,
            Objective::Next => RECENCY,
        };
        let compute = |method: &dyn Method| -> Result<_, sparrow_embed::Error> {
            let execution = Execution { threads, seed: 1 };
            match method.compute(catalog, execution, progress)? {
                Model::Weights { mut file, .. } => {
                    file.metadata.training = method.settings().into_iter().collect();
                    Ok(file)
                }
                Model::Vectors(_) => unreachable!("the methods of this function compute weights"),
            }
        };
        Ok(Self([
            compute(&ease::Options { recency, ..ease::Options::DEFAULT })?,
            compute(&cooccurrence::Options::NEXT_ITEM)?,
            compute(&cooccurrence::Options::ITEM_KNN)?,
        ]))
    }

    /// The models with their names.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &ItemWeightsFile)> {
        INPUTS.into_iter().zip(&self.0)
    }

    /// The rankers of the models over a catalogue.
    pub fn rankers(&self, catalog: &Catalog) -> Models {
        self.0.each_ref().map(|ItemWeightsFile { weights, metadata }| {
            let index = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
            let scorer = Arc::new(Scorer::new(weights, catalog.len(), index));
            let kind = metadata.architecture.name();
            let ranker: Arc<dyn Ranker> =
                Arc::new(ItemWeightsRanker::new(kind, scorer, metadata.input()));
            Some(ranker)
        })
    }
}

/// Fits a blend for an objective to a catalogue: trains its models on a part, and weights them by the rest.
pub fn blend(
    catalog: &Arc<Catalog>,
    options: &sparrow_blend::fit::Options,
    progress: Progress<'_>,
) -> Result<sparrow_blend::Blend, sparrow_blend::fit::Error> {
    let (objective, threads) = (options.objective, options.threads);
    let train = |catalog: &Arc<Catalog>| -> Result<Models, Failure> {
        Ok(Inputs::train(catalog, objective, threads, &|_, _| {})?.rankers(catalog))
    };
    let fingerprint = sparrow_train::fingerprint(catalog);
    sparrow_blend::fit::fit(catalog, fingerprint, options, &train, progress)
}
