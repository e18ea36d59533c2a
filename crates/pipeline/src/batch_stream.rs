//! The rows of a running plan, with its progress.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::DataFrame;
use futures::StreamExt as _;

use super::{DataSet, Error};

/// The interval of progress reports while a plan produces no rows.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) struct BatchStream<'a> {
    data: &'a DataSet,
    plan: Arc<dyn ExecutionPlan>,
    batches: SendableRecordBatchStream,
}

impl<'a> BatchStream<'a> {
    pub(crate) async fn of(data: &'a DataSet, table: DataFrame) -> Result<Self, Error> {
        let context = Arc::new(table.task_ctx());
        let plan = table.create_physical_plan().await.map_err(|error| data.attribute(error))?;
        let batches =
            execute_stream(Arc::clone(&plan), context).map_err(|error| data.attribute(error))?;
        Ok(Self { data, plan, batches })
    }

    /// The next rows. Meanwhile calls `read` from time to time with the number of rows that the
    /// plan has read.
    pub(crate) async fn next(&mut self, read: impl Fn(u64)) -> Result<Option<RecordBatch>, Error> {
        loop {
            let next = tokio::time::timeout(PAUSE, self.batches.next()).await;
            read(rows_read(&*self.plan));
            if let Ok(batch) = next {
                return batch.transpose().map_err(|error| self.data.attribute(error));
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
