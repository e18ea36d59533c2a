//! Validation of any model by its lists, on the same held-out ratings as [`run`](crate::run) uses.

use std::sync::Arc;

use sparrow_model::{Catalog, RatingLog, UserId};
use sparrow_neural::Validation;
use sparrow_random::Random;

use crate::metrics::LIST_LENGTH;
use crate::split::{self, Sample};
use crate::{Options, fingerprint, lists};

/// A catalogue without the ratings that [`run`](crate::run) holds out as the test part.
#[derive(Debug, Clone)]
pub struct HeldOut {
    /// All movies, and the ratings for the training.
    pub training: Arc<Catalog>,
    fingerprint: String,
    protocol: String,
    known: Vec<Sample>,
    test: Vec<Sample>,
}

impl HeldOut {
    /// Holds out the test part that the options specify.
    pub fn new(catalog: &Catalog, options: &Options) -> Self {
        let mut random = Random::new(options.seed, 0);
        let samples = split::samples(catalog);
        let (known, test) = split::split(&samples, options.split, options.test, &mut random);
        let users: Vec<UserId> = catalog.users().iter().map(|history| history.user()).collect();
        let mut log = RatingLog::default();
        for sample in &known {
            let user = users[sample.user as usize];
            let movie = sparrow_model::MovieIndex(sample.movie);
            log.push(user, movie, sample.stars, sample.timestamp);
        }
        Self {
            training: Arc::new(catalog.with_histories(log.into_histories().0)),
            fingerprint: fingerprint(catalog),
            protocol: protocol(options),
            known,
            test,
        }
    }

    /// Measures the lists of a model. `score` writes the scores of all movies for a user, or nothing if the model has none.
    /// `catalog` is that of [`new`](Self::new). Returns `None` if nothing is held out.
    pub fn measure(
        &self,
        catalog: &Catalog,
        score: &mut dyn FnMut(UserId, &mut Vec<f32>),
    ) -> Option<Validation> {
        let metrics = lists::measure(score, catalog, &self.known, &self.test)?;
        Some(Validation {
            fingerprint: self.fingerprint.clone(),
            protocol: self.protocol.clone(),
            ndcg_at_10: metrics.ndcg,
        })
    }
}

/// How [`run`](crate::run) measures lists with these options.
pub(crate) fn protocol(options: &Options) -> String {
    let Options { split, test, seed, .. } = options;
    format!(
        "lists of {LIST_LENGTH} of all movies, {split} {}% held out, seed {seed}",
        (test * 10_000.0).round() / 100.0
    )
}
