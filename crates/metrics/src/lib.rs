//! Counters and histograms of durations for hot paths: recording takes a few nanoseconds, without locks and hashing.
//!
//! [`Count`] counts, [`Durations`] is a histogram, and [`Grid`] has a histogram for each combination of labels, by index.
//! [`Calls`] counts the calls of a store by operation and outcome.
//! Each has a part for several threads each ([`Count`] and [`Durations`] add up their parts when they are read), so that
//! cores do not wait for each other's cache lines. The crate has no dependencies, does no I/O and knows no exposition
//! format.

mod calls;

use std::array;
use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

pub use calls::{Calls, Health, Outcome};

/// The upper bounds of the buckets of [`Durations`], in nanoseconds: 50 µs to 10 s in steps of 1, 2 and 5.
pub const BOUNDS: [u64; 17] = [
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// The buckets of [`Durations`]: one for each bound, and one for everything above.
pub const BUCKETS: usize = BOUNDS.len() + 1;

/// The parts of a counter at most.
const MOST_PARTS: usize = 8;

/// The number of parts of a counter: one for each core, up to [`MOST_PARTS`].
fn parts() -> usize {
    static PARTS: OnceLock<usize> = OnceLock::new();
    let cores = || available_parallelism().map_or(1, usize::from);
    *PARTS.get_or_init(|| cores().min(MOST_PARTS).next_power_of_two())
}

/// The part of this thread.
fn part() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PART: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    PART.with(|part| {
        if part.get() == usize::MAX {
            part.set(NEXT.fetch_add(1, Ordering::Relaxed) & (parts() - 1));
        }
        part.get()
    })
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct CountPart(AtomicU64);

/// A counter. It may also count down, for the number of things that there are now.
pub struct Count(Box<[CountPart]>);

impl Default for Count {
    fn default() -> Self {
        Self((0..parts()).map(|_| CountPart::default()).collect())
    }
}

impl Count {
    /// Adds a number.
    pub fn add(&self, number: u64) {
        self.0[part()].0.fetch_add(number, Ordering::Relaxed);
    }

    /// Takes one away that was added before, perhaps by another thread.
    pub fn take(&self) {
        self.0[part()].0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds one until the result is dropped.
    pub fn enter(&self) -> Entered<'_> {
        self.add(1);
        Entered(self)
    }

    /// The sum of all parts.
    pub fn get(&self) -> u64 {
        // A part is negative if another thread took away what it had added.
        let parts = self.0.iter().map(|part| part.0.load(Ordering::Relaxed));
        let sum = parts.fold(0, u64::wrapping_add);
        // Parts that change while they are read may sum up to less than nothing.
        if sum > u64::MAX / 2 { 0 } else { sum }
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// Something that is counted until it is dropped.
#[derive(Debug)]
pub struct Entered<'a>(&'a Count);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.take();
    }
}

#[derive(Debug)]
#[repr(align(128))]
struct DurationsPart {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// A histogram of durations with the buckets of [`BOUNDS`].
pub struct Durations(Box<[DurationsPart]>);

/// The content of [`Durations`] at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DurationCounts {
    /// The number of durations per bucket: at most its bound and above that of the bucket before.
    pub buckets: [u64; BUCKETS],
    /// The sum of all durations.
    pub sum: Duration,
}

impl DurationCounts {
    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

impl Default for Durations {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        let part = || DurationsPart { buckets: array::from_fn(|_| zero()), nanos: zero() };
        Self((0..parts()).map(|_| part()).collect())
    }
}

/// The duration that a share of the durations in buckets does not exceed; `None` without durations. It is interpolated
/// within its bucket; durations beyond the last bound count as that bound.
pub fn quantile(buckets: &[u64; BUCKETS], share: f64) -> Option<Duration> {
    let count: u64 = buckets.iter().sum();
    if count == 0 {
        return None;
    }
    let mut rest = share.clamp(0.0, 1.0) * count as f64;
    let mut below = 0;
    for (&bound, &number) in BOUNDS.iter().zip(buckets) {
        if number > 0 && rest <= number as f64 {
            let within = (bound - below) as f64 * (rest / number as f64);
            return Some(Duration::from_nanos(below + within as u64));
        }
        rest -= number as f64;
        below = bound;
    }
    Some(Duration::from_nanos(below))
}

/// The bucket of a duration.
pub fn bucket_of(nanos: u64) -> usize {
    BOUNDS.partition_point(|&bound| bound < nanos)
}

impl Durations {
    /// Counts a duration.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let part = &self.0[part()];
        part.buckets[bucket_of(nanos)].fetch_add(1, Ordering::Relaxed);
        part.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The content so far.
    pub fn counts(&self) -> DurationCounts {
        let mut counts = DurationCounts::default();
        for part in &self.0 {
            for (count, bucket) in counts.buckets.iter_mut().zip(&part.buckets) {
                *count += bucket.load(Ordering::Relaxed);
            }
            counts.sum += Duration::from_nanos(part.nanos.load(Ordering::Relaxed));
        }
        counts
    }
}

impl fmt::Debug for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts().fmt(f)
    }
}

/// A histogram for each combination of the values of `D` labels, by the indices of the values. A histogram takes memory
/// once it is used.
pub struct Grid<const D: usize> {
    sizes: [usize; D],
    cells: Box<[OnceLock<Durations>]>,
}

impl<const D: usize> Grid<D> {
    /// With these numbers of values per label, each at least one.
    pub fn new(sizes: [usize; D]) -> Self {
        let cells = sizes.iter().product();
        Self { sizes, cells: (0..cells).map(|_| OnceLock::new()).collect() }
    }

    /// The histogram of these values. An index beyond the last value is that of the last.
    pub fn at(&self, indices: [usize; D]) -> &Durations {
        let place = |sum, (index, size): (usize, usize)| sum * size + index.min(size - 1);
        let cell = indices.into_iter().zip(self.sizes).fold(0, place);
        self.cells[cell].get_or_init(Durations::default)
    }

    /// The histograms that were used, with the indices of their values.
    pub fn used(&self) -> impl Iterator<Item = ([usize; D], DurationCounts)> {
        self.cells.iter().enumerate().filter_map(|(mut cell, durations)| {
            let counts = durations.get()?.counts();
            let mut indices = [0; D];
            for (index, size) in indices.iter_mut().zip(self.sizes).rev() {
                *index = cell % size;
                cell /= size;
            }
            Some((indices, counts))
        })
    }
}

impl<const D: usize> fmt::Debug for Grid<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.used()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_in_the_bucket_whose_bound_they_do_not_exceed() {
        let durations = Durations::default();
        for micros in [1, 50, 51, 10_000_000, 10_000_001] {
            durations.record(Duration::from_micros(micros));
        }
        let counts = durations.counts();
        let used: Vec<_> = (0..BUCKETS).filter(|&bucket| counts.buckets[bucket] > 0).collect();
        assert_eq!((used, counts.buckets[0], counts.count()), (vec![0, 1, 16, 17], 2, 5));
        assert_eq!(counts.sum, Duration::from_micros(1 + 50 + 51 + 20_000_001));
    }

    #[test]
    fn quantiles_are_interpolated_within_their_bucket() {
        let mut buckets = [0; BUCKETS];
        assert_eq!(quantile(&buckets, 0.5), None);
        buckets[4] = 90;
        buckets[8] = 10;
        let micros = |share| quantile(&buckets, share).map(|time| time.as_micros());
        // Half a millisecond to a millisecond, and 10 ms to 20 ms.
        assert_eq!((micros(0.0), micros(0.45), micros(0.9)), (Some(500), Some(750), Some(1000)));
        assert_eq!((micros(0.95), micros(1.0)), (Some(15_000), Some(20_000)));
        buckets = [0; BUCKETS];
        buckets[BUCKETS - 1] = 1;
        assert_eq!(quantile(&buckets, 0.5), Some(Duration::from_secs(10)));
    }

    #[test]
    fn threads_count_together() {
        let (count, durations) = (Count::default(), Durations::default());
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        count.add(2);
                        count.take();
                        durations.record(Duration::ZERO);
                    }
                });
            }
        });
        assert_eq!((count.get(), durations.counts().count()), (8000, 8000));
        let entered = count.enter();
        std::thread::scope(|scope| scope.spawn(|| drop(entered)).join().map_err(drop)).ok();
        assert_eq!(count.get(), 8000);
    }

    #[test]
    fn cells_of_a_grid_have_their_own_indices() {
        let grid = Grid::new([3, 2, 4]);
        for indices in [[0, 0, 0], [2, 1, 3], [1, 0, 2], [1, 0, 2]] {
            grid.at(indices).record(Duration::ZERO);
        }
        grid.at([7, 7, 7]).record(Duration::ZERO);
        let used: Vec<_> = grid.used().map(|(indices, counts)| (indices, counts.count())).collect();
        assert_eq!(used, [([0, 0, 0], 1), ([1, 0, 2], 2), ([2, 1, 3], 2)]);
    }
}
