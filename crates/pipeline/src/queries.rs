//! Features as plans over the tables of a [`DataSet`](super::DataSet).

use datafusion::arrow::array::AsArray as _;
use datafusion::arrow::datatypes::{DataType, Int64Type, UInt32Type};
use datafusion::common::JoinType;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::functions_aggregate::expr_fn::{count, sum};
use datafusion::logical_expr::{ExprFunctionExt as _, lit};
use datafusion::prelude::{DataFrame, Expr, cast, ident};
use sparrow_features::{Computation, Definition, MOVIE, USER, ValueType};

use super::user_window::UserFeaturesWindow;
use super::{DataSet, Error, functions};

/// The features of each user after all of the user's ratings, by user id: `userId` and the
/// features of [`USER`]. Movies that are missing are null, genres that are missing are "".
pub async fn user_features(data: &DataSet) -> Result<DataFrame, Error> {
    let features = UserFeaturesWindow::at_end()
        .call(["movieId", "halfStars", "releaseYear", "genres"].map(ident).into())
        .partition_by(vec![ident("userId")])
        .order_by(["timestamp", "movieId"].map(|key| ident(key).sort(true, false)).into())
        .build()?;
    let ratings = with_movies(data, data.ratings().await?, &["releaseYear", "genres"]).await?;
    let ends = ratings
        .window(vec![features.alias("features")])?
        .filter(ident("features").is_not_null())?;
    let mut columns = vec![user_id(data)];
    columns.extend(USER.iter().map(|definition| match definition.value_type {
        ValueType::MovieId => {
            let movie = nullif(packed_feature(data, definition), lit(0_u32));
            cast(movie, data.movie_id_type().clone()).alias(definition.name)
        }
        _ => feature(data, definition),
    }));
    let by_id = vec![ident("userId").sort(true, false)];
    Ok(ends.select(vec![ident("userId"), ident("features")])?.sort(by_id)?.select(columns)?)
}

/// The features of each movie that has ratings, over all of them, by movie id: `movieId` and the
/// features of [`MOVIE`].
pub async fn movie_features(data: &DataSet) -> Result<DataFrame, Error> {
    let half_stars = || cast(ident("halfStars"), DataType::Int64);
    let statistics = data.ratings().await?.aggregate(
        vec![ident("movieId").alias("id")],
        vec![
            count(lit(1)).alias("count"),
            sum(half_stars()).alias("sum"),
            sum(half_stars() * half_stars()).alias("squares"),
        ],
    )?;
    let [count, sum, squares] = ["count", "sum", "squares"].map(ident);
    let mut columns = vec![movie_id(data)];
    columns.extend(MOVIE.iter().map(|definition| feature(data, definition)));
    let rated = data.movies().await?.join_on(
        statistics,
        JoinType::Inner,
        [ident("movieId").eq(ident("id"))],
    )?;
    let packed = functions::rating_features().call(vec![count, sum, squares]).alias("statistics");
    let rated = rated.select(vec![ident("movieId"), ident("attributes"), packed])?;
    Ok(rated.select(columns)?.sort(vec![ident("movieId").sort(true, false)])?)
}

/// Adds columns of the movies to the ratings; null for unknown movies.
pub(super) async fn with_movies(
    data: &DataSet,
    ratings: DataFrame,
    columns: &[&str],
) -> Result<DataFrame, Error> {
    let mut of_movies = vec![ident("movieId").alias("id")];
    of_movies.extend(columns.iter().copied().map(ident));
    let movies = data.movies().await?.select(of_movies)?;
    // The movies are the build side of the join; ratings are streamed in their order.
    Ok(movies.join_on(ratings, JoinType::Right, [ident("id").eq(ident("movieId"))])?)
}

/// User ids with the type in files.
pub(super) fn user_id(data: &DataSet) -> Expr {
    cast(ident("userId"), data.user_id_type().clone()).alias("userId")
}

pub(super) fn movie_id(data: &DataSet) -> Expr {
    cast(ident("movieId"), data.movie_id_type().clone()).alias("movieId")
}

/// A feature as it is in samples: a missing movie is 0.
pub(super) fn feature(data: &DataSet, definition: &Definition) -> Expr {
    let feature = packed_feature(data, definition);
    let feature = match definition.value_type {
        ValueType::MovieId => cast(feature, data.movie_id_type().clone()),
        _ => feature,
    };
    feature.alias(definition.name)
}

/// A feature out of the column with packed features of its kind.
fn packed_feature(data: &DataSet, definition: &Definition) -> Expr {
    let packed = match definition.computed_by {
        Computation::User(_) => "features",
        Computation::Movie(_) => "attributes",
        Computation::Ratings(_) => "statistics",
    };
    functions::feature().call(vec![ident(packed), lit(definition.name), lit(data.genre_names())])
}

/// The rows of a small table with two columns.
pub(super) async fn collect_rows(table: DataFrame) -> Result<Vec<(u32, i64)>, Error> {
    let mut rows = Vec::new();
    for batch in table.collect().await? {
        let keys = batch.column(0).as_primitive::<UInt32Type>().values();
        let counts = batch.column(1).as_primitive::<Int64Type>().values();
        rows.extend(keys.iter().copied().zip(counts.iter().copied()));
    }
    Ok(rows)
}
