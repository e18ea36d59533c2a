//! Training samples: each rating with what was known just before it.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::functions_aggregate::count::count;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{ExprFunctionExt as _, lit};
use datafusion::prelude::{DataFrame, Expr, cast, ident};
use sparrow_features::USER_FIELDS;
use sparrow_model::Split;

use super::movie_window::MovieStatisticsWindow;
use super::queries::{
    collect_rows, is_movie, movie_genre, movie_id, movie_statistic, user_feature, user_id,
    with_movies,
};
use super::random_sort::PLACE;
use super::user_window::UserFeaturesWindow;
use super::{DataSet, Error, functions};

/// The order of samples in their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// A random order, which the seed determines: for trainers that read a file from its beginning, or
    /// shuffle a part of it at a time.
    #[default]
    Random,
    /// By (user id, timestamp, movie id).
    Data,
}

/// Which samples are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// How they are divided.
    pub split: Split,
    /// The part of the samples that is for testing, from 0 to 1.
    pub test_fraction: f64,
    /// Which samples chance picks, for [`Split::Random`] and for `sample_fraction`; and their order, for
    /// [`Order::Random`].
    pub seed: u64,
    /// The order in which they come.
    pub order: Order,
    /// The part of the samples that is kept, from 0 to 1.
    pub sample_fraction: f64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        Self {
            split: Split::Random,
            test_fraction: 0.2,
            seed: 1,
            order: Order::Random,
            sample_fraction: 1.0,
        }
    }
}

/// The names of the columns of samples, in their order.
pub const SAMPLE_COLUMNS: [&str; 27] = [
    "movieId",
    "userId",
    "rating",
    "timestamp",
    "label",
    "releaseYear",
    "movieGenre1",
    "movieGenre2",
    "movieGenre3",
    "movieRatingCount",
    "movieAvgRating",
    "movieRatingStddev",
    "userRatedMovie1",
    "userRatedMovie2",
    "userRatedMovie3",
    "userRatedMovie4",
    "userRatedMovie5",
    "userRatingCount",
    "userAvgReleaseYear",
    "userReleaseYearStddev",
    "userAvgRating",
    "userRatingStddev",
    "userGenre1",
    "userGenre2",
    "userGenre3",
    "userGenre4",
    "userGenre5",
];

/// Fewer earlier ratings of the user than this make no sample.
const EARLIER: i32 = 2;

/// The samples in the order of the options: the [`SAMPLE_COLUMNS`], and `test` with whether the
/// sample is for testing.
///
/// A sample is a rating with the features that its user had just before it, and the statistics of its
/// movie over the ratings with an earlier timestamp. Ratings of users with fewer than two earlier ones
/// are left out. Movies that are missing are 0, genres that are missing are "".
pub async fn samples(data: &DataSet, options: &SampleOptions) -> Result<DataFrame, Error> {
    let rated = with_movies(
        data,
        with_movie_statistics(data.ratings().await?)?,
        &["releaseYear", "genres", "firstGenres"],
    )
    .await?;
    let features = UserFeaturesWindow::before()
        .call(["movieId", "halfStars", "releaseYear", "genres"].map(ident).into())
        .partition_by(vec![ident("userId")])
        .order_by(in_time())
        .build()?
        .alias("features");
    let chance = |salt: u64| {
        let seed = lit(options.seed.wrapping_add(salt));
        functions::chance().call(vec![seed, ident("userId"), ident("movieId")])
    };
    let (rated, test) = match options.split {
        Split::Random => (rated.window(vec![features])?, chance(0).lt(lit(options.test_fraction))),
        Split::Time => {
            let first = first_test_moment(data, options.test_fraction).await?;
            let test = first.map_or(lit(false), |first| ident("timestamp").gt_eq(lit(first)));
            (rated.window(vec![features])?, test)
        }
        Split::PerUserTime => {
            let number = row_number()
                .partition_by(vec![ident("userId")])
                .order_by(in_time())
                .build()?
                .alias("number");
            let numbered = rated.window(vec![features, number])?;
            let test = cast(ident("number"), DataType::Int64).gt(ident("firstRatings"));
            (with_first_ratings(data, numbered, options.test_fraction).await?, test)
        }
    };
    let mut kept = rated.filter(user_feature(data, "userRatingCount").gt_eq(lit(EARLIER)))?;
    if options.sample_fraction < 1.0 {
        kept = kept.filter(chance(SAMPLE_SALT).lt(lit(options.sample_fraction)))?;
    }
    let narrow = [
        "movieId",
        "userId",
        "halfStars",
        "timestamp",
        "releaseYear",
        "firstGenres",
        "statistics",
        "features",
    ];
    let mut columns: Vec<Expr> = narrow.map(ident).into();
    columns.push(test.alias("test"));
    let key = match options.order {
        Order::Random => {
            let seed = lit(options.seed.wrapping_add(ORDER_SALT));
            let place = functions::place().call(vec![seed, ident("userId"), ident("movieId")]);
            columns.push(place.alias(PLACE));
            PLACE
        }
        // Users are whole in their partition, so merging by user keeps the order of each user's rows.
        Order::Data => "userId",
    };
    let merged = kept.select(columns)?.sort(vec![ident(key).sort(true, false)])?;
    Ok(merged
        .select(SAMPLE_COLUMNS.map(|name| column(data, name)).into_iter().chain([ident("test")]))?)
}

/// Keeps the choice of samples apart from that of tests.
const SAMPLE_SALT: u64 = 0x7361_6d70_6c65;

/// Keeps the order apart from both choices.
const ORDER_SALT: u64 = 0x006f_7264_6572;

fn in_time() -> Vec<datafusion::logical_expr::SortExpr> {
    ["timestamp", "movieId"].map(|key| ident(key).sort(true, false)).into()
}

/// A column of the files, out of those that are carried through the plan.
fn column(data: &DataSet, name: &str) -> Expr {
    match name {
        "rating" => functions::stars().call(vec![ident("halfStars")]).alias(name),
        "label" => cast(ident("halfStars").gt_eq(lit(7_u8)), DataType::Int32).alias(name),
        "timestamp" => cast(ident(name), DataType::Int64).alias(name),
        "releaseYear" => cast(ident(name), DataType::Int32).alias(name),
        name if name.starts_with("movieGenre") => movie_genre(data, name),
        "movieRatingCount" | "movieAvgRating" | "movieRatingStddev" => movie_statistic(data, name),
        "userId" => user_id(data),
        "movieId" => movie_id(data),
        name if is_movie(name) => {
            cast(user_feature(data, name), data.movie_id_type().clone()).alias(name)
        }
        name if USER_FIELDS.contains(&name) => user_feature(data, name),
        name => ident(name),
    }
}

/// The ratings with `statistics` of their movies over all earlier ratings of these.
fn with_movie_statistics(ratings: DataFrame) -> Result<DataFrame, Error> {
    let statistics = MovieStatisticsWindow::before()
        .call(["halfStars", "timestamp"].map(ident).into())
        .partition_by(vec![ident("movieId")])
        .order_by(vec![ident("timestamp").sort(true, false)])
        .build()?;
    Ok(ratings.window(vec![statistics.alias("statistics")])?)
}

/// Adds `firstRatings`: how many of the user's ratings, oldest first, are not for testing.
async fn with_first_ratings(
    data: &DataSet,
    ratings: DataFrame,
    test_fraction: f64,
) -> Result<DataFrame, Error> {
    let counts = data
        .ratings()
        .await?
        .aggregate(vec![ident("userId").alias("user")], vec![count(lit(1)).alias("all")])?;
    let for_testing =
        cast(cast(ident("all"), DataType::Float64) * lit(test_fraction), DataType::Int64);
    let counts =
        counts.select(vec![ident("user"), (ident("all") - for_testing).alias("firstRatings")])?;
    Ok(counts.join_on(ratings, JoinType::Inner, [ident("user").eq(ident("userId"))])?)
}

/// The moment from which on ratings are for testing: the earliest for which these are at most the
/// given part of all ratings. `None` if there is none.
async fn first_test_moment(data: &DataSet, test_fraction: f64) -> Result<Option<u32>, Error> {
    // First by spans of time, then within the one that the moment lies in, so that there are never
    // many groups.
    let by_span = counts_from_latest(data.ratings().await?, ident("timestamp") / lit(SPAN)).await?;
    let all: i64 = by_span.iter().map(|(_, count)| count).sum();
    let mut room = (all as f64 * test_fraction) as i64;
    let mut first = None;
    for (number, count) in by_span {
        let start = number * SPAN;
        if count <= room {
            room -= count;
            first = Some(start);
            continue;
        }
        let end = start.saturating_add(SPAN - 1);
        let within =
            data.ratings().await?.filter(ident("timestamp").between(lit(start), lit(end)))?;
        for (moment, count) in counts_from_latest(within, ident("timestamp")).await? {
            if count > room {
                break;
            }
            room -= count;
            first = Some(moment);
        }
        break;
    }
    Ok(first)
}

/// Seconds in a span of time.
const SPAN: u32 = 1 << 16;

async fn counts_from_latest(ratings: DataFrame, key: Expr) -> Result<Vec<(u32, i64)>, Error> {
    let counts = ratings.aggregate(vec![key.alias("key")], vec![count(lit(1)).alias("count")])?;
    let mut rows = collect_rows(counts).await?;
    rows.sort_unstable_by(|a, b| b.cmp(a));
    Ok(rows)
}
