//! Neural collaborative filtering (He et al. 2017): how much a user likes a movie, from an embedding
//! of each and a small network.
//!
//! [`Model`] holds the weights, [`Scorer`] is a model laid out for scoring a catalogue.

#[cfg(feature = "model-file")]
mod file;
#[cfg(feature = "model-file")]
mod folder;
mod scorer;

#[cfg(feature = "model-file")]
pub use file::{FileError, Metadata, ModelFile};
#[cfg(feature = "model-file")]
pub use folder::{MODEL_FILE, SAVED_MODEL_FILE, Version, versions};
pub use scorer::{Query, Scorer};

use std::fmt;
use std::str::FromStr;

use crate::EmbeddingTable;

/// The most layers of one network.
const MAX_LAYERS: usize = 16;
/// The most outputs of one layer, and the greatest length of embeddings.
const MAX_WIDTH: usize = 1024;
/// The greatest magnitude of a weight: far beyond what training ends with, and far below where sums
/// over layers stop being numbers.
const MAX_WEIGHT: f32 = 1e4;

/// How a model is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Architecture {
    /// One network over both embeddings, the movie's first.
    #[default]
    NeuralCf,
    /// A network over each embedding, and the dot product of what they give.
    TwoTowers,
}

impl Architecture {
    /// Its name in files and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeuralCf => "neuralcf",
            Self::TwoTowers => "two-towers",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Architecture {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "neuralcf" => Ok(Self::NeuralCf),
            "two-towers" => Ok(Self::TwoTowers),
            _ => Err(Error(format!("{name:?} is neither \"neuralcf\" nor \"two-towers\""))),
        }
    }
}

/// What is wrong with a model, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl From<String> for Error {
    fn from(what: String) -> Self {
        Self(what)
    }
}

/// Embeddings by id, and one for ids that are not among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The embeddings of the known ids.
    pub table: EmbeddingTable,
    /// That of all others.
    pub unknown: Vec<f32>,
}

impl Embedding {
    /// The embedding of an id, known or not.
    pub fn get(&self, id: u32) -> &[f32] {
        self.table.get(id).unwrap_or(&self.unknown)
    }

    /// The length of every embedding.
    pub const fn dimension(&self) -> usize {
        self.table.dimension()
    }
}

/// A fully connected layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// A row for each input, with a column for each output.
    pub weight: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
}

impl Dense {
    /// How many outputs there are.
    pub const fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// How many inputs there are.
    pub const fn inputs(&self) -> usize {
        match self.bias.len() {
            0 => 0,
            outputs => self.weight.len() / outputs,
        }
    }

    /// The sums of the outputs for these inputs, in double precision.
    fn sums(&self, inputs: &[f64]) -> Vec<f64> {
        let mut sums: Vec<f64> = self.bias.iter().map(|&bias| f64::from(bias)).collect();
        for (row, &input) in self.weight.chunks_exact(self.outputs()).zip(inputs) {
            for (sum, &weight) in sums.iter_mut().zip(row) {
                *sum += input * f64::from(weight);
            }
        }
        sums
    }
}

/// The layers of a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Network {
    /// See [`Architecture::NeuralCf`].
    NeuralCf {
        /// Each ends in a ReLU; at least one. The first takes the movie's embedding, then the user's.
        hidden: Vec<Dense>,
    },
    /// See [`Architecture::TwoTowers`].
    TwoTowers {
        /// Over the movie's embedding; each ends in a ReLU.
        movie: Vec<Dense>,
        /// Over the user's, with as many outputs.
        user: Vec<Dense>,
    },
}

/// A trained model: the probability that a user likes a movie.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    movies: Embedding,
    users: Embedding,
    network: Network,
    output: Dense,
}

impl Model {
    /// Puts a model together. `output` has one output, which goes through a sigmoid; its inputs are
    /// the last hidden layer's outputs, or for two towers their dot product.
    ///
    /// # Errors
    /// If sizes do not fit together or numbers are not finite and sensible.
    pub fn new(
        movies: Embedding,
        users: Embedding,
        network: Network,
        output: Dense,
    ) -> Result<Self, Error> {
        for (of, embedding) in [("movie", &movies), ("user", &users)] {
            let dimension = embedding.dimension();
            if !(1..=MAX_WIDTH).contains(&dimension) {
                return Err(Error(format!("{of} embeddings have {dimension} numbers")));
            }
            if embedding.unknown.len() != dimension {
                let unknown = embedding.unknown.len();
                return Err(Error(format!(
                    "{of} embeddings have {dimension} numbers, that of unknown ids {unknown}"
                )));
            }
            let rows = embedding.table.iter().map(|(_, row)| row);
            for row in rows.chain([&embedding.unknown[..]]) {
                check_numbers(row, || format!("{of} embeddings"))?;
            }
        }
        let output_inputs = match &network {
            Network::NeuralCf { hidden } => {
                if hidden.is_empty() {
                    return Err(Error("there is no hidden layer".to_owned()));
                }
                check_layers(hidden, movies.dimension() + users.dimension(), "dense")?
            }
            Network::TwoTowers { movie, user } => {
                let movie = check_layers(movie, movies.dimension(), "movie.dense")?;
                let user = check_layers(user, users.dimension(), "user.dense")?;
                if movie != user {
                    return Err(Error(format!(
                        "the movie tower has {movie} outputs, the user tower {user}"
                    )));
                }
                1
            }
        };
        check_layer(&output, output_inputs, "output")?;
        if output.outputs() != 1 {
            return Err(Error(format!("output has {} outputs, not 1", output.outputs())));
        }
        Ok(Self { movies, users, network, output })
    }

    /// How it is put together.
    pub const fn architecture(&self) -> Architecture {
        match self.network {
            Network::NeuralCf { .. } => Architecture::NeuralCf,
            Network::TwoTowers { .. } => Architecture::TwoTowers,
        }
    }

    /// The movies' embeddings.
    pub const fn movies(&self) -> &Embedding {
        &self.movies
    }

    /// The users' embeddings.
    pub const fn users(&self) -> &Embedding {
        &self.users
    }

    /// The hidden layers.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The last layer.
    pub const fn output(&self) -> &Dense {
        &self.output
    }

    /// The score of one pair, word for word as the model is defined, in double precision: what
    /// [`Scorer`] is held against.
    pub fn score(&self, user: u32, movie: u32) -> f64 {
        let wide = |row: &[f32]| row.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let (movie, user) = (wide(self.movies.get(movie)), wide(self.users.get(user)));
        let last = match &self.network {
            Network::NeuralCf { hidden } => run(hidden, [movie, user].concat()),
            Network::TwoTowers { movie: movie_tower, user: user_tower } => {
                let (movie, user) = (run(movie_tower, movie), run(user_tower, user));
                vec![movie.iter().zip(user).map(|(movie, user)| movie * user).sum()]
            }
        };
        1.0 / (1.0 + (-self.output.sums(&last)[0]).exp())
    }
}

/// What layers with their ReLUs make of an input.
fn run(layers: &[Dense], input: Vec<f64>) -> Vec<f64> {
    layers.iter().fold(input, |input, layer| {
        layer.sums(&input).into_iter().map(|sum| sum.max(0.0)).collect()
    })
}

/// Whether layers fit onto each other; the number of outputs of the last.
fn check_layers(layers: &[Dense], inputs: usize, name: &str) -> Result<usize, Error> {
    if layers.len() > MAX_LAYERS {
        return Err(Error(format!("{name} has {} layers, more than {MAX_LAYERS}", layers.len())));
    }
    let mut inputs = inputs;
    for (place, layer) in layers.iter().enumerate() {
        check_layer(layer, inputs, &format!("{name}.{place}"))?;
        inputs = layer.outputs();
    }
    Ok(inputs)
}

fn check_layer(layer: &Dense, inputs: usize, name: &str) -> Result<(), Error> {
    let outputs = layer.outputs();
    if !(1..=MAX_WIDTH).contains(&outputs) {
        return Err(Error(format!("{name} has {outputs} outputs, not 1 to {MAX_WIDTH}")));
    }
    if layer.weight.len() != inputs * outputs {
        return Err(Error(format!(
            "{name} has {} weights where {inputs} inputs and {outputs} outputs need {}",
            layer.weight.len(),
            inputs * outputs
        )));
    }
    check_numbers(&layer.weight, || format!("{name}.weight"))?;
    check_numbers(&layer.bias, || format!("{name}.bias"))
}

fn check_numbers(numbers: &[f32], name: impl Fn() -> String) -> Result<(), Error> {
    match numbers.iter().find(|number| number.is_nan() || number.abs() > MAX_WEIGHT) {
        Some(bad) => Err(Error(format!("{bad} in {} is no sensible weight", name()))),
        None => Ok(()),
    }
}
