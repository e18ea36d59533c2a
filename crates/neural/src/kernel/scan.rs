//! Scans of rounded rows: dot products of all rows with a query, in 8 bits per component.

use super::LANES;

/// Four rounded components of each of [`LANES`] rows, plus [`OFFSET`].
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Quads(pub(crate) [[u8; 4]; LANES]);

/// What is added to a component of a row, from −127 to 127.
pub(crate) const OFFSET: i32 = 128;

impl Default for Quads {
    fn default() -> Self {
        Self([[OFFSET as u8; 4]; LANES])
    }
}

/// Four rounded components of a query.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Four {
    words: [i16; 4],
    /// The components as 256·high + low, with the four high and the four low parts in one integer each.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "for AVX-512"))]
    parts: [i32; 2],
}

impl Four {
    pub(crate) fn new(words: [i16; 4]) -> Self {
        let low = words.map(|word| word as i8);
        // The low part is signed, so the high one is rounded. Components are below 32,640, so that it fits.
        let high = words.map(|word| ((i32::from(word) - i32::from(word as i8)) >> 8) as i8);
        let pack = |bytes: [i8; 4]| i32::from_le_bytes(bytes.map(i8::cast_unsigned));
        Self { words, parts: [pack(high), pack(low)] }
    }

    fn sum(self) -> i32 {
        self.words.into_iter().map(i32::from).sum()
    }
}

/// Maps the integer dot product of a row to (product · factor + after) · scale of the row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) factor: f32,
    pub(crate) after: f32,
}

/// The integer that [`OFFSET`] adds to the dot product of every row.
fn excess(query: &[Four]) -> i32 {
    query.iter().map(|four| four.sum()).sum::<i32>() * OFFSET
}

/// The arguments are those of `Kernel::scan`, which checks their lengths.
pub(super) fn plain(query: &[Four], blocks: &[Quads], line: Line, scales: &[f32], out: &mut [f32]) {
    let excess = excess(query);
    let groups = scales.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0);
    for (index, (scales, out)) in groups.enumerate() {
        let mut sums = [-excess; LANES];
        for (four, quads) in query.iter().zip(&blocks[index * query.len()..]) {
            for (sum, row) in sums.iter_mut().zip(&quads.0) {
                for (&word, &component) in four.words.iter().zip(row) {
                    *sum += i32::from(word) * i32::from(component);
                }
            }
        }
        for ((out, sum), scale) in out.iter_mut().zip(sums).zip(scales) {
            *out = (sum as f32 * line.factor + line.after) * scale;
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_load_si128, _mm256_add_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi16,
        _mm256_fmadd_ps, _mm256_hadd_epi32, _mm256_loadu_ps, _mm256_madd_epi16, _mm256_mul_ps,
        _mm256_permute4x64_epi64, _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps,
        _mm256_setzero_si256, _mm256_storeu_ps, _mm256_sub_epi32, _mm512_add_epi32,
        _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_load_si512,
        _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512,
        _mm512_slli_epi32, _mm512_storeu_ps,
    };

    use super::{Four, LANES, Line, Quads, excess};

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(in super::super) fn vnni(
        query: &[Four],
        blocks: &[Quads],
        line: Line,
        scales: &[f32],
        out: &mut [f32],
    ) {
        let excess = _mm512_set1_epi32(-excess(query));
        let (factor, after) = (_mm512_set1_ps(line.factor), _mm512_set1_ps(line.after));
        let groups = scales.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0);
        for ((scales, out), block) in groups.zip(blocks.chunks_exact(query.len())) {
            let (mut high, mut low) = (_mm512_setzero_si512(), excess);
            for (four, quads) in query.iter().zip(block) {
                // SAFETY: `Quads` has 64 bytes and an alignment of 64.
                let rows = unsafe { _mm512_load_si512(quads.0.as_ptr().cast()) };
                high = _mm512_dpbusd_epi32(high, rows, _mm512_set1_epi32(four.parts[0]));
                low = _mm512_dpbusd_epi32(low, rows, _mm512_set1_epi32(four.parts[1]));
            }
            let sums = _mm512_add_epi32(_mm512_slli_epi32::<8>(high), low);
            let values = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), factor, after);
            // SAFETY: both arrays have 16 values.
            unsafe {
                let product = _mm512_mul_ps(values, _mm512_loadu_ps(scales.as_ptr()));
                _mm512_storeu_ps(out.as_mut_ptr(), product);
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub(in super::super) fn avx2(
        query: &[Four],
        blocks: &[Quads],
        line: Line,
        scales: &[f32],
        out: &mut [f32],
    ) {
        let excess = _mm256_set1_epi32(excess(query));
        let (factor, after) = (_mm256_set1_ps(line.factor), _mm256_set1_ps(line.after));
        let groups = scales.as_chunks::<LANES>().0.iter().zip(out.as_chunks_mut::<LANES>().0);
        for ((scales, out), block) in groups.zip(blocks.chunks_exact(query.len())) {
            // Two sums for each of four rows.
            let mut pairs = [_mm256_setzero_si256(); 4];
            for (four, quads) in query.iter().zip(block) {
                let [a, b, c, d] = four.words.map(|word| i64::from(word.cast_unsigned()));
                let words = _mm256_set1_epi64x(a | b << 16 | c << 32 | d << 48);
                let from: *const __m128i = quads.0.as_ptr().cast();
                for (quarter, pairs) in pairs.iter_mut().enumerate() {
                    // SAFETY: `Quads` has 64 bytes and an alignment of 64.
                    let rows = unsafe { _mm_load_si128(from.add(quarter)) };
                    let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(rows), words);
                    *pairs = _mm256_add_epi32(*pairs, products);
                }
            }
            for half in 0..2 {
                let sums = _mm256_hadd_epi32(pairs[2 * half], pairs[2 * half + 1]);
                // The rows 0, 1, 4, 5, 2, 3, 6, 7.
                let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(sums);
                let sums = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums, excess));
                let values = _mm256_fmadd_ps(sums, factor, after);
                // SAFETY: both arrays have 16 values.
                unsafe {
                    let scales = _mm256_loadu_ps(scales.as_ptr().add(8 * half));
                    let to = out.as_mut_ptr().add(8 * half);
                    _mm256_storeu_ps(to, _mm256_mul_ps(values, scales));
                }
            }
        }
    }
}
