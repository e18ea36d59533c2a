//! Fuzz targets of this crate, for `crates/fuzz`; tests replay their corpus.

use crate::item_weights::ItemWeightsFile;
use crate::neural_cf::ModelFile;
use crate::{EmbeddingMetadata, EmbeddingTable};

/// Reads a model file, a file of item weights, embeddings and their description. What is read is written and read again.
///
/// # Panics
/// If a file that was written cannot be read.
pub fn model_files(data: &[u8]) {
    if let Ok(model) = ModelFile::read(data, "fuzz") {
        let written = model.to_bytes().expect("a model that was read can be written");
        assert!(ModelFile::read(&written, "written").is_ok());
    }
    if let Ok(weights) = ItemWeightsFile::read(data, "fuzz") {
        let written = weights.to_bytes().expect("weights that were read can be written");
        assert!(ItemWeightsFile::read(&written, "written").is_ok());
    }
    if let Ok(table) = EmbeddingTable::read(data, "fuzz") {
        let mut written = Vec::new();
        table.write(&mut written).expect("memory can be written");
        assert!(EmbeddingTable::read(&written[..], "written").is_ok());
    }
    if let Ok(metadata) = EmbeddingMetadata::read(data, "fuzz") {
        assert!(EmbeddingMetadata::read(&metadata.to_bytes(), "written").is_ok());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use sparrow_test_support::corpus;

    use super::*;
    use crate::item_weights::{
        Architecture as Weighting, InputWeights, ItemWeights, ItemWeightsMetadata,
    };
    use crate::neural_cf::{Architecture, Dense, Embedding, Metadata, Model, Network};
    use crate::{Similarity, TableBuilder};

    fn embedding(first: &[f32], second: &[f32], unknown: &[f32]) -> Embedding {
        let mut table = TableBuilder::default();
        table.push(10, first).unwrap();
        table.push(30, second).unwrap();
        Embedding { table: table.build().unwrap(), unknown: unknown.to_vec() }
    }

    fn neumf_file() -> Vec<u8> {
        let embedding = || embedding(&[1.0, 0.5], &[3.0, -0.5], &[2.0, 0.0]);
        let hidden = vec![Dense { weight: vec![1.0, 1.0], bias: vec![0.0] }];
        let output = Dense { weight: vec![1.0, 0.5], bias: vec![0.0] };
        let network = Network::NeuMf { factors: 1, hidden };
        let model = Model::new(embedding(), embedding(), network, output).unwrap();
        let metadata = Metadata::new(Architecture::NeuMf);
        ModelFile { model, metadata }.to_bytes().unwrap()
    }

    fn model_file() -> Vec<u8> {
        let embedding = || embedding(&[1.0], &[3.0], &[2.0]);
        let hidden = vec![Dense { weight: vec![1.0, 1.0], bias: vec![0.0] }];
        let output = Dense { weight: vec![1.0], bias: vec![0.0] };
        let network = Network::NeuralCf { hidden };
        let model = Model::new(embedding(), embedding(), network, output).unwrap();
        let metadata = Metadata::new(Architecture::NeuralCf);
        ModelFile { model, metadata }.to_bytes().unwrap()
    }

    fn ease_file() -> Vec<u8> {
        let (targets, weights) = (vec![1, 2, 0], vec![0.5, -0.25, 0.75]);
        let weights = ItemWeights::new(vec![10, 20, 30], vec![0, 2, 3, 3], targets, weights);
        let input = InputWeights { liked_only: true, ..InputWeights::EQUAL };
        let metadata = ItemWeightsMetadata::new(Weighting::Ease, input);
        ItemWeightsFile { weights: weights.unwrap(), metadata }.to_bytes().unwrap()
    }

    #[test]
    fn corpus_of_model_files_is_read_without_panics() {
        let (model, neumf, ease) = (model_file(), neumf_file(), ease_file());
        let metadata = EmbeddingMetadata::new("ials", Similarity::Dot, None).to_bytes();
        let mut flipped = model.clone();
        flipped[9] ^= 0x10;
        let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
        let seeds: [(&str, &[u8]); 10] = [
            ("neuralcf", &model),
            ("neuralcf-half", &model[..model.len() / 2]),
            ("neuralcf-flipped", &flipped),
            ("neumf", &neumf),
            ("header-too-long", &huge),
            ("ease", &ease),
            ("ease-half", &ease[..ease.len() / 2]),
            ("embeddings", b"1:0.5 -0.25\n2:1e-3 3\n"),
            ("embeddings-malformed", b"1:0.5 NaN\n1:2\n:\n"),
            ("metadata", &metadata),
        ];
        for (_, data) in corpus("model-files", &seeds) {
            model_files(&data);
        }
    }
}
