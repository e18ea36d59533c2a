//! The rows that a plan gives, with a look at how far it has come.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::DataFrame;
use futures::StreamExt as _;

use super::{DataSet, Error};

/// How often progress is told while a plan reads and gives nothing yet.
const PAUSE: Duration = Duration::from_millis(200);

/// A plan that runs.
pub(crate) struct BatchStream<'a> {
    data: &'a DataSet,
    plan: Arc<dyn ExecutionPlan>,
    batches: SendableRecordBatchStream,
}

impl<'a> BatchStream<'a> {
    pub(crate) async fn of(data: &'a DataSet, table: DataFrame) -> Result<Self, Error> {
        let context = Arc::new(table.task_ctx());
        let plan = table.create_physical_plan().await.map_err(|error| data.blame(error))?;
        let batches =
            execute_stream(Arc::clone(&plan), context).map_err(|error| data.blame(error))?;
        Ok(Self { data, plan, batches })
    }

    /// The next rows. Meanwhile tells `read`, now and then, how many rows the plan has read.
    pub(crate) async fn next(&mut self, read: impl Fn(u64)) -> Result<Option<RecordBatch>, Error> {
        loop {
            let next = tokio::time::timeout(PAUSE, self.batches.next()).await;
            read(rows_read(&*self.plan));
            if let Ok(batch) = next {
                return batch.transpose().map_err(|error| self.data.blame(error));
            }
        }
    }
}

fn rows_read(plan: &dyn ExecutionPlan) -> u64 {
    let children = plan.children();
    if children.is_empty() {
        let rows = plan.metrics().and_then(|metrics| metrics.output_rows());
        return rows.unwrap_or(0) as u64;
    }
    children.into_iter().map(|child| rows_read(&**child)).sum()
}
