//! The models in the models folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sparrow_neural::model_folder::{MODEL_FILE, versions};
use sparrow_neural::{ITEM_FILE, USER_FILE};
use toml::{Table, Value};

use super::super::VECTORS_FOLDER;
use super::{ModelEntry, built_in, check_name, default_fallback};
use crate::models::{KINDS, ModelKind};

/// The folders in a models folder.
#[derive(Debug, Default)]
pub(crate) struct DiscoveredModels {
    /// The models, in order of name.
    pub(super) models: Vec<ModelEntry>,
    /// The other folders, and why each is not a model.
    pub(crate) others: Vec<(String, String)>,
}

/// Discovers the models in a models folder. A model's folder contains numbered versions, or a set of vectors; its kind is
/// that of the greatest version. Hidden folders are ignored.
pub(crate) fn discover(folder: &Path) -> io::Result<DiscoveredModels> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().is_dir() {
            names.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let mut discovered = DiscoveredModels::default();
    for name in names.into_iter().filter(|name| !name.starts_with('.')) {
        let outcome = match built_in(&name) {
            // This model exists even without the folder.
            Some(built_in) if built_in.in_models_folder => continue,
            // The vectors of the engine, unless others are configured: see `Config::embeddings`.
            Some(_) if name == VECTORS_FOLDER => continue,
            Some(_) => Err(format!("the model {name} is not loaded from this folder")),
            None => check_name(&name, &[])
                .map_err(|error| error.message)
                .and_then(|()| kind_in(&folder.join(&name))),
        };
        match outcome {
            Ok(kind) => discovered.models.push(ModelEntry {
                table: Table::from_iter([(
                    "path".to_owned(),
                    Value::String(folder.join(&name).display().to_string()),
                )]),
                fallback: default_fallback(&name, kind),
                embedded: None,
                name,
                aliases: &[],
                kind,
            }),
            Err(reason) => discovered.others.push((name, reason)),
        }
    }
    Ok(discovered)
}

/// The kind of the model in a folder.
fn kind_in(path: &Path) -> Result<&'static dyn ModelKind, String> {
    let versions = versions(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut candidates: Vec<PathBuf> = versions.into_iter().map(|version| version.path).collect();
    candidates.push(path.to_owned());
    for candidate in &candidates {
        let is_version = candidate != path;
        let kinds = KINDS.iter().rev().filter(|kind| is_version || kind.allows_unversioned());
        if let Some(kind) = kinds.into_iter().find(|kind| kind.recognises(candidate)) {
            return Ok(*kind);
        }
    }
    if candidates.iter().any(|candidate| candidate.join("saved_model.pb").is_file()) {
        return Err(
            "it contains a SavedModel, which a model server serves (kind = \"tf-serving\")"
                .to_owned(),
        );
    }
    Err(format!(
        "it contains neither {MODEL_FILE} in a numbered folder nor {ITEM_FILE} and {USER_FILE}"
    ))
}
