//! `/v1/users`: lists, single users.

use sparrow_engine::Reason;
use sparrow_model::{
    Catalog, Genre, GenreTaste, History, OwnedHistory, Rated, Stars, UserId, UserProfile,
};
use sparrow_store::Fields;
use sparrow_user_state::{LoadedUser, ReadError};

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::page::{self, PAGE_SIZE, Page};
use crate::endpoints::ranking::{MOVIE_OF_ITEM, USER_ID, write_movie};
use crate::endpoints::stores::{live_problem, store_problem, unreadable};
use crate::parameters::definition::{self, Kind as ParameterKind, OFFSET, Parameter};
use crate::response::json;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Field, ID, SCORE, SECONDS, Schema, TEXT, Type, json_type};
use crate::state::snapshot::Snapshot;

pub(crate) static LIST: Endpoint<[Parameter; 3]> = Endpoint::v1(
    Group::Users,
    "/v1/users",
    "listUsers",
    [
        Parameter::new(
            "sort",
            ParameterKind::Word(&["userId", "ratingCount"]),
            "By id, or most ratings first.",
        ),
        definition::size(PAGE_SIZE),
        OFFSET,
    ],
    Answer::Json(Schema::Named(&Users::TYPE)),
    "Lists users.",
)
.personal();

json_type! {
    /// In the order of the data; live ratings count, and users with live ratings alone are not listed. With a feature store: the users that the store lists, at most the 100,000 with the most ratings.
    pub(crate) struct Users as "UserList" {
        total / "total": usize = COUNT,
        offset / "offset": usize = COUNT,
        size / "size": usize = page::SIZE.schema,
        items / "items": Vec<Summary> = Schema::AtMost(1000, &Schema::Named(&Summary::TYPE)),
    }
}

json_type! {
    pub(crate) struct Summary as "UserSummary" {
        id / "userId": u32 = ID,
        ratings / "ratingCount": u32 = COUNT,
        /// Over all ratings of the user; null without ratings.
        average / "averageRating": Option<f64> = Schema::OrNull(&KNOWN_MEAN),
    }
}

pub(crate) async fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let users = &snapshot.users;
    let [sort, size, offset] = LIST.arguments(call)?;
    let by_activity = sort.choice([false, true])?;
    let Page { total, offset, size, items } = Page::read(&size, &offset, users.len())?;
    let mut items: Vec<Summary> = items
        .map(|index| {
            let user = users.get(index, by_activity);
            Summary { id: user.id.0, ratings: user.ratings, average: user.average }
        })
        .collect();
    add_live_ratings(snapshot, &mut items).await?;
    Ok(Reply::serialized(&Users { total, offset, size, items }))
}

/// Counts live ratings, too.
async fn add_live_ratings(snapshot: &Snapshot, users: &mut [Summary]) -> Result<(), Problem> {
    let Some(live) = &snapshot.source.live else { return Ok(()) };
    let ids: Vec<UserId> = users.iter().map(|user| UserId(user.id)).collect();
    let changed = live.store.users(&ids).await.map_err(|error| live_problem(&error))?;
    for (summary, live) in users.iter_mut().zip(changed) {
        if live.ratings.is_empty() && live.forgotten.is_none() {
            continue;
        }
        let user = load(snapshot, UserId(summary.id)).await?;
        let history = user.as_ref().and_then(LoadedUser::history);
        summary.ratings = history.map_or(0, |history| history.len() as u32);
        let rated = history.filter(|history| !history.is_empty());
        summary.average = rated.map(|history| history.average());
    }
    Ok(())
}

pub(crate) static USER: Endpoint<[Parameter; 2]> = Endpoint::v1(
    Group::Users,
    "/v1/users/{id}",
    "getUser",
    [definition::size(PAGE_SIZE), OFFSET],
    Answer::Json(Schema::Named(&Type::new(
        "User",
        "",
        &[
            USER_ID,
            Field::new("ratingCount", COUNT, ""),
            Field::new(
                "averageRating",
                Schema::OrNull(&KNOWN_MEAN),
                "Over all ratings of the user; without a rating history, that of the features. Null if unknown.",
            ),
            Field::new(
                "highestRating",
                Schema::OrNull(&KNOWN_MEAN),
                "In half stars; null without a rating history.",
            ),
            Field::new(
                "lowestRating",
                Schema::OrNull(&KNOWN_MEAN),
                "In half stars; null without a rating history.",
            ),
            Field::new(
                "favouriteGenres",
                Schema::List(&Schema::Object(&TASTE)),
                "By movies liked, ties by name. The counts are 0 if the feature store has only features of the user.",
            ),
            Field::new("ratings", Schema::Object(&RATINGS), "Newest first."),
        ],
    ))),
    "Shows a user's tastes and a page of their ratings.",
)
.of(&[definition::USER_ID])
.with_problems(&[Kind::NotFound, Kind::Internal])
.personal();

const KNOWN_MEAN: Schema = Schema::Within(0.5, 5.0);

const TASTE: Type = Type::new(
    "",
    "",
    &[
        Field::new("genre", TEXT, ""),
        Field::new("liked", COUNT, "Movies with a rating of at least 3.5."),
        Field::new("rated", COUNT, ""),
    ],
);

const RATINGS: Type = Type::new(
    "",
    "",
    &[
        page::TOTAL,
        page::OFFSET,
        page::SIZE,
        page::items(&Schema::Object(&Type::new("", "", &[MOVIE_OF_ITEM, SCORE, SECONDS]))),
    ],
);

pub(crate) async fn show(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let id = call.id()?;
    let [size, offset] = USER.arguments(call)?;
    // Parameters are checked before the user is read.
    Page::read(&size, &offset, 0)?;
    let user = read_user(snapshot, id).await?;
    let (history, profile) = (user.history(), user.profile(snapshot.catalog()));
    let page = Page::read(&size, &offset, history.len())?;

    let mut out = Vec::with_capacity(1024 + page.items.len() * 320);
    out.extend_from_slice(b"{\"userId\":");
    json::integer(&mut out, id);
    out.extend_from_slice(b",\"ratingCount\":");
    json::integer(&mut out, profile.rating_count);
    // NaN is written as null.
    write_rating_range(&mut out, &profile, f32::NAN);
    out.extend_from_slice(b",\"favouriteGenres\":");
    let listed = user.genres_of_features().iter();
    let listed = listed.map(|&genre| GenreTaste { genre, rated: 0, liked: 0 });
    json::list(&mut out, profile.favourite_genres.into_iter().chain(listed), |out, taste| {
        out.extend_from_slice(b"{\"genre\":");
        json::string(out, snapshot.catalog().genres().name(taste.genre));
        out.extend_from_slice(b",\"liked\":");
        json::integer(out, taste.liked);
        out.extend_from_slice(b",\"rated\":");
        json::integer(out, taste.rated);
        out.push(b'}');
    });
    out.extend_from_slice(b",\"ratings\":");
    out.extend_from_slice(&page.start());
    let newest = history.iter().rev().skip(page.items.start).take(page.items.len());
    json::list(&mut out, newest, |out, rated: Rated| {
        write_movie(out, snapshot, rated.movie);
        json::rating(out, rated.stars, rated.timestamp);
        out.push(b'}');
    });
    out.extend_from_slice(b"}}");
    Ok(Reply::json(out))
}

/// Continues the object of a user with statistics of the ratings; unknown ones are written as `unknown`.
pub(crate) fn write_rating_range(out: &mut Vec<u8>, profile: &UserProfile, unknown: f32) {
    // No rating is below half a star.
    let average = Some(profile.average).filter(|&average| average > 0.0);
    out.extend_from_slice(b",\"averageRating\":");
    json::float(out, average.unwrap_or(f64::from(unknown)));
    out.extend_from_slice(b",\"highestRating\":");
    json::float32(out, profile.highest.map_or(unknown, Stars::value));
    out.extend_from_slice(b",\"lowestRating\":");
    json::float32(out, profile.lowest.map_or(unknown, Stars::value));
}

/// An existing user.
#[derive(Debug)]
pub(crate) enum User<'a> {
    OfCatalog(History<'a>),
    /// With an empty history if only features are known.
    Loaded(Box<LoadedUser>, OwnedHistory),
}

impl User<'_> {
    /// The ratings; empty if the store has only features of the user.
    pub(crate) fn history(&self) -> History<'_> {
        match self {
            Self::OfCatalog(history) => *history,
            Self::Loaded(user, empty) => user.history().unwrap_or_else(|| empty.get()),
        }
    }

    /// The statistics of the ratings; without ratings, those of the features.
    pub(crate) fn profile(&self, catalog: &Catalog) -> UserProfile {
        let mut profile = UserProfile::new(&self.history(), catalog);
        if let Self::Loaded(user, _) = self
            && let (None, Some(features)) = (user.history(), user.features())
        {
            profile.rating_count = number(features, "userRatingCount").unwrap_or(0);
            let average = number(features, "userAvgRating").unwrap_or(0.0);
            profile.average = if (0.0..=5.0).contains(&average) { average } else { 0.0 };
        }
        profile
    }

    /// The favourite genres of a user with features and without ratings.
    fn genres_of_features(&self) -> &[Genre] {
        match self {
            Self::Loaded(user, _) if user.history().is_none() => user.favourite_genres(),
            _ => &[],
        }
    }
}

fn number<T: std::str::FromStr>(features: &Fields, name: &str) -> Option<T> {
    features.get(name)?.parse().ok()
}

/// Reads a user with their ratings; a problem if nothing is known about them.
pub(crate) async fn read_user(snapshot: &Snapshot, id: u32) -> Result<User<'_>, Problem> {
    let id = UserId(id);
    let Some(user) = load(snapshot, id).await? else {
        let found = snapshot.catalog().users().find(id);
        return found.map(User::OfCatalog).ok_or_else(|| no_user(id));
    };
    match user.missing() {
        Some(why) if why != Reason::NoHistory && user.is_empty() => Err(missing_user(id, why)),
        _ => Ok(User::Loaded(Box::new(user), OwnedHistory::new(id, []))),
    }
}

/// The user from the store and the live data; `None` if the engine's catalogue has everything about the user.
pub(crate) async fn load(snapshot: &Snapshot, id: UserId) -> Result<Option<LoadedUser>, Problem> {
    let read = snapshot.source.read(id, &snapshot.engine).await;
    read.map_err(|error| match error {
        ReadError::Store(error) => store_problem(&error),
        ReadError::Live(error) => live_problem(&error),
    })
}

pub(crate) fn no_user(id: UserId) -> Problem {
    Problem::not_found(format!("there is no user {id}"))
}

/// The problem of a user about whom nothing is known.
pub(crate) fn missing_user(id: UserId, why: Reason) -> Problem {
    match why {
        Reason::UnknownUser => no_user(id),
        Reason::StoreUnavailable => Problem::new(Kind::Unavailable, "the feature store is empty"),
        Reason::StoreUpdating => {
            Problem::new(Kind::Unavailable, "the feature store is being updated")
        }
        _ => unreadable(),
    }
}
