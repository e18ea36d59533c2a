use std::fmt;
use std::sync::Arc;

use sparrow_model::Sort;
use sparrow_recall::{ByOrder, Recall};

use crate::buffers::StrategyBits;
use crate::builder::{DEFAULT_CANDIDATES, Model};
use crate::engine::{RecallCounters, Scope, Strategy, find};
use crate::{Engine, Error};

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

impl Engine {
    /// The names of the recall mixes besides the default one, in the order in which they were added.
    pub fn recall_mixes(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.mixes[1..].iter().map(|mix| &mix.name)
    }

    /// The position of a recall mix in [`recall_mixes`](Self::recall_mixes), counted from 1; 0 for the default mix (`None`).
    pub fn find_recall_mix(&self, name: Option<&str>) -> Result<usize, Error> {
        let Some(name) = name else { return Ok(0) };
        let found = self.recall_mixes().position(|known| **known == *name);
        found.map(|index| index + 1).ok_or_else(|| Error::UnknownRecallMix {
            name: name.to_owned(),
            known: self.recall_mixes().cloned().collect(),
        })
    }
}
