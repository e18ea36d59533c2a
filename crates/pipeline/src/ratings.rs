//! The sources of ratings: a CSV file or Parquet files, read from their URL, or memory.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _, RecordBatch, UInt8Array, UInt32Array};
use datafusion::arrow::compute;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use datafusion::arrow::error::ArrowError;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as Computed};
use datafusion::execution::TaskContext;
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::functions_window::expr_fn::lead;
use datafusion::logical_expr::{Expr, ExprFunctionExt as _, lit};
use datafusion::parquet::errors::ParquetError;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{
    CsvReadOptions, DataFrame, ParquetReadOptions, SessionContext, cast, ident,
};
use futures::FutureExt as _;
use sparrow_model::{Histories, MovieId, Movies, UserIndex};
use url::Url;

use super::bad_value::BadValue;
use super::{Error, functions};

const COLUMNS: [&str; 4] = ["userId", "movieId", "rating", "timestamp"];

/// A clean CSV file that is sorted by user.
pub(super) async fn grouped_csv(context: &SessionContext, file: &Path) -> Result<DataFrame, Error> {
    let types = [DataType::UInt32, DataType::UInt32, DataType::Float64, DataType::UInt32];
    let fields = COLUMNS.into_iter().zip(types).map(|(name, of)| Field::new(name, of, false));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let order = vec![vec![ident("userId").sort(true, false)]];
    let options = CsvReadOptions::new().schema(&schema).file_sort_order(order);
    let ratings = context.read_csv(file_url(file)?.as_str(), options).await?;
    normalised(ratings)
}

pub(super) fn in_memory(
    context: &SessionContext,
    histories: Histories,
    movies: &Arc<Movies>,
) -> Result<DataFrame, Error> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("userId", DataType::UInt32, false),
        Field::new("movieId", DataType::UInt32, false),
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
                    users.push(history.user().0);
                    ids.push(movies.as_slice()[rated.movie.index()].id.0);
                    half_stars.push(rated.stars.half_stars());
                    timestamps.push(rated.timestamp);
                }
            }
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt32Array::from(users)),
                Arc::new(UInt32Array::from(ids)),
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
/// The URL of a file or folder.
pub(crate) fn file_url(path: &Path) -> Result<Url, Error> {
    let absolute = std::path::absolute(path).ok();
    let url = absolute.and_then(|path| Url::from_file_path(path).ok());
    url.ok_or_else(|| Error::Malformed {
        file: path.display().to_string(),
        what: "the path cannot be converted to a URL".to_owned(),
    })
}

/// Ratings with the columns and types of the table `ratings`.
fn normalised(ratings: DataFrame) -> Result<DataFrame, Error> {
    let half_stars = functions::half_stars().call(vec![cast(ident("rating"), DataType::Float64)]);
    let whole = |column: &str| -> Result<Expr, Error> {
        let found = ratings.schema().field_with_unqualified_name(column)?.data_type();
        let has_fractions = found.is_floating() || found.is_decimal();
        let number = if has_fractions {
            functions::whole().call(vec![cast(ident(column), DataType::Float64), lit(column)])
        } else {
            cast(ident(column), DataType::UInt32)
        };
        Ok(number.alias(column))
    };
    let columns = vec![
        whole("userId")?,
        whole("movieId")?,
        half_stars.alias("halfStars"),
        whole("timestamp")?,
    ];
    Ok(ratings.select(columns)?)
}

/// The Parquet file or folder of parts with the ratings of a data set.
pub(super) fn parquet_in(folder: &Path) -> Option<PathBuf> {
    let file = folder.join("ratings.parquet");
    let parts = folder.join("ratings");
    if file.exists() { Some(file) } else { parts.is_dir().then_some(parts) }
}

/// Ratings in Parquet files, which are checked first, with columns of any numeric type.
pub(super) async fn parquet(
    context: &SessionContext,
    path: &Path,
    file: &str,
) -> Result<DataFrame, Error> {
    for part in parquet_files(path) {
        let checked = sparrow_parquet::check_file(&part, &COLUMNS);
        let what = match checked {
            Ok(Ok(())) => continue,
            Ok(Err(what)) => format!("is not readable as Parquet: {what}"),
            Err(error) => format!("cannot be read: {error}"),
        };
        return Err(Error::Malformed { file: part.display().to_string(), what });
    }
    let mut url = file_url(path)?.to_string();
    if path.is_dir() {
        url.push('/');
    }
    let read = context.read_parquet(url, ParquetReadOptions::default()).await;
    let ratings = read.map_err(|source| Error::Read { file: file.to_owned(), source })?;
    let names: BTreeSet<&str> =
        ratings.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let missing: Vec<&str> = COLUMNS.into_iter().filter(|name| !names.contains(name)).collect();
    if !missing.is_empty() {
        let present: Vec<&str> = names.into_iter().collect();
        let what = match present[..] {
            [] => "it contains no Parquet files".to_owned(),
            _ => format!("no column {} among {}", missing.join(", "), present.join(", ")),
        };
        return Err(Error::Malformed { file: file.to_owned(), what });
    }
    // Readers that ignore case, such as Spark, could choose either.
    for column in COLUMNS {
        let same = names.iter().filter(|name| name.eq_ignore_ascii_case(column));
        let same: Vec<&str> = same.copied().collect();
        if same.len() > 1 {
            let what = format!("the columns {} have the same name: rename one", same.join(" and "));
            return Err(Error::Malformed { file: file.to_owned(), what });
        }
    }
    normalised(ratings)
}

/// The Parquet file at a path, or the files in this folder in order of name.
fn parquet_files(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let parts =
        fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_parquet = |path: &PathBuf| path.extension().is_some_and(|name| name == "parquet");
    let mut parts: Vec<PathBuf> = parts.filter(is_parquet).collect();
    parts.sort();
    parts
}

/// The result of [`check`].
pub(super) struct Checked {
    pub(super) users: usize,
    pub(super) ratings: usize,
    /// 0 if there are no users.
    pub(super) greatest_user: u32,
}

/// Reads and checks all ratings, and returns their statistics or the fault. The decoder panics on
/// some damaged files.
pub(super) async fn check(
    ratings: DataFrame,
    movies: &Movies,
    file: &str,
) -> Computed<Result<Checked, Error>> {
    let checked = AssertUnwindSafe(scan(ratings, movies, file)).catch_unwind().await;
    checked.unwrap_or_else(|panic| {
        let what =
            format!("is not readable as Parquet: {}", sparrow_parquet::panic_message(&*panic));
        Ok(Err(Error::Malformed { file: file.to_owned(), what }))
    })
}

async fn scan(ratings: DataFrame, movies: &Movies, file: &str) -> Computed<Result<Checked, Error>> {
    let malformed = |what: String| Err(Error::Malformed { file: file.to_owned(), what });
    // The sum makes the engine decode the ratings themselves.
    let each = |column: &str| count(ident(column)).alias(column);
    let all = vec![
        count(lit(1)).alias("rows"),
        each("userId"),
        each("movieId"),
        each("timestamp"),
        sum(cast(ident("halfStars"), DataType::Int64)).alias("halfStars"),
        max(ident("userId")).alias("greatestUser"),
        min(ident("userId")).alias("smallestUser"),
    ];
    let users = ratings.clone().aggregate(vec![ident("userId")], vec![])?.count().await?;
    let by_movie = ratings.aggregate(vec![ident("movieId").alias("id")], all)?.collect().await?;
    let (mut rows, mut greatest_user) = (0, 0);
    for batch in by_movie {
        let greatest = batch.column(6).as_primitive::<UInt32Type>();
        greatest_user = greatest_user.max(compute::max(greatest).unwrap_or(0));
        if compute::min(batch.column(7).as_primitive::<UInt32Type>()) == Some(0) {
            let what = format!("userId is 0, not a whole number from 1 to {}", u32::MAX);
            return Ok(malformed(what));
        }
        let [all, user, movie, timestamp] =
            [1, 2, 3, 4].map(|index: usize| batch.column(index).as_primitive::<Int64Type>());
        for (row, &id) in batch.column(0).as_primitive::<UInt32Type>().values().iter().enumerate() {
            for (column, filled) in [("userId", user), ("movieId", movie), ("timestamp", timestamp)]
            {
                if filled.value(row) < all.value(row) {
                    return Ok(malformed(format!("a {column} is missing")));
                }
            }
            if movies.index_of(MovieId(id)).is_none() {
                return Ok(malformed(format!("movieId {id} is not in movies.csv")));
            }
            rows += all.value(row);
        }
    }
    Ok(Ok(Checked { users, ratings: rows as usize, greatest_user }))
}

/// Keeps the latest of several ratings of one user for one movie; of those with the same time, the
/// best.
pub(super) fn latest(ratings: DataFrame) -> Result<DataFrame, Error> {
    let next = lead(ident("movieId"), Some(1), Some(ScalarValue::UInt32(Some(0))))
        .partition_by(vec![ident("userId")])
        .order_by(
            ["movieId", "timestamp", "halfStars"].map(|key| ident(key).sort(true, false)).into(),
        )
        .build()?;
    let last =
        ratings.window(vec![next.alias("next")])?.filter(ident("next").not_eq(ident("movieId")))?;
    Ok(last.select(["userId", "movieId", "halfStars", "timestamp"].map(ident))?)
}

/// Whether the input caused an error of the engine.
pub(super) fn is_input_error(error: &DataFusionError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let unusable = matches!(
            error.downcast_ref(),
            Some(ArrowError::CastError(_) | ArrowError::CsvError(..) | ArrowError::ParseError(_))
        );
        if unusable || error.is::<BadValue>() || error.is::<ParquetError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
