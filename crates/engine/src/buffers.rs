use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sparrow_model::{MovieIndex, MovieSet};
use sparrow_neural::{ItemScores, TopK};

use crate::Reason;

/// A set of recall strategies, one bit each.
pub(crate) type StrategyBits = u16;

/// The buffers of one request. They are reused, so that requests do not allocate memory in proportion to the
/// catalogue.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// Movies that must not be recommended.
    pub(crate) excluded: MovieSet,
    /// The strategies that found each movie of the catalogue; 0 for all movies but the candidates.
    recalled_by: Vec<StrategyBits>,
    /// The candidates, each once.
    candidates: Vec<MovieIndex>,
    /// The movies that one strategy found.
    pub(crate) found: Vec<MovieIndex>,
    /// Candidates without a score so far, in the order of `candidates`.
    pub(crate) rest: Vec<MovieIndex>,
    pub(crate) scores: Vec<f32>,
    /// The scores of `rest` by the models that another one combines, in its order.
    pub(crate) inputs: Vec<Vec<f32>>,
    pub(crate) top: TopK,
    /// The scores of this request that more than one of its stages uses, by model.
    pub(crate) shared: Vec<SharedScores>,
}

/// The scores of a model that recall, ranking and models that combine others share within a request.
#[derive(Debug, Default)]
pub(crate) struct SharedScores {
    /// The time that scoring took, or why there are no scores; `None` if the model was not asked in this request.
    pub(crate) outcome: Option<Result<Duration, Reason>>,
    /// The scores of the whole catalogue, for a model that has them.
    pub(crate) catalog: Option<Arc<ItemScores>>,
    /// The scored movies, if not the whole catalogue: the `rest` of the time at which they were scored.
    pub(crate) movies: Vec<MovieIndex>,
    pub(crate) scores: Vec<f32>,
}

impl SharedScores {
    /// Removes the scores of an earlier request.
    fn clear(&mut self) {
        self.outcome = None;
        self.catalog = None;
    }

    /// Copies the scores of `movies`, which are a part of the scored ones in the same order.
    pub(crate) fn copy(&self, movies: &[MovieIndex], scores: &mut Vec<f32>) {
        scores.clear();
        if let Some(catalog) = &self.catalog {
            scores.extend(movies.iter().map(|movie| catalog.as_slice()[movie.index()]));
        } else {
            let mut known_scores = self.movies.iter().zip(&self.scores);
            scores.extend(movies.iter().filter_map(|movie| {
                known_scores.find(|(known, _)| *known == movie).map(|(_, &score)| score)
            }));
        }
    }
}

impl Buffers {
    fn new(movies: usize, models: usize) -> Self {
        Self {
            excluded: MovieSet::new(movies),
            recalled_by: vec![0; movies],
            candidates: Vec::new(),
            found: Vec::new(),
            rest: Vec::new(),
            scores: Vec::new(),
            inputs: Vec::new(),
            top: TopK::default(),
            shared: std::iter::repeat_with(SharedScores::default).take(models).collect(),
        }
    }

    fn clear(&mut self) {
        self.excluded.clear();
        for movie in self.candidates.drain(..) {
            self.recalled_by[movie.index()] = 0;
        }
        self.shared.iter_mut().for_each(SharedScores::clear);
    }

    pub(crate) fn candidates(&self) -> &[MovieIndex] {
        &self.candidates
    }

    /// Makes all candidates the `rest`.
    pub(crate) fn start_ranking(&mut self) {
        self.rest.clear();
        self.rest.extend_from_slice(&self.candidates);
    }

    pub(crate) fn recalled_by(&self, movie: MovieIndex) -> StrategyBits {
        self.recalled_by[movie.index()]
    }

    /// Adds a candidate, or adds the strategy to those that found it.
    pub(crate) fn add(&mut self, movie: MovieIndex, strategy: usize) {
        let recalled_by = &mut self.recalled_by[movie.index()];
        if *recalled_by == 0 {
            self.candidates.push(movie);
        }
        *recalled_by |= 1 << strategy;
    }

    /// Makes candidates of all movies that are not excluded, without a strategy.
    pub(crate) fn add_all(&mut self) {
        self.candidates.extend(self.excluded.absent(self.recalled_by.len()));
    }

    /// Adds the movies in `found` as candidates of a strategy.
    pub(crate) fn add_found(&mut self, strategy: usize) {
        let found = std::mem::take(&mut self.found);
        for &movie in &found {
            self.add(movie, strategy);
        }
        self.found = found;
    }
}

/// Buffers that no request uses at the moment.
///
/// As many are kept as requests can compute at the same time. Requests that wait for a model server may be many more;
/// their buffers are freed.
#[derive(Debug)]
pub(crate) struct BufferPool {
    movies: usize,
    models: usize,
    /// The greatest length of `free`.
    max_free: usize,
    free: Mutex<Vec<Buffers>>,
}

impl BufferPool {
    pub(crate) fn new(movies: usize, models: usize) -> Self {
        // A server has one thread per core for connections, and as many for long rankings.
        let max_free = 2 * std::thread::available_parallelism().map_or(1, usize::from);
        Self { movies, models, max_free, free: Mutex::new(Vec::new()) }
    }

    /// Empty buffers. They return to the pool when the lease is dropped, even in the middle of a request.
    pub(crate) fn lease(&self) -> Lease<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffers = free.unwrap_or_else(|| Buffers::new(self.movies, self.models));
        buffers.clear();
        Lease { buffers: Some(buffers), pool: self }
    }
}

pub(crate) struct Lease<'a> {
    /// `None` only during the drop.
    buffers: Option<Buffers>,
    pool: &'a BufferPool,
}

impl Deref for Lease<'_> {
    type Target = Buffers;

    #[expect(clippy::expect_used, reason = "taken only by the drop")]
    fn deref(&self) -> &Buffers {
        self.buffers.as_ref().expect("a lease has buffers")
    }
}

impl DerefMut for Lease<'_> {
    #[expect(clippy::expect_used, reason = "taken only by the drop")]
    fn deref_mut(&mut self) -> &mut Buffers {
        self.buffers.as_mut().expect("a lease has buffers")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(buffers) = self.buffers.take() else { return };
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.max_free {
            free.push(buffers);
            return;
        }
        // Freeing takes time, so it happens without the lock.
        drop(free);
        drop(buffers);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_many_concurrent_requests_are_freed() {
        let pool = BufferPool::new(1000, 1);
        let leases: Vec<_> = (0..500)
            .map(|_| {
                let mut lease = pool.lease();
                lease.add_all();
                lease.start_ranking();
                lease
            })
            .collect();
        drop(leases);
        assert_eq!(pool.free.lock().unwrap().len(), pool.max_free);
        let lease = pool.lease();
        assert_eq!((lease.candidates().len(), lease.recalled_by.len()), (0, 1000));
        assert_eq!(pool.free.lock().unwrap().len(), pool.max_free - 1);
    }
}
