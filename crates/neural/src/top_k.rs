use crate::kernel::{Kernel, LANES};

/// Scores that are scanned between updates of the threshold.
const CHUNK: usize = 16 * LANES;

/// Scores that are sampled to estimate the threshold.
const SAMPLE: usize = 1024;

/// Selects the `k` highest of a stream of (score, item) pairs; ties break by the lower item.
///
/// Pairs are packed into integers of the same order, in a buffer of size 2·`k`. When it is full, a selection drops the
/// lower half. Most items of a long stream cost one comparison with the threshold. Reuse does not allocate.
///
/// Scores must not be NaN, which would rank above or below all numbers by its sign.
#[derive(Debug, Clone, Default)]
pub struct TopK {
    k: usize,
    keys: Vec<u64>,
    /// A lower bound of the `k`-th highest score so far.
    threshold: Option<f32>,
}

impl TopK {
    /// Creates a selection of the `k` best.
    pub fn new(k: usize) -> Self {
        let mut top = Self::default();
        top.reset(k);
        top
    }

    /// Clears the selection and sets `k`.
    pub fn reset(&mut self, k: usize) {
        self.k = k;
        self.keys.clear();
        self.threshold = (k == 0).then_some(f32::INFINITY);
    }

    /// Like [`reset`](Self::reset), but ignores items with scores of at most `floor`.
    pub(crate) fn reset_above(&mut self, k: usize, floor: f32) {
        self.reset(k);
        if k > 0 {
            self.threshold = Some(floor);
        }
    }

    /// Returns whether there are at least `k` items.
    pub(crate) fn is_full(&self) -> bool {
        self.keys.len() >= self.k
    }

    /// Returns whether a score can be among the best, if items are pushed in ascending order.
    pub fn accepts(&self, score: f32) -> bool {
        self.threshold.is_none_or(|threshold| score > threshold)
    }

    /// The score that a later item must exceed; minus infinity if there is no bound yet.
    pub(crate) fn threshold(&self) -> f32 {
        self.threshold.unwrap_or(f32::NEG_INFINITY)
    }

    /// Adds an item. Items may come in any order, unless [`accepts`](Self::accepts) or the threshold is used as a filter.
    pub fn push(&mut self, score: f32, item: u32) {
        if self.threshold.is_some_and(|threshold| score < threshold) || self.k == 0 {
            return;
        }
        self.keys.push(key(score, item));
        self.shrink_if_full();
    }

    /// Adds those of (score, item, wanted) that are wanted. Without branches, which is faster if they are unpredictable.
    pub(crate) fn extend(&mut self, items: impl ExactSizeIterator<Item = (f32, u32, bool)>) {
        if self.k == 0 {
            return;
        }
        let mut len = self.keys.len();
        self.keys.resize(len + items.len(), 0);
        for (score, item, wanted) in items {
            self.keys[len] = key(score, item);
            len += usize::from(wanted);
        }
        self.keys.truncate(len);
        self.shrink_if_full();
    }

    /// Selects the `k` best of an array of scores, by index, that are greater than `floor` and not skipped.
    ///
    /// A sample of the scores estimates how great the `k`-th best is, so that a scan with SIMD excludes most of the others;
    /// if the estimate is too high, another scan follows.
    pub fn select(&mut self, scores: &[f32], k: usize, floor: f32, skip: impl Fn(u32) -> bool) {
        let kernel = Kernel::detect();
        if let Some(estimate) = estimate(scores, k, &skip).filter(|&estimate| estimate > floor) {
            self.scan(kernel, scores, k, estimate, &skip);
            if self.is_full() {
                return;
            }
        }
        self.scan(kernel, scores, k, floor, &skip);
    }

    fn scan(
        &mut self,
        kernel: Kernel,
        scores: &[f32],
        k: usize,
        floor: f32,
        skip: &impl Fn(u32) -> bool,
    ) {
        self.reset_above(k, floor);
        let mut hits = [0; CHUNK];
        for (chunk, scores) in scores.chunks(CHUNK).enumerate() {
            let first = (chunk * CHUNK) as u32;
            // Indexes ascend, so a score equal to the threshold loses the tie.
            let threshold = self.threshold();
            let whole = scores.len() / LANES * LANES;
            let count = kernel.above(&scores[..whole], threshold, &mut hits);
            let rest = (whole..scores.len()).filter(|&index| scores[index] > threshold);
            let hits = hits[..count].iter().map(|&hit| usize::from(hit)).chain(rest);
            for index in hits {
                let item = first + index as u32;
                if !skip(item) {
                    self.push(scores[index], item);
                }
            }
        }
    }

    fn shrink_if_full(&mut self) {
        if self.keys.len() >= self.k.saturating_mul(2).max(32) {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.keys.len() > self.k {
            let (_, least, _) = self.keys.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
            self.threshold = Some(score(*least));
            self.keys.truncate(self.k);
        }
    }

    /// Returns the best pairs so far, best first.
    pub fn sorted(&mut self) -> impl ExactSizeIterator<Item = (f32, u32)> + '_ {
        if self.k > 0 {
            self.shrink();
        }
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
        self.keys.iter().map(|&key| (score(key), !(key as u32)))
    }
}

/// A score that probably somewhat more than `k` others exceed; `None` if there are too few scores for an estimate, or `k`
/// is a large share of them.
fn estimate(scores: &[f32], k: usize, skip: &impl Fn(u32) -> bool) -> Option<f32> {
    let stride = scores.len() / SAMPLE;
    // Expected number of the best `k` in the sample, plus three standard deviations.
    let expected = k as f32 / stride as f32;
    let rank = (expected + 3.0 * expected.sqrt() + 3.0) as usize;
    if stride < 2 || rank > SAMPLE / 4 {
        return None;
    }
    let mut sample = [f32::NEG_INFINITY; SAMPLE];
    for (index, sampled) in sample.iter_mut().enumerate() {
        let item = index * stride;
        if !skip(item as u32) {
            *sampled = scores[item];
        }
    }
    Some(*sample.select_nth_unstable_by(rank, |a, b| b.total_cmp(a)).1)
}

fn key(score: f32, item: u32) -> u64 {
    u64::from(ordered(score)) << 32 | u64::from(!item)
}

/// Maps a score to an integer of the same order; both zeros are equal.
fn ordered(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn score(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ties_break_by_lower_item_and_zeros_are_equal() {
        let mut top = TopK::new(3);
        for (score, item) in [(0.0, 9), (1.0, 8), (-0.0, 2), (1.0, 3), (f32::NEG_INFINITY, 0)] {
            top.push(score, item);
        }
        assert_eq!(top.sorted().collect::<Vec<_>>(), [(1.0, 3), (1.0, 8), (0.0, 2)]);
    }

    #[test]
    fn selection_of_zero_returns_nothing() {
        let mut top = TopK::new(0);
        top.push(1.0, 1);
        assert!(!top.accepts(f32::MAX));
        assert_eq!(top.sorted().count(), 0);
    }

    /// Enough scores for the estimate, which is too high for one order.
    #[test]
    fn selection_of_an_array_equals_sorting() {
        let len = 5 * SAMPLE as u32 + 7;
        let orders: [&dyn Fn(u32) -> f32; 5] = [
            &|item| item as f32,
            &|item| -(item as f32),
            &|item| (item * 7919 % 4099) as f32 - 500.0,
            &|item| (item % 3) as f32,
            // The sample contains the best.
            &|item| if item % 5 == 0 { 1e6 - item as f32 } else { item as f32 / 1e6 },
        ];
        for order in orders {
            for (k, floor) in [(0, 0.0), (1, 0.0), (200, 0.0), (200, 1e6), (9000, -1e9)] {
                let scores: Vec<f32> = (0..len).map(order).collect();
                let skip = |item: u32| item.is_multiple_of(7);
                let mut expected: Vec<(f32, u32)> = (0..len)
                    .filter(|&item| !skip(item) && order(item) > floor)
                    .map(|item| (order(item), item))
                    .collect();
                expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                expected.truncate(k);
                let mut top = TopK::default();
                top.select(&scores, k, floor, skip);
                assert_eq!(top.sorted().collect::<Vec<_>>(), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn selection_equals_sorting(
            scores in prop::collection::vec(-3..3_i8, 0..300),
            k in 0..40_usize,
            early in any::<bool>(),
        ) {
            let mut top = TopK::new(k);
            let mut all = Vec::new();
            for (item, &score) in scores.iter().enumerate() {
                let (score, item) = (f32::from(score) / 2.0, item as u32);
                all.push((score, item));
                if !early || top.accepts(score) {
                    top.push(score, item);
                }
            }
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            all.truncate(k);
            prop_assert_eq!(top.sorted().collect::<Vec<_>>(), all);
        }
    }
}
