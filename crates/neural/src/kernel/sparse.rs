//! Weighted sums of sparse rows of half-precision weights.

use std::cmp::Reverse;

use super::half::{Halves, to_half};
use super::vector::Vector;
use super::{LANES, Lanes};

/// A cache line of a row: either 32 weights of dense columns, or the targets of [`LANES`] weights and these weights.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line([Halves; 2]);

/// Columns that 16 bits can address.
const PAGE: usize = 1 << 16;

/// The columns of a dense line.
const COLUMNS: usize = 2 * LANES;

/// The greatest number of dense lines.
const MAX_WIDTH: usize = 64;

/// Rows that are added at once, so that a sum is loaded and stored once for all of them.
const TOGETHER: usize = 4;

/// A column is dense if at least one in so many rows has a weight for it: a weight of a dense row costs an eighth of one
/// with a target.
const DENSE: u64 = 8;

/// Sparse rows over the columns `0..len`.
///
/// The columns that many rows have weights for, such as popular movies, are stored densely, and need no targets. The
/// other weights have targets of 16 bits, in groups of [`LANES`] that are padded with zeros.
///
/// Weights are divided by a power of two per row and rounded to half precision, by at most 1/2048 of the weight, or
/// 2⁻³⁹ of the greatest one of the row.
#[derive(Debug, Clone)]
pub(crate) struct SparseRows {
    len: usize,
    /// The dense columns.
    columns: Vec<u32>,
    /// Dense lines of a row.
    width: usize,
    /// The dense lines and then the groups of each row. The rows of the most frequent columns, which are read most, are
    /// next to each other, and so share pages of memory and entries of the TLB.
    lines: Vec<Line>,
    /// For each row the end of its dense lines, and the ends of its groups for each page of columns.
    ends: Vec<u32>,
    /// Pages of columns.
    pages: usize,
    /// What the weights of each row are multiplied by.
    scales: Vec<f32>,
}

impl SparseRows {
    /// Rows of (column, weight) with ascending columns below `len`; `row_of` maps a column to its own row, if it has one,
    /// which makes weights in rows of frequent columns count more for the choice of the dense ones.
    ///
    /// # Panics
    /// If a column is not below `len`.
    pub(crate) fn new(
        rows: &[&[(u32, f32)]],
        len: usize,
        row_of: impl Fn(u32) -> Option<u32>,
    ) -> Self {
        let mut frequency = vec![1_u64; rows.len()];
        for &(column, _) in rows.iter().copied().flatten() {
            assert!((column as usize) < len, "column {column} of {len}");
            if let Some(row) = row_of(column) {
                frequency[row as usize] += 1;
            }
        }
        let mut density = vec![0_u64; len];
        for (row, frequency) in rows.iter().zip(&frequency) {
            row.iter().for_each(|&(column, _)| density[column as usize] += frequency);
        }
        let total: u64 = frequency.iter().sum();
        let mut columns: Vec<u32> =
            (0..len as u32).filter(|&column| density[column as usize] * DENSE > total).collect();
        columns.sort_by_key(|&column| Reverse(density[column as usize]));
        columns.truncate(MAX_WIDTH * COLUMNS);
        columns.sort_unstable();
        let width = columns.len().div_ceil(COLUMNS);
        let mut place = vec![None; len];
        for (index, &column) in columns.iter().enumerate() {
            place[column as usize] = Some(index);
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| Reverse(frequency[row]));

        let pages = len.div_ceil(PAGE).max(1);
        let mut lines = Vec::new();
        let mut ends = vec![0; rows.len() * (pages + 1)];
        let mut scales = vec![0.0; rows.len()];
        for index in order {
            let greatest =
                rows[index].iter().fold(0.0_f32, |most, (_, weight)| most.max(weight.abs()));
            let (scale, inverse) = scale(greatest);
            scales[index] = scale;
            let start = lines.len();
            lines.resize(start + width, Line::default());
            let ends = &mut ends[index * (pages + 1)..(index + 1) * (pages + 1)];
            ends[0] = lines.len() as u32;
            let mut rest = rows[index].iter().peekable();
            for (page, end) in ends[1..].iter_mut().enumerate() {
                let mut lane = LANES;
                let of_page = |entry: &&(u32, f32)| entry.0 as usize / PAGE == page;
                while let Some(&(column, weight)) = rest.next_if(of_page) {
                    let half = to_half(weight * inverse);
                    if let Some(place) = place[column as usize] {
                        let Line(vectors) = &mut lines[start + place / COLUMNS];
                        vectors[place % COLUMNS / LANES].0[place % LANES] = half;
                        continue;
                    }
                    let target = (column as usize % PAGE) as u16;
                    if lane == LANES {
                        // The padding has valid targets, and zero as weights.
                        lines.push(Line([Halves([target; LANES]), Halves::default()]));
                        lane = 0;
                    }
                    let last = lines.len() - 1;
                    let Line([targets, weights]) = &mut lines[last];
                    (targets.0[lane], weights.0[lane]) = (target, half);
                    lane += 1;
                }
                *end = lines.len() as u32;
            }
        }
        Self { len, columns, width, lines, ends, pages, scales }
    }

    /// The number of rows.
    fn count(&self) -> usize {
        self.scales.len()
    }
}

/// The power of two by which weights of at most `greatest` are multiples of numbers below 2¹⁵, and its inverse.
fn scale(greatest: f32) -> (f32, f32) {
    let exponent = (greatest.to_bits() >> 23).clamp(15, 239);
    (f32::from_bits((exponent - 14) << 23), f32::from_bits((268 - exponent) << 23))
}

/// Adds rows, each times its input, to one sum per column.
#[inline(always)]
#[expect(clippy::inline_always, reason = "compiled for each instruction set")]
unsafe fn add<V: Vector>(rows: &SparseRows, inputs: &[(u32, f32)], scores: &mut [f32]) {
    // The bounds on which the unsafe code relies.
    assert_eq!(scores.len(), rows.len);
    assert!(inputs.iter().all(|&(row, _)| (row as usize) < rows.count()));
    let width = rows.width;
    let scaled = |&(row, input): &(u32, f32)| (row as usize, input * rows.scales[row as usize]);
    let ends = |row: usize| &rows.ends[row * (rows.pages + 1)..(row + 1) * (rows.pages + 1)];
    let dense = |row: usize| {
        let end = ends(row)[0] as usize;
        &rows.lines[end - width..end]
    };
    let mut sums = [[Lanes::default(); 2]; MAX_WIDTH];
    let sums = &mut sums[..width];
    // SAFETY: the caller guarantees the instruction set, here and below.
    let zero = unsafe { V::splat(0.0) };
    for (index, batch) in inputs.chunks(TOGETHER).enumerate() {
        // In the last batch, rows that are missing are replaced by the first one with the input 0.
        let mut factors = [zero; TOGETHER];
        let mut of_batch = [&rows.lines[..0]; TOGETHER];
        let mut next = [None; TOGETHER];
        for slot in 0..TOGETHER {
            let (row, input) = scaled(batch.get(slot).unwrap_or(&(batch[0].0, 0.0)));
            // SAFETY: see above.
            factors[slot] = unsafe { V::splat(input) };
            of_batch[slot] = dense(row);
            next[slot] = inputs.get((index + 1) * TOGETHER + slot).map(|&(row, _)| row as usize);
        }
        let ahead = next.map(|row| row.map_or(&rows.lines[..0], dense).as_ptr());
        for (line, sums) in sums.iter_mut().enumerate() {
            for ahead in ahead {
                prefetch(ahead.wrapping_add(line));
            }
            for (half, sums) in sums.iter_mut().enumerate() {
                // SAFETY: see above; the slices have as many lines as there are sums.
                unsafe {
                    let mut sum = V::load(sums);
                    for (lines, factor) in of_batch.iter().zip(factors) {
                        sum = V::load_half(&lines.get_unchecked(line).0[half]).mul_add(factor, sum);
                    }
                    sum.store(&mut sums.0);
                }
            }
        }
        for ((row, input), next) in batch.iter().map(scaled).zip(next) {
            if let Some([start, .., end]) = next.map(ends) {
                rows.lines[*start as usize..*end as usize].iter().for_each(|line| prefetch(line));
            }
            // SAFETY: see above.
            let input = unsafe { V::splat(input) };
            for (page, &[start, end]) in ends(row).array_windows().enumerate() {
                let first = page * PAGE;
                for Line([targets, weights]) in &rows.lines[start as usize..end as usize] {
                    let mut products = [0.0; LANES];
                    // SAFETY: see above; the constructor checked that columns are below `len`, the length of `scores`.
                    unsafe {
                        V::load_half(weights).mul_add(input, zero).store(&mut products);
                        for (&product, &target) in products.iter().zip(&targets.0) {
                            *scores.get_unchecked_mut(first + usize::from(target)) += product;
                        }
                    }
                }
            }
        }
    }
    for (&column, &sum) in rows.columns.iter().zip(sums.iter().flatten().flat_map(|sums| &sums.0)) {
        scores[column as usize] += sum;
    }
}

/// Prefetches a line, because the hardware cannot predict the addresses of rows.
#[inline(always)]
fn prefetch(line: *const Line) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and an invalid address has no effect.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

pub(super) fn plain(rows: &SparseRows, inputs: &[(u32, f32)], scores: &mut [f32]) {
    // SAFETY: arrays require no particular instruction set.
    unsafe { add::<Lanes>(rows, inputs, scores) }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::__m512;

    use super::super::vector::x86::Pair;
    use super::SparseRows;

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(in super::super) fn avx2(rows: &SparseRows, inputs: &[(u32, f32)], scores: &mut [f32]) {
        // SAFETY: this function enables the features.
        unsafe { super::add::<Pair>(rows, inputs, scores) }
    }

    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn avx512(rows: &SparseRows, inputs: &[(u32, f32)], scores: &mut [f32]) {
        // SAFETY: this function enables the features.
        unsafe { super::add::<__m512>(rows, inputs, scores) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Kernel;
    use super::super::half::from_half;
    use super::*;

    #[test]
    fn halves_round_to_eleven_bits() {
        for (value, half) in [
            (0.0, 0),
            (1.0, 0x3c00),
            (-2.5, 0xc100),
            (65504.0, 0x7bff),
            (2.0_f32.powi(-24), 1),
            (2.0_f32.powi(-14), 0x0400),
        ] {
            assert_eq!((to_half(value), from_half(half)), (half, value), "{value}");
        }
        // Ties to even, and up past the middle.
        let ulp = 2.0_f32.powi(-10);
        assert_eq!(to_half(1.0 + ulp / 2.0), 0x3c00);
        assert_eq!(to_half(1.0 + ulp * 1.5), 0x3c02);
        assert_eq!(to_half(1.0 + ulp * 0.51), 0x3c01);
    }

    #[test]
    fn scales_keep_weights_in_range() {
        for greatest in [0.0, 1e-45, 1e-30, 0.3, 1.0, 2.0, 32_767.0, 1e15] {
            let (scale, inverse) = scale(greatest);
            assert_eq!(scale * inverse, 1.0, "{greatest}");
            assert!(greatest * inverse < 32_768.0, "{greatest}");
            assert!(greatest < 1e-30 || greatest * inverse >= 16_384.0, "{greatest}");
        }
    }

    proptest! {
        #[test]
        fn every_kernel_matches_the_exact_sum(
            len in prop_oneof![1..90_usize, Just(PAGE + 50)],
            seeds in prop::collection::vec((any::<u64>(), -3..=3_i32), 1..20),
            inputs in prop::collection::vec((any::<prop::sample::Index>(), 0.0..2.0_f32), 0..40),
        ) {
            // Low columns occur in most rows, high ones in few of them.
            let rows: Vec<Vec<(u32, f32)>> = seeds.iter().map(|&(seed, size)| {
                let mut state = seed;
                let mut random = move || {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 40) as f32 / (1 << 24) as f32
                };
                let mut row = Vec::new();
                for column in (0..60.min(len)).chain(len.saturating_sub(40).max(60)..len) {
                    if random() < if column < 20 { 0.8 } else { 0.05 } {
                        row.push((column as u32, (random() - 0.3) * 10.0_f32.powi(size)));
                    }
                }
                row
            }).collect();
            let inputs: Vec<(u32, f32)> =
                inputs.iter().map(|(row, input)| (row.index(rows.len()) as u32, *input)).collect();
            let (mut exact, mut bound) = (vec![1.0_f64; len], vec![1e-6_f64; len]);
            for &(row, input) in &inputs {
                for &(column, weight) in &rows[row as usize] {
                    let product = f64::from(input) * f64::from(weight);
                    exact[column as usize] += product;
                    bound[column as usize] += product.abs() * (1.0 / 2048.0 + 1e-5);
                }
            }
            let rows: Vec<&[(u32, f32)]> = rows.iter().map(Vec::as_slice).collect();
            let of_column = |column: u32| ((column as usize) < rows.len()).then_some(column);
            let sparse = SparseRows::new(&rows, len, of_column);
            for kernel in Kernel::available() {
                let mut scores = vec![1.0; len];
                kernel.add_rows(&sparse, &inputs, &mut scores);
                for (column, (&score, &exact)) in scores.iter().zip(&exact).enumerate() {
                    let error = (f64::from(score) - exact).abs();
                    prop_assert!(error <= bound[column], "{:?} {}: {} {}", kernel, column, score, exact);
                }
            }
        }
    }
}
