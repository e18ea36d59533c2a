//! Fits the weights of a blend to ratings that its models have not seen.
//!
//! A part of each user's ratings is held out: a quarter by chance for [`Objective::Lists`], the last ones for
//! [`Objective::Next`]. The models are trained on the others. For each user, the candidates that the models rank best are
//! the alternatives of a choice, and the held-out movies among them are the chosen ones. The weights maximise the
//! likelihood of the choices under a softmax of the scores (a conditional logit model, McFadden 1974), which has a single
//! maximum; Newton's method finds it in a few steps. New users have weights of their own: each user makes another choice
//! with only the first 1, 3, 5 or 10 ratings of the history. The ε of the logarithms are chosen from a grid in the same way.
//!
//! Start reading at [`fit`].

use std::sync::Arc;
use std::thread;

use futures::FutureExt as _;
use sparrow_model::{Catalog, History, MovieIndex, OwnedHistory, Rated, RatingLog, UserState};
use sparrow_neural::TopK;
use sparrow_random::Random;
use sparrow_rank::{Query, Ranker, UNSCORED};

use crate::signal::{MovieSignals, UserSignals, log_score};
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

/// The part of a user's ratings that is held out for lists.
const HELD_OUT: f64 = 0.25;

/// The number of a user's last ratings that are held out for the next movie.
const LAST: usize = 5;

/// The numbers of first ratings by which new users are known.
const FIRST: [usize; 4] = [1, 3, 5, 10];

/// The length of the lists that validation measures.
const LIST: usize = 10;

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
    let all: Vec<&Choice> = choices.iter().collect();
    let mut signals = signals(&all);
    let mut epsilons = epsilons(&all, &signals);
    drop_needless_models(&all, &mut signals, &mut epsilons);
    let prepare = |choices: &[Choice]| -> Vec<Prepared> {
        choices.iter().map(|choice| Prepared::new(choice, &signals, &epsilons)).collect()
    };
    let (prepared, new) = (prepare(&choices), prepare(&of_new_users));
    let is_in = |half: u32| move |choice: &&Prepared| choice.user % 2 == half;
    let (mut ndcg, mut lists) = (0.0, 0);
    for (fitted_to, measured) in [(0, 1), (1, 0)] {
        let part = |of: &'_ [Prepared]| of.iter().filter(is_in(fitted_to)).cloned().collect();
        if let Some(weights) = Weights::fit(part(&prepared), part(&new), signals.len()) {
            for choice in prepared.iter().filter(is_in(measured)) {
                ndcg += choice.ndcg(&weights.at(choice.new_share));
                lists += 1;
            }
        }
    }
    let weights = Weights::fit(prepared.clone(), new, signals.len()).ok_or(Error::NothingToFit)?;
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

/// The ratings of a catalogue, divided.
struct HeldOut {
    training: sparrow_model::Histories,
    users: Vec<HeldOutUser>,
}

/// The ratings of a user: all, in order of time, and which are held out.
struct HeldOutUser {
    all: Vec<Rated>,
    held_out: Vec<bool>,
    user: sparrow_model::UserId,
}

impl HeldOut {
    fn new(catalog: &Catalog, options: &Options) -> Self {
        let mut random = Random::new(options.seed, 7);
        let mut training = RatingLog::default();
        let mut users = Vec::new();
        for history in catalog.users().iter() {
            let all: Vec<Rated> = history.iter().collect();
            let held_out: Vec<bool> = match options.objective {
                Objective::Lists => all.iter().map(|_| random.chance(HELD_OUT)).collect(),
                Objective::Next => {
                    let last = LAST.min(all.len() / 2);
                    (0..all.len()).map(|index| index >= all.len() - last).collect()
                }
            };
            for (rated, held_out) in all.iter().zip(&held_out) {
                if !held_out {
                    training.push(history.user(), rated.movie, rated.stars, rated.timestamp);
                }
            }
            let out = held_out.iter().filter(|&&held_out| held_out).count();
            if out > 0 && out < all.len() {
                users.push(HeldOutUser { all, held_out, user: history.user() });
            }
        }
        random.shuffle(&mut users);
        users.truncate(options.users);
        Self { training: training.into_histories().0, users }
    }
}

/// The choices of users with their whole histories, and with the first ratings alone.
#[derive(Default)]
struct Choices {
    choices: Vec<Choice>,
    of_new_users: Vec<Choice>,
}

/// The alternatives of a user.
struct Choice {
    user: u32,
    /// See [`UserSignals::new_share`].
    new_share: f32,
    /// The scores of the models for the candidates.
    inputs: [Option<Vec<f32>>; INPUTS.len()],
    /// The other signals of the candidates, in the order of [`Signal::ALL`].
    others: Vec<Vec<f32>>,
    /// Which candidates were held out.
    positives: Vec<bool>,
    /// The number of held-out movies, also of those that are not candidates.
    held_out: usize,
}

/// The choices of all users, on several threads.
fn choices(
    inner: &Catalog,
    models: &Models,
    users: &[HeldOutUser],
    options: &Options,
) -> Result<Choices, Error> {
    let movies: Vec<MovieIndex> = (0..inner.len() as u32)
        .map(MovieIndex)
        .filter(|&movie| inner.stats(movie).count > 0)
        .collect();
    let of_movies = MovieSignals::new(inner);
    let threads = options.threads.clamp(1, users.len().max(1));
    let work = |users: &[HeldOutUser]| -> Result<Choices, Error> {
        let Choices { mut choices, mut of_new_users } = Choices::default();
        for user in users {
            let gather = Gather { models, movies: &movies, of_movies: &of_movies, options };
            let pairs = || user.all.iter().zip(&user.held_out);
            let known = pairs().filter(|(_, out)| !**out).map(|(rated, _)| *rated);
            let out: Vec<MovieIndex> =
                pairs().filter(|(_, out)| **out).map(|(rated, _)| rated.movie).collect();
            // The users take turns.
            let first = FIRST[user.user.0 as usize / 2 % FIRST.len()];
            let later: Vec<MovieIndex> = known.clone().skip(first).map(|it| it.movie).collect();
            if !later.is_empty() {
                let history = OwnedHistory::new(user.user, known.clone().take(first));
                of_new_users.extend(gather.choice(history.get(), &out, Some(&later))?);
            }
            match options.objective {
                Objective::Lists => {
                    let history = OwnedHistory::new(user.user, known);
                    choices.extend(gather.choice(history.get(), &out, None)?);
                }
                Objective::Next => {
                    let first = user.held_out.iter().position(|&out| out).unwrap_or(0);
                    for next in first..user.all.len() {
                        let known = user.all[..next].iter().copied();
                        let history = OwnedHistory::new(user.user, known);
                        let out = [user.all[next].movie];
                        choices.extend(gather.choice(history.get(), &out, None)?);
                    }
                }
            }
        }
        Ok(Choices { choices, of_new_users })
    };
    let parts: Vec<Result<Choices, Error>> = thread::scope(|scope| {
        let chunk = users.len().div_ceil(threads).max(1);
        let handles: Vec<_> =
            users.chunks(chunk).map(|users| scope.spawn(|| work(users))).collect();
        let join = |handle: thread::ScopedJoinHandle<'_, _>| {
            handle.join().unwrap_or_else(|failed| std::panic::resume_unwind(failed))
        };
        handles.into_iter().map(join).collect()
    });
    let mut all = Choices::default();
    for part in parts {
        let part = part?;
        all.choices.extend(part.choices);
        all.of_new_users.extend(part.of_new_users);
    }
    Ok(all)
}

/// What the choices of users are gathered from.
struct Gather<'a> {
    models: &'a Models,
    /// The movies with ratings in training.
    movies: &'a [MovieIndex],
    of_movies: &'a MovieSignals,
    options: &'a Options,
}

impl Gather<'_> {
    /// The choice of a user who has rated `history` and will rate `out`; `None` if no model finds any of these. For a new
    /// user, `later` are the movies of the training part that are not in the history: the models know them, so they are no
    /// candidates. Half of the candidates of a new user are the most popular movies.
    fn choice(
        &self,
        history: History<'_>,
        out: &[MovieIndex],
        later: Option<&[MovieIndex]>,
    ) -> Result<Option<Choice>, Error> {
        let user = UserState { history: Some(history), ..UserState::unknown(history.user()) };
        let mut rated: Vec<MovieIndex> = history.movies().collect();
        rated.extend(later.unwrap_or_default());
        rated.sort_unstable();
        let is_unseen = |movie: &&MovieIndex| rated.binary_search(movie).is_err();
        let movies: Vec<MovieIndex> = self.movies.iter().filter(is_unseen).copied().collect();
        let mut all: [Option<Vec<f32>>; INPUTS.len()] = Default::default();
        let mut sums = vec![0.0_f32; movies.len()];
        for (model, scores) in self.models.iter().zip(&mut all) {
            let Some(model) = model else { continue };
            let Some(found) = score(&**model, &user, &movies)? else { continue };
            // The order by which candidates are chosen: the logarithms of all models, each relative to its best score.
            let best = found.iter().fold(f32::MIN_POSITIVE, |best, &score| best.max(score));
            for (sum, &score) in sums.iter_mut().zip(&found) {
                *sum += log_score(score / best, 0.01);
            }
            *scores = Some(found);
        }
        let popular = if later.is_some() { self.options.candidates / 2 } else { 0 };
        let mut top = TopK::new(self.options.candidates - popular);
        for (&sum, index) in sums.iter().zip(0..) {
            top.push(sum, index);
        }
        let mut best: Vec<usize> = top.sorted().map(|(_, index)| index as usize).collect();
        let mut top = TopK::new(popular);
        for (movie, index) in movies.iter().zip(0..) {
            top.push(self.of_movies.popularity[movie.index()], index);
        }
        best.extend(top.sorted().map(|(_, index)| index as usize));
        best.sort_unstable();
        best.dedup();
        let positives: Vec<bool> = best.iter().map(|&index| out.contains(&movies[index])).collect();
        if all.iter().all(Option::is_none) || !positives.contains(&true) {
            return Ok(None);
        }
        let of_user = UserSignals::new(&user, self.of_movies);
        let column = |of_movie: &dyn Fn(MovieIndex) -> f32| -> Vec<f32> {
            best.iter().map(|&index| of_movie(movies[index])).collect()
        };
        let of_movies = self.of_movies;
        let others = vec![
            column(&|movie| of_movies.popularity[movie.index()]),
            column(&|movie| of_movies.popularity[movie.index()] * of_user.newness),
            column(&|movie| of_movies.genre_cosine(movie, &of_user)),
            column(&|movie| of_movies.released(movie, &of_user)),
            column(&|movie| of_movies.mean_rating[movie.index()]),
        ];
        let inputs = all
            .map(|scores| scores.map(|scores| best.iter().map(|&index| scores[index]).collect()));
        let (user, new_share) = (history.user().0, of_user.new_share);
        Ok(Some(Choice { user, new_share, inputs, others, positives, held_out: out.len() }))
    }
}

/// The scores of a model; `None` if it has none for the user.
fn score(
    model: &dyn Ranker,
    user: &UserState<'_>,
    movies: &[MovieIndex],
) -> Result<Option<Vec<f32>>, Error> {
    let mut scores = Vec::new();
    // Models in this process never wait.
    let outcome = model.score(&Query::new(user, movies), &mut scores).now_or_never();
    match outcome.unwrap_or(Err(sparrow_rank::Error::TimedOut)) {
        Ok(()) => {
            scores.iter_mut().filter(|score| **score == UNSCORED).for_each(|score| *score = 0.0);
            Ok(Some(scores))
        }
        Err(sparrow_rank::Error::NoUserEmbedding(_) | sparrow_rank::Error::UnknownUser(_)) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The signals that differ between the candidates of any choice.
fn signals(choices: &[&Choice]) -> Vec<Signal> {
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
fn epsilons(choices: &[&Choice], signals: &[Signal]) -> Vec<f32> {
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
fn likelihood(choices: &[&Choice], signals: &[Signal], epsilons: &[f32]) -> f64 {
    let prepared: Vec<Prepared> =
        choices.iter().map(|choice| Prepared::new(choice, signals, epsilons)).collect();
    let prepared: Vec<&Prepared> = prepared.iter().collect();
    maximise(&prepared, signals.len()).map_or(f64::NEG_INFINITY, |(_, likelihood)| likelihood)
}

/// Removes the models whose scores do not pay for their weight and ε by the Bayesian information criterion (Schwarz 1978):
/// each model costs time in every request.
fn drop_needless_models(choices: &[&Choice], signals: &mut Vec<Signal>, epsilons: &mut Vec<f32>) {
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

/// A choice with the values of its signals, one row per candidate.
#[derive(Clone)]
struct Prepared {
    user: u32,
    new_share: f64,
    rows: Vec<f64>,
    positives: Vec<bool>,
    held_out: usize,
}

impl Prepared {
    fn new(choice: &Choice, signals: &[Signal], epsilons: &[f32]) -> Self {
        let candidates = choice.positives.len();
        let mut rows = vec![0.0; candidates * signals.len()];
        for (column, (&signal, &epsilon)) in signals.iter().zip(epsilons).enumerate() {
            let values: &mut dyn Iterator<Item = f32> = match signal.input() {
                Some(input) => match &choice.inputs[input] {
                    Some(scores) => &mut scores.iter().map(|&score| log_score(score, epsilon)),
                    None => continue,
                },
                None => &mut choice.others[signal as usize - INPUTS.len()].iter().copied(),
            };
            for (candidate, value) in values.enumerate() {
                rows[candidate * signals.len() + column] = f64::from(value);
            }
        }
        let positives = choice.positives.clone();
        let new_share = f64::from(choice.new_share);
        Self { user: choice.user, new_share, rows, positives, held_out: choice.held_out }
    }

    /// With two columns for each signal: the shares of the weights for users with many ratings and for new users.
    fn with_both_shares(mut self, signals: usize) -> Self {
        let shares = [1.0 - self.new_share, self.new_share];
        let row = |row: &[f64]| -> Vec<f64> {
            shares.iter().flat_map(|share| row.iter().map(move |value| share * value)).collect()
        };
        self.rows = self.rows.chunks_exact(signals).flat_map(row).collect();
        self
    }

    fn scores<'a>(&'a self, weights: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let dot =
            move |row: &[f64]| row.iter().zip(weights).map(|(value, weight)| value * weight).sum();
        self.rows.chunks_exact(weights.len()).map(dot)
    }

    /// nDCG@10 of the list by these weights.
    fn ndcg(&self, weights: &[f64]) -> f64 {
        let mut top = TopK::new(LIST);
        for (score, index) in self.scores(weights).zip(0..) {
            top.push(score as f32, index);
        }
        let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let found: f64 = top
            .sorted()
            .enumerate()
            .filter(|(_, (_, index))| self.positives[*index as usize])
            .map(|(rank, _)| discount(rank))
            .sum();
        found / (0..LIST.min(self.held_out)).map(discount).sum::<f64>()
    }
}

/// The weights of the signals.
struct Weights {
    /// For users with many ratings.
    full: Vec<f64>,
    /// For users without ratings.
    new: Option<Vec<f64>>,
}

/// The fewest choices of new users to which weights of their own are fitted.
const LEAST_NEW: usize = 40;

impl Weights {
    /// The weights of the greatest likelihood of all choices together.
    fn fit(full: Vec<Prepared>, new: Vec<Prepared>, signals: usize) -> Option<Self> {
        if new.len() < LEAST_NEW {
            let full: Vec<&Prepared> = full.iter().collect();
            return Some(Self { full: maximise(&full, signals)?.0, new: None });
        }
        let all = full.into_iter().chain(new);
        let all: Vec<Prepared> = all.map(|choice| choice.with_both_shares(signals)).collect();
        let (mut weights, _) = maximise(&all.iter().collect::<Vec<_>>(), 2 * signals)?;
        let new = weights.split_off(signals);
        Some(Self { full: weights, new: Some(new) })
    }

    /// The weights for a user with this share of those for new users.
    fn at(&self, new_share: f64) -> Vec<f64> {
        let new = self.new.as_ref().unwrap_or(&self.full);
        self.full.iter().zip(new).map(|(full, new)| full + new_share * (new - full)).collect()
    }
}

/// The greatest number of Newton steps.
const STEPS: usize = 30;

/// The weights of the greatest mean log-likelihood, and this likelihood; `None` if it is not finite. A small ridge makes
/// the maximum unique if signals are collinear.
fn maximise(choices: &[&Prepared], signals: usize) -> Option<(Vec<f64>, f64)> {
    const RIDGE: f64 = 1e-4;
    if choices.is_empty() {
        return None;
    }
    let evaluate = |weights: &[f64], derivatives: bool| {
        let mut value = 0.0;
        let (mut gradient, mut hessian) = (vec![0.0; signals], vec![0.0; signals * signals]);
        for choice in choices {
            let scores: Vec<f64> = choice.scores(weights).collect();
            let greatest = scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
            let mut shares: Vec<f64> =
                scores.iter().map(|score| (score - greatest).exp()).collect();
            let sum: f64 = shares.iter().sum();
            for share in &mut shares {
                *share /= sum;
            }
            let chosen = choice.positives.iter().filter(|&&chosen| chosen).count() as f64;
            for (score, _) in scores.iter().zip(&choice.positives).filter(|(_, chosen)| **chosen) {
                value += score - greatest - sum.ln();
            }
            if !derivatives {
                continue;
            }
            let mut mean = vec![0.0; signals];
            for (row, (&share, &positive)) in
                choice.rows.chunks_exact(signals).zip(shares.iter().zip(&choice.positives))
            {
                let target = f64::from(u8::from(positive));
                let share = share * chosen;
                for (a, &of_a) in row.iter().enumerate() {
                    mean[a] += share * of_a;
                    gradient[a] += (target - share) * of_a;
                    for (b, &of_b) in row[..=a].iter().enumerate() {
                        hessian[a * signals + b] += share * of_a * of_b;
                    }
                }
            }
            for a in 0..signals {
                for b in 0..=a {
                    hessian[a * signals + b] -= mean[a] * mean[b] / chosen;
                }
            }
        }
        let len = choices.len() as f64;
        for a in 0..signals {
            gradient[a] = gradient[a] / len - RIDGE * weights[a];
            for b in 0..=a {
                hessian[a * signals + b] /= len;
                hessian[b * signals + a] = hessian[a * signals + b];
            }
            hessian[a * signals + a] += RIDGE;
        }
        let penalty = RIDGE / 2.0 * weights.iter().map(|weight| weight * weight).sum::<f64>();
        (value / len - penalty, gradient, hessian)
    };
    let mut weights = vec![0.0; signals];
    let (mut value, mut gradient, mut hessian) = evaluate(&weights, true);
    for _ in 0..STEPS {
        let step = solve(hessian, gradient)?;
        let mut length = 1.0;
        let improved = loop {
            let changed: Vec<f64> =
                weights.iter().zip(&step).map(|(weight, step)| weight + length * step).collect();
            let (found, ..) = evaluate(&changed, false);
            if found > value {
                break Some((changed, found));
            }
            length /= 2.0;
            if length < 1e-3 {
                break None;
            }
        };
        let Some((changed, found)) = improved else { break };
        let gain = found - value;
        weights = changed;
        if gain < 1e-7 {
            value = found;
            break;
        }
        (value, gradient, hessian) = evaluate(&weights, true);
    }
    value.is_finite().then_some((weights, value))
}

/// The solution of a system of equations with a symmetric positive definite matrix; `None` if it is singular.
fn solve(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for pivot in 0..n {
        let diagonal = matrix[pivot * n + pivot];
        if !(diagonal.is_finite() && diagonal > 0.0) {
            return None;
        }
        for row in pivot + 1..n {
            let factor = matrix[row * n + pivot] / diagonal;
            for column in pivot..n {
                matrix[row * n + column] -= factor * matrix[pivot * n + column];
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|column| matrix[row * n + column] * right[column]).sum();
        right[row] = (right[row] - known) / matrix[row * n + row];
    }
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_the_greatest_likelihood_are_found() {
        // Two alternatives that differ by 1 in a signal: with probability p for the one with 1, the weight is the logit.
        let choice = |first: bool| Prepared {
            user: 0,
            new_share: 0.0,
            rows: vec![1.0, 0.0],
            positives: vec![first, !first],
            held_out: 1,
        };
        let choices: Vec<Prepared> = (0..10).map(|index| choice(index < 8)).collect();
        let choices: Vec<&Prepared> = choices.iter().collect();
        let (weights, _) = maximise(&choices, 1).expect("a maximum");
        assert!((weights[0] - 4.0_f64.ln()).abs() < 2e-3, "{weights:?}");
    }

    #[test]
    fn collinear_signals_share_the_weight() {
        let choice = |first: bool| Prepared {
            user: 0,
            new_share: 0.0,
            rows: vec![1.0, 1.0, 0.0, 0.0],
            positives: vec![first, !first],
            held_out: 1,
        };
        let choices: Vec<Prepared> = (0..10).map(|index| choice(index < 8)).collect();
        let choices: Vec<&Prepared> = choices.iter().collect();
        let (weights, _) = maximise(&choices, 2).expect("a maximum");
        assert!((weights[0] - weights[1]).abs() < 1e-6, "{weights:?}");
        assert!((weights[0] + weights[1] - 4.0_f64.ln()).abs() < 2e-3, "{weights:?}");
    }

    #[test]
    fn new_users_have_weights_of_their_own() {
        // Users with many ratings choose the first alternative in 8 of 10 cases, new ones in 2 of 10.
        let choices = |first: usize, new_share: f64| -> Vec<Prepared> {
            let choice = |index: usize| Prepared {
                user: 0,
                new_share,
                rows: vec![1.0, 0.0],
                positives: vec![index % 10 < first, index % 10 >= first],
                held_out: 1,
            };
            (0..LEAST_NEW).map(choice).collect()
        };
        let weights = Weights::fit(choices(8, 0.0), choices(2, 1.0), 1).expect("a maximum");
        let logit = 4.0_f64.ln();
        for (share, expected) in [(0.0, logit), (1.0, -logit), (0.5, 0.0)] {
            let weight = weights.at(share)[0];
            assert!((weight - expected).abs() < 4e-3, "{share}: {weight}");
        }
        let few = choices(2, 1.0)[1..].to_vec();
        assert!(Weights::fit(choices(8, 0.0), few, 1).expect("a maximum").new.is_none());
    }

    #[test]
    fn ndcg_counts_held_out_movies_that_are_no_candidates() {
        let choice = Prepared {
            user: 0,
            new_share: 0.0,
            rows: vec![3.0, 2.0],
            positives: vec![true, false],
            held_out: 2,
        };
        let expected = 1.0 / (1.0 + 1.0 / 3.0_f64.log2());
        assert!((choice.ndcg(&[1.0]) - expected).abs() < 1e-12);
    }
}
