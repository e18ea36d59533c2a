use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::Error;

/// The index of a genre in the alphabetical list of a catalogue's genre names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Genre(pub(crate) u8);

impl Genre {
    /// The index as a `usize`.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of genres as a bit mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct GenreSet(u64);

impl GenreSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Adds a genre.
    pub fn insert(&mut self, genre: Genre) {
        self.0 |= 1 << genre.0;
    }

    /// Removes a genre.
    pub fn remove(&mut self, genre: Genre) {
        self.0 &= !(1 << genre.0);
    }

    /// Returns whether the set contains the genre.
    pub const fn contains(self, genre: Genre) -> bool {
        self.0 >> genre.0 & 1 == 1
    }

    /// Returns whether the sets have a common genre.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The number of common genres.
    pub const fn shared(self, other: Self) -> u32 {
        (self.0 & other.0).count_ones()
    }

    /// The number of genres.
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bit mask: bit `g.index()` is set if the set contains genre `g`.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`bits`](Self::bits).
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The genres in alphabetical order.
    pub fn iter(self) -> impl Iterator<Item = Genre> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = (rest != 0).then(|| Genre(rest.trailing_zeros() as u8))?;
            rest &= rest - 1;
            Some(next)
        })
    }
}

impl FromIterator<Genre> for GenreSet {
    fn from_iter<I: IntoIterator<Item = Genre>>(genres: I) -> Self {
        let mut set = Self::EMPTY;
        genres.into_iter().for_each(|genre| set.insert(genre));
        set
    }
}

/// Numbers of movies by genre, such as those that a user liked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenreCounts {
    counts: [u32; 64],
    /// The genres with a positive count.
    present: GenreSet,
}

impl Default for GenreCounts {
    fn default() -> Self {
        Self { counts: [0; 64], present: GenreSet::EMPTY }
    }
}

impl GenreCounts {
    /// Counts a movie with these genres.
    pub fn add(&mut self, genres: GenreSet) {
        self.present = GenreSet(self.present.0 | genres.0);
        genres.iter().for_each(|genre| self.counts[genre.index()] += 1);
    }

    /// Removes a movie that was counted before.
    pub fn remove(&mut self, genres: GenreSet) {
        for genre in genres.iter() {
            self.counts[genre.index()] -= 1;
            if self.counts[genre.index()] == 0 {
                self.present.remove(genre);
            }
        }
    }

    /// The number of movies of a genre.
    pub const fn count(&self, genre: Genre) -> u32 {
        self.counts[genre.index()]
    }

    /// The genres with a positive count, the greatest first, ties by name.
    pub fn ranked(&self) -> Vec<Genre> {
        let mut genres: Vec<Genre> = self.present.iter().collect();
        // The sort is stable, and the genres are in order of name.
        genres.sort_by_key(|genre| Reverse(self.count(*genre)));
        genres
    }

    /// The first genres of [`ranked`](Self::ranked), without allocating.
    pub fn top<const N: usize>(&self) -> [Option<Genre>; N] {
        let mut top: [Option<Genre>; N] = [None; N];
        // The genres are in order of name, so ties break by name.
        for genre in self.present.iter() {
            let is_less = |other: &Option<Genre>| {
                other.is_none_or(|other| self.count(other) < self.count(genre))
            };
            if let Some(index) = top.iter().position(is_less) {
                top[index..].rotate_right(1);
                top[index] = Some(genre);
            }
        }
        top
    }
}

/// The genre names of a catalogue in alphabetical order, at most 64.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Genres {
    names: Vec<Box<str>>,
}

impl Genres {
    /// Collects the distinct names.
    ///
    /// # Errors
    /// [`Error::TooManyGenres`] if there are more than 64.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut distinct = BTreeSet::new();
        for name in names {
            if distinct.len() == 64 && !distinct.contains(name) {
                return Err(Error::TooManyGenres(name.to_owned()));
            }
            distinct.insert(name);
        }
        Ok(Self { names: distinct.into_iter().map(Box::from).collect() })
    }

    /// Finds a genre by its exact name.
    pub fn find(&self, name: &str) -> Option<Genre> {
        self.names
            .binary_search_by(|known| (**known).cmp(name))
            .ok()
            .map(|index| Genre(index as u8))
    }

    /// The name of a genre.
    ///
    /// # Panics
    /// If the index is out of range.
    pub fn name(&self, genre: Genre) -> &str {
        &self.names[genre.index()]
    }

    /// All genres, in alphabetical order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Genre> {
        (0..self.names.len()).map(|index| Genre(index as u8))
    }

    /// The number of genres.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns whether there are no genres.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn names_are_deduplicated_and_sorted() {
        let genres = Genres::new(["Drama", "Comedy", "Drama"]).unwrap();
        assert_eq!(genres.iter().map(|g| genres.name(g)).collect::<Vec<_>>(), ["Comedy", "Drama"]);
        assert_eq!(genres.find("Drama"), Some(Genre(1)));
        assert_eq!(genres.find("drama"), None);
    }

    #[test]
    fn more_than_64_genres_are_an_error() {
        let names: Vec<String> = (0..65).map(|n| format!("genre {n:02}")).collect();
        assert_eq!(Genres::new(names[..64].iter().map(String::as_str)).unwrap().len(), 64);
        let error = Genres::new(names.iter().map(String::as_str)).unwrap_err();
        assert_eq!(error, Error::TooManyGenres("genre 64".to_owned()));
    }

    #[test]
    fn set_operations_return_expected_genres() {
        let set: GenreSet = [Genre(63), Genre(0), Genre(5)].into_iter().collect();
        let other: GenreSet = [Genre(5), Genre(63), Genre(7)].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Genre(0), Genre(5), Genre(63)]);
        assert_eq!((set.len(), set.shared(other)), (3, 2));
        assert!(set.intersects(other) && !set.intersects(GenreSet::EMPTY));
        assert!(set.contains(Genre(63)) && !set.contains(Genre(7)));
    }

    #[test]
    fn top_genres_are_the_first_ranked_ones() {
        let set = |bits| GenreSet::from_bits(bits);
        let mut counts = GenreCounts::default();
        for bits in [0b0110, 0b0100, 0b1000, 0b0001, 0b1000] {
            counts.add(set(bits));
        }
        let indexes = |genres: Vec<Genre>| genres.iter().map(|g| g.index()).collect::<Vec<_>>();
        // Ties break by name.
        assert_eq!(indexes(counts.ranked()), [2, 3, 0, 1]);
        assert_eq!(counts.top(), [2, 3, 0].map(|index| Some(Genre(index))));
        counts.remove(set(0b0001));
        counts.remove(set(0b0100));
        assert_eq!(indexes(counts.ranked()), [3, 1, 2]);
        assert_eq!(counts.top(), [Some(Genre(3)), Some(Genre(1)), Some(Genre(2)), None]);
        assert_eq!(counts.count(Genre(0)), 0);
    }
}
