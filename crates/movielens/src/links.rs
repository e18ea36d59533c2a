//! Reads `links.csv`, the ids of movies at IMDb and TMDB. Errors never fail the load: malformed entries are skipped
//! and listed.

use std::collections::HashMap;

use sparrow_model::{MovieId, MovieRecord};

use crate::Error;
use crate::movies::MovieRows;
use crate::reader::{CsvReader, WithOptional, parse_id, strip_zero_fraction};
use crate::report::{BadLines, excerpt};
use crate::source::Input;

/// Links that were skipped.
#[derive(Debug, Default)]
pub(crate) struct SkippedLinks {
    /// Number of rows for unknown movies.
    pub(crate) unknown: usize,
    /// Malformed rows and ids.
    pub(crate) bad: BadLines,
}

/// The IMDb and TMDB ids of a movie.
type Ids = [Option<String>; 2];

/// The columns of [`Ids`].
const SITES: [&str; 2] = ["imdbId", "tmdbId"];

/// Reads the links into the records.
///
/// # Errors
/// Only [`Error::Digest`]: the file differs from the manifest of the data set.
pub(crate) fn read(
    input: &Input,
    records: &mut [MovieRecord],
    rows: &MovieRows,
) -> Result<SkippedLinks, Error> {
    let mut skipped = SkippedLinks::default();
    let content = match input.read() {
        Ok(content) => content,
        Err(error @ Error::Digest { .. }) => return Err(error),
        Err(error) => {
            skipped.bad.push(&input.name, 1, chain(&error));
            return Ok(skipped);
        }
    };
    let opened = CsvReader::with_optional(&input.name, &content, ["movieId"], SITES);
    let WithOptional { mut reader, needed: [movie], optional: sites } = match opened {
        Ok(opened) => opened,
        Err(error) => {
            skipped.bad.push(&input.name, 1, error.to_string());
            return Ok(skipped);
        }
    };
    let mut linked: HashMap<MovieId, (u64, Ids)> = HashMap::new();
    while let Some((line, fields)) = reader.next() {
        let link = fields.and_then(|fields| {
            let movie = MovieId(parse_id("movieId", fields.get(movie))?);
            Ok((movie, sites.map(|site| site.map_or(&b""[..], |column| fields.get(column)))))
        });
        let mut report = |message: String| skipped.bad.push(&input.name, line, message);
        let (movie, texts) = match link {
            Ok(link) => link,
            Err(message) => {
                report(message);
                continue;
            }
        };
        let mut ids = Ids::default();
        for ((id, text), site) in ids.iter_mut().zip(texts).zip(SITES) {
            match parse_external_id(site, text) {
                Ok(digits) => *id = digits,
                Err(()) => report(format!("{site} is {}, not an id", excerpt(text))),
            }
        }
        let Some(&(index, _)) = rows.get(&movie) else {
            skipped.unknown += 1;
            continue;
        };
        let (earlier, known) = linked.entry(movie).or_insert((line, Ids::default()));
        for ((known, id), site) in known.iter_mut().zip(ids).zip(SITES) {
            match (&known, id) {
                (Some(known), Some(id)) if *known != id => {
                    report(format!(
                        "{site} of movie {movie} is {id}, but {known} in line {earlier}"
                    ));
                }
                (None, id) => *known = id,
                _ => {}
            }
        }
        let [imdb, tmdb] = known;
        records[index].imdb_id.clone_from(imdb);
        records[index].tmdb_id.clone_from(tmdb);
    }
    Ok(skipped)
}

fn chain(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Parses an external id: digits with significant leading zeros, or nothing. IMDb ids may have the prefix `tt`. In
/// columns with missing values, pandas writes `NaN`, adds a zero fraction, and drops leading zeros, of which IMDb ids
/// of at least seven digits are refilled. Strict, because URLs are built from the ids.
fn parse_external_id(site: &str, text: &[u8]) -> Result<Option<String>, ()> {
    let missing: [&[u8]; 6] = [b"nan", b"none", b"null", b"na", b"n/a", b"<na>"];
    if text.is_empty() || missing.iter().any(|missing| text.eq_ignore_ascii_case(missing)) {
        return Ok(None);
    }
    let text = text.strip_prefix(b"tt").unwrap_or(text);
    let digits = strip_zero_fraction(text);
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    let id: String = digits.iter().map(|&digit| char::from(digit)).collect();
    let lost_zeros = site == SITES[0] && digits.len() < text.len();
    Ok(Some(if lost_zeros { format!("{id:0>7}") } else { id }))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::samples::load;

    const MOVIES: (&str, &[u8]) =
        ("movies.csv", b"movieId,title,genres\n1,Lantern,Drama\n2,Harbour,Drama\n3,Sea,Drama\n");
    const NO_RATINGS: (&str, &[u8]) = ("ratings.csv", b"userId,movieId,rating,timestamp\n");

    /// Returns the ids of movies 1, 2 and 3, and the malformed links.
    fn links(content: &str) -> (Vec<[Option<String>; 2]>, Vec<String>) {
        let files = [MOVIES, ("links.csv", content.as_bytes()), NO_RATINGS];
        let loaded = load(&files, 0).unwrap();
        let ids = |movie: &sparrow_model::Movie| {
            [&movie.imdb_id, &movie.tmdb_id].map(|id| id.as_deref().map(str::to_owned))
        };
        let bad = loaded.report.bad_links.iter();
        let bad = bad.map(|bad| bad.to_string().trim_start_matches("set/").to_owned()).collect();
        assert_eq!(loaded.report.bad_line_count, 0);
        (loaded.catalog.movies().iter().map(ids).collect(), bad)
    }

    fn ids(imdb: &str, tmdb: &str) -> [Option<String>; 2] {
        [imdb, tmdb].map(|id| (!id.is_empty()).then(|| id.to_owned()))
    }

    #[test]
    fn links_written_by_pandas_are_parsed() {
        let (read, bad) = links(
            "movieId,imdbId,tmdbId\n1.0,tt0114709,862.0\n2,114709.0,NaN\n3,,nan\n1,tt0114709,862\n",
        );
        assert_eq!(read, [ids("0114709", "862"), ids("0114709", ""), ids("", "")]);
        assert!(bad.is_empty(), "{bad:?}");
    }

    #[test]
    fn missing_id_columns_are_allowed() {
        assert_eq!(links("movieId,imdbId\n2,5\n").0[1], ids("5", ""));
        assert_eq!(links("movieId,tmdbId\n2,5\n").0[1], ids("", "5"));
        let (read, bad) = links("id,imdbId,tmdbId\n2,5,6\n");
        assert_eq!(read[1], ids("", ""));
        assert_eq!(bad.len(), 1);
        assert!(
            bad[0].starts_with("links.csv:1: set/links.csv: missing column movieId"),
            "{bad:?}"
        );
    }

    #[test]
    fn malformed_links_are_skipped_and_listed() {
        let (read, bad) = links(
            "movieId,imdbId,tmdbId\n1,x0114709,1\n2,0114709,862.5\n3,5,6\n3,5,7\nx,1,2\n1,2\n\
             2,/../1,8\n9,x,\n",
        );
        assert_eq!(read, [ids("", "1"), ids("0114709", "8"), ids("5", "6")]);
        assert_eq!(
            bad,
            [
                "links.csv:2: imdbId is \"x0114709\", not an id",
                "links.csv:3: tmdbId is \"862.5\", not an id",
                "links.csv:5: tmdbId of movie 3 is 7, but 6 in line 4",
                "links.csv:6: movieId is \"x\", not an integer from 1 to 4294967295",
                "links.csv:7: expected 3 columns, found 2",
                "links.csv:8: imdbId is \"/../1\", not an id",
                "links.csv:9: imdbId is \"x\", not an id",
            ]
        );
    }

    #[test]
    fn report_lists_skipped_links() {
        let files = [MOVIES, ("links.csv", b"movieId,imdbId,tmdbId\n1,x,1\n7,1,1\n"), NO_RATINGS];
        let report = load(&files, 0).unwrap().report;
        assert_eq!((report.bad_link_count, report.unknown_links), (1, 1));
        let text = report.to_string();
        assert!(
            text.ends_with(
                "\n1 link of unknown movies skipped\n1 malformed link skipped:\n  \
                 set/links.csv:2: imdbId is \"x\", not an id"
            ),
            "{text}"
        );
    }
}
