//! The data set as tables of a session: `ratings` and `movies`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, Int32Array, RecordBatch, StringArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{CsvReadOptions, DataFrame, SessionContext, cast, ident};
use sparrow_model::{Histories, Movies, UserIndex};
use sparrow_movielens::{Options as ReaderOptions, Report, Source};
use url::Url;

use super::{Error, functions, packed};

/// A data set whose tables are registered in a session:
///
/// * `ratings`: userId, movieId (`Int32`), halfStars (`UInt8`), timestamp (`UInt32`), each pair of user
///   and movie once;
/// * `movies`: movieId (`Int32`), releaseYear (`UInt16`, 0 where it is not known), genres (`UInt64`, a
///   bit each), movieGenre1 to movieGenre3 (text in a dictionary).
pub struct DataSet {
    context: SessionContext,
    genre_names: ScalarValue,
    report: Report,
}

impl DataSet {
    /// Opens the data set of a folder. Ratings that lie there as a clean sorted CSV file, as GroupLens
    /// publishes them, are read from their URL by each plan that uses them; for that their order is
    /// declared, so that nothing needs to sort them by user. Others are read, joined and sorted
    /// beforehand, and kept at eight bytes each.
    pub async fn open(
        context: &SessionContext,
        folder: &Path,
        options: &ReaderOptions,
    ) -> Result<Self, Error> {
        let source = Source::open(folder)?;
        let survey = source.survey(options)?;
        let file = source.ratings_file();
        check_id(file, "userId", survey.greatest_user.0)?;
        if let Some(last) = survey.movies.as_slice().last() {
            check_id(file, "movieId", last.id.0)?;
        }
        let mut report = survey.report;
        let movies = Arc::new(survey.movies);
        let ratings = if survey.sorted_csv {
            sorted_csv(context, Path::new(file)).await?
        } else {
            let loaded = source.load_histories(options)?;
            report = loaded.report;
            in_memory(context, loaded.histories, &movies)?
        };
        context.register_table("ratings", ratings.into_view())?;
        let (table, genre_names) = movie_table(&movies)?;
        context.register_table("movies", Arc::new(table))?;
        Ok(Self { context: context.clone(), genre_names, report })
    }

    /// The table `ratings`.
    pub async fn ratings(&self) -> Result<DataFrame, Error> {
        Ok(self.context.table("ratings").await?)
    }

    /// The table `movies`.
    pub async fn movies(&self) -> Result<DataFrame, Error> {
        Ok(self.context.table("movies").await?)
    }

    /// The list of genre names that `user_feature` takes.
    pub(crate) fn genre_names(&self) -> ScalarValue {
        self.genre_names.clone()
    }

    /// What was found in the files.
    pub const fn report(&self) -> &Report {
        &self.report
    }
}

impl fmt::Debug for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSet").field("report", &self.report).finish_non_exhaustive()
    }
}

/// Files and models have ids in 32 bits with a sign, as Spark and TensorFlow do.
fn check_id(file: &str, column: &str, greatest: u32) -> Result<(), Error> {
    if i32::try_from(greatest).is_ok() {
        return Ok(());
    }
    let what = format!("{column} {greatest} is greater than {}", i32::MAX);
    Err(Error::Malformed { file: file.to_owned(), what })
}

async fn sorted_csv(context: &SessionContext, file: &Path) -> Result<DataFrame, Error> {
    let schema = Schema::new(vec![
        Field::new("userId", DataType::Int32, false),
        Field::new("movieId", DataType::Int32, false),
        Field::new("rating", DataType::Float64, false),
        Field::new("timestamp", DataType::UInt32, false),
    ]);
    let order = vec![vec![ident("userId").sort(true, false), ident("movieId").sort(true, false)]];
    let options = CsvReadOptions::new().schema(&schema).file_sort_order(order);
    let ratings = context.read_csv(file_url(file)?.as_str(), options).await?;
    normalised(ratings)
}

/// The URL of a file or folder.
pub(crate) fn file_url(path: &Path) -> Result<Url, Error> {
    let absolute = std::path::absolute(path).ok();
    let url = absolute.and_then(|path| Url::from_file_path(path).ok());
    url.ok_or_else(|| Error::Malformed {
        file: path.display().to_string(),
        what: "the path cannot be written as a URL".to_owned(),
    })
}

/// Ratings with the columns and types of the table `ratings`.
fn normalised(ratings: DataFrame) -> Result<DataFrame, Error> {
    let half_stars = functions::half_stars().call(vec![cast(ident("rating"), DataType::Float64)]);
    Ok(ratings.select(vec![
        cast(ident("userId"), DataType::Int32).alias("userId"),
        cast(ident("movieId"), DataType::Int32).alias("movieId"),
        half_stars.alias("halfStars"),
        cast(ident("timestamp"), DataType::UInt32).alias("timestamp"),
    ])?)
}

fn movie_table(movies: &Movies) -> Result<(MemTable, ScalarValue), Error> {
    let mut names: Vec<&str> =
        movies.genres().iter().map(|genre| movies.genres().name(genre)).collect();
    names.resize(usize::from(packed::NO_GENRE) + 1, "");
    let names: ArrayRef = Arc::new(StringArray::from(names));
    let rows = || movies.as_slice().iter();
    let genre = |place: usize| {
        let keys = rows().map(|movie| packed::key(movie.genres.get(place).copied()));
        packed::genre_array(UInt8Array::from_iter_values(keys), &names)
    };
    let columns: [(&str, ArrayRef); 6] = [
        ("movieId", Arc::new(Int32Array::from_iter_values(rows().map(|m| m.id.0.cast_signed())))),
        (
            "releaseYear",
            Arc::new(UInt16Array::from_iter_values(rows().map(|m| m.year.unwrap_or(0)))),
        ),
        ("genres", Arc::new(UInt64Array::from_iter_values(rows().map(|m| m.genre_set.bits())))),
        ("movieGenre1", genre(0)?),
        ("movieGenre2", genre(1)?),
        ("movieGenre3", genre(2)?),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), false))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        columns.into_iter().map(|(_, column)| column).collect(),
    )
    .map_err(datafusion::error::DataFusionError::from)?;
    let list = ScalarValue::new_list_from_iter(
        (0..names.len())
            .map(|at| ScalarValue::try_from_array(&names, at))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter(),
        &DataType::Utf8,
        false,
    );
    Ok((MemTable::try_new(schema, vec![vec![batch]])?, ScalarValue::List(list)))
}

fn in_memory(
    context: &SessionContext,
    histories: Histories,
    movies: &Arc<Movies>,
) -> Result<DataFrame, Error> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("userId", DataType::Int32, false),
        Field::new("movieId", DataType::Int32, false),
        Field::new("halfStars", DataType::UInt8, false),
        Field::new("timestamp", DataType::UInt32, false),
    ]));
    let stream = HistoryStream {
        schema: Arc::clone(&schema),
        histories: Arc::new(histories),
        movies: Arc::clone(movies),
    };
    let order = ["userId", "timestamp", "movieId"].map(|key| ident(key).sort(true, false));
    let table =
        StreamingTable::try_new(schema, vec![Arc::new(stream)])?.with_sort_order(order.into());
    Ok(context.read_table(Arc::new(table))?)
}

/// Ratings in memory as batches.
struct HistoryStream {
    schema: SchemaRef,
    histories: Arc<Histories>,
    movies: Arc<Movies>,
}

impl fmt::Debug for HistoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ratings in memory", self.histories.rating_count())
    }
}

impl PartitionStream for HistoryStream {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = context.session_config().batch_size();
        let (schema, histories, movies) =
            (Arc::clone(&self.schema), Arc::clone(&self.histories), Arc::clone(&self.movies));
        let mut next_user = 0;
        let batches = std::iter::from_fn(move || {
            let (mut users, mut ids) = (Vec::new(), Vec::new());
            let (mut half_stars, mut timestamps) = (Vec::new(), Vec::new());
            while next_user < histories.len() && users.len() < rows {
                let history = histories.get(UserIndex(next_user as u32));
                next_user += 1;
                for rated in history.iter() {
                    users.push(history.user().0.cast_signed());
                    ids.push(movies.as_slice()[rated.movie.at()].id.0.cast_signed());
                    half_stars.push(rated.stars.half_stars());
                    timestamps.push(rated.timestamp);
                }
            }
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int32Array::from(users)),
                Arc::new(Int32Array::from(ids)),
                Arc::new(UInt8Array::from(half_stars)),
                Arc::new(UInt32Array::from(timestamps)),
            ];
            let any = !columns[0].is_empty();
            any.then(|| Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?))
        });
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            futures::stream::iter(batches),
        ))
    }
}
