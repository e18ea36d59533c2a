//! Reads the movies of a data set with their genres and links.

use std::collections::HashMap;

use memchr::memmem;
use sparrow_model::{MovieId, MovieRecord, Movies, split_year};

use crate::links::{self, SkippedLinks};
use crate::reader::{CsvReader, lines, parse_digits, parse_id, wrong_columns};
use crate::report::{BadLines, excerpt};
use crate::source::{Format, Input, Source};
use crate::{BadLine, Error};

/// The genre field of a movie without genres.
pub(crate) const NO_GENRES: &str = "(no genres listed)";

/// The genres of ml-100k in the order of its flags, the default for folders without `u.genre`.
const ML_100K_GENRES: [&str; 19] = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// Number of columns of `u.item` before the genre flags: id, title, release date, video release date, URL.
const ML_100K_COLUMNS: usize = 5;

/// The record index and the line number of each movie.
pub(crate) type MovieRows = HashMap<MovieId, (usize, u64)>;

/// Reads the movies and their links.
pub(crate) fn read(source: &Source, bad: &mut BadLines) -> Result<(Movies, SkippedLinks), Error> {
    let content = source.movies.read()?;
    let mut list =
        MovieList { file: &source.movies.name, bad, records: Vec::new(), known: HashMap::new() };
    match source.format {
        Format::Latest => list.read_csv(&content)?,
        Format::Ml1m => list.read_dat(&content),
        Format::Ml100k => list.read_item(&content, source.extra.as_ref())?,
    }
    let MovieList { mut records, known, .. } = list;
    let skipped_links = match (source.format, &source.extra) {
        (Format::Latest, Some(file)) => links::read(file, &mut records, &known)?,
        _ => SkippedLinks::default(),
    };
    let movies = Movies::new(records)
        .map_err(|error| Error::Model { file: source.movies.name.clone(), source: error })?;
    Ok((movies, skipped_links))
}

struct MovieList<'a> {
    file: &'a str,
    bad: &'a mut BadLines,
    records: Vec<MovieRecord>,
    known: MovieRows,
}

impl MovieList<'_> {
    fn read_csv(&mut self, content: &[u8]) -> Result<(), Error> {
        let (mut reader, [id, title, genres]) =
            CsvReader::new(self.file, content, ["movieId", "title", "genres"])?;
        while let Some((line, fields)) = reader.next() {
            let added = fields.and_then(|fields| {
                let genres = text(fields.get(genres)).split('|');
                self.add(line, fields.get(id), text(fields.get(title)), genres)
            });
            self.record_error(line, added);
        }
        Ok(())
    }

    /// Reads `id::title::genre|genre`; the title may contain `::`.
    fn read_dat(&mut self, content: &[u8]) {
        for (line, row) in lines(content) {
            let fields = row.split_once("::").and_then(|(id, rest)| {
                let (title, genres) = rest.rsplit_once("::")?;
                Some((id, title, genres))
            });
            let added = match fields {
                Some((id, title, genres)) => {
                    self.add(line, id.as_bytes(), title, genres.split('|'))
                }
                None => Err(wrong_columns(3, memmem::find_iter(row.as_bytes(), "::").count() + 1)),
            };
            self.record_error(line, added);
        }
    }

    fn read_item(&mut self, content: &[u8], genre_file: Option<&Input>) -> Result<(), Error> {
        let names = match genre_file {
            Some(file) => read_genre_names(file)?,
            None => ML_100K_GENRES.map(str::to_owned).to_vec(),
        };
        for (line, row) in lines(content) {
            let fields: Vec<&str> = row.split('|').collect();
            let added = self.add_item(line, &fields, &names);
            self.record_error(line, added);
        }
        Ok(())
    }

    fn add_item(&mut self, line: u64, fields: &[&str], names: &[String]) -> Result<(), String> {
        let columns = ML_100K_COLUMNS + names.len();
        if fields.len() != columns {
            return Err(wrong_columns(columns, fields.len()));
        }
        let mut genres = Vec::new();
        for (name, &flag) in names.iter().zip(&fields[ML_100K_COLUMNS..]) {
            match flag {
                "0" => {}
                "1" if name == "unknown" => {}
                "1" => genres.push(name.as_str()),
                other => {
                    let other = excerpt(other.as_bytes());
                    return Err(format!("the flag of genre {name} is {other}, expected 0 or 1"));
                }
            }
        }
        self.add(line, fields[0].as_bytes(), fields[1], genres)
    }

    fn add<'a>(
        &mut self,
        line: u64,
        id_field: &[u8],
        title: &str,
        genres: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), String> {
        let movie = MovieId(parse_id("movieId", id_field)?);
        let (title, year) = split_year(title);
        if title.is_empty() {
            return Err("the title is empty".to_owned());
        }
        if let Some((_, earlier)) = self.known.get(&movie) {
            return Err(format!("duplicate movieId {movie}, first in line {earlier}"));
        }
        self.known.insert(movie, (self.records.len(), line));
        self.records.push(MovieRecord {
            id: movie,
            title: title.to_owned(),
            year,
            genres: genres
                .into_iter()
                .map(str::trim)
                .filter(|genre| !genre.is_empty() && *genre != NO_GENRES)
                .map(str::to_owned)
                .collect(),
            imdb_id: None,
            tmdb_id: None,
        });
        Ok(())
    }

    fn record_error(&mut self, line: u64, added: Result<(), String>) {
        if let Err(message) = added {
            self.bad.push(self.file, line, message);
        }
    }
}

/// Reads `u.genre`: lines `name|number`, with numbers from 0 in the order of the flags.
fn read_genre_names(input: &Input) -> Result<Vec<String>, Error> {
    let content = input.read()?;
    let mut names = Vec::new();
    for (line, row) in lines(&content) {
        let fields = row.split_once('|');
        let numbered = |(_, number): &(&str, &str)| {
            parse_digits(number.as_bytes()).is_some_and(|number| number as usize == names.len())
        };
        let Some((name, _)) = fields.filter(numbered) else {
            let message = format!("{} is not `name|{}`", excerpt(row.as_bytes()), names.len());
            return Err(Error::Malformed(BadLine { file: input.name.clone(), line, message }));
        };
        names.push(name.to_owned());
    }
    Ok(names)
}

/// Decodes a field that [`CsvReader`] has validated.
fn text(field: &[u8]) -> &str {
    str::from_utf8(field).unwrap_or_default()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::samples::{bad_lines, genres, load, ratings};

    const NO_RATINGS: (&str, &[u8]) = ("ratings.csv", b"userId,movieId,rating,timestamp\n");

    #[test]
    fn movies_with_all_csv_features_are_read() {
        let movies = "\u{feff}movieId,title,genres\r\n\
            12,\"Lantern, The (1994)\",Comedy|Drama\r\n\
            \r\n\
            3,\"The \"\"Inner\"\" Sea (2001) \",(no genres listed)\r\n\
            7,\"Two\r\nLines\",Drama||Film-Noir\r\n\
            99,Æther Øre (2009– ),\r\n";
        let links = "movieId,imdbId,tmdbId\n3,0004567,\n12,,862\n5,1,1\n99,,\n";
        let files =
            [("movies.csv", movies.as_bytes()), ("links.csv", links.as_bytes()), NO_RATINGS];
        let loaded = load(&files, 0).unwrap();
        let catalog = &loaded.catalog;
        let listed: Vec<_> = catalog
            .movies()
            .iter()
            .map(|movie| {
                let ids = (movie.imdb_id.as_deref(), movie.tmdb_id.as_deref());
                (movie.id.0, &*movie.title, movie.year, genres(catalog, movie), ids)
            })
            .collect();
        assert_eq!(
            listed,
            [
                (3, "The \"Inner\" Sea", Some(2001), vec![], (Some("0004567"), None)),
                (7, "Two\r\nLines", None, vec!["Drama", "Film-Noir"], (None, None)),
                (12, "Lantern, The", Some(1994), vec!["Comedy", "Drama"], (None, Some("862"))),
                (99, "Æther Øre (2009– )", None, vec![], (None, None)),
            ]
        );
        let report = &loaded.report;
        assert_eq!((report.movies, report.movies_without_year), (4, 2));
        assert_eq!((report.movies_without_genres, report.unknown_links), (2, 1));
        assert_eq!(
            report.to_string(),
            "MovieLens CSV: 4 movies (2 without a year, 2 without genres), 0 users, 0 ratings\n\
             1 link of unknown movies skipped"
        );
    }

    #[test]
    fn malformed_movies_are_bad_lines() {
        let long = "9".repeat(50);
        let movies = [
            &b"movieId,title,genres\n1,Lantern,Drama\n-2,Minus,Drama\n0,Naught,Drama\n"[..],
            b"4294967296,Huge,Drama\nx\xe9,Letters,Drama\n,Blank,Drama\n5,  ,Drama\n5,\"\",Drama\n",
            b"1,Again,Drama\n6,Comma, Missing,Drama\n7,Short\n8,Sea \xe9,Drama\n\n",
            long.as_bytes(),
            b",Long,Drama\r\n9,\"Open,Drama\n",
        ]
        .concat();
        assert_eq!(
            bad_lines(&[("movies.csv", &movies), NO_RATINGS]),
            [
                "movies.csv:3: movieId is \"-2\", not an integer from 1 to 4294967295",
                "movies.csv:4: movieId is \"0\", not an integer from 1 to 4294967295",
                "movies.csv:5: movieId is \"4294967296\", not an integer from 1 to 4294967295",
                "movies.csv:6: \"x\\xe9\" is not UTF-8",
                "movies.csv:7: movieId is \"\", not an integer from 1 to 4294967295",
                "movies.csv:8: the title is empty",
                "movies.csv:9: the title is empty",
                "movies.csv:10: duplicate movieId 1, first in line 2",
                "movies.csv:11: expected 3 columns, found 4",
                "movies.csv:12: expected 3 columns, found 2",
                "movies.csv:13: \"Sea \\xe9\" is not UTF-8",
                &format!(
                    "movies.csv:15: movieId is \"{}\"…, not an integer from 1 to 4294967295",
                    &long[..40]
                ),
                "movies.csv:16: quoted field without a closing quote",
            ]
        );
    }

    #[test]
    fn stray_quotes_invalidate_only_their_lines() {
        let movies = b"movieId,title,genres\n1,\"Lantern (1994),Drama\n2,Sea (2001),Drama\n\
            3,Harbour (1950),War\n4,\"Night\" Watch (1999),Thriller\n\
            5,Great \"River\" (1999),Drama\n6,\"Isle (1990),Drama\n7,Cape (1991)\",War\n";
        let files = [("movies.csv", &movies[..]), NO_RATINGS];
        let bare = "quote inside an unquoted field";
        assert_eq!(
            bad_lines(&files),
            [
                "movies.csv:2: text after a closing quote",
                "movies.csv:5: text after a closing quote",
                &format!("movies.csv:6: {bare}"),
                "movies.csv:7: quoted field contains the next record: a closing quote is missing",
                &format!("movies.csv:8: {bare}"),
            ]
        );
        let catalog = load(&files, 5).unwrap().catalog;
        let titles: Vec<&str> = catalog.movies().iter().map(|movie| &*movie.title).collect();
        assert_eq!(titles, ["Sea", "Harbour"]);
    }

    #[test]
    fn titles_written_by_spark_are_read() {
        let movies = br#"movieId,title,genres
1,"\"Great Performances\" Cats (1998)",Musical
2,"Lantern, \"The\" (1999)",Drama
3,"The ""Inner"" Sea (2001)",Drama
"#;
        let movies = String::from_utf8_lossy(movies).replace("\\\\", "\\");
        let loaded = load(&[("movies.csv", movies.as_bytes()), NO_RATINGS], 0).unwrap();
        let titles: Vec<&str> = loaded.catalog.movies().iter().map(|movie| &*movie.title).collect();
        let expected = ["\"Great Performances\" Cats", "Lantern, \"The\"", "The \"Inner\" Sea"];
        assert_eq!(titles, expected);
    }

    #[test]
    fn byte_order_marks_are_skipped_in_the_old_formats() {
        let mark = |text: &str| format!("\u{feff}{text}").into_bytes();
        let (movies, ratings_dat) = (mark("7::Sea (1999)::Drama\n"), mark("1::7::5::9\n"));
        let files = [("movies.dat", &movies[..]), ("ratings.dat", &ratings_dat)];
        let catalog = load(&files, 0).unwrap().catalog;
        assert_eq!(ratings(&catalog), [(1, 7, 10, 9)]);

        let (items, data) = (mark(&item("7|Sea (1999)|||", &[1])), mark("1\t7\t5\t9\n"));
        let names: Vec<String> = (0..19).map(|n| format!("Kind {n}|{n}\n")).collect();
        let names = mark(&names.concat());
        let files = [("u.item", &items[..]), ("u.data", &data), ("u.genre", &names)];
        let catalog = load(&files, 0).unwrap().catalog;
        assert_eq!(genres(&catalog, &catalog.movies()[0]), ["Kind 1"]);
        assert_eq!(ratings(&catalog), [(1, 7, 10, 9)]);
        let names: Vec<&str> = catalog.genres().iter().map(|g| catalog.genres().name(g)).collect();
        assert_eq!(names, ["Kind 1"]);
    }

    #[test]
    fn encoding_is_detected_per_line() {
        let movies =
            b"1::Caf\xc3\xa9 (1999)::Drama\n2::Caf\xe9 (1998)::Drama\n3::\x93Sea\x94 \x96 (1997)::Drama\n";
        let catalog = load(&[("movies.dat", movies), ("ratings.dat", b"")], 0).unwrap().catalog;
        let titles: Vec<&str> = catalog.movies().iter().map(|movie| &*movie.title).collect();
        assert_eq!(titles, ["Café", "Café", "“Sea” –"]);
    }

    #[test]
    fn no_movies_or_more_than_64_genres_is_an_error() {
        let no_movies = [("movies.csv", &b"movieId,title,genres\r\n"[..]), NO_RATINGS];
        assert_eq!(load(&no_movies, 0).unwrap_err().to_string(), "no movies in set/movies.csv");
        let missing = [("movies.csv", &b"movieId,genres\n1,Drama\n"[..]), NO_RATINGS];
        assert_eq!(
            load(&missing, 0).unwrap_err().to_string(),
            "set/movies.csv: missing column title in the header row \"movieId,genres\""
        );
        let genres: Vec<String> = (0..65).map(|n| format!("g{n:02}")).collect();
        let movies = format!("movieId,title,genres\n1,Everything,{}\n", genres.join("|"));
        let error = load(&[("movies.csv", movies.as_bytes()), NO_RATINGS], 0).unwrap_err();
        assert_eq!(error.to_string(), "set/movies.csv cannot be loaded");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("the 65th is \"g64\""), "{cause}");
    }

    #[test]
    fn bad_movies_are_reported_before_dependent_ratings() {
        let movies = b"movieId,title,genres\n1,Lantern,Drama\n2,Sh\n";
        let ratings = b"userId,movieId,rating,timestamp\n1,1,4,5\n1,2,4,5\n";
        let files = [("movies.csv", &movies[..]), ("ratings.csv", ratings)];
        assert_eq!(
            load(&files, 0).unwrap_err().to_string(),
            "1 bad line, more than --max-bad-lines=0:\n  \
             set/movies.csv:3: expected 3 columns, found 2"
        );
        assert_eq!(
            load(&files, 1).unwrap_err().to_string(),
            "2 bad lines, more than --max-bad-lines=1:\n  \
             set/movies.csv:3: expected 3 columns, found 2\n  \
             set/ratings.csv:3: movieId 2 is not in movies.csv"
        );
        let report = load(&files, 2).unwrap().report;
        assert_eq!((report.ratings, report.bad_line_count), (1, 2));
        assert!(
            report
                .to_string()
                .contains("\n2 bad lines skipped:\n  set/movies.csv:3: expected 3 columns")
        );
    }

    #[test]
    fn ml_1m_is_decoded_from_latin_1() {
        let files = [
            (
                "movies.dat",
                &b"7::Caf\xe9 :: Night (1999)::Drama|Children's\r\n\
                   2::Lantern, The (1994)::Comedy\r\n"[..],
            ),
            ("ratings.dat", b"1::7::5::978300760\n1::2::3::978302109\n2::7::1::978301968\n"),
            ("users.dat", b"1::F::1::10::48067\n"),
        ];
        let loaded = load(&files, 0).unwrap();
        let catalog = &loaded.catalog;
        assert_eq!(loaded.report.format.to_string(), "MovieLens 1M");
        let movie = &catalog.movies()[1];
        assert_eq!((movie.id.0, &*movie.title, movie.year), (7, "Café :: Night", Some(1999)));
        assert_eq!(genres(catalog, movie), ["Drama", "Children's"]);
        assert_eq!(
            ratings(catalog),
            [(1, 7, 10, 978_300_760), (1, 2, 6, 978_302_109), (2, 7, 2, 978_301_968)]
        );
    }

    #[test]
    fn ml_1m_reads_utf_8_and_reports_bad_lines() {
        let files = [
            ("movies.dat", "7::Café (1999)::Drama\n\n8::Short\n9\n7::Café::Drama\n".as_bytes()),
            ("ratings.dat", b"1::7::5\n1::7::5::9::9\n1:7:5:9\n1::7::6::9\n1::7::4.5::9\n"),
        ];
        assert_eq!(
            bad_lines(&files),
            [
                "movies.dat:3: expected 3 columns, found 2",
                "movies.dat:4: expected 3 columns, found 1",
                "movies.dat:5: duplicate movieId 7, first in line 1",
                "ratings.dat:1: expected 4 columns, found 3",
                "ratings.dat:2: expected 4 columns, found 5",
                "ratings.dat:3: expected 4 columns, found 1",
                "ratings.dat:4: rating is \"6\", expected 0.5, 1.0, … 5.0",
            ]
        );
        let catalog = load(&files, 7).unwrap().catalog;
        assert_eq!(&*catalog.movies()[0].title, "Café");
        assert_eq!(ratings(&catalog), [(1, 7, 9, 9)]);
    }

    /// Formats a row of `u.item` with these genre flags set.
    fn item(start: &str, genres: &[usize]) -> String {
        let flags: Vec<&str> =
            (0..19).map(|flag| if genres.contains(&flag) { "1" } else { "0" }).collect();
        format!("{start}|{}\n", flags.join("|"))
    }

    #[test]
    fn ml_100k_is_decoded_from_latin_1() {
        let rows = [
            item("1|Lantern, The (1994)|01-Jan-1994||http://lantern.example/", &[5, 1]),
            item("3|unknown|||", &[0]),
            item("2|Caf# (1996)|01-Jan-1996||", &[18, 0]),
        ];
        let items: Vec<u8> =
            rows.concat().bytes().map(|b| if b == b'#' { 0xe9 } else { b }).collect();
        let data = b"196\t2\t3\t881250949\n186\t3\t5\t891717742\n";
        let plain = load(&[("u.item", &items), ("u.data", data)], 0).unwrap();
        let listed: Vec<_> = plain
            .catalog
            .movies()
            .iter()
            .map(|movie| (&*movie.title, movie.year, genres(&plain.catalog, movie)))
            .collect();
        assert_eq!(
            listed,
            [
                ("Lantern, The", Some(1994), vec!["Action", "Comedy"]),
                ("Café", Some(1996), vec!["Western"]),
                ("unknown", None, vec![]),
            ]
        );
        let expected = [(186, 3, 10, 891_717_742), (196, 2, 6, 881_250_949)];
        assert_eq!(ratings(&plain.catalog), expected);
        assert_eq!(plain.report.format.to_string(), "MovieLens 100K");

        let mut kinds: Vec<String> = (0..19).map(|n| format!("Kind {n}|{n}")).collect();
        kinds[0] = "unknown|0".to_owned();
        let kinds = kinds.join("\r\n") + "\r\n\r\n";
        let files = [("u.item", &items[..]), ("u.data", data), ("u.genre", kinds.as_bytes())];
        let named = load(&files, 0).unwrap().catalog;
        assert_eq!(genres(&named, &named.movies()[0]), ["Kind 1", "Kind 5"]);
        assert_eq!(genres(&named, &named.movies()[1]), ["Kind 18"]);
    }

    #[test]
    fn ml_100k_malformed_rows_are_bad_lines() {
        let rows = [
            item("1|Lantern|||", &[1]),
            "2|Short|||\n".to_owned(),
            item("3|Flag|||", &[]).replace("|0\n", "|7\n"),
        ]
        .concat();
        let files = [("u.item", rows.as_bytes()), ("u.data", b"1 1 3 5\n1\t1\t3\t\n1\t1\t3\t5")];
        assert_eq!(
            bad_lines(&files),
            [
                "u.item:2: expected 24 columns, found 5",
                "u.item:3: the flag of genre Western is \"7\", expected 0 or 1",
                "u.data:1: expected 4 columns, found 1",
                "u.data:2: timestamp is \"\", not an integer from 0 to 4294967295",
            ]
        );
        let error =
            load(&[files[0], files[1], ("u.genre", b"unknown|0\nAction\n")], 9).unwrap_err();
        assert_eq!(error.to_string(), "set/u.genre:2: \"Action\" is not `name|1`");
    }
}
