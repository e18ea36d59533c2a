//! The data set as tables of a session: `ratings` and `movies`.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, FixedSizeBinaryArray, RecordBatch, StringArray, UInt16Array, UInt32Array,
    UInt64Array,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, SessionContext};
use sparrow_feature_files::id_type;
use sparrow_features::{Computation, NO_GENRE};
use sparrow_model::{Movie, Movies};
use sparrow_movielens::{Options as ReaderOptions, Report, Source};

use super::encoding::Packed;
use super::{Error, ratings};

/// A data set whose tables are registered in a session, one per session:
///
/// * `ratings`: userId, movieId (`UInt32`), halfStars (`UInt8`), timestamp (`UInt32`), each pair of
///   user and movie once;
/// * `movies`: movieId (`UInt32`), releaseYear (`UInt16`, 0 where it is not known), genres (`UInt64`,
///   a bit each), attributes (features packed for `feature`).
pub struct DataSet {
    context: SessionContext,
    genre_names: ScalarValue,
    report: Report,
    user_id_type: DataType,
    movie_id_type: DataType,
    /// The name of the ratings in messages.
    file: String,
}

impl DataSet {
    /// Opens the data set in a folder. Movies are read immediately. Ratings are read from
    ///
    /// * the URL of `ratings.csv`, if it is clean and sorted by user, as published by GroupLens;
    ///   its order is declared to the planner, so that no sort by user takes place;
    /// * memory, with eight bytes each, for other CSV files and the older formats;
    /// * the URL of `ratings.parquet`, a file or a folder of parts, or of the folder `ratings`,
    ///   beside `movies.csv`. Of several ratings of one user for one movie, the latest counts; of
    ///   those with the same time, the best.
    pub async fn open(
        context: &SessionContext,
        folder: &Path,
        options: &ReaderOptions,
    ) -> Result<Self, Error> {
        match (Source::open(folder), ratings::parquet_in(folder)) {
            (Ok(source), _) => Self::of_source(context, &source, options).await,
            (Err(_), Some(parquet)) => Self::of_parquet(context, folder, &parquet, options).await,
            (Err(error), None) => Err(error.into()),
        }
    }

    async fn of_source(
        context: &SessionContext,
        source: &Source,
        options: &ReaderOptions,
    ) -> Result<Self, Error> {
        let survey = source.survey(options)?;
        let file = source.ratings_file().to_owned();
        let greatest_user = survey.greatest_user.map_or(0, |user| user.0);
        let mut report = survey.report;
        let movies = Arc::new(survey.movies);
        let ratings = if survey.grouped_csv {
            ratings::grouped_csv(context, Path::new(&file)).await?
        } else {
            let loaded = source.load_histories(options)?;
            report = loaded.report;
            ratings::in_memory(context, loaded.histories, &movies)?
        };
        Self::register(context, ratings, &movies, greatest_user, report, file)
    }

    async fn of_parquet(
        context: &SessionContext,
        folder: &Path,
        parquet: &Path,
        options: &ReaderOptions,
    ) -> Result<Self, Error> {
        let (movies, mut report) = Source::open_movies(folder)?.load_movies(options)?;
        let file = parquet.display().to_string();
        let read = |source| Error::Read { file: file.clone(), source };
        let rows = ratings::parquet(context, parquet, &file).await?;
        let found = ratings::check(rows.clone(), &movies, &file).await.map_err(read)??;
        (report.users, report.ratings) = (found.users, found.ratings);
        let ratings = ratings::latest(rows)?;
        Self::register(context, ratings, &movies, found.greatest_user, report, file)
    }

    fn register(
        context: &SessionContext,
        ratings: DataFrame,
        movies: &Movies,
        greatest_user: u32,
        report: Report,
        file: String,
    ) -> Result<Self, Error> {
        let greatest_movie = movies.as_slice().last().map_or(0, |movie| movie.id.0);
        context.register_table("ratings", ratings.into_view())?;
        let (table, genre_names) = movie_table(movies)?;
        context.register_table("movies", Arc::new(table))?;
        Ok(Self {
            context: context.clone(),
            genre_names,
            report,
            user_id_type: id_type(greatest_user),
            movie_id_type: id_type(greatest_movie),
            file,
        })
    }

    /// The table `ratings`.
    pub async fn ratings(&self) -> Result<DataFrame, Error> {
        Ok(self.context.table("ratings").await?)
    }

    /// The table `movies`.
    pub async fn movies(&self) -> Result<DataFrame, Error> {
        Ok(self.context.table("movies").await?)
    }

    /// The list of genre names that `feature` takes.
    pub(crate) fn genre_names(&self) -> ScalarValue {
        self.genre_names.clone()
    }

    /// The type of user ids in files: `Int32`, as in Spark and TensorFlow, if all ids fit;
    /// otherwise `Int64`.
    pub const fn user_id_type(&self) -> &DataType {
        &self.user_id_type
    }

    /// The type of movie ids in files, by the same rule.
    pub const fn movie_id_type(&self) -> &DataType {
        &self.movie_id_type
    }

    /// Statistics of the files. Duplicates in Parquet files are not counted.
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Adds the name of the ratings to an error that their content has caused.
    pub(crate) fn attribute(&self, error: DataFusionError) -> Error {
        if ratings::is_input_error(&error) {
            Error::Read { file: self.file.clone(), source: error }
        } else {
            Error::Engine(error)
        }
    }
}

impl fmt::Debug for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataSet").field("report", &self.report).finish_non_exhaustive()
    }
}

fn movie_table(movies: &Movies) -> Result<(MemTable, ScalarValue), Error> {
    let mut names: Vec<&str> =
        movies.genres().iter().map(|genre| movies.genres().name(genre)).collect();
    names.resize(NO_GENRE as usize + 1, "");
    let names: ArrayRef = Arc::new(StringArray::from(names));
    let rows = || movies.as_slice().iter();
    let packed = |movie: &Movie| {
        let value = |computation: &Computation| match computation {
            Computation::Movie(compute) => Some(compute(movie)),
            Computation::User(_) | Computation::Ratings(_) => None,
        };
        Some(Packed::Movie.pack(value))
    };
    let packed = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
        rows().map(packed),
        Packed::Movie.size(),
    )
    .map_err(datafusion::error::DataFusionError::from)?;
    let columns: [(&str, ArrayRef); 4] = [
        ("movieId", Arc::new(UInt32Array::from_iter_values(rows().map(|m| m.id.0)))),
        (
            "releaseYear",
            Arc::new(UInt16Array::from_iter_values(rows().map(|m| m.year.unwrap_or(0)))),
        ),
        ("genres", Arc::new(UInt64Array::from_iter_values(rows().map(|m| m.genre_set.bits())))),
        ("attributes", Arc::new(packed)),
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
            .map(|index| ScalarValue::try_from_array(&names, index))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter(),
        &DataType::Utf8,
        false,
    );
    Ok((MemTable::try_new(schema, vec![vec![batch]])?, ScalarValue::List(list)))
}
