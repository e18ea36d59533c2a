//! How good a model is: measured on ratings that it has not seen.
//!
//! [`run`] divides a data set's ratings ([`split`]), fits a model to one part ([`Method::fit`]), and measures
//! on the other part what the model makes of it by a [`Protocol`]: once for each seed, with means,
//! deviations and confidence intervals over all. [`compare`] says whether one model is better than
//! another on the same parts.
//!
//! A method is given a catalogue of the training ratings and nothing else, and what it gives back is
//! what serving has: a [`Ranker`], or an engine. So popularity, statistics, features and vectors know no
//! rating that is measured with; [`leak`] checks that. `docs/quality.md` explains the protocols.

mod blend;
pub mod leak;
mod models;
mod observations;
mod protocols;
pub mod ranking;
mod registry;
pub mod report;
pub mod split;
pub mod statistics;
pub mod tune;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_engine::Engine;
use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_movielens::{Loaded, Options as ReaderOptions, Source};
use sparrow_neural::EmbeddingTable;
use sparrow_rank::{Query, Ranker};

pub use blend::Blend;
pub use models::{
    Computed, EndToEnd, Popularity, Trained, UserAndMovieBiases, VectorFolder, Vectors,
};
use observations::Observations;
pub use registry::{ModelKind, method, models};
use sparrow_progress::Progress;
use sparrow_random::Random;
use sparrow_train as train;
use sparrow_train::metrics::Calibration;
use split::{HoldOut, Parts};

/// How many places of a list count.
pub const PLACES: usize = 10;

/// Why there are no measures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is outside its range, or does not go with another.
    #[error("{0}")]
    Option(String),
    /// The model cannot be fitted.
    #[error("cannot fit the model {model}")]
    Fit {
        /// Its name.
        model: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The fitted model does not answer.
    #[error("the model failed on user {user}")]
    Ranking {
        /// Whose movies it should have scored.
        user: UserId,
        /// How.
        source: sparrow_rank::Error,
    },
    /// The model was fitted to what it is measured with.
    #[error("ratings of the test part reached the model: {0}")]
    Leak(leak::Leak),
    /// No user has anything to measure with.
    #[error("nothing to measure with: {0}")]
    NothingToMeasure(&'static str),
}

/// What a model is asked, and what counts as good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Whether held-out ratings are likes: 3.5 stars or more.
    Label,
    /// A list of 10 of the movies that the user has not rated in training; all that the user rated in the test
    /// part are relevant.
    FullRanking,
    /// Where each user's last movie comes among 99 others that the user has not rated, and among all.
    LeaveOneOut,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 3] = [Self::Label, Self::FullRanking, Self::LeaveOneOut];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::FullRanking => "full-ranking",
            Self::LeaveOneOut => "leave-one-out",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|protocol| protocol.name() == name);
        found.ok_or_else(|| format!("{name:?} is not one of label, full-ranking, leave-one-out"))
    }
}

/// How to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// What is asked.
    pub protocol: Protocol,
    /// How the ratings are divided; [`HoldOut::LeaveOneOut`] and [`Protocol::LeaveOneOut`] go together.
    pub hold_out: HoldOut,
    /// The part of the ratings that is held out.
    pub fraction: f64,
    /// One division and one model for each.
    pub seeds: Vec<u64>,
    /// Leave what the user rated in training in the lists.
    pub keep_seen: bool,
    /// Put each seed's test part away, and divide its training part once more to measure on: so settings can be
    /// chosen without a look at what models are measured with in the end.
    pub validation: bool,
    /// How many resamples of the users the intervals are drawn from; 0 for no intervals.
    pub resamples: usize,
}

impl Options {
    /// What is usual for a protocol: 80/20 by chance for labels, 75/25 by chance within each movie's ratings
    /// for full ranking; three seeds.
    pub fn new(protocol: Protocol) -> Self {
        let (hold_out, fraction) = match protocol {
            Protocol::Label => (HoldOut::RANDOM, 0.2),
            Protocol::FullRanking => (HoldOut::RandomByMovie, 0.25),
            Protocol::LeaveOneOut => (HoldOut::LeaveOneOut, 0.0),
        };
        Self {
            protocol,
            hold_out,
            fraction,
            seeds: vec![1, 2, 3],
            keep_seen: false,
            validation: false,
            resamples: 1000,
        }
    }

    /// Refuses what cannot be measured, before any work is done.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Option(why.to_owned()));
        if (self.protocol == Protocol::LeaveOneOut) != (self.hold_out == HoldOut::LeaveOneOut) {
            return refuse(
                "the protocol leave-one-out has its own split, and only it has that one",
            );
        }
        if self.hold_out != HoldOut::LeaveOneOut && !(self.fraction > 0.0 && self.fraction < 1.0) {
            return refuse("the test part must be more than 0 and less than 1");
        }
        if self.seeds.is_empty() {
            return refuse("at least one seed is needed");
        }
        if self.resamples > 1_000_000 {
            return refuse("at most 1000000 resamples");
        }
        Ok(())
    }
}

/// What a method may learn from.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// The movies, and the training part of the ratings.
    pub catalog: &'a Arc<Catalog>,
    /// How the ratings were divided, for a model that holds out some itself.
    pub hold_out: HoldOut,
    /// For what is random about the method.
    pub seed: u64,
}

/// A way to get a model from ratings.
///
/// The contract: with the same training part and seed, the model is the same; nothing but the training part
/// goes into it. A method that brings its model along, such as one over finished files, says so in
/// [`unknown_training`](Self::unknown_training).
pub trait Method: Sync {
    /// Its name, such as `popularity`.
    fn name(&self) -> String;

    /// Its settings, for reports: names and values.
    fn settings(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Whether what the model was trained on is not known here, so that it may have been the test part too.
    fn unknown_training(&self) -> bool {
        false
    }

    /// Whether it has scores for given pairs. Without, it has only lists.
    fn scores(&self) -> bool {
        true
    }

    /// Fits a model.
    fn fit(
        &self,
        training: Training<'_>,
    ) -> Result<Fitted, Box<dyn std::error::Error + Send + Sync>>;
}

/// A fitted model.
pub struct Fitted {
    /// What it knows of movies and users.
    pub catalog: Arc<Catalog>,
    /// What gives its answers.
    pub answers: Answers,
    /// The users' vectors by user id, for a ranker that needs them.
    pub users: Option<Arc<EmbeddingTable>>,
}

/// What gives a fitted model's answers.
pub enum Answers {
    /// A model that scores.
    Scores {
        /// The model.
        ranker: Arc<dyn Ranker>,
        /// Whether a score is the probability that the user likes the movie.
        probabilities: bool,
    },
    /// The whole way of a request: recall and ranking, with what steps in.
    Lists(Box<Engine>),
}

impl Fitted {
    /// The user as a request would see it.
    fn user(&self, id: UserId) -> UserState<'_> {
        UserState {
            history: self.catalog.users().find(id),
            embedding: self.users.as_ref().and_then(|users| users.get(id.0)),
            ..UserState::unknown(id)
        }
    }

    /// The scores of movies for a user, by the ranker's contract; `false` where the model has none for this
    /// user.
    async fn score(
        &self,
        ranker: &dyn Ranker,
        user: UserId,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<bool, Error> {
        let failed = |source| Err(Error::Ranking { user, source });
        match ranker.score(&Query::new(&self.user(user), movies), scores).await {
            Ok(())
                if scores.len() == movies.len() && !scores.iter().any(|score| score.is_nan()) =>
            {
                Ok(true)
            }
            Ok(()) => failed(sparrow_rank::Error::Malformed("not a score a movie".to_owned())),
            Err(sparrow_rank::Error::NoUserEmbedding(_) | sparrow_rank::Error::UnknownUser(_)) => {
                Ok(false)
            }
            Err(error) => failed(error),
        }
    }
}

/// Reads the data set in a folder.
pub fn load(data: &Path, reader: &ReaderOptions) -> Result<Loaded, sparrow_movielens::Error> {
    Source::open(data)?.load(reader)
}

/// A data set in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 over all ratings.
    pub fingerprint: String,
    /// Users with ratings.
    pub users: usize,
    /// Movies, also those without ratings.
    pub movies: usize,
    /// Movies with ratings.
    pub rated_movies: usize,
    /// Ratings.
    pub ratings: usize,
}

impl Facts {
    /// Of a catalogue.
    pub fn new(catalog: &Catalog) -> Self {
        Self {
            fingerprint: train::fingerprint(catalog),
            users: catalog.users().len(),
            movies: catalog.len(),
            rated_movies: split::rated_movies(catalog).len(),
            ratings: catalog.users().rating_count(),
        }
    }
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The model.
    pub model: String,
    /// Its settings.
    pub settings: Vec<(String, String)>,
    /// See [`Method::unknown_training`].
    pub unknown_training: bool,
    /// How it was measured.
    pub options: Options,
    /// The data set.
    pub facts: Facts,
    /// Each seed.
    pub seeds: Vec<Seed>,
    /// All seeds together.
    pub measures: Vec<Measure>,
    /// How probabilities compare with what was liked, over all seeds; for scores that are probabilities.
    pub calibration: Option<Calibration>,
}

/// One seed of an evaluation.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// What was measured.
    pub measures: Vec<(&'static str, f64)>,
    /// Ratings in training.
    pub training: usize,
    /// Ratings held out.
    pub test: usize,
    /// Users who were asked for.
    pub users: usize,
    /// Those of them for whom the model had no scores.
    pub without_scores: usize,
    /// How long fitting took.
    pub fitting: Duration,
    /// How long asking took.
    pub asking: Duration,
    measured: Observations,
}

/// A measure over all seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// Its name, such as `ndcg_at_10`.
    pub name: &'static str,
    /// The mean over the seeds.
    pub mean: f64,
    /// The sample deviation over the seeds: 0 for one.
    pub deviation: f64,
    /// Where the mean lies with 95% confidence, were the users others of the same kind: percentiles of the
    /// bootstrap. Not for measures that are no mean over users, such as coverage.
    pub interval: Option<(f64, f64)>,
}

/// Fits and measures a model, once for each seed. `progress` counts users that were asked for.
pub async fn run(
    catalog: &Catalog,
    method: &dyn Method,
    options: &Options,
    progress: Progress<'_>,
) -> Result<Evaluation, Error> {
    options.check()?;
    if options.protocol == Protocol::Label && !method.scores() {
        let name = method.name();
        return Err(Error::Option(format!(
            "{name} gives lists and no scores, so the protocol label cannot measure it"
        )));
    }
    let mut seeds = Vec::new();
    for (done, &seed) in options.seeds.iter().enumerate() {
        let mut parts = Parts::new(catalog, options.hold_out, options.fraction, seed);
        if options.validation {
            parts = Parts::new(&parts.training, options.hold_out, options.fraction, seed);
        }
        let so_far = |users: u64, all: u64| {
            progress(done as u64 * all + users, options.seeds.len() as u64 * all);
        };
        seeds.push(one(catalog, &parts, method, options, seed, &so_far).await?);
    }
    let intervals = intervals(&seeds, options.resamples);
    let measures = seeds[0]
        .measures
        .iter()
        .enumerate()
        .map(|(place, &(name, _))| {
            let values: Vec<f64> = seeds.iter().map(|seed| seed.measures[place].1).collect();
            let (mean, deviation) = statistics::mean_and_deviation(&values);
            let interval = intervals.iter().find(|(of, _)| *of == name).map(|(_, found)| *found);
            Measure { name, mean, deviation, interval }
        })
        .collect();
    Ok(Evaluation {
        model: method.name(),
        settings: method.settings(),
        unknown_training: method.unknown_training(),
        options: options.clone(),
        facts: Facts::new(catalog),
        measures,
        calibration: Observations::calibration(seeds.iter().map(|seed| &seed.measured)),
        seeds,
    })
}

/// Fits a model to the training part, and measures it with the test part. `catalog` is the whole.
async fn one(
    catalog: &Catalog,
    parts: &Parts,
    method: &dyn Method,
    options: &Options,
    seed: u64,
    progress: Progress<'_>,
) -> Result<Seed, Error> {
    let start = Instant::now();
    let training = Training { catalog: &parts.training, hold_out: options.hold_out, seed };
    let fitted =
        method.fit(training).map_err(|source| Error::Fit { model: method.name(), source })?;
    leak::check(parts, options.hold_out, &fitted).map_err(Error::Leak)?;
    let fitting = start.elapsed();
    let asked = protocols::ask(catalog, parts, &fitted, options, seed, progress).await?;
    let all = vec![1; catalog.users().len()];
    let Some(mut measures) = asked.measured.measure(&all) else {
        return Err(Error::NothingToMeasure("the test part lacks likes, or has nothing else"));
    };
    measures.extend(asked.whole);
    Ok(Seed {
        seed,
        measures,
        training: parts.training.users().rating_count(),
        test: parts.test.rating_count(),
        users: asked.users,
        without_scores: asked.without_scores,
        fitting,
        asking: start.elapsed().saturating_sub(fitting),
        measured: asked.measured,
    })
}

/// The seed of resamples: the same for all, so that models are compared on the same ones.
const RESAMPLING: u64 = 0x5eed;

/// What the measures, as means over the seeds, are for resamples of the users: `resampled[measure]`.
fn resampled(seeds: &[Seed], resamples: usize) -> Vec<(&'static str, Vec<f64>)> {
    let Some(first) = seeds.first() else { return Vec::new() };
    let names = first.measured.names();
    let mut values = vec![Vec::with_capacity(resamples); names.len()];
    let mut users: Vec<u32> = seeds.iter().flat_map(|seed| seed.measured.users()).collect();
    users.sort_unstable();
    users.dedup();
    let mut weights = vec![0; users.last().map_or(0, |&last| last as usize + 1)];
    let mut random = Random::new(RESAMPLING, 0);
    for _ in 0..resamples {
        for (&user, drawn) in users.iter().zip(statistics::resample(users.len(), &mut random)) {
            weights[user as usize] = drawn;
        }
        let measures: Option<Vec<_>> =
            seeds.iter().map(|seed| seed.measured.measure(&weights)).collect();
        // A resample without a like, or with nothing else, says nothing.
        let Some(measures) = measures else { continue };
        for (place, values) in values.iter_mut().enumerate() {
            let sum: f64 = measures.iter().map(|of_seed| of_seed[place].1).sum();
            values.push(sum / seeds.len() as f64);
        }
    }
    names.into_iter().zip(values).collect()
}

fn intervals(seeds: &[Seed], resamples: usize) -> Vec<(&'static str, (f64, f64))> {
    let all = resampled(seeds, resamples).into_iter();
    all.filter_map(|(name, mut values)| Some((name, statistics::interval(&mut values)?))).collect()
}

/// How far one model is ahead of another in a measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The measure.
    pub name: &'static str,
    /// The mean of the first model, less that of the second.
    pub difference: f64,
    /// Where the difference lies with 95% confidence: percentiles of the paired bootstrap over users.
    pub interval: (f64, f64),
    /// How likely a difference as far from zero is where there is none: of the same bootstrap, two-sided.
    pub p_value: f64,
}

/// Compares two models that were measured on the same parts of the same data. Users are drawn anew as often
/// as [`Options::resamples`] says, the same ones for both models; a measure that only one of them has is
/// left out.
pub fn compare(first: &Evaluation, second: &Evaluation) -> Result<Vec<Difference>, Error> {
    if first.options != second.options || first.facts != second.facts {
        return Err(Error::Option("models are compared on the same data and parts".to_owned()));
    }
    let resamples = first.options.resamples;
    let (ours, theirs) = (resampled(&first.seeds, resamples), resampled(&second.seeds, resamples));
    let mean = |of: &Evaluation, name: &str| {
        of.measures.iter().find(|measure| measure.name == name).map(|measure| measure.mean)
    };
    let differences = ours.iter().filter_map(|(name, ours)| {
        let (_, theirs) = theirs.iter().find(|(other, _)| other == name)?;
        let mut drawn: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours - theirs).collect();
        Some(Difference {
            name,
            difference: mean(first, name)? - mean(second, name)?,
            p_value: statistics::p_value(&drawn),
            interval: statistics::interval(&mut drawn)?,
        })
    });
    Ok(differences.collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests;
