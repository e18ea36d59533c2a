//! Versions in model folders, which appear complete or not at all.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sparrow_files::{MANIFEST_FILE, Manifest, sha256};
use sparrow_neural::model_folder::{Version, versions};

use crate::atomic_file::{Error, is_abandoned, lock};

/// A version that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The version number.
    pub version: Version,
    /// The files with their sizes in bytes.
    pub files: Vec<(PathBuf, u64)>,
}

/// Writes files as the version after the greatest one in `folder`, which is created if necessary.
/// The folder of the version appears complete or not at all, because servers load it immediately.
pub fn write(folder: &Path, contents: &[(&str, Vec<u8>)]) -> Result<Written, Error> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    remove_abandoned(folder);
    let staged = Staged(folder.join(format!(".{}.partial", std::process::id())));
    // The rest of a killed process with the same id.
    drop(fs::remove_dir_all(&staged.0));
    fs::create_dir(&staged.0).map_err(Error::io(&staged.0))?;
    let mut manifest = Manifest::default();
    for (name, bytes) in contents {
        manifest.set(name, sha256(bytes));
    }
    let manifest = manifest.to_bytes();
    // The open files keep their locks until the folder has its final name.
    let mut open = Vec::new();
    let contents_and_manifest = contents.iter().map(|(name, bytes)| (*name, &**bytes));
    for (name, bytes) in contents_and_manifest.chain([(MANIFEST_FILE, &*manifest)]) {
        let path = staged.0.join(name);
        let write = || {
            let mut file = File::create(&path)?;
            lock(&file);
            file.write_all(bytes)?;
            file.sync_all()?;
            Ok(file)
        };
        open.push(write().map_err(Error::io(&path))?);
    }
    let version = publish(folder, &staged.0)?;
    let sizes = contents.iter().map(|(name, bytes)| (version.path.join(name), bytes.len() as u64));
    Ok(Written { files: sizes.collect(), version })
}

/// An empty folder counts as abandoned after this time; before, its owner may be about to write.
const EMPTY: Duration = Duration::from_mins(1);

/// Removes the folders of killed processes. Failures only cost disk space.
fn remove_abandoned(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let process = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".partial"));
        if process.is_none_or(|process| process.parse::<u32>().is_err()) {
            continue;
        }
        let Ok(files) = fs::read_dir(&path) else { continue };
        let files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        let modified = path.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = modified.and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
        if files.iter().all(|file| is_abandoned(file)) && (!files.is_empty() || age > EMPTY) {
            drop(fs::remove_dir_all(&path));
        }
    }
}

/// Renames the completed folder to the next version.
fn publish(folder: &Path, staged: &Path) -> Result<Version, Error> {
    let mut attempts = 0;
    loop {
        let name = Version::next_name(&versions(folder).map_err(Error::io(folder))?);
        let path = folder.join(&name);
        match fs::rename(staged, &path) {
            Ok(()) => {
                // Syncing the folder makes the new name durable.
                let synced = File::open(folder).and_then(|folder| folder.sync_all());
                synced.map_err(Error::io(folder))?;
                return Ok(Version { number: name.parse().unwrap_or(u64::MAX), path });
            }
            // Another process has published this version, or a file has the name.
            Err(_) if path.is_dir() && attempts < 100 => attempts += 1,
            Err(source) => return Err(Error::Io { path, source }),
        }
    }
}

/// A temporary folder that is removed unless it was renamed.
struct Staged(PathBuf);

impl Drop for Staged {
    fn drop(&mut self) {
        // After a success the temporary name does not exist. Errors cannot be returned here.
        drop(fs::remove_dir_all(&self.0));
    }
}
