//! Regularised least squares over selected rows of a matrix by conjugate gradients, generic over the vector type of an
//! instruction set.

use super::vector::Vector;
use super::{LANES, Lanes};

/// Maximum width of rows (128 components) that are processed in registers.
const NARROW: usize = 8;

/// The shared part of the linear systems: a row-major matrix with rows of `width * LANES` components, and a symmetric
/// matrix of that size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System<'a> {
    pub(crate) width: usize,
    pub(crate) matrix: &'a [Lanes],
    pub(crate) gram: &'a [Lanes],
}

/// The linear system of one vector x: the sum of c·(1 − h·x)·h over `rows` h of the matrix, minus `gram`·x and
/// `ridge`·x, is 0. `weights` are the c; `None` means 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) rows: &'a [u32],
    pub(crate) weights: Option<&'a [f32]>,
    pub(crate) ridge: f32,
    /// Maximum number of steps.
    pub(crate) steps: usize,
    /// Relative error at which the solver stops.
    pub(crate) tolerance: f32,
}

impl Task<'_> {
    fn weight(&self, index: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[index])
    }
}

impl System<'_> {
    /// Asserts consistent sizes.
    fn check(&self, task: &Task<'_>, x: &[Lanes]) {
        assert!(self.width > 0 && x.len() == self.width);
        assert_eq!(self.gram.len(), self.width * self.width * LANES);
        let greatest = task.rows.iter().copied().max().unwrap_or(0) as usize;
        assert!(task.rows.is_empty() || (greatest + 1) * self.width <= self.matrix.len());
        assert!(task.weights.is_none_or(|weights| weights.len() == task.rows.len()));
    }
}

/// Adds the outer product of each row with itself to `gram`, in the layout of [`System`].
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn add_gram<V: Vector>(width: usize, rows: &[Lanes], gram: &mut [Lanes]) {
    assert!(width > 0 && gram.len() == width * width * LANES && rows.len().is_multiple_of(width));
    // Four rows at a time, to load and store each sum once.
    let mut fours = rows.chunks_exact(4 * width);
    for four in &mut fours {
        for (column, sums) in gram.chunks_exact_mut(width).enumerate() {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller guarantees the instruction set, here and below.
                unsafe {
                    let mut total = V::load(sum);
                    for row in four.chunks_exact(width) {
                        let factor = V::splat(row[column / LANES].0[column % LANES]);
                        total = V::load(&row[lane]).mul_add(factor, total);
                    }
                    total.store(&mut sum.0);
                }
            }
        }
    }
    for row in fours.remainder().chunks_exact(width) {
        for (column, sums) in gram.chunks_exact_mut(width).enumerate() {
            for (sum, lanes) in sums.iter_mut().zip(row) {
                // SAFETY: see above.
                unsafe {
                    let factor = V::splat(row[column / LANES].0[column % LANES]);
                    V::load(lanes).mul_add(factor, V::load(sum)).store(&mut sum.0);
                }
            }
        }
    }
}

/// Computes into `out` the sum of c·(`target` − h·p)·h over the rows, minus `gram`·p and `ridge`·p.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn residual<V: Vector>(
    system: &System<'_>,
    task: &Task<'_>,
    target: f32,
    p: &[Lanes],
    out: &mut [Lanes],
) {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        match system.width {
            1 => narrow::<V, 1>(system, task, target, p, out),
            2 => narrow::<V, 2>(system, task, target, p, out),
            3 => narrow::<V, 3>(system, task, target, p, out),
            4 => narrow::<V, 4>(system, task, target, p, out),
            5 => narrow::<V, 5>(system, task, target, p, out),
            6 => narrow::<V, 6>(system, task, target, p, out),
            7 => narrow::<V, 7>(system, task, target, p, out),
            8 => narrow::<V, 8>(system, task, target, p, out),
            _ => wide::<V>(system, task, target, p, out),
        }
    }
}

/// [`residual`] for rows of `W * LANES` components: keeps sums in registers and reads each row once.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn narrow<V: Vector, const W: usize>(
    system: &System<'_>,
    task: &Task<'_>,
    target: f32,
    p: &[Lanes],
    out: &mut [Lanes],
) {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let mut vector = [V::splat(0.0); W];
        let mut sums = [V::splat(0.0); W];
        for lane in 0..W {
            vector[lane] = V::load(&p[lane]);
            sums[lane] = vector[lane].mul_add(V::splat(-task.ridge), sums[lane]);
        }
        let factors = p.iter().flat_map(|lanes| lanes.0);
        for (row, factor) in system.gram.as_chunks::<W>().0.iter().zip(factors) {
            for lane in 0..W {
                sums[lane] = V::load(&row[lane]).mul_add(V::splat(-factor), sums[lane]);
            }
        }
        let matrix = system.matrix.as_chunks::<W>().0;
        for (index, &row) in task.rows.iter().enumerate() {
            let row = &matrix[row as usize];
            let mut values = [V::splat(0.0); W];
            let mut product = V::splat(0.0);
            for lane in 0..W {
                values[lane] = V::load(&row[lane]);
                product = values[lane].mul_add(vector[lane], product);
            }
            let factor = V::splat(task.weight(index) * (target - product.sum()));
            for lane in 0..W {
                sums[lane] = values[lane].mul_add(factor, sums[lane]);
            }
        }
        for lane in 0..W {
            sums[lane].store(&mut out[lane].0);
        }
    }
}

/// [`residual`] for rows of any width.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn wide<V: Vector>(
    system: &System<'_>,
    task: &Task<'_>,
    target: f32,
    p: &[Lanes],
    out: &mut [Lanes],
) {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        for (sum, lanes) in out.iter_mut().zip(p) {
            V::load(lanes).mul_add(V::splat(-task.ridge), V::splat(0.0)).store(&mut sum.0);
        }
        let factors = p.iter().flat_map(|lanes| lanes.0);
        for (row, factor) in system.gram.chunks_exact(system.width).zip(factors) {
            add::<V>(row, -factor, out);
        }
        for (index, &row) in task.rows.iter().enumerate() {
            let start = row as usize * system.width;
            let row = &system.matrix[start..start + system.width];
            add::<V>(row, task.weight(index) * (target - dot::<V>(row, p)), out);
        }
    }
}

/// `to += factor · from`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn add<V: Vector>(from: &[Lanes], factor: f32, to: &mut [Lanes]) {
    for (to, from) in to.iter_mut().zip(from) {
        // SAFETY: the caller guarantees the instruction set.
        unsafe { V::load(from).mul_add(V::splat(factor), V::load(to)).store(&mut to.0) }
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn dot<V: Vector>(a: &[Lanes], b: &[Lanes]) -> f32 {
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        let zero = V::splat(0.0);
        a.iter().zip(b).fold(zero, |sum, (a, b)| V::load(a).mul_add(V::load(b), sum)).sum()
    }
}

/// Improves `x` by the conjugate gradient method (Hestenes and Stiefel 1952).
#[inline(always)]
#[expect(clippy::inline_always, reason = "part of functions for other instruction sets")]
unsafe fn solve<V: Vector>(system: &System<'_>, task: &Task<'_>, x: &mut [Lanes]) {
    system.check(task, x);
    let mut work = [Lanes::default(); 3 * NARROW];
    let mut more = Vec::new();
    let work = if system.width <= NARROW {
        &mut work[..3 * system.width]
    } else {
        more.resize(3 * system.width, Lanes::default());
        &mut more[..]
    };
    let (rest, work) = work.split_at_mut(system.width);
    let (direction, product) = work.split_at_mut(system.width);
    // SAFETY: the caller guarantees the instruction set.
    unsafe {
        residual::<V>(system, task, 1.0, x, rest);
        direction.copy_from_slice(rest);
        let mut square = dot::<V>(rest, rest);
        for _ in 0..task.steps {
            // The ridge is a lower bound of the curvature, so this bounds the error.
            if square <= (task.tolerance * task.ridge).powi(2) * dot::<V>(x, x) {
                return;
            }
            residual::<V>(system, task, 0.0, direction, product);
            let step = square / -dot::<V>(direction, product);
            if !(step.is_finite() && step > 0.0) {
                return;
            }
            add::<V>(direction, step, x);
            add::<V>(product, step, rest);
            let next = dot::<V>(rest, rest);
            let kept = next / square;
            square = next;
            for (direction, rest) in direction.iter_mut().zip(rest.iter()) {
                let turned = V::load(direction).mul_add(V::splat(kept), V::load(rest));
                turned.store(&mut direction.0);
            }
        }
    }
}

pub(super) mod plain {
    use super::{Lanes, System, Task};

    pub(in super::super) fn add_gram(width: usize, rows: &[Lanes], gram: &mut [Lanes]) {
        // SAFETY: arrays require no particular instruction set.
        unsafe { super::add_gram::<Lanes>(width, rows, gram) }
    }

    pub(in super::super) fn solve(system: &System<'_>, task: &Task<'_>, x: &mut [Lanes]) {
        // SAFETY: as above.
        unsafe { super::solve::<Lanes>(system, task, x) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use super::super::vector::x86::Pair;
    use super::{Lanes, System, Task};

    #[target_feature(enable = "avx2,fma")]
    pub(in super::super) fn add_gram(width: usize, rows: &[Lanes], gram: &mut [Lanes]) {
        // SAFETY: this function enables the features.
        unsafe { super::add_gram::<Pair>(width, rows, gram) }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(in super::super) fn solve(system: &System<'_>, task: &Task<'_>, x: &mut [Lanes]) {
        // SAFETY: as above.
        unsafe { super::solve::<Pair>(system, task, x) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use std::arch::x86_64::__m512;

    use super::{Lanes, System, Task};

    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn add_gram(width: usize, rows: &[Lanes], gram: &mut [Lanes]) {
        // SAFETY: this function enables the features.
        unsafe { super::add_gram::<__m512>(width, rows, gram) }
    }

    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn solve(system: &System<'_>, task: &Task<'_>, x: &mut [Lanes]) {
        // SAFETY: as above.
        unsafe { super::solve::<__m512>(system, task, x) }
    }
}
