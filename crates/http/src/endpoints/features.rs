//! `/v1/users/{id}/features` and `/v1/movies/{id}/features`.

use serde::{Serialize, Serializer};
use sparrow_features::{MOVIE_FIELDS, MovieFeatures, USER_FIELDS, UserWindow};
use sparrow_model::{MovieId, UserId};
use sparrow_store::{Fields, Malformed};
use sparrow_user_state::LoadedUser;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::stores::store_problem;
use crate::endpoints::users::{self, missing_user, no_user};
use crate::parameters::definition::{MOVIE_ID, Parameter, USER_ID};
use crate::response::audience::kind_of;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Field, ID, Schema, TEXT, Type, json_type};

/// The name of the store of a server without one.
const MEMORY: &str = "memory";

const DESCRIPTION: &str = "On a server without a feature store, and for a user with live ratings, they are computed, and the vector is the \
     one that is compared: of length 1 if vectors are compared by cosine.";

pub(crate) static OF_USER: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Users,
    "/v1/users/{id}/features",
    "getUserFeatures",
    [],
    Answer::Json(Schema::Named(&Type {
        base: Some(&Type::new("", "", &[Field::new("userId", ID, "")])),
        name: "UserFeatures",
        ..Features::TYPE
    })),
    "Shows a user's features as stored in the feature store.",
)
.described(DESCRIPTION)
.of(&[USER_ID])
.with_problems(&[Kind::NotFound, Kind::Internal])
.personal();

pub(crate) static OF_MOVIE: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Movies,
    "/v1/movies/{id}/features",
    "getMovieFeatures",
    [],
    Answer::Json(Schema::Named(&Type {
        base: Some(&Type::new("", "", &[Field::new("movieId", ID, "")])),
        name: "MovieFeatures",
        ..Features::TYPE
    })),
    "Shows a movie's features as stored in the feature store.",
)
.described(DESCRIPTION)
.of(&[MOVIE_ID])
.with_problems(&[Kind::NotFound, Kind::Internal]);

json_type! {
    pub(crate) struct Features<'a> as "Features" {
        /// The kind of the store, such as `redis` or `file`; `memory` on a server without one.
        store / "store": &'a str = TEXT,
        /// The generation of the data; 0 if they were not pushed.
        generation / "generation": u64 = COUNT,
        /// The number of stored ratings; null without any.
        rating_count / "ratingCount": Option<usize> = Schema::OrNull(&COUNT),
        /// Names and values as stored; null without any.
        fields / "features": Option<Pairs<'a>> = Schema::OrNull(&Schema::TextMap),
        /// The vector; null without one.
        embedding / "embedding": Option<&'a [f32]> = Schema::OrNull(&Schema::List(&Schema::Number)),
        /// Keys whose values cannot be read, and why.
        malformed / "malformed": Vec<String> = Schema::List(&TEXT),
    }
}

/// Names and values, in their order.
#[derive(Debug)]
pub(crate) struct Pairs<'a>(Vec<(&'a str, &'a str)>);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfUser<'a> {
    user_id: u32,
    #[serde(flatten)]
    features: Features<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfMovie<'a> {
    movie_id: u32,
    #[serde(flatten)]
    features: Features<'a>,
}

/// Fields in the order of their definitions; others come last, by name.
fn in_order<'f>(fields: &'f Fields, definitions: &[&str]) -> Pairs<'f> {
    let mut pairs: Vec<(&str, &str)> =
        fields.0.iter().map(|(name, value)| (&**name, &**value)).collect();
    let index = |name| definitions.iter().position(|defined| *defined == name);
    pairs.sort_by_key(|&(name, _)| (index(name).unwrap_or(definitions.len()), name));
    Pairs(pairs)
}

fn messages(malformed: &[Malformed]) -> Vec<String> {
    malformed.iter().map(|value| format!("{}: {}", value.key, value.what)).collect()
}

pub(crate) async fn of_user(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let user_id = call.id()?;
    let [] = OF_USER.arguments(call)?;
    let id = UserId(user_id);
    let user = users::load(snapshot, id).await?;
    // Features are those of the ratings if the store has none, or older ones.
    let computed = match (&user, &snapshot.source.store) {
        (Some(user), _) if user.has_live_ratings() => Some(user.history()),
        (Some(user), None) if user.is_empty() => return Err(no_user(id)),
        (_, None) => Some(snapshot.catalog().users().find(id)),
        (_, Some(_)) => None,
    };
    let store = snapshot.source.store.as_ref();
    let generation = store.and_then(|store| store.generation).map_or(0, |generation| generation.0);
    if let Some(history) = computed {
        let catalog = snapshot.catalog();
        let history = history.ok_or_else(|| no_user(id))?;
        let texts = UserWindow::of(&history, catalog).features().texts(catalog.genres());
        let fields = USER_FIELDS.into_iter().zip(texts.iter().map(String::as_str));
        let embeddings = snapshot.engine.embeddings();
        let trained = || embeddings.and_then(|vectors| vectors.users.get(user_id));
        let features = Features {
            store: store.map_or(MEMORY, |store| kind_of(store.reader.address())),
            generation,
            rating_count: Some(history.len()),
            fields: Some(Pairs(fields.collect())),
            embedding: user.as_ref().map_or_else(trained, LoadedUser::vector),
            malformed: Vec::new(),
        };
        return Ok(Reply::serialized(&OfUser { user_id, features }));
    }
    let Some(store) = store else { return Err(no_user(id)) };
    let read = store.stored_user(id).await.map_err(|error| store_problem(&error))?;
    let stored = read.value;
    if stored.is_empty() {
        return Err(missing_user(id, store.why_missing(read.generation)));
    }
    let features = Features {
        store: kind_of(store.reader.address()),
        generation: read.generation.0,
        rating_count: stored.ratings.as_ref().map(Vec::len),
        fields: stored.features.as_ref().map(|fields| in_order(fields, &USER_FIELDS)),
        embedding: stored.embedding.as_deref(),
        malformed: messages(&stored.malformed),
    };
    Ok(Reply::serialized(&OfUser { user_id, features }))
}

pub(crate) async fn of_movie(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let movie_id = call.id()?;
    let [] = OF_MOVIE.arguments(call)?;
    let movie = snapshot.movie(movie_id);
    let Some(store) = &snapshot.source.store else {
        let (catalog, index) = (snapshot.catalog(), movie?);
        // Stores have no features of movies without ratings.
        let ratings = snapshot.movie_ratings.get(index.index()).filter(|stats| stats.count() > 0);
        let texts = ratings
            .map(|stats| MovieFeatures::new(catalog.movie(index), stats).texts(catalog.genres()));
        let fields = texts.as_ref().map(|texts| {
            Pairs(MOVIE_FIELDS.into_iter().zip(texts.iter().map(String::as_str)).collect())
        });
        let embeddings = snapshot.engine.embeddings();
        let vector = embeddings.and_then(|vectors| vectors.items.get(index.0));
        let features = Features {
            store: MEMORY,
            generation: 0,
            rating_count: ratings.map(|stats| stats.count() as usize),
            fields,
            embedding: vector.as_deref(),
            malformed: Vec::new(),
        };
        return Ok(Reply::serialized(&OfMovie { movie_id, features }));
    };
    let read =
        store.reader.movie(MovieId(movie_id)).await.map_err(|error| store_problem(&error))?;
    let stored = read.value;
    if stored.is_empty() {
        movie?;
    }
    let features = Features {
        store: kind_of(store.reader.address()),
        generation: read.generation.0,
        rating_count: stored.ratings.as_ref().map(|ratings| ratings.count as usize),
        fields: stored.features.as_ref().map(|fields| in_order(fields, &MOVIE_FIELDS)),
        embedding: stored.embedding.as_deref(),
        malformed: messages(&stored.malformed),
    };
    Ok(Reply::serialized(&OfMovie { movie_id, features }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_order_of_their_definitions() {
        let field = |name: &str| (name.to_owned(), String::new());
        let mut names: Vec<&str> = USER_FIELDS.into_iter().rev().collect();
        names.extend(["other", "another"]);
        let fields = Fields(names.into_iter().map(field).collect());
        let ordered: Vec<&str> =
            in_order(&fields, &USER_FIELDS).0.into_iter().map(|(name, _)| name).collect();
        let expected: Vec<&str> = USER_FIELDS.into_iter().chain(["another", "other"]).collect();
        assert_eq!(ordered, expected);
    }
}
