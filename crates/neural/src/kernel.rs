#![expect(unsafe_code, reason = "functions for detected instruction sets can only be called so")]
#![expect(clippy::inline_always, reason = "a body must be compiled with its caller's features")]

/// Items whose scores are computed side by side, and the multiple that rows are padded to.
pub(crate) const LANES: usize = 16;

/// Values side by side, on a boundary of cache lines: loads that straddle two lines cost twice.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

/// The instruction set that the inner loops use.
///
/// All kernels add up in the same lanes, but those with fused multiply-add round once where the plain
/// one rounds twice: scores agree to about 1e-6 of the vectors' lengths, not to the last bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// AVX-512F: 16 lanes an instruction.
    Avx512,
    /// AVX2 with fused multiply-add: 8 lanes an instruction.
    Avx2,
    /// Whatever the target always has: SSE2 on x86-64, NEON on AArch64.
    Plain,
}

impl Kernel {
    /// The fastest kernel that this processor can run.
    pub(crate) fn detect() -> Self {
        Self::available()[0]
    }

    /// All kernels that this processor can run, fastest first.
    pub(crate) fn available() -> Vec<Self> {
        let mut kernels = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("avx512f") {
                kernels.push(Self::Avx512);
            }
            if avx2 {
                kernels.push(Self::Avx2);
            }
        }
        kernels.push(Self::Plain);
        kernels
    }

    /// Dot products of `query` with rows that are laid out in blocks: a block holds [`LANES`] rows,
    /// first their first values, then their second ones, and so on. `blocks` has a whole number of
    /// blocks, `scores` one place for each of their rows.
    pub(crate) fn scan(self, query: &[f32], blocks: &[Lanes], scores: &mut [f32]) {
        assert_eq!(blocks.len() * LANES, scores.len() * query.len());
        assert_eq!(scores.len() % LANES, 0);
        match self {
            // SAFETY: `available` is the only source of these variants, and it has detected the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { scan_avx512(query, blocks, scores) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { scan_avx2(query, blocks, scores) },
            _ => scan(query, blocks, scores, multiply_add_plain),
        }
    }

    /// Writes the places of the scores above the threshold to the front of `hits`, in ascending order,
    /// and returns how many there are. The number of scores is a multiple of [`LANES`], and `hits`
    /// has a place for each of them.
    pub(crate) fn above(self, scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
        assert!(hits.len() >= scores.len());
        match self {
            // SAFETY: as in `scan`.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { above_avx512(scores, threshold, hits) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `scan`.
            Self::Avx2 => unsafe { above_avx2(scores, threshold, hits) },
            _ => above(scores, threshold, hits),
        }
    }

    /// Dot products of `query` with chosen rows of a row-major matrix, appended to `scores`. The
    /// query's length is that of a row, a multiple of [`LANES`].
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
            Self::Avx512 => unsafe { gather_avx512(query, matrix, rows, scores) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as in `scan`.
            Self::Avx2 => unsafe { gather_avx2(query, matrix, rows, scores) },
            _ => gather(query, matrix, rows, scores, multiply_add_plain),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn scan_avx512(query: &[f32], blocks: &[Lanes], scores: &mut [f32]) {
    scan(query, blocks, scores, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn scan_avx2(query: &[f32], blocks: &[Lanes], scores: &mut [f32]) {
    scan(query, blocks, scores, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn above_avx512(scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
    above(scores, threshold, hits)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn above_avx2(scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
    above(scores, threshold, hits)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx2,fma")]
fn gather_avx512(query: &[Lanes], matrix: &[Lanes], rows: &[u32], scores: &mut Vec<f32>) {
    gather(query, matrix, rows, scores, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn gather_avx2(query: &[Lanes], matrix: &[Lanes], rows: &[u32], scores: &mut Vec<f32>) {
    gather(query, matrix, rows, scores, f32::mul_add);
}

/// On AArch64 fused multiply-add is always there; on x86-64 it would be a function call here.
#[inline(always)]
fn multiply_add_plain(a: f32, b: f32, sum: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { a.mul_add(b, sum) } else { a * b + sum }
}

// The bodies are compiled once for each kernel, inlined into functions that enable its features.

#[inline(always)]
fn scan(
    query: &[f32],
    blocks: &[Lanes],
    scores: &mut [f32],
    multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
) {
    if query.is_empty() {
        scores.fill(0.0);
        return;
    }
    let (quads, rest) = query.as_chunks::<CHAINS>();
    for (columns, scores) in blocks.chunks_exact(query.len()).zip(scores.chunks_exact_mut(LANES)) {
        // Each sum is a chain of additions that wait for one another: several chains hide the waiting.
        let mut sums = [[0.0; LANES]; CHAINS];
        let (column_quads, column_rest) = columns.as_chunks::<CHAINS>();
        for (values, columns) in quads.iter().zip(column_quads) {
            for chain in 0..CHAINS {
                for lane in 0..LANES {
                    sums[chain][lane] =
                        multiply_add(values[chain], columns[chain].0[lane], sums[chain][lane]);
                }
            }
        }
        for (&value, column) in rest.iter().zip(column_rest) {
            for lane in 0..LANES {
                sums[0][lane] = multiply_add(value, column.0[lane], sums[0][lane]);
            }
        }
        for lane in 0..LANES {
            scores[lane] = (sums[0][lane] + sums[1][lane]) + (sums[2][lane] + sums[3][lane]);
        }
    }
}

/// Sums that a scan keeps side by side for each row.
const CHAINS: usize = 4;

#[inline(always)]
fn above(scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
    let mut len = 0;
    for (group, scores) in scores.as_chunks::<LANES>().0.iter().enumerate() {
        // One branch a group, rarely taken once the best are found; none a score, since whether one
        // is a hit cannot be predicted. (Neither `any` nor a maximum becomes vector instructions.)
        let mut any = 0;
        for &score in scores {
            any |= u32::from(score > threshold);
        }
        if any != 0 {
            for (lane, &score) in scores.iter().enumerate() {
                hits[len] = (group * LANES + lane) as u16;
                len += usize::from(score > threshold);
            }
        }
    }
    len
}

#[inline(always)]
fn gather(
    query: &[Lanes],
    matrix: &[Lanes],
    rows: &[u32],
    scores: &mut Vec<f32>,
    multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy,
) {
    let width = query.len();
    // A plain loop: a closure handed to an adapter may be compiled without the caller's features.
    for (at, &row) in rows.iter().enumerate() {
        if let Some(&ahead) = rows.get(at + AHEAD) {
            prefetch(matrix, ahead as usize * width, width);
        }
        let row = &matrix[row as usize * width..(row as usize + 1) * width];
        let mut sums = [0.0; LANES];
        for (query, row) in query.iter().zip(row) {
            for lane in 0..LANES {
                sums[lane] = multiply_add(query.0[lane], row.0[lane], sums[lane]);
            }
        }
        // Halves onto each other: four vector additions instead of fifteen in a chain.
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
            half /= 2;
        }
        scores.push(sums[0]);
    }
}

/// How many rows ahead of the one being scored are asked for.
const AHEAD: usize = 12;

/// Asks for a row of a matrix that is needed soon: chosen rows lie where the processor cannot guess.
#[inline(always)]
fn prefetch(matrix: &[Lanes], start: usize, width: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in &matrix[start..start + width] {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: SSE is part of x86-64, and a prefetch has no effect that a program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.0.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (matrix, start, width);
}
