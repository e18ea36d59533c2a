use std::fmt;
use std::sync::Arc;

use sparrow_rank::{Counters, Ranker, Unavailable};

use crate::Error;

/// A ranking model of an engine.
#[derive(Clone)]
pub struct Model {
    pub(crate) name: Arc<str>,
    pub(crate) aliases: Vec<Arc<str>>,
    pub(crate) ranker: Arc<dyn Ranker>,
    pub(crate) fallback: Option<Arc<str>>,
    pub(crate) inputs: Vec<Arc<str>>,
    pub(crate) recall: Option<Arc<str>>,
    pub(crate) counters: Arc<Counters>,
}

impl Model {
    /// A model with the name that requests use.
    pub fn new(name: impl Into<Arc<str>>, ranker: Arc<dyn Ranker>) -> Self {
        Self {
            name: name.into(),
            aliases: Vec::new(),
            ranker,
            fallback: None,
            inputs: Vec::new(),
            recall: None,
            counters: Arc::default(),
        }
    }

    /// A model that cannot rank, with the reason that its status contains.
    pub fn unavailable(
        name: impl Into<Arc<str>>,
        kind: &'static str,
        reason: impl Into<String>,
    ) -> Self {
        Self::new(name, Arc::new(Unavailable::new(kind, reason)))
    }

    /// Adds another name for requests.
    #[must_use]
    pub fn alias(mut self, name: impl Into<Arc<str>>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// Sets the model that ranks if this one has no scores, and that orders the movies that this one cannot score.
    /// Without a fallback, such movies are ordered by their number of ratings.
    #[must_use]
    pub fn fallback(mut self, name: impl Into<Arc<str>>) -> Self {
        self.fallback = Some(name.into());
        self
    }

    /// Sets the models whose scores this one combines: the ranker receives them as `Query::inputs`, in this order. The
    /// engine computes the scores of each model once per request. A name that is not a model of the engine has no scores.
    /// Models with inputs cannot be inputs of others.
    #[must_use]
    pub fn inputs(mut self, names: impl IntoIterator<Item: Into<Arc<str>>>) -> Self {
        self.inputs = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the recall strategy whose candidates this model ranks. Strategies of [`Scope::Fallback`](crate::Scope::Fallback) are used as well only if
    /// it finds none. A name that no strategy has changes nothing.
    #[must_use]
    pub fn recall(mut self, strategy: impl Into<Arc<str>>) -> Self {
        self.recall = Some(strategy.into());
        self
    }

    /// Sets the counters, which the models of several engines may share.
    #[must_use]
    pub fn counters(mut self, counters: Arc<Counters>) -> Self {
        self.counters = counters;
        self
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Model");
        debug.field("name", &self.name).field("kind", &self.ranker.kind());
        debug.field("fallback", &self.fallback).finish_non_exhaustive()
    }
}

/// The index of the model with this name or alias.
pub(crate) fn find<'a>(
    models: impl IntoIterator<Item = &'a Model> + Clone,
    name: &str,
) -> Result<usize, Error> {
    let is_named =
        |model: &Model| *model.name == *name || model.aliases.iter().any(|a| **a == *name);
    models.clone().into_iter().position(is_named).ok_or_else(|| Error::UnknownModel {
        name: name.to_owned(),
        known: models.into_iter().map(|model| Arc::clone(&model.name)).collect(),
    })
}
