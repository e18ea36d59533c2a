//! What programs that follow the log of a store get.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sparrow_model::UserId;

use crate::{Error, LiveStore, Sequence};

/// A write in the log, for programs that read the user afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The user.
    pub user: UserId,
    /// The position of the write.
    pub sequence: Sequence,
}

/// The writes of one partition that a call returns at most.
pub(crate) const CHANGES_PER_PARTITION: usize = 100;

/// [`LiveStore::changes`] by [`LiveStore::log`].
pub(crate) async fn changes_by_log<S: LiveStore + ?Sized>(
    store: &S,
    after: &mut [Sequence],
) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for (partition, position) in (0..).zip(after) {
        for recorded in store.log(partition, *position, CHANGES_PER_PARTITION).await? {
            *position = recorded.sequence;
            changes.push(Change { user: recorded.write.user, sequence: recorded.sequence });
        }
    }
    Ok(changes)
}

/// [`LiveStore::all_users`] by [`LiveStore::log`].
pub(crate) async fn users_by_log<S: LiveStore + ?Sized>(store: &S) -> Result<Vec<UserId>, Error> {
    let mut users = BTreeSet::new();
    let mut positions = vec![Sequence::default(); usize::from(store.partitions())];
    loop {
        let changes = changes_by_log(store, &mut positions).await?;
        if changes.is_empty() {
            return Ok(users.into_iter().collect());
        }
        users.extend(changes.into_iter().map(|change| change.user));
    }
}

/// A consumer of the log: how far it is behind, and what it did since the start. All methods may be called from any thread.
#[derive(Debug, Default)]
pub struct Consumer {
    running: AtomicBool,
    lag_milliseconds: AtomicU64,
    pending: AtomicU64,
    users: AtomicU64,
    superseded: AtomicU64,
    failures: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// The numbers of a [`Consumer`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConsumerStatus {
    /// The age of the oldest change that it has not processed; 0 if it is up to date.
    pub lag: Duration,
    /// The number of users whose changes it has not processed.
    pub pending: u64,
    /// The number of users that it has processed since the start, each time that they changed.
    pub users: u64,
    /// How many of them another consumer had processed before.
    pub superseded: u64,
    /// The number of failures since the start.
    pub failures: u64,
    /// Why it cannot continue now.
    pub trouble: Option<String>,
}

/// The consumers of a server.
#[derive(Debug, Default)]
pub struct Consumers {
    /// Counts ratings per movie.
    pub statistics: Consumer,
    /// Rewrites features and vectors in the feature store.
    pub projector: Consumer,
}

impl Consumer {
    /// The current numbers.
    pub fn status(&self) -> ConsumerStatus {
        let number = |value: &AtomicU64| value.load(Ordering::Relaxed);
        ConsumerStatus {
            lag: Duration::from_millis(number(&self.lag_milliseconds)),
            pending: number(&self.pending),
            users: number(&self.users),
            superseded: number(&self.superseded),
            failures: number(&self.failures),
            trouble: self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Records that it runs.
    pub fn start(&self) {
        self.running.store(true, Ordering::Relaxed);
    }

    /// Sets how far it is behind.
    pub fn set_lag(&self, lag: Duration, pending: usize) {
        let lag = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        self.lag_milliseconds.store(lag, Ordering::Relaxed);
        self.pending.store(pending as u64, Ordering::Relaxed);
    }

    /// Counts users as processed, and those of them that another consumer had processed before.
    pub fn count(&self, users: usize, superseded: usize) {
        self.users.fetch_add(users as u64, Ordering::Relaxed);
        self.superseded.fetch_add(superseded as u64, Ordering::Relaxed);
    }

    /// Sets why it cannot continue, which counts as a failure, or that it can. Returns whether that is news.
    pub fn set_trouble(&self, trouble: Option<String>) -> bool {
        if trouble.is_some() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *last != trouble;
        *last = trouble;
        is_news
    }
}
