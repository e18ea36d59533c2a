use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use sparrow_model::{GenreSet, MovieIndex, UserId, UserState};

use crate::diversity;
use crate::{Engine, Error, Reason, Recommendations, Timings};

/// The name in [`Recommendations::model`] if no model could rank and the number of ratings orders the items.
pub const NO_MODEL: &str = "none";

/// A request for recommendations. Fields may be added: construct it with [`Request::new`] and struct update syntax.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The user, for [`Engine::recommend`]; that of [`Engine::recommend_to`] is in the user's state.
    pub user: UserId,
    /// The name or alias of the ranking model; `None` for the default model.
    pub model: Option<&'a str>,
    /// The number of movies, at most.
    pub size: usize,
    /// Only movies with at least one of these genres; empty for all.
    pub genres: GenreSet,
    /// Whether to exclude movies that the user has rated.
    pub exclude_seen: bool,
    /// Further movies to exclude. Indices outside the catalogue are ignored.
    pub exclude: &'a [MovieIndex],
    /// No movies with any of these genres.
    pub exclude_genres: GenreSet,
    /// Only movies of this release year or later; movies without a year are excluded. `None` for all.
    pub min_year: Option<u16>,
    /// Only movies that this accepts; `None` for all.
    pub filter: Option<Filter<'a>>,
    /// The movies that are ranked.
    pub candidates: Candidates,
    /// The name of the recall mix; `None` for the default mix. Not used if all movies are ranked.
    pub recall: Option<&'a str>,
    /// How much the list is re-ranked for diversity, from 0 (not at all) to 1: by similarity to the movies before
    /// (maximal marginal relevance) and by the genres of the user's likes (calibration).
    pub diversity: f32,
    /// Whether the answer contains the parts of the scores, for models that have such parts.
    pub explain: bool,
}

/// A condition that movies must meet. It is called at most once per movie and request, for all movies that nothing else
/// excludes, so its cost grows with the catalogue.
#[derive(Clone, Copy)]
pub struct Filter<'a>(pub &'a (dyn Fn(MovieIndex) -> bool + Sync));

impl fmt::Debug for Filter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

/// The movies that are ranked for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Candidates {
    /// Those that the recall strategies find.
    #[default]
    Recalled,
    /// The whole catalogue, for models that are fast enough.
    All,
}

impl Request<'_> {
    /// A request for the 32 best unseen movies for a user, by the default model.
    pub const fn new(user: UserId) -> Self {
        Self {
            user,
            model: None,
            size: 32,
            genres: GenreSet::EMPTY,
            exclude_seen: true,
            exclude: &[],
            exclude_genres: GenreSet::EMPTY,
            min_year: None,
            filter: None,
            candidates: Candidates::Recalled,
            recall: None,
            diversity: diversity::DEFAULT_DIVERSITY,
            explain: false,
        }
    }
}

impl Engine {
    /// Finds, ranks and selects movies for a user of the catalogue.
    ///
    /// Every user gets an answer, even an unknown one: if the requested model has no scores, its fallback ranks, and the
    /// answer names both. Items are ordered by score, and ties by movie id, unless the request asks for diversity. Movies that
    /// the model cannot score follow, in the order of its fallback.
    pub async fn recommend(&self, request: &Request<'_>) -> Result<Recommendations, Error> {
        let user = self.user_state(request.user);
        let is_unknown = user.history.is_none() && user.embedding.is_none();
        self.recommend_to(request, &user, is_unknown.then_some(Reason::UnknownUser)).await
    }

    /// The same for a user whose state comes from elsewhere, such as a feature store. `missing` is the reason why a part
    /// of the state is missing, for the answer. The user's vector must have gone through
    /// [`Embeddings::prepare`](crate::Embeddings::prepare).
    pub async fn recommend_to(
        &self,
        request: &Request<'_>,
        user: &UserState<'_>,
        missing: Option<Reason>,
    ) -> Result<Recommendations, Error> {
        let start = Instant::now();
        let requested =
            request.model.map_or(Ok(self.default_model), |name| self.find_model(name))?;
        let mix = &self.mixes[self.find_recall_mix(request.recall)?];
        let mut buffers = self.pool.lease();
        let is_diverse = request.diversity > 0.0;
        let size = if is_diverse { diversity::depth(request.size) } else { request.size };
        let recall_failed = self.find_candidates(request, mix, size, requested, user, &mut buffers);
        let recalled = Instant::now();

        let mut items = Vec::with_capacity(size.min(buffers.candidates().len()));
        let (model, failure) = self.rank(requested, user, size, &mut buffers, &mut items).await;
        if is_diverse {
            self.diversify(request.diversity.min(1.0), user, request.size, &mut items);
        }
        let done = Instant::now();
        let explained = model.filter(|_| request.explain);
        let contributions =
            explained.map(|model| self.explain(model, user, &items, &buffers)).unwrap_or_default();

        // Without exclusion of seen movies, the history is not needed.
        let missing = missing.filter(|&why| request.exclude_seen || why != Reason::NoHistory);
        let store_failed = missing.is_some_and(Reason::is_of_store);
        let reason = match failure {
            // Another failure is more important.
            Some(failure) if missing == Some(Reason::NoHistory) => Some(failure),
            None if missing == Some(Reason::NoHistory) && recall_failed => {
                Some(Reason::RecallFailed)
            }
            // The model cannot score the user because of what is missing.
            Some(Reason::NoUserEmbedding | Reason::UserNotInModel) | None if missing.is_some() => {
                missing
            }
            _ if store_failed => missing,
            Some(failure) => Some(failure),
            None => recall_failed.then_some(Reason::RecallFailed),
        };
        Ok(Recommendations {
            requested: Arc::clone(&self.model_names[requested]),
            model: model
                .map_or_else(|| NO_MODEL.into(), |model| Arc::clone(&self.model_names[model])),
            reason,
            degraded: model != Some(requested) || recall_failed || store_failed,
            items,
            candidates: buffers.candidates().len(),
            timings: Timings {
                recall: recalled - start,
                rank: done - recalled,
                total: done - start,
            },
            contributions,
            strategies: Arc::clone(&mix.strategy_names),
            models: Arc::clone(&self.model_names),
        })
    }

    pub(crate) fn user_state(&self, id: UserId) -> UserState<'_> {
        let users = self.catalog.users();
        let index = users.index_of(id);
        UserState {
            history: index.map(|index| users.get(index)),
            favourite_genres: index.map_or(&[], |index| self.favourite_genres.of(index)),
            embedding: self.embeddings.as_ref().and_then(|vectors| vectors.users.get(id.0)),
            ..UserState::unknown(id)
        }
    }
}
