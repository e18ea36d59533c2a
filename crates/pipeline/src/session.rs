//! The DataFusion session of the pipeline.

use std::path::PathBuf;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::partial_sort::PartialSortExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties as _};
use datafusion::prelude::{SessionConfig, SessionContext};

use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};

use super::functions;
use super::random_sort::RandomSortExec;

/// Resource limits of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The number of concurrent partitions, at least 1.
    pub threads: usize,
    /// Memory for sorting and grouping in bytes; beyond it, they spill to disk. The process takes
    /// somewhat more: for its code, batches in flight, columns being written, and up to a quarter
    /// more to shuffle samples.
    pub memory_limit: usize,
    /// The folder for spilled data; `None` is the system's temporary folder. A folder in it is
    /// created when needed and removed at the end.
    pub spill_folder: Option<PathBuf>,
}

/// A session with the registered functions of the pipeline, which can read `file://` URLs. For
/// other URLs, register an object store with the session's runtime.
pub fn session(options: &Options) -> Result<SessionContext> {
    let threads = options.threads.max(1);
    // Sorts share the pool evenly, so that none of them starves the others.
    let pool = FairSpillPool::new(options.memory_limit);
    let few = std::num::NonZero::<usize>::MIN.saturating_add(2);
    let spill = match &options.spill_folder {
        Some(folder) => DiskManagerMode::Directories(vec![folder.clone()]),
        None => DiskManagerMode::OsTmpDirectory,
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, few)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(spill))
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_target_partitions(threads)
        .with_batch_size(sparrow_feature_files::BATCH);
    let settings = config.options_mut();
    // Repartitioning would destroy the order of a sorted file.
    settings.optimizer.enable_round_robin_repartition = false;
    settings.optimizer.repartition_file_scans = false;
    settings.execution.sort_spill_reservation_bytes =
        (options.memory_limit / 16 / threads).min(16 << 20);
    settings.execution.collect_statistics = false;
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_physical_optimizer_rule(Arc::new(SortWithinRuns))
        .with_physical_optimizer_rule(Arc::new(SortRandomly))
        .build();
    let context = SessionContext::new_with_state(state);
    functions::register(&context);
    Ok(context)
}

/// Shuffles samples with [`RandomSortExec`].
#[derive(Debug)]
struct SortRandomly;

impl PhysicalOptimizerRule for SortRandomly {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let randomly = |plan: Arc<dyn ExecutionPlan>| {
            Ok(match plan.downcast_ref::<SortExec>().and_then(RandomSortExec::instead_of) {
                Some(sort) => Transformed::yes(Arc::new(sort) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        };
        plan.transform_up(randomly).data()
    }

    fn name(&self) -> &'static str {
        "sort_randomly"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Sorts only within runs of equal keys if the input is already sorted by the first keys.
/// DataFusion does so only for unbounded input; for files it avoids buffering them in memory.
#[derive(Debug)]
struct SortWithinRuns;

impl PhysicalOptimizerRule for SortWithinRuns {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let within_runs = |plan: Arc<dyn ExecutionPlan>| {
            let Some(sort) = plan.downcast_ref::<SortExec>() else {
                return Ok(Transformed::no(plan));
            };
            let properties = sort.input().equivalence_properties();
            let keys = sort.expr();
            let mut sorted = 0;
            while sorted < keys.len() && properties.ordering_satisfy(keys[..=sorted].to_vec())? {
                sorted += 1;
            }
            if sorted == 0 || sort.fetch().is_some() {
                return Ok(Transformed::no(plan));
            }
            let partial = PartialSortExec::new(keys.clone(), Arc::clone(sort.input()), sorted)
                .with_preserve_partitioning(sort.preserve_partitioning());
            Ok(Transformed::yes(Arc::new(partial) as Arc<dyn ExecutionPlan>))
        };
        plan.transform_up(within_runs).data()
    }

    fn name(&self) -> &'static str {
        "sort_within_runs"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
