//! `/v1/search`.

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::endpoints::page::{self, PAGE_SIZE, Page};
use crate::parameters::definition::{self, Kind, OFFSET, Parameter};
use crate::response::json;
use crate::response::movie_json::MOVIE;
use crate::response::problem::Problem;
use crate::response::reply::Reply;
use crate::response::schema::{Field, Schema, TEXT, Type};

pub(crate) static SEARCH: Endpoint<[Parameter; 3]> = Endpoint::v1(
    Group::Movies,
    "/v1/search",
    "searchMovies",
    [
        Parameter::new(
            "q",
            Kind::Text { most: 200, example: "lanter" },
            "Words of the title, or their beginnings. The release year counts as a word, `2` matches `II`, and two \
             neighbouring words match one word of the title. If no title matches, words may be split or have a typing \
             error (two from eight letters on). Of more than 32 words the rarest count. The exact title comes first, \
             then whole words, then movies with many ratings.",
        )
        .required(),
        definition::size(PAGE_SIZE),
        OFFSET,
    ],
    Answer::Json(Schema::Named(&Type::new(
        "SearchResult",
        "",
        &[
            Field::new("query", TEXT, ""),
            page::TOTAL,
            page::OFFSET,
            page::SIZE,
            page::items(&Schema::Named(&MOVIE)),
        ],
    ))),
    "Searches titles, regardless of case, accents and word order.",
);

pub(crate) fn search(call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let [q, size, offset] = SEARCH.arguments(call)?;
    let text = q.not_blank()?;
    let (size, offset) = (size.number()?, offset.number()?);
    let hits = snapshot.catalog().search(text, offset, size);
    let mut out = b"{\"query\":".to_vec();
    json::string(&mut out, text);
    out.push(b',');
    Page::new(hits.total, offset, size).write_start(&mut out);
    snapshot.movies.list(&mut out, hits.movies.iter().copied());
    out.push(b'}');
    Ok(Reply::json(out))
}
