//! Invents data sets in the MovieLens format: no real film, no real person, but a structure that
//! a recommender can learn from.
//!
//! Each film belongs to a *flavour* (space, haunted houses, costume romance, …), which decides its
//! genres and the words of its title, and within it to a *strand*, which genres do not show. Each
//! user seeks out a few flavours and strands, rates them higher, and otherwise watches what
//! everybody watches. Popularity follows a Zipf-Mandelbrot law; ratings have a user's bias, a film's
//! quality and whim in them; they are given in sessions, after the film came out.
//!
//! Users are independent of each other given the seed, so that they are made in parallel and
//! written in order, and the outcome does not depend on the number of threads.

mod flavours;
mod movies;
mod plan;
mod ratings;
mod titles;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use movies::Movie;
use ratings::Audience;

use crate::Progress;
use crate::staged::{self, Staged};

/// Which random stream is for what; users have one each, from the last number on.
const STREAM_MOVIES: u64 = 1;
const STREAM_USERS: u64 = 2;
const STREAM_RATINGS: u64 = 1 << 32;

/// Users that a thread makes at a time.
const BLOCK: usize = 256;

/// The most movies that titles are invented for.
pub const MOST_MOVIES: u32 = 1_000_000;
/// The most users.
pub const MOST_USERS: u32 = 100_000_000;

/// How large a data set is: exactly so many of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Users, each with at least one rating, and with 20 where there are enough of them.
    pub users: u32,
    /// Movies, whether or not anybody rated them.
    pub movies: u32,
    /// Ratings; from one per user to one per user and movie.
    pub ratings: u64,
}

/// How to invent a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How large.
    pub size: Size,
    /// The same seed gives the same files, on any machine and with any number of threads.
    pub seed: u64,
    /// Whether files that exist may be replaced.
    pub replace: bool,
}

/// Why a data set was not made. Nothing half-written is left in any of these cases.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no data set of this size.
    #[error("no such data set: {0}")]
    Impossible(String),
    /// The files cannot be written, or are there already.
    #[error(transparent)]
    Output(#[from] staged::Error),
}

/// Invents a data set and writes `movies.csv`, `links.csv` and `ratings.csv` into `folder`, which
/// is made if it does not exist.
///
/// Memory depends on the number of movies and users, not of ratings: 25 million ratings by 162,000
/// users of 62,000 movies take well under 100 MiB. Progress is counted in ratings.
///
/// Returns the files with their sizes in bytes.
pub fn write(
    folder: &Path,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Vec<(PathBuf, u64)>, Error> {
    let Options { size, seed, replace } = *options;
    if size.movies > MOST_MOVIES || size.users > MOST_USERS {
        return Err(Error::Impossible(format!(
            "at most {MOST_MOVIES} movies and {MOST_USERS} users can be invented"
        )));
    }
    let counts = plan::ratings_per_user(&size, seed)?;
    staged::prepare(folder, &["movies.csv", "links.csv", "ratings.csv"], replace)?;

    // The best-known film is rated by some six users of ten (fewer in the end, as nobody rates a
    // film twice).
    let most_popular = 0.7 * f64::from(size.users) / size.ratings as f64;
    let movies = movies::invent(size.movies as usize, most_popular, seed);
    let mut movies_file = Staged::create(folder, "movies.csv")?;
    movies_file.write_with(|to| write_movies(&movies, to))?;
    let mut links_file = Staged::create(folder, "links.csv")?;
    links_file.write_with(|to| write_links(&movies, to))?;

    let mut ratings_file = Staged::create(folder, "ratings.csv")?;
    ratings_file.write(b"userId,movieId,rating,timestamp\n")?;
    let audience = Audience::new(&movies, seed);
    write_ratings(&audience, &movies, &counts, &mut ratings_file, progress)?;

    Ok(Staged::commit(vec![movies_file, links_file, ratings_file])?)
}

fn write_movies(movies: &[Movie], to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "movieId,title,genres")?;
    for Movie { id, title, genres, .. } in movies {
        if title.contains([',', '"']) {
            writeln!(to, "{id},\"{}\",{genres}", title.replace('"', "\"\""))?;
        } else {
            writeln!(to, "{id},{title},{genres}")?;
        }
    }
    Ok(())
}

fn write_links(movies: &[Movie], to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "movieId,imdbId,tmdbId")?;
    for Movie { id, imdb_id, tmdb_id, .. } in movies {
        writeln!(to, "{id},{imdb_id},{tmdb_id}")?;
    }
    Ok(())
}

/// Each thread makes every n-th block of users; the writer takes the blocks in turn, so that the
/// file is in order and no thread runs ahead by more than its channel holds.
fn write_ratings(
    audience: &Audience<'_>,
    movies: &[Movie],
    counts: &[u32],
    file: &mut Staged,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    thread::scope(|scope| {
        let mut channels = Vec::with_capacity(threads);
        for worker in 0..threads {
            let (sender, receiver) = mpsc::sync_channel::<(Vec<u8>, u64)>(2);
            channels.push(receiver);
            scope.spawn(move || {
                let mut scratch = audience.scratch();
                let mut ratings = Vec::new();
                for (block, counts) in
                    counts.chunks(BLOCK).enumerate().skip(worker).step_by(threads)
                {
                    let mut text = Vec::new();
                    let mut written = 0;
                    for (user, &count) in (block * BLOCK..).zip(counts) {
                        audience.ratings_of(user as u32, count, &mut scratch, &mut ratings);
                        written += u64::from(count);
                        append(user as u32 + 1, &ratings, movies, &mut text);
                    }
                    if sender.send((text, written)).is_err() {
                        return; // the writer failed and says so itself
                    }
                }
            });
        }
        let mut done = 0;
        for channel in (0..counts.len().div_ceil(BLOCK)).map(|block| &channels[block % threads]) {
            // A sender is gone early only if its thread panicked, which the scope passes on.
            let Ok((text, written)) = channel.recv() else { break };
            file.write(&text)?;
            done += written;
            progress(done, total);
        }
        Ok(())
    })
}

/// Appends lines such as `1,31,2.5,1260759144`.
fn append(user: u32, ratings: &[ratings::Rating], movies: &[Movie], text: &mut Vec<u8>) {
    let mut digits = itoa::Buffer::new();
    let user = digits.format(user).to_owned();
    for rating in ratings {
        text.extend_from_slice(user.as_bytes());
        text.push(b',');
        text.extend_from_slice(digits.format(movies[rating.movie as usize].id).as_bytes());
        text.push(b',');
        text.push(b'0' + rating.half_stars / 2);
        text.extend_from_slice(if rating.half_stars % 2 == 0 { b".0," } else { b".5," });
        text.extend_from_slice(digits.format(rating.timestamp).as_bytes());
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_with_commas_and_quotes_are_quoted() -> io::Result<()> {
        let mut movies = movies::invent(2, 0.5, 1);
        movies[0].title = "Ada \"Doc\" Hobbs, The (1990)".to_owned();
        movies[1].title = "Plain (1991)".to_owned();
        for movie in &mut movies {
            movie.genres = "Drama".to_owned();
        }
        let mut text = Vec::new();
        write_movies(&movies, &mut text)?;
        let (first, second) = (movies[0].id, movies[1].id);
        assert_eq!(
            String::from_utf8_lossy(&text),
            format!(
                "movieId,title,genres\n\
                 {first},\"Ada \"\"Doc\"\" Hobbs, The (1990)\",Drama\n\
                 {second},Plain (1991),Drama\n"
            )
        );
        Ok(())
    }
}
