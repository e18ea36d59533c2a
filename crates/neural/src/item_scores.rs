use std::sync::OnceLock;

use crate::TopK;

/// The number of best items that are kept in order.
const KEPT: usize = 512;

/// The scores of all items by a model, for one user.
///
/// The best items are put in order at the first [`select`](Self::select), so that later ones only skip excluded items.
#[derive(Debug, Default)]
pub struct ItemScores {
    scores: Vec<f32>,
    best: OnceLock<Vec<u32>>,
}

impl ItemScores {
    /// The memory of the items that are kept in order, in bytes.
    pub const KEPT_BYTES: usize = KEPT * size_of::<u32>();

    /// Scores by item. A score may be minus infinity, but must not be NaN.
    pub const fn new(scores: Vec<f32>) -> Self {
        Self { scores, best: OnceLock::new() }
    }

    /// The scores by item.
    pub fn as_slice(&self) -> &[f32] {
        &self.scores
    }

    /// The scores, to reuse their memory.
    pub fn into_inner(self) -> Vec<f32> {
        self.scores
    }

    /// Passes up to `limit` items with the greatest scores, best first, to `found`: those with scores greater than `floor` that
    /// are not skipped. Ties break by the lower item.
    pub fn select(
        &self,
        limit: usize,
        floor: f32,
        skip: impl Fn(u32) -> bool,
        mut found: impl FnMut(u32),
    ) {
        let score = |item: u32| self.scores[item as usize];
        let best = self.best();
        let above = best.partition_point(|&item| score(item) > floor);
        let is_complete = above < best.len() || best.len() < KEPT;
        let wanted = || best[..above].iter().copied().filter(|&item| !skip(item)).take(limit);
        if is_complete || wanted().count() == limit {
            wanted().for_each(found);
            return;
        }
        let mut top = TopK::default();
        top.select(&self.scores, limit, floor, skip);
        top.sorted().for_each(|(_, item)| found(item));
    }

    /// The best items with a finite score, best first.
    fn best(&self) -> &[u32] {
        self.best.get_or_init(|| {
            let mut top = TopK::default();
            top.select(&self.scores, KEPT, f32::NEG_INFINITY, |_| false);
            top.sorted().map(|(_, item)| item).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by sorting.
    fn sorted(scores: &[f32], limit: usize, floor: f32, skip: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut items: Vec<u32> = (0..scores.len() as u32)
            .filter(|&item| scores[item as usize] > floor && !skip(item))
            .collect();
        items.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        items.truncate(limit);
        items
    }

    #[test]
    fn selection_equals_sorting() {
        for len in [0, 1, KEPT - 1, KEPT, KEPT + 1, 5000] {
            for modulus in [3, 4099] {
                let raw = |item: u32| item * 7919 % modulus;
                let scores: Vec<f32> = (0..len as u32)
                    .map(|item| match raw(item) {
                        0 => f32::NEG_INFINITY,
                        score => score as f32 - 1000.0,
                    })
                    .collect();
                let of_items = ItemScores::new(scores.clone());
                let skips: [&dyn Fn(u32) -> bool; 4] = [
                    &|_| false,
                    &|_| true,
                    &|item| item % 2 == 0,
                    // All of the best that are kept in order.
                    &|item| raw(item) > modulus / 2,
                ];
                for skip in skips {
                    for limit in [0, 1, 200, KEPT, KEPT + 1, usize::MAX] {
                        for floor in [f32::NEG_INFINITY, -999.0, 0.0, 2500.0, 1e9] {
                            let mut found = Vec::new();
                            of_items.select(limit, floor, skip, |item| found.push(item));
                            let expected = sorted(&scores, limit, floor, skip);
                            assert_eq!(found, expected, "{len} {modulus} {limit} {floor}");
                        }
                    }
                }
            }
        }
    }
}
