use std::fmt;

use sparrow_hyperparameters::{Error as InvalidHyperparameter, Settings};
use sparrow_model::Catalog;
use sparrow_neural::item_weights::{InvalidWeights, ItemWeightsFile};
use sparrow_neural::{ModelFileError, Zeros};
use sparrow_progress::Progress;

use crate::Embeddings;

/// A method that `embed`, `evaluate` and `tune` can name.
#[derive(Clone, Copy)]
pub struct MethodKind {
    /// The name.
    pub name: &'static str,
    /// A line of help.
    pub help: &'static str,
    /// What it computes.
    pub output: Output,
    /// Whether the result depends on the seed.
    pub seeded: bool,
    /// Whether the result is the same with any number of threads.
    pub same_on_all_threads: bool,
    /// The method with its default hyperparameters.
    pub new: fn() -> Box<dyn Method>,
}

/// What a method computes, and so the files that it writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Vectors of movies and users, as files in a folder.
    Vectors,
    /// Item–item weights, as a version in a model folder.
    Weights,
}

/// A method with values of its hyperparameters.
///
/// The contract: the same catalogue, hyperparameters and seed result in the same model, on one thread at least. The
/// model depends on the ratings of this catalogue alone.
pub trait Method: Settings + fmt::Debug + Send + Sync {
    /// Computes the model. Hyperparameters out of range are an error before any work is done.
    fn compute(
        &self,
        catalog: &Catalog,
        execution: Execution,
        progress: Progress<'_>,
    ) -> Result<Model, Error>;

    /// The names and values of the hyperparameters in a run on this catalogue; those that are `auto` are replaced by
    /// their values.
    fn settings_for(&self, _catalog: &Catalog) -> Vec<(String, String)> {
        self.settings()
    }
}

/// The parameters of one run of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Number of threads, from 1 to 1024.
    pub threads: usize,
    /// The seed of random numbers.
    pub seed: u64,
}

impl Default for Execution {
    /// One thread, seed 1.
    fn default() -> Self {
        Self { threads: 1, seed: 1 }
    }
}

impl Execution {
    pub(crate) fn check(self) -> Result<(), Error> {
        if (1..=1024).contains(&self.threads) {
            return Ok(());
        }
        Err(InvalidHyperparameter::new("threads", &"from 1 to 1024", &self.threads).into())
    }
}

/// A computed model.
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// Vectors of movies and users.
    Vectors(Embeddings),
    /// Item–item weights.
    Weights {
        /// The content of the model file.
        file: ItemWeightsFile,
        /// The number of ratings in the training data.
        ratings: usize,
    },
}

/// Why a method has no result. No partial output remains in any of these cases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A hyperparameter is outside its range.
    #[error(transparent)]
    Hyperparameter(#[from] InvalidHyperparameter),
    /// The data set cannot be read.
    #[error("cannot read the data set")]
    Input(#[from] sparrow_movielens::Error),
    /// The training data are empty or too sparse.
    #[error("no training data: {0}")]
    NoTrainingData(String),
    /// The values became infinite or NaN, or no solution exists in single precision.
    #[error("training diverged; {remedy} will help")]
    Diverged {
        /// What to change.
        remedy: String,
    },
    /// All vectors of the movies or of the users are zero after training.
    #[error("training is degenerate: {zeros}; {remedy} will help")]
    Degenerate {
        /// The numbers of zero vectors.
        zeros: Zeros,
        /// What to change.
        remedy: String,
    },
    /// The computation does not fit into memory.
    #[error(
        "weights between {items} movies need {} MiB of memory, and {} MiB are available; excluding rare \
         movies (min-count) helps: the need grows with the square of their number",
        .needed >> 20, .available >> 20
    )]
    Memory {
        /// The number of items.
        items: usize,
        /// Bytes that the computation needs.
        needed: u64,
        /// Bytes that are available.
        available: u64,
    },
    /// The file format does not support the vectors.
    #[error("cannot store the embeddings: {0}")]
    Table(String),
    /// The weights are invalid.
    #[error("cannot store the weights")]
    Weights(#[from] InvalidWeights),
    /// The weights do not fit into their file.
    #[error("cannot store the weights")]
    File(#[from] ModelFileError),
    /// The files cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
}

impl fmt::Debug for MethodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodKind").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for MethodKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::embeddings::tests::catalog;
    use crate::{Execution, METHODS, Model, Output};

    #[test]
    fn methods_have_distinct_names_and_valid_defaults() {
        for (index, kind) in METHODS.iter().enumerate() {
            assert!(METHODS[..index].iter().all(|other| other.name != kind.name));
            let method = (kind.new)();
            assert_eq!(method.check(), Ok(()), "{kind:?}");
            let described = method.describe();
            for (index, hyperparameter) in described.iter().enumerate() {
                let others = &described[..index];
                assert!(others.iter().all(|other| other.name != hyperparameter.name), "{kind:?}");
                let mut again = (kind.new)();
                assert_eq!(again.set(hyperparameter.name, &hyperparameter.value), Ok(true));
                assert_eq!(again.describe(), described);
            }
        }
    }

    #[test]
    fn results_have_the_declared_type_and_depend_on_seed_and_threads_as_declared() {
        let catalog = catalog();
        for kind in METHODS {
            let compute = |threads, seed| {
                let execution = Execution { threads, seed };
                (kind.new)().compute(&catalog, execution, &|_, _| {}).unwrap()
            };
            let first = compute(1, 1);
            let output = match first {
                Model::Vectors(_) => Output::Vectors,
                Model::Weights { .. } => Output::Weights,
            };
            assert_eq!((output, &compute(1, 1)), (kind.output, &first), "{kind:?}");
            assert_eq!(compute(1, 2) != first, kind.seeded, "{kind:?}");
            if kind.same_on_all_threads {
                assert_eq!(compute(3, 1), first, "{kind:?}");
            }
        }
    }
}
