//! Movies as JSON, written once: answers are put together by copying.

use sparrow_model::{Catalog, MovieIndex, Stars, UserProfile};

use crate::json;

/// The JSON of every movie of a catalogue in one buffer, each followed by a comma, so that a list
/// is a run of copies.
#[derive(Debug)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
    /// Movie `m`: `bytes[starts[m]..starts[m + 1]]`, the comma included.
    starts: Vec<usize>,
}

impl Texts {
    /// In the shape of `/v1`.
    pub(crate) fn v1(catalog: &Catalog) -> Self {
        Self::new(catalog, write_v1)
    }

    /// In the shape of the original endpoints, with the best ratings.
    pub(crate) fn original(catalog: &Catalog) -> Self {
        Self::new(catalog, write_original)
    }

    fn new(catalog: &Catalog, write: fn(&mut Vec<u8>, &Catalog, MovieIndex)) -> Self {
        let mut starts = Vec::with_capacity(catalog.len() + 1);
        let (mut bytes, mut one) = (Vec::new(), Vec::new());
        starts.push(0);
        for index in (0..catalog.len() as u32).map(MovieIndex) {
            one.clear();
            write(&mut one, catalog, index);
            one.push(b',');
            if bytes.capacity() - bytes.len() < one.len() {
                // By an eighth rather than to the double: the buffer of a large catalogue is tens of
                // megabytes.
                bytes.reserve_exact((bytes.len() / 8).max(1 << 16).max(one.len()));
            }
            bytes.extend_from_slice(&one);
            starts.push(bytes.len());
        }
        bytes.shrink_to_fit();
        Self { bytes, starts }
    }

    /// One movie.
    pub(crate) fn get(&self, movie: MovieIndex) -> &[u8] {
        let text = self.with_comma(movie);
        &text[..text.len() - 1]
    }

    fn with_comma(&self, movie: MovieIndex) -> &[u8] {
        &self.bytes[self.starts[movie.index()]..self.starts[movie.index() + 1]]
    }

    /// Writes an array of movies.
    pub(crate) fn list(
        &self,
        out: &mut Vec<u8>,
        movies: impl ExactSizeIterator<Item = MovieIndex> + Clone,
    ) {
        let len: usize = movies.clone().map(|movie| self.with_comma(movie).len()).sum();
        out.reserve(len + 2);
        out.push(b'[');
        let empty = movies.len() == 0;
        for movie in movies {
            out.extend_from_slice(self.with_comma(movie));
        }
        if !empty {
            out.pop();
        }
        out.push(b']');
    }

    /// How many bytes the movies take.
    pub(crate) fn len_of(&self, movies: impl Iterator<Item = MovieIndex>) -> usize {
        movies.map(|movie| self.with_comma(movie).len()).sum()
    }
}

fn write_v1(out: &mut Vec<u8>, catalog: &Catalog, index: MovieIndex) {
    let year = catalog.movie(index).year;
    write_common(out, catalog, index, |out| match year {
        Some(year) => json::integer(out, year),
        None => out.extend_from_slice(b"null"),
    });
    out.extend_from_slice(b",\"bayesianRating\":");
    json::float32(out, catalog.stats(index).bayesian);
    out.push(b'}');
}

fn write_original(out: &mut Vec<u8>, catalog: &Catalog, index: MovieIndex) {
    let movie = catalog.movie(index);
    write_common(out, catalog, index, |out| json::integer(out, movie.year.unwrap_or(0)));
    out.extend_from_slice(b",\"topRatings\":");
    json::list(out, catalog.top_ratings(index), |out, top| {
        let rated = (top.user.0, top.stars, top.timestamp);
        original_rating(out, movie.id.0, rated.0, rated.1, rated.2);
    });
    out.push(b'}');
}

/// The fields that both shapes share.
fn write_common(
    out: &mut Vec<u8>,
    catalog: &Catalog,
    index: MovieIndex,
    year: impl FnOnce(&mut Vec<u8>),
) {
    let (movie, stats) = (catalog.movie(index), catalog.stats(index));
    out.extend_from_slice(b"{\"movieId\":");
    json::integer(out, movie.id.0);
    out.extend_from_slice(b",\"title\":");
    json::string(out, &movie.title);
    out.extend_from_slice(b",\"releaseYear\":");
    year(out);
    out.extend_from_slice(b",\"imdbId\":");
    json::optional_string(out, movie.imdb_id.as_deref());
    out.extend_from_slice(b",\"tmdbId\":");
    json::optional_string(out, movie.tmdb_id.as_deref());
    out.extend_from_slice(b",\"genres\":");
    json::strings(out, movie.genres.iter().map(|&genre| catalog.genres().name(genre)));
    out.extend_from_slice(b",\"ratingNumber\":");
    json::integer(out, stats.count);
    out.extend_from_slice(b",\"averageRating\":");
    json::float(out, stats.average());
}

/// A rating as the original wraps it.
pub(crate) fn original_rating(
    out: &mut Vec<u8>,
    movie: u32,
    user: u32,
    stars: Stars,
    timestamp: u32,
) {
    out.extend_from_slice(b"{\"rating\":{\"movieId\":");
    json::integer(out, movie);
    out.extend_from_slice(b",\"userId\":");
    json::integer(out, user);
    out.extend_from_slice(b",\"score\":");
    json::float32(out, stars.value());
    out.extend_from_slice(b",\"timestamp\":");
    json::integer(out, timestamp);
    out.extend_from_slice(b"}}");
}

/// Continues the object of a user, in either shape, with how the user rates. Statistics that are not
/// known are written as `unknown`.
pub(crate) fn write_rating_range(out: &mut Vec<u8>, profile: &UserProfile, unknown: f32) {
    // No rating is below half a star.
    let average = Some(profile.average).filter(|&average| average > 0.0);
    out.extend_from_slice(b",\"averageRating\":");
    json::float(out, average.unwrap_or(f64::from(unknown)));
    out.extend_from_slice(b",\"highestRating\":");
    json::float32(out, profile.highest.map_or(unknown, Stars::value));
    out.extend_from_slice(b",\"lowestRating\":");
    json::float32(out, profile.lowest.map_or(unknown, Stars::value));
}

/// An unknown statistic: 0.0 at the original's endpoints, `null` under `/v1`.
pub(crate) const ORIGINAL_UNKNOWN: f32 = 0.0;
pub(crate) const V1_UNKNOWN: f32 = f32::NAN;
