//! The statistics of movies as a window function: `OVER (PARTITION BY movieId ORDER BY timestamp)`.
//!
//! Aggregates over `RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING` return the same sums, but
//! search the end of the frame once per aggregate and row. That took a third of the time of all
//! samples.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray as _};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, UInt8Type, UInt32Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_plan::PhysicalExpr;
use sparrow_features::RatingStats;
use sparrow_model::Stars;

use super::encoding::{Packed, pack_ratings};

/// `movie_statistics_before`: the packed statistics of the movie over all ratings with a timestamp
/// before that of the row.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct MovieStatisticsWindow {
    signature: Signature,
}

impl MovieStatisticsWindow {
    pub(super) fn before() -> WindowUDF {
        let arguments = vec![DataType::UInt8, DataType::UInt32];
        let signature = Signature::exact(arguments, Volatility::Immutable);
        WindowUDF::from(Self { signature })
    }
}

impl WindowUDFImpl for MovieStatisticsWindow {
    fn name(&self) -> &'static str {
        "movie_statistics_before"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(args.name(), Packed::Ratings.data_type(), false)))
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs<'_>,
    ) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator::default()))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::None
    }
}

/// Folds the ratings of one movie.
#[derive(Debug, Default)]
struct Evaluator {
    /// The statistics of all ratings so far.
    statistics: RatingStats,
    /// The timestamp of the last of them.
    moment: u32,
    /// The packed features before that moment.
    before: Vec<u8>,
}

impl PartitionEvaluator for Evaluator {
    fn supports_bounded_execution(&self) -> bool {
        true
    }

    /// Is called once per row, in order.
    fn evaluate(
        &mut self,
        columns: &[ArrayRef],
        range: &std::ops::Range<usize>,
    ) -> Result<ScalarValue> {
        let half_stars = columns[0].as_primitive::<UInt8Type>().value(range.start);
        let timestamp = columns[1].as_primitive::<UInt32Type>().value(range.start);
        if timestamp != self.moment || self.before.is_empty() {
            self.moment = timestamp;
            self.before = pack_ratings(&self.statistics);
        }
        // `half_stars` has validated them.
        self.statistics.add(Stars::from_half_stars(half_stars).unwrap_or(Stars::MIN));
        Ok(ScalarValue::FixedSizeBinary(Packed::Ratings.size(), Some(self.before.clone())))
    }

    fn evaluate_all(&mut self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let values: Vec<ScalarValue> =
            (0..rows).map(|row| self.evaluate(columns, &(row..row + 1))).collect::<Result<_>>()?;
        ScalarValue::iter_to_array(values)
    }
}
