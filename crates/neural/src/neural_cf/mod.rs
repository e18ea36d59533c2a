//! Neural collaborative filtering (He et al. 2017): predicts the probability that a user likes a movie, from an
//! embedding of each and a small network.
//!
//! [`Model`] contains the weights; [`Scorer`] is a model prepared for scoring a catalogue.

#[cfg(feature = "model-file")]
mod file;
mod scorer;

#[cfg(feature = "model-file")]
pub use file::{Metadata, ModelFile};
pub use scorer::{Query, Scorer};

use std::fmt;
use std::str::FromStr;

use crate::EmbeddingTable;

/// Maximum number of layers of a network.
const MAX_LAYERS: usize = 16;
/// Maximum number of outputs of a layer, and maximum dimension of embeddings.
const MAX_WIDTH: usize = 1024;
/// Maximum magnitude of a weight: far above trained values, and far below an overflow of sums over layers.
const MAX_WEIGHT: f32 = 1e4;

/// The architecture of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Architecture {
    /// One network over both embeddings, the movie's first.
    #[default]
    NeuralCf,
    /// A network over each embedding, and the dot product of their outputs.
    TwoTowers,
    /// Neural matrix factorisation: the product of a part of both embeddings beside a network over their other parts.
    NeuMf,
}

impl Architecture {
    /// All architectures.
    const ALL: [Self; 3] = [Self::NeuralCf, Self::TwoTowers, Self::NeuMf];

    /// The name in files and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NeuralCf => "neuralcf",
            Self::TwoTowers => "two-towers",
            Self::NeuMf => "neumf",
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
        let found = Self::ALL.into_iter().find(|architecture| architecture.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error(format!("unknown architecture {name:?}, expected one of {names}"))
        })
    }
}

/// The error of an invalid model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self(message)
    }
}

/// Embeddings by id, with a default row for unknown ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The embeddings of the ids in the training data.
    pub table: EmbeddingTable,
    /// The embedding of all other ids.
    pub unknown: Vec<f32>,
}

impl Embedding {
    /// Returns the embedding of an id, or the row for unknown ids.
    pub fn get(&self, id: u32) -> &[f32] {
        self.table.get(id).unwrap_or(&self.unknown)
    }

    /// The dimension of the embeddings.
    pub const fn dimension(&self) -> usize {
        self.table.dimension()
    }
}

/// A fully connected layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Dense {
    /// Row-major, with the shape [inputs, outputs].
    pub weight: Vec<f32>,
    /// One value per output.
    pub bias: Vec<f32>,
}

impl Dense {
    /// The number of outputs.
    pub const fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The number of inputs.
    pub const fn inputs(&self) -> usize {
        match self.bias.len() {
            0 => 0,
            outputs => self.weight.len() / outputs,
        }
    }

    /// Computes the outputs before activation, in double precision.
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
        /// At least one layer, each with a ReLU. The input is the movie's embedding, then the user's.
        hidden: Vec<Dense>,
    },
    /// See [`Architecture::TwoTowers`].
    TwoTowers {
        /// Layers over the movie's embedding, each with a ReLU.
        movie: Vec<Dense>,
        /// Layers over the user's embedding, with the same number of outputs.
        user: Vec<Dense>,
    },
    /// See [`Architecture::NeuMf`] (He et al. 2017, section 3.4).
    NeuMf {
        /// The number of leading dimensions of both embeddings whose products, one per dimension, are the first inputs
        /// of the output layer.
        factors: usize,
        /// At least one layer, each with a ReLU, over the other dimensions, the movie's first. The outputs of the last
        /// are the other inputs of the output layer.
        hidden: Vec<Dense>,
    },
}

/// A trained model that predicts the probability that a user likes a movie.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    movies: Embedding,
    users: Embedding,
    network: Network,
    output: Dense,
}

impl Model {
    /// Creates and validates a model. `output` has one output, followed by a sigmoid; its inputs are the outputs of the
    /// last hidden layer, for [`Network::NeuMf`] after the products of the factors, or the dot product of the towers.
    ///
    /// # Errors
    /// If sizes are inconsistent, or a weight is not finite or above 1e4.
    pub fn new(
        movies: Embedding,
        users: Embedding,
        network: Network,
        output: Dense,
    ) -> Result<Self, Error> {
        for (of, embedding) in [("movie", &movies), ("user", &users)] {
            let dimension = embedding.dimension();
            if !(1..=MAX_WIDTH).contains(&dimension) {
                return Err(Error(format!(
                    "{of} embeddings have {dimension} dimensions, expected 1 to {MAX_WIDTH}"
                )));
            }
            if embedding.unknown.len() != dimension {
                let unknown = embedding.unknown.len();
                return Err(Error(format!(
                    "{of} embeddings have {dimension} dimensions, that of unknown ids {unknown}"
                )));
            }
            let rows = embedding.table.iter().map(|(_, row)| row);
            for row in rows.chain([&embedding.unknown[..]]) {
                check_weights(row, || format!("{of} embeddings"))?;
            }
        }
        let output_inputs = match &network {
            Network::NeuralCf { hidden } => {
                if hidden.is_empty() {
                    return Err(Error("no hidden layer".to_owned()));
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
            Network::NeuMf { factors, hidden } => {
                let smallest = movies.dimension().min(users.dimension());
                if !(1..smallest).contains(factors) {
                    return Err(Error(format!(
                        "{factors} factors of embeddings with {} and {} dimensions",
                        movies.dimension(),
                        users.dimension()
                    )));
                }
                if hidden.is_empty() {
                    return Err(Error("no hidden layer".to_owned()));
                }
                let inputs = movies.dimension() + users.dimension() - 2 * factors;
                factors + check_layers(hidden, inputs, "mlp.dense")?
            }
        };
        check_layer(&output, output_inputs, "output")?;
        if output.outputs() != 1 {
            return Err(Error(format!("output has {} outputs, expected 1", output.outputs())));
        }
        Ok(Self { movies, users, network, output })
    }

    /// The architecture.
    pub const fn architecture(&self) -> Architecture {
        match self.network {
            Network::NeuralCf { .. } => Architecture::NeuralCf,
            Network::TwoTowers { .. } => Architecture::TwoTowers,
            Network::NeuMf { .. } => Architecture::NeuMf,
        }
    }

    /// The movie embeddings.
    pub const fn movies(&self) -> &Embedding {
        &self.movies
    }

    /// The user embeddings.
    pub const fn users(&self) -> &Embedding {
        &self.users
    }

    /// The hidden layers.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The output layer.
    pub const fn output(&self) -> &Dense {
        &self.output
    }

    /// Reference implementation of the score of a pair, in double precision.
    pub fn score(&self, user: u32, movie: u32) -> f64 {
        let wide = |row: &[f32]| row.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let (movie, user) = (wide(self.movies.get(movie)), wide(self.users.get(user)));
        let last = match &self.network {
            Network::NeuralCf { hidden } => run(hidden, [movie, user].concat()),
            Network::TwoTowers { movie: movie_tower, user: user_tower } => {
                let (movie, user) = (run(movie_tower, movie), run(user_tower, user));
                vec![movie.iter().zip(user).map(|(movie, user)| movie * user).sum()]
            }
            Network::NeuMf { factors, hidden } => {
                let ((movie, of_movie), (user, of_user)) =
                    (movie.split_at(*factors), user.split_at(*factors));
                let products = movie.iter().zip(user).map(|(movie, user)| movie * user);
                products.chain(run(hidden, [of_movie, of_user].concat())).collect()
            }
        };
        1.0 / (1.0 + (-self.output.sums(&last)[0]).exp())
    }
}

/// Applies layers with their ReLUs.
fn run(layers: &[Dense], input: Vec<f64>) -> Vec<f64> {
    layers.iter().fold(input, |input, layer| {
        layer.sums(&input).into_iter().map(|sum| sum.max(0.0)).collect()
    })
}

/// Checks the sizes of consecutive layers; returns the number of outputs of the last.
fn check_layers(layers: &[Dense], inputs: usize, name: &str) -> Result<usize, Error> {
    if layers.len() > MAX_LAYERS {
        return Err(Error(format!("{name} has {} layers, more than {MAX_LAYERS}", layers.len())));
    }
    let mut inputs = inputs;
    for (index, layer) in layers.iter().enumerate() {
        check_layer(layer, inputs, &format!("{name}.{index}"))?;
        inputs = layer.outputs();
    }
    Ok(inputs)
}

fn check_layer(layer: &Dense, inputs: usize, name: &str) -> Result<(), Error> {
    let outputs = layer.outputs();
    if !(1..=MAX_WIDTH).contains(&outputs) {
        return Err(Error(format!("{name} has {outputs} outputs, expected 1 to {MAX_WIDTH}")));
    }
    if layer.weight.len() != inputs * outputs {
        return Err(Error(format!(
            "{name} has {} weights, expected {} for {inputs} inputs and {outputs} outputs",
            layer.weight.len(),
            inputs * outputs
        )));
    }
    check_weights(&layer.weight, || format!("{name}.weight"))?;
    check_weights(&layer.bias, || format!("{name}.bias"))
}

fn check_weights(numbers: &[f32], name: impl Fn() -> String) -> Result<(), Error> {
    match numbers.iter().find(|number| number.is_nan() || number.abs() > MAX_WEIGHT) {
        Some(bad) => Err(Error(format!("{} contains {bad}, not finite or too large", name()))),
        None => Ok(()),
    }
}
