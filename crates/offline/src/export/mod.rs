//! Writes a model as the next version into a model folder, for the server of this project and for
//! TensorFlow Serving; a model of this project's trainer, or of another program.

mod proto;
mod saved_model;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sparrow_neural::neural_cf::{
    FileError, MODEL_FILE, Model, ModelFile, SAVED_MODEL_FILE, Version, versions,
};

/// Why a model is not written. Nothing half-written is left under the name of a version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file to import cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file to import is not what it should be.
    #[error("cannot import a model")]
    Import(#[source] FileError),
    /// The operating system refuses.
    #[error("cannot write {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The model does not fit into its file.
    #[error("cannot store the model")]
    Model(#[from] FileError),
    /// The model does not fit into a TensorFlow graph.
    #[error("cannot export the model: {0}")]
    SavedModel(String),
}

/// A version that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its number.
    pub version: Version,
    /// Its files with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// Writes `model` as the version after the greatest one in `folder`, which is made if it does not
/// exist: `model.safetensors` and `saved_model.pb`. The version's folder appears whole, under
/// its final name, or not at all: TensorFlow Serving loads what it sees at once.
pub fn write(folder: &Path, model: &ModelFile) -> Result<Written, Error> {
    let saved_model = saved_model::encode(&model.model).map_err(Error::SavedModel)?;
    let contents = [(MODEL_FILE, model.to_bytes()?), (SAVED_MODEL_FILE, saved_model)];
    fs::create_dir_all(folder).map_err(failed(folder))?;
    let staged = Staged(folder.join(format!(".{}.partial", std::process::id())));
    // Left by a process of the same number that was killed.
    drop(fs::remove_dir_all(&staged.0));
    fs::create_dir(&staged.0).map_err(failed(&staged.0))?;
    for (name, bytes) in &contents {
        let path = staged.0.join(name);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(failed(&path))?;
    }
    let version = publish(folder, &staged.0)?;
    let sizes = contents.iter().map(|(name, bytes)| (version.path.join(name), bytes.len() as u64));
    Ok(Written { files: sizes.collect(), version })
}

/// A model of another program, and what was written of it.
#[derive(Debug)]
pub struct Imported {
    /// The model.
    pub model: Model,
    /// The new version.
    pub written: Written,
}

/// Reads a model that another program has written to the file `from` (see [`ModelFile`] for names and
/// shapes), and writes it as the next version into `folder`.
pub fn import(from: &Path, folder: &Path) -> Result<Imported, Error> {
    let bytes = fs::read(from).map_err(|source| Error::Read { path: from.to_owned(), source })?;
    let name = from.display().to_string();
    let mut file = ModelFile::read(&bytes, &name).map_err(Error::Import)?;
    if file.metadata.data.is_empty() {
        "imported".clone_into(&mut file.metadata.data);
    }
    let written = write(folder, &file)?;
    Ok(Imported { model: file.model, written })
}

/// Gives the finished folder the name of the next version.
fn publish(folder: &Path, staged: &Path) -> Result<Version, Error> {
    let mut attempts = 0;
    loop {
        let name = Version::next_name(&versions(folder).map_err(failed(folder))?);
        let path = folder.join(&name);
        match fs::rename(staged, &path) {
            Ok(()) => {
                // The new name is on disk when the folder is.
                let synced = File::open(folder).and_then(|folder| folder.sync_all());
                synced.map_err(failed(folder))?;
                return Ok(Version { number: name.parse().unwrap_or(u64::MAX), path });
            }
            // Someone else was faster, or a file has that name.
            Err(_) if path.is_dir() && attempts < 100 => attempts += 1,
            Err(source) => return Err(Error::Io { path, source }),
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    |source| Error::Io { path: path.to_owned(), source }
}

/// A folder that is removed, unless it has got another name by then.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // After a success there is nothing under this name; a failure here has nobody to go to.
        drop(fs::remove_dir_all(&self.0));
    }
}
