use std::sync::Arc;
use std::thread;

use sparrow_blend::{BlendRanker, Combined, INPUTS, Objective, fit};
use sparrow_engine::{Engine, Model};
use sparrow_fit::Inputs;
use sparrow_recall::ByScores;

use super::{Answers, Fitted, Method, Training};
use crate::models::Failure;
use crate::split::HoldOut;

/// The blend that `sparrow-loader fit` fits, here to the training part.
#[derive(Debug, Clone)]
pub struct Blend {
    /// What its weights are fitted for; `None` for what the protocol measures.
    pub objective: Option<Objective>,
    /// The number of candidates of an engine that ranks by it, as the server does by default; `None` for the scores of
    /// all movies.
    pub candidates: Option<usize>,
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
        if self.candidates.is_some() { "engine" } else { "blend" }.to_owned()
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        if let Some(candidates) = self.candidates {
            settings.push(("ranking".to_owned(), "blend".to_owned()));
            settings.push(("candidates".to_owned(), candidates.to_string()));
        }
        let objective = self.objective.map_or("of the protocol", Objective::name);
        settings.push(("objective".to_owned(), objective.to_owned()));
        settings
    }

    fn scores(&self) -> bool {
        self.candidates.is_none()
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
        let answers = match self.candidates {
            None => {
                let ranker = Arc::new(Combined::new(ranker, inputs));
                Answers::Scores { ranker, probabilities: false }
            }
            Some(candidates) => {
                let mut builder = Engine::builder(Arc::clone(catalog)).candidates(candidates);
                for (name, input) in INPUTS.into_iter().zip(inputs) {
                    if let Some(input) = input {
                        builder = builder.model(Model::new(name, input));
                        let share = candidates / INPUTS.len();
                        builder = builder.strategy(ByScores::new(name, name, 0.0), share);
                    }
                }
                let blend = Model::new("blend", Arc::new(ranker)).inputs(INPUTS).fallback("ease");
                Answers::Lists(Box::new(builder.model(blend).default_model("blend").build()?))
            }
        };
        Ok(Fitted { catalog: Arc::clone(catalog), answers, users: None })
    }
}
