//! Fuzz targets of this crate, for `crates/fuzz`; tests replay their corpus.

use std::fs;
use std::path::Path;

use crate::csv::{Limits, Splitter};
use crate::{Options, Source};

/// Splits the records of a CSV file.
///
/// # Panics
/// If the splitter does not advance, or returns more than it read.
pub fn records(data: &[u8]) {
    let mut splitter = Splitter::new(Limits { bytes: 1000, columns: 20 });
    let mut rest = data;
    while let Some(skipped) = rest.iter().position(|byte| !matches!(byte, b'\n' | b'\r')) {
        rest = &rest[skipped..];
        let Ok(len) = splitter.split(rest) else { break };
        assert!((1..=rest.len()).contains(&len), "a record of {len} of {} bytes", rest.len());
        let fields = splitter.fields();
        let bytes: usize = fields.iter().map(<[u8]>::len).sum();
        assert!((1..=20).contains(&fields.len()) && bytes <= len, "{bytes} of {len} bytes");
        rest = &rest[len..];
    }
}

/// Loads a data set with these bytes as one of its files, the first byte selects which. `folder` is a folder that exists;
/// its files are replaced.
///
/// # Panics
/// If the files cannot be written, or the report counts more than they contain.
pub fn data_set(folder: &Path, data: &[u8]) {
    const NAMES: [&str; 3] = ["movies.csv", "ratings.csv", "links.csv"];
    let sound: [&[u8]; 3] = [
        b"movieId,title,genres\n1,Lantern (1994),Drama\n2,Harbour (1950),War\n",
        b"userId,movieId,rating,timestamp\n1,1,4.0,964982703\n7,2,5.0,0\n",
        b"movieId,imdbId,tmdbId\n1,0114709,862\n",
    ];
    let Some((&selector, data)) = data.split_first() else { return };
    let selected = usize::from(selector) % NAMES.len();
    for (index, name) in NAMES.into_iter().enumerate() {
        let content = if index == selected { data } else { sound[index] };
        fs::write(folder.join(name), content).expect("cannot write a file of the data set");
    }
    let loaded = Source::open(folder).and_then(|source| source.load(&Options { max_bad_lines: 9 }));
    if let Ok(loaded) = loaded {
        let lines = memchr::memchr2_iter(b'\n', b'\r', data).count() + 3;
        assert!(loaded.report.movies <= lines && loaded.report.ratings <= lines);
    }
}

#[cfg(test)]
mod tests {
    use sparrow_test_support::corpus;

    use super::*;

    #[test]
    fn corpus_of_csv_files_is_read_without_panics() {
        let seeds: [(&str, &[u8]); 8] = [
            ("movies", b"\0movieId,title,genres\r\n1,\"Lantern, The (1994)\",Comedy|Drama\r\n2,Harbour (1950),War\r\n"),
            ("ratings", b"\x01userId,movieId,rating,timestamp\n1,1,4.0,964982703\n\"1\",2,0.5,2005-04-02 23:53:47\n"),
            ("links", b"\x02movieId,imdbId,tmdbId\n1,tt0114709,862.0\n2,,NaN\n"),
            ("quotes", b"\0movieId,title,genres\n1,\"The \"\"Inner\"\" Sea (2001)\",War\n2,\"a \\\"b\\\" c\",War\n"),
            ("unclosed-quote", b"\0movieId,title,genres\n1,\"Lantern,Drama\n2,Harbour,War\n"),
            ("byte-order-mark", b"\x01\xef\xbb\xbfuserId,movieId,rating,timestamp\n1,1,4.0,1\n"),
            ("no-text", b"\x01PK\x03\x04\0\0\0\0\xff\xfe"),
            ("numbers", b"\x01userId,movieId,rating,timestamp\n99999999999,-1,NaN,1e9\n1,1,5.5,1\n"),
        ];
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (_, data) in corpus("csv", &seeds) {
            records(&data);
            data_set(folder.path(), &data);
        }
    }
}
