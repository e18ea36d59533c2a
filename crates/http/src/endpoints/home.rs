//! `/v1/home` and `/v1/users/{id}/home`: the rows of a home page.

use std::sync::Arc;

use sparrow_engine::{Engine, Error, Home, HomeRequest, Request, Row, RowKind};
use sparrow_model::UserId;
use sparrow_user_state::LoadedUser;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::Span;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::ranking::{
    MOVIE_OF_ITEM, RECOMMENDATION_ID, REQUESTED_MODEL, USER_ID, count_reason, engine_problem,
    load_user, write_model, write_movie, write_recommendation_id,
};
use crate::endpoints::recommendations::REASON;
use crate::parameters::definition::{self, Kind as ParameterKind, MODEL, Parameter};
use crate::response::json;
use crate::response::movie_json::MOVIE;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;
use crate::response::schema::{Field, Schema, TEXT, Type};
use crate::state::ranking_times::Cost;
use crate::state::snapshot::Snapshot;

const SIZE: Parameter = Parameter::new(
    "size",
    ParameterKind::Number { least: 1, most: 100, default: 20 },
    "The maximum number of movies in a row.",
);

pub(crate) static PUBLIC: Endpoint<[Parameter; 1]> = Endpoint::v1(
    Group::Recommendations,
    "/v1/home",
    "getHome",
    [SIZE],
    Answer::Json(Schema::Named(&Type::new(
        "Home",
        "",
        &[Field::new("rows", Schema::List(&Schema::Object(&ROW)), "No movie is in two rows.")],
    ))),
    "Lists the rows of a home page without a user.",
)
.described(
    "The score of a movie in `popular-now` is the sum of e^(-age/h)/sqrt(1 + n) over its ratings. The age is counted \
     backwards from the newest rating of the data, n is the number of ratings of the user, and h is the time span of the \
     latest 5,000 ratings, from 7 to 1,000 days. Movies with equal scores follow in order of their number of ratings.",
);

pub(crate) static PERSONAL: Endpoint<[Parameter; 2]> = Endpoint::v1(
    Group::Recommendations,
    "/v1/users/{id}/home",
    "getUserHome",
    [SIZE, MODEL],
    Answer::Json(Schema::Named(&Type {
        base: Some(&Type::new("", "", &[USER_ID])),
        ..Type::new(
            "UserHome",
            "",
            &[RECOMMENDATION_ID, Field::new(
                "rows",
                Schema::List(&Schema::Object(&Type { base: Some(&ROW), ..RANKED })),
                "No movie is in two rows, and no row contains movies that the user has rated or dismissed.",
            )],
        )
    })),
    "Lists the rows of a user's home page.",
)
.described(
    "Rows of genres come in the order of the user's affinity, which is u ln(u/p): u is the share of the genre of the user's \
     likes, p its share of all ratings. Every user gets an answer; rows name the model that ranked them.",
)
.of(&[definition::USER_ID])
.with_problems(&[Kind::Internal])
.personal();

/// Names of the kinds of rows.
const KINDS: [&str; 7] = [
    "recommended",
    "because-you-liked",
    "genre",
    "popular-now",
    "new-for-you",
    "best-rated",
    "newest",
];

const ROW: Type = Type::new(
    "",
    "",
    &[
        Field::new("kind", Schema::Words(&KINDS), ""),
        Field::new("title", TEXT, "A title in English."),
        Field::new("genre", Schema::Optional(&TEXT), "The genre of a row of the kind `genre`."),
        Field::new(
            "because",
            Schema::Optional(&Schema::Named(&MOVIE)),
            "The movie of a row of the kind `because-you-liked`.",
        ),
        Field::new(
            "items",
            Schema::AtMost(100, &Schema::Object(&Type::new("", "", &[MOVIE_OF_ITEM]))),
            "Best first.",
        ),
    ],
);

/// The model that ranked a row; absent if the order is the same for all users.
const RANKED: Type = Type::new(
    "",
    "",
    &[
        Field::new("model", Schema::Optional(&TEXT), "The model that ranked the row, if any."),
        Field::new("degraded", Schema::Optional(&Schema::Boolean), "Whether the row is degraded."),
        REQUESTED_MODEL,
        REASON,
    ],
);

pub(crate) fn public(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [size] = PUBLIC.arguments(call)?;
    let home = snapshot.engine.public_home(size.number()?, &snapshot.popular_now);
    let mut out = b"{".to_vec();
    write_rows(&mut out, snapshot, &home);
    Ok(Reply::json(out))
}

pub(crate) async fn personal(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let id = call.id()?;
    let [size, model] = PERSONAL.arguments(call)?;
    let size = size.number()?;
    let limit = call.shared.options.request_timeout;
    let rows = timeout(limit, ask(call, snapshot, UserId(id), model.text(), size));
    let Ok(home) = rows.await else {
        tracing::warn!(user = id, "the rows of a home page took too long");
        return Err(Problem::new(Kind::Unavailable, format!("no answer within {limit:?}")));
    };
    let home = home?.map_err(|error| engine_problem(&error, &model))?;
    count_reasons(call, &home);
    let mut out = b"{\"userId\":".to_vec();
    json::integer(&mut out, id);
    write_recommendation_id(&mut out, &call.shared.recommendation_ids.next());
    out.push(b',');
    write_rows(&mut out, snapshot, &home);
    Ok(Reply::json(out))
}

/// Counts each reason once, however many rows of the answer have it.
fn count_reasons(call: &Call<'_>, home: &Home) {
    let reasons = home.rows.iter().filter_map(|row| row.ranked.as_ref()?.reason);
    let mut counted = Vec::new();
    for reason in reasons {
        if !counted.contains(&reason.as_str()) {
            counted.push(reason.as_str());
            count_reason(call, Some(reason));
        }
    }
}

/// Asks the engine: on this thread, or on another one if the model is not known to be fast.
async fn ask(
    call: &Call<'_>,
    snapshot: &Snapshot,
    user: UserId,
    model: Option<&str>,
    size: usize,
) -> Result<Result<Home, Error>, Problem> {
    let loaded = load_user(snapshot, user).await;
    let asked = Request { model, ..Request::new(user) };
    if snapshot.ranking_times.cost_of(&snapshot.engine, &asked).cost() == Cost::Short {
        let request = HomeRequest { user, model, size, popular_now: &snapshot.popular_now };
        return Ok(rows(&snapshot.engine, &request, loaded.as_ref()).await);
    }
    let permit = call.shared.rankings.admit().await?;
    let (engine, popular_now) = (Arc::clone(&snapshot.engine), Arc::clone(&snapshot.popular_now));
    let (model, runtime) = (model.map(str::to_owned), Handle::current());
    let span = Span::current();
    let ranking = spawn_blocking(move || {
        let _entered = span.enter();
        // Counted until it ends, also if the client is gone.
        let _permit = permit;
        let model = model.as_deref();
        let request = HomeRequest { user, model, size, popular_now: &popular_now };
        runtime.block_on(rows(&engine, &request, loaded.as_ref()))
    });
    ranking.await.map_err(|error| {
        tracing::error!(%error, "a ranking panicked or was cancelled");
        Problem::new(Kind::Internal, "the engine has failed")
    })
}

async fn rows(
    engine: &Engine,
    request: &HomeRequest<'_>,
    user: Option<&LoadedUser>,
) -> Result<Home, Error> {
    match user {
        Some(user) => engine.home_for(request, &user.state(), user.missing()).await,
        None => engine.home(request).await,
    }
}

fn write_rows(out: &mut Vec<u8>, snapshot: &Snapshot, home: &Home) {
    let movies = home.rows.iter().flat_map(|row| row.movies.iter().copied());
    out.reserve(snapshot.movies.len_of(movies.clone()) + 16 * movies.count() + 1024);
    out.extend_from_slice(b"\"rows\":");
    json::list(out, &home.rows, |out, row| write_row(out, snapshot, row));
    out.push(b'}');
}

fn write_row(out: &mut Vec<u8>, snapshot: &Snapshot, row: &Row) {
    let catalog = snapshot.catalog();
    let (kind, title) = match row.kind {
        RowKind::Recommended => (0, "Recommended for you"),
        RowKind::BecauseYouLiked(movie) => (1, &*catalog.movie(movie).title),
        RowKind::Genre(genre) => (2, catalog.genres().name(genre)),
        RowKind::PopularNow => (3, "Popular now"),
        RowKind::NewForYou => (4, "New for you"),
        RowKind::BestRated => (5, "Best rated"),
        _ => (6, "Newest"),
    };
    out.extend_from_slice(b"{\"kind\":");
    json::string(out, KINDS[kind]);
    out.extend_from_slice(b",\"title\":");
    match row.kind {
        RowKind::BecauseYouLiked(movie) => {
            json::string(out, &format!("Because you liked {title}"));
            out.extend_from_slice(b",\"because\":");
            out.extend_from_slice(snapshot.movies.get(movie));
        }
        RowKind::Genre(_) => {
            json::string(out, title);
            out.extend_from_slice(b",\"genre\":");
            json::string(out, title);
        }
        _ => json::string(out, title),
    }
    if let Some(ranked) = &row.ranked {
        write_model(out, &ranked.model, ranked.degraded, &ranked.requested, ranked.reason);
    }
    out.extend_from_slice(b",\"items\":");
    json::list(out, &row.movies, |out, &movie| {
        write_movie(out, snapshot, movie);
        out.push(b'}');
    });
    out.push(b'}');
}
