//! The functions that are registered in a session, so that plans refer to them by name.
//!
//! | function | kind | result |
//! |---|---|---|
//! | `half_stars(rating)` | scalar | the rating in half stars; an error for an invalid rating |
//! | `whole(number, column)` | scalar | the number as `UInt32`; an error for a fraction or a value
//! out of range |
//! | `stars(half_stars)` | scalar | the rating in stars |
//! | `chance(seed, user, movie)` | scalar | a number from 0 up to 1, the same on every run |
//! | `shuffle_key(seed, user, movie)` | scalar | 64 bits to sort by for a random order, no two pairs the same |
//! | `rating_features(count, half_stars, squares)` | scalar | the packed features of a movie that follow from its ratings |
//! | `user_features_before(movie, half_stars, year, genres)` | window | the packed features of the rows before |
//! | `user_features_at_end(movie, half_stars, year, genres)` | window | those of all rows in the last row, else null |
//! | `movie_statistics_before(half_stars, timestamp)` | window | the packed features of a movie that follow from its ratings with earlier timestamps |
//! | `feature(packed, name, genre_names)` | scalar | a feature out of packed ones |

use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, AsArray as _, FixedSizeBinaryArray, Float32Array, Float64Array,
    UInt8Array, UInt32Array, UInt64Array,
};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int64Type, UInt8Type, UInt32Type, UInt64Type,
};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::prelude::SessionContext;
use sparrow_features::RatingStats;
use sparrow_random::{scramble, unit};

use super::bad_value::BadValue;
use super::encoding::{Feature, Packed, pack_ratings};
use super::movie_window::MovieStatisticsWindow;
use super::user_window::UserFeaturesWindow;

/// Makes the functions of the pipeline known to a session: `half_stars`, `whole`, `stars`, `chance`, `shuffle_key`,
/// `rating_features`, `feature`, and the window functions `user_features_before`, `user_features_at_end` and `movie_statistics_before`.
pub fn register(context: &SessionContext) {
    context.register_udf(half_stars());
    context.register_udf(whole());
    context.register_udf(rating_features());
    context.register_udf(stars());
    context.register_udf(chance());
    context.register_udf(shuffle_key());
    context.register_udf(feature());
    context.register_udwf(UserFeaturesWindow::before());
    context.register_udwf(UserFeaturesWindow::at_end());
    context.register_udwf(MovieStatisticsWindow::before());
}

pub(super) fn half_stars() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Float64], Volatility::Immutable);
    Columns {
        name: "half_stars",
        signature,
        gives: DataType::UInt8,
        compute: |columns| {
            let ratings = columns[0].as_primitive::<Float64Type>();
            if ratings.null_count() > 0 {
                return Err(BadValue::error("a rating is missing".to_owned()));
            }
            let mut half_stars = Vec::with_capacity(ratings.len());
            for &stars in ratings.values() {
                let doubled = stars * 2.0;
                if !(1.0..=10.0).contains(&doubled) || doubled.fract() != 0.0 {
                    return Err(BadValue::error(format!(
                        "rating is {stars}, not one of 0.5, 1.0, … 5.0"
                    )));
                }
                half_stars.push(doubled as u8);
            }
            Ok(Arc::new(UInt8Array::from(half_stars)))
        },
    }
    .into()
}

/// Converts a column of floats to integers; a cast would truncate fractions. The second argument is
/// the name of the column, for messages.
pub(super) fn whole() -> ScalarUDF {
    let signature =
        Signature::exact(vec![DataType::Float64, DataType::Utf8], Volatility::Immutable);
    Columns {
        name: "whole",
        signature,
        gives: DataType::UInt32,
        compute: |columns| {
            let numbers = columns[0].as_primitive::<Float64Type>();
            let column = columns[1].as_string::<i32>().iter().flatten().next().unwrap_or_default();
            if numbers.null_count() > 0 {
                return Err(BadValue::error(format!("a {column} is missing")));
            }
            let whole = |&number: &f64| {
                let fits = (0.0..=f64::from(u32::MAX)).contains(&number) && number.fract() == 0.0;
                let problem = || {
                    let most = u32::MAX;
                    format!("{column} is {number}, not a whole number from 0 to {most}")
                };
                if fits { Ok(number as u32) } else { Err(BadValue::error(problem())) }
            };
            let all: Result<Vec<u32>> = numbers.values().iter().map(whole).collect();
            Ok(Arc::new(UInt32Array::from(all?)))
        },
    }
    .into()
}

/// The packed features that follow from the ratings of a movie, from sums over them.
pub(super) fn rating_features() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::Int64; 3], Volatility::Immutable);
    Columns {
        name: "rating_features",
        signature,
        gives: Packed::Ratings.data_type(),
        compute: |columns| {
            let [counts, sums, squares] =
                [0, 1, 2].map(|index: usize| columns[index].as_primitive::<Int64Type>());
            let packed = (0..counts.len()).map(|row| {
                let ratings = RatingStats::from_sums(
                    counts.value(row) as u32,
                    sums.value(row) as u64,
                    squares.value(row) as u64,
                );
                Some(pack_ratings(&ratings))
            });
            let size = Packed::Ratings.size();
            Ok(Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(packed, size)?))
        },
    }
    .into()
}

pub(super) fn stars() -> ScalarUDF {
    let signature = Signature::exact(vec![DataType::UInt8], Volatility::Immutable);
    Columns {
        name: "stars",
        signature,
        gives: DataType::Float32,
        compute: |columns| {
            let half_stars = columns[0].as_primitive::<UInt8Type>().values();
            Ok(Arc::new(Float32Array::from_iter_values(
                half_stars.iter().map(|&half| f32::from(half) / 2.0),
            )))
        },
    }
    .into()
}

/// A reproducible random number from 0 up to 1.
pub(super) fn chance() -> ScalarUDF {
    Columns {
        name: "chance",
        signature: of_seed_and_pair(),
        gives: DataType::Float64,
        compute: |columns| {
            Ok(Arc::new(Float64Array::from_iter_values(scrambled(columns).map(unit))))
        },
    }
    .into()
}

/// The sort key of a pair in a random order: 64 bits, different for each pair because [`scramble`]
/// is injective.
pub(super) fn shuffle_key() -> ScalarUDF {
    Columns {
        name: "shuffle_key",
        signature: of_seed_and_pair(),
        gives: DataType::UInt64,
        compute: |columns| Ok(Arc::new(UInt64Array::from_iter_values(scrambled(columns)))),
    }
    .into()
}

fn of_seed_and_pair() -> Signature {
    let types = vec![DataType::UInt64, DataType::UInt32, DataType::UInt32];
    Signature::exact(types, Volatility::Immutable)
}

/// 64 bits for each seed, user and movie.
fn scrambled(columns: &[ArrayRef]) -> impl Iterator<Item = u64> {
    let seeds = columns[0].as_primitive::<UInt64Type>().values();
    let [users, movies] =
        [1, 2].map(|index: usize| columns[index].as_primitive::<UInt32Type>().values());
    seeds.iter().zip(users).zip(movies).map(|((&seed, &user), &movie)| {
        scramble(scramble(seed) ^ (u64::from(user) << 32 | u64::from(movie)))
    })
}

/// A scalar function of columns.
struct Columns {
    name: &'static str,
    signature: Signature,
    gives: DataType,
    compute: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

impl std::fmt::Debug for Columns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

// Functions with the same name are equal.
impl PartialEq for Columns {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Columns {}

impl std::hash::Hash for Columns {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Columns {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.gives.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name, self.gives.clone(), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        (self.compute)(&columns).map(ColumnarValue::Array)
    }
}

/// One of the features in packed values of [`Packed`].
pub(super) fn feature() -> ScalarUDF {
    Unpack { signature: Signature::any(3, Volatility::Immutable) }.into()
}

/// Takes the feature of a name out of packed values.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Unpack {
    signature: Signature,
}

impl Unpack {
    fn feature(name: Option<&str>) -> Result<Feature> {
        let Some(feature) = name.and_then(Feature::named) else {
            return plan_err!("feature takes the name of a feature, not {name:?}");
        };
        Ok(feature)
    }
}

impl ScalarUDFImpl for Unpack {
    fn name(&self) -> &'static str {
        "feature"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        plan_err!("the type of {} depends on its arguments", self.name())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let name = args.scalar_arguments[1].and_then(|name| name.try_as_str().flatten());
        let data_type = Self::feature(name)?.data_type();
        Ok(Arc::new(Field::new(self.name(), data_type, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let packed = args.args[0].to_array(args.number_rows)?;
        let (ColumnarValue::Scalar(name), ColumnarValue::Scalar(ScalarValue::List(names))) =
            (&args.args[1], &args.args[2])
        else {
            return exec_err!("{} takes a name and the list of genre names", self.name());
        };
        let feature = Self::feature(name.try_as_str().flatten())?;
        let expected = feature.packed().data_type();
        match packed.as_fixed_size_binary_opt() {
            Some(packed) if *packed.data_type() == expected => {
                feature.unpack(packed, &names.value(0)).map(ColumnarValue::Array)
            }
            _ => exec_err!("{} takes packed features of the type {expected}", self.name()),
        }
    }
}
