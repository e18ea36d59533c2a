use std::fmt;
use std::sync::Arc;

use sparrow_metrics::Count;
use sparrow_model::Sort;
use sparrow_recall::{ByOrder, Recall};

use crate::Error;
use crate::buffers::StrategyBits;
use crate::model::{Model, find};

/// Candidates that are ranked for a request if the builder does not specify a number.
pub const DEFAULT_CANDIDATES: usize = 800;

/// Recall strategies of a mix at most; popularity, which fills up what they leave, is one more.
const MOST_STRATEGIES: usize = StrategyBits::BITS as usize - 1;

/// The recall strategies of a request, and the number of candidates that it ranks. Each engine has a default mix; others have
/// names, by which requests select them ([`Request::recall`](crate::Request::recall)).
#[must_use]
pub struct RecallMix {
    strategies: Vec<Strategy>,
    candidates: usize,
}

impl Default for RecallMix {
    fn default() -> Self {
        Self { strategies: Vec::new(), candidates: DEFAULT_CANDIDATES }
    }
}

impl RecallMix {
    /// Adds a strategy, at most 15. Answers list the strategies in this order. Popular movies fill up the candidates that they
    /// leave, or only the list if the model that ranks, or one whose scores it combines, proposed candidates. `share` is the
    /// number of candidates that the strategy is asked for in a request for no more movies than
    /// [`candidates`](Self::candidates); larger requests ask for proportionally more.
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
        let recall = Box::new(recall);
        self.strategies.push(Strategy {
            recall,
            share,
            model: None,
            scope,
            best_of: Vec::new(),
            own_of: Vec::new(),
            counters: RecallCounters::default(),
        });
        self
    }

    /// Sets the number of candidates that are ranked for a request, or as many as the request asks for if that is more.
    /// [`DEFAULT_CANDIDATES`] by default.
    pub const fn candidates(mut self, candidates: usize) -> Self {
        self.candidates = candidates;
        self
    }

    /// Finds the models that the strategies refer to, and checks that the names of the strategies are distinct.
    pub(crate) fn build(self, name: Arc<str>, models: &[Model]) -> Result<Mix, Error> {
        let Self { mut strategies, candidates } = self;
        let mut strategy_names: Vec<Arc<str>> = Vec::new();
        for strategy in &mut strategies {
            let name = strategy.recall.name();
            if strategy_names.iter().any(|known| **known == *name) {
                return Err(Error::DuplicateStrategy(name.to_owned()));
            }
            strategy_names.push(name.into());
            strategy.model = strategy.recall.model().map(|name| find(models, name)).transpose()?;
            strategy.best_of = match (strategy.model, strategy.recall.vectors()) {
                (Some(model), _) => vec![model],
                (None, Some(vectors)) => (0..models.len())
                    .filter(|&model| {
                        let others = models[model].ranker.vectors();
                        others.is_some_and(|others| Arc::ptr_eq(others, vectors))
                    })
                    .collect(),
                (None, None) => Vec::new(),
            };
            let names_it = |model: &usize| models[*model].recall.as_deref() == Some(name);
            strategy.own_of = strategy.best_of.clone();
            strategy.own_of.extend((0..models.len()).filter(names_it));
        }
        let fill_name = ByOrder(Sort::Popularity).name().to_owned();
        let fill =
            strategy_names.iter().position(|name| **name == *fill_name).unwrap_or_else(|| {
                strategy_names.push(fill_name.into());
                strategy_names.len() - 1
            });
        if strategies.len() > MOST_STRATEGIES {
            return Err(Error::TooManyStrategies(strategies.len()));
        }
        Ok(Mix { name, strategies, strategy_names: strategy_names.into(), fill, candidates })
    }
}

impl fmt::Debug for RecallMix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.strategies.iter().map(|it| it.recall.name()).collect();
        let mut debug = f.debug_struct("RecallMix");
        debug.field("strategies", &names).field("candidates", &self.candidates).finish()
    }
}

/// The requests that use a recall strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// All requests.
    #[default]
    Always,
    /// Requests that rank by the strategy's model ([`Recall::model`]), or by a model that combines its scores. Other requests
    /// do not pay for the scores.
    OwnModel,
    /// Requests for which no strategy finds the best movies of the ranking model, or of one that it combines: it has no such
    /// strategy, or no scores for the user. A strategy that itself finds the best movies of the ranking model, or that the
    /// model names ([`Model::recall`]), is used first, and instead of the others if it finds any.
    Fallback,
}

/// A recall strategy of an engine.
pub(crate) struct Strategy {
    pub(crate) recall: Box<dyn Recall>,
    /// Candidates that it is asked for, of `Mix::candidates`.
    pub(crate) share: usize,
    /// The index of the model whose scores it needs.
    pub(crate) model: Option<usize>,
    pub(crate) scope: Scope,
    /// The indices of the models whose best movies it finds.
    pub(crate) best_of: Vec<usize>,
    /// These, and the models that name the strategy: it replaces the others for them.
    pub(crate) own_of: Vec<usize>,
    pub(crate) counters: RecallCounters,
}

/// Counts what a strategy did.
#[derive(Debug, Default)]
pub(crate) struct RecallCounters {
    pub(crate) calls: Count,
    pub(crate) failures: Count,
    pub(crate) candidates: Count,
}

/// A recall mix of an engine.
pub(crate) struct Mix {
    /// Empty for the default mix.
    pub(crate) name: Arc<str>,
    pub(crate) strategies: Vec<Strategy>,
    pub(crate) strategy_names: Arc<[Arc<str>]>,
    /// The index in `strategy_names` of the strategy that fills up what the others leave.
    pub(crate) fill: usize,
    pub(crate) candidates: usize,
}

impl Mix {
    /// The number of candidates that a strategy is asked for, of `wanted` ones.
    pub(crate) fn limit(&self, strategy: &Strategy, wanted: usize) -> usize {
        (strategy.share * wanted).div_ceil(self.candidates.max(1))
    }
}
