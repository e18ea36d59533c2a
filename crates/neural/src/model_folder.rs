//! Model folders: numbered folders, one per version of a model.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The name of the model file in a version's folder.
pub const MODEL_FILE: &str = "model.safetensors";
/// The name of the SavedModel file there, for TensorFlow Serving.
pub const SAVED_MODEL_FILE: &str = "saved_model.pb";

/// A numbered version in a model folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The number: 3 for `003`.
    pub number: u64,
    /// The folder.
    pub path: PathBuf,
}

impl Version {
    /// The folder name of the next version.
    pub fn next_name(versions: &[Self]) -> String {
        let greatest = versions.iter().map(|version| version.number).max().unwrap_or(0);
        format!("{:03}", greatest.saturating_add(1))
    }
}

/// Lists the versions in a model folder, greatest number first. Ignores other entries, like TensorFlow Serving.
pub fn versions(folder: &Path) -> io::Result<Vec<Version>> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let digits = name.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(number) = digits.and_then(|name| name.parse().ok())
            && path.is_dir()
        {
            versions.push(Version { number, path });
        }
    }
    versions.sort_unstable_by(|a, b| b.number.cmp(&a.number).then_with(|| a.path.cmp(&b.path)));
    Ok(versions)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn versions_are_sorted_by_number() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Version::next_name(&versions(folder.path()).unwrap()), "001");
        for name in ["002", "10", "9", ".011.partial", "v12", "-1"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("13"), "a file").unwrap();
        let found = versions(folder.path()).unwrap();
        let numbers: Vec<u64> = found.iter().map(|version| version.number).collect();
        assert_eq!(numbers, [10, 9, 2]);
        assert_eq!(Version::next_name(&found), "011");
        assert!(versions(&folder.path().join("missing")).is_err());
    }
}
