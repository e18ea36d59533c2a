use std::fmt;
use std::str::FromStr;

use sparrow_hyperparameters::{
    Error as Invalid, Hyperparameter, Hyperparameters, Range, SearchSpace, Settings, Value,
};

use sparrow_embed::ials;

use super::{Error, Split};

/// The range of the strength of a bias prior, in ratings.
pub const BIAS_PRIOR: Range = Range::within(0.0, 1e6);

/// The architectures that can be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// NeuralCF as in the original system: one network over both embeddings.
    #[default]
    NeuralCf,
    /// A network over each embedding, and the dot product of their outputs.
    TwoTowers,
    /// Generalised matrix factorisation with biases: the dot product of the embeddings. It has no layers: `batch`,
    /// `dropout`, `unknown`, `hidden` and `l2_layers` have no effect. An epoch is one update by all samples.
    Gmf,
    /// Neural matrix factorisation: the products of a part of both embeddings beside a network over their other parts.
    NeuMf,
}

impl Method {
    /// All architectures.
    pub const ALL: [Self; 4] = [Self::NeuralCf, Self::NeuMf, Self::TwoTowers, Self::Gmf];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeuralCf => "neuralcf",
            Self::TwoTowers => "two-towers",
            Self::Gmf => "gmf",
            Self::NeuMf => "neumf",
        }
    }

    /// A line of help.
    pub const fn help(self) -> &'static str {
        match self {
            Self::NeuralCf => "NeuralCF: one network over both embeddings",
            Self::TwoTowers => {
                "A network over each embedding, and the dot product of their outputs"
            }
            Self::Gmf => "Matrix factorization with biases",
            Self::NeuMf => "NeuMF: the product of embeddings beside a network over others",
        }
    }

    /// Returns whether hyperparameter search supports it: the search spaces were chosen for GMF.
    pub const fn searchable(self) -> bool {
        matches!(self, Self::Gmf)
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
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is not one of {names}")
        })
    }
}

/// What a training starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pretraining {
    /// The vectors of implicit ALS. The layers of NeuralCF approximate their dot products; those of NeuMF start beside
    /// them with the weight 0. Training goes on for [`Options::epochs`], as long as it improves lists.
    #[default]
    Ials,
    /// Random weights.
    None,
}

impl Pretraining {
    const NAMES: [&'static str; 2] = ["ials", "none"];
}

impl Value for Pretraining {
    fn parse(&mut self, text: &str) -> bool {
        *self = match text {
            "ials" => Self::Ials,
            "none" => Self::None,
            _ => return false,
        };
        true
    }

    fn text(&self) -> String {
        Self::NAMES[*self as usize].to_owned()
    }

    fn expected(&self) -> &'static str {
        "ials or none"
    }
}

/// The options of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The architecture.
    pub method: Method,
    /// What the training starts from. It determines the defaults of the others, see [`Options::new`] and
    /// [`Options::without_pretraining`].
    pub pretraining: Pretraining,
    /// Dimension of the embeddings; for NeuMF, of the part that is multiplied. `None` is the dimension of implicit ALS
    /// for the number of ratings.
    pub embedding: Option<usize>,
    /// Number of outputs of each hidden layer; for two towers, of each layer of a tower. For NeuMF, the first is also the
    /// dimension of the part of the embeddings that enters the layers. Empty for NeuralCF with pre-training, which
    /// determines them.
    pub hidden: Vec<usize>,
    /// Maximum number of passes over the samples.
    pub epochs: usize,
    /// Number of epochs without a lower validation loss after which the training stops.
    pub patience: usize,
    /// Samples per update.
    pub batch: usize,
    /// The learning rate of Adam.
    pub learning_rate: f32,
    /// L2 regularization of the embeddings: this times half their squared norm is part of the loss of each of their
    /// samples; for GMF, once of the sum of all losses.
    pub l2: f32,
    /// L2 regularization of the layers' weights, once per batch.
    pub l2_layers: f32,
    /// The first component of each embedding is initialised with the bias of the user or movie, shrunk to zero as if by
    /// this many ratings. Training alone would need long to find the biases of movies with few ratings. 0 turns this
    /// off.
    pub bias_prior: f64,
    /// Weight of the loss for reaching each of the other ratings, relative to that for 3.5 stars. With 0, only likes
    /// count.
    pub ordinal: f32,
    /// Negative samples per rating. With 0, the label of a rating is whether it is a like. Otherwise all ratings are
    /// positive, and this many movies that the user has not rated are drawn as negative samples, anew in each epoch (He
    /// et al. 2017, section 4.1). Not for GMF.
    pub negatives: usize,
    /// L2 regularization of the vectors for the choice of movies, whatever their stars; 0 turns them off. For GMF only.
    pub choices: f32,
    /// L2 regularization of the users' weights for genres and decades of movies; 0 turns them off. For GMF only.
    pub content: f32,
    /// Dropout rate of the hidden layers' outputs.
    pub dropout: f64,
    /// Share of samples whose user, and of those whose movie, is replaced by the unknown row, so that the model can score
    /// ids outside the training data.
    pub unknown: f64,
    /// Which ratings are the test part and the validation part.
    pub split: Split,
    /// Share of the ratings in the test part.
    pub test: f64,
    /// Share of the other ratings in the validation part, which decides when to stop.
    pub validation: f64,
    /// Whether to train again with the validation part included, for the best number of epochs. The test part remains
    /// excluded.
    pub refit: bool,
    /// The seed of the random numbers; the same seed results in the same model.
    pub seed: u64,
}

impl Options {
    /// The defaults: NeuralCF and NeuMF start from implicit ALS and are not trained further.
    pub fn new(method: Method) -> Self {
        let random = Self::without_pretraining(method);
        let pretrained = Self {
            pretraining: Pretraining::Ials,
            epochs: 0,
            l2: 0.0,
            bias_prior: 0.0,
            negatives: 4,
            unknown: 0.0,
            ..random.clone()
        };
        match method {
            Method::NeuralCf => Self { embedding: Some(32), hidden: Vec::new(), ..pretrained },
            Method::NeuMf => Self { embedding: None, ..pretrained },
            Method::TwoTowers | Method::Gmf => random,
        }
    }

    /// The defaults of a training that starts from random weights and predicts likes, tuned on ml-latest-small; for GMF,
    /// on a part of its ratings that no metric in the documentation uses.
    pub fn without_pretraining(method: Method) -> Self {
        let network = Self {
            method,
            pretraining: Pretraining::None,
            embedding: Some(10),
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
            content: 0.0,
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
            Method::NeuMf => Self {
                embedding: Some(16),
                hidden: vec![32, 16, 8],
                l2: 0.01,
                bias_prior: 0.0,
                negatives: 4,
                ..network
            },
            Method::Gmf => Self {
                embedding: Some(32),
                epochs: 400,
                patience: 60,
                learning_rate: 0.05,
                l2: 8.0,
                ordinal: 0.15,
                choices: 32.0,
                content: 4.0,
                bias_prior: 5.0,
                ..network
            },
        }
    }

    /// The options with the dimension for a number of ratings.
    #[must_use]
    pub(crate) fn resolved(&self, ratings: usize) -> Self {
        let dimension = || ials::Options::for_ratings(ratings).dimension;
        Self { embedding: Some(self.embedding.unwrap_or_else(dimension)), ..self.clone() }
    }

    /// The dimension of the embeddings. Unless it is set or [`resolved`](Self::resolved), it is that for few ratings.
    pub(crate) fn dimension(&self) -> usize {
        self.embedding.unwrap_or(ials::Options::DEFAULT.dimension)
    }

    /// Returns whether the objective is the choice of movies, which is measured by lists, rather than likes.
    pub const fn orders_lists(&self) -> bool {
        self.negatives > 0
    }

    /// Checks all options, before any work is done.
    pub fn check(&self) -> Result<(), Error> {
        Settings::check(self)?;
        if self.test > 0.0 && self.test < 1.0 {
            return Ok(());
        }
        Err(Invalid::new("test-fraction", &Range::between(0.0, 1.0), &self.test).into())
    }

    /// The options as they are written into the model.
    pub fn described(&self) -> impl Iterator<Item = (String, String)> {
        let own = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
        let others = [
            own("method", &self.method),
            own("split", &self.split),
            own("test", &self.test),
            own("seed", &self.seed),
        ];
        self.settings().into_iter().chain(others)
    }
}

impl Hyperparameters for Options {
    const TABLE: &'static [Hyperparameter<Self>] = &[
        Hyperparameter::<Self>::new(
            "pretraining",
            Range::Names(&Pretraining::NAMES),
            |o| &mut o.pretraining,
            "ials: start from the vectors of implicit ALS, for good lists; none: start from random weights, and train \
             neuralcf on likes with the defaults of two-towers. ials for neuralcf and neumf only",
        ),
        Hyperparameter::<Self>::new(
            "embedding",
            Range::within(1.0, 256.0),
            |o| &mut o.embedding,
            "Dimension of the embeddings, for neumf of those that it multiplies; auto is that of ials",
        )
        .search(SearchSpace::OneOf(&[8.0, 16.0, 32.0, 64.0])),
        Hyperparameter::<Self>::new(
            "hidden",
            Range::within(1.0, 512.0),
            |o| &mut o.hidden,
            "Outputs of each hidden layer; auto for neuralcf with pretraining, which determines them",
        ),
        Hyperparameter::<Self>::new(
            "epochs",
            Range::within(0.0, 100_000.0),
            |o| &mut o.epochs,
            "Maximum number of passes over the ratings; at least 1 without pretraining",
        ),
        Hyperparameter::<Self>::new(
            "patience",
            Range::within(1.0, 100_000.0),
            |o| &mut o.patience,
            "Epochs without a better validation part after which the training stops",
        ),
        Hyperparameter::<Self>::new(
            "batch",
            Range::within(1.0, 1e6),
            |o| &mut o.batch,
            "Ratings per update",
        ),
        Hyperparameter::<Self>::new(
            "l2",
            Range::within(0.0, 100.0),
            |o| &mut o.l2,
            "L2 regularization of the embeddings",
        )
        .search(SearchSpace::Logarithmic(1.0, 50.0)),
        Hyperparameter::<Self>::new(
            "l2-layers",
            Range::within(0.0, 100.0),
            |o| &mut o.l2_layers,
            "L2 regularization of the layers' weights",
        ),
        Hyperparameter::<Self>::new(
            "learning-rate",
            Range::above(0.0, 1.0),
            |o| &mut o.learning_rate,
            "Learning rate of Adam",
        )
        .search(SearchSpace::Logarithmic(0.005, 0.1)),
        Hyperparameter::<Self>::new(
            "bias-prior",
            BIAS_PRIOR,
            |o| &mut o.bias_prior,
            "The first component of each embedding starts as the bias of the user or movie, shrunk to zero as if \
             by this many ratings; 0 turns that off",
        ),
        Hyperparameter::<Self>::new(
            "ordinal",
            Range::within(0.0, 100.0),
            |o| &mut o.ordinal,
            "Weight of the loss for reaching each of the other ratings, relative to that for 3.5 stars; with 0, \
             only likes count",
        ),
        Hyperparameter::<Self>::new(
            "choices",
            Range::within(0.0, 1e6),
            |o| &mut o.choices,
            "L2 regularization of the vectors for the choice of movies, whatever their stars; 0 turns them off. \
             For gmf only",
        ),
        Hyperparameter::<Self>::new(
            "content",
            Range::within(0.0, 1e6),
            |o| &mut o.content,
            "L2 regularization of the users' weights for genres and decades of movies; 0 turns them off. For gmf only",
        )
        .search(SearchSpace::Logarithmic(1.0, 50.0)),
        Hyperparameter::<Self>::new(
            "negatives",
            Range::within(0.0, 100.0),
            |o| &mut o.negatives,
            "Negative samples per rating: the model learns which movies users choose rather than which they \
             like; with 0 it learns likes. Not for gmf",
        ),
        Hyperparameter::<Self>::new(
            "dropout",
            Range::within(0.0, 0.9),
            |o| &mut o.dropout,
            "Share of each hidden layer's outputs that training leaves out",
        ),
        Hyperparameter::<Self>::new(
            "unknown",
            Range::within(0.0, 0.9),
            |o| &mut o.unknown,
            "Share of users, and of movies, that training replaces by the unknown row",
        ),
        Hyperparameter::<Self>::new(
            "validation",
            Range::between(0.0, 1.0),
            |o| &mut o.validation,
            "Share of the ratings outside the test part that decides when to stop",
        )
        .flag("validation-fraction"),
        Hyperparameter::<Self>::new(
            "refit",
            Range::Any,
            |o| &mut o.refit,
            "Do not train again with the validation part included",
        )
        .flag("no-refit"),
    ];

    fn after_set(&mut self, name: &str) {
        if name == "pretraining" {
            let defaults = match self.pretraining {
                Pretraining::Ials => Self::new(self.method),
                Pretraining::None => Self::without_pretraining(self.method),
            };
            let Self { pretraining, split, test, seed, .. } = *self;
            *self = Self { pretraining, split, test, seed, ..defaults };
        }
    }

    fn check_combination(&self) -> Result<(), Invalid> {
        if self.pretraining == Pretraining::Ials {
            if !matches!(self.method, Method::NeuralCf | Method::NeuMf) {
                let allowed = format!("none for {}", self.method);
                return Err(Invalid::new("pretraining", &allowed, &"ials"));
            }
            if self.negatives == 0 {
                return Err(Invalid::new("negatives", &"at least 1 with pretraining", &0));
            }
            if self.method == Method::NeuralCf {
                if !self.hidden.is_empty() {
                    let allowed = "auto with pretraining";
                    return Err(Invalid::new("hidden", &allowed, &self.hidden.text()));
                }
                return self.check_choices();
            }
        } else if self.epochs == 0 {
            return Err(Invalid::new("epochs", &"at least 1 without pretraining", &0));
        }
        if !(1..=8).contains(&self.hidden.len()) {
            return Err(Invalid::new("hidden", &"from 1 to 8 layers", &self.hidden.len()));
        }
        self.check_choices()
    }
}

impl Options {
    fn check_choices(&self) -> Result<(), Invalid> {
        if self.choices > 0.0 && self.method != Method::Gmf {
            return Err(Invalid::new("choices", &"0 except for gmf", &self.choices));
        }
        if self.content > 0.0 && self.method != Method::Gmf {
            return Err(Invalid::new("content", &"0 except for gmf", &self.content));
        }
        if self.bias_prior > 0.0 && self.method == Method::NeuMf {
            return Err(Invalid::new("bias-prior", &"0 for neumf", &self.bias_prior));
        }
        if self.negatives > 0 && self.method == Method::Gmf {
            return Err(Invalid::new("negatives", &"0 for gmf", &self.negatives));
        }
        if self.negatives > 0 && self.ordinal > 0.0 {
            let allowed = "0 with negatives, which have no stars";
            return Err(Invalid::new("ordinal", &allowed, &self.ordinal));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_options_are_errors_with_their_flag() {
        let check = |options: Options| options.check().expect_err("invalid").to_string();
        let network = || Options::without_pretraining(Method::NeuralCf);
        let gmf = || Options::new(Method::Gmf);
        assert_eq!(
            check(Options { hidden: vec![], ..network() }),
            "hidden must be from 1 to 8 layers, got 0"
        );
        assert_eq!(
            check(Options { hidden: vec![9, 513], ..network() }),
            "hidden must be from 1 to 512, got 9,513"
        );
        assert_eq!(
            check(Options { choices: 1.0, ..network() }),
            "choices must be 0 except for gmf, got 1"
        );
        assert_eq!(
            check(Options { content: 1.0, ..network() }),
            "content must be 0 except for gmf, got 1"
        );
        let neumf = || Options::new(Method::NeuMf);
        assert_eq!(
            check(Options { bias_prior: 5.0, ..neumf() }),
            "bias-prior must be 0 for neumf, got 5"
        );
        assert_eq!(
            check(Options { hidden: vec![], ..neumf() }),
            "hidden must be from 1 to 8 layers, got 0"
        );
        assert_eq!(check(Options { negatives: 1, ..gmf() }), "negatives must be 0 for gmf, got 1");
        assert_eq!(
            check(Options { negatives: 1, ordinal: 0.5, ..network() }),
            "ordinal must be 0 with negatives, which have no stars, got 0.5"
        );
        assert_eq!(
            check(Options { test: 1.0, ..gmf() }),
            "test-fraction must be more than 0 and less than 1, got 1"
        );
        let pretrained = || Options::new(Method::NeuralCf);
        assert_eq!(
            check(Options { hidden: vec![9], ..pretrained() }),
            "hidden must be auto with pretraining, got 9"
        );
        assert_eq!(
            check(Options { negatives: 0, ..pretrained() }),
            "negatives must be at least 1 with pretraining, got 0"
        );
        assert_eq!(
            check(Options { epochs: 0, ..network() }),
            "epochs must be at least 1 without pretraining, got 0"
        );
        assert_eq!(
            check(Options { pretraining: Pretraining::Ials, ..gmf() }),
            "pretraining must be none for gmf, got ials"
        );
        for method in Method::ALL {
            assert!(Options::without_pretraining(method).check().is_ok(), "{method}");
            assert!(Options::new(method).check().is_ok(), "{method}");
        }
    }

    #[test]
    fn neumf_has_the_dimension_of_implicit_als() {
        let options = Options::new(Method::NeuMf);
        assert_eq!(options.resolved(100_000).embedding, Some(64));
        assert_eq!(options.resolved(1_000_000).embedding, Some(192));
        let chosen = Options { embedding: Some(7), ..options };
        assert_eq!(chosen.resolved(1_000_000).embedding, Some(7));
    }

    #[test]
    fn pretraining_determines_the_defaults_of_the_others() {
        let mut options = Options { seed: 7, ..Options::new(Method::NeuralCf) };
        assert_eq!(options.set("pretraining", "none"), Ok(true));
        let expected = Options { seed: 7, ..Options::without_pretraining(Method::NeuralCf) };
        assert_eq!(options, expected);
        assert_eq!(options.set("pretraining", "ials"), Ok(true));
        assert_eq!(options, Options { seed: 7, ..Options::new(Method::NeuralCf) });
    }
}
