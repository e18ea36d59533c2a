use crate::kernel::{Four, Kernel, LANES, Lanes, Line, OFFSET, Quads};
use crate::table::{has_direction, inverse_length};
use crate::{EmbeddingTable, TopK};

/// Number of rows scored between updates of the threshold.
const CHUNK: usize = 16 * LANES;

/// The similarity of a query and an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "model-file", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "model-file", serde(rename_all = "lowercase"))]
pub enum Similarity {
    /// Cosine of the angle.
    #[default]
    Cosine,
    /// Dot product.
    Dot,
}

/// The vectors of a catalogue's items, by item index.
///
/// Stored twice: row-major in full precision, and rounded to 8 bits in blocks of 16 rows with equal components side
/// by side. A scan over all items reads the rounded vectors, a quarter of the memory, and excludes items by a
/// bound on the rounding error. The remaining items are scored in full precision, so the result is exact. For
/// [`Similarity::Cosine`] the rows are normalised.
#[derive(Debug, Clone)]
pub struct ItemVectors {
    dimension: usize,
    similarity: Similarity,
    kernel: Kernel,
    /// Row index of each item, or `NO_ROW`.
    row_of: Vec<u32>,
    /// Item index of each row, ascending.
    items: Vec<u32>,
    /// Row-major, rows padded with zeros to `width * LANES`.
    rows: Vec<Lanes>,
    width: usize,
    /// The normalised rows, rounded, in blocks of `LANES` rows; padded with zeros.
    blocks: Vec<Quads>,
    /// The length of each row, zero-padded like the blocks.
    lengths: Vec<f32>,
    /// The greatest magnitude of a component of each normalised row, which is rounded to [`GREATEST`], for cosines.
    /// Zero-padded.
    scales: Vec<f32>,
    /// The same times the lengths, for dot products; empty for [`Similarity::Cosine`].
    scales_of_products: Vec<f32>,
    /// The greatest length of the rounding error of a normalised row, divided by its scale.
    error: f32,
}

/// The greatest rounded component of a row.
const GREATEST: f32 = 127.0;

/// The length of a rounded query. The dot product with a rounded row is at most 255 times as much for each of √dimension,
/// which fits into 32 bits.
const UNIT: f32 = 32_000.0;

/// The greatest dimension of which scans round vectors.
const MOST_DIMENSIONS: usize = 1 << 12;

/// A rounded, normalised query for scans.
struct Rounded {
    fours: Vec<Four>,
    /// Upper bound of the error that rounding the query causes in a cosine.
    error: f32,
}

impl Rounded {
    fn new(query: &[f32]) -> Self {
        let scale = inverse_length(query) * UNIT;
        let round = |value: f32| (value * scale).round() as i16;
        let four = |values: &[f32]| {
            let mut words = [0; 4];
            for (word, &value) in words.iter_mut().zip(values) {
                *word = round(value);
            }
            Four::new(words)
        };
        let off = (query.len() as f32).sqrt() / 2.0 / UNIT;
        // Rows are longer than 1 by their own rounding error, at most a quarter; a margin covers single precision.
        Self { fours: query.chunks(4).map(four).collect(), error: 1.3 * off + 1e-5 }
    }
}

/// Whether scores include the lengths of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lengths {
    Include,
    Ignore,
}

/// Number of blocks that are sampled to estimate the score threshold.
const SAMPLED_BLOCKS: usize = 32;

const NO_ROW: u32 = u32::MAX;

impl ItemVectors {
    /// Creates the layout for a catalogue of `len` items. `index_of` maps an id to an item index, or to `None` if the
    /// catalogue does not contain it. Such vectors and those without a [direction](has_direction) are skipped.
    ///
    /// # Panics
    /// If `index_of` returns an index out of range, or the same index for two ids.
    pub fn new(
        table: &EmbeddingTable,
        len: usize,
        similarity: Similarity,
        index_of: impl Fn(u32) -> Option<u32>,
    ) -> Self {
        Self::with_kernel(table, len, similarity, index_of, Kernel::detect())
    }

    fn with_kernel(
        table: &EmbeddingTable,
        len: usize,
        similarity: Similarity,
        index_of: impl Fn(u32) -> Option<u32>,
        kernel: Kernel,
    ) -> Self {
        let mut vectors: Vec<(u32, &[f32])> = table
            .iter()
            .filter(|(_, row)| has_direction(row))
            .filter_map(|(id, row)| Some((index_of(id)?, row)))
            .collect();
        vectors.sort_unstable_by_key(|&(item, _)| item);
        let dimension = table.dimension();
        let width = dimension.div_ceil(LANES);
        let quads = dimension.div_ceil(4);
        let block_count = vectors.len().div_ceil(LANES);

        let mut row_of = vec![NO_ROW; len];
        let mut rows = vec![Lanes::default(); vectors.len() * width];
        let mut blocks = vec![Quads::default(); block_count * quads];
        let mut lengths = vec![0.0; block_count * LANES];
        let mut scales = vec![0.0; block_count * LANES];
        let mut error = 0.0_f32;
        for (row, &(item, vector)) in vectors.iter().enumerate() {
            assert_eq!(row_of[item as usize], NO_ROW, "two vectors for item {item}");
            row_of[item as usize] = row as u32;
            let inverse = inverse_length(vector);
            let (scale, length) = match similarity {
                Similarity::Cosine => (inverse, 1.0),
                Similarity::Dot => (1.0, 1.0 / inverse),
            };
            lengths[row] = length;
            let greatest = vector.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            scales[row] = greatest * inverse;
            let mut squares = 0.0;
            for (component, &value) in vector.iter().enumerate() {
                rows[row * width + component / LANES].0[component % LANES] = value * scale;
                let exact = value / greatest * GREATEST;
                squares += (exact - exact.round()).powi(2);
                blocks[row / LANES * quads + component / 4].0[row % LANES][component % 4] =
                    (exact.round() as i32 + OFFSET) as u8;
            }
            error = error.max(squares.sqrt() / GREATEST);
        }
        let items = vectors.into_iter().map(|(item, _)| item).collect();
        let scales_of_products = match similarity {
            Similarity::Cosine => Vec::new(),
            Similarity::Dot => scales.iter().zip(&lengths).map(|(scale, of)| scale * of).collect(),
        };
        Self {
            dimension,
            similarity,
            kernel,
            row_of,
            items,
            rows,
            width,
            blocks,
            lengths,
            scales,
            scales_of_products,
            error,
        }
    }

    /// The dimension of the vectors.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// The similarity of queries and items.
    pub const fn similarity(&self) -> Similarity {
        self.similarity
    }

    /// The number of items with a vector.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether no item has a vector.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the vector of an item, normalised for [`Similarity::Cosine`].
    pub fn get(&self, item: u32) -> Option<Vec<f32>> {
        let row = *self.row_of.get(item as usize).filter(|&&row| row != NO_ROW)? as usize;
        let row = &self.rows[row * self.width..(row + 1) * self.width];
        Some(row.iter().flat_map(|lanes| lanes.0).take(self.dimension).collect())
    }

    /// The rows, and their length in units of [`LANES`].
    pub(crate) fn matrix(&self) -> (&[Lanes], usize) {
        (&self.rows, self.width)
    }

    /// Returns the row index of an item, if it has a vector.
    pub(crate) fn row(&self, item: u32) -> Option<u32> {
        self.row_of.get(item as usize).copied().filter(|&row| row != NO_ROW)
    }

    /// Selects into `top` the `k` items with the highest scores for `query`, without those for which `skip` returns
    /// true. Ties break by the lower item index. Previous content of `top` is discarded.
    ///
    /// For [`Similarity::Cosine`], scores are cosines only if the query is normalised; the order is always correct.
    ///
    /// # Panics
    /// If the length of the query is not [`dimension`](Self::dimension).
    pub fn best(&self, query: &[f32], k: usize, skip: impl Fn(u32) -> bool, top: &mut TopK) {
        self.find_best(query, Lengths::Include, k, skip, top);
    }

    /// Like [`best`](Self::best), but always by cosine.
    pub fn best_by_cosine(
        &self,
        query: &[f32],
        k: usize,
        skip: impl Fn(u32) -> bool,
        top: &mut TopK,
    ) {
        let scale = inverse_length(query);
        let query: Vec<f32> = query.iter().map(|value| value * scale).collect();
        self.find_best(&query, Lengths::Ignore, k, skip, top);
    }

    fn find_best(
        &self,
        query: &[f32],
        lengths: Lengths,
        k: usize,
        skip: impl Fn(u32) -> bool,
        top: &mut TopK,
    ) {
        assert_eq!(query.len(), self.dimension, "the dimensions of query and items differ");
        let padded = self.padded(query);
        let mut scores = Vec::new();
        if let Some((floor, rows)) = self.candidate_rows(query, lengths, k, &skip) {
            // Excluded rows score at most `floor`: with `k` better candidates the result is exact.
            top.reset_above(k, floor);
            self.add_scored(&padded, lengths, &rows, &skip, &mut scores, top);
            if top.is_full() {
                return;
            }
        }
        top.reset(k);
        let all: Vec<u32> = (0..self.items.len() as u32).collect();
        for rows in all.chunks(CHUNK) {
            self.add_scored(&padded, lengths, rows, &skip, &mut scores, top);
        }
    }

    /// Scores rows in full precision and adds them to `top`.
    fn add_scored(
        &self,
        query: &[Lanes],
        lengths: Lengths,
        rows: &[u32],
        skip: &impl Fn(u32) -> bool,
        scores: &mut Vec<f32>,
        top: &mut TopK,
    ) {
        scores.clear();
        self.kernel.gather(query, &self.rows, rows, scores);
        if lengths == Lengths::Ignore {
            for (score, &row) in scores.iter_mut().zip(rows) {
                *score /= self.lengths[row as usize];
            }
        }
        // Rows ascend, so an item equal to the threshold loses the tie.
        let threshold = top.threshold();
        top.extend(scores.iter().zip(rows).map(|(&score, &row)| {
            let item = self.items[row as usize];
            (score, item, score > threshold && !skip(item))
        }));
    }

    /// Estimates a score threshold and returns it with the rows that may exceed it, probably somewhat more than `k`.
    /// Returns `None` if there are too few items for an estimate, or `k` is a large share of them.
    fn candidate_rows(
        &self,
        query: &[f32],
        lengths: Lengths,
        k: usize,
        skip: &impl Fn(u32) -> bool,
    ) -> Option<(f32, Vec<u32>)> {
        let blocks = self.items.len() / LANES;
        let stride = blocks / SAMPLED_BLOCKS;
        let expected = k as f32 * SAMPLED_BLOCKS as f32 / blocks as f32;
        // Expected number of the best `k` in the sample, plus three standard deviations.
        let rank = (expected + 3.0 * expected.sqrt() + 3.0) as usize;
        if stride < 2 || rank > SAMPLED_BLOCKS * LANES / 4 || self.dimension > MOST_DIMENSIONS {
            return None;
        }
        let rounded = Rounded::new(query);
        let (estimates_of, bounds_of) = (self.line(0.0), self.line(rounded.error));
        let mut sample = Vec::with_capacity(SAMPLED_BLOCKS * LANES);
        for first in (0..SAMPLED_BLOCKS).map(|sampled| sampled * stride * LANES) {
            let mut estimates = [0.0; LANES];
            self.scan(&rounded.fours, lengths, first, estimates_of, &mut estimates);
            let items = &self.items[first..];
            let wanted = estimates.iter().zip(items).filter(|(_, item)| !skip(**item));
            sample.extend(wanted.map(|(&estimate, _)| estimate));
        }
        if rank >= sample.len() {
            return None;
        }
        let floor = *sample.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1;

        let mut rows = Vec::with_capacity(2 * rank * stride);
        let mut bounds = [0.0; CHUNK];
        let mut hits = [0; CHUNK];
        for first in (0..self.items.len()).step_by(CHUNK) {
            let len = CHUNK.min(self.items.len() - first);
            let bounds = &mut bounds[..len.next_multiple_of(LANES)];
            self.scan(&rounded.fours, lengths, first, bounds_of, bounds);
            let count = self.kernel.above(bounds, floor, &mut hits);
            // Skip the padding of the last block.
            let hits = hits[..count].iter().filter(|&&hit| usize::from(hit) < len);
            rows.extend(hits.map(|&hit| first as u32 + u32::from(hit)));
        }
        let length = query.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
        Some((floor * length as f32, rows))
    }

    /// Maps sums of rounded components to the scores for a normalised query, or, with the `error` of the query, to upper
    /// bounds of these.
    fn line(&self, error: f32) -> Line {
        let factor = 1.0 / (GREATEST * UNIT);
        if error == 0.0 {
            return Line { factor, after: 0.0 };
        }
        // Scales are at least 1/√dimension, so that this times a scale is at least `error`.
        let of_query = error * (self.dimension as f32).sqrt();
        Line { factor, after: self.error + of_query }
    }

    /// Scans the rows from `first` on, the start of a block.
    fn scan(&self, query: &[Four], lengths: Lengths, first: usize, line: Line, out: &mut [f32]) {
        let scales = match (lengths, self.similarity) {
            (Lengths::Include, Similarity::Dot) => &self.scales_of_products,
            _ => &self.scales,
        };
        let (blocks, rows) = (&self.blocks[first / LANES * query.len()..], out.len());
        let blocks = &blocks[..rows / LANES * query.len()];
        self.kernel.scan(query, blocks, line, &scales[first..first + rows], out);
    }

    /// Pads a query like a row.
    fn padded(&self, query: &[f32]) -> Vec<Lanes> {
        let mut padded = vec![Lanes::default(); self.width];
        for (lanes, values) in padded.iter_mut().zip(query.chunks(LANES)) {
            lanes.0[..values.len()].copy_from_slice(values);
        }
        padded
    }

    /// Appends the scores of `items` for `query`; items without a vector score `missing`.
    ///
    /// # Panics
    /// If the length of the query is not [`dimension`](Self::dimension).
    pub fn score(
        &self,
        query: &[f32],
        items: impl Iterator<Item = u32> + Clone,
        missing: f32,
        scores: &mut Vec<f32>,
    ) {
        assert_eq!(query.len(), self.dimension, "the dimensions of query and items differ");
        if self.rows.is_empty() {
            scores.extend(items.map(|_| missing));
            return;
        }
        let row = |item: u32| self.row_of.get(item as usize).copied().unwrap_or(NO_ROW);
        let start = scores.len();
        // Items without a vector get the score of the first row, which is then overwritten.
        let rows: Vec<u32> = items
            .clone()
            .map(|item| match row(item) {
                NO_ROW => 0,
                row => row,
            })
            .collect();
        self.kernel.gather(&self.padded(query), &self.rows, &rows, scores);
        if self.items.len() < self.row_of.len() {
            for (score, item) in scores[start..].iter_mut().zip(items) {
                if row(item) == NO_ROW {
                    *score = missing;
                }
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::TableBuilder;

    fn table(rows: &[Vec<f32>]) -> EmbeddingTable {
        let mut builder = TableBuilder::default();
        for (id, row) in rows.iter().enumerate() {
            // Every other item has a vector; its id is twice its index.
            builder.push(id as u32 * 4, row).unwrap();
        }
        builder.build().unwrap()
    }

    /// Reference implementation in double precision.
    fn reference(a: &[f32], b: &[f32], similarity: Similarity) -> f64 {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
        };
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        match similarity {
            Similarity::Dot => dot(a, b),
            Similarity::Cosine => dot(a, b) / if lengths == 0.0 { 1.0 } else { lengths },
        }
    }

    fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<Vec<f32>>)> {
        (1..40_usize).prop_flat_map(|dimension| {
            let vector = prop::collection::vec(-1.0..1.0_f32, dimension);
            let row = vector.clone().prop_filter("a direction", |row| has_direction(row));
            (vector, prop::collection::vec(row, 1..80))
        })
    }

    proptest! {
        #[test]
        fn every_kernel_matches_the_reference(
            (query, rows) in vectors(),
            cosine in any::<bool>(),
        ) {
            let similarity = if cosine { Similarity::Cosine } else { Similarity::Dot };
            let mut unit = query.clone();
            if cosine {
                let scale = inverse_length(&query);
                for value in &mut unit {
                    *value *= scale;
                }
            }
            let len = rows.len() * 2;
            for kernel in Kernel::available() {
                let items = ItemVectors::with_kernel(
                    &table(&rows), len, similarity, |id| Some(id / 2), kernel,
                );
                let mut scores = Vec::new();
                items.score(&unit, 0..len as u32, -9.0, &mut scores);
                prop_assert_eq!(scores.len(), len);
                let mut top = TopK::default();
                items.best(&unit, len, |_| false, &mut top);
                let mut scanned = vec![-9.0; len];
                for (score, item) in top.sorted() {
                    scanned[item as usize] = score;
                }
                for (item, (&score, &scanned)) in scores.iter().zip(&scanned).enumerate() {
                    let expected = match item % 2 {
                        0 => reference(&query, &rows[item / 2], similarity),
                        _ => -9.0,
                    };
                    prop_assert!((f64::from(score) - expected).abs() < 4e-6, "{:?} {}", kernel, item);
                    prop_assert!((f64::from(scanned) - expected).abs() < 4e-6, "{:?} {}", kernel, item);
                }
                items.best_by_cosine(&query, len, |_| false, &mut top);
                for (score, item) in top.sorted() {
                    let expected = reference(&query, &rows[item as usize / 2], Similarity::Cosine);
                    prop_assert!((f64::from(score) - expected).abs() < 4e-6);
                }
            }
        }

        #[test]
        fn best_equals_a_full_sort(
            (query, rows) in vectors(),
            k in 0..30_usize,
            skipped in prop::collection::vec(any::<bool>(), 80),
        ) {
            let len = rows.len() * 2;
            let items =
                ItemVectors::new(&table(&rows), len, Similarity::Dot, |id| Some(id / 2));
            let skip = |item: u32| skipped[item as usize / 2];
            let mut top = TopK::default();
            items.best(&query, k, skip, &mut top);
            let mut all = TopK::default();
            items.best(&query, len, |_| false, &mut all);
            let mut expected: Vec<(f32, u32)> =
                all.sorted().filter(|&(_, item)| !skip(item)).collect();
            expected.truncate(k);
            prop_assert_eq!(top.sorted().collect::<Vec<_>>(), expected);
        }
    }

    /// Enough rows for the estimate of the threshold, which is too high for one order.
    #[test]
    fn best_is_exact_for_any_order_of_many_rows() {
        let count = SAMPLED_BLOCKS * LANES * 5 + 7;
        let ascending = |row: usize| row as f32;
        let descending = |row: usize| -(row as f32);
        let scattered = |row: usize| (row * 7919 % 4099) as f32;
        // The sampled blocks contain the best rows, so the estimated threshold is too high.
        let misleading = |row: usize| {
            if (row / LANES).is_multiple_of(5) { 1e6 - row as f32 } else { -(row as f32) }
        };
        let orders: [&dyn Fn(usize) -> f32; 4] = [&ascending, &descending, &scattered, &misleading];
        for (order, k) in orders.into_iter().zip([10, 100, 250, 900].into_iter().cycle()) {
            let rows: Vec<Vec<f32>> = (0..count).map(|row| vec![order(row), 1.0]).collect();
            let len = rows.len() * 2;
            let items = ItemVectors::new(&table(&rows), len, Similarity::Dot, |id| Some(id / 2));
            for k in [k, 1] {
                let skip = |item: u32| item.is_multiple_of(3);
                let mut expected: Vec<(f32, u32)> = (0..count)
                    .map(|row| (order(row), row as u32 * 2))
                    .filter(|&(_, item)| !skip(item))
                    .collect();
                expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                expected.truncate(k);
                let mut top = TopK::default();
                items.best(&[1.0, 0.0], k, skip, &mut top);
                assert_eq!(top.sorted().collect::<Vec<_>>(), expected);
            }
        }
    }

    /// The error bound must not exclude near ties.
    #[test]
    fn best_is_exact_for_near_ties() {
        let mut state = 1_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        for dimension in [1, 5, 32, 100] {
            let around: Vec<f32> = (0..dimension).map(|_| random()).collect();
            // Half of the rows differ by less than the rounding error.
            let rows: Vec<Vec<f32>> = (0..SAMPLED_BLOCKS * LANES * 3)
                .map(|row| {
                    let spread = if row % 2 == 0 { 1e-5 } else { 1.0 };
                    around.iter().map(|value| value + random() * spread).collect()
                })
                .collect();
            let len = rows.len() * 2;
            for similarity in [Similarity::Cosine, Similarity::Dot] {
                for kernel in Kernel::available() {
                    let items = ItemVectors::with_kernel(
                        &table(&rows),
                        len,
                        similarity,
                        |id| Some(id / 2),
                        kernel,
                    );
                    let mut scores = Vec::new();
                    let all = (0..rows.len() as u32).map(|row| row * 2);
                    items.score(&around, all.clone(), 0.0, &mut scores);
                    let mut expected: Vec<(f32, u32)> = scores.into_iter().zip(all).collect();
                    expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                    let mut top = TopK::default();
                    for k in [1, 20, 200] {
                        items.best(&around, k, |_| false, &mut top);
                        assert_eq!(top.sorted().collect::<Vec<_>>(), expected[..k]);
                    }
                }
            }
        }
    }

    #[test]
    fn ids_outside_the_catalogue_are_skipped() {
        let rows = [vec![1.0], vec![2.0]];
        let index_of = |id: u32| (id == 4).then_some(0);
        let items = ItemVectors::new(&table(&rows), 3, Similarity::Dot, index_of);
        assert_eq!((items.len(), items.get(0), items.get(1)), (1, Some(vec![2.0]), None));
        assert_eq!(items.get(99), None);
    }

    #[test]
    fn zero_vectors_are_skipped() {
        let rows = [vec![0.0, 0.0], vec![3.0, 4.0], vec![-0.0, 1e-40]];
        for similarity in [Similarity::Cosine, Similarity::Dot] {
            let items = ItemVectors::new(&table(&rows), 6, similarity, |id| Some(id / 2));
            assert_eq!((items.len(), items.get(0), items.get(4)), (1, None, None));
            let mut scores = Vec::new();
            items.score(&[1.0, 0.0], [0, 2, 4].into_iter(), -9.0, &mut scores);
            assert_eq!((scores[0], scores[2]), (-9.0, -9.0));
            let mut top = TopK::default();
            items.best(&[-1.0, 0.0], 6, |_| false, &mut top);
            assert_eq!(top.sorted().map(|(_, item)| item).collect::<Vec<_>>(), [2]);
        }
    }
}
