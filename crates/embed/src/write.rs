use std::path::{Path, PathBuf};

use sparrow_model::Catalog;
use sparrow_movielens::{Options as ReaderOptions, Report as ReaderReport, Source};
use sparrow_neural::{Validation, Zeros};
use sparrow_output::model_folder;
use sparrow_progress::Progress;

use crate::{Error, Execution, Method, Model};

/// The result of [`write()`].
#[derive(Debug)]
pub struct Summary {
    /// What was read.
    pub data: ReaderReport,
    /// The names and values of the hyperparameters.
    pub settings: Vec<(String, String)>,
    /// The number of ratings in the training data.
    pub ratings: usize,
    /// The number of movies in the model.
    pub movies: usize,
    /// The rest of the model.
    pub contents: Contents,
    /// nDCG@10 on held-out ratings, if it was measured.
    pub ndcg_at_10: Option<f64>,
    /// The files with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// The contents of a model, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Vectors of movies and users.
    Vectors {
        /// The number of users with a vector.
        users: usize,
        /// Vectors that are zero after training. They are not written.
        zeros: Zeros,
    },
    /// Item–item weights.
    Weights {
        /// The number of weights.
        weights: usize,
        /// Movies without a weight to another movie.
        without_weights: usize,
    },
}

/// Measures a method on held-out ratings of a catalogue, for [`write()`].
pub type Validate<'a> = &'a dyn Fn(&Catalog) -> Result<Option<Validation>, Error>;

/// Computes a model from the data set in the folder `data` and writes it into the folder `out`, which is created if
/// necessary. Vectors replace the files in `out`; weights become the next version in it, a model folder. Without
/// `out`, nothing is written. The figures of `validate` are stored with the model.
pub fn write(
    data: &Path,
    out: Option<&Path>,
    reader: &ReaderOptions,
    method: &dyn Method,
    execution: Execution,
    validate: Option<Validate<'_>>,
    progress: Progress<'_>,
) -> Result<Summary, Error> {
    method.check()?;
    execution.check()?;
    let loaded = Source::open(data)?.load(reader)?;
    let data = loaded.report;
    let settings = method.settings_for(&loaded.catalog);
    let mut files = Vec::new();
    let model = method.compute(&loaded.catalog, execution, progress)?;
    let validation = validate.map_or(Ok(None), |validate| validate(&loaded.catalog))?;
    let ndcg_at_10 = validation.as_ref().map(|validation| validation.ndcg_at_10);
    Ok(match model {
        Model::Vectors(mut embeddings) => {
            embeddings.metadata.validation = validation;
            if let Some(out) = out {
                files = embeddings.write(out)?;
            }
            let contents =
                Contents::Vectors { users: embeddings.users.len(), zeros: embeddings.zeros };
            let (ratings, movies) = (embeddings.ratings, embeddings.movies.len());
            Summary { data, settings, ratings, movies, contents, ndcg_at_10, files }
        }
        Model::Weights { mut file, ratings } => {
            file.metadata.training = settings.iter().cloned().collect();
            file.metadata.validation = validation;
            if let Some(out) = out {
                let content = (sparrow_neural::model_folder::MODEL_FILE, file.to_bytes()?);
                files = model_folder::write(out, &[content])?.files;
            }
            let weights = &file.weights;
            let contents = Contents::Weights {
                weights: weights.weight_count(),
                without_weights: weights.without_weights(),
            };
            Summary { data, settings, ratings, movies: weights.len(), contents, ndcg_at_10, files }
        }
    })
}
