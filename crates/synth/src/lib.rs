//! Invents data sets in the MovieLens format: no real film, no real person, but a structure that
//! a recommender can learn from.
//!
//! Each film belongs to a *theme* (space, haunted houses, costume romance, …), which decides its
//! genres and the words of its title, and within it to a *strand*, which genres do not show. Each
//! user seeks out a few themes and strands, rates them higher, and otherwise watches what
//! everybody watches. Popularity follows a Zipf-Mandelbrot law; ratings have a user's bias, a film's
//! quality and whim in them; they are given in sessions, after the film came out.
//!
//! Users are independent of each other given the seed, so that they are made in parallel and
//! written in order, and the outcome does not depend on the number of threads.

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
    Output(#[from] sparrow_output::Error),
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
    let counts = activity::ratings_per_user(&size, seed)?;
    sparrow_output::prepare(folder, &["movies.csv", "links.csv", "ratings.csv"], replace)?;

    // The best-known film is rated by some six users of ten (fewer in the end, as nobody rates a
    // film twice).
    let most_popular = 0.7 * f64::from(size.users) / size.ratings as f64;
    let movies = movies::invent(size.movies as usize, most_popular, seed);
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

/// Each thread makes every n-th block of users; the writer takes the blocks in turn, so that the
/// file is in order and no thread runs ahead by more than its channel holds.
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
                            return; // memory takes all that is written
                        }
                    }
                    let Ok(text) = part.finish() else { return };
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
