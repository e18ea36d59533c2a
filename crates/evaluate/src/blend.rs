use std::sync::Arc;

use sparrow_blend::{BlendRanker, Combined, Objective, fit};
use sparrow_embed::{cooccurrence, ease};
use sparrow_engine::{Engine, Model};
use sparrow_model::{Catalog, MovieId};
use sparrow_neural::item_weights::{InputWeights, ItemWeights, Scorer};
use sparrow_rank::{ItemWeightsRanker, Ranker};
use sparrow_recall::ByScores;
use sparrow_train as train;

use super::{Answers, Fitted, Method, Training};
use crate::split::Split;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A blend of EASE, next-item and item-kNN, fitted inside the training part.
#[derive(Debug, Clone)]
pub struct Blend {
    /// What its weights are fitted for; `None` for what the split measures.
    pub objective: Option<Objective>,
    /// The number of candidates of an engine that ranks by it; `None` for the scores of all movies.
    pub candidates: Option<usize>,
    /// Threads; they do not change the model.
    pub threads: usize,
}

/// Trains the models that a blend for this objective combines.
fn train_models(
    catalog: &Arc<Catalog>,
    objective: Objective,
    threads: usize,
) -> Result<fit::Models, Failure> {
    let ranker = |kind, weights: &ItemWeights, input: InputWeights| -> Option<Arc<dyn Ranker>> {
        let index = |id| catalog.index_of(MovieId(id)).map(|index| index.0);
        let scorer = Scorer::new(weights, catalog.len(), index);
        Some(Arc::new(ItemWeightsRanker::new(kind, Arc::new(scorer), input)))
    };
    let recency = match objective {
        Objective::Lists => 0.0,
        Objective::Next => 4.0,
    };
    let options = ease::Options { threads, recency, ..ease::Options::DEFAULT };
    let weights = ease::compute(catalog, &options, &|_, _| {})?;
    let ease = ranker("ease", &weights, options.input());
    let counted = |options: cooccurrence::Options| -> Result<_, Failure> {
        let options = cooccurrence::Options { threads, ..options };
        let weights = cooccurrence::compute(catalog, &options, &|_, _| {})?;
        Ok(ranker(options.architecture.name(), &weights, options.input()))
    };
    let next_item = counted(cooccurrence::Options::NEXT_ITEM)?;
    Ok([ease, next_item, counted(cooccurrence::Options::ITEM_KNN)?])
}

impl Method for Blend {
    fn name(&self) -> String {
        if self.candidates.is_some() { "engine" } else { "blend" }.to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let objective = self.objective.map_or("by split", Objective::name);
        vec![("objective".to_owned(), objective.to_owned())]
    }

    fn scores(&self) -> bool {
        self.candidates.is_none()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let by_split = match training.split {
            Split::LeaveOneOut => Objective::Next,
            _ => Objective::Lists,
        };
        let objective = self.objective.unwrap_or(by_split);
        let (seed, threads) = (training.seed, self.threads);
        let options = fit::Options { objective, threads, seed, ..fit::Options::DEFAULT };
        let train = |catalog: &Arc<Catalog>| train_models(catalog, objective, threads);
        let catalog = training.catalog;
        let fingerprint = train::fingerprint(catalog);
        let blend = fit::fit(catalog, fingerprint, &options, &train, &|_, _| {})?;
        if std::env::var_os("SHOW_BLEND").is_some() {
            #[expect(clippy::print_stderr, reason = "for experiments")]
            {
                eprintln!("{}", String::from_utf8_lossy(&blend.to_bytes()));
            }
        }
        let models = train_models(catalog, objective, threads)?;
        let ranker = BlendRanker::new(&blend, catalog);
        let Some(candidates) = self.candidates else {
            let ranker = Arc::new(Combined::new(ranker, models));
            let answers = Answers::Scores { ranker, probabilities: false };
            return Ok(Fitted { catalog: Arc::clone(catalog), answers, users: None });
        };
        let mut builder = Engine::builder(Arc::clone(catalog)).candidates(candidates);
        for (name, model) in sparrow_blend::INPUTS.iter().zip(models) {
            if let Some(model) = model {
                builder = builder.model(Model::new(*name, model));
            }
        }
        for name in sparrow_blend::INPUTS {
            builder = builder.strategy(ByScores::new(name, name, 0.0), candidates / 3);
        }
        let blend = Model::new("blend", Arc::new(ranker)).inputs(sparrow_blend::INPUTS);
        let engine = builder.model(blend.fallback("ease")).default_model("blend").build()?;
        let answers = Answers::Lists(Box::new(engine));
        Ok(Fitted { catalog: Arc::clone(catalog), answers, users: None })
    }
}
