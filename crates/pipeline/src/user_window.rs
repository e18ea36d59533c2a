//! The features of users as window functions: `OVER (PARTITION BY userId ORDER BY timestamp, movieId)`.
//!
//! A window is folded row by row. So batches can be released after use, and a user takes the memory
//! of a hundred ratings, however long the history is.

use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array as _, ArrayRef, AsArray as _};
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_plan::PhysicalExpr;
use sparrow_features::{Computation, RatedMovie, UserWindow};
use sparrow_model::{GenreSet, MovieId, Stars};

use super::bad_value::BadValue;
use super::encoding::Packed;

/// The ratings of the user that determine the features of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RatingRange {
    /// The preceding ratings.
    Before,
    /// All ratings, in the last row only; other rows are null.
    AtEnd,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct UserFeaturesWindow {
    range: RatingRange,
    signature: Signature,
}

impl UserFeaturesWindow {
    /// `user_features_before`: the features before the rating of the row.
    pub(super) fn before() -> WindowUDF {
        Self::function(RatingRange::Before)
    }

    /// `user_features_at_end`: the features after all ratings, in the user's last row.
    pub(super) fn at_end() -> WindowUDF {
        Self::function(RatingRange::AtEnd)
    }

    fn function(range: RatingRange) -> WindowUDF {
        let arguments = vec![DataType::UInt32, DataType::UInt8, DataType::UInt16, DataType::UInt64];
        let signature = Signature::exact(arguments, Volatility::Immutable);
        WindowUDF::from(Self { range, signature })
    }
}

impl WindowUDFImpl for UserFeaturesWindow {
    fn name(&self) -> &'static str {
        match self.range {
            RatingRange::Before => "user_features_before",
            RatingRange::AtEnd => "user_features_at_end",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(
            args.name(),
            Packed::User.data_type(),
            self.range == RatingRange::AtEnd,
        )))
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator { range: self.range, window: UserWindow::default() }))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        match self.range {
            RatingRange::Before => LimitEffect::None,
            RatingRange::AtEnd => LimitEffect::Unknown,
        }
    }
}

/// Folds the ratings of one user.
#[derive(Debug)]
struct Evaluator {
    range: RatingRange,
    window: UserWindow,
}

impl PartitionEvaluator for Evaluator {
    fn supports_bounded_execution(&self) -> bool {
        true
    }

    /// The last row is recognised only when the next one arrives.
    fn is_causal(&self) -> bool {
        self.range == RatingRange::Before
    }

    fn get_range(&self, row: usize, rows: usize) -> Result<Range<usize>> {
        Ok(match self.range {
            RatingRange::Before => row..row + 1,
            RatingRange::AtEnd => row..rows.min(row + 2),
        })
    }

    /// Is called once per row, in order.
    fn evaluate(&mut self, columns: &[ArrayRef], range: &Range<usize>) -> Result<ScalarValue> {
        let rated = rated(columns, range.start)?;
        let packed = match self.range {
            RatingRange::Before => {
                let before = pack(&self.window);
                self.window.push(rated);
                Some(before)
            }
            RatingRange::AtEnd => {
                self.window.push(rated);
                (range.len() == 1).then(|| pack(&self.window))
            }
        };
        Ok(ScalarValue::FixedSizeBinary(Packed::User.size(), packed))
    }

    fn evaluate_all(&mut self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let values: Vec<ScalarValue> = (0..rows)
            .map(|row| self.evaluate(columns, &self.get_range(row, rows)?))
            .collect::<Result<_>>()?;
        ScalarValue::iter_to_array(values)
    }
}

fn pack(window: &UserWindow) -> Vec<u8> {
    let features = window.features();
    Packed::User.pack(|computation| match computation {
        Computation::User(compute) => Some(compute(&features)),
        Computation::Movie(_) | Computation::Ratings(_) => None,
    })
}

fn rated(columns: &[ArrayRef], row: usize) -> Result<RatedMovie> {
    let movie = columns[0].as_primitive::<UInt32Type>().value(row);
    let genres = columns[3].as_primitive::<UInt64Type>();
    // The movies come from an outer join.
    if genres.is_null(row) {
        return Err(BadValue::error(format!("movieId {movie} is not among the movies")));
    }
    let half_stars = columns[1].as_primitive::<UInt8Type>().value(row);
    let year = columns[2].as_primitive::<UInt16Type>().value(row);
    Ok(RatedMovie {
        movie: MovieId(movie),
        // `half_stars` has validated them.
        stars: Stars::from_half_stars(half_stars).unwrap_or(Stars::MIN),
        year: (year > 0).then_some(year),
        genres: GenreSet::from_bits(genres.value(row)),
    })
}
