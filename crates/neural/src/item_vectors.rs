use crate::kernel::{Kernel, LANES, Lanes};
use crate::table::{inverse_length, normalise};
use crate::{EmbeddingTable, TopK};

/// Rows scored between two looks at the threshold.
const CHUNK: usize = 16 * LANES;

/// How a query and an item are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Similarity {
    /// The cosine of the angle: lengths do not count.
    #[default]
    Cosine,
    /// The dot product.
    Dot,
}

/// The vectors of a catalogue's items, by the items' positions there.
///
/// Held twice: row-major for the scores of chosen items, and in blocks of 16 rows with equal
/// components side by side for scans over all. Both are one flat allocation. For
/// [`Similarity::Cosine`] the rows have length 1, and queries are brought to it.
#[derive(Debug, Clone)]
pub struct ItemVectors {
    dimension: usize,
    similarity: Similarity,
    kernel: Kernel,
    /// Row of each item in `rows`, or `NO_ROW`.
    row_of: Vec<u32>,
    /// Item of each row, ascending.
    items: Vec<u32>,
    /// Row-major, each row padded with zeros to `width` times `LANES`.
    rows: Vec<Lanes>,
    width: usize,
    /// Blocks of `LANES` rows, component by component, the last one padded with zeros.
    blocks: Vec<Lanes>,
    /// 1 / length of each row, padded like the blocks.
    inverse_lengths: Vec<f32>,
}

/// Blocks that are looked at to guess a score that is worth collecting from.
const SAMPLED_BLOCKS: usize = 48;

const NO_ROW: u32 = u32::MAX;

impl ItemVectors {
    /// Lays out the vectors of `len` items. `position` maps a table's id to an item's position, `None`
    /// where the catalogue does not have it: such vectors are left out.
    ///
    /// # Panics
    /// If `position` returns one that is not below `len`, or the same for two ids.
    pub fn new(
        table: &EmbeddingTable,
        len: usize,
        similarity: Similarity,
        position: impl Fn(u32) -> Option<u32>,
    ) -> Self {
        Self::with_kernel(table, len, similarity, position, Kernel::detect())
    }

    fn with_kernel(
        table: &EmbeddingTable,
        len: usize,
        similarity: Similarity,
        position: impl Fn(u32) -> Option<u32>,
        kernel: Kernel,
    ) -> Self {
        let mut known: Vec<(u32, &[f32])> =
            table.iter().filter_map(|(id, row)| Some((position(id)?, row))).collect();
        known.sort_unstable_by_key(|&(item, _)| item);
        let dimension = table.dimension();
        let width = dimension.div_ceil(LANES);
        let block_count = known.len().div_ceil(LANES);

        let mut row_of = vec![NO_ROW; len];
        let mut rows = vec![Lanes::default(); known.len() * width];
        let mut blocks = vec![Lanes::default(); block_count * dimension];
        let mut inverse_lengths = vec![1.0; block_count * LANES];
        for (row, &(item, vector)) in known.iter().enumerate() {
            assert_eq!(row_of[item as usize], NO_ROW, "two vectors for item {item}");
            row_of[item as usize] = row as u32;
            let mut values = vector.to_vec();
            if similarity == Similarity::Cosine {
                normalise(&mut values);
            }
            inverse_lengths[row] = inverse_length(&values);
            let block = &mut blocks[row / LANES * dimension..];
            for (component, &value) in values.iter().enumerate() {
                block[component].0[row % LANES] = value;
                rows[row * width + component / LANES].0[component % LANES] = value;
            }
        }
        let items = known.into_iter().map(|(item, _)| item).collect();
        Self { dimension, similarity, kernel, row_of, items, rows, width, blocks, inverse_lengths }
    }

    /// The length of every vector.
    pub const fn dimension(&self) -> usize {
        self.dimension
    }

    /// How many items have a vector.
    pub const fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item has a vector.
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How queries and items are compared.
    pub const fn similarity(&self) -> Similarity {
        self.similarity
    }

    /// The vector of an item, of length 1 for [`Similarity::Cosine`].
    pub fn get(&self, item: u32) -> Option<Vec<f32>> {
        let row = *self.row_of.get(item as usize).filter(|&&row| row != NO_ROW)? as usize;
        let row = &self.rows[row * self.width..(row + 1) * self.width];
        Some(row.iter().flat_map(|lanes| lanes.0).take(self.dimension).collect())
    }

    /// Finds the `k` items with the greatest scores for `query` among those that `skip` does not leave
    /// out; ties go to the lesser item. They are then in `top`, which is only working memory before.
    ///
    /// For [`Similarity::Cosine`] the query should have length 1; the order is right for any.
    ///
    /// # Panics
    /// If the query's length is not [`dimension`](Self::dimension).
    pub fn best(&self, query: &[f32], k: usize, skip: impl Fn(u32) -> bool, top: &mut TopK) {
        self.best_scaled(query, None, k, skip, top);
    }

    /// As [`best`](Self::best), by cosine whatever the similarity is.
    pub fn best_by_cosine(
        &self,
        query: &[f32],
        k: usize,
        skip: impl Fn(u32) -> bool,
        top: &mut TopK,
    ) {
        let mut query = query.to_vec();
        normalise(&mut query);
        let scale = (self.similarity == Similarity::Dot).then_some(&self.inverse_lengths[..]);
        self.best_scaled(&query, scale, k, skip, top);
    }

    fn best_scaled(
        &self,
        query: &[f32],
        scale: Option<&[f32]>,
        k: usize,
        skip: impl Fn(u32) -> bool,
        top: &mut TopK,
    ) {
        assert_eq!(query.len(), self.dimension, "the query is not of the vectors' dimension");
        if let Some(floor) = self.floor(query, scale, k, &skip) {
            top.reset_above(k, floor);
            self.offer_all(query, scale, &skip, top);
            if top.is_full() {
                return;
            }
        }
        top.reset(k);
        self.offer_all(query, scale, &skip, top);
    }

    /// A score that somewhat more than `k` items are likely to exceed, guessed from a sample of the
    /// blocks; `None` where there are too few items to guess, or for `k` to be a small part of them.
    fn floor(
        &self,
        query: &[f32],
        scale: Option<&[f32]>,
        k: usize,
        skip: &impl Fn(u32) -> bool,
    ) -> Option<f32> {
        let blocks = self.items.len() / LANES;
        let stride = blocks / SAMPLED_BLOCKS;
        if stride < 2 {
            return None;
        }
        let expected = (k * SAMPLED_BLOCKS) as f32 / blocks as f32;
        // Three standard deviations of the number of the best `k` that fall into the sample.
        let rank = (expected + 3.0 * expected.sqrt() + 3.0) as usize;
        if rank > SAMPLED_BLOCKS * LANES / 4 {
            return None;
        }
        let mut sample = Vec::with_capacity(SAMPLED_BLOCKS * LANES);
        for block in (0..SAMPLED_BLOCKS).map(|sampled| sampled * stride) {
            let mut scores = [0.0; LANES];
            self.score_rows(query, scale, block * LANES, &mut scores);
            let items = &self.items[block * LANES..];
            sample.extend(
                scores.into_iter().zip(items).filter(|(_, item)| !skip(**item)).map(|(s, _)| s),
            );
        }
        let place = (rank < sample.len()).then_some(rank)?;
        Some(*sample.select_nth_unstable_by(place, |a, b| b.total_cmp(a)).1)
    }

    /// Scores of the rows from `first` on, which begins a block; as many whole blocks as `scores` holds.
    fn score_rows(&self, query: &[f32], scale: Option<&[f32]>, first: usize, scores: &mut [f32]) {
        let blocks = first / LANES..(first + scores.len()) / LANES;
        let blocks = blocks.start * self.dimension..blocks.end * self.dimension;
        self.kernel.scan(query, &self.blocks[blocks], scores);
        if let Some(scale) = scale {
            for (score, scale) in scores.iter_mut().zip(&scale[first..]) {
                *score *= scale;
            }
        }
    }

    fn offer_all(
        &self,
        query: &[f32],
        scale: Option<&[f32]>,
        skip: &impl Fn(u32) -> bool,
        top: &mut TopK,
    ) {
        let mut buffer = [0.0; CHUNK];
        let mut hits = [0; CHUNK];
        for (chunk, items) in self.items.chunks(CHUNK).enumerate() {
            let scores = &mut buffer[..items.len().next_multiple_of(LANES)];
            self.score_rows(query, scale, chunk * CHUNK, scores);
            let count = self.kernel.above(scores, top.threshold(), &mut hits);
            // What pads the last block is no item; its places come last.
            let count = hits[..count].partition_point(|&hit| usize::from(hit) < items.len());
            top.extend(hits[..count].iter().map(|&hit| {
                let (score, item) = (scores[usize::from(hit)], items[usize::from(hit)]);
                (score, item, !skip(item))
            }));
        }
    }

    /// Appends the score of each of `items` for `query`; `missing` for those without a vector.
    ///
    /// # Panics
    /// If the query's length is not [`dimension`](Self::dimension).
    pub fn score(
        &self,
        query: &[f32],
        items: impl Iterator<Item = u32> + Clone,
        missing: f32,
        scores: &mut Vec<f32>,
    ) {
        assert_eq!(query.len(), self.dimension, "the query is not of the vectors' dimension");
        if self.rows.is_empty() {
            scores.extend(items.map(|_| missing));
            return;
        }
        let mut padded = vec![Lanes::default(); self.width];
        for (lanes, values) in padded.iter_mut().zip(query.chunks(LANES)) {
            lanes.0[..values.len()].copy_from_slice(values);
        }
        let row = |item: u32| self.row_of.get(item as usize).copied().unwrap_or(NO_ROW);
        let start = scores.len();
        // Items without a vector are scored as the first row, then overwritten.
        let rows: Vec<u32> = items
            .clone()
            .map(|item| match row(item) {
                NO_ROW => 0,
                row => row,
            })
            .collect();
        self.kernel.gather(&padded, &self.rows, &rows, scores);
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
            // Every other item has a vector, under twice its position as id.
            builder.push(id as u32 * 4, row).unwrap();
        }
        builder.build().unwrap()
    }

    /// The definition, in double precision.
    fn plain(a: &[f32], b: &[f32], similarity: Similarity) -> f64 {
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
            (vector.clone(), prop::collection::vec(vector, 1..80))
        })
    }

    proptest! {
        #[test]
        fn every_kernel_scores_as_the_definition_says(
            (query, rows) in vectors(),
            cosine in any::<bool>(),
        ) {
            let similarity = if cosine { Similarity::Cosine } else { Similarity::Dot };
            let mut unit = query.clone();
            if cosine {
                normalise(&mut unit);
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
                        0 => plain(&query, &rows[item / 2], similarity),
                        _ => -9.0,
                    };
                    prop_assert!((f64::from(score) - expected).abs() < 4e-6, "{:?} {}", kernel, item);
                    prop_assert!((f64::from(scanned) - expected).abs() < 4e-6, "{:?} {}", kernel, item);
                }
                // By cosine, whatever the similarity is.
                items.best_by_cosine(&query, len, |_| false, &mut top);
                for (score, item) in top.sorted() {
                    let expected = plain(&query, &rows[item as usize / 2], Similarity::Cosine);
                    prop_assert!((f64::from(score) - expected).abs() < 4e-6);
                }
            }
        }

        #[test]
        fn the_best_k_are_those_of_a_full_sort(
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

    /// Enough rows for the floor to be guessed, right in most cases and wrong in the others.
    #[test]
    fn many_rows_in_any_order() {
        let count = SAMPLED_BLOCKS * LANES * 5 + 7;
        let ascending = |row: usize| row as f32;
        let descending = |row: usize| -(row as f32);
        let scattered = |row: usize| (row * 7919 % 4099) as f32;
        // The sampled blocks hold the best: too few others exceed what they promise.
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

    #[test]
    fn ids_outside_the_catalogue_are_left_out() {
        let rows = [vec![1.0], vec![2.0]];
        let position = |id: u32| (id == 4).then_some(0);
        let items = ItemVectors::new(&table(&rows), 3, Similarity::Dot, position);
        assert_eq!((items.len(), items.get(0), items.get(1)), (1, Some(vec![2.0]), None));
        assert_eq!(items.get(99), None);
    }
}
