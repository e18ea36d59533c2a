use std::collections::BTreeMap;

use deunicode::deunicode;

use crate::{Movie, MovieIndex};

/// The answer to a title search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchHits {
    /// How many movies match.
    pub total: usize,
    /// The best of them, best first.
    pub movies: Vec<MovieIndex>,
}

/// An inverted index over the words of titles and their years.
#[derive(Debug)]
pub(crate) struct TitleIndex {
    /// Distinct words in ascending order.
    words: Vec<Box<str>>,
    /// Movies with word `w`, ascending: `postings[starts[w]..starts[w + 1]]`.
    starts: Vec<u32>,
    postings: Vec<MovieIndex>,
}

impl TitleIndex {
    pub(crate) fn new(movies: &[Movie]) -> Self {
        let mut lists: BTreeMap<String, Vec<MovieIndex>> = BTreeMap::new();
        for (at, movie) in movies.iter().enumerate() {
            let mut words = words(&movie.title);
            words.extend(joined(&movie.title));
            words.extend(movie.year.map(|year| year.to_string()));
            words.sort_unstable();
            words.dedup();
            for word in words {
                lists.entry(word).or_default().push(MovieIndex(at as u32));
            }
        }
        let (mut words, mut starts, mut postings) = (Vec::new(), vec![0], Vec::new());
        for (word, list) in lists {
            words.push(word.into());
            postings.extend(list);
            starts.push(postings.len() as u32);
        }
        Self { words, starts, postings }
    }

    pub(crate) fn search(
        &self,
        query: &str,
        limit: usize,
        popularity: impl Fn(MovieIndex) -> u32,
    ) -> SearchHits {
        let mut words = words(query);
        words.sort_unstable();
        words.dedup();
        let mut matches: Option<Vec<(MovieIndex, u32)>> = None;
        for word in &words {
            let found = self.with_prefix(word);
            matches = Some(match matches {
                None => found,
                Some(earlier) => intersect(&earlier, &found),
            });
        }
        let mut matches = matches.unwrap_or_default();
        let total = matches.len();
        let by_merit = |a: &(MovieIndex, u32), b: &(MovieIndex, u32)| {
            (b.1, popularity(b.0), a.0).cmp(&(a.1, popularity(a.0), b.0))
        };
        if limit < total && limit > 0 {
            matches.select_nth_unstable_by(limit - 1, by_merit);
        }
        matches.truncate(limit);
        matches.sort_unstable_by(by_merit);
        SearchHits { total, movies: matches.into_iter().map(|(movie, _)| movie).collect() }
    }

    /// Movies that have a word with this beginning, ascending, with 1 where they have the word itself.
    fn with_prefix(&self, prefix: &str) -> Vec<(MovieIndex, u32)> {
        let first = self.words.partition_point(|word| **word < *prefix);
        let mut found = Vec::new();
        for (at, word) in self.words.iter().enumerate().skip(first) {
            if !word.starts_with(prefix) {
                break;
            }
            let whole = u32::from(**word == *prefix);
            let list = &self.postings[self.starts[at] as usize..self.starts[at + 1] as usize];
            found.extend(list.iter().map(|&movie| (movie, whole)));
        }
        found.sort_unstable_by_key(|&(movie, whole)| (movie, std::cmp::Reverse(whole)));
        found.dedup_by_key(|(movie, _)| *movie);
        found
    }
}

/// Movies in both lists, their whole words added up.
fn intersect(a: &[(MovieIndex, u32)], b: &[(MovieIndex, u32)]) -> Vec<(MovieIndex, u32)> {
    let mut both = Vec::with_capacity(a.len().min(b.len()));
    let mut rest = b.iter().peekable();
    for &(movie, whole) in a {
        while rest.next_if(|(other, _)| *other < movie).is_some() {}
        if let Some((_, more)) = rest.next_if(|(other, _)| *other == movie) {
            both.push((movie, whole + more));
        }
    }
    both
}

/// The words of a text in lower-case ASCII; apostrophes vanish, other signs separate words.
fn words(text: &str) -> Vec<String> {
    let mut plain = deunicode(text);
    plain.make_ascii_lowercase();
    plain.retain(|letter| letter != '\'');
    plain
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What hyphens and the like divide, as one word too: people type `nightlight` for `Night-Light`.
fn joined(title: &str) -> Vec<String> {
    title
        .split_whitespace()
        .map(words)
        .filter(|parts| parts.len() > 1)
        .map(|p| p.concat())
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::Movies;
    use crate::movie::record;

    fn found(query: &str) -> Vec<u32> {
        let movies = Movies::new(vec![
            record(0, "Lantern, The", 1994, &[]),
            record(1, "Amélie's Night-Light", 2001, &[]),
            record(2, "Lanterns of the Night", 1994, &[]),
            record(3, "Æther Øre", 2010, &[]),
        ])
        .unwrap();
        let index = TitleIndex::new(movies.as_slice());
        // The later a movie, the more popular.
        let hits = index.search(query, 10, |movie| movie.0);
        assert_eq!(hits.total, hits.movies.len());
        hits.movies.into_iter().map(|movie| movie.0).collect()
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
    fn the_limit_cuts_the_list_but_not_the_count() {
        let movies: Vec<_> = (0..50).map(|id| record(id, "Same Title", 2000, &[])).collect();
        let index = TitleIndex::new(Movies::new(movies).unwrap().as_slice());
        let hits = index.search("title", 3, |_| 7);
        assert_eq!(
            (hits.total, hits.movies),
            (50, vec![MovieIndex(0), MovieIndex(1), MovieIndex(2)])
        );
    }
}
