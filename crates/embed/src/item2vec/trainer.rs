//! Stochastic gradient descent over pairs of neighbours.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use sparrow_progress::Progress;
use sparrow_random::{Random, Weighted, exp, power};

use super::shared::{Shared, add, approach, dot};
use super::{Options, Sequences};

/// The streams of random numbers; each block of sequences has its own, starting at the last number.
const STREAM_START: u64 = 1;
const STREAM_ORDER: u64 = 2;
const STREAM_BLOCKS: u64 = 1 << 32;

/// Number of sequences per unit of work.
const BLOCK: usize = 32;

/// The final learning rate as a share of the initial one.
const LAST_RATE: f32 = 1e-3;

/// The state that all threads share.
struct Trainer<'a> {
    sequences: &'a Sequences,
    options: &'a Options,
    /// The input vectors, which are the result, and the output vectors, which predict neighbours.
    input: Shared,
    output: Shared,
    noise: Weighted,
    /// The probability of using an occurrence of each row, times 2³².
    keep: Vec<u64>,
    sigmoid: Sigmoid,
    /// Number of processed occurrences, of `total`.
    done: AtomicU64,
    total: u64,
}

/// Trains `counts.len()` rows; each sequence has at least two items, which are rows. Returns the concatenated
/// vectors.
pub(super) fn train(
    sequences: &Sequences,
    counts: &[u64],
    options: &Options,
    progress: Progress<'_>,
) -> Vec<f32> {
    let epochs = options.epochs.unwrap_or(sequences.suitable_epochs());
    let mut random = Random::new(options.seed, STREAM_START);
    let spread = 1.0 / options.dimension as f64;
    let rows = counts.len();
    let trainer = Trainer {
        sequences,
        options,
        input: Shared::new(rows, options.dimension, || ((random.unit() - 0.5) * spread) as f32),
        output: Shared::new(rows, options.dimension, || 0.0),
        noise: Weighted::new(
            &counts
                .iter()
                .map(|&count| power(count as f64, options.negative_exponent))
                .collect::<Vec<_>>(),
        ),
        keep: keep(counts, options.subsample),
        sigmoid: Sigmoid::new(),
        done: AtomicU64::new(0),
        total: epochs as u64 * sequences.item_count() as u64,
    };
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    let mut shuffling = Random::new(options.seed, STREAM_ORDER);
    for epoch in 0..epochs {
        shuffling.shuffle(&mut order);
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..options.threads {
                scope.spawn(|| trainer.work(epoch, &order, &next, progress));
            }
        });
    }
    trainer.input.into_values(options.dimension)
}

/// The subsampling probabilities of the word2vec program: (√(f/t) + 1) · t/f for a frequency f and threshold t.
fn keep(counts: &[u64], threshold: f64) -> Vec<u64> {
    let all: u64 = counts.iter().sum();
    counts
        .iter()
        .map(|&count| {
            let excess = count as f64 / all as f64 / threshold;
            let keep = if threshold > 0.0 { (excess.sqrt() + 1.0) / excess } else { 1.0 };
            (keep.min(1.0) * 4_294_967_296.0) as u64
        })
        .collect()
}

/// The buffers of a thread.
struct Workspace {
    /// The subsampled items of a sequence.
    items: Vec<u32>,
    /// The predicted item and the negative samples.
    targets: Vec<u32>,
    outputs: Vec<Vec<f32>>,
    input: Vec<f32>,
    gradient: Vec<f32>,
}

impl Trainer<'_> {
    /// Processes blocks of sequences until none are left.
    fn work(&self, epoch: usize, order: &[usize], next: &AtomicUsize, progress: Progress<'_>) {
        let blocks = order.len().div_ceil(BLOCK);
        let mut workspace = Workspace {
            items: Vec::new(),
            targets: Vec::new(),
            outputs: vec![self.output.row(); self.options.negatives + 1],
            input: self.input.row(),
            gradient: self.input.row(),
        };
        loop {
            let block = next.fetch_add(1, Ordering::Relaxed);
            let Some(sequences) = order.chunks(BLOCK).nth(block) else { return };
            let mut random = Random::new(
                self.options.seed,
                STREAM_BLOCKS + epoch as u64 * blocks as u64 + block as u64,
            );
            for &sequence in sequences {
                let items = self.sequences.get(sequence);
                let done = self.done.fetch_add(items.len() as u64, Ordering::Relaxed);
                let left = 1.0 - (done as f64 / self.total as f64) as f32;
                let rate = self.options.learning_rate * left.max(LAST_RATE);
                self.train_sequence(items, rate, &mut workspace, &mut random);
            }
            progress(self.done.load(Ordering::Relaxed), self.total);
        }
    }

    fn train_sequence(
        &self,
        sequence: &[u32],
        rate: f32,
        workspace: &mut Workspace,
        random: &mut Random,
    ) {
        let mut items = std::mem::take(&mut workspace.items);
        items.clear();
        items.extend(sequence.iter().filter(|&&item| {
            let keep = self.keep[item as usize];
            keep >= 1 << 32 || random.bits() >> 32 < keep
        }));
        for (at, &item) in items.iter().enumerate() {
            // A random smaller window gives near neighbours a higher weight.
            let reach = 1 + random.below(self.options.window);
            let before = &items[at.saturating_sub(reach)..at];
            let after = &items[at + 1..items.len().min(at + 1 + reach)];
            if !before.is_empty() || !after.is_empty() {
                self.predict(item, before.iter().chain(after), rate, workspace, random);
            }
        }
        workspace.items = items;
    }

    /// Updates the vectors of the neighbours of an item. All neighbours have the same negative samples (Ji et al. 2016,
    /// "Parallelizing Word2Vec in Shared and Distributed Memory"), so that their rows are copied once.
    fn predict<'i>(
        &self,
        item: u32,
        neighbours: impl Iterator<Item = &'i u32>,
        rate: f32,
        workspace: &mut Workspace,
        random: &mut Random,
    ) {
        let Workspace { targets, outputs, input, gradient, .. } = workspace;
        targets.clear();
        targets.push(item);
        for _ in 0..self.options.negatives {
            let noise = self.noise.draw(random) as u32;
            if !targets.contains(&noise) {
                targets.push(noise);
            }
        }
        for (target, output) in targets.iter().zip(outputs.iter_mut()) {
            self.output.load(*target as usize, output);
        }
        for &neighbour in neighbours {
            self.input.load(neighbour as usize, input);
            gradient.fill(0.0);
            for (index, output) in outputs[..targets.len()].iter_mut().enumerate() {
                let label = if index == 0 { 1.0 } else { 0.0 };
                let step = (label - self.sigmoid.of(dot(input, output))) * rate;
                approach(gradient, output, input, step);
            }
            add(input, gradient);
            self.input.store(neighbour as usize, input);
        }
        for (target, output) in targets.iter().zip(outputs.iter()) {
            self.output.store(*target as usize, output);
        }
    }
}

/// 1 / (1 + e⁻ˣ) from a table, clamped at its ends.
struct Sigmoid(Vec<f32>);

impl Sigmoid {
    const REACH: f32 = 8.0;
    const STEPS: u16 = 2048;

    fn new() -> Self {
        let step = 2.0 * f64::from(Self::REACH) / f64::from(Self::STEPS);
        // Each entry is the value at the centre of its step.
        let x = |index: u16| (f64::from(index) + 0.5) * step - f64::from(Self::REACH);
        Self((0..Self::STEPS).map(|index| (1.0 / (1.0 + exp(-x(index)))) as f32).collect())
    }

    fn of(&self, x: f32) -> f32 {
        // The cast maps NaN to 0. With a signed type it is a single instruction.
        let index = ((x + Self::REACH) * (f32::from(Self::STEPS) / (2.0 * Self::REACH))) as i32;
        self.0[index.clamp(0, i32::from(Self::STEPS) - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_is_close_and_bounded() {
        let sigmoid = Sigmoid::new();
        for x in [-7.9_f32, -3.0, -0.5, 0.0, 0.1, 2.0, 7.9] {
            let exact = 1.0 / (1.0 + (-x).exp());
            assert!((sigmoid.of(x) - exact).abs() < 2e-3, "at {x}");
        }
        for x in [f32::NEG_INFINITY, -100.0, 100.0, f32::INFINITY, f32::NAN] {
            assert!((0.0..=1.0).contains(&sigmoid.of(x)), "at {x}");
        }
    }

    #[test]
    fn frequent_items_are_subsampled() {
        let all = 1_u64 << 32;
        assert_eq!(keep(&[900, 100], 0.0), [all, all]);
        let kept = keep(&[990_000, 9_990, 10], 1e-3);
        assert_eq!(kept[2], all);
        // 0.99 is 990 times the threshold: (√990 + 1)/990 = 0.0328.
        let often = kept[0] as f64 / all as f64;
        assert!((often - 0.0328).abs() < 1e-4, "{often}");
        assert!(kept[0] < kept[1] && kept[1] < all);
    }
}
