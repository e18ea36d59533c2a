//! The models in the folder of model folders.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sparrow_neural::ease::EaseFile;
use sparrow_neural::neural_cf::{MODEL_FILE, versions};
use sparrow_neural::{ITEM_FILE, USER_FILE};

use super::{BUILT_IN, Source, check_name};

/// What is in a folder of model folders.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The models by name, in order of it.
    pub(super) models: Vec<(String, Source)>,
    /// The other folders, and why each is not a model.
    pub(crate) others: Vec<(String, String)>,
}

/// Looks into a folder of model folders. A model's folder contains numbered versions, or a set of vectors; what it
/// is says the greatest version. Hidden folders are passed over.
pub(crate) fn find(folder: &Path) -> io::Result<Found> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let mut found = Found::default();
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let path = folder.join(&name);
        if name == "neuralcf" {
            // That model is there also without the folder.
            continue;
        }
        let outcome = if BUILT_IN.iter().any(|(built_in, _)| *built_in == name) {
            Err(format!("the model {name} does not come from this folder"))
        } else {
            check_name(&name, &[]).and_then(|()| source(&path))
        };
        match outcome {
            Ok(source) => found.models.push((name, source)),
            Err(why) => found.others.push((name, why)),
        }
    }
    Ok(found)
}

/// What sort of model is in a folder.
fn source(path: &Path) -> Result<Source, String> {
    let versions = versions(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut candidates: Vec<PathBuf> = versions.into_iter().map(|version| version.path).collect();
    candidates.push(path.to_owned());
    for version in &candidates {
        let file = version.join(MODEL_FILE);
        let is_version = version != path;
        if is_version && file.is_file() {
            // One that cannot be read is reported when it is loaded.
            let is_ease =
                sparrow_files::open(&file, u64::MAX).and_then(EaseFile::detect).unwrap_or(false);
            let path = path.to_owned();
            return Ok(if is_ease { Source::Ease(path) } else { Source::NeuralCf(Some(path)) });
        }
        if [ITEM_FILE, USER_FILE].iter().all(|name| version.join(name).is_file()) {
            return Ok(Source::Vectors(path.to_owned()));
        }
    }
    if candidates.iter().any(|version| version.join("saved_model.pb").is_file()) {
        return Err(
            "it holds a SavedModel, which a model server serves (kind = \"tf-serving\")".to_owned()
        );
    }
    Err(format!(
        "it holds neither {MODEL_FILE} in a numbered folder nor {ITEM_FILE} and {USER_FILE}"
    ))
}
