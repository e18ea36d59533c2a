use std::collections::BTreeMap;
use std::io::{self, Read};

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

use super::ItemWeights;
use crate::tensors::{METADATA_KEY, Stored, Tensors, serialize, verify};

/// The version of the file format. It grows when files could be misread by older programs.
const FORMAT: u32 = 1;

/// The longest header of a safetensors file.
const MAX_HEADER: u64 = 100_000_000;

/// What a file of weights says of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EaseMetadata {
    format: u32,
    /// `ease`.
    architecture: String,
    /// Whether only liked movies of a history count (3.5 stars or more), rather than all that were rated.
    #[serde(default)]
    pub liked_only: bool,
    /// The settings of the training.
    #[serde(default)]
    pub training: BTreeMap<String, String>,
}

impl EaseMetadata {
    const ARCHITECTURE: &str = "ease";

    /// With nothing said of the training.
    pub fn new(liked_only: bool) -> Self {
        let architecture = Self::ARCHITECTURE.to_owned();
        Self { format: FORMAT, architecture, liked_only, training: BTreeMap::new() }
    }
}

/// Weights with what their file says of them.
///
/// The file is in the safetensors format:
///
/// | name | type, shape | |
/// |---|---|---|
/// | `movie.ids` | U32, movies | ascending |
/// | `starts` | U32, movies + 1 | the weights of row r are at `starts[r]` up to `starts[r + 1]` |
/// | `targets` | U32, weights | the rows that the weights speak for, ascending within a row |
/// | `weights` | F32, weights | |
#[derive(Debug, Clone, PartialEq)]
pub struct EaseFile {
    /// The weights.
    pub weights: ItemWeights,
    /// What is said of them.
    pub metadata: EaseMetadata,
}

/// Why a file of weights cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct EaseFileError {
    file: String,
    what: String,
}

impl EaseFile {
    /// Reads a file's content; `file` is the name for error messages.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, EaseFileError> {
        read(bytes).map_err(|what| EaseFileError { file: file.to_owned(), what })
    }

    /// Whether a model file is one of item–item weights, by its header.
    pub fn is_one(mut file: impl Read) -> io::Result<bool> {
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length).min(MAX_HEADER);
        let header: serde_json::Value = serde_json::from_reader(file.take(length))?;
        Ok(header.get("starts").is_some() && header.get("targets").is_some())
    }

    /// The content of a file. Equal models give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EaseFileError> {
        write(self).map_err(|what| EaseFileError { file: "the file".to_owned(), what })
    }
}

fn read(bytes: &[u8]) -> Result<EaseFile, String> {
    verify(bytes)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let tensors = Tensors(SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?);
    let ours = header.metadata().as_ref().and_then(|all| all.get(METADATA_KEY));
    let metadata: EaseMetadata = match ours {
        Some(json) => serde_json::from_str(json)
            .map_err(|error| format!("its metadata cannot be read: {error}"))?,
        None => EaseMetadata::new(false),
    };
    if metadata.format > FORMAT {
        return Err(format!(
            "it has format {}, this program knows formats up to {FORMAT}",
            metadata.format
        ));
    }
    if metadata.architecture != EaseMetadata::ARCHITECTURE {
        return Err(format!("its architecture is {:?}, not \"ease\"", metadata.architecture));
    }
    let (weights, [_]) = tensors.floats("weights")?;
    let [ids, starts, targets] = ["movie.ids", "starts", "targets"].map(|name| tensors.ids(name));
    let weights =
        ItemWeights::new(ids?, starts?, targets?, weights).map_err(|error| error.to_string())?;
    Ok(EaseFile { weights, metadata })
}

fn write(file: &EaseFile) -> Result<Vec<u8>, String> {
    let ItemWeights { ids, starts, targets, weights } = &file.weights;
    let whole = |name: &str, values: &[u32]| Stored::whole(name.to_owned(), values.iter().copied());
    let tensors = [
        whole("movie.ids", ids),
        whole("starts", starts),
        whole("targets", targets),
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
    use crate::tensors::{unverified, without_metadata};

    #[test]
    fn files_of_weights_are_told_by_their_header() {
        let file = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
        assert!(EaseFile::is_one(&file.to_bytes().unwrap()[..]).unwrap());
        let other = Stored::floats("output.bias".to_owned(), [1], &[1.0]);
        assert!(!EaseFile::is_one(&without_metadata(&[other])[..]).unwrap());
        for broken in [&b""[..], b"no model", &[0xff; 100]] {
            assert!(EaseFile::is_one(broken).is_err());
        }
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let mut metadata = EaseMetadata::new(true);
        metadata.training.insert("regularization".to_owned(), "200".to_owned());
        let file = EaseFile { weights: weights(), metadata };
        let bytes = file.to_bytes().unwrap();
        assert_eq!(EaseFile::read(&bytes, "m").unwrap(), file);
        assert_eq!(file.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let read = |bytes: &[u8]| EaseFile::read(bytes, "m").unwrap_err().to_string();
        assert!(read(b"nothing").starts_with("m: "));
        let missing = without_metadata(&[Stored::floats("weights".to_owned(), [1], &[1.0])]);
        assert_eq!(read(&missing), "m: it has no tensor \"movie.ids\"");
        let mut other = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
        other.metadata.architecture = "neuralcf".to_owned();
        let other = other.to_bytes().unwrap();
        assert_eq!(read(&other), "m: its architecture is \"neuralcf\", not \"ease\"");
    }

    #[test]
    fn flipped_bits_are_refused() {
        let file = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
        let bytes = file.to_bytes().unwrap();
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = EaseFile::read(&damaged, "m") {
                // In the digest's own name: then the file counts as one of an older program.
                assert_eq!(read, file, "{bit}");
            }
        }
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            EaseFile::read(&damaged, "m").unwrap_err().to_string(),
            "m: it is damaged: its SHA-256 is not the one in its metadata"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let file = EaseFile { weights: weights(), metadata: EaseMetadata::new(false) };
            let mut bytes = unverified(file.to_bytes().unwrap());
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(file) = EaseFile::read(&bytes, "m") {
                super::super::Scorer::new(&file.weights, 3, Some);
            }
        }
    }
}
