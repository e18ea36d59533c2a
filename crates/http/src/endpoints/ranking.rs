//! Asks the engine, and writes which model answered.

use std::sync::Arc;
use std::time::Duration;

use sparrow_engine::{Engine, Error, Reason, Recommendations, Request};
use sparrow_model::{MovieIndex, UserId};
use sparrow_user_state::LoadedUser;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Span;

use crate::endpoints::endpoint::Call;
use crate::parameters::query::Value;
use crate::response::json;
use crate::response::movie_json::MOVIE;
use crate::response::problem::{Kind, Problem};
use crate::response::schema::{Field, ID, Schema, TEXT};
use crate::state::ranking_times::{Cost, timed};
use crate::state::snapshot::Snapshot;

/// The number of recommended and of similar movies by default.
pub(crate) const RECOMMENDATIONS: u32 = 32;

pub(crate) const USER_ID: Field = Field::new("userId", ID, "");
pub(crate) const MOVIE_ID: Field = Field::new("movieId", ID, "");
pub(crate) const MOVIE_OF_ITEM: Field = Field::new("movie", Schema::Named(&MOVIE), "");
pub(crate) const DEGRADED: Field = Field::new(
    "degraded",
    Schema::Boolean,
    "Whether another model than the requested one ranked, a recall strategy failed, or the user's data could not be \
     read. Not set by `no-history`: the requested model ranked, and a store without rating histories is complete.",
);
pub(crate) const REQUESTED_MODEL: Field = Field::new(
    "requestedModel",
    Schema::Optional(&TEXT),
    "The requested model; only if the answer is degraded.",
);

pub(crate) const RECOMMENDATION_ID: Field =
    Field::new("recommendationId", TEXT, "The id of this answer, to which events can refer.");

/// Continues an object with the id of the answer.
pub(crate) fn write_recommendation_id(out: &mut Vec<u8>, id: &str) {
    out.extend_from_slice(b",\"recommendationId\":");
    json::string(out, id);
}

/// Asks the engine for recommendations, within the time limit. Rankings that may take long run a few at a time, on
/// other threads than those that serve connections. Without a `user`, the one that the request names is read.
pub(crate) async fn recommend(
    call: &Call<'_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    model: &Value<'_>,
    user: Option<LoadedUser>,
) -> Result<Recommendations, Problem> {
    let limit = call.shared.options.request_timeout;
    let Ok(answer) = timeout(limit, ask(call, snapshot, request, user)).await else {
        tracing::warn!(user = request.user.0, "recommendations took too long");
        let detail = format!("no answer within {limit:?}");
        return Err(Problem::new(Kind::Unavailable, detail));
    };
    let answer = answer?.map_err(|error| engine_problem(&error, model));
    answer.inspect(|found| count_reason(call, found.reason))
}

/// Counts an answer that has a reason.
pub(crate) fn count_reason(call: &Call<'_>, reason: Option<Reason>) {
    if let (Some(reason), Some(metrics)) = (reason, &call.shared.metrics) {
        metrics.count_reason(reason);
    }
}

async fn ask(
    call: &Call<'_>,
    snapshot: &Snapshot,
    request: &Request<'_>,
    mut user: Option<LoadedUser>,
) -> Result<Result<Recommendations, Error>, Problem> {
    let (mut first, mut permit) = (None, None);
    let mut is_loaded = user.is_some() || snapshot.source.is_catalog();
    // Another version may be published, or the first measurement be made, during each wait.
    let cost = loop {
        let cost = snapshot.ranking_times.cost_of(&snapshot.engine, request);
        match cost.cost() {
            Cost::Short if !is_loaded => {
                user = load_user(snapshot, request.user).await;
                is_loaded = true;
            }
            Cost::Short => {
                drop((first, permit));
                let ranking = rank(&snapshot.engine, request, user.as_ref());
                let (found, held) = timed(ranking).await;
                snapshot.ranking_times.record(&cost, held);
                return Ok(found);
            }
            Cost::Unknown if first.is_none() => first = call.shared.first_rankings.wait().await,
            Cost::Long if permit.is_none() => {
                drop(first.take());
                permit = Some(call.shared.rankings.admit().await?);
            }
            Cost::Unknown | Cost::Long => break cost,
        }
    };
    if !is_loaded {
        user = load_user(snapshot, request.user).await;
    }
    let times = Arc::clone(&snapshot.ranking_times);
    let (engine, runtime) = (Arc::clone(&snapshot.engine), Handle::current());
    let (request, exclude) = (request.clone(), request.exclude.to_vec());
    let [model, recall] = [request.model, request.recall].map(|name| name.map(str::to_owned));
    let request = Request { model: None, recall: None, exclude: &[], filter: None, ..request };
    let span = Span::current();
    let ranking = spawn_blocking(move || {
        let _entered = span.enter();
        // Counted until it ends, also if the client is gone.
        let _permits = (first, permit);
        let [model, recall] = [model.as_deref(), recall.as_deref()];
        let request = Request { model, recall, exclude: &exclude, ..request };
        let (found, held) = runtime.block_on(timed(rank(&engine, &request, user.as_ref())));
        times.record(&cost, held);
        found
    });
    ranking.await.map_err(|error| {
        tracing::error!(%error, "a ranking panicked or was cancelled");
        Problem::new(Kind::Internal, "the engine has failed")
    })
}

/// The user from the store and the live data; `None` if the engine's catalogue has everything about the user.
pub(crate) async fn load_user(snapshot: &Snapshot, user: UserId) -> Option<LoadedUser> {
    snapshot.source.load(user, &snapshot.engine).await
}

async fn rank(
    engine: &Engine,
    request: &Request<'_>,
    user: Option<&LoadedUser>,
) -> Result<Recommendations, Error> {
    match user {
        Some(user) => engine.recommend_to(request, &user.state(), user.missing()).await,
        None => engine.recommend(request).await,
    }
}

/// The problem of a request that the engine refuses.
pub(crate) fn engine_problem(error: &Error, model: &Value<'_>) -> Problem {
    match error {
        Error::UnknownModel { name, known } => {
            let words: Vec<&str> = known.iter().map(|known| &**known).collect();
            model.not_one_of(name, &words)
        }
        other => {
            tracing::error!(error = %other, "the engine failed");
            Problem::new(Kind::Internal, "the engine has failed")
        }
    }
}

/// Writes which model answered, and the reason if it is not the requested one.
pub(crate) fn write_model(
    out: &mut Vec<u8>,
    model: &str,
    degraded: bool,
    requested: &str,
    reason: Option<Reason>,
) {
    out.extend_from_slice(b",\"model\":");
    json::string(out, model);
    out.extend_from_slice(b",\"degraded\":");
    json::boolean(out, degraded);
    if degraded {
        out.extend_from_slice(b",\"requestedModel\":");
        json::string(out, requested);
    }
    if let Some(reason) = reason {
        out.extend_from_slice(b",\"reason\":");
        json::string(out, reason.as_str());
    }
}

/// Writes the beginning of an item: its movie.
pub(crate) fn write_movie(out: &mut Vec<u8>, snapshot: &Snapshot, movie: MovieIndex) {
    out.extend_from_slice(b"{\"movie\":");
    out.extend_from_slice(snapshot.movies.get(movie));
}

pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
