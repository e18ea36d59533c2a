use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::ItemScores;

/// The bytes of the scores that a model keeps, at most.
const KEPT_BYTES: usize = 32 << 20;

/// A movie of a history, and its input weight.
pub(crate) type Input = (u32, f32);

/// The scores of all movies for the inputs of recent requests.
///
/// A model's scores for a user are a function of the input alone, and are kept under it: after a new rating, the input is
/// another one. Inputs are compared exactly. If all entries are taken, one that was not used lately is replaced (second
/// chance).
#[derive(Clone)]
pub(crate) struct RecentSums {
    hasher: RandomState,
    most: usize,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Default)]
struct Entries {
    /// The index in `kept` of an input, by its hash.
    index: HashMap<u64, usize>,
    kept: Vec<Kept>,
    /// The entry that is considered for replacement next.
    hand: usize,
    /// The memory of scores that were replaced.
    spare: Option<Vec<f32>>,
}

struct Kept {
    hash: u64,
    /// Whether it was found since it was considered for replacement.
    used: bool,
    sums: Arc<Sums>,
}

struct Sums {
    input: Vec<Input>,
    scores: Arc<ItemScores>,
}

impl RecentSums {
    /// For a catalogue of this many movies.
    pub(crate) fn new(movies: usize) -> Self {
        Self::of(KEPT_BYTES / (movies * size_of::<f32>() + ItemScores::KEPT_BYTES))
    }

    fn of(most: usize) -> Self {
        Self { hasher: RandomState::new(), most, entries: Arc::default() }
    }

    /// The scores of an input, if they are kept.
    pub(crate) fn find(&self, input: &[Input]) -> Option<Arc<ItemScores>> {
        let hash = self.hash(input);
        let found = self.with(|entries| entries.find(hash));
        // The lock is free again: comparing takes time.
        Some(Arc::clone(&found.filter(|sums| sums.input == input)?.scores))
    }

    /// Memory for the scores of another input.
    pub(crate) fn spare(&self) -> Vec<f32> {
        self.with(|entries| entries.spare.take()).unwrap_or_default()
    }

    /// Keeps the scores of an input.
    pub(crate) fn keep(&self, input: Vec<Input>, scores: Arc<ItemScores>) {
        if self.most == 0 {
            return;
        }
        let (hash, sums) = (self.hash(&input), Arc::new(Sums { input, scores }));
        let replaced = self.with(|entries| entries.insert(hash, sums, self.most));
        let unused =
            replaced.and_then(Arc::into_inner).and_then(|sums| Arc::into_inner(sums.scores));
        if let Some(spare) = unused {
            self.with(|entries| entries.spare = Some(spare.into_inner()));
        }
    }

    fn hash(&self, input: &[Input]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for (movie, weight) in input {
            hasher.write_u64(u64::from(*movie) << 32 | u64::from(weight.to_bits()));
        }
        hasher.finish()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Entries) -> T) -> T {
        act(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Entries {
    fn find(&mut self, hash: u64) -> Option<Arc<Sums>> {
        let kept = &mut self.kept[*self.index.get(&hash)?];
        kept.used = true;
        Some(Arc::clone(&kept.sums))
    }

    /// Adds an entry. Returns what it replaces.
    fn insert(&mut self, hash: u64, sums: Arc<Sums>, most: usize) -> Option<Arc<Sums>> {
        if let Some(&at) = self.index.get(&hash) {
            return Some(std::mem::replace(&mut self.kept[at].sums, sums));
        }
        let entry = Kept { hash, used: false, sums };
        if self.kept.len() < most {
            self.index.insert(hash, self.kept.len());
            self.kept.push(entry);
            return None;
        }
        while std::mem::take(&mut self.kept[self.hand].used) {
            self.hand = (self.hand + 1) % self.kept.len();
        }
        let replaced = std::mem::replace(&mut self.kept[self.hand], entry);
        self.index.remove(&replaced.hash);
        self.index.insert(hash, self.hand);
        self.hand = (self.hand + 1) % self.kept.len();
        Some(replaced.sums)
    }
}

impl fmt::Debug for RecentSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.with(|entries| entries.kept.len());
        f.debug_struct("RecentSums").field("kept", &kept).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sums: &RecentSums, input: &[Input]) -> Option<Vec<f32>> {
        sums.find(input).map(|scores| scores.as_slice().to_vec())
    }

    fn keep(sums: &RecentSums, input: &[Input], scores: &[f32]) {
        sums.keep(input.to_vec(), Arc::new(ItemScores::new(scores.to_vec())));
    }

    #[test]
    fn scores_are_found_by_their_exact_input() {
        let sums = RecentSums::of(2);
        let input = [(3, 1.0), (5, 0.5)];
        assert_eq!(found(&sums, &input), None);
        keep(&sums, &input, &[1.0, 2.0]);
        assert_eq!(found(&sums, &input), Some(vec![1.0, 2.0]));
        for other in [&[(3, 1.0)][..], &[(3, 1.0), (5, 0.25)], &[(5, 0.5), (3, 1.0)], &[]] {
            assert_eq!(found(&sums, other), None, "{other:?}");
        }
        // The hashes of two inputs may be equal.
        sums.with(|entries| {
            let (other, at) = ([(8, 1.0)], entries.kept.len() - 1);
            entries.index.insert(sums.hash(&other), at);
        });
        assert_eq!(found(&sums, &[(8, 1.0)]), None);
        let none = RecentSums::of(0);
        keep(&none, &input, &[1.0]);
        assert_eq!(found(&none, &input), None);
    }

    #[test]
    fn entries_that_were_not_used_lately_are_replaced() {
        let sums = RecentSums::of(3);
        let keep = |movie: u32| keep(&sums, &[(movie, 1.0)], &[movie as f32]);
        let is_kept = |movie: u32| {
            let scores = found(&sums, &[(movie, 1.0)]);
            assert!(scores.as_ref().is_none_or(|scores| *scores == [movie as f32]));
            scores.is_some()
        };
        for movie in 0..3 {
            keep(movie);
        }
        assert!(is_kept(0));
        keep(3);
        assert_eq!([0, 1, 2, 3].map(is_kept), [true, false, true, true]);
        // Also if all were used.
        for movie in 4..100 {
            keep(movie);
            assert!(is_kept(movie));
        }
        assert_eq!(sums.with(|entries| (entries.kept.len(), entries.index.len())), (3, 3));
    }
}
