//! `/v1/users/{id}/recommendations`.

use sparrow_engine::{Candidates, Engine, Error, Item, Reason, Recommendations, Request};
use sparrow_model::UserId;
use sparrow_user_state::LoadedUser;

use crate::endpoints::conditions::Conditions;
use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::experiment::{
    EXPERIMENTS, RANKED_BY, Subject, VARIANT, recommend_in_experiments,
};
use crate::endpoints::ranking::{
    DEGRADED, MOVIE_OF_ITEM, RECOMMENDATION_ID, RECOMMENDATIONS as DEFAULT_SIZE, REQUESTED_MODEL,
    USER_ID, engine_problem, micros, write_model, write_movie, write_recommendation_id,
};
use crate::parameters::definition::{
    self, CANDIDATES, DIVERSITY, EXCLUDE, EXCLUDE_GENRES, GENRES, Kind as Type, MIN_YEAR, MODEL,
    Parameter,
};
use crate::parameters::query::Value;
use crate::response::json;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Field, Schema, TEXT, Type as JsonType};
use crate::state::snapshot::Snapshot;

/// The route, by which experiments can be targeted.
pub(crate) const RECOMMENDATIONS_PATH: &str = "/v1/users/{id}/recommendations";

pub(crate) static RECOMMENDATIONS: Endpoint<[Parameter; PARAMETERS.len()]> = Endpoint::v1(
    Group::Recommendations,
    RECOMMENDATIONS_PATH,
    "recommend",
    PARAMETERS,
    Answer::Ranked(Schema::Named(&ANSWER)),
    "Recommends movies to a user.",
)
.described(
    "Every user gets an answer: an unknown one, or one whose features are not available at the moment, gets the most \
     popular movies, marked as degraded.",
)
.of(&[definition::USER_ID])
.with_problems(&[Kind::Internal])
.personal();

/// The parameters of recommendations.
pub(crate) const PARAMETERS: [Parameter; 11] = [
    definition::size(DEFAULT_SIZE),
    MODEL,
    CANDIDATES,
    GENRES,
    EXCLUDE,
    EXCLUDE_GENRES,
    MIN_YEAR,
    DIVERSITY,
    Parameter::new(
        "exclude_seen",
        Type::Flag { default: true },
        "Whether to leave out movies that the user has rated or seen. Dismissed movies are always left out.",
    ),
    Parameter::new(
        "explain",
        Type::Flag { default: false },
        "Whether to add the recall strategies and the score of each movie, and the times of the stages.",
    ),
    VARIANT,
];

const ANSWER: JsonType =
    JsonType { base: Some(&FIELDS), ..JsonType::new("Recommendations", "", &[USER_ID]) };

/// The fields of recommendations, whoever the user is.
pub(crate) const FIELDS: JsonType = JsonType::new(
    "",
    "",
    &[
        RECOMMENDATION_ID,
        EXPERIMENTS,
        Field::new(
            "model",
            TEXT,
            "The model that ranked, or could have if the list is empty; `none` if neither the requested one nor any of \
             its fallbacks could.",
        ),
        DEGRADED,
        REQUESTED_MODEL,
        Field::new(
            "reason",
            Schema::Optional(&Schema::Words(Reason::NAMES)),
            "Why the answer is degraded, or not personal, or may contain movies that the user has seen (`no-history`).",
        ),
        Field::new("items", Schema::AtMost(1000, &Schema::Object(&ITEM)), "Best first."),
        Field::new(
            "timings",
            Schema::Optional(&Schema::Object(&TIMINGS)),
            "With `explain`: the times of the stages, in microseconds.",
        ),
        Field::new(
            "candidates",
            Schema::Optional(&COUNT),
            "With `explain`: the number of candidates that were ranked.",
        ),
    ],
);

/// Why an answer is degraded or not personal.
pub(crate) const REASON: Field = FIELDS.fields[5];

const ITEM: JsonType = JsonType::new(
    "",
    "",
    &[
        MOVIE_OF_ITEM,
        RANKED_BY,
        Field::new(
            "score",
            Schema::Optional(&Schema::OrNull(&Schema::Number)),
            "With `explain`: null if the model cannot score the movie. Scores of different models are not comparable.",
        ),
        Field::new(
            "orderedBy",
            Schema::Optional(&TEXT),
            "With `explain`: the model whose order places a movie that the model cannot score.",
        ),
        Field::new(
            "recalledBy",
            Schema::Optional(&Schema::List(&TEXT)),
            "With `explain`: the recall strategies that returned the movie; empty if all movies are candidates.",
        ),
        Field::new(
            "contributions",
            Schema::Optional(&Schema::List(&Schema::Object(&CONTRIBUTION))),
            "With `explain`, for a blend: the parts of the score, whose sum it is.",
        ),
    ],
);

const CONTRIBUTION: JsonType = JsonType::new(
    "",
    "",
    &[
        Field::new(
            "signal",
            TEXT,
            "A model whose scores the blend weights, or a feature of the movie.",
        ),
        Field::new("score", Schema::Number, ""),
    ],
);

const TIMINGS: JsonType = JsonType::new(
    "",
    "",
    &[
        Field::new("recallMicros", COUNT, ""),
        Field::new("rankMicros", COUNT, ""),
        Field::new("totalMicros", COUNT, ""),
    ],
);

pub(crate) async fn recommend(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let id = call.id()?;
    let values = RECOMMENDATIONS.arguments(call)?;
    answer(call, snapshot, values, User::WithId(id)).await
}

/// Who gets recommendations.
pub(crate) enum User<'a> {
    WithId(u32),
    /// A user without an id, with the ids of unknown movies in the request.
    New(Box<LoadedUser>, &'a [u32]),
}

/// What the values of [`PARAMETERS`] mean.
pub(crate) struct Arguments<'v> {
    /// Without the user, and without the movies to exclude.
    request: Request<'v>,
    conditions: Conditions,
    explain: bool,
}

impl<'v> Arguments<'v> {
    pub(crate) fn read(
        snapshot: &Snapshot,
        values: &'v [Value<'_>; PARAMETERS.len()],
    ) -> Result<Self, Problem> {
        let [
            size,
            model,
            candidates,
            genres,
            exclude,
            exclude_genres,
            min_year,
            diversity,
            exclude_seen,
            explain,
            _,
        ] = values;
        let conditions = Conditions::read(snapshot, [exclude, exclude_genres, min_year])?;
        let request = Request {
            model: model.text(),
            size: size.number()?,
            genres: snapshot.genre_set(genres)?,
            exclude_seen: exclude_seen.flag()?,
            exclude_genres: conditions.exclude_genres,
            min_year: conditions.min_year,
            candidates: candidates.choice([Candidates::Recalled, Candidates::All])?,
            diversity: diversity.decimal()? as f32,
            explain: explain.flag()?,
            ..Request::new(UserId(u32::MAX))
        };
        let explain = request.explain;
        Ok(Self { request, conditions, explain })
    }

    /// Refuses a model that does not exist.
    pub(crate) fn check_model(&self, engine: &Engine, model: &Value<'_>) -> Result<(), Problem> {
        let Some(name) = self.request.model.filter(|name| !engine.has_model(name)) else {
            return Ok(());
        };
        let known = engine.models().into_iter().map(|model| model.name).collect();
        Err(engine_problem(&Error::UnknownModel { name: name.to_owned(), known }, model))
    }
}

/// Answers with recommendations. `values` are those of [`PARAMETERS`].
pub(crate) async fn answer(
    call: &Call<'_>,
    snapshot: &Snapshot,
    values: [Value<'_>; PARAMETERS.len()],
    user: User<'_>,
) -> Result<Reply, Problem> {
    let (id, user, unknown) = match user {
        User::WithId(id) => (Some(id), None, None),
        User::New(user, unknown) => (None, Some(*user), Some(unknown)),
    };
    let Arguments { request, conditions, explain } = Arguments::read(snapshot, &values)?;
    let request =
        Request { user: UserId(id.unwrap_or(u32::MAX)), exclude: &conditions.exclude, ..request };
    let [_, model, candidates, .., diversity, _, _, variant] = &values;
    let subject = Subject {
        user: id.map(UserId),
        model,
        sets: [diversity, candidates].map(|value| value.text().is_some()),
        variant,
        route: RECOMMENDATIONS_PATH,
    };
    let answered =
        Box::pin(recommend_in_experiments(call, snapshot, &request, &subject, user)).await?;
    let found = &answered.found;

    let movies = found.items.iter().map(|item| item.movie);
    let each = if explain { 128 } else { 16 };
    let mut out =
        Vec::with_capacity(384 + snapshot.movies.len_of(movies) + found.items.len() * each);
    match (id, unknown) {
        (Some(id), _) => {
            out.extend_from_slice(b"{\"userId\":");
            json::integer(&mut out, id);
        }
        (None, unknown) => {
            out.extend_from_slice(b"{\"unknownMovies\":");
            json::list(&mut out, unknown.unwrap_or_default(), |out, &id| json::integer(out, id));
        }
    }
    write_recommendation_id(&mut out, &answered.id);
    answered.write_experiments(&mut out);
    write_model(&mut out, &found.model, found.degraded, &found.requested, found.reason);
    out.extend_from_slice(b",\"items\":");
    json::list(&mut out, found.items.iter().enumerate(), |out, (index, item)| {
        write_movie(out, snapshot, item.movie);
        if let Some(model) = answered.credits.get(&item.movie) {
            out.extend_from_slice(b",\"rankedBy\":");
            json::string(out, model);
        }
        if explain {
            write_explanation(out, found, index, item);
        }
        out.push(b'}');
    });
    if explain {
        write_stages(&mut out, found);
    }
    out.push(b'}');
    let reason = found.reason.map(Reason::as_str);
    let model = snapshot.model_header(&found.model);
    Ok(Reply::json(out).with_model(model, found.degraded).with_reason(reason))
}

fn write_explanation(out: &mut Vec<u8>, found: &Recommendations, index: usize, item: &Item) {
    out.extend_from_slice(b",\"score\":");
    match item.score {
        Some(score) => json::float32(out, score),
        None => out.extend_from_slice(b"null"),
    }
    if let Some(model) = found.ordered_by(item) {
        out.extend_from_slice(b",\"orderedBy\":");
        json::string(out, model);
    }
    out.extend_from_slice(b",\"recalledBy\":");
    json::strings(out, found.recalled_by(item));
    if item.score.is_some() && !found.contributions.is_empty() {
        out.extend_from_slice(b",\"contributions\":");
        json::list(out, &found.contributions, |out, part| {
            out.extend_from_slice(b"{\"signal\":");
            json::string(out, part.name);
            out.extend_from_slice(b",\"score\":");
            json::float32(out, part.scores[index]);
            out.push(b'}');
        });
    }
}

/// Writes the times of the stages and the number of candidates.
fn write_stages(out: &mut Vec<u8>, found: &Recommendations) {
    out.extend_from_slice(b",\"timings\":{\"recallMicros\":");
    json::integer(out, micros(found.timings.recall));
    out.extend_from_slice(b",\"rankMicros\":");
    json::integer(out, micros(found.timings.rank));
    out.extend_from_slice(b",\"totalMicros\":");
    json::integer(out, micros(found.timings.total));
    out.extend_from_slice(b"},\"candidates\":");
    json::integer(out, found.candidates);
}
