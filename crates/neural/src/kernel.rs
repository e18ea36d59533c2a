#![expect(unsafe_code, reason = "calling functions for detected instruction sets is unsafe")]

mod forward;
mod half;
mod least_squares;
mod scan;
mod sparse;
mod vector;

pub(crate) use forward::{Layer, Stack, Unit, User};
pub(crate) use least_squares::{System, Task};
pub(crate) use scan::{Four, Line, OFFSET, Quads};
pub(crate) use sparse::SparseRows;

/// Number of items scored in parallel, and the multiple to which rows are padded.
pub(crate) const LANES: usize = 16;

/// [`LANES`] values, aligned to cache lines, because loads across two lines cost twice.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

/// The instruction set of the inner loops.
///
/// Kernels with fused multiply-add round once, the plain one twice: scores agree to about 1e-6 of the vectors'
/// lengths. Integer sums are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// AVX-512 for networks and sparse rows, 16 lanes per instruction; otherwise AVX2, which it implies.
    Avx512,
    /// AVX2 with fused multiply-add and half precision, 8 lanes per instruction.
    Avx2,
    /// The baseline of the target: SSE2 on x86-64, NEON on AArch64.
    Plain,
}

impl Kernel {
    /// Returns the fastest available kernel.
    pub(crate) fn detect() -> Self {
        Self::available()[0]
    }

    /// Returns all kernels that this processor supports, fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
        {
            if is_x86_feature_detected!("avx512f") {
                kernels.push(Self::Avx512);
            }
            kernels.push(Self::Avx2);
        }
        kernels.push(Self::Plain);
        kernels
    }

    /// The common name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2",
            Self::Plain => "plain",
        }
    }

    /// Computes the dot products of a rounded query with rounded rows, and maps them by `line` and the scales of the rows. A
    /// block contains [`LANES`] rows, four components of each at a time. `out` has one entry per row of `blocks`. The sums
    /// must fit into 32 bits.
    pub(crate) fn scan(
        self,
        query: &[Four],
        blocks: &[Quads],
        line: Line,
        scales: &[f32],
        out: &mut [f32],
    ) {
        assert_eq!(scales.len(), out.len());
        assert_eq!(blocks.len() * LANES, out.len() * query.len());
        assert!(out.len().is_multiple_of(LANES) && !query.is_empty());
        match self {
            // SAFETY: the feature is detected here, and those of this variant by `available`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 if is_x86_feature_detected!("avx512vnni") => unsafe {
                scan::x86::vnni(query, blocks, line, scales, out);
            },
            // SAFETY: `available` is the only source of these variants, and it has detected the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx2 => unsafe {
                scan::x86::avx2(query, blocks, line, scales, out);
            },
            _ => scan::plain(query, blocks, line, scales, out),
        }
    }

    /// Writes the indexes of the scores above the threshold to the front of `hits` in ascending order; returns their
    /// number. The number of scores must be a multiple of [`LANES`], and at most the length of `hits`.
    pub(crate) fn above(self, scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
        assert!(hits.len() >= scores.len());
        match self {
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::above(scores, threshold, hits) },
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::above(scores, threshold, hits) },
            _ => above(scores, threshold, hits),
        }
    }

    /// Appends to `scores` the dot products of `query` with selected rows of a row-major matrix. The length of the query
    /// is that of a row.
    pub(crate) fn gather(
        self,
        query: &[Lanes],
        matrix: &[Lanes],
        rows: &[u32],
        scores: &mut Vec<f32>,
    ) {
        match self {
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 | Self::Avx2 => unsafe { avx2::gather(query, matrix, rows, scores) },
            _ => gather(query, matrix, rows, scores),
        }
    }

    /// Scores items for a user. `blocks` contains the values of [`LANES`] items per block, see [`Stack`]; `scores` has one
    /// entry per item.
    pub(crate) fn forward(self, stack: &Stack, user: &User, blocks: &[Lanes], scores: &mut [f32]) {
        match self {
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { forward::x86::avx512(stack, user, blocks, scores) },
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { forward::x86::avx2(stack, user, blocks, scores) },
            _ => forward::plain(stack, user, blocks, scores),
        }
    }

    /// Adds sparse rows, each times its input, to `scores`, which has one entry per column.
    pub(crate) fn add_rows(self, rows: &SparseRows, inputs: &[(u32, f32)], scores: &mut [f32]) {
        match self {
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { sparse::x86::avx512(rows, inputs, scores) },
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { sparse::x86::avx2(rows, inputs, scores) },
            _ => sparse::plain(rows, inputs, scores),
        }
    }

    /// Adds the outer product of each row with itself to `gram`. A row has `width * LANES` components.
    pub(crate) fn add_gram(self, width: usize, rows: &[Lanes], gram: &mut [Lanes]) {
        match self {
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { least_squares::avx512::add_gram(width, rows, gram) },
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { least_squares::avx2::add_gram(width, rows, gram) },
            _ => least_squares::plain::add_gram(width, rows, gram),
        }
    }

    /// Improves the solution `x` of a [`Task`].
    pub(crate) fn solve(self, system: &System<'_>, task: &Task<'_>, x: &mut [Lanes]) {
        match self {
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { least_squares::avx512::solve(system, task, x) },
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { least_squares::avx2::solve(system, task, x) },
            _ => least_squares::plain::solve(system, task, x),
        }
    }
}

/// Prefetch distance in rows. The hardware cannot predict the addresses of selected rows.
#[cfg(target_arch = "x86_64")]
const PREFETCH_DISTANCE: usize = 12;

/// Intrinsics, because the compiler does not reliably vectorise the plain loops below.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehl_ps,
        _mm_prefetch, _mm_shuffle_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_cmp_ps,
        _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_load_ps, _mm256_loadu_ps,
        _mm256_movemask_ps, _mm256_set1_ps, _mm256_setzero_ps,
    };

    use super::{LANES, Lanes, PREFETCH_DISTANCE};

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn above(scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
        let threshold = _mm256_set1_ps(threshold);
        let mut len = 0;
        for (group, scores) in scores.as_chunks::<LANES>().0.iter().enumerate() {
            let from = scores.as_ptr();
            // SAFETY: `scores` has 16 values.
            let (left, right) = unsafe { (_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) };
            let left = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(left, threshold));
            let right = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(right, threshold));
            let mask = left | right << 8;
            // One branch per group and none per score, because hits are unpredictable.
            if mask != 0 {
                for lane in 0..LANES {
                    hits[len] = (group * LANES + lane) as u16;
                    len += (mask >> lane & 1) as usize;
                }
            }
        }
        len
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn gather(query: &[Lanes], matrix: &[Lanes], rows: &[u32], scores: &mut Vec<f32>) {
        let width = query.len();
        let greatest = rows.iter().copied().max().unwrap_or(0) as usize;
        assert!(rows.is_empty() || (greatest + 1) * width <= matrix.len());
        let start = scores.len();
        scores.resize(start + rows.len(), 0.0);
        for (index, (score, &row)) in scores[start..].iter_mut().zip(rows).enumerate() {
            if let Some(&ahead) = rows.get(index + PREFETCH_DISTANCE) {
                for line in 0..width {
                    // A prefetch of an invalid address has no effect.
                    let line = matrix.as_ptr().wrapping_add(ahead as usize * width + line);
                    _mm_prefetch::<_MM_HINT_T0>(line.cast());
                }
            }
            let (mut low, mut high) = (_mm256_setzero_ps(), _mm256_setzero_ps());
            for lanes in 0..width {
                // SAFETY: `lanes` is below the length of the query, and the row is inside the matrix, as
                // asserted above. `Lanes` has 64 bytes and an alignment of 64.
                unsafe {
                    let query: *const f32 = query.as_ptr().add(lanes).cast();
                    let row: *const f32 = matrix.as_ptr().add(row as usize * width + lanes).cast();
                    low = _mm256_fmadd_ps(_mm256_load_ps(query), _mm256_load_ps(row), low);
                    let (query, row) = (query.add(8), row.add(8));
                    high = _mm256_fmadd_ps(_mm256_load_ps(query), _mm256_load_ps(row), high);
                }
            }
            let eight = _mm256_add_ps(low, high);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            let one = _mm_add_ss(two, _mm_shuffle_ps::<1>(two, two));
            *score = _mm_cvtss_f32(one);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        _CMP_GT_OQ, _mm256_storeu_si256, _mm512_add_epi32, _mm512_cmp_ps_mask,
        _mm512_cvtepi32_epi16, _mm512_loadu_ps, _mm512_maskz_compress_epi32, _mm512_set1_epi32,
        _mm512_set1_ps, _mm512_setr_epi32,
    };

    use super::LANES;

    #[target_feature(enable = "avx512f")]
    pub(super) fn above(scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
        assert!(hits.len() >= scores.len());
        let threshold = _mm512_set1_ps(threshold);
        let mut indexes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let (mut len, sixteen) = (0, _mm512_set1_epi32(16));
        for scores in scores.as_chunks::<LANES>().0 {
            // SAFETY: `scores` has 16 values.
            let values = unsafe { _mm512_loadu_ps(scores.as_ptr()) };
            let mask = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(values, threshold);
            let found = _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(mask, indexes));
            // SAFETY: `len` is at most the number of earlier scores, so that 16 more have room.
            unsafe { _mm256_storeu_si256(hits.as_mut_ptr().add(len).cast(), found) };
            len += mask.count_ones() as usize;
            indexes = _mm512_add_epi32(indexes, sixteen);
        }
        len
    }
}

fn above(scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
    let mut len = 0;
    for (index, &score) in scores.iter().enumerate() {
        hits[len] = index as u16;
        len += usize::from(score > threshold);
    }
    len
}

fn gather(query: &[Lanes], matrix: &[Lanes], rows: &[u32], scores: &mut Vec<f32>) {
    let width = query.len();
    scores.extend(rows.iter().map(|&row| {
        let row = &matrix[row as usize * width..(row as usize + 1) * width];
        let mut sums = [0.0; LANES];
        for (query, row) in query.iter().zip(row) {
            for ((sum, &query), &row) in sums.iter_mut().zip(&query.0).zip(&row.0) {
                *sum = multiply_add(query, row, *sum);
            }
        }
        // Pairwise reduction: four vector additions instead of a chain of fifteen.
        let mut half = LANES / 2;
        while half > 0 {
            let (front, back) = sums.split_at_mut(half);
            for (sum, other) in front.iter_mut().zip(back) {
                *sum += *other;
            }
            half /= 2;
        }
        sums[0]
    }));
}

/// Fused on AArch64, which always supports it; elsewhere it may be a function call.
fn multiply_add(a: f32, b: f32, sum: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { a.mul_add(b, sum) } else { a * b + sum }
}
