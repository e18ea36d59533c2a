use std::cmp::Reverse;
use std::time::{Duration, Instant};

use sparrow_model::{MovieIndex, UserState};
use sparrow_rank::{Error, Query, Ranker, UNSCORED};
use tracing::{Instrument as _, Span, field};

use crate::buffers::{Buffers, SharedScores};
use crate::{Engine, Item, Model, Reason};

impl Engine {
    /// Selects the best candidates by the requested model, or by its first fallback that can rank. If that model cannot
    /// score enough of them, its fallback orders the rest. Returns the index of the model that ranked (`None` if none
    /// could), and why it is not the requested one.
    pub(crate) async fn rank(
        &self,
        requested: usize,
        user: &UserState<'_>,
        size: usize,
        buffers: &mut Buffers,
        items: &mut Vec<Item>,
    ) -> (Option<usize>, Option<Reason>) {
        let (mut answered, mut failure) = (None, None);
        buffers.start_ranking();
        let mut next = Some(requested);
        // Models are asked even without candidates until one answers: an empty list names a model that could have ranked.
        let wanted = |answered: Option<usize>, items: &[Item], rest: &[MovieIndex]| {
            answered.is_none() || (items.len() < size && !rest.is_empty())
        };
        while let Some(model) = next.filter(|_| wanted(answered, items, &buffers.rest)) {
            match self.score_rest(model, requested, user, buffers).await {
                Ok(()) => {
                    let ordered_by = answered.map(|_| model);
                    take_best(size, ordered_by, buffers, items);
                    answered = answered.or(Some(model));
                }
                // The answer's reason is the failure of the requested model.
                Err(reason) if answered.is_none() => failure = failure.or(Some(reason)),
                Err(_) => {}
            }
            next = self.models[model].fallback;
        }
        if items.len() < size {
            let rest = &mut buffers.rest;
            rest.sort_unstable_by_key(|&movie| (Reverse(self.catalog.stats(movie).count), movie));
            rest.truncate(size - items.len());
            items.extend(buffers.rest.iter().map(|&movie| Item {
                movie,
                score: None,
                ordered_by: None,
                recalled_by: buffers.recalled_by(movie),
            }));
        }
        (answered, failure)
    }

    /// Scores `rest` by a model, from the shared scores of this request if there are any, and counts the outcome.
    async fn score_rest(
        &self,
        model: usize,
        requested: usize,
        user: &UserState<'_>,
        buffers: &mut Buffers,
    ) -> Result<(), Reason> {
        let shared = &buffers.shared[model];
        let outcome = match shared.outcome {
            Some(Ok(took)) => {
                let start = Instant::now();
                shared.copy(&buffers.rest, &mut buffers.scores);
                match check(&buffers.scores, &buffers.rest) {
                    Ok(()) => Ok(took + start.elapsed()),
                    Err(error) => Err(self.report(model, &error)),
                }
            }
            Some(Err(reason)) => Err(reason),
            None if self.models[model].inputs.is_empty() => {
                let Buffers { rest, scores, .. } = buffers;
                self.ask(model, &Query::new(user, rest), scores).await
            }
            None => self.combine(model, user, buffers).await,
        };
        let without_scores = || buffers.scores.iter().all(|&score| score == UNSCORED);
        let outcome = match outcome {
            Ok(_) if !buffers.rest.is_empty() && without_scores() => {
                Err(Reason::CandidatesNotInModel)
            }
            outcome => outcome,
        };
        let counters = &self.models[model].model.counters;
        match outcome {
            Ok(took) => counters.answered(took, model != requested),
            Err(
                Reason::NoUserEmbedding | Reason::UserNotInModel | Reason::CandidatesNotInModel,
            ) => counters.declined(),
            Err(Reason::ModelUnavailable) => counters.unavailable(),
            Err(Reason::ModelTimedOut) => counters.timed_out(),
            Err(_) => counters.failed(),
        }
        outcome.map(|_| ())
    }

    /// Scores `rest` by a model that combines the scores of others.
    async fn combine(
        &self,
        model: usize,
        user: &UserState<'_>,
        buffers: &mut Buffers,
    ) -> Result<Duration, Reason> {
        let start = Instant::now();
        let inputs = &self.models[model].inputs;
        let ranker = &self.models[model].model.ranker;
        // Only models that the ranker uses are asked.
        let asked = |index: usize| inputs[index].filter(|_| ranker.uses_input(index));
        let has_scores = |shared: &SharedScores| matches!(shared.outcome, Some(Ok(_)));
        if buffers.inputs.len() < inputs.len() {
            buffers.inputs.resize_with(inputs.len(), Vec::new);
        }
        for index in 0..inputs.len() {
            let Some(input) = asked(index) else { continue };
            let Buffers { rest, shared, inputs, .. } = &mut *buffers;
            if shared[input].outcome.is_none() {
                self.share(input, user, rest, &mut shared[input]).await;
            }
            if has_scores(&shared[input]) {
                shared[input].copy(rest, &mut inputs[index]);
            }
        }
        let Buffers { rest, scores, shared, inputs: copies, .. } = buffers;
        let scored =
            |(index, copy)| asked(index).filter(|&input| has_scores(&shared[input])).map(|_| copy);
        let inputs: Vec<Option<&[f32]>> =
            (0..inputs.len()).zip(copies.iter().map(Vec::as_slice)).map(scored).collect();
        self.ask(model, &Query::new(user, rest).with_inputs(&inputs), scores).await?;
        Ok(start.elapsed())
    }

    /// Scores movies by a model for the other stages of the request.
    async fn share(
        &self,
        model: usize,
        user: &UserState<'_>,
        movies: &[MovieIndex],
        shared: &mut SharedScores,
    ) {
        self.score_whole(model, user, shared);
        if shared.outcome.is_none() {
            shared.movies.clear();
            shared.movies.extend_from_slice(movies);
            let query = Query::new(user, movies);
            shared.outcome = Some(self.ask(model, &query, &mut shared.scores).await);
        }
    }

    /// Scores the whole catalogue by a model, if it is one that does so at once.
    pub(crate) fn score_whole(
        &self,
        model: usize,
        user: &UserState<'_>,
        shared: &mut SharedScores,
    ) {
        let start = Instant::now();
        let span = self.model_span(model);
        let _entered = span.enter();
        let ranker = &self.models[model].model.ranker;
        shared.outcome = ranker.score_all(user).map(|outcome| {
            let checked = outcome.and_then(|scores| {
                check_count(scores.as_slice(), self.catalog.len()).map(|()| scores)
            });
            shared.catalog = Some(checked.map_err(|error| self.report(model, &error))?);
            Ok(start.elapsed())
        });
    }

    /// Asks a model for the scores of a query and checks them. Returns the time that it took.
    async fn ask(
        &self,
        model: usize,
        query: &Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<Duration, Reason> {
        let start = Instant::now();
        let Model { ranker, .. } = &self.models[model].model;
        let span = self.model_span(model);
        span.record("movies", query.movies.len());
        match checked_score(&**ranker, query, scores).instrument(span.clone()).await {
            Ok(()) => Ok(start.elapsed()),
            Err(error) => Err(span.in_scope(|| self.report(model, &error))),
        }
    }

    /// The span of a call of a model.
    fn model_span(&self, model: usize) -> Span {
        tracing::debug_span!(
            "model",
            model = &*self.model_names[model],
            movies = field::Empty,
            reason = field::Empty,
            otel.status_code = field::Empty,
        )
    }

    /// The reason in answers for an error of a model, which is logged if it is a failure of this request alone.
    fn report(&self, model: usize, error: &Error) -> Reason {
        let reason = match error {
            Error::NoUserEmbedding(_) => Reason::NoUserEmbedding,
            Error::UnknownUser(_) => Reason::UserNotInModel,
            Error::Unavailable(_) => Reason::ModelUnavailable,
            Error::TimedOut => Reason::ModelTimedOut,
            _ => Reason::ModelFailed,
        };
        let span = Span::current();
        span.record("reason", reason.as_str());
        match reason {
            Reason::NoUserEmbedding | Reason::UserNotInModel => return reason,
            _ => span.record("otel.status_code", "error"),
        };
        // The status of the model reports it.
        if reason == Reason::ModelUnavailable {
            return reason;
        }
        let error = error as &dyn std::error::Error;
        tracing::warn!(model = &*self.model_names[model], error, "ranking failed");
        reason
    }
}

/// Moves the best of `rest` by score to the items, up to `size` of these. Movies without a score remain in `rest`.
fn take_best(size: usize, ordered_by: Option<usize>, buffers: &mut Buffers, items: &mut Vec<Item>) {
    let mut top = std::mem::take(&mut buffers.top);
    top.reset(size - items.len());
    for (&movie, &score) in buffers.rest.iter().zip(&buffers.scores) {
        if score != UNSCORED {
            top.push(score, movie.0);
        }
    }
    items.extend(top.sorted().map(|(score, movie)| {
        let movie = MovieIndex(movie);
        let score = ordered_by.is_none().then_some(score);
        Item { movie, score, ordered_by, recalled_by: buffers.recalled_by(movie) }
    }));
    buffers.top = top;
    if items.len() < size {
        let mut scores = buffers.scores.iter();
        buffers.rest.retain(|_| scores.next() == Some(&UNSCORED));
    }
}

/// Asks a ranker and checks that its answer meets the contract.
async fn checked_score(
    ranker: &dyn Ranker,
    query: &Query<'_>,
    scores: &mut Vec<f32>,
) -> Result<(), Error> {
    ranker.score(query, scores).await?;
    check(scores, query.movies)
}

fn check(scores: &[f32], movies: &[MovieIndex]) -> Result<(), Error> {
    check_count(scores, movies.len())?;
    if scores.iter().any(|&score| !score.is_finite() && score != UNSCORED) {
        return Err(Error::Malformed("a score is not finite".to_owned()));
    }
    Ok(())
}

fn check_count(scores: &[f32], movies: usize) -> Result<(), Error> {
    if scores.len() != movies {
        return Err(Error::Malformed(format!("{} scores for {movies} movies", scores.len())));
    }
    Ok(())
}
