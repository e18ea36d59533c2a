use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::ItemWeights;
use crate::model_file::{FORMAT, ModelFileError, Stored, Tensors, serialize};

/// Maximum length in bytes of a safetensors header.
const MAX_HEADER: u64 = 100_000_000;

/// The metadata of a weights file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EaseMetadata {
    format: u32,
    /// `ease`.
    architecture: String,
    /// Whether the input is only the liked movies of a history (3.5 stars or more), rather than all rated ones.
    #[serde(default)]
    pub liked_only: bool,
    /// The hyperparameters of the training.
    #[serde(default)]
    pub training: BTreeMap<String, String>,
}

impl EaseMetadata {
    const ARCHITECTURE: &str = "ease";

    /// Creates metadata without hyperparameters.
    pub fn new(liked_only: bool) -> Self {
        let architecture = Self::ARCHITECTURE.to_owned();
        Self { format: FORMAT, architecture, liked_only, training: BTreeMap::new() }
    }
}

/// A weights file and its metadata.
///
/// The file is in the safetensors format:
///
/// | name | type, shape | |
/// |---|---|---|
/// | `movie.ids` | U32, movies | ascending |
/// | `starts` | U32, movies + 1 | the weights of row r are at `starts[r]` up to `starts[r + 1]` |
/// | `targets` | U32, weights | the target rows of the weights, ascending within a row |
/// | `weights` | F32, weights | |
#[derive(Debug, Clone, PartialEq)]
pub struct EaseFile {
    /// The weights.
    pub weights: ItemWeights,
    /// The metadata.
    pub metadata: EaseMetadata,
}

impl EaseFile {
    /// Parses the content of a file; `file` is the name in error messages.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, ModelFileError> {
        read(bytes).map_err(|message| ModelFileError { file: file.to_owned(), message })
    }

    /// Detects by its header whether a model file contains item–item weights.
    pub fn detect(mut file: impl Read) -> io::Result<bool> {
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length).min(MAX_HEADER);
        let header: serde_json::Value = serde_json::from_reader(file.take(length))?;
        Ok(header.get("starts").is_some() && header.get("targets").is_some())
    }

    /// Serialises deterministically to the content of a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelFileError> {
        write(self).map_err(|message| ModelFileError { file: "the file".to_owned(), message })
    }
}

fn read(bytes: &[u8]) -> Result<EaseFile, String> {
    let (tensors, metadata) = Tensors::read::<EaseMetadata>(bytes)?;
    let metadata = metadata.unwrap_or_else(|| EaseMetadata::new(false));
    if metadata.architecture != EaseMetadata::ARCHITECTURE {
        return Err(format!("architecture is {:?}, expected \"ease\"", metadata.architecture));
    }
    let (weights, [_]) = tensors.floats("weights")?;
    let [ids, starts, targets] = ["movie.ids", "starts", "targets"].map(|name| tensors.ids(name));
    let weights =
        ItemWeights::new(ids?, starts?, targets?, weights).map_err(|error| error.to_string())?;
    Ok(EaseFile { weights, metadata })
}

fn write(file: &EaseFile) -> Result<Vec<u8>, String> {
    let ItemWeights { ids, starts, targets, weights } = &file.weights;
    let integers =
        |name: &str, values: &[u32]| Stored::integers(name.to_owned(), values.iter().copied());
    let tensors = [
        integers("movie.ids", ids),
        integers("starts", starts),
        integers("targets", targets),
        Stored::floats("weights".to_owned(), [weights.len()], weights),
    ];
    let json = serde_json::to_string(&file.metadata).map_err(|error| error.to_string())?;
    serialize(&tensors, &json)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::weights;
    use super::*;
    use crate::model_file::{unverified, without_metadata};

    #[test]
    fn weights_files_are_detected_by_their_header() {
        let file = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
        assert!(EaseFile::detect(&file.to_bytes().unwrap()[..]).unwrap());
        let other = Stored::floats("output.bias".to_owned(), [1], &[1.0]);
        assert!(!EaseFile::detect(&without_metadata(&[other])[..]).unwrap());
        for broken in [&b""[..], b"no model", &[0xff; 100]] {
            assert!(EaseFile::detect(broken).is_err());
        }
    }

    #[test]
    fn written_file_is_read_unchanged() {
        let mut metadata = EaseMetadata::new(true);
        metadata.training.insert("regularization".to_owned(), "200".to_owned());
        let file = EaseFile { weights: weights(), metadata };
        let bytes = file.to_bytes().unwrap();
        assert_eq!(EaseFile::read(&bytes, "m").unwrap(), file);
        assert_eq!(file.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn invalid_files_return_descriptive_errors() {
        let read = |bytes: &[u8]| EaseFile::read(bytes, "m").unwrap_err().to_string();
        assert!(read(b"nothing").starts_with("m: "));
        let missing = without_metadata(&[Stored::floats("weights".to_owned(), [1], &[1.0])]);
        assert_eq!(read(&missing), "m: missing tensor \"movie.ids\"");
        let mut other = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
        other.metadata.architecture = "neuralcf".to_owned();
        let other = other.to_bytes().unwrap();
        assert_eq!(read(&other), "m: architecture is \"neuralcf\", expected \"ease\"");
    }

    #[test]
    fn flipped_bits_are_errors() {
        let file = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
        let bytes = file.to_bytes().unwrap();
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = EaseFile::read(&damaged, "m") {
                // A flip in the key of the digest: files without digest are accepted.
                assert_eq!(read, file, "{bit}");
            }
        }
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            EaseFile::read(&damaged, "m").unwrap_err().to_string(),
            "m: damaged file: the SHA-256 differs from the metadata"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(offset in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let file = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
            let mut bytes = unverified(file.to_bytes().unwrap());
            let offset = offset.index(bytes.len());
            bytes[offset] = byte;
            if let Ok(file) = EaseFile::read(&bytes, "m") {
                super::super::Scorer::new(&file.weights, 3, Some);
            }
        }
    }
}
