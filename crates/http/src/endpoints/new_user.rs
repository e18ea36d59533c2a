//! `/v1/recommendations`: recommendations for a user without an id, from the ratings in the request.

use std::collections::HashMap;

use serde_json::Value as Json;
use sparrow_model::{Catalog, MovieId, MovieIndex, Rated, Stars};
use sparrow_user_state::LoadedUser;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::recommendations::{Arguments, FIELDS, PARAMETERS, User, answer};
use crate::parameters::body::{Item, invalid, read_object, whole};
use crate::parameters::definition::Parameter;
use crate::parameters::query::Value;
use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::Reply;
use crate::response::schema::{Field, ID, STARS, Schema, Type};

pub(crate) static RECOMMENDATIONS: Endpoint<[Parameter; PARAMETERS.len()]> = Endpoint::v1(
    Group::Recommendations,
    "/v1/recommendations",
    "recommendToNewUser",
    PARAMETERS,
    Answer::Ranked(Schema::Named(&ANSWER)),
    "Recommends movies to a user without an id, from the ratings in the request.",
)
.described(
    "Nothing is stored. The parameters may also be fields of the body, which take precedence. Models that score by the user's id cannot rank: \
     their fallback does, with the reason `user-not-in-model`. Without ratings, the answer is not personal \
     (`unknown-user`).",
)
.posted(&BODY)
.with_problems(&[Kind::Internal])
.for_anonymous();

const BODY: [Field; 1] = [Field::new(
    RATINGS,
    Schema::List(&Schema::Object(&RATING)),
    "Of several ratings of one movie, the newest counts. Ratings of unknown movies are ignored.",
)];

const RATINGS: &str = "ratings";
const MOVIE: &str = "movieId";
const RATING_STARS: &str = "stars";
const TIMESTAMP: &str = "timestamp";

const RATING: Type = Type::new(
    "",
    "",
    &[
        Field::new(MOVIE, ID, ""),
        Field::new(RATING_STARS, STARS, "The rating, in stars."),
        Field::new(
            TIMESTAMP,
            Schema::Optional(&ID),
            "Seconds since 1970 (UTC). Ratings without a time are newer than those with one, the last one newest.",
        ),
    ],
);

const ANSWER: Type = Type {
    base: Some(&FIELDS),
    ..Type::new(
        "RecommendationsForNewUser",
        "",
        &[Field::new(
            "unknownMovies",
            Schema::List(&ID),
            "The ids of `ratings` that no movie has. These ratings are ignored.",
        )],
    )
};

pub(crate) async fn recommend(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let mut values = RECOMMENDATIONS.arguments(call)?;
    if values.iter().any(|value| value.text().is_some()) {
        // Fields of the body may replace them, so they are checked here.
        let [_, model, ..] = &values;
        Arguments::read(snapshot, &values)?.check_model(&snapshot.engine, model)?;
    }
    let mut body = read_object(call.body)?;
    let ratings = body.remove(RATINGS);
    for (name, json) in &body {
        let known = RECOMMENDATIONS.query.iter().map(|parameter| parameter.name);
        let Some(value) = values.iter_mut().find(|value| value.name() == name) else {
            let detail = format!("the request body has an unknown field: {}", quoted(name));
            let names = known.chain([RATINGS]);
            return Err(Problem::new(Kind::InvalidBody, detail)
                .parameter(name)
                .allowed(name, names));
        };
        fill(value, json)?;
    }
    let Ratings { rated, unknown } = read_ratings(ratings.as_ref(), snapshot.catalog())?;
    let user = User::New(Box::new(LoadedUser::anonymous(rated, &snapshot.engine)), &unknown);
    answer(call, snapshot, values, user).await
}

/// Sets a parameter to the value of a field of the body.
fn fill(value: &mut Value<'_>, json: &Json) -> Result<(), Problem> {
    let name = value.name();
    let (expected, is_list) = (value.json_type(), value.is_list());
    value.clear();
    let mut push = |json: &Json| {
        let text = match json {
            Json::String(text) if expected == "text" => text.clone(),
            Json::Number(number) if expected == "a number" => {
                whole(json).map_or_else(|| number.to_string(), |whole| whole.to_string())
            }
            Json::Bool(flag) if expected == "true or false" => flag.to_string(),
            other => return Err(invalid(name, expected, Some(other))),
        };
        value.push(text);
        Ok(())
    };
    match json {
        Json::Array(items) if is_list => items.iter().try_for_each(push),
        _ if is_list => Err(invalid(name, "a list", Some(json))),
        _ => push(json),
    }
}

/// The ratings of a request.
struct Ratings {
    /// At most one for each movie.
    rated: Vec<Rated>,
    /// The ids that no movie has.
    unknown: Vec<u32>,
}

fn read_ratings(ratings: Option<&Json>, catalog: &Catalog) -> Result<Ratings, Problem> {
    let Some(Json::Array(items)) = ratings else {
        return Err(invalid(RATINGS, "a list of ratings", ratings));
    };
    let mut unknown = Vec::new();
    let mut known = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let (id, stars, timestamp) = read_rating(index, item)?;
        match catalog.index_of(MovieId(id)) {
            Some(movie) => known.push((movie, stars, timestamp)),
            None => unknown.push(id),
        }
    }
    let newest = known.iter().filter_map(|&(_, _, timestamp)| timestamp).max().unwrap_or(0);
    let mut by_movie: HashMap<MovieIndex, Rated> = HashMap::with_capacity(known.len());
    let mut untimed = 0_u32;
    for (movie, stars, timestamp) in known {
        let timestamp = timestamp.unwrap_or_else(|| {
            untimed += 1;
            newest.saturating_add(untimed)
        });
        let rated = by_movie.entry(movie).or_insert(Rated { movie, stars, timestamp });
        if timestamp >= rated.timestamp {
            *rated = Rated { movie, stars, timestamp };
        }
    }
    Ok(Ratings { rated: by_movie.into_values().collect(), unknown })
}

fn read_rating(index: usize, item: &Json) -> Result<(u32, Stars, Option<u32>), Problem> {
    let known = [MOVIE, RATING_STARS, TIMESTAMP];
    let item = Item::of_list(RATINGS, index, item, "a rating", &known)?;
    Ok((item.whole(MOVIE)?, item.stars(RATING_STARS)?, item.optional_whole(TIMESTAMP)?))
}
