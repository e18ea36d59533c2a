use std::fmt;
use std::str::FromStr;

use super::{Error, Split};

/// What can be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// NeuralCF as the original system has it: one network over both embeddings.
    #[default]
    NeuralCf,
    /// A network over each embedding, and the dot product of what they give.
    TwoTowers,
    /// Generalised matrix factorisation with biases: the dot product of the embeddings themselves. It has
    /// no layers; `batch`, `dropout`, `unknown`, `hidden` and `l2_layers` do not matter, and an epoch is
    /// one update by all samples.
    Gmf,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::NeuralCf, Self::TwoTowers, Self::Gmf];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeuralCf => "neuralcf",
            Self::TwoTowers => "two-towers",
            Self::Gmf => "gmf",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|method| method.name() == name);
        found.ok_or_else(|| format!("{name:?} is not one of neuralcf, two-towers, gmf"))
    }
}

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What is trained.
    pub method: Method,
    /// Length of the embeddings.
    pub embedding: usize,
    /// Outputs of each hidden layer; for two towers, of each layer of a tower.
    pub hidden: Vec<usize>,
    /// How often the samples are gone through, at most.
    pub epochs: usize,
    /// How many epochs without a better validation loss end the training.
    pub patience: usize,
    /// Samples an update.
    pub batch: usize,
    /// The step size of Adam.
    pub learning_rate: f32,
    /// How strongly embeddings are pulled towards zero: this times half the square of their length is
    /// part of the loss of each sample that they occur in; for GMF, of the sum of all losses, once.
    pub l2: f32,
    /// The same for the weights of the layers, once a batch.
    pub l2_layers: f32,
    /// The first number of each embedding starts as how much more than others a user likes movies, or
    /// a movie is liked, pulled to zero as if this many more ratings said zero. Training then refines
    /// what it would take long to find for the many movies with few ratings. 0: it starts as the other
    /// numbers do.
    pub bias_prior: f64,
    /// What it counts for whether a rating reaches each of the other ratings that there are, where 3.5 stars
    /// count 1. 0: only likes teach.
    pub ordinal: f32,
    /// 0: the label of a rating is whether it is a like. More: all ratings count as chosen movies, and for each
    /// so many movies that the user has not rated are drawn as not chosen, others each time (He et al. 2017,
    /// section 4.1). Not for GMF.
    pub negatives: usize,
    /// GMF: which movies a user has rated says something of the user's taste, too, and how strongly that is pulled
    /// towards zero. 0: it is not looked at.
    pub choices: f32,
    /// The part of a hidden layer's outputs that is left out, another each time.
    pub dropout: f64,
    /// The part of samples whose user, and of those whose movie, is replaced by "unknown", so that the
    /// model learns what to say of ids that it has not seen.
    pub unknown: f64,
    /// Which ratings are kept out to measure the model, and to know when to stop.
    pub split: Split,
    /// The part of all ratings that is kept out to measure the model.
    pub test: f64,
    /// The part of the others that is kept out to know when to stop.
    pub validation: f64,
    /// Whether to train once more when the best number of epochs is known, for as many, with the
    /// validation part too. The test part is not in it.
    pub refit: bool,
    /// The same seed gives the same model.
    pub seed: u64,
}

impl Options {
    /// What was found to be good on MovieLens' small set; for GMF, on a part of its ratings that no figure in the
    /// documentation is measured on.
    pub fn new(method: Method) -> Self {
        let network = Self {
            method,
            embedding: 10,
            hidden: vec![10, 10],
            epochs: 100,
            patience: 5,
            batch: 256,
            learning_rate: 0.001,
            l2: 0.1,
            l2_layers: 0.0,
            bias_prior: 10.0,
            ordinal: 0.0,
            negatives: 0,
            choices: 0.0,
            dropout: 0.0,
            unknown: 0.02,
            split: Split::Random,
            test: 0.2,
            validation: 0.1,
            refit: true,
            seed: 1,
        };
        match method {
            Method::NeuralCf | Method::TwoTowers => network,
            Method::Gmf => Self {
                embedding: 32,
                epochs: 400,
                patience: 60,
                learning_rate: 0.05,
                l2: 8.0,
                ordinal: 0.15,
                choices: 32.0,
                bias_prior: 5.0,
                ..network
            },
        }
    }

    /// Refuses what cannot work, before any work is done.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |option, allowed, got: &dyn ToString| {
            Err(Error::Option { option, allowed, got: got.to_string() })
        };
        if !(1..=256).contains(&self.embedding) {
            return refuse("embedding", "from 1 to 256", &self.embedding);
        }
        if !(1..=8).contains(&self.hidden.len()) {
            return refuse("hidden", "from 1 to 8 layers", &self.hidden.len());
        }
        if let Some(width) = self.hidden.iter().find(|width| !(1..=512).contains(*width)) {
            return refuse("hidden", "layers of 1 to 512", width);
        }
        if !(1..=100_000).contains(&self.epochs) {
            return refuse("epochs", "from 1 to 100000", &self.epochs);
        }
        if !(1..=100_000).contains(&self.patience) {
            return refuse("patience", "from 1 to 100000", &self.patience);
        }
        if !(1..=1_000_000).contains(&self.batch) {
            return refuse("batch", "from 1 to 1000000", &self.batch);
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return refuse("learning-rate", "more than 0 and at most 1", &self.learning_rate);
        }
        for (option, value) in
            [("l2", self.l2), ("l2-layers", self.l2_layers), ("ordinal", self.ordinal)]
        {
            if !(0.0..=100.0).contains(&value) {
                return refuse(option, "from 0 to 100", &value);
            }
        }
        if !(0.0..=1e6).contains(&self.bias_prior) {
            return refuse("bias-prior", "from 0 to 1000000", &self.bias_prior);
        }
        if !(0.0..=1e6).contains(&self.choices) {
            return refuse("choices", "from 0 to 1000000", &self.choices);
        }
        if self.negatives > 100 {
            return refuse("negatives", "at most 100", &self.negatives);
        }
        if self.negatives > 0 && self.method == Method::Gmf {
            return refuse("negatives", "0 for gmf", &self.negatives);
        }
        if self.negatives > 0 && self.ordinal > 0.0 {
            return refuse("ordinal", "0 with negatives, which leave no stars", &self.ordinal);
        }
        for (option, value) in [("dropout", self.dropout), ("unknown", self.unknown)] {
            if !(0.0..=0.9).contains(&value) {
                return refuse(option, "from 0 to 0.9", &value);
            }
        }
        for (option, value) in [("test", self.test), ("validation", self.validation)] {
            if !(value > 0.0 && value < 1.0) {
                return refuse(option, "more than 0 and less than 1", &value);
            }
        }
        Ok(())
    }

    /// The settings as they are written into the model.
    pub fn described(&self) -> impl Iterator<Item = (String, String)> {
        let hidden: Vec<String> = self.hidden.iter().map(ToString::to_string).collect();
        [
            ("method", self.method.to_string()),
            ("embedding", self.embedding.to_string()),
            ("hidden", hidden.join(",")),
            ("batch", self.batch.to_string()),
            ("learning-rate", self.learning_rate.to_string()),
            ("l2", self.l2.to_string()),
            ("l2-layers", self.l2_layers.to_string()),
            ("bias-prior", self.bias_prior.to_string()),
            ("ordinal", self.ordinal.to_string()),
            ("negatives", self.negatives.to_string()),
            ("choices", self.choices.to_string()),
            ("dropout", self.dropout.to_string()),
            ("unknown", self.unknown.to_string()),
            ("split", self.split.to_string()),
            ("test", self.test.to_string()),
            ("validation", self.validation.to_string()),
            ("refit", self.refit.to_string()),
            ("seed", self.seed.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
    }
}
