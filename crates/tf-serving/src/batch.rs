//! Requests of several users as one.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{self, Instant};

use crate::body::Body;
use crate::options::Batch;
use crate::signature::Layout;
use crate::{Error, Remote};

/// Those that wait to be sent together.
#[derive(Debug, Default)]
pub(crate) struct Batches(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    jobs: Vec<Job>,
    rows: usize,
    /// Tells one batch from the next.
    number: u64,
}

/// One of them.
#[derive(Debug)]
struct Job {
    body: Body,
    layout: Arc<Layout>,
    until: Instant,
    answer: oneshot::Sender<Result<Vec<f32>, Error>>,
}

impl Batches {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The batch, unless it has gone.
    fn take(&self, number: u64) -> Vec<Job> {
        let mut open = self.open();
        if open.number == number { open.take() } else { Vec::new() }
    }
}

impl Open {
    fn take(&mut self) -> Vec<Job> {
        self.number += 1;
        self.rows = 0;
        mem::take(&mut self.jobs)
    }
}

/// The scores of a body, which may be sent together with others. Batches are sent by tasks of their own, so that
/// it does not matter who of those that wait goes away.
pub(crate) async fn predict(
    remote: &Arc<Remote>,
    batch: &Batch,
    layout: Arc<Layout>,
    body: Body,
    until: Instant,
) -> Result<Vec<f32>, Error> {
    let (answer, answered) = oneshot::channel();
    {
        let mut open = remote.batches.open();
        open.rows += body.rows;
        open.jobs.push(Job { body, layout, until, answer });
        if open.rows >= batch.max_rows {
            let jobs = open.take();
            drop(open);
            let remote = Arc::clone(remote);
            tokio::spawn(async move { send(&remote, jobs).await });
        } else if open.jobs.len() == 1 {
            let number = open.number;
            drop(open);
            let (remote, wait) = (Arc::clone(remote), batch.wait);
            tokio::spawn(async move {
                time::sleep(wait).await;
                let jobs = remote.batches.take(number);
                send(&remote, jobs).await;
            });
        }
    }
    answered.await.unwrap_or_else(|_| Err(Error::Unavailable("the batch was given up".to_owned())))
}

async fn send(remote: &Remote, mut jobs: Vec<Job>) {
    jobs.retain(|job| !job.answer.is_closed());
    // Between two versions of a model, values may be laid out in two ways.
    while let Some(layout) = jobs.first().map(|job| Arc::clone(&job.layout)) {
        let (alike, others): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.layout == layout);
        send_alike(remote, alike).await;
        jobs = others;
    }
}

async fn send_alike(remote: &Remote, jobs: Vec<Job>) {
    let Some(until) = jobs.iter().map(|job| job.until).min() else { return };
    let bodies: Vec<&Body> = jobs.iter().map(|job| &job.body).collect();
    match remote.predict_joined(&bodies, until).await {
        Ok(scores) => {
            let mut rest = &scores[..];
            for job in jobs {
                let (own, others) = rest.split_at(job.body.rows);
                rest = others;
                // Whoever asked may be gone.
                let _ = job.answer.send(Ok(own.to_vec()));
            }
        }
        // What one of them asks is wrong; the others should not suffer for it.
        Err(Error::Refused(_)) if jobs.len() > 1 => {
            for job in jobs {
                let outcome = remote.predict(job.body, job.until).await;
                let _ = job.answer.send(outcome);
            }
        }
        Err(error) => {
            for job in jobs {
                let _ = job.answer.send(Err(error.clone()));
            }
        }
    }
}
