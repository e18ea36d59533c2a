use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use sparrow_model::{MovieIndex, MovieSet};
use sparrow_neural::TopK;

use crate::StrategySet;

/// The working memory of one request, kept for the next so that requests do not allocate by the size
/// of the catalogue.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Movies that must not be recommended.
    pub(crate) excluded: MovieSet,
    /// The strategies that found each movie of the catalogue; none for all but the candidates.
    found_by: Vec<StrategySet>,
    /// The candidates, each once.
    candidates: Vec<MovieIndex>,
    /// What one strategy found.
    pub(crate) found: Vec<MovieIndex>,
    /// Candidates that the models asked so far do not know.
    pub(crate) rest: Vec<MovieIndex>,
    pub(crate) scores: Vec<f32>,
    pub(crate) top: TopK,
}

impl Scratch {
    fn new(movies: usize) -> Self {
        Self {
            excluded: MovieSet::new(movies),
            found_by: vec![StrategySet::default(); movies],
            candidates: Vec::new(),
            found: Vec::new(),
            rest: Vec::new(),
            scores: Vec::new(),
            top: TopK::default(),
        }
    }

    fn clear(&mut self) {
        self.excluded.clear();
        for movie in self.candidates.drain(..) {
            self.found_by[movie.index()] = StrategySet::default();
        }
    }

    pub(crate) fn candidates(&self) -> &[MovieIndex] {
        &self.candidates
    }

    /// Puts all candidates up for ranking.
    pub(crate) fn start_ranking(&mut self) {
        self.rest.clear();
        self.rest.extend_from_slice(&self.candidates);
    }

    pub(crate) fn found_by(&self, movie: MovieIndex) -> StrategySet {
        self.found_by[movie.index()]
    }

    /// Adds a candidate, or to a known one the strategy that found it too.
    pub(crate) fn add(&mut self, movie: MovieIndex, strategy: usize) {
        let found_by = &mut self.found_by[movie.index()];
        if found_by.0 == 0 {
            self.candidates.push(movie);
        }
        found_by.0 |= 1 << strategy;
    }

    /// Makes candidates of all movies that are not excluded, found by no strategy.
    pub(crate) fn add_all(&mut self) {
        self.candidates.extend(self.excluded.absent(self.found_by.len()));
    }

    /// Adds what is in `found` as found by `strategy`.
    pub(crate) fn add_found(&mut self, strategy: usize) {
        let found = std::mem::take(&mut self.found);
        for &movie in &found {
            self.add(movie, strategy);
        }
        self.found = found;
    }
}

/// Working memories that no request uses at the moment.
///
/// As many are kept as can be computed with at once. Requests that wait for a model server may be many more; their
/// memories are freed.
#[derive(Debug)]
pub(crate) struct Pool {
    movies: usize,
    /// How many are kept, at most.
    kept: usize,
    free: Mutex<Vec<Scratch>>,
}

impl Pool {
    pub(crate) fn new(movies: usize) -> Self {
        // A server computes on so many threads that serve connections, and on so many with long rankings.
        let kept = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        Self { movies, kept, free: Mutex::new(Vec::new()) }
    }

    /// A clean working memory; it goes back when the lease is dropped, also in mid-request.
    pub(crate) fn lease(&self) -> Lease<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = free.unwrap_or_else(|| Scratch::new(self.movies));
        scratch.clear();
        Lease { scratch: Some(scratch), pool: self }
    }
}

pub(crate) struct Lease<'a> {
    /// Always there, until the drop.
    scratch: Option<Scratch>,
    pool: &'a Pool,
}

impl Deref for Lease<'_> {
    type Target = Scratch;

    #[expect(clippy::expect_used, reason = "taken out only by the drop")]
    fn deref(&self) -> &Scratch {
        self.scratch.as_ref().expect("a lease holds its scratch")
    }
}

impl DerefMut for Lease<'_> {
    #[expect(clippy::expect_used, reason = "taken out only by the drop")]
    fn deref_mut(&mut self) -> &mut Scratch {
        self.scratch.as_mut().expect("a lease holds its scratch")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(scratch) = self.scratch.take() else { return };
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.kept {
            free.push(scratch);
            return;
        }
        // Freeing may take a while, and others need not wait for it.
        drop(free);
        drop(scratch);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn memories_of_many_requests_at_once_are_not_kept() {
        let pool = Pool::new(1000);
        let leases: Vec<_> = (0..500)
            .map(|_| {
                let mut lease = pool.lease();
                lease.add_all();
                lease.start_ranking();
                lease
            })
            .collect();
        drop(leases);
        assert_eq!(pool.free.lock().unwrap().len(), pool.kept);
        // What is kept is clean, and used again.
        let lease = pool.lease();
        assert_eq!((lease.candidates().len(), lease.found_by.len()), (0, 1000));
        assert_eq!(pool.free.lock().unwrap().len(), pool.kept - 1);
    }
}
