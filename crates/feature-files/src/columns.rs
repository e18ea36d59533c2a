//! Features as Arrow columns, with the types of the pipeline.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::UInt8Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt8Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use sparrow_features::{
    Hundredths, MOVIE_FIELDS, MovieFeatures, RatedMovie, RatingStats, USER_FIELDS, UserFeatures,
    UserWindow, WINDOW,
};
use sparrow_model::{Genre, Histories, Movie, Movies, UserIndex};

/// The type of a column of ids with this maximum: `Int32`, as in Spark and TensorFlow, if all ids
/// fit; otherwise `Int64`.
pub fn id_type(greatest: u32) -> DataType {
    if i32::try_from(greatest).is_ok() { DataType::Int32 } else { DataType::Int64 }
}

/// A column of ids with a type from [`id_type`].
fn ids(data_type: &DataType, values: impl Iterator<Item = Option<u32>>) -> ArrayRef {
    match data_type {
        DataType::Int32 => {
            Arc::new(values.map(|id| id.map(u32::cast_signed)).collect::<Int32Array>())
        }
        _ => Arc::new(values.map(|id| id.map(i64::from)).collect::<Int64Array>()),
    }
}

fn whole(values: impl Iterator<Item = u32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values.map(u32::cast_signed)))
}

fn decimals(values: impl Iterator<Item = Hundredths>) -> ArrayRef {
    Arc::new(Float32Array::from_iter_values(values.map(Hundredths::value)))
}

/// The names of the genres; the last one is "", for a missing genre.
struct GenreNames(ArrayRef);

impl GenreNames {
    fn new(movies: &Movies) -> Self {
        let genres = movies.genres();
        let names = genres.iter().map(|genre| genres.name(genre)).chain([""]);
        Self(Arc::new(StringArray::from_iter_values(names)))
    }

    fn data_type() -> DataType {
        DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
    }

    fn column(&self, genres: impl Iterator<Item = Option<Genre>>) -> ArrayRef {
        let missing = self.0.len() - 1;
        let keys = genres.map(|genre| genre.map_or(missing, Genre::index) as u8);
        let keys = UInt8Array::from_iter_values(keys);
        Arc::new(DictionaryArray::<UInt8Type>::new(keys, Arc::clone(&self.0)))
    }
}

/// The columns of a table: ids, and fields of the given types.
fn schema<const N: usize>(
    id: (&str, &DataType),
    fields: [&str; N],
    data_type: impl Fn(&str) -> DataType,
) -> SchemaRef {
    let id = Field::new(id.0, id.1.clone(), false);
    let is_list = |name: &str| name.starts_with("userRatedMovie");
    let fields = fields.into_iter().map(|name| Field::new(name, data_type(name), is_list(name)));
    Arc::new(Schema::new(std::iter::once(id).chain(fields).collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>) -> RecordBatch {
    RecordBatch::try_new(Arc::clone(schema), columns).expect("the columns are those of the schema")
}

pub(crate) struct UserRows<'a> {
    movies: &'a Movies,
    histories: &'a Histories,
    genres: GenreNames,
    schema: SchemaRef,
}

impl<'a> UserRows<'a> {
    pub(crate) fn new(movies: &'a Movies, histories: &'a Histories) -> Self {
        let last = histories.len().checked_sub(1).map(|last| UserIndex(last as u32));
        let greatest_user = last.map_or(0, |last| histories.get(last).user().0);
        let greatest_movie = movies.as_slice().last().map_or(0, |movie| movie.id.0);
        let user_id = id_type(greatest_user);
        let schema = schema(("userId", &user_id), USER_FIELDS, |name| match name {
            _ if name.starts_with("userRatedMovie") => id_type(greatest_movie),
            _ if name.starts_with("userGenre") => GenreNames::data_type(),
            "userRatingCount" | "userAvgReleaseYear" => DataType::Int32,
            _ => DataType::Float32,
        });
        Self { movies, histories, genres: GenreNames::new(movies), schema }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn batch(&self, users: Range<usize>) -> RecordBatch {
        let mut window = UserWindow::default();
        let rows: Vec<(u32, UserFeatures)> = users
            .map(|user| {
                let history = self.histories.get(UserIndex(user as u32));
                window.clear();
                for rated in history.iter().skip(history.len().saturating_sub(WINDOW)) {
                    let movie = &self.movies.as_slice()[rated.movie.0 as usize];
                    window.push(RatedMovie::new(movie, rated.stars));
                }
                (history.user().0, window.features())
            })
            .collect();
        let features = || rows.iter().map(|(_, features)| features);
        let types = || self.schema.fields().iter().map(|field| field.data_type());
        let mut columns =
            vec![ids(self.schema.field(0).data_type(), rows.iter().map(|(id, _)| Some(*id)))];
        for (index, data_type) in types().skip(1).enumerate() {
            columns.push(match index {
                0..5 => {
                    ids(data_type, features().map(|row| row.rated_movies[index].map(|id| id.0)))
                }
                5 => whole(features().map(|row| row.rating_count)),
                6 => whole(features().map(|row| row.average_release_year)),
                7 => decimals(features().map(|row| row.release_year_stddev)),
                8 => decimals(features().map(|row| row.average_rating)),
                9 => decimals(features().map(|row| row.rating_stddev)),
                _ => self.genres.column(features().map(|row| row.genres[index - 10])),
            });
        }
        batch(&self.schema, columns)
    }
}

pub(crate) struct MovieRows {
    genres: GenreNames,
    schema: SchemaRef,
}

impl MovieRows {
    pub(crate) fn new(movies: &Movies) -> Self {
        let greatest = movies.as_slice().last().map_or(0, |movie| movie.id.0);
        let movie_id = id_type(greatest);
        let schema = schema(("movieId", &movie_id), MOVIE_FIELDS, |name| match name {
            _ if name.starts_with("movieGenre") => GenreNames::data_type(),
            "movieRatingCount" | "releaseYear" => DataType::Int32,
            _ => DataType::Float32,
        });
        Self { genres: GenreNames::new(movies), schema }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn batch(&self, movies: &[(&Movie, &RatingStats)]) -> RecordBatch {
        let rows: Vec<MovieFeatures> =
            movies.iter().map(|(movie, ratings)| MovieFeatures::new(movie, ratings)).collect();
        let id = self.schema.field(0).data_type();
        let columns = vec![
            ids(id, movies.iter().map(|(movie, _)| Some(movie.id.0))),
            self.genres.column(rows.iter().map(|row| row.genres[0])),
            self.genres.column(rows.iter().map(|row| row.genres[1])),
            self.genres.column(rows.iter().map(|row| row.genres[2])),
            whole(rows.iter().map(|row| row.rating_count)),
            whole(rows.iter().map(|row| u32::from(row.release_year))),
            decimals(rows.iter().map(|row| row.average_rating)),
            decimals(rows.iter().map(|row| row.rating_stddev)),
        ];
        batch(&self.schema, columns)
    }
}
