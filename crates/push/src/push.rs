//! Pushes what [`sources`] read to a feature store, as one generation.
//!
//! In two steps, because they differ in what an interruption means: while [`stage`] runs nothing can be
//! read of the new generation, and dropping what it gave leaves the store as it was;
//! [`Staged::commit`] makes it the one that is read.

use std::ops::ControlFlow;
use std::pin::pin;

use sparrow_progress::Progress;
use sparrow_store::{FeatureStore, Generation, Push};

use crate::sources::{self, Counts, Reader};

/// Why a push failed. The store is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sources cannot be read.
    #[error(transparent)]
    Source(#[from] sources::Error),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] sparrow_store::Error),
}

/// A generation that was written and cannot be read yet.
#[must_use = "it is given up when dropped"]
pub struct Staged {
    push: Box<dyn Push>,
    counts: Counts,
}

/// Writes everything, without making it readable. One push at a time: the store refuses a second.
///
/// When `stop` is done first, what was written is given up, and its value comes back.
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

/// Puts everything, or returns what `stop` gave. A batch on its way is not cut off: the store has its own
/// deadline for it, and cleans up best when nothing is on its way.
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
    /// What was written.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Makes it the store's new generation.
    pub async fn commit(self) -> Result<Generation, sparrow_store::Error> {
        self.push.commit().await
    }
}

/// Reads and checks everything as [`stage`] would, and counts it.
pub async fn rehearse(
    mut reader: Reader,
    progress: Progress<'_>,
) -> Result<Counts, sources::Error> {
    let mut counts = Counts::default();
    while let Some(entries) = reader.next().await? {
        counts.add_all(&entries);
        let (done, total) = reader.progress();
        progress(done, total);
    }
    Ok(counts)
}
