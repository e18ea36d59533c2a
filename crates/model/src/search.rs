//! Title search.
//!
//! A title matches if it contains all words of the query. The first of these steps that finds a match
//! determines the result: prefix matches of the words as typed, where two adjacent words may be one word of
//! the title; words split into two; longer words with one or two typing errors.
//!
//! The cost is bounded for every query: by limits on the number of words, of interpretations and of words
//! compared with the vocabulary. Candidates come from the postings of the rarest word; the other words are
//! looked up in the word list of each candidate.

mod text;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{Movie, MovieIndex};

use text::{is_number, key, other_numeral, title_keys, words};

/// Maximum number of query words that are matched: the rarest ones.
const MAX_WORDS: usize = 32;

/// Maximum number of query words for joining and splitting words.
const MAX_WORDS_JOINED: usize = 8;

/// Maximum length of words that are split or corrected.
const LONGEST_WORD: usize = 24;

/// Maximum number of query words that are compared with the whole vocabulary.
const MAX_CORRECTED: usize = 5;

/// Maximum number of corrections of a word.
const MAX_SIMILAR: usize = 32;

/// Prefix of release years in the vocabulary. Title words do not contain it, and it sorts after them.
const YEAR: char = '~';

/// Weights of a matched query word; the weight of a match is their sum.
const WHOLE: u32 = 6;
const OTHER_NUMERAL: u32 = 5;
const RELEASE_YEAR: u32 = 4;
const BEGINNING: u32 = 2;
/// With one typing error; one less with two.
const SIMILAR: u32 = 2;

/// The answer to a title search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHits {
    /// Number of matching movies.
    pub total: usize,
    /// The requested page of the matches, best first.
    pub movies: Vec<MovieIndex>,
}

/// An inverted index over title words and release years.
#[derive(Debug)]
pub(crate) struct TitleIndex {
    /// The vocabulary in ascending order; years come last.
    words: Vec<Box<str>>,
    /// The letters of each word as a bit mask, a cheap filter before the edit distance.
    letters: Vec<u64>,
    /// `postings[starts[w]..starts[w + 1]]` are the movies with word `w`, ascending.
    starts: Vec<u32>,
    postings: Vec<MovieIndex>,
    /// `movie_words[movie_starts[m]..movie_starts[m + 1]]` are the words of movie `m`, ascending.
    movie_starts: Vec<u32>,
    movie_words: Vec<u32>,
    /// The keys of each movie's whole title and of its part before a colon.
    keys: Vec<[u64; 2]>,
}

/// The matches of one query word: ranges of the vocabulary and their weights.
#[derive(Debug, Clone, Default)]
struct Term {
    ranges: Vec<(Range<u32>, u32)>,
}

/// A match as a sort key, from the most significant bit: exact title, weight, popularity, inverted movie index.
type SortKey = u128;

impl TitleIndex {
    /// Indexes the titles of movies, except of those in `hidden`, which is in ascending order.
    pub(crate) fn new(movies: &[Movie], hidden: &[MovieIndex]) -> Self {
        let mut lists: BTreeMap<String, Vec<MovieIndex>> = BTreeMap::new();
        for (index, movie) in movies.iter().enumerate() {
            if hidden.binary_search(&MovieIndex(index as u32)).is_ok() {
                continue;
            }
            let mut words = words(&movie.title);
            words.extend(text::joined(&movie.title));
            words.extend(movie.year.map(|year| format!("{YEAR}{year}")));
            words.sort_unstable();
            words.dedup();
            for word in words {
                lists.entry(word).or_default().push(MovieIndex(index as u32));
            }
        }
        let (mut words, mut starts, mut postings) = (Vec::new(), vec![0], Vec::new());
        let mut of_movie = vec![0_u32; movies.len() + 1];
        for (word, list) in lists {
            for movie in &list {
                of_movie[movie.index() + 1] += 1;
            }
            words.push(word.into_boxed_str());
            postings.extend(list);
            starts.push(postings.len() as u32);
        }
        for index in 1..of_movie.len() {
            of_movie[index] += of_movie[index - 1];
        }
        let (movie_starts, mut next) = (of_movie.clone(), of_movie);
        let mut movie_words = vec![0; postings.len()];
        for word in 0..words.len() {
            for movie in &postings[starts[word] as usize..starts[word + 1] as usize] {
                movie_words[next[movie.index()] as usize] = word as u32;
                next[movie.index()] += 1;
            }
        }
        let letters = words.iter().map(|word| letters(word)).collect();
        let keys = movies.iter().map(|movie| title_keys(&movie.title)).collect();
        Self { words, letters, starts, postings, movie_starts, movie_words, keys }
    }

    /// Returns at most `limit` matches from rank `offset` on.
    pub(crate) fn search(
        &self,
        query: &str,
        offset: usize,
        limit: usize,
        popularity: impl Fn(MovieIndex) -> u32,
    ) -> SearchHits {
        let mut words = words(query);
        let mut seen = BTreeSet::new();
        words.retain(|word| seen.insert(word.clone()));
        let title = key(query);
        let sort_key = |movie: MovieIndex, weight: u32| {
            let exact = match self.keys[movie.index()] {
                [whole, _] if whole == title => 2,
                [_, lead] if lead == title => 1,
                _ => 0,
            };
            let order = u64::from(popularity(movie)) << 32 | u64::from(!movie.0);
            SortKey::from(exact << 32 | u64::from(weight)) << 64 | SortKey::from(order)
        };
        let found = |plans: Vec<Vec<Term>>| {
            let mut found = Vec::new();
            let several = plans.len() > 1;
            for plan in plans {
                self.match_all(plan, |movie, weight| found.push(sort_key(movie, weight)));
            }
            if several {
                // Keeps the best match of a movie among the interpretations of the query.
                found.sort_unstable_by_key(|&key| (movie_of(key), Reverse(key)));
                found.dedup_by_key(|key| movie_of(*key));
            }
            found
        };
        let mut matches = found(self.as_typed(&words));
        if matches.is_empty() {
            matches = found(self.split(&words));
        }
        if matches.is_empty() {
            matches = found(self.corrected(&words));
        }
        let total = matches.len();
        let page = select_page(&mut matches, offset, limit);
        SearchHits { total, movies: page.iter().map(|&key| movie_of(key)).collect() }
    }

    /// Interpretations of the query word by word, and with each pair of adjacent words joined.
    fn as_typed(&self, words: &[String]) -> Vec<Vec<Term>> {
        let several = words.len() > 1;
        let mut plans = vec![words.iter().map(|word| self.term(word, several)).collect()];
        if (2..=MAX_WORDS_JOINED).contains(&words.len()) {
            for index in 1..words.len() {
                let joined = words[index - 1..=index].concat();
                let mut term = self.term(&joined, true);
                // A prefix of up to four letters matches too many words.
                term.ranges.retain(|(_, weight)| *weight == WHOLE || joined.len() > 4);
                if term.ranges.is_empty() {
                    continue;
                }
                // The joined word replaces two words.
                for (_, weight) in &mut term.ranges {
                    *weight *= 2;
                }
                let rest = words[..index - 1].iter().chain(&words[index + 1..]);
                plans.push(rest.map(|word| self.term(word, true)).chain([term]).collect());
            }
        }
        plans
    }

    /// Interpretations that split a word without matches into two words.
    fn split(&self, words: &[String]) -> Vec<Vec<Term>> {
        let mut plans = Vec::new();
        if words.len() > MAX_WORDS_JOINED {
            return plans;
        }
        for (index, word) in words.iter().enumerate() {
            if word.len() > LONGEST_WORD || !self.term(word, true).ranges.is_empty() {
                continue;
            }
            for middle in 2..word.len().saturating_sub(1) {
                let (first, second) = word.split_at(middle);
                let halves = [first, second].map(|half| self.term(half, true));
                if halves.iter().any(|half| !half.has_whole()) {
                    continue;
                }
                let rest = words[..index].iter().chain(&words[index + 1..]);
                plans.push(rest.map(|word| self.term(word, true)).chain(halves).collect());
            }
        }
        plans
    }

    /// The query with spelling corrections of its rarest words.
    fn corrected(&self, words: &[String]) -> Vec<Vec<Term>> {
        let mut terms: Vec<Term> = words.iter().map(|word| self.term(word, true)).collect();
        let mut rarest: Vec<usize> = (0..words.len()).collect();
        rarest.retain(|&index| tolerance(&words[index]) > 0);
        rarest.sort_by_key(|&index| self.count(&terms[index]));
        rarest.truncate(MAX_CORRECTED);
        for &index in &rarest {
            terms[index].ranges.extend(self.similar(&words[index]));
        }
        if rarest.is_empty() { Vec::new() } else { vec![terms] }
    }

    /// The words of the vocabulary within the edit distance of a word.
    fn similar(&self, word: &str) -> Vec<(Range<u32>, u32)> {
        let (tolerance, own) = (tolerance(word), letters(word));
        let mut found = Vec::new();
        for (index, known) in self.words.iter().enumerate() {
            // A typing error changes at most two bits of the mask.
            if (self.letters[index] ^ own).count_ones() as usize > 2 * tolerance
                || known.len().abs_diff(word.len()) > tolerance
                || known.starts_with(YEAR)
            {
                continue;
            }
            // With two errors the first letter must match, to limit false positives.
            let errors = strsim::osa_distance(known, word);
            if errors <= tolerance && (errors < 2 || known.as_bytes()[0] == word.as_bytes()[0]) {
                found.push((
                    errors,
                    Reverse(self.starts[index + 1] - self.starts[index]),
                    index as u32,
                ));
            }
        }
        found.sort_unstable();
        found.truncate(MAX_SIMILAR);
        let weight = |errors| (SIMILAR + 1).saturating_sub(errors as u32);
        found.into_iter().map(|(errors, _, index)| (index..index + 1, weight(errors))).collect()
    }

    /// The matches of a query word as typed. Years match by prefixes of three digits or more. A one-letter Roman
    /// numeral matches only in queries of several words.
    fn term(&self, word: &str, several: bool) -> Term {
        let mut term = Term::default();
        term.add(self.beginning_with(word, |known| known == word), WHOLE);
        if let Some(other) = other_numeral(word).filter(|other| several || other.len() > 1) {
            term.add(self.beginning_with(&other, |known| known == other), OTHER_NUMERAL);
        }
        if is_number(word) && word.len() > 2 {
            let year = format!("{YEAR}{word}");
            term.add(self.beginning_with(&year, |known| known == year), RELEASE_YEAR);
            term.add(self.beginning_with(&year, |_| true), BEGINNING);
        }
        term.add(self.beginning_with(word, |_| true), BEGINNING);
        term
    }

    /// The range of words with this prefix that satisfy `wanted`, which must hold for a leading part of them.
    fn beginning_with(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Range<u32> {
        let first = self.words.partition_point(|word| **word < *prefix);
        let many =
            self.words[first..].partition_point(|word| word.starts_with(prefix) && wanted(word));
        first as u32..(first + many) as u32
    }

    /// The number of postings of a term, counted per range.
    fn count(&self, term: &Term) -> usize {
        let postings = |range: &Range<u32>| self.postings_of(range).len();
        term.ranges.iter().map(|(range, _)| postings(range)).sum()
    }

    fn postings_of(&self, range: &Range<u32>) -> &[MovieIndex] {
        &self.postings
            [self.starts[range.start as usize] as usize..self.starts[range.end as usize] as usize]
    }

    /// Calls `found` with each movie that matches all terms, and the sum of its weights.
    fn match_all(&self, mut terms: Vec<Term>, mut found: impl FnMut(MovieIndex, u32)) {
        terms.sort_by_cached_key(|term| self.count(term));
        terms.truncate(MAX_WORDS);
        let Some(rarest) = terms.first() else { return };
        let mut candidates = vec![0_u64; self.keys.len().div_ceil(64)];
        for (range, _) in &rarest.ranges {
            for movie in self.postings_of(range) {
                candidates[movie.index() / 64] |= 1 << (movie.index() % 64);
            }
        }
        for (block, mut bits) in candidates.into_iter().enumerate() {
            while bits != 0 {
                let index = block * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let own = &self.movie_words
                    [self.movie_starts[index] as usize..self.movie_starts[index + 1] as usize];
                let weights = terms.iter().map(|term| term.weight(own));
                if let Some(weight) = weights.sum::<Option<u32>>() {
                    found(MovieIndex(index as u32), weight);
                }
            }
        }
    }
}

impl Term {
    fn add(&mut self, range: Range<u32>, weight: u32) {
        if !range.is_empty() {
            self.ranges.push((range, weight));
        }
    }

    fn has_whole(&self) -> bool {
        self.ranges.iter().any(|(_, weight)| *weight == WHOLE)
    }

    /// The greatest weight of a match with a movie's words; `None` without a match. Ranges are in order of
    /// descending weight.
    fn weight(&self, words: &[u32]) -> Option<u32> {
        let has = |range: &Range<u32>| {
            let first = words.iter().find(|word| **word >= range.start);
            first.is_some_and(|word| *word < range.end)
        };
        self.ranges.iter().find(|(range, _)| has(range)).map(|(_, weight)| *weight)
    }
}

fn movie_of(key: SortKey) -> MovieIndex {
    MovieIndex(!(key as u32))
}

/// Selects at most `limit` matches from rank `offset` on, best first.
fn select_page(matches: &mut [SortKey], offset: usize, limit: usize) -> &[SortKey] {
    if offset >= matches.len() || limit == 0 {
        return &[];
    }
    let rest = if offset > 0 {
        matches.select_nth_unstable_by_key(offset, |&key| Reverse(key));
        &mut matches[offset..]
    } else {
        matches
    };
    if limit < rest.len() {
        rest.select_nth_unstable_by_key(limit - 1, |&key| Reverse(key));
    }
    let len = limit.min(rest.len());
    let page = &mut rest[..len];
    page.sort_unstable_by_key(|&key| Reverse(key));
    page
}

/// Maximum edit distance for corrections of a word.
fn tolerance(word: &str) -> usize {
    match word.len() {
        _ if is_number(word) => 0,
        0..=3 => 0,
        4..=7 => 1,
        8..=LONGEST_WORD => 2,
        _ => 0,
    }
}

/// The letters and digits of a word as a bit mask.
fn letters(word: &str) -> u64 {
    word.bytes().fold(0, |set, letter| set | 1 << (letter % 64))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::Movies;
    use crate::movie::record;

    fn index(titles: &[(&str, u16)]) -> TitleIndex {
        let records =
            titles.iter().zip(0..).map(|(&(title, year), id)| record(id, title, year, &[]));
        TitleIndex::new(Movies::new(records.collect()).unwrap().as_slice(), &[])
    }

    /// Returns all matches; popularity grows with the id.
    fn all(index: &TitleIndex, query: &str) -> Vec<u32> {
        let hits = index.search(query, 0, 1000, |movie| movie.0);
        assert_eq!(hits.total, hits.movies.len());
        hits.movies.into_iter().map(|movie| movie.0).collect()
    }

    fn found(query: &str) -> Vec<u32> {
        let index = index(&[
            ("Lantern, The", 1994),
            ("Amélie's Night-Light", 2001),
            ("Lanterns of the Night", 1994),
            ("Æther Øre", 2010),
        ]);
        all(&index, query)
    }

    #[test]
    fn case_accents_order_and_punctuation_are_ignored() {
        assert_eq!(found("the lantern"), [0, 2]);
        assert_eq!(found("NIGHT amelies"), [1]);
        assert_eq!(found("amélie"), [1]);
        assert_eq!(found("nightlight"), [1]);
        assert_eq!(found("night light"), [1]);
        assert_eq!(found("aether"), [3]);
        assert_eq!(found("ore æther"), [3]);
        assert_eq!(found("lantern 1994"), [0, 2]);
    }

    #[test]
    fn whole_words_rank_above_popularity() {
        assert_eq!(found("lant"), [2, 0]);
        assert_eq!(found("lantern"), [0, 2]);
        assert_eq!(found("lanterns"), [2]);
    }

    #[test]
    fn query_without_match_returns_no_movies() {
        for query in ["", "  ", "!?", "lantern zebra", "xyz"] {
            assert_eq!(found(query), [0; 0], "{query:?}");
        }
    }

    #[test]
    fn page_is_a_slice_of_all_matches_and_total_counts_all() {
        let index = index(&[("Same Title", 2000); 50]);
        let all = all(&index, "title");
        for (offset, limit) in [(0, 3), (3, 3), (47, 3), (48, 10), (50, 3), (usize::MAX, 3), (0, 0)]
        {
            let hits = index.search("title", offset, limit, |movie| movie.0);
            let expected: Vec<u32> = all.iter().copied().skip(offset).take(limit).collect();
            let page: Vec<u32> = hits.movies.into_iter().map(|movie| movie.0).collect();
            assert_eq!((hits.total, page), (50, expected), "{offset} {limit}");
        }
    }

    #[test]
    fn exact_titles_rank_first_and_years_last() {
        let index = index(&[
            ("Lantern", 1950),
            ("2001: The Lantern", 1968),
            ("Lantern: Part II, The", 1974),
            ("Along Came a Lantern", 2001),
            ("Harbour", 2001),
        ]);
        assert_eq!(all(&index, "2001"), [1, 4, 3]);
        assert_eq!(all(&index, "the lantern")[0], 2);
        assert_eq!(all(&index, "lantern"), [0, 2, 3, 1]);
        assert_eq!(all(&index, "200"), [4, 3, 1]);
        // One digit does not match a year.
        assert_eq!(all(&index, "lantern 1"), [0; 0]);
    }

    #[test]
    fn roman_and_arabic_numerals_match_each_other() {
        let index = index(&[
            ("Harbour, The", 1972),
            ("Harbour: Part II, The", 1974),
            ("Harbour: Part III, The", 1990),
            ("Night-Man 2", 2004),
            ("Lantern V", 1990),
            ("V for Violin", 2005),
        ]);
        assert_eq!(all(&index, "harbour 2"), [1]);
        assert_eq!(all(&index, "harbour 3"), [2]);
        assert_eq!(all(&index, "night man ii"), [3]);
        assert_eq!(all(&index, "lantern 5"), [4]);
        assert_eq!(all(&index, "5"), [0; 0]);
    }

    #[test]
    fn joined_and_split_words_match() {
        let index = index(&[("Night-Man", 2002), ("Nightman", 1990), ("Star Boats", 1977)]);
        assert_eq!(all(&index, "nightman"), [1, 0]);
        assert_eq!(all(&index, "night man"), [1, 0]);
        assert_eq!(all(&index, "starboats"), [2]);
        assert_eq!(all(&index, "the starboats"), [0; 0]);
    }

    #[test]
    fn spelling_is_corrected_in_longer_words_only() {
        let index = index(&[("Lantern, The", 1994), ("Harbour of Violins", 2001), ("Cat", 1990)]);
        for query in ["lantrn", "latnern", "lanternn", "the lentern", "lantarn 1994"] {
            assert_eq!(all(&index, query), [0], "{query}");
        }
        assert_eq!(all(&index, "harbor voilins"), [1]);
        for query in ["cta", "lntrn", "lantrn 1995", "lantern 2001"] {
            assert_eq!(all(&index, query), [0; 0], "{query}");
        }
        // Exact matches exclude corrections.
        assert_eq!(all(&index, "cat"), [2]);
    }

    #[test]
    fn long_queries_return() {
        let index = index(&[("Lantern, The", 1994), ("A B C D E", 2001)]);
        let many: Vec<String> = (0..200).map(|index| format!("word{index}")).collect();
        let many = many.join(" ");
        for query in [&*many, &*"a b c d e ".repeat(50), &*"x".repeat(5000), "~1994", "~"] {
            all(&index, query);
        }
        assert_eq!(all(&index, &"a b c d e ".repeat(50)), [1]);
    }
}
