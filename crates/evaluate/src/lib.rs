//! Evaluates models on held-out ratings.
//!
//! [`run`] divides the ratings of a data set ([`split`]), fits a model to the training part ([`Method::fit`]), and
//! evaluates it on the test part by a [`Protocol`]: once per seed, with means, deviations and confidence intervals
//! over all seeds. [`breakdown`] measures groups of users and of movies, and [`compare`] tests whether one model is better
//! than another on the same parts. [`tune`] searches for hyperparameters, and [`report`] formats the results.
//!
//! The input of a method is a catalogue of the training ratings and nothing else. Its result is a [`Ranker`] or an
//! engine, as in the server. Popularity, statistics, features and vectors therefore do not depend on held-out ratings;
//! [`leak`] checks that. `docs/quality.md` documents the protocols. Start reading at [`run`].

mod blend;
pub mod breakdown;
mod interleaving;
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

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_engine::{Embeddings, Engine};
use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_movielens::{Loaded, Options as ReaderOptions, Source};
use sparrow_rank::{Query, Ranker};

pub use blend::Blend;
use breakdown::ByPopularity;
use interleaving::Lists;
pub use models::{
    Computed, EndToEnd, ListOptions, Popularity, Trained, UserAndMovieBiases, VectorFolder, Vectors,
};
use observations::Observations;
pub use registry::{ModelKind, method, models};
use sparrow_progress::Progress;
use sparrow_random::Random;
use sparrow_train as train;
use sparrow_train::metrics::Calibration;
use split::{HoldOut, Parts};

/// The number of movies of a list that are evaluated.
pub const LIST_LENGTH: usize = 10;

/// The error of an evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option is outside its range, or incompatible with another one.
    #[error("{0}")]
    Option(String),
    /// The model cannot be fitted.
    #[error("cannot fit the model {model}")]
    Fit {
        /// The name of the model.
        model: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The fitted model returned an error.
    #[error("the model failed on user {user}")]
    Ranking {
        /// The user of the query.
        user: UserId,
        /// The cause.
        source: sparrow_rank::Error,
    },
    /// The model was fitted to held-out ratings.
    #[error("ratings of the test part reached the model: {0}")]
    Leak(leak::Leak),
    /// The test part is not sufficient.
    #[error("no test data: {0}")]
    NoTestData(&'static str),
}

/// The task of the model, and its measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Predict whether held-out ratings are likes: 3.5 stars or more.
    Label,
    /// Rank all movies that the user has not rated in the training part; the movies that the user rated in the test part
    /// are relevant.
    FullRanking,
    /// Rank each user's last movie among 99 others that the user has not rated, and among all.
    LeaveOneOut,
    /// Rank all movies for users outside the training part, of whom the first 1, 3, 5 or 10 ratings are known; the movies
    /// that they rated after the first ten are relevant.
    FirstK,
    /// Rank the movies without a rating in the training part for the users who have some there; those that the user rated
    /// are relevant.
    ColdItems,
    /// Replay the ratings of the test part in the order of time: rank each user's next movie with the ratings that arrived
    /// before it, as with the live path of the server, and with those of the training part alone.
    Replay,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 6] = [
        Self::Label,
        Self::FullRanking,
        Self::LeaveOneOut,
        Self::FirstK,
        Self::ColdItems,
        Self::Replay,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::FullRanking => "full-ranking",
            Self::LeaveOneOut => "leave-one-out",
            Self::FirstK => "first-k",
            Self::ColdItems => "cold-items",
            Self::Replay => "replay",
        }
    }

    /// The split that the protocol requires, and that requires the protocol.
    const fn own_split(self) -> Option<HoldOut> {
        match self {
            Self::Label | Self::FullRanking | Self::Replay => None,
            Self::LeaveOneOut => Some(HoldOut::LeaveOneOut),
            Self::FirstK => Some(HoldOut::Users),
            Self::ColdItems => Some(HoldOut::Movies),
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
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is not one of {names}")
        })
    }
}

/// The options of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The protocol.
    pub protocol: Protocol,
    /// Which ratings are held out; the splits of [`Protocol::LeaveOneOut`], [`Protocol::FirstK`] and
    /// [`Protocol::ColdItems`] are theirs alone.
    pub hold_out: HoldOut,
    /// The share of the ratings that is held out, or of the users or movies.
    pub fraction: f64,
    /// The seeds; the ratings are divided and the model is fitted once per seed.
    pub seeds: Vec<u64>,
    /// Keep movies that the user rated in the training part in the lists.
    pub keep_seen: bool,
    /// Do not use the test part, and divide the training part once more for the evaluation, so that hyperparameters can
    /// be chosen without the test part.
    pub validation: bool,
    /// The number of bootstrap resamples of the users for the intervals; 0 for no intervals.
    pub resamples: usize,
}

impl Options {
    /// The defaults of a protocol: 80/20 at random for labels, 75/25 at random within each movie's ratings for full
    /// ranking, a fifth of the users or movies for first k and cold items, the latest fifth of each user's ratings for
    /// replay; three seeds.
    pub fn new(protocol: Protocol) -> Self {
        let (hold_out, fraction) = match protocol {
            Protocol::Label => (HoldOut::RANDOM, 0.2),
            Protocol::FullRanking => (HoldOut::RandomByMovie, 0.25),
            Protocol::LeaveOneOut => (HoldOut::LeaveOneOut, 0.0),
            Protocol::FirstK => (HoldOut::Users, 0.2),
            Protocol::ColdItems => (HoldOut::Movies, 0.2),
            Protocol::Replay => (HoldOut::PER_USER_TIME, 0.2),
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

    /// Checks the options, before any work is done.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Option(why.to_owned()));
        let own = self.protocol.own_split();
        let has_owner =
            Protocol::ALL.iter().any(|protocol| protocol.own_split() == Some(self.hold_out));
        if own.is_some_and(|own| own != self.hold_out) || (own.is_none() && has_owner) {
            return refuse(
                "the protocols leave-one-out, first-k and cold-items have their own splits, and only they have these",
            );
        }
        let is_by_time = matches!(self.hold_out, HoldOut::PER_USER_TIME | HoldOut::TIME);
        if self.protocol == Protocol::Replay && !is_by_time {
            return refuse(
                "the protocol replay holds out the latest ratings: per-user-time or time",
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

/// The training data of a method.
#[derive(Debug, Clone, Copy)]
pub struct Training<'a> {
    /// The movies and the training part of the ratings.
    pub catalog: &'a Arc<Catalog>,
    /// How ratings were held out, for a model that holds out a validation part itself.
    pub hold_out: HoldOut,
    /// The seed of the random numbers.
    pub seed: u64,
}

/// A method that fits a model to ratings.
///
/// The contract: the same training part and seed result in the same model, which depends on nothing else. A method with
/// a finished model, such as one from files, returns true from [`unknown_training`](Self::unknown_training).
pub trait Method: Sync {
    /// The name of the model, such as `popularity`.
    fn name(&self) -> String;

    /// The names and values of the hyperparameters, for reports.
    fn settings(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Returns whether the training data are unknown, so that they may contain the test part.
    fn unknown_training(&self) -> bool {
        false
    }

    /// Returns whether the model scores single movies; otherwise it returns lists only.
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
    /// The catalogue that the model uses.
    pub catalog: Arc<Catalog>,
    /// The scores or lists of the model.
    pub answers: Answers,
    /// The vectors, if the ranker needs those of users.
    pub vectors: Option<Embeddings>,
    /// How much lists are re-ranked for diversity, from 0 to 1; only for [`Answers::Lists`].
    pub diversity: f32,
}

/// The scores or lists of a fitted model.
pub enum Answers {
    /// A model that scores movies.
    Scores {
        /// The model.
        ranker: Arc<dyn Ranker>,
        /// Whether scores are probabilities that the user likes the movie.
        probabilities: bool,
    },
    /// The end-to-end pipeline: recall and ranking with fallbacks.
    Lists(Box<Engine>),
}

impl Fitted {
    /// The state of a user of the catalogue as in a request.
    fn user(&self, id: UserId) -> UserState<'_> {
        UserState {
            history: self.catalog.users().find(id),
            embedding: self.vectors.as_ref().and_then(|vectors| vectors.users.get(id.0)),
            ..UserState::unknown(id)
        }
    }

    /// Computes the scores of movies for a user; returns `false` if the model has none for this user.
    async fn score(
        &self,
        ranker: &dyn Ranker,
        state: &UserState<'_>,
        movies: &[MovieIndex],
        scores: &mut Vec<f32>,
    ) -> Result<bool, Error> {
        let user = state.id;
        let failed = |source| Err(Error::Ranking { user, source });
        match ranker.score(&Query::new(state, movies), scores).await {
            Ok(())
                if scores.len() == movies.len() && !scores.iter().any(|score| score.is_nan()) =>
            {
                Ok(true)
            }
            Ok(()) => failed(sparrow_rank::Error::Malformed("not one score per movie".to_owned())),
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

/// The size of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// SHA-256 over all ratings.
    pub fingerprint: String,
    /// The number of users with ratings.
    pub users: usize,
    /// The number of movies, including those without ratings.
    pub movies: usize,
    /// The number of movies with ratings.
    pub rated_movies: usize,
    /// The number of ratings.
    pub ratings: usize,
}

impl Facts {
    /// Determines the size of a catalogue.
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

/// The result of an evaluation.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The model.
    pub model: String,
    /// The names and values of the hyperparameters.
    pub settings: Vec<(String, String)>,
    /// See [`Method::unknown_training`].
    pub unknown_training: bool,
    /// The options of the evaluation.
    pub options: Options,
    /// The data set.
    pub facts: Facts,
    /// The result of each seed.
    pub seeds: Vec<Seed>,
    /// The measures over all seeds.
    pub measures: Vec<Measure>,
    /// The calibration over all seeds, if scores are probabilities.
    pub calibration: Option<Calibration>,
}

/// The result of one seed.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The seed.
    pub seed: u64,
    /// The measures.
    pub measures: Vec<(&'static str, f64)>,
    /// The number of ratings in the training part.
    pub training: usize,
    /// The number of held-out ratings.
    pub test: usize,
    /// The number of evaluated users.
    pub users: usize,
    /// The number of evaluated users without scores.
    pub without_scores: usize,
    /// The time for fitting the model.
    pub fitting: Duration,
    /// The time for scoring.
    pub scoring: Duration,
    measured: Observations,
    by_popularity: ByPopularity,
    /// The lists, in protocols that rank all movies for known users.
    lists: Lists,
    /// The numbers of ratings in the training part by user.
    histories: HashMap<u32, u32>,
}

/// A measure over all seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// The name, such as `ndcg_at_10`.
    pub name: &'static str,
    /// The mean over the seeds.
    pub mean: f64,
    /// The sample deviation over the seeds; 0 for one seed.
    pub deviation: f64,
    /// The 95% confidence interval of the mean: percentiles of the bootstrap over users. `None` for measures that are not
    /// means over users, such as coverage.
    pub interval: Option<(f64, f64)>,
}

/// Fits and evaluates a model, once per seed. `progress` counts evaluated users.
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
            "{name} returns lists without scores, so the protocol label cannot evaluate it"
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
        .map(|(index, &(name, _))| {
            let values: Vec<f64> = seeds.iter().map(|seed| seed.measures[index].1).collect();
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

/// Fits a model to the training part and evaluates it on the test part. `catalog` contains both.
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
    let answers = protocols::evaluate(catalog, parts, &fitted, options, seed, progress).await?;
    let all = vec![1; catalog.users().len()];
    let Some(mut measures) = answers.measured.measure(&all) else {
        return Err(Error::NoTestData("the test part contains only likes, or none"));
    };
    measures.extend(answers.whole);
    Ok(Seed {
        seed,
        measures,
        training: parts.training.users().rating_count(),
        test: parts.test.rating_count(),
        users: answers.users,
        without_scores: answers.without_scores,
        fitting,
        scoring: start.elapsed().saturating_sub(fitting),
        measured: answers.measured,
        by_popularity: answers.by_popularity,
        lists: answers.lists,
        histories: breakdown::histories(catalog, parts),
    })
}

/// The seed of the resamples: a constant, so that models are compared on the same resamples.
const RESAMPLING: u64 = 0x5eed;

/// The measures, as means over the seeds, for resamples of the users: `resampled[measure]`.
fn resampled(seeds: &[&Observations], resamples: usize) -> Vec<(&'static str, Vec<f64>)> {
    let Some(first) = seeds.first() else { return Vec::new() };
    let names = first.names();
    let mut values = vec![Vec::with_capacity(resamples); names.len()];
    let mut users: Vec<u32> = seeds.iter().flat_map(|seed| seed.users()).collect();
    users.sort_unstable();
    users.dedup();
    let mut weights = vec![0; users.last().map_or(0, |&last| last as usize + 1)];
    let mut random = Random::new(RESAMPLING, 0);
    for _ in 0..resamples {
        for (&user, drawn) in users.iter().zip(statistics::resample(users.len(), &mut random)) {
            weights[user as usize] = drawn;
        }
        let measures: Option<Vec<_>> = seeds.iter().map(|seed| seed.measure(&weights)).collect();
        // A resample with likes only, or without likes, has no ROC AUC.
        let Some(measures) = measures else { continue };
        for (index, values) in values.iter_mut().enumerate() {
            let sum: f64 = measures.iter().map(|of_seed| of_seed[index].1).sum();
            values.push(sum / seeds.len() as f64);
        }
    }
    names.into_iter().zip(values).collect()
}

fn measured(seeds: &[Seed]) -> Vec<&Observations> {
    seeds.iter().map(|seed| &seed.measured).collect()
}

fn intervals(seeds: &[Seed], resamples: usize) -> Vec<(&'static str, (f64, f64))> {
    let all = resampled(&measured(seeds), resamples).into_iter();
    all.filter_map(|(name, mut values)| Some((name, statistics::interval(&mut values)?))).collect()
}

/// The difference between two models in a measure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The measure.
    pub name: &'static str,
    /// The mean of the first model minus that of the second.
    pub difference: f64,
    /// The 95% confidence interval of the difference: percentiles of the paired bootstrap over users.
    pub interval: (f64, f64),
    /// The two-sided p-value, from the same bootstrap.
    pub p_value: f64,
}

/// Compares two models that were evaluated on the same parts of the same data, with [`Options::resamples`] resamples
/// of the users, the same for both models. Omits measures that only one of them has. If both have lists, the last measure,
/// `interleaving`, is the preference for the first model in lists that are merged by team draft: from −0.5 to 0.5, the wins of
/// the first model minus those of the second, divided by two.
pub fn compare(first: &Evaluation, second: &Evaluation) -> Result<Vec<Difference>, Error> {
    if first.options != second.options || first.facts != second.facts {
        return Err(Error::Option("models are compared on the same data and parts".to_owned()));
    }
    let resamples = first.options.resamples;
    let ours = resampled(&measured(&first.seeds), resamples);
    let theirs = resampled(&measured(&second.seeds), resamples);
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
    let mut differences: Vec<Difference> = differences.collect();
    differences.extend(interleaved(first, second));
    Ok(differences)
}

/// The preference for the first model in merged lists; `None` without lists.
fn interleaved(first: &Evaluation, second: &Evaluation) -> Option<Difference> {
    let seeds = first.seeds.iter().zip(&second.seeds);
    let observed: Vec<Observations> =
        seeds.map(|(first, second)| interleaving::observe(&first.lists, &second.lists)).collect();
    if observed.iter().all(|of_seed| of_seed.users().next().is_none()) {
        return None;
    }
    let observed: Vec<&Observations> = observed.iter().collect();
    let (_, mut drawn) = resampled(&observed, first.options.resamples).into_iter().next()?;
    let most = observed.iter().flat_map(|of_seed| of_seed.users()).max()? as usize;
    let everyone = vec![1; most + 1];
    let means = observed.iter().filter_map(|of_seed| Some(of_seed.measure(&everyone)?.first()?.1));
    let (difference, _) = statistics::mean_and_deviation(&means.collect::<Vec<_>>());
    Some(Difference {
        name: interleaving::NAME,
        difference,
        p_value: statistics::p_value(&drawn),
        interval: statistics::interval(&mut drawn)?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod tests;
