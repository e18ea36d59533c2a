//! Batching: combines the requests of several users into one.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{self, Instant};

use crate::options::Batch;
use crate::request_body::RequestBody;
use crate::signature::Layout;
use crate::{Error, ServedModel};

/// The current batch, which collects requests.
#[derive(Debug, Default)]
pub(crate) struct Batches(Mutex<OpenBatch>);

#[derive(Debug, Default)]
struct OpenBatch {
    jobs: Vec<Job>,
    rows: usize,
    /// Sequence number of the batch.
    number: u64,
}

/// A request in a batch.
#[derive(Debug)]
struct Job {
    body: RequestBody,
    layout: Arc<Layout>,
    deadline: Instant,
    reply: oneshot::Sender<Result<Vec<f32>, Error>>,
}

impl Batches {
    fn open(&self) -> MutexGuard<'_, OpenBatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the batch with this number; empty if it was already sent.
    fn take(&self, number: u64) -> Vec<Job> {
        let mut open = self.open();
        if open.number == number { open.take() } else { Vec::new() }
    }
}

impl OpenBatch {
    fn take(&mut self) -> Vec<Job> {
        self.number += 1;
        self.rows = 0;
        mem::take(&mut self.jobs)
    }
}

/// Scores the rows of a body, possibly in one request with others. Separate tasks send the batches, so cancelling a
/// caller does not affect the others.
pub(crate) async fn predict(
    model: &Arc<ServedModel>,
    batch: &Batch,
    layout: Arc<Layout>,
    body: RequestBody,
    deadline: Instant,
) -> Result<Vec<f32>, Error> {
    let (reply, response) = oneshot::channel();
    {
        let mut open = model.batches.open();
        open.rows += body.rows;
        open.jobs.push(Job { body, layout, deadline, reply });
        if open.rows >= batch.max_rows {
            let jobs = open.take();
            drop(open);
            let model = Arc::clone(model);
            tokio::spawn(async move { send(&model, jobs).await });
        } else if open.jobs.len() == 1 {
            let number = open.number;
            drop(open);
            let (model, wait) = (Arc::clone(model), batch.wait);
            tokio::spawn(async move {
                time::sleep(wait).await;
                let jobs = model.batches.take(number);
                send(&model, jobs).await;
            });
        }
    }
    response.await.unwrap_or_else(|_| Err(Error::Unavailable("the batch was cancelled".to_owned())))
}

async fn send(model: &ServedModel, mut jobs: Vec<Job>) {
    jobs.retain(|job| !job.reply.is_closed());
    // During a change of the model version, layouts may differ.
    while let Some(layout) = jobs.first().map(|job| Arc::clone(&job.layout)) {
        let (same_layout, others): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| job.layout == layout);
        send_joined(model, same_layout).await;
        jobs = others;
    }
}

async fn send_joined(model: &ServedModel, jobs: Vec<Job>) {
    let Some(deadline) = jobs.iter().map(|job| job.deadline).min() else { return };
    let bodies: Vec<&RequestBody> = jobs.iter().map(|job| &job.body).collect();
    match model.predict_joined(&bodies, deadline).await {
        Ok(scores) => {
            let mut rest = &scores[..];
            for job in jobs {
                let (own, others) = rest.split_at(job.body.rows);
                rest = others;
                // The caller may be gone.
                let _ = job.reply.send(Ok(own.to_vec()));
            }
        }
        // One of the requests is invalid: repeat them one by one.
        Err(Error::Refused(_)) if jobs.len() > 1 => {
            for job in jobs {
                let outcome = model.predict(job.body, job.deadline).await;
                let _ = job.reply.send(outcome);
            }
        }
        Err(error) => {
            for job in jobs {
                let _ = job.reply.send(Err(error.clone()));
            }
        }
    }
}
