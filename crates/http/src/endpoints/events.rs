//! Events: views, clicks, watched movies, likes and dismissals.

use std::cmp::Reverse;

use sparrow_live::Action;
use sparrow_model::UserId;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group, UserIn};
use crate::endpoints::live::{
    self, Batch, Change, LARGEST_BATCH, TIMESTAMP, key_of, key_of_item, movie_of, time_of,
    write_all,
};
use crate::endpoints::page::{self, PAGE_SIZE, Page};
use crate::endpoints::ratings::{KEY_FIELD, PARTIAL};
use crate::endpoints::stores::live_problem;
use crate::parameters::body::{Item, list, read_object};
use crate::parameters::definition::{self, OFFSET, Parameter};
use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::{Methods, Reply};
use crate::response::schema::{COUNT, Field, ID, Schema, TEXT, Type, json_type};

const EVENTS: &str = "events";
const TYPE: &str = "type";
const USER: &str = "userId";
const MOVIE: &str = "movieId";
const VALUE: &str = "value";
const SHARE: &str = "share";
const SECONDS: &str = "seconds";
const SESSION: &str = "session";
const RECOMMENDATION: &str = "recommendationId";
const EVENT_ID: &str = KEY_FIELD.name;
const FIELDS: [&str; 10] =
    [TYPE, USER, MOVIE, VALUE, SHARE, SECONDS, TIMESTAMP, SESSION, RECOMMENDATION, EVENT_ID];

/// The types that every server knows.
const TYPES: [&str; 5] = ["view", "click", "watch", "like", "dismiss"];

/// The greatest value of an event.
const GREATEST: f64 = 1000.0;

/// The duration of a movie that was watched for some seconds, in seconds: MovieLens has no durations.
const DURATION: f64 = 6000.0;

/// The length of the longest session and recommendation id.
const LONGEST: u32 = 100;

pub(crate) static POST: Endpoint<[Parameter; 1]> = Endpoint::v1(
    Group::Users,
    "/v1/events",
    "recordEvents",
    [PARTIAL],
    Answer::Json(Schema::Named(&Batch::TYPE)),
    "Records what users do with movies.",
)
.described(
    "What events mean is configuration (`[[events]]`). By default, `view` and `click` are weak signs of interest that \
     fade, `watch` and `like` are strong ones, a watched movie counts as seen, and a dismissed one is no longer \
     recommended. A user likes a movie from an interest of 1 on; models then treat it as rated four stars. An event with the \
     value 0 takes back `like` and `dismiss`.",
)
.writing(
    Methods::POST,
    Some(&[Field::new(
        EVENTS,
        Schema::AtMost(LARGEST_BATCH as u32, &Schema::Object(&EVENT)),
        "",
    )]),
)
.naming_user(UserIn::Body)
.with_problems(&[Kind::NotFound, Kind::Internal]);

const EVENT: Type = Type::new(
    "",
    "",
    &[
        Field::new(TYPE, Schema::Words(&TYPES), "One of these, or another one of `[[events]]`."),
        Field::new(USER, ID, ""),
        Field::new(MOVIE, ID, ""),
        Field::new(
            VALUE,
            Schema::Optional(&Schema::Within(0.0, GREATEST)),
            "The amount, 1 by default.",
        ),
        Field::new(
            SHARE,
            Schema::Optional(&Schema::Within(0.0, 1.0)),
            "For `watch`: the share that was watched, as the value.",
        ),
        Field::new(
            SECONDS,
            Schema::Optional(&Schema::Within(0.0, 86_400.0)),
            "For `watch` without a share: the seconds that were watched. The value is their share of 100 minutes.",
        ),
        Field::new(
            TIMESTAMP,
            Schema::Optional(&Schema::Time),
            "Seconds since 1970 (UTC), at most five minutes ahead. By default, the time of the request.",
        ),
        Field::new(
            SESSION,
            Schema::Optional(&Schema::Short(LONGEST)),
            "The visit in which it took place.",
        ),
        Field::new(
            RECOMMENDATION,
            Schema::Optional(&Schema::Short(LONGEST)),
            "The `recommendationId` of the answer that showed the movie.",
        ),
        KEY_FIELD,
    ],
);

pub(crate) async fn post(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [partial] = POST.arguments(call)?;
    let (partial, key) = (partial.flag()?, key_of(call)?);
    let types = &live::source(snapshot)?.types;
    let fields = read_object(call.body)?;
    Item::body(&fields, &[EVENTS])?;
    let items = list(&fields, EVENTS, "a list of events", LARGEST_BATCH)?;
    let changes = items.iter().enumerate().map(|(index, json)| {
        let item = Item::of_list(EVENTS, index, json, "an event", &FIELDS)?;
        let any = |_: &str| true;
        let kind = item.text(TYPE, LONGEST, any, "the name of an event type")?;
        let kind = kind.ok_or_else(|| {
            let path = item.path(TYPE);
            let detail = format!("{path} is required: the name of an event type");
            Problem::new(Kind::InvalidBody, detail).parameter(&path)
        })?;
        let kind = types.find(kind).ok_or_else(|| {
            let path = item.path(TYPE);
            let detail = format!("{path} must be an event type, got {}", quoted(kind));
            Problem::new(Kind::InvalidBody, detail).parameter(&path).allowed(kind, types.names())
        })?;
        let (user, time) = (item.whole(USER)?, time_of(&item)?);
        call.check_change(user).map_err(|problem| problem.parameter(&item.path(USER)))?;
        let value = item.number(VALUE, 0.0, GREATEST)?;
        let share = item.number(SHARE, 0.0, 1.0)?;
        let seconds = item.number(SECONDS, 0.0, 86_400.0)?;
        let seconds = seconds.map(|seconds| (seconds / DURATION).min(1.0));
        let value = value.or(share).or(seconds).unwrap_or(1.0) as f32;
        let short = |field| item.text(field, LONGEST, any, "a text of 1 to 100 characters");
        let (session, recommendation) = (short(SESSION)?, short(RECOMMENDATION)?);
        let key = key_of_item(&item, EVENT_ID, key.as_deref(), index)?;
        let movie = movie_of(snapshot, item.whole(MOVIE)?, &item.path(MOVIE))?;
        let action = Action::Event { movie, kind: kind.name.clone(), value };
        let mut change = Change::new(UserId(user), action, time);
        change.write.session = session.map(Into::into);
        change.write.recommendation = recommendation.map(Into::into);
        Ok(change.with_key(key))
    });
    write_all(call, changes.collect(), partial).await
}

pub(crate) static LIST: Endpoint<[Parameter; 2]> = Endpoint::v1(
    Group::Users,
    "/v1/users/{id}/events",
    "listEvents",
    [definition::size(PAGE_SIZE), OFFSET],
    Answer::Json(Schema::Named(&Events::TYPE)),
    "Lists the events of a user, newest first.",
)
.described("Events of one type about one movie are one item. Ratings are not events; see `/v1/users/{id}`.")
.of(&[definition::USER_ID])
.with_problems(&[Kind::Internal])
.personal();

json_type! {
    pub(crate) struct Events as "EventList" {
        total / "total": usize = COUNT,
        offset / "offset": usize = COUNT,
        size / "size": usize = page::SIZE.schema,
        items / "items": Vec<Event> = Schema::AtMost(1000, &Schema::Object(&Event::TYPE)),
    }
}

json_type! {
    pub(crate) struct Event as "Event" {
        movie / "movieId": u32 = ID,
        kind / "type": String = TEXT,
        count / "count": u32 = COUNT,
        /// The value of the newest.
        newest / "value": f32 = Schema::Number,
        /// The greatest value.
        greatest / "greatest": f32 = Schema::Number,
        /// The sum of all values.
        sum / "sum": f32 = Schema::Number,
        /// The time of the newest, in seconds since 1970 (UTC).
        time / "timestamp": u32 = ID,
        /// The position of the newest in the log of changes.
        sequence / "sequence": String = TEXT,
    }
}

pub(crate) async fn list_events(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let id = UserId(call.id()?);
    let [size, offset] = LIST.arguments(call)?;
    Page::read(&size, &offset, 0)?;
    let user = match &snapshot.source.live {
        Some(live) => live.user(id).await.map_err(|error| live_problem(&error))?,
        None => sparrow_live::LiveUser::default(),
    };
    let mut events = user.events;
    events.sort_by_key(|event| Reverse((event.time, event.sequence)));
    let Page { total, offset, size, items } = Page::read(&size, &offset, events.len())?;
    let items = events.drain(items).map(|event| Event {
        movie: event.movie.0,
        kind: event.kind.into(),
        count: event.count,
        newest: event.newest,
        greatest: event.greatest,
        sum: event.sum,
        time: event.time,
        sequence: event.sequence.to_string(),
    });
    let items = items.collect();
    Ok(Reply::serialized(&Events { total, offset, size, items }))
}
