use std::sync::Arc;
use std::thread;

use crate::kernel::{Kernel, LANES, Lanes, System, Task};
use crate::{ItemVectors, Similarity};

/// Number of rows whose products are summed in single precision before they are added to the double-precision total.
const GRAM_BLOCK: usize = 2048;

/// Relative error of a vector at which the solver stops.
const TOLERANCE: f32 = 1e-4;

/// Number of conjugate gradient steps that reach single precision.
pub const CONVERGED_STEPS: usize = 60;

/// The factor matrix of one side of a factorisation, users or items, row-major.
#[derive(Debug, Clone)]
pub struct Factors {
    dimension: usize,
    width: usize,
    /// Rows padded with zeros to `width * LANES`.
    rows: Vec<Lanes>,
}

/// A mutable row of [`Factors`].
#[derive(Debug)]
pub struct RowMut<'a>(&'a mut [Lanes]);

impl Factors {
    /// Creates `len` rows; `fill` returns the components row by row, and takes the row index.
    ///
    /// # Panics
    /// If `dimension` is 0.
    pub fn new(len: usize, dimension: usize, mut fill: impl FnMut(usize) -> f32) -> Self {
        assert!(dimension > 0, "the dimension is positive");
        let width = dimension.div_ceil(LANES);
        let mut rows = vec![Lanes::default(); len * width];
        for (index, row) in rows.chunks_exact_mut(width).enumerate() {
            for component in 0..dimension {
                row[component / LANES].0[component % LANES] = fill(index);
            }
        }
        Self { dimension, width, rows }
    }

    /// The dimension of the vectors.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len() / self.width
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns a row.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn row(&self, index: usize) -> Vec<f32> {
        self.lanes(index).iter().flat_map(|lanes| lanes.0).take(self.dimension).collect()
    }

    /// Returns whether all components of a row are finite.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    pub fn is_finite(&self, index: usize) -> bool {
        self.lanes(index).iter().all(|lanes| lanes.0.iter().all(|value| value.is_finite()))
    }

    /// Returns whether all components of a row are 0.
    ///
    /// # Panics
    /// As [`row`](Self::row).
    pub fn is_zero(&self, index: usize) -> bool {
        self.lanes(index).iter().all(|lanes| lanes.0 == [0.0; LANES])
    }

    fn lanes(&self, index: usize) -> &[Lanes] {
        &self.rows[index * self.width..(index + 1) * self.width]
    }

    /// Iterates over all rows mutably.
    pub fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = RowMut<'_>> {
        self.rows.chunks_exact_mut(self.width).map(RowMut)
    }
}

/// The objective of implicit matrix factorisation: the sum of c·(1 − w·h)² over positive pairs, of
/// `unobserved`·(w·h)² over all pairs, and an L2 penalty on each vector (Hu, Koren, Volinsky 2008, with the scaling of
/// Rendle, Krichene, Zhang, Koren 2021, "Revisiting the Performance of iALS on Item Recommendation Benchmarks").
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "model-file", derive(serde::Serialize, serde::Deserialize))]
pub struct Objective {
    /// The weight of every pair; positive pairs add their own.
    pub unobserved: f32,
    /// The strength of the L2 regularisation.
    pub regularization: f32,
    /// The exponent of its scaling with the number of pairs of a vector: 0 for none, 1 for proportional.
    pub exponent: f32,
}

impl Objective {
    /// The L2 penalty factor of a vector with `positives` positive pairs, if the other side has `others` vectors.
    pub fn ridge(&self, positives: usize, others: usize) -> f32 {
        let pairs = f64::from(self.unobserved).mul_add(others as f64, positives as f64);
        (f64::from(self.regularization) * pairs.powf(f64::from(self.exponent))) as f32
    }
}

/// The weighted Gram matrix of rows, in the layout of [`System`].
#[derive(Debug, Clone)]
struct Gramian(Vec<Lanes>);

impl Gramian {
    /// Independent of the number of threads.
    fn new(rows: &[Lanes], width: usize, weight: f32, threads: usize) -> Self {
        let kernel = Kernel::detect();
        let numbers = width * width * LANES;
        let blocks: Vec<&[Lanes]> = rows.chunks(GRAM_BLOCK * width).collect();
        let mut totals = vec![[0.0_f64; LANES]; numbers];
        for group in blocks.chunks(threads.max(1)) {
            let of_block = |block: &[Lanes]| {
                let mut gram = vec![Lanes::default(); numbers];
                kernel.add_gram(width, block, &mut gram);
                gram
            };
            let grams: Vec<Vec<Lanes>> = if let [block] = group {
                vec![of_block(block)]
            } else {
                thread::scope(|scope| {
                    let started: Vec<_> =
                        group.iter().map(|&block| scope.spawn(move || of_block(block))).collect();
                    let joined = started.into_iter().map(thread::ScopedJoinHandle::join);
                    joined
                        .map(|gram| gram.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                        .collect()
                })
            };
            for gram in grams {
                for (totals, sums) in totals.iter_mut().zip(gram) {
                    for (total, sum) in totals.iter_mut().zip(sums.0) {
                        *total += f64::from(sum);
                    }
                }
            }
        }
        let weighed = totals
            .iter()
            .map(|totals| Lanes(totals.map(|total| (total * f64::from(weight)) as f32)));
        Self(weighed.collect())
    }
}

/// The positive pairs of a vector.
#[derive(Debug, Clone, Copy)]
pub struct Positives<'a> {
    /// Distinct rows of the other side.
    pub rows: &'a [u32],
    /// The weight of each pair; 1 if `None`.
    pub weights: Option<&'a [f32]>,
}

/// A half step of alternating least squares: solves for the vectors of one side, with the other side fixed.
#[derive(Debug)]
pub struct HalfStep<'a> {
    fixed: &'a Factors,
    gram: Gramian,
    kernel: Kernel,
}

impl<'a> HalfStep<'a> {
    /// Creates a half step against `fixed`; `unobserved` as in [`Objective`].
    pub fn new(fixed: &'a Factors, unobserved: f32, threads: usize) -> Self {
        let gram = Gramian::new(&fixed.rows, fixed.width, unobserved, threads);
        Self { fixed, gram, kernel: Kernel::detect() }
    }

    /// Solves for `row` by at most `steps` conjugate gradient steps from its current value. The result is deterministic
    /// up to rounding differences between instruction sets.
    ///
    /// # Panics
    /// If a row is out of range, or the numbers of weights and rows differ.
    pub fn solve(&self, positives: Positives<'_>, ridge: f32, steps: usize, row: &mut RowMut<'_>) {
        let Factors { width, rows: matrix, .. } = self.fixed;
        let system = System { width: *width, matrix, gram: &self.gram.0 };
        let Positives { rows, weights } = positives;
        let task = Task { rows, weights, ridge, steps, tolerance: TOLERANCE };
        self.kernel.solve(&system, &task, row.0);
    }
}

/// Folds new users into an implicit factorisation: computes the user vector that training would return with fixed item
/// vectors.
#[derive(Debug, Clone)]
pub struct FoldIn {
    items: Arc<ItemVectors>,
    objective: Objective,
    gram: Gramian,
}

impl FoldIn {
    /// Creates it from the item vectors and their objective. Returns `None` for cosine similarity, which discards the
    /// vector lengths.
    pub fn new(items: Arc<ItemVectors>, objective: Objective) -> Option<Self> {
        if items.similarity() != Similarity::Dot || items.is_empty() {
            return None;
        }
        let (rows, width) = items.matrix();
        let gram = Gramian::new(rows, width, objective.unobserved, 1);
        Some(Self { items, objective, gram })
    }

    /// Computes the vector of a user from distinct items; items without a vector are ignored. Returns `None` if no item
    /// has one. Takes microseconds.
    pub fn fold_in(&self, items: &[u32]) -> Option<Vec<f32>> {
        let rows: Vec<u32> = items.iter().filter_map(|&item| self.items.row(item)).collect();
        if rows.is_empty() {
            return None;
        }
        let (matrix, width) = self.items.matrix();
        let system = System { width, matrix, gram: &self.gram.0 };
        let ridge = self.objective.ridge(rows.len(), self.items.len());
        let task = Task {
            rows: &rows,
            weights: None,
            ridge,
            steps: CONVERGED_STEPS,
            tolerance: TOLERANCE,
        };
        let mut vector = vec![Lanes::default(); width];
        Kernel::detect().solve(&system, &task, &mut vector);
        Some(vector.iter().flat_map(|lanes| lanes.0).take(self.items.dimension()).collect())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TableBuilder;

    /// A seeded generator of numbers between -1 and 1.
    fn numbers(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    fn factors(seed: u64, len: usize, dimension: usize) -> Factors {
        let mut next = numbers(seed);
        Factors::new(len, dimension, |_| next())
    }

    /// Reference for the residual, 0 at the solution: the sum of c·(1 − h·x)·h, minus Gram matrix and ridge times x.
    fn residual(
        items: &Factors,
        unobserved: f32,
        rows: &[u32],
        weights: Option<&[f32]>,
        ridge: f32,
        x: &[f32],
    ) -> Vec<f64> {
        let dot =
            |h: &[f32]| h.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let mut sums: Vec<f64> = x.iter().map(|&x| -f64::from(ridge) * f64::from(x)).collect();
        let mut add = |h: &[f32], factor: f64| {
            for (sum, h) in sums.iter_mut().zip(h) {
                *sum += factor * f64::from(*h);
            }
        };
        for index in 0..items.len() {
            let h = items.row(index);
            add(&h, -f64::from(unobserved) * dot(&h));
        }
        for (index, &row) in rows.iter().enumerate() {
            let h = items.row(row as usize);
            let weight = weights.map_or(1.0, |weights| f64::from(weights[index]));
            add(&h, weight * (1.0 - dot(&h)));
        }
        sums
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn converged_steps_reach_the_solution(
            seed in any::<u64>(),
            dimension in prop_oneof![1..40_usize, Just(128), Just(150)],
            len in 1..60_usize,
            share in 1..5_usize,
            weighted in any::<bool>(),
        ) {
            let items = factors(seed, len, dimension);
            let rows: Vec<u32> = (0..len as u32).step_by(share).collect();
            let weights: Vec<f32> = rows.iter().map(|row| 0.5 + (row % 3) as f32).collect();
            let weights = weighted.then_some(&weights[..]);
            let (unobserved, ridge) = (0.3, 2.0);
            let mut users = factors(seed ^ 1, 1, dimension);
            let step = HalfStep::new(&items, unobserved, 2);
            let positives = Positives { rows: &rows, weights };
            step.solve(positives, ridge, CONVERGED_STEPS, &mut users.rows_mut().next().unwrap());
            let x = users.row(0);
            let rest = residual(&items, unobserved, &rows, weights, ridge, &x);
            let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
            let size = length(&x.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            // The error is at most the residual divided by the ridge.
            prop_assert!(length(&rest) / f64::from(ridge) < 1e-3 * size.max(0.1), "{rest:?}");
        }

        #[test]
        fn instruction_sets_agree(
            seed in any::<u64>(),
            dimension in 1..150_usize,
            len in 1..40_usize,
        ) {
            let items = factors(seed, len, dimension);
            let rows: Vec<u32> = (0..len as u32).rev().step_by(2).collect();
            let task =
                Task { rows: &rows, weights: None, ridge: 3.0, steps: 4, tolerance: TOLERANCE };
            let of = |kernel: Kernel| {
                let mut gram = vec![Lanes::default(); items.width * items.width * LANES];
                kernel.add_gram(items.width, &items.rows, &mut gram);
                let system = System { width: items.width, matrix: &items.rows, gram: &gram };
                let mut x = vec![Lanes::default(); items.width];
                kernel.solve(&system, &task, &mut x);
                x.iter().flat_map(|lanes| lanes.0).collect::<Vec<f32>>()
            };
            let plain = of(Kernel::Plain);
            for kernel in Kernel::available() {
                for (a, b) in of(kernel).iter().zip(&plain) {
                    prop_assert!((a - b).abs() < 1e-4, "{}: {a} {b}", kernel.name());
                }
            }
        }
    }

    #[test]
    fn padding_stays_zero_and_result_is_independent_of_threads() {
        let items = factors(3, 9000, 20);
        let rows = [4, 77, 8999];
        let of = |threads| {
            let mut users = factors(4, 1, 20);
            let step = HalfStep::new(&items, 0.1, threads);
            let positives = Positives { rows: &rows, weights: None };
            step.solve(positives, 5.0, 3, &mut users.rows_mut().next().unwrap());
            assert!(users.rows[1].0[4..].iter().all(|&padding| padding == 0.0));
            users.row(0)
        };
        assert_eq!(of(1), of(3));
    }

    #[test]
    fn folded_in_user_equals_the_training_solution() {
        let items = factors(5, 50, 12);
        let objective = Objective { unobserved: 0.2, regularization: 0.5, exponent: 0.8 };
        let mut table = TableBuilder::default();
        for id in 0..50 {
            table.push(id, &items.row(id as usize)).unwrap();
        }
        let table = table.build().unwrap();
        // Movie 50 of the catalogue has no vector.
        let of = |similarity| Arc::new(ItemVectors::new(&table, 51, similarity, Some));
        assert!(FoldIn::new(of(Similarity::Cosine), objective).is_none());
        let fold_in = FoldIn::new(of(Similarity::Dot), objective).unwrap();
        assert_eq!(fold_in.fold_in(&[]), None);
        assert_eq!(fold_in.fold_in(&[50, 77]), None);
        let vector = fold_in.fold_in(&[3, 50, 20, 41]).unwrap();
        let rest = residual(&items, 0.2, &[3, 20, 41], None, objective.ridge(3, 50), &vector);
        assert!(rest.iter().all(|rest| rest.abs() < 1e-3), "{rest:?}");
        assert!(vector.iter().any(|value| value.abs() > 0.01));
    }

    #[test]
    fn ridge_scales_with_the_exponent() {
        let ridge =
            |exponent| Objective { unobserved: 0.1, regularization: 0.5, exponent }.ridge(90, 100);
        assert!((ridge(1.0) - 50.0).abs() < 1e-4);
        assert!((ridge(0.5) - 5.0).abs() < 1e-5);
        assert!((ridge(0.0) - 0.5).abs() < 1e-6);
    }
}
