//! The experiments that are in force, and the log of what they showed.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sparrow_engine::Candidates;
use sparrow_experiments::Experiment as Rules;
use sparrow_live::{LiveStore, Write};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// An experiment on recommendations.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The name.
    pub name: Arc<str>,
    /// Who takes part, and which variant a user gets.
    pub rules: Rules,
    /// The variants.
    pub variants: Vec<Variant>,
}

/// What requests of a variant use instead of the defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variant {
    /// The name.
    pub name: Arc<str>,
    /// The model; several models are interleaved.
    pub model: VariantModel,
    /// The diversity.
    pub diversity: Option<f32>,
    /// The movies that are ranked.
    pub candidates: Option<Candidates>,
    /// The name of the recall mix.
    pub recall: Option<Arc<str>>,
}

/// The model of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum VariantModel {
    /// The default model.
    #[default]
    Default,
    /// This model.
    Named(Arc<str>),
    /// The lists of two models, interleaved by team draft.
    Interleaved([Arc<str>; 2]),
}

/// The experiments in force, which can be replaced while requests read them.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    any: AtomicBool,
    experiments: Mutex<Arc<[Experiment]>>,
}

impl InForce {
    pub(crate) fn replace(&self, experiments: Arc<[Experiment]>) {
        let any = !experiments.is_empty();
        *self.experiments.lock().unwrap_or_else(PoisonError::into_inner) = experiments;
        self.any.store(any, Ordering::Release);
    }

    /// The experiments; `None` without any, which costs no lock.
    pub(crate) fn get(&self) -> Option<Arc<[Experiment]>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        Some(Arc::clone(&self.experiments.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Exposures that wait to be logged.
const QUEUE: usize = 4096;
/// Exposures in one write.
const BATCH: usize = 256;
/// Users, experiments and variants of a day that are remembered; the store remembers all.
const REMEMBERED: usize = 1 << 20;
/// For the exposures of a server that stops.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The numbers of exposures since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExposureCounts {
    /// Logged.
    pub logged: u64,
    /// Dropped because the queue was full.
    pub dropped: u64,
    /// Rejected by the store for live data.
    pub failed: u64,
}

/// Writes exposures to the store for live data from a task of its own.
#[derive(Debug, Default)]
pub(crate) struct Exposures {
    sender: OnceLock<mpsc::Sender<Message>>,
    shared: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    seen: Mutex<Seen>,
    hasher: RandomState,
    logged: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

/// What was queued on a day.
#[derive(Debug, Default)]
struct Seen {
    day: u32,
    keys: HashSet<u64>,
}

enum Message {
    Expose(Arc<dyn LiveStore>, Box<Write>, u64),
    Flush(oneshot::Sender<()>),
}

impl Exposures {
    /// Queues an exposure. Of those of a user with one `once`, only the first of a day is logged; `None` logs all. Never
    /// waits: if the queue is full, the exposure is dropped and counted.
    pub(crate) fn record(&self, store: &Arc<dyn LiveStore>, write: Write, once: Option<&str>) {
        let day = write.time / 86_400;
        let key = once.map_or(0, |once| self.shared.hasher.hash_one((write.user, once)));
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.day != day || seen.keys.len() >= REMEMBERED {
            *seen = Seen { day, keys: HashSet::new() };
        }
        if once.is_some() && seen.keys.contains(&key) {
            return;
        }
        let sender = self.sender.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(QUEUE);
            tokio::spawn(log(receiver, Arc::clone(&self.shared)));
            sender
        });
        match sender.try_send(Message::Expose(Arc::clone(store), Box::new(write), key)) {
            Ok(()) if once.is_some() => {
                seen.keys.insert(key);
            }
            Ok(()) => {}
            Err(_) => {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                drop(seen);
                tracing::warn!("the queue of exposures is full, dropping one");
            }
        }
    }

    pub(crate) fn counts(&self) -> ExposureCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { logged, dropped, failed, .. } = &*self.shared;
        ExposureCounts { logged: read(logged), dropped: read(dropped), failed: read(failed) }
    }

    /// Waits until the queued exposures are logged, for a limited time.
    pub(crate) async fn flush(&self) {
        let Some(sender) = self.sender.get() else { return };
        let (done, flushed) = oneshot::channel();
        let flush = async {
            if sender.send(Message::Flush(done)).await.is_ok() {
                // Fails if the task has ended: then nothing is queued.
                let _ = flushed.await;
            }
        };
        if timeout(FLUSH_TIMEOUT, flush).await.is_err() {
            tracing::warn!("exposures were not logged in time");
        }
    }
}

async fn log(mut receiver: mpsc::Receiver<Message>, shared: Arc<Counters>) {
    let mut messages = Vec::with_capacity(BATCH);
    while receiver.recv_many(&mut messages, BATCH).await > 0 {
        let (mut store, mut writes, mut keys) = (None, Vec::new(), Vec::new());
        let mut flushed = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Expose(to, write, key) => {
                    // All snapshots of a server have one store.
                    store = Some(to);
                    writes.push(*write);
                    keys.push(key);
                }
                Message::Flush(done) => flushed.push(done),
            }
        }
        if let Some(store) = store {
            for (result, key) in store.write(&writes).await.into_iter().zip(keys) {
                let Err(error) = result else {
                    shared.logged.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                shared.failed.fetch_add(1, Ordering::Relaxed);
                // The next answer is logged instead.
                shared.seen.lock().unwrap_or_else(PoisonError::into_inner).keys.remove(&key);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot log an exposure");
            }
        }
        for done in flushed {
            // Fails if nobody waits any more.
            let _ = done.send(());
        }
    }
}
