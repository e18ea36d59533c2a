use crate::MovieIndex;

/// A set of movies of one catalogue as a bit mask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MovieSet {
    words: Vec<u64>,
}

impl MovieSet {
    /// Creates an empty set for a catalogue of `len` movies.
    pub fn new(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)] }
    }

    /// Adds a movie.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn insert(&mut self, movie: MovieIndex) {
        self.words[movie.index() / 64] |= 1 << (movie.index() % 64);
    }

    /// Returns whether the set contains the movie.
    pub fn contains(&self, movie: MovieIndex) -> bool {
        self.words.get(movie.index() / 64).is_some_and(|word| word >> (movie.index() % 64) & 1 == 1)
    }

    /// Removes all movies.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Adds all movies of another set of the same catalogue.
    pub fn insert_all(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// Iterates over the movies below index `len` that are not in the set, in order.
    pub fn absent(&self, len: usize) -> impl Iterator<Item = MovieIndex> + '_ {
        let movies = self.words.iter().enumerate().flat_map(|(index, &word)| {
            let mut left = !word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(MovieIndex(index as u32 * 64 + bit))
            })
        });
        movies.take_while(move |movie| movie.index() < len)
    }

    /// Replaces the set by its complement.
    pub fn invert(&mut self) {
        for word in &mut self.words {
            *word = !*word;
        }
    }
}

impl Extend<MovieIndex> for MovieSet {
    fn extend<I: IntoIterator<Item = MovieIndex>>(&mut self, movies: I) {
        movies.into_iter().for_each(|movie| self.insert(movie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_operations_change_members() {
        let mut set = MovieSet::new(130);
        set.extend([0, 63, 64, 129].map(MovieIndex));
        let mut other = MovieSet::new(130);
        other.insert(MovieIndex(5));
        set.insert_all(&other);
        let members = |set: &MovieSet| {
            (0..130).filter(|&movie| set.contains(MovieIndex(movie))).collect::<Vec<_>>()
        };
        assert_eq!(members(&set), [0, 5, 63, 64, 129]);
        let absent: Vec<u32> = set.absent(130).map(|movie| movie.0).collect();
        assert_eq!(
            absent,
            (0..130).filter(|movie| ![0, 5, 63, 64, 129].contains(movie)).collect::<Vec<_>>()
        );
        set.invert();
        assert_eq!(members(&set).len(), 125);
        assert!(!set.contains(MovieIndex(64)) && !set.contains(MovieIndex(100_000)));
        set.clear();
        assert_eq!(set, MovieSet::new(130));
    }
}
