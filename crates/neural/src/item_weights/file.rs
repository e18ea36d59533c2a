use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::{InputWeights, ItemWeights};
use crate::Validation;
use crate::model_file::{FORMAT, ModelFileError, Stored, Tensors, header, own_metadata, serialize};

/// What the weights were computed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Architecture {
    /// An autoencoder: the weights reconstruct a history from itself.
    Ease,
    /// The weights predict the movie that is rated next.
    NextItem,
    /// The weights are conditional probabilities of pairs.
    ItemKnn,
}

impl Architecture {
    /// The name in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ease => "ease",
            Self::NextItem => "next-item",
            Self::ItemKnn => "item-knn",
        }
    }
}

/// The metadata of a weights file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemWeightsMetadata {
    format: u32,
    /// What the weights were computed as.
    pub architecture: Architecture,
    /// Whether the input is only the liked movies of a history (3.5 stars or more), rather than all rated ones.
    #[serde(default)]
    liked_only: bool,
    /// The number of newest ratings that are the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    window: Option<usize>,
    /// The age at which the input weight is 1/e.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    decay: Option<f32>,
    /// The hyperparameters of the training.
    #[serde(default)]
    pub training: BTreeMap<String, String>,
    /// The quality on held-out ratings, if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

impl ItemWeightsMetadata {
    /// Creates metadata without hyperparameters.
    pub const fn new(architecture: Architecture, input: InputWeights) -> Self {
        let InputWeights { liked_only, window, decay } = input;
        let training = BTreeMap::new();
        let validation = None;
        Self { format: FORMAT, architecture, liked_only, window, decay, training, validation }
    }

    /// How a history is weighted.
    pub const fn input(&self) -> InputWeights {
        InputWeights { liked_only: self.liked_only, window: self.window, decay: self.decay }
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
pub struct ItemWeightsFile {
    /// The weights.
    pub weights: ItemWeights,
    /// The metadata.
    pub metadata: ItemWeightsMetadata,
}

impl ItemWeightsFile {
    /// Parses the content of a file; `file` is the name in error messages.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, ModelFileError> {
        read(bytes).map_err(|message| ModelFileError { file: file.to_owned(), message })
    }

    /// Detects by its header whether a model file contains item–item weights, and which.
    pub fn detect(file: impl Read) -> io::Result<Option<Architecture>> {
        let header = header(file)?;
        if header.get("starts").is_none() || header.get("targets").is_none() {
            return Ok(None);
        }
        let architecture = own_metadata(&header)
            .and_then(|ours| Architecture::deserialize(ours.get("architecture")?).ok());
        // Loading a file without readable metadata reports what is wrong with it.
        Ok(Some(architecture.unwrap_or(Architecture::Ease)))
    }

    /// Serialises deterministically to the content of a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelFileError> {
        write(self).map_err(|message| ModelFileError { file: "the file".to_owned(), message })
    }
}

fn read(bytes: &[u8]) -> Result<ItemWeightsFile, String> {
    let (tensors, metadata) = Tensors::read::<ItemWeightsMetadata>(bytes)?;
    let metadata = metadata
        .unwrap_or_else(|| ItemWeightsMetadata::new(Architecture::Ease, InputWeights::EQUAL));
    if metadata.decay.is_some_and(|decay| decay.is_nan() || decay <= 0.0)
        || metadata.window == Some(0)
    {
        return Err("the window and the decay of the input must be greater than 0".to_owned());
    }
    let (weights, [_]) = tensors.floats("weights")?;
    let [ids, starts, targets] = ["movie.ids", "starts", "targets"].map(|name| tensors.ids(name));
    let weights =
        ItemWeights::new(ids?, starts?, targets?, weights).map_err(|error| error.to_string())?;
    Ok(ItemWeightsFile { weights, metadata })
}

fn write(file: &ItemWeightsFile) -> Result<Vec<u8>, String> {
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

    fn file(architecture: Architecture) -> ItemWeightsFile {
        let metadata = ItemWeightsMetadata::new(architecture, InputWeights::EQUAL);
        ItemWeightsFile { weights: weights(), metadata }
    }

    #[test]
    fn weights_files_are_detected_by_their_header() {
        let detect = |bytes: &[u8]| ItemWeightsFile::detect(bytes).unwrap();
        for architecture in [Architecture::Ease, Architecture::NextItem, Architecture::ItemKnn] {
            assert_eq!(detect(&file(architecture).to_bytes().unwrap()), Some(architecture));
        }
        let other = Stored::floats("output.bias".to_owned(), [1], &[1.0]);
        assert_eq!(detect(&without_metadata(&[other])), None);
        for broken in [&b""[..], b"no model", &[0xff; 100]] {
            assert!(ItemWeightsFile::detect(broken).is_err());
        }
    }

    #[test]
    fn written_file_is_read_unchanged() {
        let input = InputWeights { liked_only: true, window: Some(40), decay: Some(2.5) };
        let mut metadata = ItemWeightsMetadata::new(Architecture::NextItem, input);
        metadata.training.insert("regularization".to_owned(), "200".to_owned());
        let file = ItemWeightsFile { weights: weights(), metadata };
        let bytes = file.to_bytes().unwrap();
        assert_eq!(ItemWeightsFile::read(&bytes, "m").unwrap(), file);
        assert_eq!(file.to_bytes().unwrap(), bytes);
    }

    #[test]
    fn invalid_files_return_descriptive_errors() {
        let read = |bytes: &[u8]| ItemWeightsFile::read(bytes, "m").unwrap_err().to_string();
        assert!(read(b"nothing").starts_with("m: "));
        let missing = without_metadata(&[Stored::floats("weights".to_owned(), [1], &[1.0])]);
        assert_eq!(read(&missing), "m: missing tensor \"movie.ids\"");
        let mut other = file(Architecture::Ease);
        other.metadata.decay = Some(-1.0);
        let message = "m: the window and the decay of the input must be greater than 0";
        assert_eq!(read(&other.to_bytes().unwrap()), message);
    }

    #[test]
    fn flipped_bits_are_errors() {
        let file = file(Architecture::Ease);
        let bytes = file.to_bytes().unwrap();
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = ItemWeightsFile::read(&damaged, "m") {
                // A flip in the key of the digest: files without digest are accepted.
                assert_eq!(read, file, "{bit}");
            }
        }
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            ItemWeightsFile::read(&damaged, "m").unwrap_err().to_string(),
            "m: damaged file: the SHA-256 differs from the metadata"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(offset in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let file = file(Architecture::Ease);
            let mut bytes = unverified(file.to_bytes().unwrap());
            let offset = offset.index(bytes.len());
            bytes[offset] = byte;
            if let Ok(file) = ItemWeightsFile::read(&bytes, "m") {
                super::super::Scorer::new(&file.weights, 3, Some);
            }
        }
    }
}
