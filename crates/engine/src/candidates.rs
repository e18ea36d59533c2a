use sparrow_model::{GenreSet, MovieIndex, MovieSet, Sort, UserState};
use sparrow_recall::Query;
use tracing::field;

use crate::buffers::Buffers;
use crate::engine::RankingModel;
use crate::mix::{Mix, Strategy};
use crate::{Candidates, Engine, Reason, Request, Scope};

impl Engine {
    /// Fills the buffers with candidates for the model that is to rank, of which `size` will be selected. Returns whether a
    /// strategy failed.
    pub(crate) fn find_candidates(
        &self,
        request: &Request<'_>,
        mix: &Mix,
        size: usize,
        ranking: usize,
        user: &UserState<'_>,
        buffers: &mut Buffers,
    ) -> bool {
        self.exclude(request, user, buffers);
        if request.candidates == Candidates::All {
            buffers.add_all();
            return false;
        }
        let wanted = mix.candidates.max(request.size);
        let (mut most, mut failed) = (wanted, false);
        let is_own = |strategy: &Strategy| match strategy.scope {
            Scope::Always => false,
            Scope::OwnModel => {
                strategy.model.is_some_and(|model| self.uses_scores_of(ranking, model))
            }
            Scope::Fallback => strategy.own_of.contains(&ranking),
        };
        for (index, strategy) in mix.strategies.iter().enumerate().filter(|(_, s)| is_own(s)) {
            // The best movies of a model are its list, however long that is.
            let limit = mix.limit(strategy, wanted).max(size);
            failed |= !self.recall(mix, index, limit, request, user, buffers);
            if strategy.best_of.contains(&ranking) && buffers.candidates().len() >= size {
                // No other candidate has a higher score.
                most = size;
            }
        }
        let found_by_model = !buffers.candidates().is_empty();
        if found_by_model {
            // Popular movies that no model proposed hardly ever reach the list; they only fill it up.
            most = size;
        }
        for (index, strategy) in mix.strategies.iter().enumerate() {
            let is_used = match strategy.scope {
                Scope::Always => true,
                Scope::OwnModel => false,
                Scope::Fallback => !found_by_model && !is_own(strategy),
            };
            if is_used {
                let limit = mix.limit(strategy, wanted);
                failed |= !self.recall(mix, index, limit, request, user, buffers);
            }
        }
        for &movie in self.catalog.ordered(Sort::Popularity, None) {
            if buffers.candidates().len() >= most {
                break;
            }
            if !buffers.excluded.contains(movie) && buffers.recalled_by(movie) == 0 {
                buffers.add(movie, mix.fill);
            }
        }
        failed
    }

    /// Adds up to `limit` candidates of a strategy of the mix. Returns false if it failed, which is logged.
    fn recall(
        &self,
        mix: &Mix,
        index: usize,
        limit: usize,
        request: &Request<'_>,
        user: &UserState<'_>,
        buffers: &mut Buffers,
    ) -> bool {
        let strategy = &mix.strategies[index];
        let span = tracing::debug_span!(
            "recall",
            strategy = &*mix.strategy_names[index],
            candidates = field::Empty,
            otel.status_code = field::Empty,
        );
        let _entered = span.enter();
        let is_scored = strategy.model.is_none_or(|model| self.score_catalog(model, user, buffers));
        buffers.found.clear();
        let query = Query {
            catalog: &self.catalog,
            user,
            genres: request.genres,
            excluded: &buffers.excluded,
            scores: strategy.model.and_then(|model| buffers.shared[model].catalog.as_deref()),
        };
        let counters = &strategy.counters;
        counters.calls.add(1);
        match strategy.recall.recall(&query, limit, &mut buffers.found) {
            Ok(()) => {
                counters.candidates.add(buffers.found.len() as u64);
                span.record("candidates", buffers.found.len());
                buffers.add_found(index);
                is_scored
            }
            Err(error) => {
                counters.failures.add(1);
                span.record("otel.status_code", "error");
                let strategy = strategy.recall.name();
                let error = &error as &dyn std::error::Error;
                tracing::warn!(strategy, error, "recall failed");
                false
            }
        }
    }

    /// Whether a model is another one, or combines its scores.
    fn uses_scores_of(&self, model: usize, other: usize) -> bool {
        let RankingModel { model: of_engine, inputs, .. } = &self.models[model];
        let mut used = inputs.iter().enumerate().filter(|(_, input)| **input == Some(other));
        model == other || used.any(|(index, _)| of_engine.ranker.uses_input(index))
    }

    /// Collects the movies that the request excludes.
    fn exclude(&self, request: &Request<'_>, user: &UserState<'_>, buffers: &mut Buffers) {
        let excluded = &mut buffers.excluded;
        if !request.genres.is_empty() {
            for genre in request.genres.iter() {
                excluded.insert_all(&self.genre_members[genre.index()]);
            }
            excluded.invert();
        }
        if request.exclude_seen {
            excluded.extend(user.seen_movies());
        }
        excluded.extend(user.hidden.iter().copied());
        self.exclude_more(request.exclude, request.exclude_genres, request.min_year, excluded);
        let movies = self.catalog.len();
        if let Some(filter) = &request.filter {
            let rejected = excluded.absent(movies).filter(|&movie| !(filter.0)(movie));
            let rejected: Vec<_> = rejected.collect();
            excluded.extend(rejected);
        }
    }

    /// Adds hidden movies and those that a request excludes by id, by genre or by release year.
    pub(crate) fn exclude_more(
        &self,
        exclude: &[MovieIndex],
        exclude_genres: GenreSet,
        min_year: Option<u16>,
        excluded: &mut MovieSet,
    ) {
        let movies = self.catalog.len();
        excluded.extend(self.catalog.hidden().iter().copied());
        excluded.extend(exclude.iter().copied().filter(|movie| movie.index() < movies));
        for genre in exclude_genres.iter() {
            excluded.insert_all(&self.genre_members[genre.index()]);
        }
        if let Some(least) = min_year {
            // The newest come first, those without a year last.
            let order = self.catalog.ordered(Sort::ReleaseYear, None);
            let is_new = |movie: &MovieIndex| self.catalog.movie(*movie).year >= Some(least);
            excluded.extend(order[order.partition_point(is_new)..].iter().copied());
        }
    }

    /// Computes the scores of the whole catalogue by a model, once per request. Returns false if the model failed, rather
    /// than having no scores for the user.
    fn score_catalog(&self, model: usize, user: &UserState<'_>, buffers: &mut Buffers) -> bool {
        if buffers.shared[model].outcome.is_none() {
            self.score_whole(model, user, &mut buffers.shared[model]);
        }
        match buffers.shared[model].outcome {
            None | Some(Ok(_)) => true,
            Some(Err(reason)) => matches!(
                reason,
                Reason::NoUserEmbedding | Reason::UserNotInModel | Reason::ModelUnavailable
            ),
        }
    }
}
