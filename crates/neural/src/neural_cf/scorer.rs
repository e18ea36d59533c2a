use super::{Dense, Model, Network, run};
use crate::kernel::{Kernel, LANES, Lanes, Layer, Stack, User};

/// Items that are scored before their scores are handed on: their numbers stay in the cache.
const CHUNK: usize = 16;

/// A model laid out for scoring the items of a catalogue, by their positions there.
///
/// What depends on the movie alone is computed here, once: its half of the first layer (which is
/// linear in both embeddings), or what its tower gives. What depends on the user alone is computed
/// once a request, in [`Scorer::query`]. What is left for a pair is a few hundred multiplications, done
/// for 16 movies side by side with the best instruction set that the processor has.
///
/// The items' numbers are held twice: in blocks for scoring all items, and row by row for scoring
/// a few of them.
#[derive(Debug, Clone)]
pub struct Scorer {
    kernel: Kernel,
    stack: Stack,
    users: Halves,
    dimension: usize,
    len: usize,
    /// For each [`LANES`] items the numbers of the stack, each a `Lanes`.
    blocks: Vec<Lanes>,
    /// An item's numbers, padded to `row_lanes`.
    rows: Vec<Lanes>,
    row_lanes: usize,
    /// Items that the model has an embedding of.
    known: usize,
}

/// What is needed to compute what a user adds.
#[derive(Debug, Clone)]
struct Halves {
    users: super::Embedding,
    network: Network,
    output: Dense,
}

/// A user as a [`Scorer`] needs it.
#[derive(Debug, Clone)]
pub struct Query(User);

impl Scorer {
    /// Lays out a model for the items of these ids, in their order. Items that the model does not
    /// know are scored as unknown ones.
    pub fn new(model: &Model, items: impl ExactSizeIterator<Item = u32>) -> Self {
        Self::with_kernel(model, items, Kernel::detect())
    }

    /// One for each instruction set that this processor has, fastest first; for comparisons.
    pub fn each(model: &Model, items: &(impl ExactSizeIterator<Item = u32> + Clone)) -> Vec<Self> {
        let kernels = Kernel::available().into_iter();
        kernels.map(|kernel| Self::with_kernel(model, items.clone(), kernel)).collect()
    }

    /// The instruction set that it uses, such as `AVX2`.
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
        };
        let width = stack.width();
        let row_lanes = width.div_ceil(LANES);
        let len = items.len();
        let mut blocks = vec![Lanes::default(); len.div_ceil(LANES) * width];
        let mut rows = vec![Lanes::default(); len * row_lanes];
        let mut known = 0;
        for (item, id) in items.enumerate().take(len) {
            known += usize::from(model.movies.table.get(id).is_some());
            for (column, value) in movie_half(model, id).into_iter().enumerate() {
                blocks[item / LANES * width + column].0[item % LANES] = value;
                rows[item * row_lanes + column / LANES].0[column % LANES] = value;
            }
        }
        let users = Halves {
            users: model.users.clone(),
            network: model.network.clone(),
            output: model.output.clone(),
        };
        let dimension = model.movies.dimension();
        Self { kernel, stack, users, dimension, len, blocks, rows, row_lanes, known }
    }

    /// How many items there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no items.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of the items were in the model's training.
    pub const fn known(&self) -> usize {
        self.known
    }

    /// Whether a user was in the model's training.
    pub fn knows_user(&self, user: u32) -> bool {
        self.users.users.table.get(user).is_some()
    }

    /// The length of the movies' embeddings.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// A user, known to the model or not.
    pub fn query(&self, user: u32) -> Query {
        let Halves { users, network, output } = &self.users;
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
        })
    }

    /// Appends the scores of all items, in their order.
    pub fn score_all(&self, query: &Query, scores: &mut Vec<f32>) {
        let start = scores.len();
        scores.resize(start + self.len.next_multiple_of(LANES), 0.0);
        self.kernel.forward(&self.stack, &query.0, &self.blocks, &mut scores[start..]);
        scores.truncate(start + self.len);
    }

    /// Appends the scores of some items, in their order.
    ///
    /// # Panics
    /// If there is no such item.
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

    /// Puts the numbers of at most [`LANES`] items side by side. Places without an item get what does no harm.
    fn gather(&self, items: &[u32], block: &mut [Lanes]) {
        for (part, columns) in block.chunks_mut(LANES).enumerate() {
            // Whole rows first, then their transpose: both have fixed sizes, and need no branch a number.
            let mut rows = [Lanes::default(); LANES];
            for (row, &item) in rows.iter_mut().zip(items) {
                *row = self.rows[item as usize * self.row_lanes + part];
            }
            for (place, column) in columns.iter_mut().enumerate() {
                for (value, row) in column.0.iter_mut().zip(&rows) {
                    *value = row.0[place % LANES];
                }
            }
        }
    }
}

/// The numbers of a movie.
fn movie_half(model: &Model, id: u32) -> Vec<f32> {
    let row = model.movies.get(id).iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    match &model.network {
        Network::NeuralCf { hidden } => half(&hidden[0], &row, Half::First),
        Network::TwoTowers { movie, .. } => {
            run(movie, row).into_iter().map(|value| value as f32).collect()
        }
    }
}

/// Which inputs of a layer are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    /// The first ones.
    First,
    /// The last ones; they bring the bias.
    Second,
}

/// What a part of the inputs adds to the sums of a layer.
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
    use crate::neural_cf::Embedding;

    /// Numbers from -1 to 1 out of a seed.
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
            // As large as those of trained layers: sums neither grow nor vanish from layer to layer.
            let scale = (3.0 / inputs as f32).sqrt();
            let weight = numbers(seed, inputs * outputs).iter().map(|w| w * scale).collect();
            layers.push(Dense { weight, bias: numbers(seed, outputs) });
            inputs = outputs;
        }
        layers
    }

    pub(in crate::neural_cf) fn model(
        mut seed: u64,
        towers: bool,
        dimensions: [usize; 2],
        widths: &[usize],
    ) -> Model {
        let seed = &mut seed;
        let movies = embedding(seed, 40, dimensions[0]);
        let users = embedding(seed, 3, dimensions[1]);
        let (network, last) = if towers {
            let movie = layers(seed, dimensions[0], widths);
            (Network::TwoTowers { movie, user: layers(seed, dimensions[1], widths) }, 1)
        } else {
            let hidden = layers(seed, dimensions[0] + dimensions[1], widths);
            (Network::NeuralCf { hidden }, widths[widths.len() - 1])
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

    proptest! {
        #[test]
        fn every_kernel_scores_as_the_definition_says(
            seed in any::<u64>(),
            towers in any::<bool>(),
            dimensions in prop::array::uniform2(1..20_usize),
            widths in prop::collection::vec(1..40_usize, 1..4),
            len in 0..70_u32,
            chosen in prop::collection::vec(0..70_u32, 0..60),
        ) {
            // Towers may have no layers, and then embeddings have one length.
            let bare = towers && seed % 3 == 0;
            let dimensions = if bare { [dimensions[0]; 2] } else { dimensions };
            let model = model(seed, towers, dimensions, if bare { &[] } else { &widths });
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

    /// More than one chunk of chosen items, with a tail.
    #[test]
    fn many_chosen_items() {
        let model = model(9, false, [10, 10], &[10, 10]);
        let scorer = Scorer::new(&model, 0..1000);
        let query = scorer.query(3);
        let mut all = Vec::new();
        scorer.score_all(&query, &mut all);
        let mut some = Vec::new();
        scorer.score(&query, (0..1000).rev(), &mut some);
        some.reverse();
        assert_eq!(some, all);
        assert_eq!((scorer.len(), scorer.known(), scorer.dimension()), (1000, 40, 10));
        assert!(scorer.knows_user(6) && !scorer.knows_user(7));
    }

    #[test]
    fn scores_far_from_the_middle_stay_probabilities() {
        let mut model = model(9, false, [10, 10], &[10, 10]);
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
    fn what_does_not_fit_is_refused() {
        let good = model(9, false, [3, 2], &[4, 5]);
        let refused = |change: &dyn Fn(&mut Model)| {
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
                "there is no hidden layer",
            ),
            (
                &|model: &mut Model| model.network = hidden(vec![dense(6, 4)]),
                "dense.0 has 24 weights where 5 inputs and 4 outputs need 20",
            ),
            (
                &|model: &mut Model| model.network = hidden(vec![dense(5, 0)]),
                "dense.0 has 0 outputs, not 1 to 1024",
            ),
            (&|model: &mut Model| model.output = dense(5, 2), "output has 2 outputs, not 1"),
            (
                &|model: &mut Model| model.output.bias[0] = f32::NAN,
                "NaN in output.bias is no sensible weight",
            ),
            (
                &|model: &mut Model| model.users.unknown.push(0.0),
                "user embeddings have 2 numbers, that of unknown ids 3",
            ),
            (
                &|model: &mut Model| {
                    model.network =
                        Network::TwoTowers { movie: vec![dense(3, 4)], user: vec![dense(2, 5)] };
                },
                "the movie tower has 4 outputs, the user tower 5",
            ),
        ] {
            assert_eq!(refused(change), message);
        }
    }
}
