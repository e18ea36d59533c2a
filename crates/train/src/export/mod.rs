//! Writes a model, trained here or by another program, as the next version into a model folder, for Sparrow's server and
//! for TensorFlow Serving.

mod proto;
mod saved_model;

use std::io;
use std::path::{Path, PathBuf};

use sparrow_neural::ModelFileError;
use sparrow_neural::model_folder::{MODEL_FILE, SAVED_MODEL_FILE};
use sparrow_neural::neural_cf::{Model, ModelFile};

use sparrow_output::model_folder;
pub use sparrow_output::model_folder::Written;

/// The error of an export or import. No partial version remains.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file to import cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file to import is malformed.
    #[error("cannot import a model")]
    Import(#[source] ModelFileError),
    /// The version cannot be written.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
    /// The model does not fit into its file.
    #[error("cannot store the model")]
    Model(#[from] ModelFileError),
    /// The model does not fit into a TensorFlow graph.
    #[error("cannot export the model: {0}")]
    SavedModel(String),
}

/// Writes `model` as the next version in `folder`, which is created if it does not exist: `model.safetensors` and
/// `saved_model.pb`. The folder of the version appears atomically, because TensorFlow Serving loads it at once.
pub fn write(folder: &Path, model: &ModelFile) -> Result<Written, Error> {
    let saved_model = saved_model::encode(&model.model).map_err(Error::SavedModel)?;
    let contents = [(MODEL_FILE, model.to_bytes()?), (SAVED_MODEL_FILE, saved_model)];
    Ok(model_folder::write(folder, &contents)?)
}

/// An imported model and its version.
#[derive(Debug)]
pub struct Imported {
    /// The model.
    pub model: Model,
    /// The new version.
    pub written: Written,
}

/// Maximum size of a model file in bytes.
const LARGEST: u64 = 16 << 30;

/// Reads the model of another program from the file `from` (see [`ModelFile`] for names and shapes) and writes it as the
/// next version into `folder`.
pub fn import(from: &Path, folder: &Path) -> Result<Imported, Error> {
    let bytes = sparrow_files::read(from, LARGEST)
        .map_err(|source| Error::Read { path: from.to_owned(), source })?;
    let name = from.display().to_string();
    let mut file = ModelFile::read(&bytes, &name).map_err(Error::Import)?;
    if file.metadata.data.is_empty() {
        "imported".clone_into(&mut file.metadata.data);
    }
    let written = write(folder, &file)?;
    Ok(Imported { model: file.model, written })
}
