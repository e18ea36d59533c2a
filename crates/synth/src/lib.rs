//! Generates synthetic data sets in the MovieLens format: no real films or people, but a structure
//! that a recommender can learn.
//!
//! Each film belongs to a *theme* (space, haunted houses, costume romance, …), which determines its
//! genres and the words of its title, and within the theme to a *strand*, which is independent of
//! genres. Each user prefers a few themes and strands, rates them higher, and otherwise watches
//! popular films. Popularity follows a Zipf-Mandelbrot law. Ratings depend on the user's bias, the
//! film's quality and noise; they are given in sessions after the film's release.
//!
//! Users are independent given the seed. So they are generated in parallel and written in order,
//! and the result does not depend on the number of threads.

mod activity;
mod movies;
mod ratings;
mod themes;
mod titles;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use movies::Movie;
use ratings::Audience;
use sparrow_model::{MovieId, UserId};
use sparrow_movielens::write::{LinksWriter, MoviesWriter, RatingsWriter};
use sparrow_output::AtomicFile;
use sparrow_progress::Progress;

/// The numbers of the random streams. Users have one each, from the last number on.
const STREAM_MOVIES: u64 = 1;
const STREAM_USERS: u64 = 2;
const STREAM_RATINGS: u64 = 1 << 32;

/// Users per block of a thread.
const BLOCK: usize = 256;

/// The maximum number of movies.
pub const MAX_MOVIES: u32 = 1_000_000;
/// The maximum number of users.
pub const MAX_USERS: u32 = 100_000_000;

/// The exact size of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Users, each with at least one rating, and with 20 if there are enough movies and ratings.
    pub users: u32,
    /// Movies, with or without ratings.
    pub movies: u32,
    /// Ratings: from one per user to one per user and movie.
    pub ratings: u64,
}

/// Options of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The size.
    pub size: Size,
    /// The seed. The same seed generates the same files on any machine with any number of threads.
    pub seed: u64,
    /// Whether existing files may be replaced.
    pub replace: bool,
}

/// Why no data set was generated. No incomplete files remain.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The size is impossible.
    #[error("invalid size of a data set: {0}")]
    Impossible(String),
    /// The files cannot be written, or exist already.
    #[error(transparent)]
    Output(#[from] sparrow_output::Error),
}

/// Generates a data set and writes `movies.csv`, `links.csv` and `ratings.csv` into `folder`, which
/// is created if necessary.
///
/// Memory depends on the number of movies and users, but not of ratings: 25 million ratings by
/// 162,000 users of 62,000 movies take well under 100 MiB. Progress is counted in ratings.
///
/// Returns the files with their sizes in bytes.
pub fn write(
    folder: &Path,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Vec<(PathBuf, u64)>, Error> {
    let Options { size, seed, replace } = *options;
    if size.movies > MAX_MOVIES || size.users > MAX_USERS {
        return Err(Error::Impossible(format!(
            "at most {MAX_MOVIES} movies and {MAX_USERS} users are supported"
        )));
    }
    let counts = activity::ratings_per_user(&size, seed)?;
    sparrow_output::prepare(folder, &["movies.csv", "links.csv", "ratings.csv"], replace)?;

    // About six of ten users rate the most popular film. The factor is greater because no user rates
    // a film twice.
    let most_popular = 0.7 * f64::from(size.users) / size.ratings as f64;
    let movies = movies::generate(size.movies as usize, most_popular, seed);
    let mut movies_file = AtomicFile::create(folder, "movies.csv")?;
    movies_file.write_with(|to| write_movies(&movies, to))?;
    let mut links_file = AtomicFile::create(folder, "links.csv")?;
    links_file.write_with(|to| write_links(&movies, to))?;

    let mut ratings_file = AtomicFile::create(folder, "ratings.csv")?;
    ratings_file.write_with(|to| RatingsWriter::new(to)?.finish().map(drop))?;
    let audience = Audience::new(&movies, seed);
    write_ratings(&audience, &movies, &counts, &mut ratings_file, progress)?;

    Ok(AtomicFile::commit(vec![movies_file, links_file, ratings_file])?)
}

fn write_movies(movies: &[Movie], to: impl Write) -> io::Result<()> {
    let mut file = MoviesWriter::new(to)?;
    for Movie { id, title, genres, .. } in movies {
        file.write(MovieId(*id), title, genres.split('|'))?;
    }
    file.finish().map(drop)
}

fn write_links(movies: &[Movie], to: impl Write) -> io::Result<()> {
    let mut file = LinksWriter::new(to)?;
    for Movie { id, imdb_id, tmdb_id, .. } in movies {
        file.write(MovieId(*id), Some(imdb_id), Some(tmdb_id))?;
    }
    file.finish().map(drop)
}

/// Each thread generates every n-th block of users. The writer takes the blocks in turn, so that
/// the file is in order, and the channels limit how far a thread runs ahead.
fn write_ratings(
    audience: &Audience<'_>,
    movies: &[Movie],
    counts: &[u32],
    file: &mut AtomicFile,
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
                    let mut part = RatingsWriter::without_header(Vec::new());
                    let mut written = 0;
                    for (user, &count) in (block * BLOCK..).zip(counts) {
                        audience.ratings_of(user as u32, count, &mut scratch, &mut ratings);
                        written += u64::from(count);
                        if append(user as u32 + 1, &ratings, movies, &mut part).is_err() {
                            return; // writing to memory does not fail
                        }
                    }
                    let Ok(text) = part.finish() else { return };
                    if sender.send((text, written)).is_err() {
                        return; // the writer failed and returns its error
                    }
                }
            });
        }
        let mut done = 0;
        for channel in (0..counts.len().div_ceil(BLOCK)).map(|block| &channels[block % threads]) {
            // A sender is missing only if its thread panicked, which the scope propagates.
            let Ok((text, written)) = channel.recv() else { break };
            file.write(&text)?;
            done += written;
            progress(done, total);
        }
        Ok(())
    })
}

fn append(
    user: u32,
    ratings: &[ratings::Rating],
    movies: &[Movie],
    to: &mut RatingsWriter<impl Write>,
) -> io::Result<()> {
    for rating in ratings {
        let movie = MovieId(movies[rating.movie as usize].id);
        to.write(UserId(user), movie, rating.stars, rating.timestamp as u32)?;
    }
    Ok(())
}
