//! The web pages.

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use sparrow_engine::Engine;
use sparrow_model::Sort;

use crate::auth::access::Access;
use crate::endpoints::endpoint::Call;
use crate::endpoints::users::read_user;
use crate::parameters::definition::{GENRE, GENRES, MODEL, NO_GENRE, Parameter};
use crate::parameters::query::{Plus, Unknown, decode, parse, path_id};
use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::Reply;
use crate::state::snapshot::Snapshot;

/// A web page, with the undecoded variable part of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page<'p> {
    Home,
    Movie(&'p str),
    User(&'p str),
    Users,
    Genre(&'p str),
    Search,
    /// The description of the API, as text.
    Api,
}

/// A page is the same document for all its subjects. Its status is that of its subject and of the choices in its
/// query; its script shows the problem.
pub(crate) async fn show(page: Page<'_>, call: &Call<'_>) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let found = |found: bool| if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
    // A page without its status says nothing about what the caller may not read.
    let reads_catalog = call.access.is_none_or(Access::reads_catalog);
    let found = |is_found: bool| found(is_found || !reads_catalog);
    let (name, status) = match page {
        Page::Home => ("home.html", StatusCode::OK),
        Page::Users => ("users.html", StatusCode::OK),
        Page::Api => ("api.html", StatusCode::OK),
        Page::Search => ("search.html", found(has_genre_of(snapshot, call.query))),
        Page::Movie(id) => {
            let status = found(snapshot.movie(page_id(id)?).is_ok());
            if !reads_catalog {
                return call.shared.web.page("movie.html", status, call.headers);
            }
            let has_model = |engine: &Engine, name: &str| engine.similar_models().contains(&name);
            ("movie.html", status_of_choices(snapshot, status, call.query, has_model))
        }
        Page::User(id)
            if call.access.is_some_and(|access| !access.reads_user(page_id(id).ok())) =>
        {
            ("user.html", StatusCode::OK)
        }
        Page::User(id) => match read_user(snapshot, page_id(id)?).await {
            Err(problem) if problem.kind() != Kind::NotFound => {
                // The script's own request shows the problem.
                let status = problem.kind().status();
                let page = call.shared.web.page("user.html", status, call.headers)?;
                return Ok(page.with(RETRY_AFTER, HeaderValue::from_static("1")));
            }
            user => {
                let status = found(user.is_ok());
                ("user.html", status_of_choices(snapshot, status, call.query, Engine::has_model))
            }
        },
        Page::Genre(name) => {
            let name = decode(name, Plus::IsPlus);
            ("genre.html", found(name.is_some_and(|name| has_genre(snapshot, &name))))
        }
    };
    call.shared.web.page(name, status, call.headers)
}

/// An id in the path of a page; an invalid id is one without a page.
fn page_id(text: &str) -> Result<u32, Problem> {
    path_id("id", text).map_err(|_| Problem::not_found(format!("{} is not an id", quoted(text))))
}

/// Whether there is a page for movies of this genre.
fn has_genre(snapshot: &Snapshot, name: &str) -> bool {
    let catalog = snapshot.catalog();
    catalog.genres().find(name).is_some()
        || (name == NO_GENRE && !catalog.without_genre(Sort::Rating).is_empty())
}

/// Whether there is a page for the genre in a query; true without one, and for malformed queries.
fn has_genre_of(snapshot: &Snapshot, query: Option<&str>) -> bool {
    static QUERY: [Parameter; 1] = [GENRE];
    let Ok([genre]) = parse(query, &QUERY, Unknown::Ignore) else { return true };
    genre.text().is_none_or(|name| has_genre(snapshot, name))
}

/// The status of a page with the model and the genres of its query.
fn status_of_choices(
    snapshot: &Snapshot,
    status: StatusCode,
    query: Option<&str>,
    has_model: fn(&Engine, &str) -> bool,
) -> StatusCode {
    static QUERY: [Parameter; 2] = [MODEL, GENRES];
    let Ok([model, genres]) = parse(query, &QUERY, Unknown::Ignore) else { return status };
    let model =
        model.text().is_none_or(|name| name.is_empty() || has_model(&snapshot.engine, name));
    let genres = genres.text() == Some("") || snapshot.genre_set(&genres).is_ok();
    if status == StatusCode::OK && !(model && genres) { StatusCode::BAD_REQUEST } else { status }
}
