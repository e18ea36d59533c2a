//! Fuzz test with damaged files: loading returns a data set or an error that names the file.

use sparrow_movielens::{Error, Options, Source};
use sparrow_test_support::random::Random;

const MOVIES: &[u8] = b"movieId,title,genres\r\n1,\"Lantern, The (1994)\",Comedy|Drama\r\n\
    2,\"The \"\"Inner\"\" Sea (2001)\",(no genres listed)\r\n30,Harbour (1950),War\r\n";
const RATINGS: &[u8] =
    b"userId,movieId,rating,timestamp\n1,1,4.0,964982703\n\"1\",30,0.5,2005-04-02 23:53:47\n\
    7,2,5,0\n7,30,3.5,964982703.0\n";
const LINKS: &[u8] = b"movieId,imdbId,tmdbId\n1,tt0114709,862.0\n2,,NaN\n30,0000123,9\n";

/// Applies a few random mutations.
fn mutate(content: &[u8], random: &mut Random) -> Vec<u8> {
    const PIECES: [&[u8]; 12] = [
        b"\"",
        b"\"\"",
        b",",
        b"\n",
        b"\r\n",
        b"\\\"",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"99999999999",
        b"-1",
        b"NaN",
    ];
    let mut content = content.to_vec();
    for _ in 0..=random.below(3) {
        let offset = random.below(content.len() + 1);
        let end = (offset + random.below(8)).min(content.len());
        match random.below(6) {
            0 => content.truncate(offset),
            1 => drop(content.drain(offset..end)),
            2 => {
                let piece = content[offset..end].to_vec();
                let to = random.below(content.len() + 1);
                content.splice(to..to, piece);
            }
            3 if offset < content.len() => content[offset] ^= 1 << random.below(8),
            4 if offset < content.len() => content[offset] = random.below(256) as u8,
            _ => drop(
                content.splice(offset..offset, PIECES[random.below(PIECES.len())].iter().copied()),
            ),
        }
    }
    content
}

#[test]
fn damaged_files_load_or_return_an_error() {
    let mut random = Random(1);
    let (mut read, mut rejected) = (0, 0);
    let rounds = sparrow_test_support::rounds("damaged MovieLens files", 2000, 200_000);
    for round in 0..rounds {
        let mut files = [("movies.csv", MOVIES), ("ratings.csv", RATINGS), ("links.csv", LINKS)];
        let (_, file) = &mut files[round % 3];
        *file = mutate(file, &mut random).leak();
        let source = Source::in_memory("set", &files).expect("the files are there");
        match source.load(&Options { max_bad_lines: 100 }) {
            Ok(loaded) => {
                read += 1;
                assert!(loaded.report.movies <= 8 && loaded.report.ratings <= 12, "{files:?}");
            }
            Err(error) => {
                rejected += 1;
                let names_file = match &error {
                    Error::Io { file, .. }
                    | Error::Header { file, .. }
                    | Error::RepeatedColumn { file, .. }
                    | Error::Separator { file, .. }
                    | Error::OtherKind { file, .. }
                    | Error::NoMovies { file }
                    | Error::Model { file, .. } => file.starts_with("set/"),
                    _ => false,
                };
                assert!(names_file, "{error:?}");
            }
        }
    }
    assert!(read * 2 > rounds && rejected * 50 > rounds, "{read} read, {rejected} rejected");
}
