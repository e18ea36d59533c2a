use super::{Dense, Model, Network, run};
use crate::kernel::{Kernel, LANES, Lanes, Layer, Stack, User};

/// Number of blocks scored per call of the kernel; their values fit into the cache.
const CHUNK: usize = 16;

/// A model prepared for scoring the items of a catalogue, by item index.
///
/// The part that depends only on the movie is precomputed: its half of the first layer, which is linear in both
/// embeddings, the output of its tower, or its factors. The part that depends only on the user is computed once per request, in
/// [`Scorer::query`]. The remaining few hundred multiplications per pair run for 16 movies in parallel with SIMD.
///
/// Item values are stored twice: in blocks for scoring all items, and row-major for scoring candidates.
#[derive(Debug, Clone)]
pub struct Scorer {
    kernel: Kernel,
    stack: Stack,
    user_part: UserPart,
    dimension: usize,
    len: usize,
    /// The values of the stack for each block of [`LANES`] items.
    blocks: Vec<Lanes>,
    /// The values of each item, padded to `row_lanes`.
    rows: Vec<Lanes>,
    row_lanes: usize,
    /// Number of items with an embedding.
    known_items: usize,
}

/// The parts of the model that [`Scorer::query`] requires.
#[derive(Debug, Clone)]
struct UserPart {
    users: super::Embedding,
    network: Network,
    output: Dense,
}

/// The user's part of the network.
#[derive(Debug, Clone)]
pub struct Query(User);

impl Scorer {
    /// Prepares a model for the items of these ids, in their order. Items outside the training data use the row for
    /// unknown ids.
    pub fn new(model: &Model, items: impl ExactSizeIterator<Item = u32>) -> Self {
        Self::with_kernel(model, items, Kernel::detect())
    }

    /// Creates one scorer per available instruction set, fastest first, for comparisons.
    pub fn for_each_kernel(
        model: &Model,
        items: &(impl ExactSizeIterator<Item = u32> + Clone),
    ) -> Vec<Self> {
        let kernels = Kernel::available().into_iter();
        kernels.map(|kernel| Self::with_kernel(model, items.clone(), kernel)).collect()
    }

    /// The name of the instruction set, such as `AVX2`.
    pub const fn kernel_name(&self) -> &'static str {
        self.kernel.name()
    }

    fn with_kernel(
        model: &Model,
        items: impl ExactSizeIterator<Item = u32>,
        kernel: Kernel,
    ) -> Self {
        let layer = |dense: &Dense| Layer::new(&dense.weight, &dense.bias);
        let stack = match &model.network {
            Network::NeuralCf { hidden } => Stack {
                hidden: hidden[0].outputs(),
                linear: 0,
                layers: hidden[1..].iter().map(layer).chain([layer(&model.output)]).collect(),
            },
            Network::TwoTowers { movie, .. } => Stack {
                hidden: 0,
                linear: movie.last().map_or(model.movies.dimension(), Dense::outputs),
                layers: Vec::new(),
            },
            Network::NeuMf { factors, hidden } => Stack {
                hidden: hidden[0].outputs(),
                linear: *factors,
                layers: hidden[1..]
                    .iter()
                    .map(layer)
                    .chain([Layer::new(&model.output.weight[*factors..], &model.output.bias)])
                    .collect(),
            },
        };
        let width = stack.width();
        let row_lanes = width.div_ceil(LANES);
        let len = items.len();
        let mut blocks = vec![Lanes::default(); len.div_ceil(LANES) * width];
        let mut rows = vec![Lanes::default(); len * row_lanes];
        let mut known_items = 0;
        for (item, id) in items.enumerate().take(len) {
            known_items += usize::from(model.movies.table.get(id).is_some());
            for (column, value) in movie_half(model, id).into_iter().enumerate() {
                blocks[item / LANES * width + column].0[item % LANES] = value;
                rows[item * row_lanes + column / LANES].0[column % LANES] = value;
            }
        }
        let user_part = UserPart {
            users: model.users.clone(),
            network: model.network.clone(),
            output: model.output.clone(),
        };
        let dimension = model.movies.dimension();
        Self { kernel, stack, user_part, dimension, len, blocks, rows, row_lanes, known_items }
    }

    /// The number of items.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no items.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of items in the training data of the model.
    pub const fn known_items(&self) -> usize {
        self.known_items
    }

    /// Returns whether the user was in the training data of the model.
    pub fn is_known_user(&self, user: u32) -> bool {
        self.user_part.users.table.get(user).is_some()
    }

    /// The dimension of the movie embeddings.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// Computes the user's part of the network, with the row for unknown ids if necessary.
    pub fn query(&self, user: u32) -> Query {
        let UserPart { users, network, output } = &self.user_part;
        let embedding = users.get(user).iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let bias = output.bias[0];
        Query(match network {
            Network::NeuralCf { hidden } => User {
                hidden: half(&hidden[0], &embedding, Half::Second),
                linear: Vec::new(),
                bias: 0.0,
            },
            Network::TwoTowers { user, .. } => {
                let weight = f64::from(output.weight[0]);
                let last = run(user, embedding);
                let linear = last.into_iter().map(|value| (value * weight) as f32).collect();
                User { hidden: Vec::new(), linear, bias }
            }
            Network::NeuMf { factors, hidden } => {
                let (of_factors, of_layers) = embedding.split_at(*factors);
                let weights = of_factors.iter().zip(&output.weight);
                User {
                    hidden: half(&hidden[0], of_layers, Half::Second),
                    linear: weights.map(|(it, &weight)| (it * f64::from(weight)) as f32).collect(),
                    bias: 0.0,
                }
            }
        })
    }

    /// Appends the scores of all items, in order.
    pub fn score_all(&self, query: &Query, scores: &mut Vec<f32>) {
        let start = scores.len();
        scores.resize(start + self.len.next_multiple_of(LANES), 0.0);
        self.kernel.forward(&self.stack, &query.0, &self.blocks, &mut scores[start..]);
        scores.truncate(start + self.len);
    }

    /// Appends the scores of some items, in order.
    ///
    /// # Panics
    /// If an item index is out of range.
    pub fn score(
        &self,
        query: &Query,
        items: impl ExactSizeIterator<Item = u32>,
        scores: &mut Vec<f32>,
    ) {
        let width = self.stack.width();
        let mut blocks = vec![Lanes::default(); CHUNK * width];
        let mut chunk = [0.0; CHUNK * LANES];
        let (mut items, mut wanted) = (items, Vec::with_capacity(CHUNK * LANES));
        loop {
            wanted.clear();
            wanted.extend(items.by_ref().take(CHUNK * LANES));
            if wanted.is_empty() {
                break;
            }
            let groups = wanted.chunks(LANES);
            let used = groups.len();
            for (items, block) in groups.zip(blocks.chunks_exact_mut(width)) {
                self.gather(items, block);
            }
            self.kernel.forward(
                &self.stack,
                &query.0,
                &blocks[..used * width],
                &mut chunk[..used * LANES],
            );
            scores.extend_from_slice(&chunk[..wanted.len()]);
        }
    }

    /// Transposes the values of at most [`LANES`] items into a block. The values of unused lanes are unspecified.
    fn gather(&self, items: &[u32], block: &mut [Lanes]) {
        for (part, columns) in block.chunks_mut(LANES).enumerate() {
            // Copy whole rows, then transpose: both have fixed sizes and no branch per value.
            let mut rows = [Lanes::default(); LANES];
            for (row, &item) in rows.iter_mut().zip(items) {
                *row = self.rows[item as usize * self.row_lanes + part];
            }
            for (index, column) in columns.iter_mut().enumerate() {
                for (value, row) in column.0.iter_mut().zip(&rows) {
                    *value = row.0[index % LANES];
                }
            }
        }
    }
}

/// Computes the values of a movie.
fn movie_half(model: &Model, id: u32) -> Vec<f32> {
    let row = model.movies.get(id).iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    match &model.network {
        Network::NeuralCf { hidden } => half(&hidden[0], &row, Half::First),
        Network::TwoTowers { movie, .. } => {
            run(movie, row).into_iter().map(|value| value as f32).collect()
        }
        Network::NeuMf { factors, hidden } => {
            let (of_factors, of_layers) = row.split_at(*factors);
            let mut values = half(&hidden[0], of_layers, Half::First);
            values.extend(of_factors.iter().map(|&value| value as f32));
            values
        }
    }
}

/// The half of a layer's inputs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// The leading inputs.
    First,
    /// The trailing inputs, including the bias.
    Second,
}

/// Computes the contribution of a half of the inputs to the sums of a layer.
fn half(layer: &Dense, inputs: &[f64], which: Half) -> Vec<f32> {
    let outputs = layer.outputs();
    let first_row = if which == Half::First { 0 } else { layer.inputs() - inputs.len() };
    let mut sums: Vec<f64> = match which {
        Half::First => vec![0.0; outputs],
        Half::Second => layer.bias.iter().map(|&bias| f64::from(bias)).collect(),
    };
    for (row, &input) in layer.weight[first_row * outputs..].chunks_exact(outputs).zip(inputs) {
        for (sum, &weight) in sums.iter_mut().zip(row) {
            *sum += input * f64::from(weight);
        }
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

/// Models for tests.
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(super) mod samples {
    use super::*;
    use crate::TableBuilder;
    use crate::neural_cf::{Architecture, Embedding};

    /// The factors of a model of [`Architecture::NeuMf`].
    const FACTORS: usize = 5;

    /// Generates numbers from -1 to 1.
    fn numbers(seed: &mut u64, count: usize) -> Vec<f32> {
        let mut next = || {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (*seed >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn embedding(seed: &mut u64, count: u32, dimension: usize) -> Embedding {
        let mut builder = TableBuilder::default();
        for id in 0..count {
            builder.push(id * 3, &numbers(seed, dimension)).unwrap();
        }
        Embedding { table: builder.build().unwrap(), unknown: numbers(seed, dimension) }
    }

    fn layers(seed: &mut u64, mut inputs: usize, widths: &[usize]) -> Vec<Dense> {
        let mut layers = Vec::new();
        for &outputs in widths {
            // The magnitude of trained layers, which preserves the magnitude of sums.
            let scale = (3.0 / inputs as f32).sqrt();
            let weight = numbers(seed, inputs * outputs).iter().map(|w| w * scale).collect();
            layers.push(Dense { weight, bias: numbers(seed, outputs) });
            inputs = outputs;
        }
        layers
    }

    pub(in crate::neural_cf) fn model(
        mut seed: u64,
        architecture: Architecture,
        dimensions: [usize; 2],
        widths: &[usize],
    ) -> Model {
        let seed = &mut seed;
        let factors = if architecture == Architecture::NeuMf { FACTORS } else { 0 };
        let movies = embedding(seed, 40, factors + dimensions[0]);
        let users = embedding(seed, 3, factors + dimensions[1]);
        let (network, last) = match architecture {
            Architecture::TwoTowers => {
                let movie = layers(seed, dimensions[0], widths);
                (Network::TwoTowers { movie, user: layers(seed, dimensions[1], widths) }, 1)
            }
            Architecture::NeuralCf => {
                let hidden = layers(seed, dimensions[0] + dimensions[1], widths);
                (Network::NeuralCf { hidden }, widths[widths.len() - 1])
            }
            Architecture::NeuMf => {
                let hidden = layers(seed, dimensions[0] + dimensions[1], widths);
                (Network::NeuMf { factors, hidden }, factors + widths[widths.len() - 1])
            }
        };
        let output = layers(seed, last, &[1]).remove(0);
        Model::new(movies, users, network, output).unwrap()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::samples::model;
    use super::*;
    use crate::neural_cf::Architecture;

    proptest! {
        #[test]
        fn every_kernel_matches_the_reference(
            seed in any::<u64>(),
            architecture in prop::sample::select(Architecture::ALL.to_vec()),
            dimensions in prop::array::uniform2(1..20_usize),
            widths in prop::collection::vec(1..40_usize, 1..4),
            len in 0..70_u32,
            chosen in prop::collection::vec(0..70_u32, 0..60),
        ) {
            // Towers may have no layers; then both embeddings have the same dimension.
            let bare = architecture == Architecture::TwoTowers && seed % 3 == 0;
            let dimensions = if bare { [dimensions[0]; 2] } else { dimensions };
            let model = model(seed, architecture, dimensions, if bare { &[] } else { &widths });
            for kernel in Kernel::available() {
                let scorer = Scorer::with_kernel(&model, 0..len, kernel);
                for user in [0, 3, 4] {
                    let query = scorer.query(user);
                    let mut all = vec![7.0];
                    scorer.score_all(&query, &mut all);
                    prop_assert_eq!((all.remove(0), all.len()), (7.0, len as usize));
                    for (item, &score) in (0..len).zip(&all) {
                        let expected = model.score(user, item);
                        let off = (f64::from(score) - expected).abs();
                        prop_assert!(off < 1e-6, "{:?}: {} is off by {}", kernel, expected, off);
                    }
                    let chosen: Vec<u32> = chosen.iter().copied().filter(|&item| item < len).collect();
                    let mut some = Vec::new();
                    scorer.score(&query, chosen.iter().copied(), &mut some);
                    let expected: Vec<f32> = chosen.iter().map(|&item| all[item as usize]).collect();
                    prop_assert_eq!(some, expected);
                }
            }
        }
    }

    /// More than one chunk of items, with a partial one.
    #[test]
    fn scores_of_many_selected_items_equal_those_of_all() {
        let model = model(9, Architecture::NeuralCf, [10, 10], &[10, 10]);
        let scorer = Scorer::new(&model, 0..1000);
        let query = scorer.query(3);
        let mut all = Vec::new();
        scorer.score_all(&query, &mut all);
        let mut some = Vec::new();
        scorer.score(&query, (0..1000).rev(), &mut some);
        some.reverse();
        assert_eq!(some, all);
        assert_eq!((scorer.len(), scorer.known_items(), scorer.dimension()), (1000, 40, 10));
        assert!(scorer.is_known_user(6) && !scorer.is_known_user(7));
    }

    #[test]
    fn extreme_logits_yield_valid_probabilities() {
        let mut model = model(9, Architecture::NeuralCf, [10, 10], &[10, 10]);
        for bias in [-1e4, -200.0, -20.0, 20.0, 200.0, 1e4] {
            model.output.bias[0] = bias;
            for kernel in Kernel::available() {
                let scorer = Scorer::with_kernel(&model, 0..20, kernel);
                let mut found = Vec::new();
                scorer.score_all(&scorer.query(0), &mut found);
                for (item, score) in (0..).zip(found) {
                    let expected = model.score(0, item);
                    assert!((f64::from(score) - expected).abs() < 1e-6, "{score} {expected}");
                }
            }
        }
    }

    #[test]
    fn inconsistent_models_are_errors() {
        let good = model(9, Architecture::NeuralCf, [3, 2], &[4, 5]);
        let error_of = |change: &dyn Fn(&mut Model)| {
            let mut model = good.clone();
            change(&mut model);
            Model::new(model.movies, model.users, model.network, model.output).unwrap_err().0
        };
        let dense = |inputs: usize, outputs: usize| Dense {
            weight: vec![0.0; inputs * outputs],
            bias: vec![0.0; outputs],
        };
        let hidden = |layers: Vec<Dense>| Network::NeuralCf { hidden: layers };
        for (change, message) in [
            (
                &(|model: &mut Model| model.network = hidden(vec![])) as &dyn Fn(&mut Model),
                "no hidden layer",
            ),
            (
                &|model: &mut Model| model.network = hidden(vec![dense(6, 4)]),
                "dense.0 has 24 weights, expected 20 for 5 inputs and 4 outputs",
            ),
            (
                &|model: &mut Model| model.network = hidden(vec![dense(5, 0)]),
                "dense.0 has 0 outputs, expected 1 to 1024",
            ),
            (&|model: &mut Model| model.output = dense(5, 2), "output has 2 outputs, expected 1"),
            (
                &|model: &mut Model| model.output.bias[0] = f32::NAN,
                "output.bias contains NaN, not finite or too large",
            ),
            (
                &|model: &mut Model| model.users.unknown.push(0.0),
                "user embeddings have 2 dimensions, that of unknown ids 3",
            ),
            (
                &|model: &mut Model| {
                    model.network =
                        Network::TwoTowers { movie: vec![dense(3, 4)], user: vec![dense(2, 5)] };
                },
                "the movie tower has 4 outputs, the user tower 5",
            ),
            (
                &|model: &mut Model| {
                    model.network = Network::NeuMf { factors: 2, hidden: vec![dense(1, 3)] };
                },
                "2 factors of embeddings with 3 and 2 dimensions",
            ),
            (
                &|model: &mut Model| {
                    model.network = Network::NeuMf { factors: 1, hidden: vec![dense(3, 5)] };
                },
                "output has 5 weights, expected 6 for 6 inputs and 1 outputs",
            ),
        ] {
            assert_eq!(error_of(change), message);
        }
    }
}
