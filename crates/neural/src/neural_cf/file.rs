use std::collections::BTreeMap;

use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

use super::{Architecture, Dense, Embedding, MAX_LAYERS, Model, Network};
use crate::TableBuilder;
use crate::tensors::{METADATA_KEY, Stored, Tensors, serialize, verify};

/// The version of the file format. It grows when files could be misread by older programs.
const FORMAT: u32 = 1;

/// What a model file says of its model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The version of the file format.
    format: u32,
    /// How the model is put together.
    pub architecture: String,
    /// A hash of the ratings that it was trained with, or where else it comes from.
    #[serde(default)]
    pub data: String,
    /// The version of the feature definitions in the program that trained it.
    #[serde(default)]
    pub features_version: u32,
    /// The settings of its training.
    #[serde(default)]
    pub training: BTreeMap<String, String>,
    /// How good it was found to be: `roc_auc`, `log_loss` and so on.
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
}

impl Metadata {
    /// For a model of this architecture, with nothing else said.
    pub fn new(architecture: Architecture) -> Self {
        Self {
            format: FORMAT,
            architecture: architecture.name().to_owned(),
            data: String::new(),
            features_version: 0,
            training: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct FileError {
    file: String,
    what: String,
}

/// A model with what its file says of it.
///
/// The file is in the safetensors format. Tensors of 32-bit floats, where not said otherwise:
///
/// | name | shape | |
/// |---|---|---|
/// | `movie.embedding` | movies, length | |
/// | `movie.ids` | movies | whole numbers; without it, a movie's id is its row |
/// | `movie.unknown` | length | for other ids; without it, the mean of the rows |
/// | `user.embedding`, `user.ids`, `user.unknown` | | the same for users |
/// | `dense.0.weight`, `dense.1.weight`, … | inputs, outputs | of the architecture `neuralcf` |
/// | `dense.0.bias`, … | outputs | |
/// | `movie.dense.0.weight`, `user.dense.0.weight`, … and `.bias` | | of `two-towers` |
/// | `output.weight`, `output.bias` | inputs, 1; 1 | |
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// The model.
    pub model: Model,
    /// What is said of it.
    pub metadata: Metadata,
}

impl ModelFile {
    /// Reads a file's content; `file` is the name for error messages. A file without metadata of ours,
    /// as other programs write it, is read too.
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, FileError> {
        read(bytes).map_err(|what| FileError { file: file.to_owned(), what })
    }

    /// The content of a file. Equal models give equal bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        write(self).map_err(|what| FileError { file: super::MODEL_FILE.to_owned(), what })
    }
}

fn read(bytes: &[u8]) -> Result<ModelFile, String> {
    verify(bytes)?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    let tensors = Tensors(SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?);
    let ours = header.metadata().as_ref().and_then(|all| all.get(METADATA_KEY));
    let metadata = match ours {
        Some(json) => {
            let metadata: Metadata = serde_json::from_str(json)
                .map_err(|error| format!("its metadata cannot be read: {error}"))?;
            if metadata.format > FORMAT {
                return Err(format!(
                    "it has format {}, this program knows formats up to {FORMAT}",
                    metadata.format
                ));
            }
            Some(metadata)
        }
        None => None,
    };

    let movies = tensors.embedding("movie")?;
    let users = tensors.embedding("user")?;
    let network = if tensors.has("dense.0.weight") {
        Network::NeuralCf { hidden: tensors.layers("dense")? }
    } else {
        Network::TwoTowers {
            movie: tensors.layers("movie.dense")?,
            user: tensors.layers("user.dense")?,
        }
    };
    let output = tensors.dense("output")?;
    let model = Model::new(movies, users, network, output).map_err(|error| error.0)?;
    let metadata = metadata.unwrap_or_else(|| Metadata::new(model.architecture()));
    if metadata.architecture != model.architecture().name() {
        return Err(format!(
            "it says that its architecture is {:?}, and has the tensors of {:?}",
            metadata.architecture,
            model.architecture().name()
        ));
    }
    Ok(ModelFile { model, metadata })
}

impl Tensors<'_> {
    fn embedding(&self, of: &str) -> Result<Embedding, String> {
        let (values, [rows, dimension]) = self.floats(&format!("{of}.embedding"))?;
        if rows == 0 || dimension == 0 {
            return Err(format!("\"{of}.embedding\" is empty"));
        }
        let name = format!("{of}.ids");
        let ids = if self.has(&name) { self.ids(&name)? } else { (0..rows as u32).collect() };
        if ids.len() != rows {
            return Err(format!("{name:?} has {} ids for {rows} rows", ids.len()));
        }
        let name = format!("{of}.unknown");
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
        let names = (0..=MAX_LAYERS).map(|place| format!("{name}.{place}"));
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
    for (of, embedding) in [("movie", model.movies()), ("user", model.users())] {
        let table = &embedding.table;
        tensors.extend([
            Stored::whole(format!("{of}.ids"), table.iter().map(|(id, _)| id)),
            Stored::floats(
                format!("{of}.embedding"),
                [table.len(), table.dimension()],
                table.iter().flat_map(|(_, row)| row),
            ),
            Stored::floats(format!("{of}.unknown"), [table.dimension()], &embedding.unknown),
        ]);
    }
    let mut add = |name: &str, layers: &[Dense]| {
        for (place, layer) in layers.iter().enumerate() {
            tensors.extend(stored_dense(&format!("{name}.{place}"), layer));
        }
    };
    match model.network() {
        Network::NeuralCf { hidden } => add("dense", hidden),
        Network::TwoTowers { movie, user } => {
            add("movie.dense", movie);
            add("user.dense", user);
        }
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
    use crate::neural_cf::scorer::samples::model;
    use crate::tensors::unverified;

    fn file(towers: bool) -> ModelFile {
        let model = model(5, towers, [4, 3], &[6, 2]);
        let mut metadata = Metadata::new(model.architecture());
        metadata.metrics.insert("roc_auc".to_owned(), 0.8);
        metadata.training.insert("seed".to_owned(), "1".to_owned());
        ModelFile { model, metadata }
    }

    /// A file of these tensors of floats, without metadata.
    fn foreign(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
        let stored: Vec<Stored> = tensors
            .iter()
            .map(|(name, shape, values)| Stored {
                shape: shape.to_vec(),
                ..Stored::floats((*name).to_owned(), [0], *values)
            })
            .collect();
        crate::tensors::without_metadata(&stored)
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        for towers in [false, true] {
            let file = file(towers);
            let bytes = file.to_bytes().unwrap();
            assert_eq!(ModelFile::read(&bytes, "m").unwrap(), file);
            assert_eq!(file.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn files_of_other_programs_may_leave_out_ids_and_unknown() {
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
    fn what_is_wrong_is_said() {
        let embeddings = [
            ("movie.embedding", &[1, 1][..], &[1.0][..]),
            ("user.embedding", &[1, 1], &[0.5]),
            ("output.bias", &[1], &[0.0]),
        ];
        let with = |more: &[(&'static str, &'static [usize], &'static [f32])]| {
            let bytes = foreign(&[&embeddings[..], more].concat());
            ModelFile::read(&bytes, "m").unwrap_err().to_string()
        };
        assert_eq!(with(&[]), "m: it has no tensor \"output.weight\"");
        assert_eq!(
            with(&[("output.weight", &[2], &[1.0, 1.0])]),
            "m: \"output.weight\" has the shape [2], not 2 axes"
        );
        assert_eq!(
            with(&[("output.weight", &[1, 1], &[1.0]), ("user.ids", &[1], &[1.0])]),
            "m: \"user.ids\" is of type F32, not of whole numbers"
        );
        assert_eq!(
            with(&[("output.weight", &[2, 1], &[1.0, 1.0])]),
            "m: output has 2 weights where 1 inputs and 1 outputs need 1"
        );
        let mut wrong = file(false);
        wrong.metadata.architecture = "two-towers".to_owned();
        let error = ModelFile::read(&wrong.to_bytes().unwrap(), "m").unwrap_err().to_string();
        assert!(error.contains("says that its architecture is \"two-towers\""), "{error}");
        wrong.metadata.format = 9;
        let error = ModelFile::read(&wrong.to_bytes().unwrap(), "m").unwrap_err().to_string();
        assert!(error.contains("it has format 9"), "{error}");
    }

    #[test]
    fn flipped_bits_are_refused() {
        let file = file(false);
        let bytes = file.to_bytes().unwrap();
        for bit in (0..bytes.len() * 8).step_by(7) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = ModelFile::read(&damaged, "m") {
                // In the digest's own name: then the file counts as one of an older program.
                assert_eq!(read, file, "{bit}");
            }
        }
        let mut damaged = bytes;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(
            ModelFile::read(&damaged, "m").unwrap_err().to_string(),
            "m: it is damaged: its SHA-256 is not the one in its metadata"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = unverified(file(false).to_bytes().unwrap());
            let header = 8 + usize::from(bytes[0]) + 256 * usize::from(bytes[1]);
            bytes[at.index(header)] = byte;
            let _ = ModelFile::read(&bytes, "m");
            let _ = ModelFile::read(&bytes[..cut.index(bytes.len())], "m");
        }
    }
}
