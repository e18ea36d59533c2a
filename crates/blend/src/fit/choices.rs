//! The choices that users make among the candidates, by ratings that the models have not seen.

use std::thread;

use futures::FutureExt as _;
use sparrow_model::{Catalog, History, MovieIndex, OwnedHistory, Rated, RatingLog, UserState};
use sparrow_neural::TopK;
use sparrow_random::Random;
use sparrow_rank::{Query, Ranker, UNSCORED};

use super::{Error, Models, Options};
use crate::signal::{MovieSignals, UserSignals, log_score};
use crate::{INPUTS, Objective};

/// The part of a user's ratings that is held out for lists.
const HELD_OUT: f64 = 0.25;

/// The number of a user's last ratings that are held out for the next movie.
const LAST: usize = 5;

/// The part of the users that is held out with all ratings.
const NEW_USERS: f64 = 0.2;

/// The expected number of these users is at most this one.
const MOST_NEW_USERS: f64 = 600.0;

/// The numbers of first ratings by which new users are known.
const FIRST: [usize; 4] = [1, 3, 5, 10];

/// The ratings of a catalogue, divided.
pub(super) struct HeldOut {
    pub(super) training: sparrow_model::Histories,
    pub(super) users: Vec<HeldOutUser>,
}

/// The ratings of a user: all, in order of time, and which are held out.
pub(super) struct HeldOutUser {
    all: Vec<Rated>,
    held_out: Vec<bool>,
    user: sparrow_model::UserId,
    /// No rating is in training.
    is_new: bool,
}

impl HeldOut {
    pub(super) fn new(catalog: &Catalog, options: &Options) -> Self {
        let mut random = Random::new(options.seed, 7);
        let mut training = RatingLog::default();
        let mut users = Vec::new();
        let new_users = NEW_USERS.min(MOST_NEW_USERS / catalog.users().len() as f64);
        for history in catalog.users().iter() {
            let all: Vec<Rated> = history.iter().collect();
            if random.chance(new_users) {
                let held_out = vec![true; all.len()];
                users.push(HeldOutUser { all, held_out, user: history.user(), is_new: true });
                continue;
            }
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
                users.push(HeldOutUser { all, held_out, user: history.user(), is_new: false });
            }
        }
        random.shuffle(&mut users);
        users.truncate(options.users);
        Self { training: training.into_histories().0, users }
    }
}

/// The choices of users with their whole histories, and with the first ratings alone.
#[derive(Default)]
pub(super) struct Choices {
    pub(super) choices: Vec<Choice>,
    pub(super) of_new_users: Vec<Choice>,
}

/// The alternatives of a user.
pub(super) struct Choice {
    pub(super) user: u32,
    /// See [`UserSignals::new_share`].
    pub(super) new_share: f32,
    /// The scores of the models for the candidates.
    pub(super) inputs: [Option<Vec<f32>>; INPUTS.len()],
    /// The other signals of the candidates, in the order of [`Signal::ALL`].
    pub(super) others: Vec<Vec<f32>>,
    /// Which candidates were held out.
    pub(super) positives: Vec<bool>,
    /// The number of held-out movies, also of those that are not candidates.
    pub(super) held_out: usize,
}

/// The choices of all users, on several threads.
pub(super) fn choices(
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
            if user.is_new {
                for first in FIRST.into_iter().filter(|&first| first < user.all.len()) {
                    let (known, later) = user.all.split_at(first);
                    let history = OwnedHistory::new(user.user, known.iter().copied());
                    let later = match options.objective {
                        Objective::Lists => later,
                        Objective::Next => &later[..LAST.min(later.len())],
                    };
                    let out: Vec<MovieIndex> = later.iter().map(|rated| rated.movie).collect();
                    of_new_users.extend(gather.choice(history.get(), &out, true)?);
                }
                continue;
            }
            let pairs = || user.all.iter().zip(&user.held_out);
            let known = pairs().filter(|(_, out)| !**out).map(|(rated, _)| *rated);
            let out: Vec<MovieIndex> =
                pairs().filter(|(_, out)| **out).map(|(rated, _)| rated.movie).collect();
            match options.objective {
                Objective::Lists => {
                    let history = OwnedHistory::new(user.user, known);
                    choices.extend(gather.choice(history.get(), &out, false)?);
                }
                Objective::Next => {
                    let first = user.held_out.iter().position(|&out| out).unwrap_or(0);
                    for next in first..user.all.len() {
                        let known = user.all[..next].iter().copied();
                        let history = OwnedHistory::new(user.user, known);
                        let out = [user.all[next].movie];
                        choices.extend(gather.choice(history.get(), &out, false)?);
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
    /// The choice of a user who has rated `history` and will rate `out`; `None` if no model finds any of these. Half of the
    /// candidates of a new user are the most popular movies.
    fn choice(
        &self,
        history: History<'_>,
        out: &[MovieIndex],
        is_new: bool,
    ) -> Result<Option<Choice>, Error> {
        let user = UserState { history: Some(history), ..UserState::unknown(history.user()) };
        let mut rated: Vec<MovieIndex> = history.movies().collect();
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
        let popular = if is_new { self.options.candidates / 2 } else { 0 };
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
