//! Small data sets for the tests of this crate.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sparrow_model::{Catalog, Movie};

use crate::ratings::BlockPlan;
use crate::{Error, Loaded, Options, Source};

/// Creates a source from files in memory. Leaks the contents, because `Source::in_memory` requires static data.
pub(crate) fn source(files: &[(&str, &[u8])]) -> Result<Source, Error> {
    let files: Vec<(&str, &'static [u8])> = files
        .iter()
        .map(|(name, content)| (*name, &*Box::leak(content.to_vec().into_boxed_slice())))
        .collect();
    Source::in_memory("set", &files)
}

pub(crate) fn load(files: &[(&str, &[u8])], max_bad_lines: usize) -> Result<Loaded, Error> {
    source(files)?.load(&Options { max_bad_lines })
}

/// Compresses with gzip, in two members like tools that append.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    for part in [&content[..content.len() / 3], &content[content.len() / 3..]] {
        let mut encoder = GzEncoder::new(&mut compressed, Compression::fast());
        let _ = encoder.write_all(part);
        drop(encoder);
    }
    compressed
}

/// Formats the bad lines of a data set, without the folder.
pub(crate) fn bad_lines(files: &[(&str, &[u8])]) -> Vec<String> {
    match load(files, 1000) {
        Ok(loaded) => {
            let lines = loaded.report.bad_lines.iter();
            lines.map(|bad| bad.to_string().trim_start_matches("set/").to_owned()).collect()
        }
        Err(error) => vec![format!("error: {error}")],
    }
}

/// Reads in blocks of `block` bytes on `threads` threads.
pub(crate) fn load_blocks(source: &Source, block: u64, threads: usize) -> Result<Loaded, Error> {
    source.load_blocks(&Options { max_bad_lines: 1000 }, BlockPlan { block, threads })
}

/// Returns all ratings as (user id, movie id, half stars, timestamp), in catalogue order.
pub(crate) fn ratings(catalog: &Catalog) -> Vec<(u32, u32, u8, u32)> {
    let mut all = Vec::new();
    for history in catalog.users().iter() {
        all.extend(history.iter().map(|rated| {
            let movie = catalog.movie(rated.movie).id.0;
            (history.user().0, movie, rated.stars.half_stars(), rated.timestamp)
        }));
    }
    all
}

/// Returns the genre names of a movie.
pub(crate) fn genres<'a>(catalog: &'a Catalog, movie: &Movie) -> Vec<&'a str> {
    movie.genres.iter().map(|&genre| catalog.genres().name(genre)).collect()
}
