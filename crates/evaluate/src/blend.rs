use std::sync::Arc;
use std::thread;

use sparrow_blend::{BlendRanker, Combined, INPUTS, Objective, fit};
use sparrow_embed::{self as embed, Execution, Method as _, ials};
use sparrow_engine::{Embeddings, Engine, Model};
use sparrow_fit::Inputs;
use sparrow_recall::ByScores;

use super::{Answers, Fitted, Method, Training};
use crate::models::{Failure, ListOptions, VectorTables};
use crate::split::HoldOut;

/// The blend that `sparrow-loader fit` fits, here to the training part.
#[derive(Debug, Clone)]
pub struct Blend {
    /// What its weights are fitted for; `None` for what the protocol measures.
    pub objective: Option<Objective>,
    /// The lists of an engine that ranks by it, as the server does by default; `None` for the scores of all movies.
    pub lists: Option<ListOptions>,
}

impl Blend {
    fn objective(&self, hold_out: HoldOut) -> Objective {
        self.objective.unwrap_or(match hold_out {
            HoldOut::LeaveOneOut => Objective::Next,
            _ => Objective::Lists,
        })
    }
}

impl Method for Blend {
    fn name(&self) -> String {
        if self.lists.is_some() { "engine" } else { "blend" }.to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        if let Some(lists) = self.lists {
            settings.push(("ranking".to_owned(), "blend".to_owned()));
            settings.extend(lists.settings());
        }
        let objective = self.objective.map_or("of the protocol", Objective::name);
        settings.push(("objective".to_owned(), objective.to_owned()));
        settings
    }

    fn scores(&self) -> bool {
        self.lists.is_none()
    }

    fn fit(&self, training: Training<'_>) -> Result<Fitted, Failure> {
        let catalog = training.catalog;
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let objective = self.objective(training.hold_out);
        let options =
            fit::Options { objective, threads, seed: training.seed, ..fit::Options::DEFAULT };
        let blend = sparrow_fit::blend(catalog, &options, None)?;
        let inputs = Inputs::train(catalog, objective, None, threads)?.rankers(catalog);
        let ranker = BlendRanker::new(&blend, catalog);
        let answers = match self.lists {
            None => {
                let ranker = Arc::new(Combined::new(ranker, inputs));
                Answers::Scores { ranker, probabilities: false }
            }
            Some(lists) => {
                let vectors = vectors(training, threads)?;
                let mut builder = Engine::builder(Arc::clone(catalog))
                    .standard(Some(vectors))
                    .candidates(lists.candidates);
                for (name, input) in INPUTS.into_iter().zip(inputs) {
                    if let Some(input) = input {
                        builder = builder.model(Model::new(name, input).fallback("popularity"));
                        builder = builder.strategy(ByScores::new(name, name, 0.0), MODEL_SHARE);
                    }
                }
                let blend = Model::new("blend", Arc::new(ranker)).inputs(INPUTS).fallback("emb");
                Answers::Lists(Box::new(builder.model(blend).default_model("blend").build()?))
            }
        };
        let diversity = self.lists.map_or(0.0, |lists| lists.diversity);
        Ok(Fitted { catalog: Arc::clone(catalog), answers, vectors: None, diversity })
    }
}

/// The share of a model's recall strategy, as the server has it by default.
const MODEL_SHARE: usize = 200;

/// The vectors that `sparrow-loader fit` trains.
fn vectors(training: Training<'_>, threads: usize) -> Result<Embeddings, Failure> {
    let execution = Execution { threads, seed: training.seed };
    match ials::Ials::default().compute(training.catalog, execution, &|_, _| {})? {
        embed::Model::Vectors(vectors) => VectorTables::from(vectors).laid_out(training),
        embed::Model::Weights { .. } => unreachable!("iALS computes vectors"),
    }
}
