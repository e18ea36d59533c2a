//! Fits the weights of a blend to ratings that its models have not seen.
//!
//! A part of each user's ratings is held out: a quarter by chance for [`Objective::Lists`], the last ones for
//! [`Objective::Next`]. The models are trained on the others. For each user, the candidates that the models rank best are
//! the alternatives of a choice, and the held-out movies among them are the chosen ones. The weights maximise the
//! likelihood of the choices under a softmax of the scores (a conditional logit model, McFadden 1974), which has a single
//! maximum; Newton's method finds it in a few steps. The ε of the logarithms are chosen from a grid in the same way.
//!
//! New users have weights of their own. A fifth of the users is held out with all ratings, so that the models have not seen
//! them. Each of them makes a choice with only the first 1, 3, 5 and 10 ratings. These choices do not change the weights for
//! users with many ratings.
//!
//! Start reading at [`fit`].

mod choices;
mod logit;

use std::sync::Arc;

use choices::{Choice, Choices, HeldOut, choices};
use logit::{Prepared, Weights, halves, maximise};
use sparrow_model::Catalog;
use sparrow_rank::Ranker;

use crate::{Blend, INPUTS, Objective, Signal, Term, Validation};

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What the weights are for.
    pub objective: Objective,
    /// The greatest number of users whose held-out ratings are used, chosen by chance.
    pub users: usize,
    /// The number of candidates of each choice.
    pub candidates: usize,
    /// Threads.
    pub threads: usize,
    /// The seed of what is random.
    pub seed: u64,
}

impl Options {
    /// One thread, lists.
    pub const DEFAULT: Self =
        Self { objective: Objective::Lists, users: 3000, candidates: 200, threads: 1, seed: 1 };
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The models that are combined, in the order of [`INPUTS`].
pub type Models = [Option<Arc<dyn Ranker>>; INPUTS.len()];

/// Trains the models on a catalogue.
pub type Train<'a> = &'a dyn Fn(&Arc<Catalog>) -> Result<Models, Failure>;

/// Why a model cannot be trained.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why there are no weights.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A model cannot be trained.
    #[error("cannot train the models of the blend")]
    Train(#[source] Failure),
    /// A trained model failed.
    #[error("a model of the blend failed")]
    Score(#[from] sparrow_rank::Error),
    /// There are too few ratings to hold any out.
    #[error(
        "nothing to fit a blend to: no user has enough ratings, or no model finds what was held out"
    )]
    NothingToFit,
}

/// Fits a blend to the ratings of a catalogue, which have this fingerprint.
pub fn fit(
    catalog: &Arc<Catalog>,
    fingerprint: String,
    options: &Options,
    train: Train<'_>,
) -> Result<Blend, Error> {
    let held_out = HeldOut::new(catalog, options);
    let inner = Arc::new(catalog.with_histories(held_out.training));
    let models = train(&inner).map_err(Error::Train)?;
    let Choices { choices, of_new_users } = choices(&inner, &models, &held_out.users, options)?;
    if choices.len() < 2 {
        return Err(Error::NothingToFit);
    }
    let mut signals = signals(&choices);
    let mut epsilons = epsilons(&choices, &signals);
    drop_needless_models(&choices, &mut signals, &mut epsilons);
    let prepare = |choices: &[Choice]| -> Vec<Prepared> {
        choices.iter().map(|choice| Prepared::new(choice, &signals, &epsilons)).collect()
    };
    let (prepared, new) = (prepare(&choices), prepare(&of_new_users));
    let (mut ndcg, mut lists) = (0.0, 0);
    for (fitted_to, measured) in [(0, 1), (1, 0)] {
        let (full, new) = (halves(&prepared, &[fitted_to]), halves(&new, &[fitted_to]));
        if let Some(weights) = Weights::fit(&full, &new, signals.len()) {
            for choice in halves(&prepared, &[measured]) {
                ndcg += choice.ndcg(&weights.at(choice.new_share));
                lists += 1;
            }
        }
    }
    let (full, new) = (halves(&prepared, &[0, 1]), halves(&new, &[0, 1]));
    let weights = Weights::fit(&full, &new, signals.len()).ok_or(Error::NothingToFit)?;
    let term = |(index, (&signal, &epsilon)): (usize, (&Signal, &f32))| Term {
        signal,
        weight: weights.full[index] as f32,
        new_user_weight: weights.new.as_ref().map(|new| new[index] as f32),
        epsilon: if signal.input().is_some() { epsilon } else { 0.0 },
    };
    let terms = signals.iter().zip(&epsilons).enumerate().map(term).collect();
    let mut blend = Blend::new(options.objective, terms).map_err(|_| Error::NothingToFit)?;
    let of_input = |(input, name): (usize, &&str)| {
        let index = signals.iter().position(|signal| signal.input() == Some(input))?;
        let mut alone = vec![0.0; signals.len()];
        alone[index] = 1.0;
        let sum: f64 = prepared.iter().map(|choice| choice.ndcg(&alone)).sum();
        Some(((*name).to_owned(), sum / prepared.len() as f64))
    };
    blend.validation = Some(Validation {
        fingerprint,
        lists,
        ndcg_at_10: ndcg / lists.max(1) as f64,
        inputs: INPUTS.iter().enumerate().filter_map(of_input).collect(),
    });
    Ok(blend)
}

/// The signals that differ between the candidates of any choice.
fn signals(choices: &[Choice]) -> Vec<Signal> {
    let differs = |values: &[f32]| values.iter().any(|value| *value != values[0]);
    let mut signals = Signal::ALL.to_vec();
    signals.retain(|&signal| {
        choices.iter().any(|choice| match signal.input() {
            Some(input) => choice.inputs[input].as_deref().is_some_and(differs),
            None => differs(&choice.others[signal as usize - INPUTS.len()]),
        })
    });
    signals
}

/// The ε of each signal: a part of the mean score of what was held out, the parts chosen in turn from a grid.
fn epsilons(choices: &[Choice], signals: &[Signal]) -> Vec<f32> {
    const PARTS: [f32; 6] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3];
    let mean_score = |input: usize| {
        let (mut sum, mut count) = (0.0_f64, 0);
        for choice in choices {
            let Some(scores) = &choice.inputs[input] else { continue };
            for (&score, _) in scores.iter().zip(&choice.positives).filter(|(_, chosen)| **chosen) {
                sum += f64::from(score.max(0.0));
                count += 1;
            }
        }
        ((sum / f64::from(count.max(1))) as f32).max(1e-9)
    };
    let means: Vec<f32> =
        signals.iter().map(|signal| signal.input().map_or(1.0, mean_score)).collect();
    let mut parts = vec![0.03; signals.len()];
    let likelihood = |parts: &[f32]| {
        let epsilons: Vec<f32> = means.iter().zip(parts).map(|(mean, part)| mean * part).collect();
        likelihood(choices, signals, &epsilons)
    };
    let mut best = likelihood(&parts);
    for (index, signal) in signals.iter().enumerate() {
        if signal.input().is_none() {
            continue;
        }
        for part in PARTS {
            let mut changed = parts.clone();
            changed[index] = part;
            let found = likelihood(&changed);
            if found > best {
                (best, parts) = (found, changed);
            }
        }
    }
    means.iter().zip(&parts).map(|(mean, part)| mean * part).collect()
}

/// The greatest mean log-likelihood of the choices by these signals.
fn likelihood(choices: &[Choice], signals: &[Signal], epsilons: &[f32]) -> f64 {
    let prepared: Vec<Prepared> =
        choices.iter().map(|choice| Prepared::new(choice, signals, epsilons)).collect();
    let prepared: Vec<&Prepared> = prepared.iter().collect();
    maximise(&prepared, signals.len()).map_or(f64::NEG_INFINITY, |(_, likelihood)| likelihood)
}

/// Removes the models whose scores do not pay for their weight and ε by the Bayesian information criterion (Schwarz 1978):
/// each model costs time in every request.
fn drop_needless_models(choices: &[Choice], signals: &mut Vec<Signal>, epsilons: &mut Vec<f32>) {
    let count = choices.len() as f64;
    loop {
        let all = likelihood(choices, signals, epsilons);
        let models = (0..signals.len()).filter(|&index| signals[index].input().is_some());
        if models.clone().count() < 2 {
            return;
        }
        let without = |index: usize| {
            let (mut signals, mut epsilons) = (signals.clone(), epsilons.clone());
            signals.remove(index);
            epsilons.remove(index);
            (index, likelihood(choices, &signals, &epsilons))
        };
        let best = models.map(without).max_by(|(_, a), (_, b)| a.total_cmp(b));
        match best {
            Some((index, found)) if count * (all - found) < count.ln() => {
                signals.remove(index);
                epsilons.remove(index);
            }
            _ => return,
        }
    }
}
