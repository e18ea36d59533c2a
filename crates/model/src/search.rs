//! Search in titles.
//!
//! A query is a list of words, all of which a title must have. It is answered in the first of these
//! ways that finds anything: as it is typed, where words may lack their last letters and two
//! neighbours may be one word of the title; with words divided into two; with a typing error or two
//! in the longer words.
//!
//! The work is bounded whatever the query: the number of words, of readings, and of words that
//! are compared with the vocabulary. Candidates come from the rarest word alone; whether they have
//! the others is looked up in their own short lists of words.

mod text;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::{Movie, MovieIndex};

use text::{is_number, key, other_numeral, title_keys, words};

/// The rarest words of a query, so many, count; further ones are ignored.
const MAX_WORDS: usize = 32;

/// Queries of more words are not tried with neighbours joined or with words divided.
const MAX_WORDS_JOINED: usize = 8;

/// Longer words of a query are not divided or corrected.
const LONGEST_WORD: usize = 24;

/// Words of a query that are compared with the whole vocabulary.
const MAX_CORRECTED: usize = 5;

/// Similar words that stand for a misspelt one.
const MAX_SIMILAR: usize = 32;

/// What precedes a release year in the vocabulary: no word of a title contains it, and it sorts
/// behind all of them.
const YEAR: char = '~';

/// What a matched word of a query counts, added up over the words.
const WHOLE: u32 = 6;
const OTHER_NUMERAL: u32 = 5;
const RELEASE_YEAR: u32 = 4;
const BEGINNING: u32 = 2;
/// For one typing error; one less for two.
const SIMILAR: u32 = 2;

/// The answer to a title search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHits {
    /// How many movies match.
    pub total: usize,
    /// Part of them in the order of merit.
    pub movies: Vec<MovieIndex>,
}

/// An inverted index over the words of titles and their years.
#[derive(Debug)]
pub(crate) struct TitleIndex {
    /// Distinct words in ascending order, at last the years.
    words: Vec<Box<str>>,
    /// The letters of each word, one bit each, for a quick comparison.
    letters: Vec<u64>,
    /// Movies with word `w`, ascending: `postings[starts[w]..starts[w + 1]]`.
    starts: Vec<u32>,
    postings: Vec<MovieIndex>,
    /// Words of movie `m`, ascending: `movie_words[movie_starts[m]..movie_starts[m + 1]]`.
    movie_starts: Vec<u32>,
    movie_words: Vec<u32>,
    /// For each movie the keys of its whole title and of what stands before a colon.
    keys: Vec<[u64; 2]>,
}

/// What stands for one word of a query: ranges of the vocabulary, with what a match counts.
#[derive(Debug, Clone, Default)]
struct Term {
    ranges: Vec<(Range<u32>, u32)>,
}

/// A movie that matches, as a number that grows with its merit.
type Merit = u128;

impl TitleIndex {
    pub(crate) fn new(movies: &[Movie]) -> Self {
        let mut lists: BTreeMap<String, Vec<MovieIndex>> = BTreeMap::new();
        for (at, movie) in movies.iter().enumerate() {
            let mut words = words(&movie.title);
            words.extend(text::joined(&movie.title));
            words.extend(movie.year.map(|year| format!("{YEAR}{year}")));
            words.sort_unstable();
            words.dedup();
            for word in words {
                lists.entry(word).or_default().push(MovieIndex(at as u32));
            }
        }
        let (mut words, mut starts, mut postings) = (Vec::new(), vec![0], Vec::new());
        let mut of_movie = vec![0_u32; movies.len() + 1];
        for (word, list) in lists {
            for movie in &list {
                of_movie[movie.at() + 1] += 1;
            }
            words.push(word.into_boxed_str());
            postings.extend(list);
            starts.push(postings.len() as u32);
        }
        for at in 1..of_movie.len() {
            of_movie[at] += of_movie[at - 1];
        }
        let (movie_starts, mut next) = (of_movie.clone(), of_movie);
        let mut movie_words = vec![0; postings.len()];
        for word in 0..words.len() {
            for movie in &postings[starts[word] as usize..starts[word + 1] as usize] {
                movie_words[next[movie.at()] as usize] = word as u32;
                next[movie.at()] += 1;
            }
        }
        let letters = words.iter().map(|word| letters(word)).collect();
        let keys = movies.iter().map(|movie| title_keys(&movie.title)).collect();
        Self { words, letters, starts, postings, movie_starts, movie_words, keys }
    }

    /// The matches from place `offset` on, at most `limit` of them.
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
        let merit = |movie: MovieIndex, weight: u32| {
            let exact = match self.keys[movie.at()] {
                [whole, _] if whole == title => 2,
                [_, lead] if lead == title => 1,
                _ => 0,
            };
            let order = u64::from(popularity(movie)) << 32 | u64::from(!movie.0);
            Merit::from(exact << 32 | u64::from(weight)) << 64 | Merit::from(order)
        };
        let found = |plans: Vec<Vec<Term>>| {
            let mut found = Vec::new();
            let several = plans.len() > 1;
            for plan in plans {
                self.match_all(plan, |movie, weight| found.push(merit(movie, weight)));
            }
            if several {
                // Of a movie that several readings of the query find, the best counts.
                found.sort_unstable_by_key(|&merit| (movie_of(merit), Reverse(merit)));
                found.dedup_by_key(|merit| movie_of(*merit));
            }
            found
        };
        let mut matches = found(self.as_typed(&words));
        if matches.is_empty() {
            matches = found(self.divided(&words));
        }
        if matches.is_empty() {
            matches = found(self.corrected(&words));
        }
        let total = matches.len();
        let page = part(&mut matches, offset, limit);
        SearchHits { total, movies: page.iter().map(|&merit| movie_of(merit)).collect() }
    }

    /// The query word by word, and with each two neighbours joined.
    fn as_typed(&self, words: &[String]) -> Vec<Vec<Term>> {
        let several = words.len() > 1;
        let mut plans = vec![words.iter().map(|word| self.term(word, several)).collect()];
        if (2..=MAX_WORDS_JOINED).contains(&words.len()) {
            for at in 1..words.len() {
                let joined = words[at - 1..=at].concat();
                let mut term = self.term(&joined, true);
                // Two letters are the beginning of too much.
                term.ranges.retain(|(_, weight)| *weight == WHOLE || joined.len() > 4);
                if term.ranges.is_empty() {
                    continue;
                }
                // It stands for two words.
                for (_, weight) in &mut term.ranges {
                    *weight *= 2;
                }
                let rest = words[..at - 1].iter().chain(&words[at + 1..]);
                plans.push(rest.map(|word| self.term(word, true)).chain([term]).collect());
            }
        }
        plans
    }

    /// Readings in which a word that no title has is two words.
    fn divided(&self, words: &[String]) -> Vec<Vec<Term>> {
        let mut plans = Vec::new();
        if words.len() > MAX_WORDS_JOINED {
            return plans;
        }
        for (at, word) in words.iter().enumerate() {
            if word.len() > LONGEST_WORD || !self.term(word, true).ranges.is_empty() {
                continue;
            }
            for place in 2..word.len().saturating_sub(1) {
                let (first, second) = word.split_at(place);
                let halves = [first, second].map(|half| self.term(half, true));
                if halves.iter().any(|half| !half.has_whole()) {
                    continue;
                }
                let rest = words[..at].iter().chain(&words[at + 1..]);
                plans.push(rest.map(|word| self.term(word, true)).chain(halves).collect());
            }
        }
        plans
    }

    /// The query with similar words beside its own.
    fn corrected(&self, words: &[String]) -> Vec<Vec<Term>> {
        let mut terms: Vec<Term> = words.iter().map(|word| self.term(word, true)).collect();
        let mut rarest: Vec<usize> = (0..words.len()).collect();
        rarest.retain(|&at| tolerance(&words[at]) > 0);
        rarest.sort_by_key(|&at| self.count(&terms[at]));
        rarest.truncate(MAX_CORRECTED);
        for &at in &rarest {
            terms[at].ranges.extend(self.similar(&words[at]));
        }
        if rarest.is_empty() { Vec::new() } else { vec![terms] }
    }

    /// Words of the vocabulary that may be meant by a misspelt one.
    fn similar(&self, word: &str) -> Vec<(Range<u32>, u32)> {
        let (tolerance, own) = (tolerance(word), letters(word));
        let mut found = Vec::new();
        for (at, known) in self.words.iter().enumerate() {
            // Each typing error changes the letters by two at most.
            if (self.letters[at] ^ own).count_ones() as usize > 2 * tolerance
                || known.len().abs_diff(word.len()) > tolerance
                || known.starts_with(YEAR)
            {
                continue;
            }
            // With two errors the first letter is right, or too much would be similar.
            let errors = strsim::osa_distance(known, word);
            if errors <= tolerance && (errors < 2 || known.as_bytes()[0] == word.as_bytes()[0]) {
                found.push((errors, Reverse(self.starts[at + 1] - self.starts[at]), at as u32));
            }
        }
        found.sort_unstable();
        found.truncate(MAX_SIMILAR);
        let weight = |errors| (SIMILAR + 1).saturating_sub(errors as u32);
        found.into_iter().map(|(errors, _, at)| (at..at + 1, weight(errors))).collect()
    }

    /// What matches a word of a query as it is typed. The beginning of a year counts from its third
    /// digit on. A numeral of one letter is one beside other words only.
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

    /// The range of those words that begin with `prefix` and are `wanted`, which must be the first of them.
    fn beginning_with(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Range<u32> {
        let first = self.words.partition_point(|word| **word < *prefix);
        let many =
            self.words[first..].partition_point(|word| word.starts_with(prefix) && wanted(word));
        first as u32..(first + many) as u32
    }

    /// How many postings a term has, those of several ranges counted several times.
    fn count(&self, term: &Term) -> usize {
        let postings = |range: &Range<u32>| self.postings_of(range).len();
        term.ranges.iter().map(|(range, _)| postings(range)).sum()
    }

    fn postings_of(&self, range: &Range<u32>) -> &[MovieIndex] {
        &self.postings
            [self.starts[range.start as usize] as usize..self.starts[range.end as usize] as usize]
    }

    /// The movies that match all terms, with what the matches count together.
    fn match_all(&self, mut terms: Vec<Term>, mut found: impl FnMut(MovieIndex, u32)) {
        terms.sort_by_cached_key(|term| self.count(term));
        terms.truncate(MAX_WORDS);
        let Some(rarest) = terms.first() else { return };
        let mut candidates = vec![0_u64; self.keys.len().div_ceil(64)];
        for (range, _) in &rarest.ranges {
            for movie in self.postings_of(range) {
                candidates[movie.at() / 64] |= 1 << (movie.at() % 64);
            }
        }
        for (block, mut bits) in candidates.into_iter().enumerate() {
            while bits != 0 {
                let at = block * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let own = &self.movie_words
                    [self.movie_starts[at] as usize..self.movie_starts[at + 1] as usize];
                let weights = terms.iter().map(|term| term.weight(own));
                if let Some(weight) = weights.sum::<Option<u32>>() {
                    found(MovieIndex(at as u32), weight);
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

    /// What a match with a movie's words counts; `None` without one. The ranges come with descending
    /// weights.
    fn weight(&self, words: &[u32]) -> Option<u32> {
        let has = |range: &Range<u32>| {
            let first = words.iter().find(|word| **word >= range.start);
            first.is_some_and(|word| *word < range.end)
        };
        self.ranges.iter().find(|(range, _)| has(range)).map(|(_, weight)| *weight)
    }
}

fn movie_of(merit: Merit) -> MovieIndex {
    MovieIndex(!(merit as u32))
}

/// The matches from place `offset` on in the order of merit, best first; at most `limit`.
fn part(matches: &mut [Merit], offset: usize, limit: usize) -> &[Merit] {
    if offset >= matches.len() || limit == 0 {
        return &[];
    }
    let rest = if offset > 0 {
        matches.select_nth_unstable_by_key(offset, |&merit| Reverse(merit));
        &mut matches[offset..]
    } else {
        matches
    };
    if limit < rest.len() {
        rest.select_nth_unstable_by_key(limit - 1, |&merit| Reverse(merit));
    }
    let len = limit.min(rest.len());
    let page = &mut rest[..len];
    page.sort_unstable_by_key(|&merit| Reverse(merit));
    page
}

/// How many typing errors a word may have.
fn tolerance(word: &str) -> usize {
    match word.len() {
        _ if is_number(word) => 0,
        0..=3 => 0,
        4..=7 => 1,
        8..=LONGEST_WORD => 2,
        _ => 0,
    }
}

/// The letters and digits of a word as a set.
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
        TitleIndex::new(Movies::new(records.collect()).unwrap().as_slice())
    }

    /// All matches; the later a movie, the more popular.
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
    fn case_accents_order_and_signs_do_not_matter() {
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
    fn whole_words_come_before_popularity() {
        assert_eq!(found("lant"), [2, 0]);
        assert_eq!(found("lantern"), [0, 2]);
        assert_eq!(found("lanterns"), [2]);
    }

    #[test]
    fn nothing_matches_nothing() {
        for query in ["", "  ", "!?", "lantern zebra", "xyz"] {
            assert_eq!(found(query), [0; 0], "{query:?}");
        }
    }

    #[test]
    fn a_page_is_a_part_of_the_list_and_the_count_is_of_all() {
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
    fn exact_titles_come_first_and_years_last() {
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
        // A digit is no year.
        assert_eq!(all(&index, "lantern 1"), [0; 0]);
    }

    #[test]
    fn numerals_are_found_in_both_notations() {
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
    fn words_may_be_joined_or_divided() {
        let index = index(&[("Night-Man", 2002), ("Nightman", 1990), ("Star Boats", 1977)]);
        assert_eq!(all(&index, "nightman"), [1, 0]);
        assert_eq!(all(&index, "night man"), [1, 0]);
        assert_eq!(all(&index, "starboats"), [2]);
        assert_eq!(all(&index, "the starboats"), [0; 0]);
    }

    #[test]
    fn typing_errors_are_forgiven_in_longer_words_alone() {
        let index = index(&[("Lantern, The", 1994), ("Harbour of Violins", 2001), ("Cat", 1990)]);
        for query in ["lantrn", "latnern", "lanternn", "the lentern", "lantarn 1994"] {
            assert_eq!(all(&index, query), [0], "{query}");
        }
        assert_eq!(all(&index, "harbor voilins"), [1]);
        for query in ["cta", "lntrn", "lantrn 1995", "lantern 2001"] {
            assert_eq!(all(&index, query), [0; 0], "{query}");
        }
        // What is found as it is typed is not mixed with what is similar.
        assert_eq!(all(&index, "cat"), [2]);
    }

    #[test]
    fn queries_of_any_size_are_answered() {
        let index = index(&[("Lantern, The", 1994), ("A B C D E", 2001)]);
        let many: Vec<String> = (0..200).map(|at| format!("word{at}")).collect();
        let many = many.join(" ");
        for query in [&*many, &*"a b c d e ".repeat(50), &*"x".repeat(5000), "~1994", "~"] {
            all(&index, query);
        }
        assert_eq!(all(&index, &"a b c d e ".repeat(50)), [1]);
    }
}
