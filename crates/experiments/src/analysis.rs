//! The analysis of an experiment from the log of live data: what users were shown, and what they did afterwards.

use std::collections::{BTreeMap, BTreeSet};

use sparrow_live::{Action, Exposure, Recorded, Write};
use sparrow_model::{MovieId, Stars, UserId};

use crate::statistics::{
    Comparison, Estimate, RATIO_MISMATCH, Sample, compare, cuped, detectable_difference, mean,
    ratio_p_value, share, sign_test,
};

/// What counts as an outcome. An outcome concerns a movie.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// Event types. Events with a positive value count.
    pub events: Vec<String>,
    /// The least rating that counts; `None` if ratings do not count.
    pub rating: Option<Stars>,
}

impl Conversion {
    fn movie(&self, write: &Write) -> Option<MovieId> {
        match &write.action {
            Action::Rate(movie, stars) => {
                self.rating.is_some_and(|least| *stars >= least).then_some(*movie)
            }
            Action::Event { movie, kind, value } => {
                let counts = *value > 0.0 && self.events.iter().any(|event| **event == **kind);
                counts.then_some(*movie)
            }
            Action::Unrate(_) | Action::Expose(_) | Action::Forget => None,
        }
    }
}

/// What is analyzed.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The variants with their weights, which need not have the sum 1; the first is the control.
    pub variants: Vec<(String, f64)>,
    /// Outcomes count up to this time after an exposure, in seconds.
    pub window: u32,
    /// Outcomes up to this time before the first exposure of a user are the covariate of CUPED, in seconds.
    pub before: u32,
    /// The confidence of all intervals, such as 0.95.
    pub confidence: f64,
    /// Unix time in seconds. The windows of exposures that are less than `window` older are open.
    pub now: u32,
}

/// The log of one experiment: exposures of its users, and the outcomes of all users.
#[derive(Debug, Clone)]
pub struct Evidence {
    experiment: String,
    conversion: Conversion,
    users: BTreeMap<UserId, History>,
}

#[derive(Debug, Clone, Default)]
struct History {
    exposures: Vec<(u32, Exposure)>,
    outcomes: Vec<(u32, MovieId)>,
}

impl Evidence {
    /// Without entries.
    pub fn new(experiment: impl Into<String>, conversion: Conversion) -> Self {
        Self { experiment: experiment.into(), conversion, users: BTreeMap::new() }
    }

    /// Adds an entry of the log. Those of one user are added in order: a deletion removes the earlier ones.
    pub fn add(&mut self, entry: &Recorded) {
        let write = &entry.write;
        match &write.action {
            Action::Forget => drop(self.users.remove(&write.user)),
            Action::Expose(shown) if *shown.experiment == *self.experiment => {
                let user = self.users.entry(write.user).or_default();
                user.exposures.push((write.time, Exposure::clone(shown)));
            }
            _ if entry.applied => {
                if let Some(movie) = self.conversion.movie(write) {
                    let user = self.users.entry(write.user).or_default();
                    user.outcomes.push((write.time, movie));
                }
            }
            _ => {}
        }
    }

    /// The names of the variants that users were exposed to, in order.
    pub fn variants(&self) -> Vec<String> {
        let exposures = self.users.values().flat_map(|user| &user.exposures);
        let names: BTreeSet<&str> = exposures.map(|(_, shown)| &*shown.variant).collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// The users of the experiment.
    pub fn units(&self, plan: &Plan) -> Units {
        let mut found = Units::default();
        for history in self.users.values().filter(|history| !history.exposures.is_empty()) {
            let first = &history.exposures[0].1.variant;
            if history.exposures.iter().any(|(_, shown)| shown.variant != *first) {
                found.mixed += 1;
                continue;
            }
            match plan.variants.iter().position(|(name, _)| **name == **first) {
                Some(variant) => found.units.push(history.unit(variant, plan)),
                None => found.unknown += 1,
            }
        }
        found
    }
}

impl History {
    fn unit(&self, variant: usize, plan: &Plan) -> Unit {
        let times = || self.exposures.iter().map(|(time, _)| *time);
        let start = times().min().unwrap_or_default();
        let follows = |time: u32, shown: u32| time >= shown && time - shown <= plan.window;
        // Each movie counts once, however often and in whatever way it was an outcome.
        let movies = |counts: &dyn Fn(u32) -> bool| {
            let found = self.outcomes.iter().filter(|(time, _)| counts(*time));
            found.map(|(_, movie)| *movie).collect::<BTreeSet<_>>().len()
        };
        let mut credits: BTreeMap<String, u64> = BTreeMap::new();
        for (shown, exposure) in &self.exposures {
            let outcomes: BTreeSet<MovieId> = self
                .outcomes
                .iter()
                .filter(|(time, _)| follows(*time, *shown))
                .map(|(_, movie)| *movie)
                .collect();
            for (movie, model) in exposure.credited() {
                *credits.entry(model.to_owned()).or_default() +=
                    u64::from(outcomes.contains(&movie));
            }
        }
        Unit {
            variant,
            first: start,
            last: times().max().unwrap_or_default(),
            after: movies(&|time| times().any(|shown| follows(time, shown))),
            before: movies(&|time| time < start && start - time <= plan.before),
            shown: self.exposures.iter().map(|(_, exposure)| Shown::of(exposure)).collect(),
            credits,
        }
    }
}

/// The users of an experiment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Units {
    /// Those of one variant.
    pub units: Vec<Unit>,
    /// The number of users with exposures to several variants, which are left out.
    pub mixed: usize,
    /// The number of users whose variant is not in the plan, which are left out.
    pub unknown: usize,
}

/// A user of an experiment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Unit {
    /// The index of the variant.
    pub variant: usize,
    /// Unix time of the first exposure, in seconds.
    pub first: u32,
    /// Unix time of the last exposure, in seconds.
    pub last: u32,
    /// The number of movies with an outcome in the windows.
    pub after: usize,
    /// The number of movies with an outcome in the period before the first exposure.
    pub before: usize,
    /// The exposures.
    pub shown: Vec<Shown>,
    /// For interleaved lists: the number of outcomes by the model that contributed the movie.
    pub credits: BTreeMap<String, u64>,
}

/// What guard metrics need of an exposure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The model that ranked.
    pub model: String,
    /// Whether the answer was degraded.
    pub degraded: bool,
    /// The time of recall and ranking, in microseconds.
    pub micros: u32,
}

impl Shown {
    fn of(exposure: &Exposure) -> Self {
        let Exposure { model, degraded, micros, .. } = exposure;
        Self { model: model.to_string(), degraded: *degraded, micros: *micros }
    }
}

/// The results of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The number of users by variant, with all others below.
    pub variants: Vec<VariantResults>,
    /// Users with exposures to several variants.
    pub mixed: usize,
    /// Users whose variant is not in the plan.
    pub unknown: usize,
    /// Users whose last window is still open.
    pub open: usize,
    /// The Unix times of the first and the last exposure; `None` without any.
    pub period: Option<(u32, u32)>,
    /// The p-value of the test for a sample-ratio mismatch.
    pub ratio_p_value: f64,
    /// The share of the variance of `conversion` and `movies` that CUPED removes.
    pub explained: [f64; 2],
}

impl Results {
    /// Whether the numbers of users contradict the weights, so that no other result can be trusted.
    pub fn is_mismatched(&self) -> bool {
        self.ratio_p_value < RATIO_MISMATCH
    }
}

/// The results of a variant.
#[derive(Debug, Clone, PartialEq)]
pub struct VariantResults {
    /// The name.
    pub name: String,
    /// The share of the users that it should have.
    pub weight: f64,
    /// The number of users.
    pub users: usize,
    /// The number of exposures.
    pub exposures: usize,
    /// The share of users with an outcome.
    pub conversion: Metric,
    /// The mean number of movies with an outcome per user.
    pub movies: Metric,
    /// The mean over users of the share of their exposures with degraded answers.
    pub degraded: Metric,
    /// The mean over users of the time of recall and ranking, in milliseconds.
    pub milliseconds: Metric,
    /// The median, 95th and 99th percentile of that time over exposures; `None` without any.
    pub percentiles: Option<[f64; 3]>,
    /// The number of exposures by the model that ranked.
    pub models: BTreeMap<String, usize>,
    /// Interleaved lists: the comparison of their models.
    pub interleaved: Option<Interleaved>,
}

/// A metric of a variant.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// The mean over users; `None` without any.
    pub mean: Option<Estimate>,
    /// The difference to the control; `None` of the control and with fewer than two users.
    pub plain: Option<Comparison>,
    /// The same, adjusted by CUPED; `None` also if the metric is not adjusted.
    pub adjusted: Option<Comparison>,
    /// The difference that would be found with a probability of 80% with this number of users, by the plain test.
    pub detectable: Option<f64>,
}

/// The outcomes of two interleaved models.
#[derive(Debug, Clone, PartialEq)]
pub struct Interleaved {
    /// The models.
    pub models: [String; 2],
    /// The number of outcomes of the movies of each.
    pub outcomes: [u64; 2],
    /// The number of users with more outcomes of each.
    pub users: [u64; 2],
    /// The p-value of the sign test over users.
    pub p_value: f64,
}

/// The power at which detectable differences are stated.
pub const POWER: f64 = 0.8;

/// Estimates the results of an experiment. [`Evidence::units`] returns the users.
pub fn results(found: &Units, plan: &Plan) -> Results {
    let units = &found.units;
    let of = |variant: usize| units.iter().filter(move |unit| unit.variant == variant);
    let counts: Vec<usize> = (0..plan.variants.len()).map(|index| of(index).count()).collect();
    let weights: Vec<f64> = plan.variants.iter().map(|(_, weight)| *weight).collect();
    let sum: f64 = weights.iter().sum();

    let before: Vec<f64> = units.iter().map(|unit| unit.before as f64).collect();
    let conversion = Values::new(units, plan, Some(&before), |unit| f64::from(unit.after > 0));
    let movies = Values::new(units, plan, Some(&before), |unit| unit.after as f64);
    let degraded = Values::new(units, plan, None, |unit| {
        mean_of(unit, |shown| f64::from(u8::from(shown.degraded)))
    });
    let milliseconds = Values::new(units, plan, None, |unit| {
        mean_of(unit, |shown| f64::from(shown.micros) / 1000.0)
    });
    let variants = plan.variants.iter().enumerate().map(|(index, (name, weight))| {
        let mut micros = Vec::new();
        let mut models: BTreeMap<String, usize> = BTreeMap::new();
        for shown in of(index).flat_map(|unit| &unit.shown) {
            micros.push(shown.micros);
            *models.entry(shown.model.clone()).or_default() += 1;
        }
        VariantResults {
            name: name.clone(),
            weight: weight / sum,
            users: counts[index],
            exposures: micros.len(),
            conversion: Metric {
                mean: share(
                    of(index).filter(|unit| unit.after > 0).count(),
                    counts[index],
                    plan.confidence,
                ),
                ..conversion.metric(index)
            },
            movies: movies.metric(index),
            degraded: degraded.metric(index),
            milliseconds: milliseconds.metric(index),
            percentiles: percentiles(micros),
            models,
            interleaved: interleaved(of(index)),
        }
    });
    Results {
        variants: variants.collect(),
        mixed: found.mixed,
        unknown: found.unknown,
        open: units.iter().filter(|unit| plan.now < unit.last.saturating_add(plan.window)).count(),
        period: units
            .iter()
            .map(|unit| unit.first)
            .min()
            .zip(units.iter().map(|unit| unit.last).max()),
        ratio_p_value: ratio_p_value(&counts, &weights),
        explained: [conversion.explained, movies.explained],
    }
}

fn mean_of(unit: &Unit, value: impl Fn(&Shown) -> f64) -> f64 {
    unit.shown.iter().map(value).sum::<f64>() / unit.shown.len().max(1) as f64
}

/// A value per user.
struct Values {
    plain: Vec<Sample>,
    adjusted: Option<Vec<Sample>>,
    explained: f64,
    confidence: f64,
}

impl Values {
    fn new(
        units: &[Unit],
        plan: &Plan,
        covariates: Option<&[f64]>,
        value: impl Fn(&Unit) -> f64,
    ) -> Self {
        let values: Vec<f64> = units.iter().map(value).collect();
        let samples = |values: &[f64]| -> Vec<Sample> {
            let mut of: Vec<Vec<f64>> = vec![Vec::new(); plan.variants.len()];
            for (unit, value) in units.iter().zip(values) {
                of[unit.variant].push(*value);
            }
            of.iter().map(|values| Sample::of(values)).collect()
        };
        let adjusted = covariates.map(|covariates| cuped(&values, covariates));
        let variance = Sample::of(&values).variance;
        let explained = match &adjusted {
            Some(adjusted) if variance > 0.0 => 1.0 - Sample::of(adjusted).variance / variance,
            _ => 0.0,
        };
        Self {
            plain: samples(&values),
            adjusted: adjusted.as_deref().map(samples),
            explained,
            confidence: plan.confidence,
        }
    }

    fn metric(&self, variant: usize) -> Metric {
        let against = |samples: &[Sample]| {
            let other = (variant > 0).then(|| samples[variant])?;
            compare(&samples[0], &other, self.confidence)
        };
        let (control, this) = (&self.plain[0], &self.plain[variant]);
        let plain = against(&self.plain);
        let variances = [control.variance, this.variance];
        let users = [control.count, this.count];
        let alpha = 1.0 - self.confidence;
        Metric {
            mean: mean(this, self.confidence),
            detectable: plain.map(|_| detectable_difference(variances, users, alpha, POWER)),
            plain,
            adjusted: self.adjusted.as_deref().and_then(against),
        }
    }
}

/// The median, 95th and 99th percentile in milliseconds: the nearest ranks.
fn percentiles(mut micros: Vec<u32>) -> Option<[f64; 3]> {
    micros.sort_unstable();
    let last = micros.len().checked_sub(1)?;
    let at = |percent: usize| {
        let rank = (micros.len() * percent).div_ceil(100);
        f64::from(micros[rank.saturating_sub(1).min(last)]) / 1000.0
    };
    Some([at(50), at(95), at(99)])
}

/// `None` unless the lists are of two models.
fn interleaved<'a>(units: impl Iterator<Item = &'a Unit>) -> Option<Interleaved> {
    let units: Vec<&Unit> = units.filter(|unit| !unit.credits.is_empty()).collect();
    let names: BTreeSet<&String> = units.iter().flat_map(|unit| unit.credits.keys()).collect();
    let models: [String; 2] = names.into_iter().cloned().collect::<Vec<_>>().try_into().ok()?;
    let (mut outcomes, mut wins) = ([0; 2], [0; 2]);
    for unit in units {
        let [one, other] =
            models.each_ref().map(|name| unit.credits.get(name).copied().unwrap_or(0));
        outcomes[0] += one;
        outcomes[1] += other;
        wins[0] += u64::from(one > other);
        wins[1] += u64::from(other > one);
    }
    Some(Interleaved { models, outcomes, users: wins, p_value: sign_test(wins[0], wins[1]) })
}
