//! Small data folders with known titles and numbers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

/// A title that would run a script if it were ever taken for markup.
pub(crate) const IMAGE_TITLE: &str = "<img src=x onerror=alert(1)> & \"Quoted\"";
/// Another one.
pub(crate) const SCRIPT_TITLE: &str = "<script>window.hacked = true</script>";

/// Movies 1 to `MOVIES`.
pub(crate) const MOVIES: usize = 60;
/// How many movies user 1 has rated.
pub(crate) const HISTORY: usize = 25;

/// A MovieLens folder.
///
/// * Movie 1 and 2 have markup in their titles; 3 is filed as "Lantern, The"; 4 has neither year nor genre; the
///   others are "Quiet Harbour 05 (1905)" and so on, all of them dramas, and each third one a comedy too.
/// * User 1 has rated movies 1 to 25, in that order; users 2 to 9 have rated movie 30 and onwards, fewer and
///   fewer of them, so that movie 30 is the most popular of those that user 1 has not seen.
/// * `embeddings` puts user 1 nearest to movie 60, then 59, and so on.
pub(crate) fn write(embeddings: bool) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let mut movies = String::from("movieId,title,genres\n");
    let mut links = String::from("movieId,imdbId,tmdbId\n");
    for id in 1..=MOVIES {
        match id {
            1 => writeln!(movies, "1,\"{} (2001)\",Drama", IMAGE_TITLE.replace('"', "\"\""))?,
            2 => writeln!(movies, "2,{SCRIPT_TITLE} (2002),Drama")?,
            3 => writeln!(movies, "3,\"Lantern, The (1995)\",Drama|Mystery")?,
            4 => writeln!(movies, "4,Nameless Shore,(no genres listed)")?,
            _ => {
                let genres = if id % 3 == 0 { "Comedy|Drama" } else { "Drama" };
                writeln!(movies, "{id},Quiet Harbour {id:02} ({}),{genres}", 1900 + id)?;
            }
        }
        // Movie 4 is on neither site.
        if id == 4 {
            writeln!(links, "4,,")?;
        } else {
            writeln!(links, "{id},{:07},{}", 100_000 + id, 700 + id)?;
        }
    }
    let mut ratings = String::from("userId,movieId,rating,timestamp\n");
    for movie in 1..=HISTORY {
        let score = if movie % 2 == 0 { "3.5" } else { "4.5" };
        writeln!(ratings, "1,{movie},{score},{}", 1_000_000_000 + movie * 86_400)?;
    }
    for user in 2..=9 {
        for movie in 30..=(MOVIES - user) {
            // Fewer and fewer users reach the later movies.
            if movie < 30 + (10 - user) * 4 {
                writeln!(ratings, "{user},{movie},4.0,{}", 1_100_000_000 + user * 1_000 + movie)?;
            }
        }
    }
    fs::write(folder.path().join("movies.csv"), movies)?;
    fs::write(folder.path().join("links.csv"), links)?;
    fs::write(folder.path().join("ratings.csv"), ratings)?;
    if embeddings {
        write_embeddings(folder.path())?;
    }
    Ok(folder)
}

/// A MovieLens folder with one movie for each of these genres, all rated by user 1.
pub(crate) fn with_genres(genres: &[&str]) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let mut movies = String::from("movieId,title,genres\n");
    let mut links = String::from("movieId,imdbId,tmdbId\n");
    let mut ratings = String::from("userId,movieId,rating,timestamp\n");
    for (genre, id) in genres.iter().zip(1..) {
        writeln!(movies, "{id},Quiet Harbour {id:02} (19{id:02}),\"{genre}\"")?;
        writeln!(links, "{id},,")?;
        writeln!(ratings, "1,{id},4.0,{}", 1_000_000_000 + id)?;
        writeln!(ratings, "2,{id},3.0,{}", 1_000_000_000 + id)?;
    }
    // Something that users 1 and 2 can be recommended.
    writeln!(movies, "99,Still Harbour (1999),\"{}\"", genres.join("|"))?;
    writeln!(links, "99,,")?;
    writeln!(ratings, "3,99,4.0,1000000000")?;
    fs::write(folder.path().join("movies.csv"), movies)?;
    fs::write(folder.path().join("links.csv"), links)?;
    fs::write(folder.path().join("ratings.csv"), ratings)?;
    Ok(folder)
}

fn write_embeddings(folder: &Path) -> Result<()> {
    let mut items = String::new();
    for id in 1..=MOVIES {
        // From a right angle to user 1's direction round to the direction itself.
        let angle = (MOVIES - id) as f64 / MOVIES as f64 * std::f64::consts::FRAC_PI_2;
        writeln!(items, "{id}:{:.6} {:.6}", angle.cos(), angle.sin())?;
    }
    let mut users = String::new();
    for id in 1..=9 {
        writeln!(users, "{id}:1.0 0.0")?;
    }
    fs::write(folder.join("item2vecEmb.csv"), items)?;
    fs::write(folder.join("userEmb.csv"), users)?;
    Ok(())
}
