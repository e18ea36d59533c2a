use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model_file::header_metadata;
use crate::model_folder::MODEL_FILE;
use crate::{EmbeddingMetadata, METADATA_FILE};

/// The quality of a model on ratings that were held out from its training. Figures of the same data and protocol are
/// comparable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// The hash of all ratings of the data set.
    pub fingerprint: String,
    /// How ratings were held out and the model was measured.
    pub protocol: String,
    /// nDCG of the first ten movies.
    pub ndcg_at_10: f64,
}

/// The largest metadata file of embeddings, in bytes.
const LARGEST: u64 = 1 << 20;

impl Validation {
    /// The figures in a folder with a model file or with embedding files; `None` if there are none or they cannot be read.
    /// Reads no weights or vectors.
    pub fn of_folder(folder: &Path) -> Option<Self> {
        if let Ok(file) = sparrow_files::open(&folder.join(MODEL_FILE), u64::MAX) {
            return Self::of_model_file(file);
        }
        let bytes = sparrow_files::read(&folder.join(METADATA_FILE), LARGEST).ok()?;
        EmbeddingMetadata::read(&bytes, METADATA_FILE).ok()?.validation
    }

    fn of_model_file(file: impl Read) -> Option<Self> {
        let metadata = header_metadata(file).ok()??;
        Self::deserialize(metadata.get("validation")?).ok()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::Similarity;
    use crate::item_weights::{Architecture, InputWeights, ItemWeightsFile, ItemWeightsMetadata};

    fn validation() -> Validation {
        Validation {
            fingerprint: "sha256:0".to_owned(),
            protocol: "lists".to_owned(),
            ndcg_at_10: 0.25,
        }
    }

    #[test]
    fn figures_of_folders_are_read_without_their_models() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Validation::of_folder(folder.path()), None);
        let mut metadata = EmbeddingMetadata::new("ials", Similarity::Dot, None);
        metadata.validation = Some(validation());
        std::fs::write(folder.path().join(METADATA_FILE), metadata.to_bytes()).unwrap();
        assert_eq!(Validation::of_folder(folder.path()), Some(validation()));

        let weights = crate::item_weights::tests::weights();
        let mut metadata = ItemWeightsMetadata::new(Architecture::Ease, InputWeights::EQUAL);
        metadata.validation = Some(validation());
        let mut file = ItemWeightsFile { weights, metadata };
        assert_eq!(Validation::of_model_file(&*file.to_bytes().unwrap()), Some(validation()));
        file.metadata.validation = None;
        std::fs::write(folder.path().join(MODEL_FILE), file.to_bytes().unwrap()).unwrap();
        assert_eq!(Validation::of_folder(folder.path()), None);
    }
}
