//! Movies as JSON, serialised once: answers copy them.

use std::sync::Arc;

use sparrow_model::{Catalog, MovieIndex, Stars};

use crate::response::json;
use crate::response::schema::{COUNT, Field, ID, MEAN, SCORE, SECONDS, Schema, TEXT, Type};

/// A movie in the shape of `/v1`.
pub(crate) const MOVIE: Type = Type {
    name: "Movie",
    description: "",
    base: None,
    fields: &[
        Field::new("movieId", ID, ""),
        TITLE,
        Field::new("releaseYear", Schema::OrNull(&year(1)), "Null if the data set has none."),
        IMDB_ID,
        TMDB_ID,
        GENRES,
        RATING_NUMBER,
        AVERAGE_RATING,
        Field::new(
            "bayesianRating",
            MEAN,
            "The mean, drawn towards the mean of all ratings; the order of `sort=rating`. Live ratings count after the next push.",
        ),
    ],
    example: Some(
        r#"{"movieId":1,"title":"Lantern, The","releaseYear":1995,"imdbId":"0100000","tmdbId":"500",
        "genres":["Adventure","Comedy"],"ratingNumber":215,"averageRating":3.9209302325581397,
        "bayesianRating":3.9}"#,
    ),
};

/// A movie in the shape of SparrowRecSys, with its best ratings.
pub(crate) const SPARROWRECSYS_MOVIE: Type = Type {
    name: "OriginalMovie",
    description: "",
    base: None,
    fields: &[
        Field::new("movieId", ID, ""),
        TITLE,
        Field::new("releaseYear", year(0), "0 if the data set has none."),
        IMDB_ID,
        TMDB_ID,
        GENRES,
        RATING_NUMBER,
        AVERAGE_RATING,
        Field::new("topRatings", Schema::AtMost(10, &Schema::Named(&SPARROWRECSYS_RATING)), ""),
    ],
    example: Some(
        r#"{"movieId":1,"title":"Lantern, The","releaseYear":1995,"imdbId":"0100000","tmdbId":"500",
        "genres":["Adventure","Comedy"],"ratingNumber":215,"averageRating":3.9209302325581397,
        "topRatings":[{"rating":{"movieId":1,"userId":5,"score":5.0,"timestamp":964982703}}]}"#,
    ),
};

/// A rating in the shape of SparrowRecSys.
pub(crate) const SPARROWRECSYS_RATING: Type = Type::new(
    "OriginalRating",
    "",
    &[Field::new(
        "rating",
        Schema::Object(&Type::new(
            "",
            "",
            &[Field::new("movieId", ID, ""), Field::new("userId", ID, ""), SCORE, SECONDS],
        )),
        "",
    )],
);

const TITLE: Field = Field::new("title", TEXT, "Without the release year.");
const IMDB_ID: Field =
    Field::new("imdbId", Schema::OrNull(&TEXT), "Digits with leading zeros, as in the data set.");
const TMDB_ID: Field = Field::new("tmdbId", Schema::OrNull(&TEXT), "");
const GENRES: Field = Field::new("genres", Schema::List(&TEXT), "In the order of the data set.");
const RATING_NUMBER: Field = Field::new("ratingNumber", COUNT, "");
const AVERAGE_RATING: Field = Field::new("averageRating", MEAN, "0 if the movie has no ratings.");

const fn year(least: u32) -> Schema {
    Schema::Integer { least, most: Some(9999) }
}

/// The JSON of every movie of a catalogue, each followed by a comma, so that a list is a run of copies.
#[derive(Debug)]
pub(crate) struct MovieJson {
    write: Writer,
    /// With the statistics of the catalogue.
    bytes: Arc<Vec<u8>>,
    /// The movies with other statistics.
    changed: Vec<u8>,
    /// By movie, the comma included.
    places: Vec<Place>,
}

/// Where the JSON of a movie is.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: usize,
    len: u32,
    is_changed: bool,
}

/// The statistics of a movie that are shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shown {
    pub(crate) count: u32,
    pub(crate) average: f64,
}

type Writer = fn(&mut Vec<u8>, &Catalog, MovieIndex, Shown);

impl MovieJson {
    /// In the shape of `/v1`.
    pub(crate) fn v1(catalog: &Catalog) -> Self {
        Self::new(catalog, write_v1)
    }

    /// In the shape of SparrowRecSys, with the best ratings.
    pub(crate) fn sparrowrecsys(catalog: &Catalog) -> Self {
        Self::new(catalog, write_sparrowrecsys)
    }

    fn new(catalog: &Catalog, write: Writer) -> Self {
        let mut places = Vec::with_capacity(catalog.len());
        let (mut bytes, mut one) = (Vec::new(), Vec::new());
        for index in (0..catalog.len() as u32).map(MovieIndex) {
            let stats = catalog.stats(index);
            one.clear();
            write(&mut one, catalog, index, Shown { count: stats.count, average: stats.average() });
            one.push(b',');
            if bytes.capacity() - bytes.len() < one.len() {
                // By an eighth rather than to the double: a large catalogue takes tens of megabytes.
                bytes.reserve_exact((bytes.len() / 8).max(1 << 16).max(one.len()));
            }
            places.push(Place { start: bytes.len(), len: one.len() as u32, is_changed: false });
            bytes.extend_from_slice(&one);
        }
        bytes.shrink_to_fit();
        Self { write, bytes: Arc::new(bytes), changed: Vec::new(), places }
    }

    /// The same with other statistics of some movies; those that were changed before are as in the catalogue again. Shares
    /// the JSON of the others. `base` has no changes.
    pub(crate) fn changed(base: &Self, catalog: &Catalog, shown: &[(MovieIndex, Shown)]) -> Self {
        let (mut changed, mut places) = (Vec::new(), base.places.clone());
        for &(movie, shown) in shown {
            let start = changed.len();
            (base.write)(&mut changed, catalog, movie, shown);
            changed.push(b',');
            let len = (changed.len() - start) as u32;
            places[movie.index()] = Place { start, len, is_changed: true };
        }
        Self { write: base.write, bytes: Arc::clone(&base.bytes), changed, places }
    }

    /// One movie.
    pub(crate) fn get(&self, movie: MovieIndex) -> &[u8] {
        let json = self.with_comma(movie);
        &json[..json.len() - 1]
    }

    fn with_comma(&self, movie: MovieIndex) -> &[u8] {
        let Place { start, len, is_changed } = self.places[movie.index()];
        let bytes = if is_changed { &self.changed } else { &*self.bytes };
        &bytes[start..start + len as usize]
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

    /// The number of bytes of these movies.
    pub(crate) fn len_of(&self, movies: impl Iterator<Item = MovieIndex>) -> usize {
        movies.map(|movie| self.with_comma(movie).len()).sum()
    }
}

fn write_v1(out: &mut Vec<u8>, catalog: &Catalog, index: MovieIndex, shown: Shown) {
    let year = catalog.movie(index).year;
    write_common(out, catalog, index, shown, |out| match year {
        Some(year) => json::integer(out, year),
        None => out.extend_from_slice(b"null"),
    });
    out.extend_from_slice(b",\"bayesianRating\":");
    json::float32(out, catalog.stats(index).bayesian);
    out.push(b'}');
}

fn write_sparrowrecsys(out: &mut Vec<u8>, catalog: &Catalog, index: MovieIndex, shown: Shown) {
    let movie = catalog.movie(index);
    write_common(out, catalog, index, shown, |out| json::integer(out, movie.year.unwrap_or(0)));
    out.extend_from_slice(b",\"topRatings\":");
    json::list(out, catalog.top_ratings(index), |out, top| {
        write_sparrowrecsys_rating(out, movie.id.0, top.user.0, top.stars, top.timestamp);
    });
    out.push(b'}');
}

/// Writes the fields that both shapes share.
fn write_common(
    out: &mut Vec<u8>,
    catalog: &Catalog,
    index: MovieIndex,
    shown: Shown,
    year: impl FnOnce(&mut Vec<u8>),
) {
    let movie = catalog.movie(index);
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
    json::integer(out, shown.count);
    out.extend_from_slice(b",\"averageRating\":");
    json::float(out, shown.average);
}

/// Writes a rating in the shape of SparrowRecSys.
pub(crate) fn write_sparrowrecsys_rating(
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
    json::rating(out, stars, timestamp);
    out.extend_from_slice(b"}}");
}
