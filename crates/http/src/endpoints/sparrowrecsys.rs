//! The endpoints of SparrowRecSys, with its paths, parameters and field names, so that its front ends can use this
//! server.

use sparrow_engine::{Candidates, Reason, Request, SimilarRequest};
use sparrow_model::{Sort, UserId};

use crate::endpoints::endpoint::{Answer, Call, Endpoint, UserIn};
use crate::endpoints::experiment::{Subject, VARIANT, recommend_in_experiments};
use crate::endpoints::ranking::{RECOMMENDATIONS as SIZE, USER_ID, engine_problem};
use crate::endpoints::users::{read_user, write_rating_range};
use crate::parameters::definition::{
    self, CANDIDATES, Kind as ParameterKind, MODEL, Parameter, SIMILAR_MODEL, size,
};
use crate::response::json;
use crate::response::movie_json::{
    SPARROWRECSYS_MOVIE, SPARROWRECSYS_RATING, write_sparrowrecsys_rating,
};
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Field, MEAN, Schema, Type};

const MOVIES: Schema = Schema::AtMost(1000, &Schema::Named(&SPARROWRECSYS_MOVIE));

/// The size of a rating with all its digits.
const RATING_BYTES: usize = 96;

/// The route, by which experiments can be targeted.
pub(crate) const RECOMMENDATIONS_PATH: &str = "/getrecforyou";

pub(crate) static RECOMMENDATIONS: Endpoint<[Parameter; 5]> = Endpoint::sparrowrecsys(
    RECOMMENDATIONS_PATH,
    "originalRecommendations",
    [definition::USER_ID, size(SIZE), MODEL, CANDIDATES, VARIANT],
    Answer::Ranked(MOVIES),
    "Recommends movies that a user has not rated.",
)
.with_problems(&[Kind::Internal])
.personal()
.naming_user(UserIn::Query);

pub(crate) async fn recommendations(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [id, size, model, candidates, variant] = RECOMMENDATIONS.arguments(call)?;
    let request = Request {
        model: model.text(),
        size: size.number()?,
        candidates: candidates.choice([Candidates::Recalled, Candidates::All])?,
        ..Request::new(UserId(id.id()?))
    };
    let subject = Subject {
        user: Some(request.user),
        model: &model,
        sets: [false, candidates.text().is_some()],
        variant: &variant,
        route: RECOMMENDATIONS_PATH,
    };
    let answered =
        Box::pin(recommend_in_experiments(call, snapshot, &request, &subject, None)).await?;
    let found = &answered.found;
    let mut out = Vec::new();
    snapshot.sparrowrecsys_movies.list(&mut out, found.items.iter().map(|item| item.movie));
    let reply = Reply::json(out).with_model(snapshot.model_header(&found.model), found.degraded);
    Ok(reply.with_experiments(answered.header()).with_recommendation_id(answered.id))
}

pub(crate) static MOVIE: Endpoint<[Parameter; 1]> = Endpoint::sparrowrecsys(
    "/getmovie",
    "originalMovie",
    [definition::MOVIE_ID],
    Answer::Json(Schema::Named(&SPARROWRECSYS_MOVIE)),
    "Shows a movie.",
)
.with_problems(&[Kind::NotFound]);

pub(crate) fn movie(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [id] = MOVIE.arguments(call)?;
    let movie = snapshot.movie(id.id()?).map_err(|problem| problem.parameter("id"))?;
    Ok(Reply::json(snapshot.sparrowrecsys_movies.get(movie).to_vec()))
}

pub(crate) static USER: Endpoint<[Parameter; 1]> = Endpoint::sparrowrecsys(
    "/getuser",
    "originalUser",
    [definition::USER_ID],
    Answer::Json(Schema::Named(&Type::new(
        "OriginalUser",
        "",
        &[
            USER_ID,
            Field::new("averageRating", MEAN, "Over all ratings of the user."),
            Field::new("highestRating", MEAN, "In half stars."),
            Field::new("lowestRating", MEAN, "In half stars."),
            Field::new("ratingCount", COUNT, ""),
            Field::new(
                "ratings",
                Schema::List(&Schema::Named(&SPARROWRECSYS_RATING)),
                "Oldest first.",
            ),
        ],
    ))),
    "Shows a user and all their ratings.",
)
.with_problems(&[Kind::NotFound, Kind::Internal])
.personal()
.naming_user(UserIn::Query);

pub(crate) async fn user(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [id] = USER.arguments(call)?;
    let id = id.id()?;
    let user = read_user(snapshot, id).await.map_err(|problem| problem.not_found_by("id"))?;
    let (history, profile) = (user.history(), user.profile(snapshot.catalog()));
    let mut out = Vec::with_capacity(192 + history.len() * RATING_BYTES);
    out.extend_from_slice(b"{\"userId\":");
    json::integer(&mut out, id);
    write_rating_range(&mut out, &profile, 0.0);
    out.extend_from_slice(b",\"ratingCount\":");
    json::integer(&mut out, profile.rating_count);
    out.extend_from_slice(b",\"ratings\":");
    json::list(&mut out, history.iter(), |out, rated| {
        let movie = snapshot.catalog().movie(rated.movie).id.0;
        write_sparrowrecsys_rating(out, movie, id, rated.stars, rated.timestamp);
    });
    out.push(b'}');
    Ok(Reply::json(out))
}

pub(crate) static SIMILAR: Endpoint<[Parameter; 3]> = Endpoint::sparrowrecsys(
    "/getsimilarmovie",
    "originalSimilarMovies",
    [definition::MOVIE_ID.named("movieId"), size(SIZE), SIMILAR_MODEL],
    Answer::Ranked(MOVIES),
    "Lists movies that are similar to one.",
)
.with_problems(&[Kind::NotFound, Kind::Internal]);

pub(crate) fn similar(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [id, size, model] = SIMILAR.arguments(call)?;
    let (id, size) = (id.id()?, size.number()?);
    let movie = snapshot.movie(id).map_err(|problem| problem.parameter("movieId"))?;
    let request = SimilarRequest { model: model.text(), size, ..SimilarRequest::new(movie) };
    let found =
        snapshot.engine.similar(&request).map_err(|error| engine_problem(&error, &model))?;
    let mut out = Vec::new();
    snapshot.sparrowrecsys_movies.list(&mut out, found.items.iter().map(|item| item.movie));
    let model = snapshot.model_header(&found.model);
    let reason = found.reason.map(Reason::as_str);
    Ok(Reply::json(out).with_model(model, found.reason.is_some()).with_reason(reason))
}

pub(crate) static GENRE: Endpoint<[Parameter; 3]> = Endpoint::sparrowrecsys(
    "/getrecommendation",
    "originalGenre",
    [
        definition::GENRE.required(),
        size(SIZE),
        Parameter::new(
            "sortby",
            ParameterKind::Word(&["rating", "releaseYear"]),
            "Best rated or newest first; ties by id.",
        ),
    ],
    Answer::Json(MOVIES),
    "Lists the first movies of a genre.",
);

pub(crate) fn genre(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [genre, size, sort] = GENRE.arguments(call)?;
    genre.required()?;
    let size = size.number()?;
    let order = snapshot.ordered(&genre, sort.choice([Sort::Rating, Sort::ReleaseYear])?)?;
    let mut out = Vec::new();
    snapshot.sparrowrecsys_movies.list(&mut out, order[..size.min(order.len())].iter().copied());
    Ok(Reply::json(out))
}
