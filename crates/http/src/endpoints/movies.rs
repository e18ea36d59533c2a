//! `/v1/movies`: lists, single movies, similar movies.

use sparrow_engine::{Reason, SimilarRequest};
use sparrow_model::{MovieIndex, Sort};

use crate::endpoints::conditions::Conditions;
use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::page::{self, PAGE_SIZE, Page};
use crate::endpoints::ranking::{
    DEGRADED, MOVIE_ID, MOVIE_OF_ITEM, RECOMMENDATIONS, REQUESTED_MODEL, count_reason,
    engine_problem, write_model, write_movie,
};
use crate::parameters::definition::{
    self, EXCLUDE, EXCLUDE_GENRES, GENRE, Kind as Type, MIN_YEAR, OFFSET, Parameter, SIMILAR_MODEL,
};
use crate::response::json;
use crate::response::movie_json::MOVIE as MOVIE_TYPE;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Reply;
use crate::response::schema::{Field, SCORE, SECONDS, Schema, TEXT, Type as JsonType};

pub(crate) static LIST: Endpoint<[Parameter; 7]> = Endpoint::v1(
    Group::Movies,
    "/v1/movies",
    "listMovies",
    [
        GENRE,
        Parameter::new(
            "sort",
            Type::Word(&["rating", "releaseYear", "popularity"]),
            "Best rated, newest, or most rated first; ties by id.",
        ),
        EXCLUDE,
        EXCLUDE_GENRES,
        MIN_YEAR,
        definition::size(PAGE_SIZE),
        OFFSET,
    ],
    Answer::Json(Schema::Named(&JsonType::new(
        "MovieList",
        "",
        &[page::TOTAL, page::OFFSET, page::SIZE, page::items(&Schema::Named(&MOVIE_TYPE))],
    ))),
    "Lists movies.",
);

pub(crate) fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [genre, sort, exclude, exclude_genres, min_year, size, offset] = LIST.arguments(call)?;
    let conditions = Conditions::read(snapshot, [&exclude, &exclude_genres, &min_year])?;
    let sort = sort.choice([Sort::Rating, Sort::ReleaseYear, Sort::Popularity])?;
    let order = snapshot.ordered(&genre, sort)?;
    let accepted: Vec<MovieIndex>;
    let order = if conditions.is_empty() {
        order
    } else {
        let accept = |movie: &MovieIndex| conditions.accept(snapshot, *movie);
        accepted = order.iter().copied().filter(accept).collect();
        &accepted
    };
    let page = Page::read(&size, &offset, order.len())?;
    let mut out = page.start();
    snapshot.movies.list(&mut out, order[page.items].iter().copied());
    out.push(b'}');
    Ok(Reply::json(out))
}

pub(crate) static MOVIE: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Movies,
    "/v1/movies/{id}",
    "getMovie",
    [],
    Answer::Json(Schema::Named(&JsonType {
        base: Some(&MOVIE_TYPE),
        ..JsonType::new(
            "MovieDetails",
            "",
            &[Field::new(
                "topRatings",
                Schema::AtMost(
                    10,
                    &Schema::Object(&JsonType::new(
                        "",
                        "",
                        &[SCORE, SECONDS],
                    )),
                ),
                "The best ratings: highest first, then newest. They do not name their users; `/getmovie` does.",
            )],
        )
    })),
    "Shows a movie and its best ratings.",
)
.of(&[definition::MOVIE_ID])
.with_problems(&[Kind::NotFound]);

pub(crate) fn show(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let id = call.id()?;
    let [] = MOVIE.arguments(call)?;
    let movie = snapshot.movie(id)?;
    let mut out = snapshot.movies.get(movie).to_vec();
    // The ratings join the movie's own fields. Only the endpoint of SparrowRecSys names their users, by its contract.
    out.pop();
    out.extend_from_slice(b",\"topRatings\":");
    json::list(&mut out, snapshot.catalog().top_ratings(movie), |out, top| {
        out.extend_from_slice(b"{\"score\":");
        json::float32(out, top.stars.value());
        out.extend_from_slice(b",\"timestamp\":");
        json::integer(out, top.timestamp);
        out.push(b'}');
    });
    out.push(b'}');
    Ok(Reply::json(out))
}

pub(crate) static SIMILAR: Endpoint<[Parameter; 5]> = Endpoint::v1(
    Group::Movies,
    "/v1/movies/{id}/similar",
    "listSimilarMovies",
    [definition::size(RECOMMENDATIONS), SIMILAR_MODEL, EXCLUDE, EXCLUDE_GENRES, MIN_YEAR],
    Answer::Ranked(Schema::Named(&JsonType::new(
        "SimilarMovies",
        "",
        &[
            MOVIE_ID,
            Field::new("model", TEXT, "The model that answered."),
            DEGRADED,
            REQUESTED_MODEL,
            Field::new(
                "reason",
                Schema::Optional(&Schema::Words(Reason::NAMES_FOR_SIMILAR)),
                "Why the answer is degraded.",
            ),
            Field::new(
                "items",
                Schema::AtMost(
                    1000,
                    &Schema::Object(&JsonType::new(
                        "",
                        "",
                        &[
                            MOVIE_OF_ITEM,
                            Field::new(
                                "score",
                                Schema::Number,
                                "Scores of different models are not comparable.",
                            ),
                        ],
                    )),
                ),
                "Most similar first, without the movie itself.",
            ),
        ],
    ))),
    "Lists movies that are similar to one.",
)
.of(&[definition::MOVIE_ID])
.with_problems(&[Kind::NotFound, Kind::Internal]);

pub(crate) fn similar(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let id = call.id()?;
    let [size, model, exclude, exclude_genres, min_year] = SIMILAR.arguments(call)?;
    let size = size.number()?;
    let conditions = Conditions::read(snapshot, [&exclude, &exclude_genres, &min_year])?;
    let request = SimilarRequest {
        model: model.text(),
        size,
        exclude: &conditions.exclude,
        exclude_genres: conditions.exclude_genres,
        min_year: conditions.min_year,
        ..SimilarRequest::new(snapshot.movie(id)?)
    };
    let found =
        snapshot.engine.similar(&request).map_err(|error| engine_problem(&error, &model))?;

    let movies = found.items.iter().map(|item| item.movie);
    let mut out = Vec::with_capacity(192 + snapshot.movies.len_of(movies) + found.items.len() * 36);
    out.extend_from_slice(b"{\"movieId\":");
    json::integer(&mut out, id);
    count_reason(call, found.reason);
    let degraded = found.reason.is_some();
    write_model(&mut out, &found.model, degraded, &found.requested, found.reason);
    out.extend_from_slice(b",\"items\":");
    json::list(&mut out, &found.items, |out, item| {
        write_movie(out, snapshot, item.movie);
        out.extend_from_slice(b",\"score\":");
        json::float32(out, item.score);
        out.push(b'}');
    });
    out.push(b'}');
    Ok(Reply::json(out).with_model(snapshot.model_header(&found.model), degraded))
}
