//! `/v1/genres`.

use sparrow_model::Sort;

use crate::endpoints::endpoint::{Answer, Call, Endpoint, Group};
use crate::parameters::definition::{NO_GENRE, Parameter};
use crate::response::problem::Problem;
use crate::response::reply::Reply;
use crate::response::schema::{COUNT, Schema, TEXT, json_type};

pub(crate) static LIST: Endpoint<[Parameter; 0]> = Endpoint::v1(
    Group::Movies,
    "/v1/genres",
    "listGenres",
    [],
    Answer::Json(Schema::Named(&Genres::TYPE)),
    "Lists genres.",
);

json_type! {
    pub(crate) struct Genres<'a> as "GenreList" {
        /// By name.
        items / "items": Vec<Genre<'a>> = Schema::List(&Schema::Object(&Genre::TYPE)),
        /// The movies without a genre, and the name of this genre in lists of movies.
        without_genre / "withoutGenre": Genre<'a> = Schema::Object(&Genre::TYPE),
    }
}

json_type! {
    pub(crate) struct Genre<'a> as "Genre" {
        genre / "genre": &'a str = TEXT,
        movies / "movies": usize = COUNT,
    }
}

pub(crate) fn list(call: &Call<'_>) -> Result<Reply, Problem> {
    let catalog = call.snapshot()?.catalog();
    let [] = LIST.arguments(call)?;
    let genres = catalog.genres();
    let items = genres.iter().map(|genre| Genre {
        genre: genres.name(genre),
        movies: catalog.ordered(Sort::Rating, Some(genre)).len(),
    });
    // Every movie of a genre may be hidden.
    let items = items.filter(|genre| genre.movies > 0);
    let without = catalog.without_genre(Sort::Rating).len();
    Ok(Reply::serialized(&Genres {
        items: items.collect(),
        without_genre: Genre { genre: NO_GENRE, movies: without },
    }))
}
