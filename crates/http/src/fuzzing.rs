//! Fuzz targets of this crate, for `crates/fuzz`; tests replay their corpus.

use crate::parameters::definition::{
    CANDIDATES, GENRE, GENRES, MODEL, OFFSET, Parameter, USER_ID, size,
};
use crate::parameters::query::{Plus, Unknown, decode, parse, path_id};

static PARAMETERS: [Parameter; 7] = [USER_ID, size(20), OFFSET, MODEL, CANDIDATES, GENRE, GENRES];

/// Reads these bytes as a query string with parameters of every kind.
///
/// # Panics
/// If a number is outside of its range.
pub fn query_strings(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    for unknown in [Unknown::Refuse, Unknown::Ignore] {
        let Ok(values) = parse(Some(query), &PARAMETERS, unknown) else { continue };
        let [id, size, offset, model, candidates, genre, genres] = values;
        let _ = (id.id(), id.required(), offset.number(), candidates.choice([false, true]));
        if let Ok(size) = size.number() {
            assert!((1..=1000).contains(&size), "size {size}");
        }
        for text in model.texts().chain(genre.texts()).chain(genres.texts()) {
            assert!(text.len() <= query.len());
        }
    }
    for plus in [Plus::IsSpace, Plus::IsPlus] {
        if let Some(text) = decode(query, plus) {
            assert!(text.len() <= query.len());
        }
    }
    if let Ok(id) = path_id("id", query) {
        assert_eq!(id.to_string(), query);
    }
}

#[cfg(test)]
mod tests {
    use sparrow_test_support::corpus;

    use super::*;

    #[test]
    fn corpus_of_query_strings_is_read_without_panics() {
        let seeds: [(&str, &[u8]); 8] = [
            (
                "all",
                b"id=6&size=10&offset=20&model=emb&candidates=all&genre=Drama&genres=War,Comedy",
            ),
            ("escapes", b"%69d=6&genres=Film-Noir%2CSci%20Fi+x&genres=%C3%9Cber"),
            ("broken-escapes", b"id=%&size=%4&offset=%zz&genres=%e4"),
            ("repeated", b"id=6&id=7"),
            ("repeated-genres", b"genres=War&genres=&genres=Drama"),
            ("unknown", b"_=1&callback=f&id=6"),
            ("numbers", b"id=4294967296&size=01&offset=-1"),
            ("path", b"4294967295"),
        ];
        for (_, data) in corpus("query-strings", &seeds) {
            query_strings(&data);
        }
    }
}
