#![expect(unsafe_code, reason = "functions for detected instruction sets can only be called so")]
#![expect(clippy::inline_always, reason = "a body must be compiled with its caller's features")]

/// Items whose scores are computed side by side, and the multiple that rows are padded to.
pub(crate) const LANES: usize = 16;

/// Values side by side, on a boundary of cache lines: loads that straddle two lines cost twice.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Lanes(pub(crate) [f32; LANES]);

/// Two rounded components of each of [`LANES`] rows, side by side.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
pub(crate) struct Pairs(pub(crate) [[i16; 2]; LANES]);

/// The instruction set that the inner loops use.
///
/// Kernels with fused multiply-add round once where the plain one rounds twice: scores agree to about
/// 1e-6 of the vectors' lengths, not to the last bit. Integer sums agree exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
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
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(Self::Avx2);
        }
        kernels.push(Self::Plain);
        kernels
    }

    /// Dot products of a rounded query with rounded rows in blocks: a block holds [`LANES`] rows, two
    /// components of each at a time. `blocks` has a whole number of blocks, `sums` one place for each
    /// of their rows. The sums must fit into 32 bits.
    pub(crate) fn scan(self, query: &[[i16; 2]], blocks: &[Pairs], sums: &mut [i32]) {
        assert_eq!(blocks.len() * LANES, sums.len() * query.len());
        assert_eq!(sums.len() % LANES, 0);
        match self {
            // SAFETY: `available` is the only source of this variant, and it has detected the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { scan_avx2(query, blocks, sums) },
            _ => scan(query, blocks, sums),
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
            Self::Avx2 => unsafe { above_avx2(scores, threshold, hits) },
            _ => above(scores, threshold, hits),
        }
    }

    /// Dot products of `query` with chosen rows of a row-major matrix, appended to `scores`. The
    /// query's length is that of a row.
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
            Self::Avx2 => unsafe { gather_avx2(query, matrix, rows, scores) },
            _ => gather(query, matrix, rows, scores, multiply_add_plain),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn scan_avx2(query: &[[i16; 2]], blocks: &[Pairs], sums: &mut [i32]) {
    use std::arch::x86_64::{
        __m256i, _mm256_add_epi32, _mm256_load_si256, _mm256_madd_epi16, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_storeu_si256,
    };
    if query.is_empty() {
        sums.fill(0);
        return;
    }
    for (block, sums) in blocks.chunks_exact(query.len()).zip(sums.as_chunks_mut::<LANES>().0) {
        let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for (&[first, second], pairs) in query.iter().zip(block) {
            let both = i32::from(second) << 16 | i32::from(first.cast_unsigned());
            let both = _mm256_set1_epi32(both);
            let from: *const __m256i = pairs.0.as_ptr().cast();
            // SAFETY: `Pairs` is 64 bytes, on a boundary of 64.
            let (left, right) =
                unsafe { (_mm256_load_si256(from), _mm256_load_si256(from.add(1))) };
            low = _mm256_add_epi32(low, _mm256_madd_epi16(left, both));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(right, both));
        }
        let to: *mut __m256i = sums.as_mut_ptr().cast();
        // SAFETY: `sums` has 16 numbers of 4 bytes here.
        unsafe {
            _mm256_storeu_si256(to, low);
            _mm256_storeu_si256(to.add(1), high);
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn above_avx2(scores: &[f32], threshold: f32, hits: &mut [u16]) -> usize {
    above(scores, threshold, hits)
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

fn scan(query: &[[i16; 2]], blocks: &[Pairs], sums: &mut [i32]) {
    if query.is_empty() {
        sums.fill(0);
        return;
    }
    for (block, sums) in blocks.chunks_exact(query.len()).zip(sums.as_chunks_mut::<LANES>().0) {
        *sums = [0; LANES];
        for (pair, pairs) in query.iter().zip(block) {
            for (sum, row) in sums.iter_mut().zip(&pairs.0) {
                let product = |at: usize| i32::from(pair[at]) * i32::from(row[at]);
                *sum += product(0) + product(1);
            }
        }
    }
}

// The bodies below are compiled once for each kernel, inlined into functions that enable its features.

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
    scores.reserve(rows.len());
    // A plain loop: a closure handed to an adapter may be compiled without the caller's features.
    for (at, &row) in rows.iter().enumerate() {
        if let Some(&ahead) = rows.get(at + AHEAD) {
            prefetch(matrix, ahead as usize * width, width);
        }
        let row = &matrix[row as usize * width..(row as usize + 1) * width];
        let mut sums = [0.0; LANES];
        for (query, row) in query.iter().zip(row) {
            for ((sum, &query), &row) in sums.iter_mut().zip(&query.0).zip(&row.0) {
                *sum = multiply_add(query, row, *sum);
            }
        }
        // Halves onto each other: four vector additions instead of fifteen in a chain.
        let mut half = LANES / 2;
        while half > 0 {
            let (front, back) = sums.split_at_mut(half);
            for (sum, other) in front.iter_mut().zip(back) {
                *sum += *other;
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
