//! The sort that shuffles samples, in bounded memory.
//!
//! Its key is distributed uniformly over 64 bits. Rows are collected into chunks. A full chunk is
//! sorted and written to a temporary file in [`PARTS`] parts, by the first bits of the key. At the
//! end, the same parts of all chunks are read and sorted together, with as many adjacent parts at a
//! time as fill a chunk. So rows are written and read once, and the order depends only on the keys.
//! The sort of DataFusion merges runs instead, and two concurrent merges can exhaust each other's
//! memory.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray as _, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{concat_batches, take_record_batch};
use datafusion::arrow::datatypes::{DataType, SchemaRef, UInt64Type};
use datafusion::arrow::ipc::reader::StreamReader;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::spill_file::SpillFile;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties as _, Partitioning,
    PhysicalExpr, PlanProperties, SendableRecordBatchStream,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

/// The name of the sort column.
pub(super) const SHUFFLE_KEY: &str = "shuffleKey";

/// Parts of a chunk: one for each value of the key's first byte.
const PARTS: usize = 1 << PART_BITS;
const PART_BITS: u32 = 8;

/// The minimum and maximum size of a chunk, in bytes. It is in memory up to three times: as
/// batches, concatenated, and sorted.
const CHUNK: (usize, usize) = (1 << 20, 64 << 20);

/// Sorts all rows of a plan by its column [`SHUFFLE_KEY`] into one partition.
#[derive(Debug)]
pub(super) struct RandomSortExec {
    input: Arc<dyn ExecutionPlan>,
    key: usize,
    properties: Arc<PlanProperties>,
}

impl RandomSortExec {
    /// The replacement of a sort by [`SHUFFLE_KEY`] alone; `None` for other sorts.
    pub(super) fn instead_of(sort: &SortExec) -> Option<Self> {
        let [key] = &sort.expr()[..] else { return None };
        let column = key.expr.downcast_ref::<Column>()?;
        if column.name() != SHUFFLE_KEY || key.options.descending || sort.fetch().is_some() {
            return None;
        }
        let mut input = Arc::clone(sort.input());
        if input.output_partitioning().partition_count() > 1 {
            input = Arc::new(CoalescePartitionsExec::new(input));
        }
        let orders = [sort.expr().clone()];
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(input.schema(), orders),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Some(Self { input, key: column.index(), properties: Arc::new(properties) })
    }
}

impl DisplayAs for RandomSortExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RandomSortExec")
    }
}

impl ExecutionPlan for RandomSortExec {
    fn name(&self) -> &'static str {
        "RandomSortExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, key: self.key, properties: Arc::clone(&self.properties) }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let limit = match context.memory_pool().memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            _ => usize::MAX,
        };
        let mut input = self.input.execute(0, Arc::clone(&context))?;
        let mut sorter = Sorter {
            schema: self.schema(),
            key: self.key,
            chunk: (limit / 12).clamp(CHUNK.0, CHUNK.1),
            disk: Arc::clone(&context.runtime_env().disk_manager),
            collected: Vec::new(),
            collected_rows: 0,
            spilled: None,
        };
        let batch_size = context.session_config().batch_size();
        let ordered = stream::once(async move {
            while let Some(batch) = input.next().await {
                sorter.push(batch?)?;
            }
            sorter.finish(batch_size)
        });
        let batches = ordered.map_ok(stream::iter).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

struct Sorter {
    schema: SchemaRef,
    key: usize,
    /// The size of a chunk in bytes.
    chunk: usize,
    disk: Arc<DiskManager>,
    collected: Vec<RecordBatch>,
    collected_rows: usize,
    spilled: Option<Spilled>,
}

/// Chunks in a file.
struct Spilled {
    /// Removed when this is dropped.
    file: Arc<dyn SpillFile>,
    out: BufWriter<File>,
    length: u64,
    /// The positions of each chunk's parts in the file, and the end of the last part.
    chunks: Vec<Vec<u64>>,
    /// The number of rows per part, over all chunks.
    rows: Vec<usize>,
}

impl Sorter {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.collected_rows += batch.num_rows();
        self.collected.push(batch);
        if self.collected_rows >= self.chunk_rows() {
            self.spill()?;
        }
        Ok(())
    }

    fn chunk_rows(&self) -> usize {
        let width: usize = self.schema.fields().iter().map(|field| width(field.data_type())).sum();
        self.chunk / width.max(1)
    }

    /// Writes the collected rows as a chunk.
    fn spill(&mut self) -> Result<()> {
        let sorted = sorted(&self.schema, self.key, &std::mem::take(&mut self.collected))?;
        self.collected_rows = 0;
        if self.spilled.is_none() {
            let file = self.disk.create_tmp_file("samples in random order")?;
            let out = BufWriter::with_capacity(1 << 20, File::create(path_of(&*file)?)?);
            let rows = vec![0; PARTS];
            self.spilled = Some(Spilled { file, out, length: 0, chunks: Vec::new(), rows });
        }
        let Some(spilled) = &mut self.spilled else { return Ok(()) };
        let keys = sorted.column(self.key).as_primitive::<UInt64Type>().values();
        let mut offsets = vec![spilled.length];
        let mut start = 0;
        for part in 0..PARTS {
            let end =
                start + keys[start..].partition_point(|key| key >> (64 - PART_BITS) <= part as u64);
            if end > start {
                let mut bytes = Vec::new();
                let mut writer = StreamWriter::try_new(&mut bytes, &self.schema)?;
                writer.write(&sorted.slice(start, end - start))?;
                writer.finish()?;
                drop(writer);
                spilled.out.write_all(&bytes)?;
                spilled.length += bytes.len() as u64;
                spilled.rows[part] += end - start;
            }
            offsets.push(spilled.length);
            start = end;
        }
        spilled.chunks.push(offsets);
        Ok(())
    }

    /// The sorted rows, in batches of this size.
    fn finish(mut self, batch_size: usize) -> Result<Sorted> {
        if self.spilled.is_some() && self.collected_rows > 0 {
            self.spill()?;
        }
        let chunk_rows = self.chunk_rows();
        let (current, source) = match self.spilled {
            None => (sorted(&self.schema, self.key, &self.collected)?, None),
            Some(mut spilled) => {
                spilled.out.flush()?;
                let file = File::open(path_of(&*spilled.file)?)?;
                let groups = groups(&spilled.rows, chunk_rows).into_iter();
                (RecordBatch::new_empty(Arc::clone(&self.schema)), Some((spilled, file, groups)))
            }
        };
        let (schema, key) = (self.schema, self.key);
        Ok(Sorted { schema, key, batch_size: batch_size.max(1), current, source })
    }
}

/// Returns sorted rows in batches of equal size, so that the output does not depend on chunks.
struct Sorted {
    schema: SchemaRef,
    key: usize,
    batch_size: usize,
    /// The next sorted rows.
    current: RecordBatch,
    /// The source of the rows after them.
    source: Option<(Spilled, File, std::vec::IntoIter<Range<usize>>)>,
}

impl Sorted {
    /// The next sorted group with rows; `None` at the end.
    fn group(&mut self) -> Result<Option<RecordBatch>> {
        let Some((spilled, file, groups)) = &mut self.source else { return Ok(None) };
        for parts in groups {
            let rows = sorted(&self.schema, self.key, &spilled.read(file, parts)?)?;
            if rows.num_rows() > 0 {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let mut batch = self.take(self.batch_size);
        while batch.num_rows() < self.batch_size {
            let Some(group) = self.group()? else { break };
            self.current = group;
            let more = self.take(self.batch_size - batch.num_rows());
            batch = concat_batches(&self.schema, [&batch, &more])?;
        }
        Ok((batch.num_rows() > 0).then_some(batch))
    }

    /// At most this many of the current rows.
    fn take(&mut self, most: usize) -> RecordBatch {
        let count = most.min(self.current.num_rows());
        let taken = self.current.slice(0, count);
        self.current = self.current.slice(count, self.current.num_rows() - count);
        taken
    }
}

impl Iterator for Sorted {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}

impl Spilled {
    /// The rows of adjacent parts, from all chunks.
    fn read(&self, file: &mut File, parts: Range<usize>) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for offsets in &self.chunks {
            let (start, end) = (offsets[parts.start], offsets[parts.end]);
            file.seek(SeekFrom::Start(start))?;
            let length = end - start;
            let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            file.read_exact(&mut bytes)?;
            let mut cursor = Cursor::new(bytes);
            while cursor.position() < length {
                for batch in StreamReader::try_new(&mut cursor, None)? {
                    batches.push(batch?);
                }
            }
        }
        Ok(batches)
    }
}

fn path_of(file: &dyn SpillFile) -> Result<&Path> {
    let path = file.path();
    path.ok_or_else(|| io::Error::other("temporary files are not in the file system").into())
}

/// Groups of adjacent parts with at most this many rows, or with one part that has more.
fn groups(rows: &[usize], most: usize) -> Vec<Range<usize>> {
    let mut groups = Vec::new();
    let (mut start, mut rows_in_group) = (0, 0);
    for (part, &rows) in rows.iter().enumerate() {
        if part > start && rows_in_group + rows > most {
            groups.push(start..part);
            (start, rows_in_group) = (part, 0);
        }
        rows_in_group += rows;
    }
    groups.push(start..rows.len());
    groups
}

/// The size of a value in bytes.
fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeBinary(size) => usize::try_from(*size).unwrap_or(0),
        other => other.primitive_width().unwrap_or(1),
    }
}

fn sorted(schema: &SchemaRef, key: usize, batches: &[RecordBatch]) -> Result<RecordBatch> {
    let rows = concat_batches(schema, batches)?;
    let keys = rows.column(key).as_primitive::<UInt64Type>().values().iter().copied();
    let mut order: Vec<(u64, u32)> = keys.zip(0..).collect();
    order.sort_unstable();
    let order = UInt32Array::from_iter_values(order.into_iter().map(|(_, row)| row));
    Ok(take_record_batch(&rows, &order)?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use datafusion::arrow::array::{ArrayRef, UInt64Array};
    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;
    use sparrow_random::scramble;

    /// The numbers below `count`, in the order of their keys.
    fn sorted(count: u64, chunk: usize) -> Vec<u64> {
        let batch = |numbers: Range<u64>| {
            let keys = numbers.clone().map(scramble);
            let columns: [(&str, ArrayRef); 2] = [
                ("number", Arc::new(UInt64Array::from_iter_values(numbers))),
                (SHUFFLE_KEY, Arc::new(UInt64Array::from_iter_values(keys))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let mut sorter = Sorter {
            schema: batch(0..1).schema(),
            key: 1,
            chunk,
            disk: Arc::new(DiskManagerBuilder::default().build().unwrap()),
            collected: Vec::new(),
            collected_rows: 0,
            spilled: None,
        };
        for start in (0..count).step_by(100) {
            sorter.push(batch(start..count.min(start + 100))).unwrap();
        }
        let batches: Vec<RecordBatch> = sorter.finish(64).unwrap().map(Result::unwrap).collect();
        let sizes = batches.iter().map(RecordBatch::num_rows);
        assert!(sizes.rev().skip(1).all(|rows| rows == 64));
        let numbers = batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<UInt64Type>().values().to_vec());
        numbers.collect()
    }

    #[test]
    fn the_order_does_not_depend_on_the_chunk_size() {
        for count in [0, 1, 99, 5000] {
            let mut expected: Vec<u64> = (0..count).collect();
            expected.sort_unstable_by_key(|&number| scramble(number));
            for chunk in [1, 16 * 130, 16 * 2500, usize::MAX] {
                assert_eq!(sorted(count, chunk), expected, "{count} {chunk}");
            }
        }
    }

    #[test]
    fn groups_are_as_large_as_the_limit_allows() {
        assert_eq!(groups(&[3, 3, 3, 9, 1, 0], 6), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(groups(&[0, 0, 7], 6), [0..2, 2..3]);
    }
}
