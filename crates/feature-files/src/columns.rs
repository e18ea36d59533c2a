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
    Definition, Hundredths, MOVIE, MovieFeatures, NO_GENRE, RatedMovie, RatingStats, USER,
    UserWindow, Value, ValueType, WINDOW,
};
use sparrow_model::{Histories, Movie, Movies, UserIndex};

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

/// The names of the genres, with "" after the last for a missing one.
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

    /// Genres as a column, by their index; [`NO_GENRE`] is a missing one.
    fn column(&self, genres: impl Iterator<Item = u32>) -> ArrayRef {
        let missing = self.0.len() - 1;
        let key = |genre| if genre == NO_GENRE { missing as u8 } else { genre as u8 };
        let keys = UInt8Array::from_iter_values(genres.map(key));
        Arc::new(DictionaryArray::<UInt8Type>::new(keys, Arc::clone(&self.0)))
    }
}

/// The type of a feature's column. `movie_id` is that of movie ids.
fn data_type(value_type: ValueType, movie_id: &DataType) -> DataType {
    match value_type {
        ValueType::MovieId => movie_id.clone(),
        ValueType::Genre => GenreNames::data_type(),
        ValueType::Count | ValueType::Year => DataType::Int32,
        ValueType::Mean | ValueType::Deviation => DataType::Float32,
    }
}

/// The columns of a table: the ids, and the features. Only features that are movie ids can be null.
fn schema(id: (&str, &DataType), features: &[Definition], movie_id: &DataType) -> SchemaRef {
    let id = Field::new(id.0, id.1.clone(), false);
    let field = |Definition { name, value_type, .. }: &Definition| {
        Field::new(*name, data_type(*value_type, movie_id), *value_type == ValueType::MovieId)
    };
    let fields = features.iter().map(field);
    Arc::new(Schema::new(std::iter::once(id).chain(fields).collect::<Vec<_>>()))
}

/// A column of features of one definition, from its values.
fn column(
    definition: &Definition,
    data_type: &DataType,
    genres: &GenreNames,
    values: impl Iterator<Item = Value>,
) -> ArrayRef {
    let values = values.map(Value::to_bits);
    match definition.value_type {
        ValueType::MovieId => ids(data_type, values.map(|id| (id > 0).then_some(id))),
        ValueType::Genre => genres.column(values),
        ValueType::Count | ValueType::Year => {
            Arc::new(Int32Array::from_iter_values(values.map(u32::cast_signed)))
        }
        ValueType::Mean | ValueType::Deviation => {
            Arc::new(Float32Array::from_iter_values(values.map(|bits| Hundredths(bits).value())))
        }
    }
}

/// The rows of a table: ids and the values of `features`, in order.
fn rows<const N: usize>(
    schema: &SchemaRef,
    features: &[Definition],
    genres: &GenreNames,
    rows: &[(u32, [Value; N])],
) -> RecordBatch {
    let id_type = schema.field(0).data_type();
    let mut columns = vec![ids(id_type, rows.iter().map(|(id, _)| Some(*id)))];
    for (index, definition) in features.iter().enumerate() {
        let values = rows.iter().map(|(_, values)| values[index]);
        columns.push(column(definition, schema.field(index + 1).data_type(), genres, values));
    }
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
        let schema = schema(("userId", &user_id), USER, &id_type(greatest_movie));
        Self { movies, histories, genres: GenreNames::new(movies), schema }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn batch(&self, users: Range<usize>) -> RecordBatch {
        let mut window = UserWindow::default();
        let values: Vec<_> = users
            .map(|user| {
                let history = self.histories.get(UserIndex(user as u32));
                window.clear();
                for rated in history.iter().skip(history.len().saturating_sub(WINDOW)) {
                    let movie = &self.movies.as_slice()[rated.movie.0 as usize];
                    window.push(RatedMovie::new(movie, rated.stars));
                }
                (history.user().0, window.features().values())
            })
            .collect();
        rows(&self.schema, USER, &self.genres, &values)
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
        let schema = schema(("movieId", &movie_id), MOVIE, &movie_id);
        Self { genres: GenreNames::new(movies), schema }
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    pub(crate) fn batch(&self, movies: &[(&Movie, &RatingStats)]) -> RecordBatch {
        let values = movies
            .iter()
            .map(|(movie, ratings)| (movie.id.0, MovieFeatures::new(movie, ratings).values()));
        rows(&self.schema, MOVIE, &self.genres, &values.collect::<Vec<_>>())
    }
}
