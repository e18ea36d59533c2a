//! Changes of ratings, and of users.

use sparrow_live::{Action, CreatedUser};
use sparrow_model::UserId;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::live::{
    self, Batch, Change, LARGEST_BATCH, TIMESTAMP, Written, key_of, key_of_item, movie_of, time_of,
    write_all, write_one,
};
use crate::endpoints::stores::live_problem;
use crate::parameters::body::{Item, list, read_object};
use crate::parameters::definition::{self, Kind as ParameterKind, Parameter};
use crate::response::problem::{Kind, Problem};
use crate::response::reply::{Methods, Reply};
use crate::response::schema::{Field, ID, STARS, Schema, TEXT, Type, json_type};

const STARS_FIELD: &str = "stars";
const MOVIE: &str = "movieId";
const RATINGS: &str = "ratings";
const EVENT_ID: &str = "eventId";

const TIME: Field = Field::new(
    TIMESTAMP,
    Schema::Optional(&Schema::Time),
    "Seconds since 1970 (UTC), at most five minutes ahead. By default, the time of the request.",
);

/// The fields of the path of a rating.
const OF_RATING: &[Parameter] = &[definition::USER_ID, definition::MOVIE_ID.named(MOVIE)];

pub(crate) static PUT: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Users,
    "/v1/users/{id}/ratings/{movieId}",
    "rateMovie",
    [],
    Answer::Json(Schema::Named(&Written::TYPE)),
    "Rates a movie, or replaces its rating.",
)
.described(
    "The next answer about the user takes it into account. A user who does not exist is created. Of several changes \
     of one rating, the one with the greatest time is in force, and among equal times the last one.",
)
.of(OF_RATING)
.writing(Methods::PUT, Some(&[Field::new(STARS_FIELD, STARS, "The rating, in stars."), TIME]))
.with_problems(&[Kind::NotFound, Kind::Internal]);

pub(crate) async fn put(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [] = PUT.arguments(call)?;
    let (user, movie) = (UserId(call.id()?), call.movie_id()?);
    let fields = read_object(call.body)?;
    let body = Item::body(&fields, &[STARS_FIELD, TIMESTAMP])?;
    let (stars, time) = (body.stars(STARS_FIELD)?, time_of(&body)?);
    let movie = movie_of(snapshot, movie, MOVIE)?;
    let change = Change::new(user, Action::Rate(movie, stars), time).with_key(key_of(call)?);
    write_one(call, change).await
}

pub(crate) static DELETE: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Users,
    "/v1/users/{id}/ratings/{movieId}",
    "removeRating",
    [],
    Answer::Json(Schema::Named(&Written::TYPE)),
    "Removes the rating of a movie, also one of the data set.",
)
.of(OF_RATING)
.writing(Methods::DELETE, None)
.with_problems(&[Kind::NotFound, Kind::Internal]);

pub(crate) async fn delete(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [] = DELETE.arguments(call)?;
    let (user, movie) = (UserId(call.id()?), call.movie_id()?);
    let movie = movie_of(snapshot, movie, MOVIE)?;
    let change = Change::new(user, Action::Unrate(movie), None).with_key(key_of(call)?);
    write_one(call, change).await
}

/// Whether a batch with invalid items is accepted.
pub(crate) const PARTIAL: Parameter = Parameter::new(
    "partial",
    ParameterKind::Flag { default: false },
    "Whether the valid items of a batch are accepted if others are invalid. By default, one invalid item refuses all.",
);

/// The field with the key of an item of a batch.
pub(crate) const KEY_FIELD: Field = Field::new(
    EVENT_ID,
    Schema::Optional(&Schema::Key),
    "Identifies the item for retries, as the header `Idempotency-Key` identifies a request.",
);

pub(crate) static POST: Endpoint<[Parameter; 1]> = Endpoint::v1(
    Group::Users,
    "/v1/users/{id}/ratings",
    "rateMovies",
    [PARTIAL],
    Answer::Json(Schema::Named(&Batch::TYPE)),
    "Rates several movies.",
)
.described(
    "Everything is checked before anything is stored. If the store then accepts only a part, the answer is a problem \
     with the result of each item, and a retry with the same keys is safe.",
)
.of(&[definition::USER_ID])
.writing(
    Methods::POST,
    Some(&[Field::new(
        RATINGS,
        Schema::AtMost(
            LARGEST_BATCH as u32,
            &Schema::Object(&Type::new(
                "",
                "",
                &[
                    Field::new(MOVIE, ID, ""),
                    Field::new(STARS_FIELD, STARS, "The rating, in stars."),
                    TIME,
                    KEY_FIELD,
                ],
            )),
        ),
        "",
    )]),
)
.with_problems(&[Kind::NotFound, Kind::Internal]);

pub(crate) async fn post(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [partial] = POST.arguments(call)?;
    let (partial, user, key) = (partial.flag()?, UserId(call.id()?), key_of(call)?);
    let fields = read_object(call.body)?;
    Item::body(&fields, &[RATINGS])?;
    let items = list(&fields, RATINGS, "a list of ratings", LARGEST_BATCH)?;
    let changes = items.iter().enumerate().map(|(index, json)| {
        let known = [MOVIE, STARS_FIELD, TIMESTAMP, EVENT_ID];
        let item = Item::of_list(RATINGS, index, json, "a rating", &known)?;
        let (stars, time) = (item.stars(STARS_FIELD)?, time_of(&item)?);
        let movie = movie_of(snapshot, item.whole(MOVIE)?, &item.path(MOVIE))?;
        let key = key_of_item(&item, EVENT_ID, key.as_deref(), index)?;
        Ok(Change::new(user, Action::Rate(movie, stars), time).with_key(key))
    });
    write_all(call, changes.collect(), partial).await
}

pub(crate) static CREATE_USER: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Users,
    "/v1/users",
    "createUser",
    [],
    Answer::Json(Schema::Named(&Created::TYPE)),
    "Returns an id that no user had before.",
)
.described(
    "Ids count up from 1,000,000,001. The user exists from the first rating or event on. Requests with the same \
     `Idempotency-Key` within 24 hours are answered with the same id, whoever sends them: use a random key, such as a UUID.",
)
.writing(Methods::POST, Some(&[]))
.with_problems(&[Kind::Internal]);

json_type! {
    pub(crate) struct Created as "CreatedUser" {
        id / "userId": u32 = ID,
        /// Where ratings of the user are kept, as in `Written`.
        durability / "durability": String = TEXT,
    }
}

pub(crate) async fn create_user(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [] = CREATE_USER.arguments(call)?;
    let key = key_of(call)?;
    Item::body(&read_object(call.body)?, &[])?;
    let live = live::source(snapshot)?;
    let created = live.store.create_user(key.as_deref()).await;
    let CreatedUser { id, durability } = created.map_err(|error| live_problem(&error))?;
    Ok(Reply::serialized(&Created { id: id.0, durability: durability.to_string() }))
}

pub(crate) static FORGET_USER: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Users,
    "/v1/users/{id}",
    "forgetUser",
    [],
    Answer::Json(Schema::Named(&Written::TYPE)),
    "Deletes a user and everything that is known about them, also in the data set.",
)
.described("Later ratings and events create the user again.")
.of(&[definition::USER_ID])
.writing(Methods::DELETE, None)
.with_problems(&[Kind::Internal]);

pub(crate) async fn forget_user(call: &Call<'_>) -> Result<Reply, Problem> {
    call.snapshot()?;
    let [] = FORGET_USER.arguments(call)?;
    let change = Change::new(UserId(call.id()?), Action::Forget, None).with_key(key_of(call)?);
    write_one(call, change).await
}
