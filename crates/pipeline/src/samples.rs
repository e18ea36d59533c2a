//! Training samples: each rating with the features known before it.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::functions_aggregate::count::count;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{ExprFunctionExt as _, lit};
use datafusion::prelude::{DataFrame, Expr, cast, ident};
use sparrow_features::{SAMPLE_FEATURES, USER};
use sparrow_model::Split;

use super::movie_window::MovieStatisticsWindow;
use super::queries::{collect_rows, feature, movie_id, user_id, with_movies};
use super::random_sort::SHUFFLE_KEY;
use super::user_window::UserFeaturesWindow;
use super::{DataSet, Error, functions};

/// The order of samples in their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// A random order that depends on the seed: for trainers that read a file in order, or shuffle
    /// only a part of it at a time.
    #[default]
    Random,
    /// By (user id, timestamp, movie id).
    Data,
}

/// Options of samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleOptions {
    /// The split into training and test.
    pub split: Split,
    /// The fraction of the samples for testing, from 0 to 1.
    pub test_fraction: f64,
    /// The seed of [`Split::Random`], of `sample_fraction`, and of [`Order::Random`].
    pub seed: u64,
    /// The order of the samples.
    pub order: Order,
    /// The fraction of the samples to keep, from 0 to 1.
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

/// The first columns of samples; [`SAMPLE_FEATURES`] follow.
const RATING_COLUMNS: [&str; 5] = ["movieId", "userId", "rating", "timestamp", "label"];

/// The names of the columns of samples, in their order.
pub const SAMPLE_COLUMNS: [&str; RATING_COLUMNS.len() + SAMPLE_FEATURES.len()] = {
    let mut names = [""; RATING_COLUMNS.len() + SAMPLE_FEATURES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = match index.checked_sub(RATING_COLUMNS.len()) {
            None => RATING_COLUMNS[index],
            Some(feature) => SAMPLE_FEATURES[feature].name,
        };
        index += 1;
    }
    names
};

/// The minimum number of earlier ratings of a sample's user.
const MIN_EARLIER: i32 = 2;

/// The samples in the order of the options: the [`SAMPLE_COLUMNS`], and `test`, which is true for
/// samples for testing.
///
/// A sample is a rating with the features of its user over the preceding ratings, and the
/// statistics of its movie over the ratings with an earlier timestamp. Ratings of users with fewer
/// than two earlier ones are omitted. Missing movies are 0, missing genres are "".
pub async fn samples(data: &DataSet, options: &SampleOptions) -> Result<DataFrame, Error> {
    let rated = with_movies(
        data,
        with_movie_statistics(data.ratings().await?)?,
        &["releaseYear", "genres", "attributes"],
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
    let mut kept = rated.filter(earlier_ratings(data).gt_eq(lit(MIN_EARLIER)))?;
    if options.sample_fraction < 1.0 {
        kept = kept.filter(chance(SAMPLE_SALT).lt(lit(options.sample_fraction)))?;
    }
    let narrow =
        ["movieId", "userId", "halfStars", "timestamp", "attributes", "statistics", "features"];
    let mut columns: Vec<Expr> = narrow.map(ident).into();
    columns.push(test.alias("test"));
    let key = match options.order {
        Order::Random => {
            let seed = lit(options.seed.wrapping_add(ORDER_SALT));
            let key = functions::shuffle_key().call(vec![seed, ident("userId"), ident("movieId")]);
            columns.push(key.alias(SHUFFLE_KEY));
            SHUFFLE_KEY
        }
        // Each user is in one partition, so merging by user keeps the order of each user's rows.
        Order::Data => "userId",
    };
    let merged = kept.select(columns)?.sort(vec![ident(key).sort(true, false)])?;
    let mut columns: Vec<Expr> = RATING_COLUMNS.map(|name| column(data, name)).into();
    columns.extend(SAMPLE_FEATURES.map(|definition| feature(data, definition)));
    columns.push(ident("test"));
    Ok(merged.select(columns)?)
}

/// Makes the selection of samples independent of that of tests.
const SAMPLE_SALT: u64 = 0x7361_6d70_6c65;

/// Makes the order independent of both selections.
const ORDER_SALT: u64 = 0x006f_7264_6572;

fn in_time() -> Vec<datafusion::logical_expr::SortExpr> {
    ["timestamp", "movieId"].map(|key| ident(key).sort(true, false)).into()
}

/// A column of the files, computed from the columns of the plan.
fn column(data: &DataSet, name: &str) -> Expr {
    match name {
        "rating" => functions::stars().call(vec![ident("halfStars")]).alias(name),
        "label" => cast(ident("halfStars").gt_eq(lit(7_u8)), DataType::Int32).alias(name),
        "userId" => user_id(data),
        "movieId" => movie_id(data),
        _ => cast(ident(name), DataType::Int64).alias(name),
    }
}

/// The number of the user's earlier ratings in the window.
fn earlier_ratings(data: &DataSet) -> Expr {
    let count = sparrow_features::find(USER, "userRatingCount");
    feature(data, count.expect("users have the feature userRatingCount"))
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

/// Adds `firstRatings`: the number of the user's ratings, oldest first, for training.
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

/// The first timestamp of ratings for testing: the earliest one from which on at most the given
/// fraction of all ratings follows. `None` if there is none.
async fn first_test_moment(data: &DataSet, test_fraction: f64) -> Result<Option<u32>, Error> {
    // Counts by time span first, then within the span of the result, so that the number of groups
    // is limited.
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

/// Seconds per time span.
const SPAN: u32 = 1 << 16;

async fn counts_from_latest(ratings: DataFrame, key: Expr) -> Result<Vec<(u32, i64)>, Error> {
    let counts = ratings.aggregate(vec![key.alias("key")], vec![count(lit(1)).alias("count")])?;
    let mut rows = collect_rows(counts).await?;
    rows.sort_unstable_by(|a, b| b.cmp(a));
    Ok(rows)
}
