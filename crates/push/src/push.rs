//! Pushes [`sources`] to a feature store as one generation, in two steps.
//!
//! [`stage`] writes the entries, which are not readable yet; dropping its result leaves the store
//! unchanged. [`Staged::commit`] makes them the current generation.

use std::ops::ControlFlow;
use std::pin::pin;

use sparrow_progress::Progress;
use sparrow_store::{FeatureStore, Generation, Push};

use crate::sources::{self, Counts, Reader};

/// Why a push failed. The store is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sources cannot be read.
    #[error(transparent)]
    Source(#[from] sources::Error),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] sparrow_store::Error),
}

/// A generation that is written but not readable yet.
#[must_use = "it is discarded when dropped"]
pub struct Staged {
    push: Box<dyn Push>,
    counts: Counts,
}

/// Writes all entries without making them readable. The store rejects concurrent pushes.
///
/// If `stop` completes first, the written entries are discarded, and its output is returned.
pub async fn stage<S>(
    mut reader: Reader,
    store: &dyn FeatureStore,
    progress: Progress<'_>,
    stop: impl Future<Output = S>,
) -> Result<ControlFlow<S, Staged>, Error> {
    let mut push = store.push().await?;
    let mut counts = Counts::default();
    match put_all(&mut reader, &mut *push, &mut counts, progress, stop).await {
        Ok(None) => Ok(ControlFlow::Continue(Staged { push, counts })),
        Ok(Some(stopped)) => {
            push.abandon().await;
            Ok(ControlFlow::Break(stopped))
        }
        Err(error) => {
            push.abandon().await;
            Err(error)
        }
    }
}

/// Writes all entries, or returns the output of `stop`. A batch in flight is not cancelled: the
/// store has its own deadline for it, and cleans up best without pending writes.
async fn put_all<S>(
    reader: &mut Reader,
    push: &mut dyn Push,
    counts: &mut Counts,
    progress: Progress<'_>,
    stop: impl Future<Output = S>,
) -> Result<Option<S>, Error> {
    let mut stop = pin!(stop);
    loop {
        let entries = tokio::select! {
            biased;
            stopped = &mut stop => return Ok(Some(stopped)),
            entries = reader.next() => entries?,
        };
        let Some(entries) = entries else { return Ok(None) };
        counts.add_all(&entries);
        push.put(entries).await?;
        let (done, total) = reader.progress();
        progress(done, total);
    }
}

impl Staged {
    /// The number of written entries.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Makes it the current generation of the store.
    pub async fn commit(self) -> Result<Generation, sparrow_store::Error> {
        self.push.commit().await
    }
}

/// A dry run: reads, checks and counts all entries as [`stage`] would.
pub async fn dry_run(mut reader: Reader, progress: Progress<'_>) -> Result<Counts, sources::Error> {
    let mut counts = Counts::default();
    while let Some(entries) = reader.next().await? {
        counts.add_all(&entries);
        let (done, total) = reader.progress();
        progress(done, total);
    }
    Ok(counts)
}
