//! The manifest of a folder: the SHA-256 of each file in it, in the format of `sha256sum`.
//!
//! It is written last, so a folder whose writing was interrupted does not match it. A file without an entry, as of
//! an older program or another one, is read unchecked. Files that contain their own digest (`model.safetensors`),
//! and those whose digest is in the description of their set (`embedding.json`), are checked by that one.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The name of the file. Programs that read folders of part files pass over names with an underscore.
pub const MANIFEST_FILE: &str = "_SHA256SUMS";

/// The largest manifest, in bytes: some 200,000 files.
pub const LARGEST_MANIFEST: u64 = 16 << 20;

/// Digests by file name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest(BTreeMap<String, String>);

impl Manifest {
    /// The manifest of a folder; an empty one if it has none.
    pub fn of(folder: &Path) -> io::Result<Self> {
        match crate::read(&folder.join(MANIFEST_FILE), LARGEST_MANIFEST) {
            Ok(content) => Self::parse(&content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(in_manifest(&error)),
        }
    }

    /// The manifest with this content. A malformed line is an error of the kind `InvalidData`.
    pub fn parse(content: &[u8]) -> io::Result<Self> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
        let text = str::from_utf8(content)
            .map_err(|_| invalid(format!("{MANIFEST_FILE} is not UTF-8")))?;
        let mut manifest = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            // A star marks binary files, which are read no differently.
            let (digest, name) = line
                .split_once(' ')
                .and_then(|(digest, name)| Some((digest, name.strip_prefix([' ', '*'])?)))
                .ok_or_else(|| invalid(format!("{MANIFEST_FILE} has the line {line:?}")))?;
            manifest.set(name, digest.to_ascii_lowercase());
        }
        Ok(manifest)
    }

    /// The SHA-256 of a file in hexadecimal, if the manifest has an entry for it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Adds or replaces an entry.
    pub fn set(&mut self, name: &str, sha256: String) {
        self.0.insert(name.to_owned(), sha256);
    }

    /// Removes the entry of a file. Returns whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    /// The content of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(name, digest)| format!("{digest}  {name}\n").into_bytes())
            .collect()
    }
}

/// The error of a file whose SHA-256 is not the one in `source`, and the remedy.
pub fn differs_from(source: &str) -> String {
    format!(
        "its SHA-256 is not the one in {source}: the file is damaged, or was changed, or its folder was not \
         written to the end; write it again, or delete {source} if you changed the file on purpose"
    )
}

fn in_manifest(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{MANIFEST_FILE}: {error}"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_manifest_reads_back_and_malformed_ones_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Manifest::of(folder.path()).unwrap(), Manifest::default());
        let mut manifest = Manifest::default();
        manifest.set("a.csv", crate::sha256(b"abc"));
        manifest.set("b b.csv", crate::sha256(b""));
        let file = folder.path().join(MANIFEST_FILE);
        fs::write(&file, manifest.to_bytes()).unwrap();
        assert_eq!(Manifest::of(folder.path()).unwrap(), manifest);
        assert_eq!(manifest.get("a.csv"), Some(&*crate::sha256(b"abc")));
        assert_eq!(manifest.get("c.csv"), None);
        // As "sha256sum --binary" and other programs write it.
        let binary = Manifest::parse(b"AB01 *a.csv\ncd *b  c.csv\r\n").unwrap();
        assert_eq!((binary.get("a.csv"), binary.get("b  c.csv")), (Some("ab01"), Some("cd")));
        for content in [&b"nonsense"[..], b"\xff  a\n"] {
            fs::write(&file, content).unwrap();
            let error = Manifest::of(folder.path()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            assert!(error.to_string().starts_with("_SHA256SUMS "), "{error}");
        }
    }
}
