//! The manifest of an output folder: the SHA-256 of each file in it, in the format of `sha256sum`.
//!
//! It is written last, so a folder whose writing was interrupted does not match it. Embedding files have
//! theirs in `embedding.json`. A file without an entry, as of an older program or another one, is read
//! unchecked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use sparrow_neural::{ABOUT_FILE, About, Hashing};

/// The name of the file. Programs that read folders of part files pass over names with an underscore.
pub const MANIFEST_FILE: &str = "_SHA256SUMS";

/// Digests by file name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Manifest(BTreeMap<String, String>);

impl Manifest {
    /// The manifest of a folder; an empty one if it has none.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let text = match fs::read_to_string(folder.join(MANIFEST_FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut manifest = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let Some((digest, name)) = line.split_once("  ") else {
                let problem = format!("{MANIFEST_FILE} has the line {line:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            };
            manifest.set(name, digest.to_owned());
        }
        Ok(manifest)
    }

    pub(crate) fn set(&mut self, name: &str, sha256: String) {
        self.0.insert(name.to_owned(), sha256);
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(name, digest)| format!("{digest}  {name}\n").into_bytes())
            .collect()
    }
}

/// Compares a file with the manifest of its folder. What differs comes back in words.
pub fn check(path: &Path) -> io::Result<Result<(), String>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return Ok(Ok(()));
    };
    let manifest = Manifest::of(folder)?;
    let about = fs::read(folder.join(ABOUT_FILE)).ok();
    let about = about.and_then(|bytes| About::read(&bytes, ABOUT_FILE).ok());
    let of_set = about.as_ref().and_then(|about| about.sha256(name));
    let (source, expected) = match (of_set, manifest.0.get(name)) {
        (Some(digest), _) => (ABOUT_FILE, digest),
        (None, Some(digest)) => (MANIFEST_FILE, &**digest),
        (None, None) => return Ok(Ok(())),
    };
    let mut file = Hashing::new(File::open(path)?);
    io::copy(&mut file, &mut io::sink())?;
    if file.sha256() == expected {
        return Ok(Ok(()));
    }
    Ok(Err(format!(
        "its SHA-256 is not the one in {source}: the file is damaged, or its folder was not written to \
         the end; write it again, or remove the entry if the file was changed on purpose"
    )))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_differs_from_its_entry_and_others_are_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, "abc").unwrap();
        assert_eq!(check(&path).unwrap(), Ok(()));
        let mut manifest = Manifest::default();
        manifest.set("a.csv", sparrow_neural::sha256(b"abc"));
        manifest.set("b b.csv", sparrow_neural::sha256(b""));
        fs::write(folder.path().join(MANIFEST_FILE), manifest.to_bytes()).unwrap();
        assert_eq!(Manifest::of(folder.path()).unwrap(), manifest);
        assert_eq!(check(&path).unwrap(), Ok(()));
        fs::write(&path, "abd").unwrap();
        assert!(
            check(&path).unwrap().unwrap_err().starts_with("its SHA-256 is not the one in _SHA")
        );
        fs::write(folder.path().join(MANIFEST_FILE), "nonsense").unwrap();
        assert!(check(&path).is_err());
    }
}
