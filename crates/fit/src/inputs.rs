use std::sync::Arc;

use sparrow_blend::fit::{Failure, Models};
use sparrow_blend::{INPUTS, Objective};
use sparrow_embed::{Execution, Method, Model, cooccurrence, ease};
use sparrow_model::Catalog;
use sparrow_neural::item_weights::ItemWeightsFile;
use sparrow_rank::{ItemWeightsRanker, Ranker};

use crate::validate::Validator;

/// The age at which ratings weigh 1/e in the input of EASE, if the objective is the next movie: as measured on
/// MovieLens' small set (`docs/quality.md`).
const RECENCY: f32 = 4.0;

/// The models that a blend combines, in the order of [`INPUTS`].
#[derive(Debug, Clone)]
pub struct Inputs([ItemWeightsFile; INPUTS.len()]);

impl Inputs {
    /// Trains the models for an objective on a catalogue, with at most `keep` weights per movie.
    pub fn train(
        catalog: &Catalog,
        objective: Objective,
        keep: Option<usize>,
        threads: usize,
    ) -> Result<Self, sparrow_embed::Error> {
        let [ease, next_item, item_knn] = Self::methods(objective, keep);
        let compute = |method: Box<dyn Method>| -> Result<_, sparrow_embed::Error> {
            let execution = Execution { threads, seed: 1 };
            match method.compute(catalog, execution, &|_, _| {})? {
                Model::Weights { mut file, .. } => {
                    file.metadata.training = method.settings().into_iter().collect();
                    Ok(file)
                }
                Model::Vectors(_) => unreachable!("the methods of this function compute weights"),
            }
        };
        Ok(Self([compute(ease)?, compute(next_item)?, compute(item_knn)?]))
    }

    /// The methods, in the order of [`INPUTS`].
    fn methods(objective: Objective, keep: Option<usize>) -> [Box<dyn Method>; INPUTS.len()] {
        let recency = match objective {
            Objective::Lists => 0.0,
            Objective::Next => RECENCY,
        };
        let mut ease = ease::Options { recency, ..ease::Options::DEFAULT };
        let mut next_item = cooccurrence::Options::NEXT_ITEM;
        let mut item_knn = cooccurrence::Options::ITEM_KNN;
        if let Some(most) = keep {
            for keep in [&mut ease.keep, &mut next_item.keep, &mut item_knn.keep] {
                *keep = most.min(*keep);
            }
        }
        [Box::new(ease), Box::new(next_item), Box::new(item_knn)]
    }

    /// Measures each model and stores the figures with it. `objective` and `keep` are those of [`train`](Self::train).
    pub(crate) fn validate(
        &mut self,
        catalog: &Catalog,
        validator: &Validator,
        (objective, keep): (Objective, Option<usize>),
        threads: usize,
    ) -> Result<(), sparrow_embed::Error> {
        let execution = Execution { threads, seed: 1 };
        for (file, method) in self.0.iter_mut().zip(Self::methods(objective, keep)) {
            file.metadata.validation = validator.validate(catalog, &*method, execution)?;
        }
        Ok(())
    }

    /// The models with their names.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &ItemWeightsFile)> {
        INPUTS.into_iter().zip(&self.0)
    }

    /// The rankers of the models over a catalogue.
    pub fn rankers(&self, catalog: &Catalog) -> Models {
        self.0.each_ref().map(|ItemWeightsFile { weights, metadata }| {
            let kind = metadata.architecture.name();
            let ranker = ItemWeightsRanker::over(kind, weights, metadata.input(), catalog);
            Some(Arc::new(ranker) as Arc<dyn Ranker>)
        })
    }
}

/// Fits a blend for an objective to a catalogue: trains its models on a part, and weights them by the rest.
pub fn blend(
    catalog: &Arc<Catalog>,
    options: &sparrow_blend::fit::Options,
    keep: Option<usize>,
) -> Result<sparrow_blend::Blend, sparrow_blend::fit::Error> {
    let (objective, threads) = (options.objective, options.threads);
    let train = |catalog: &Arc<Catalog>| -> Result<Models, Failure> {
        Ok(Inputs::train(catalog, objective, keep, threads)?.rankers(catalog))
    };
    let fingerprint = sparrow_train::fingerprint(catalog);
    sparrow_blend::fit::fit(catalog, fingerprint, options, &train)
}
