use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Architecture, Dense, Embedding, MAX_LAYERS, Model, Network};
use crate::TableBuilder;
use crate::model_file::{FORMAT, ModelFileError, Stored, Tensors, serialize};
use crate::model_folder::MODEL_FILE;

/// The metadata of a model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The format version.
    format: u32,
    /// The architecture of the model.
    pub architecture: String,
    /// The hash of the training ratings, or another origin.
    #[serde(default)]
    pub data: String,
    /// The hyperparameters of the training.
    #[serde(default)]
    pub training: BTreeMap<String, String>,
    /// Evaluation metrics, such as `roc_auc` and `log_loss`.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

impl Metadata {
    /// Creates metadata with an architecture and no other fields.
    pub fn new(architecture: Architecture) -> Self {
        Self {
            format: FORMAT,
            architecture: architecture.name().to_owned(),
            data: String::new(),
            training: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }
}

/// A model file: the model and its metadata.
///
/// The file is in the safetensors format. Tensors have the type F32 unless stated otherwise:
///
/// | name | shape | |
/// |---|---|---|
/// | `movie.embedding` | movies, dimension | |
/// | `movie.ids` | movies | integers; default: the row index |
/// | `movie.unknown` | dimension | for other ids; default: the mean of the rows |
/// | `user.embedding`, `user.ids`, `user.unknown` | | the same for users |
/// | `dense.0.weight`, `dense.1.weight`, … | inputs, outputs | of the architecture `neuralcf` |
/// | `dense.0.bias`, … | outputs | |
/// | `movie.dense.0.weight`, `user.dense.0.weight`, … and `.bias` | | of `two-towers` |
/// | `mlp.dense.0.weight`, … and `.bias` | inputs, outputs; outputs | of `neumf`, whose number of factors is that of the inputs of `output` less the outputs of the last of these layers |
/// | `output.weight`, `output.bias` | inputs, 1; 1 | |
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The model.
    pub model: Model,
    /// The metadata.
    pub metadata: Metadata,
}

impl ModelFile {
    /// Parses the content of a file; `file` is the name in error messages. Accepts files of other programs, without our
    /// metadata.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, ModelFileError> {
        read(bytes).map_err(|message| ModelFileError { file: file.to_owned(), message })
    }

    /// Serialises deterministically to the content of a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ModelFileError> {
        write(self).map_err(|message| ModelFileError { file: MODEL_FILE.to_owned(), message })
    }
}

fn read(bytes: &[u8]) -> Result<ModelFile, String> {
    let (tensors, metadata) = Tensors::read::<Metadata>(bytes)?;
    let movies = tensors.embedding("movie")?;
    let users = tensors.embedding("user")?;
    let output = tensors.dense("output")?;
    let network = if tensors.has("dense.0.weight") {
        Network::NeuralCf { hidden: tensors.layers("dense")? }
    } else if tensors.has("mlp.dense.0.weight") {
        let hidden = tensors.layers("mlp.dense")?;
        let last = hidden.last().map_or(0, Dense::outputs);
        Network::NeuMf { factors: output.inputs().saturating_sub(last), hidden }
    } else {
        Network::TwoTowers {
            movie: tensors.layers("movie.dense")?,
            user: tensors.layers("user.dense")?,
        }
    };
    let model = Model::new(movies, users, network, output).map_err(|error| error.0)?;
    let metadata = metadata.unwrap_or_else(|| Metadata::new(model.architecture()));
    if metadata.architecture != model.architecture().name() {
        return Err(format!(
            "the architecture in the metadata is {:?}, the tensors are those of {:?}",
            metadata.architecture,
            model.architecture().name()
        ));
    }
    Ok(ModelFile { model, metadata })
}

impl Tensors<'_> {
    fn embedding(&self, side: &str) -> Result<Embedding, String> {
        let (values, [rows, dimension]) = self.floats(&format!("{side}.embedding"))?;
        if rows == 0 || dimension == 0 {
            return Err(format!("\"{side}.embedding\" is empty"));
        }
        let name = format!("{side}.ids");
        let ids = if self.has(&name) { self.ids(&name)? } else { (0..rows as u32).collect() };
        if ids.len() != rows {
            return Err(format!("{name:?} has {} ids for {rows} rows", ids.len()));
        }
        let name = format!("{side}.unknown");
        let unknown = if self.has(&name) {
            self.floats::<1>(&name)?.0
        } else {
            let mean = |column| {
                let column = values.iter().skip(column).step_by(dimension);
                column.map(|&value| f64::from(value)).sum::<f64>() / rows as f64
            };
            (0..dimension).map(|column| mean(column) as f32).collect()
        };
        let mut table = TableBuilder::default();
        for (&id, row) in ids.iter().zip(values.chunks_exact(dimension)) {
            table.push(id, row)?;
        }
        Ok(Embedding { table: table.build()?, unknown })
    }

    fn layers(&self, name: &str) -> Result<Vec<Dense>, String> {
        let names = (0..=MAX_LAYERS).map(|index| format!("{name}.{index}"));
        names
            .take_while(|name| self.has(&format!("{name}.weight")))
            .map(|name| self.dense(&name))
            .collect()
    }

    fn dense(&self, name: &str) -> Result<Dense, String> {
        let (weight, [inputs, outputs]) = self.floats(&format!("{name}.weight"))?;
        let (bias, [biases]) = self.floats(&format!("{name}.bias"))?;
        if biases != outputs || inputs == 0 {
            return Err(format!(
                "\"{name}.weight\" has the shape [{inputs}, {outputs}], \"{name}.bias\" [{biases}]"
            ));
        }
        Ok(Dense { weight, bias })
    }
}

fn write(file: &ModelFile) -> Result<Vec<u8>, String> {
    let model = &file.model;
    let mut tensors = Vec::new();
    for (side, embedding) in [("movie", model.movies()), ("user", model.users())] {
        let table = &embedding.table;
        tensors.extend([
            Stored::integers(format!("{side}.ids"), table.iter().map(|(id, _)| id)),
            Stored::floats(
                format!("{side}.embedding"),
                [table.len(), table.dimension()],
                table.iter().flat_map(|(_, row)| row),
            ),
            Stored::floats(format!("{side}.unknown"), [table.dimension()], &embedding.unknown),
        ]);
    }
    let mut add = |name: &str, layers: &[Dense]| {
        for (index, layer) in layers.iter().enumerate() {
            tensors.extend(stored_dense(&format!("{name}.{index}"), layer));
        }
    };
    match model.network() {
        Network::NeuralCf { hidden } => add("dense", hidden),
        Network::TwoTowers { movie, user } => {
            add("movie.dense", movie);
            add("user.dense", user);
        }
        Network::NeuMf { hidden, .. } => add("mlp.dense", hidden),
    }
    tensors.extend(stored_dense("output", model.output()));

    let json = serde_json::to_string(&file.metadata).map_err(|error| error.to_string())?;
    serialize(&tensors, &json)
}

fn stored_dense(name: &str, layer: &Dense) -> [Stored; 2] {
    let shape = [layer.inputs(), layer.outputs()];
    [
        Stored::floats(format!("{name}.weight"), shape, &layer.weight),
        Stored::floats(format!("{name}.bias"), [layer.outputs()], &layer.bias),
    ]
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model_file::unverified;
    use crate::neural_cf::scorer::samples::model;

    fn file(architecture: Architecture) -> ModelFile {
        let model = model(5, architecture, [4, 3], &[6, 2]);
        let mut metadata = Metadata::new(model.architecture());
        metadata.metrics.insert("roc_auc".to_owned(), 0.8);
        metadata.training.insert("seed".to_owned(), "1".to_owned());
        ModelFile { model, metadata }
    }

    /// Serialises a file without metadata.
    fn foreign(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
        let stored: Vec<Stored> = tensors
            .iter()
            .map(|(name, shape, values)| Stored {
                shape: shape.to_vec(),
                ..Stored::floats((*name).to_owned(), [0], *values)
            })
            .collect();
        crate::model_file::without_metadata(&stored)
    }

    #[test]
    fn written_model_is_read_unchanged() {
        for architecture in Architecture::ALL {
            let file = file(architecture);
            let bytes = file.to_bytes().unwrap();
            assert_eq!(ModelFile::read(&bytes, "m").unwrap(), file);
            assert_eq!(file.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn ids_and_unknown_rows_are_optional() {
        let bytes = foreign(&[
            ("movie.embedding", &[3, 1], &[1.0, 2.0, 6.0]),
            ("user.embedding", &[2, 1], &[0.5, 1.5]),
            ("output.weight", &[1, 1], &[1.0]),
            ("output.bias", &[1], &[0.0]),
        ]);
        let ModelFile { model, metadata } = ModelFile::read(&bytes, "m").unwrap();
        assert_eq!(metadata, Metadata::new(Architecture::TwoTowers));
        assert_eq!((model.movies().get(2), model.movies().get(3)), (&[6.0][..], &[3.0][..]));
        assert_eq!(model.users().get(77), &[1.0]);
        assert_eq!(model.score(0, 1), 1.0 / (1.0 + (-1.0_f64).exp()));
    }

    #[test]
    fn invalid_files_return_descriptive_errors() {
        let embeddings = [
            ("movie.embedding", &[1, 1][..], &[1.0][..]),
            ("user.embedding", &[1, 1], &[0.5]),
            ("output.bias", &[1], &[0.0]),
        ];
        let with = |more: &[(&'static str, &'static [usize], &'static [f32])]| {
            let bytes = foreign(&[&embeddings[..], more].concat());
            ModelFile::read(&bytes, "m").unwrap_err().to_string()
        };
        assert_eq!(with(&[]), "m: missing tensor \"output.weight\"");
        assert_eq!(
            with(&[("output.weight", &[2], &[1.0, 1.0])]),
            "m: \"output.weight\" has the shape [2], expected 2 axes"
        );
        assert_eq!(
            with(&[("output.weight", &[1, 1], &[1.0]), ("user.ids", &[1], &[1.0])]),
            "m: \"user.ids\" has type F32, expected integers"
        );
        assert_eq!(
            with(&[("output.weight", &[2, 1], &[1.0, 1.0])]),
            "m: output has 2 weights, expected 1 for 1 inputs and 1 outputs"
        );
        let mut wrong = file(Architecture::NeuralCf);
        wrong.metadata.architecture = "two-towers".to_owned();
        let error = ModelFile::read(&wrong.to_bytes().unwrap(), "m").unwrap_err().to_string();
        assert!(error.contains("architecture in the metadata is \"two-towers\""), "{error}");
        wrong.metadata.format = 9;
        let error = ModelFile::read(&wrong.to_bytes().unwrap(), "m").unwrap_err().to_string();
        assert!(error.contains("unsupported format 9"), "{error}");
    }

    #[test]
    fn flipped_bits_are_errors() {
        let file = file(Architecture::NeuralCf);
        let bytes = file.to_bytes().unwrap();
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = ModelFile::read(&damaged, "m") {
                // A flip in the key of the digest: files without digest are accepted.
                assert_eq!(read, file, "{bit}");
            }
        }
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            ModelFile::read(&damaged, "m").unwrap_err().to_string(),
            "m: damaged file: the SHA-256 differs from the metadata"
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(
            offset in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = unverified(file(Architecture::NeuralCf).to_bytes().unwrap());
            let header = 8 + usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
            bytes[offset.index(header)] = byte;
            let _ = ModelFile::read(&bytes, "m");
            let _ = ModelFile::read(&bytes[..cut.index(bytes.len())], "m");
        }
    }
}
