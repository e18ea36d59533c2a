//! EASE: item–item weights in closed form (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse
//! Data").
//!
//! With X the matrix of users and items, and P the inverse of XᵀX + λ, the weights are −P_ij / P_jj, and 0 from an item to
//! itself. There are no iterations: time and memory are those of inverting a matrix with a row per item. The available
//! memory is checked first.
//!
//! Start reading at [`train`]; it is independent of movies and files.

use std::fs;
use std::sync::Mutex;
use std::thread;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{
    LltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Accum, MatMut, MatRef, Par, Spec};
use sparrow_hyperparameters::{Hyperparameter, Hyperparameters, Range, SearchSpace, Settings as _};
use sparrow_model::Catalog;
use sparrow_neural::item_weights::{
    Architecture, InputWeights, ItemWeights, ItemWeightsFile, ItemWeightsMetadata,
};
use sparrow_progress::Progress;

use crate::interactions::{Interactions, Positives};
use crate::{Error, Execution, Method, MethodKind, Model, Output};

/// The hyperparameters, and the resources of the computation.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// λ, the L2 regularization: greater values reduce the influence of rare items.
    pub regularization: f32,
    /// Items with fewer users are excluded.
    pub min_count: usize,
    /// The number of weights per item that are kept, the greatest by absolute value.
    pub keep: usize,
    /// The ratings that count: [`Positives::All`] or [`Positives::Liked`].
    pub positives: Positives,
    /// The age at which the weight of a rating of the history is 1/e: newer ratings weigh more. 0 for equal weights.
    pub recency: f32,
    /// Number of threads.
    pub threads: usize,
    /// Maximum number of bytes of memory; `None` for the available memory of the system.
    pub memory: Option<u64>,
}

impl Options {
    /// One thread; the others were tuned on ml-latest-small.
    pub const DEFAULT: Self = Self {
        regularization: 400.0,
        min_count: 2,
        keep: 500,
        positives: Positives::All,
        recency: 0.0,
        threads: 1,
        memory: None,
    };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Hyperparameters for Options {
    const TABLE: &'static [Hyperparameter<Self>] = &[
        Hyperparameter::<Self>::new(
            "regularization",
            Range::within(1.0, 1e9),
            |o| &mut o.regularization,
            "L2 regularization of the weights",
        )
        .search(SearchSpace::Logarithmic(20.0, 3000.0)),
        Hyperparameter::<Self>::new(
            "min-count",
            Range::at_least(1.0),
            |o| &mut o.min_count,
            "Movies with fewer ratings are excluded",
        )
        .search(SearchSpace::OneOf(&[2.0, 3.0, 5.0])),
        Hyperparameter::<Self>::new(
            "keep",
            Range::at_least(1.0),
            |o| &mut o.keep,
            "Weights per movie that are kept, the greatest by absolute value",
        ),
        Hyperparameter::<Self>::new(
            "positives",
            Range::Names(&["all", "liked"]),
            |o| &mut o.positives,
            "Ratings that count: all or liked (3.5 stars or more)",
        ),
        Hyperparameter::<Self>::new(
            "recency",
            Range::within(0.0, 1e6),
            |o| &mut o.recency,
            "Age in later ratings at which a rating of a history weighs 1/e; 0 for equal weights",
        ),
    ];
}

/// `ease`.
pub const KIND: MethodKind = MethodKind {
    name: "ease",
    help: "Item-item weights in closed form (EASE)",
    output: Output::Weights,
    seeded: false,
    same_on_all_threads: true,
    new: || Box::new(Options::DEFAULT),
};

impl Method for Options {
    fn compute(
        &self,
        catalog: &Catalog,
        execution: Execution,
        progress: Progress<'_>,
    ) -> Result<Model, Error> {
        let users = Interactions::of(catalog, self.positives);
        let ids: Vec<u32> = catalog.movies().iter().map(|movie| movie.id.0).collect();
        let options = Self { threads: execution.threads, ..self.clone() };
        let weights = train(&users, &ids, &options, progress)?;
        let metadata = ItemWeightsMetadata::new(Architecture::Ease, self.input());
        let file = ItemWeightsFile { weights, metadata };
        Ok(Model::Weights { file, ratings: users.pair_count() })
    }
}

impl Options {
    /// How the model weights the history that it scores for.
    fn input(&self) -> InputWeights {
        let decay = (self.recency > 0.0).then_some(self.recency);
        InputWeights { liked_only: self.positives == Positives::Liked, window: None, decay }
    }

    /// The number of bytes that the computation for this number of items needs: two square matrices, the weights
    /// that are kept, and their file.
    pub fn memory_need(&self, items: usize) -> u64 {
        let items = items as u64;
        let kept = items * (self.keep as u64).min(items);
        // The weights are assembled after the second matrix was dropped.
        items * items * 4 + (items * items * 4).max(kept * 24)
    }
}

/// Computes weights between the columns of `users`, whose ascending ids are `ids`. Progress counts columns, each four
/// times.
pub fn train(
    users: &Interactions,
    ids: &[u32],
    options: &Options,
    progress: Progress<'_>,
) -> Result<ItemWeights, Error> {
    options.check()?;
    let items = users.transposed();
    let kept: Vec<u32> = (0..items.len() as u32)
        .filter(|&item| items.row(item as usize).len() >= options.min_count)
        .collect();
    if kept.is_empty() {
        return Err(Error::NoTrainingData("no movie has enough ratings".to_owned()));
    }
    let n = kept.len();
    let needed = options.memory_need(n);
    if let Some(available) = options.memory.or_else(available_memory)
        && needed > available
    {
        return Err(Error::Memory { items: n, needed, available });
    }
    let inverse = inverse(users, &items, &kept, options, progress)?;
    let rows = rows(&inverse, n, options, progress);
    drop(inverse);
    let mut starts = vec![0_u32];
    let (mut targets, mut weights) = (Vec::new(), Vec::new());
    for row in rows {
        targets.extend(row.iter().map(|&(target, _)| target));
        weights.extend(row.iter().map(|&(_, weight)| weight));
        starts.push(targets.len() as u32);
    }
    if weights.is_empty() {
        let why = format!("no user rated two of the {n} movies with enough ratings");
        return Err(Error::NoTrainingData(why));
    }
    let ids = kept.iter().map(|&item| ids[item as usize]).collect();
    Ok(ItemWeights::new(ids, starts, targets, weights)?)
}

/// The lower half of the inverse of XᵀX + λ over the kept items, column by column.
fn inverse(
    users: &Interactions,
    items: &Interactions,
    kept: &[u32],
    options: &Options,
    progress: Progress<'_>,
) -> Result<Vec<f32>, Error> {
    let n = kept.len();
    let total = 4 * n as u64;
    let mut row_of = vec![u32::MAX; items.len()];
    for (row, &item) in kept.iter().enumerate() {
        row_of[item as usize] = row as u32;
    }
    let mut matrix = vec![0.0_f32; n * n];
    let column = |at: usize, column: &mut [f32]| {
        for &user in items.row(kept[at] as usize) {
            for &other in users.row(user as usize) {
                let row = row_of[other as usize];
                if row != u32::MAX && row as usize >= at {
                    column[row as usize] += 1.0;
                }
            }
        }
        column[at] += options.regularization;
    };
    in_parallel(matrix.chunks_mut(n).enumerate(), options.threads, |(at, values)| {
        column(at, values);
        progress(at as u64, total);
    });

    let par = Par::rayon(options.threads);
    let scratch = cholesky_in_place_scratch::<f32>(n, par, Spec::default());
    let mut buffer = MemBuffer::new(scratch);
    let lower = MatMut::from_column_major_slice_mut(&mut matrix, n, n);
    let stack = MemStack::new(&mut buffer);
    cholesky_in_place(lower, LltRegularization::default(), par, stack, Spec::default())
        .map_err(|_| singular(options))?;
    progress(2 * n as u64, total);

    let mut other = vec![0.0_f32; n * n];
    let triangle = MatMut::from_column_major_slice_mut(&mut other, n, n);
    invert_lower_triangular(triangle, MatRef::from_column_major_slice(&matrix, n, n), par);
    let triangle = MatRef::from_column_major_slice(&other, n, n);
    matmul(
        MatMut::from_column_major_slice_mut(&mut matrix, n, n),
        BlockStructure::TriangularLower,
        Accum::Replace,
        triangle.transpose(),
        BlockStructure::TriangularUpper,
        triangle,
        BlockStructure::TriangularLower,
        1.0,
        par,
    );
    progress(3 * n as u64, total);
    let diagonal = (0..n).map(|at| matrix[at * n + at]);
    if diagonal.into_iter().all(|value| value.is_finite() && value > 0.0) {
        Ok(matrix)
    } else {
        Err(singular(options))
    }
}

/// The error of a matrix without an inverse in single precision.
fn singular(options: &Options) -> Error {
    let remedy = format!("a stronger regularization than {}", options.regularization);
    Error::Diverged { remedy }
}

/// Number of rows that are processed together, so that the matrix is read in blocks of cache lines.
const BLOCK: usize = 64;

/// The greatest weights of each item by absolute value, in order of target.
fn rows(
    inverse: &[f32],
    n: usize,
    options: &Options,
    progress: Progress<'_>,
) -> Vec<Vec<(u32, f32)>> {
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); n];
    in_parallel(rows.chunks_mut(BLOCK).enumerate(), options.threads, |(block, rows)| {
        let first = block * BLOCK;
        for (target, column) in inverse.chunks_exact(n).enumerate() {
            let diagonal = column[target];
            for (at, row) in (first..).zip(&mut *rows) {
                // The inverse is symmetric: above the diagonal, the lower half is read.
                let value = if at >= target { column[at] } else { inverse[at * n + target] };
                if at != target && value != 0.0 {
                    row.push((target as u32, -value / diagonal));
                }
            }
        }
        for row in rows {
            if row.len() > options.keep {
                row.select_nth_unstable_by(options.keep - 1, |a, b| {
                    b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0))
                });
                row.truncate(options.keep);
                row.sort_unstable_by_key(|&(target, _)| target);
            }
            row.shrink_to_fit();
        }
        progress((3 * n + first) as u64, 4 * n as u64);
    });
    rows
}

/// Distributes parts of the work to threads.
pub(crate) fn in_parallel<P: Send>(
    parts: impl Iterator<Item = P> + Send,
    threads: usize,
    work: impl Fn(P) + Sync,
) {
    let parts = Mutex::new(parts);
    let take = || {
        loop {
            let next = parts.lock().map_or(None, |mut parts| parts.next());
            let Some(part) = next else { return };
            work(part);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(take);
        }
        take();
    });
}

/// The available memory of the system, if it is known.
fn available_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {

    use super::*;
    use sparrow_random::Random;

    fn users(seed: u64, users: usize, items: usize) -> Interactions {
        let mut random = Random::new(seed, 0);
        let rows: Vec<Vec<u32>> = (0..users)
            .map(|_| (0..items as u32).filter(|_| random.chance(0.3)).collect())
            .collect();
        Interactions::from_rows(rows.iter().map(Vec::as_slice), items)
    }

    fn options() -> Options {
        Options { regularization: 3.0, min_count: 1, ..Options::default() }
    }

    /// Weights by ridge regression of each item on the others, which EASE computes in closed form.
    fn by_regression(users: &Interactions, lambda: f64) -> Vec<Vec<f64>> {
        let n = users.column_count();
        let has = |user: usize, item: usize| users.row(user).contains(&(item as u32));
        let both = |a, b| (0..users.len()).filter(|&u| has(u, a) && has(u, b)).count() as f64;
        let mut weights = vec![vec![0.0; n]; n];
        let targets = 0..n;
        for target in targets {
            let others: Vec<usize> = (0..n).filter(|&item| item != target).collect();
            // Gauss elimination of (XᵀX + λ) b = Xᵀx.
            let mut system: Vec<Vec<f64>> = others
                .iter()
                .map(|&a| {
                    let row =
                        others.iter().map(|&b| both(a, b) + if a == b { lambda } else { 0.0 });
                    row.chain([both(a, target)]).collect()
                })
                .collect();
            for pivot in 0..others.len() {
                let row = system[pivot].clone();
                for (_, other) in system.iter_mut().enumerate().filter(|(at, _)| *at != pivot) {
                    let factor = other[pivot] / row[pivot];
                    for (value, &of_pivot) in other.iter_mut().zip(&row) {
                        *value -= factor * of_pivot;
                    }
                }
            }
            for (at, &item) in others.iter().enumerate() {
                weights[item][target] = system[at][others.len()] / system[at][at];
            }
        }
        weights
    }

    /// The weights of an item by target; ids begin at `first`.
    fn of_one(model: &ItemWeights, item: u32, items: usize, first: u32) -> Vec<f32> {
        let mut weights = vec![0.0; items];
        let row = model.ids().iter().position(|&id| id == item + first).unwrap();
        for (target, weight) in model.row(row) {
            weights[(model.ids()[target as usize] - first) as usize] = weight;
        }
        weights
    }

    #[test]
    fn weights_are_those_of_ridge_regression() {
        let users = users(3, 40, 9);
        let ids: Vec<u32> = (0..9).collect();
        for threads in [1, 2] {
            let model = train(&users, &ids, &Options { threads, ..options() }, &|_, _| {}).unwrap();
            let expected = by_regression(&users, 3.0);
            for item in 0..9 {
                let found = of_one(&model, item, 9, 0);
                for (found, expected) in found.iter().zip(&expected[item as usize]) {
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn greatest_weights_are_kept_and_rare_items_excluded() {
        let users = users(4, 60, 100);
        let ids: Vec<u32> = (1000..1100).collect();
        let all = train(&users, &ids, &options(), &|_, _| {}).unwrap();
        assert_eq!((all.len(), all.weight_count()), (100, 9900));
        let few = train(&users, &ids, &Options { keep: 5, ..options() }, &|_, _| {}).unwrap();
        assert_eq!(few.weight_count(), 500);
        let row = |model| of_one(model, 7, 100, 1000);
        let mut sizes: Vec<f32> = row(&all).iter().map(|weight| weight.abs()).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let kept = row(&few).into_iter().filter(|weight| *weight != 0.0).map(f32::abs);
        assert_eq!(kept.fold(f32::INFINITY, f32::min), sizes[4]);

        let counts = users.transposed();
        let frequent = (0..100).filter(|&item| counts.row(item).len() >= 18).count();
        let without = Options { min_count: 18, ..options() };
        assert_eq!(train(&users, &ids, &without, &|_, _| {}).unwrap().len(), frequent);
        let none = Options { min_count: 61, ..options() };
        assert!(matches!(train(&users, &ids, &none, &|_, _| {}), Err(Error::NoTrainingData(_))));
    }

    #[test]
    fn data_without_pairs_are_an_error_and_movies_without_weights_are_counted() {
        let of = |rows: &[&[u32]]| {
            let users = Interactions::from_rows(rows.iter().copied(), 3);
            train(&users, &[1, 2, 3], &options(), &|_, _| {})
        };
        let error = of(&[&[0], &[1], &[2]]).unwrap_err().to_string();
        assert_eq!(
            error,
            "no training data: no user rated two of the 3 movies with enough ratings"
        );
        assert_eq!(of(&[&[0, 1], &[2]]).unwrap().without_weights(), 1);
    }

    #[test]
    fn insufficient_memory_is_an_error_before_the_computation() {
        let users = users(4, 60, 100);
        let ids: Vec<u32> = (0..100).collect();
        let options = Options { memory: Some(50_000), keep: 1000, ..options() };
        let error = train(&users, &ids, &options, &|_, _| {}).unwrap_err();
        assert!(matches!(error, Error::Memory { items: 100, needed: 280_000, .. }), "{error}");
        let large = Error::Memory { items: 20_000, needed: 3 << 30, available: 1 << 30 };
        assert!(large.to_string().starts_with(
            "weights between 20000 movies need 3072 MiB of memory, and 1024 MiB are available"
        ));
    }
}
