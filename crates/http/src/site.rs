//! What a server answers from, and the way from a request to an answer.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CACHE_CONTROL, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, VARY};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use sparrow_engine::{Engine, Error, Recommendations, Request};
use sparrow_features::RatingStats;
use sparrow_model::{Catalog, MovieId, MovieIndex, Sort, UserId};
use sparrow_store::UserList;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::cors::Grant;
use crate::features;
use crate::gate::{self, Framing};
use crate::json;
use crate::pace::{Pace, Place};
use crate::pages::Pages;
use crate::posters::poster;
use crate::problem::{Kind, Problem, quoted};
use crate::public::{Audience, kind_of};
use crate::query::{self, Plus, Value, decode};
use crate::reply::{Body, Reply};
use crate::route::{Page, Route};
use crate::server::{Lane, Shared};
use crate::store::FromStore;
use crate::texts::Texts;
use crate::users::{Directory, Gathered};
use crate::v1::NO_GENRE;

/// The description of the API, except for the names that come from data and configuration.
const OPEN_API: &str = include_str!("../openapi.json");

/// What a site can be told.
#[derive(Debug, Clone, Default)]
pub struct SiteOptions {
    /// A folder with pictures named `{movieId}.jpg`.
    pub posters: Option<PathBuf>,
    /// The store that has the users; without one they are those of the engine's catalogue.
    pub store: Option<FromStore>,
}

/// An engine, and everything that is written once rather than per request.
pub struct Site {
    pub(crate) engine: Arc<Engine>,
    pace: Pace,
    pub(crate) v1: Texts,
    pub(crate) original: Texts,
    pub(crate) genres: Bytes,
    open_api: Bytes,
    pub(crate) users: Directory,
    pub(crate) store: Option<FromStore>,
    /// The ratings of each movie, where they are not the store's.
    pub(crate) movie_ratings: Vec<RatingStats>,
    /// Model names as header values.
    model_headers: Vec<(Arc<str>, HeaderValue)>,
    pages: Pages,
    posters: Option<PathBuf>,
}

impl Site {
    /// Serialises the engine's catalogue: for tens of thousands of movies a matter of a second.
    pub fn new(engine: Arc<Engine>, options: SiteOptions) -> Self {
        let catalog = Arc::clone(engine.catalog());
        let (users, movie_ratings) = if let Some(store) = &options.store {
            (Directory::of_store(store), Vec::new())
        } else {
            let users = catalog.users();
            (Directory::of_catalog(users), features::movie_ratings(users, catalog.len()))
        };
        let names = engine.models().into_iter().map(|model| model.name);
        let names = names.chain(engine.similar_models().map(Arc::from));
        Self {
            pace: Pace::new(&engine),
            v1: Texts::v1(&catalog),
            original: Texts::original(&catalog),
            genres: crate::v1::genres(&catalog).into(),
            open_api: open_api(&engine).into(),
            users,
            // The list is in `users` now.
            store: options.store.map(|store| FromStore { users: UserList::default(), ..store }),
            movie_ratings,
            model_headers: names.map(|name| (Arc::clone(&name), header_value(&name))).collect(),
            pages: Pages::load(),
            posters: options.posters,
            engine,
        }
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        self.engine.catalog()
    }

    pub(crate) const fn has_posters(&self) -> bool {
        self.posters.is_some()
    }

    pub(crate) fn movie(&self, id: u32) -> Result<MovieIndex, Problem> {
        self.catalog()
            .index_of(MovieId(id))
            .ok_or_else(|| Problem::not_found(format!("there is no movie {id}")))
    }

    /// Whether everything is there to answer from, and how the store is doing.
    pub(crate) fn ready(&self, audience: Audience) -> Result<Reply, Problem> {
        let mut out = b"{\"status\":\"ready\"".to_vec();
        if let Some(store) = &self.store {
            let trouble = store.reader.trouble().map(|trouble| audience.message(trouble));
            let Some(generation) = store.generation else {
                let detail = trouble.unwrap_or_else(|| {
                    audience.message(format!(
                        "the feature store {} is being loaded",
                        store.reader.address()
                    ))
                });
                return Err(Problem::new(Kind::Unavailable, detail));
            };
            out.extend_from_slice(b",\"store\":{\"kind\":");
            json::string(&mut out, kind_of(store.reader.address()));
            if audience == Audience::Operator {
                out.extend_from_slice(b",\"address\":");
                json::string(&mut out, store.reader.address());
            }
            out.extend_from_slice(b",\"generation\":");
            json::integer(&mut out, generation.0);
            out.extend_from_slice(b",\"degraded\":");
            json::boolean(&mut out, trouble.is_some());
            if let Some(trouble) = trouble {
                out.extend_from_slice(b",\"reason\":");
                json::string(&mut out, &trouble);
            }
            out.push(b'}');
        }
        out.push(b'}');
        Ok(Reply::json(out))
    }

    /// The header value that names a model.
    pub(crate) fn model_header(&self, name: &str) -> HeaderValue {
        let known = self.model_headers.iter().find(|(known, _)| **known == *name);
        known.map_or_else(|| header_value(name), |(_, value)| value.clone())
    }

    /// Asks the engine, within the time that it has. What may take long is done elsewhere than on the
    /// threads that serve connections, a few at a time.
    pub(crate) async fn recommend(
        &self,
        request: &Request<'_>,
        model: &Value<'_>,
        shared: &Shared,
    ) -> Result<Recommendations, Problem> {
        let limit = shared.options.request_timeout;
        let Ok(answer) = timeout(limit, self.ask(request, shared)).await else {
            tracing::warn!(user = request.user.0, "recommendations took too long");
            let detail = format!("no answer within {limit:?}");
            return Err(Problem::new(Kind::Unavailable, detail));
        };
        let found = answer?.map_err(|error| engine_problem(&error, model))?;
        self.pace.note(request.candidates, &found.model, found.timings.total);
        Ok(found)
    }

    async fn ask(
        &self,
        request: &Request<'_>,
        shared: &Shared,
    ) -> Result<Result<Recommendations, Error>, Problem> {
        let permit = match self.pace.place_for(request) {
            Place::Here => {
                let user = self.state(request.user).await;
                return Ok(recommend(&self.engine, request, user.as_ref()).await);
            }
            Place::Elsewhere => None,
            Place::ElsewhereLimited => Some(shared.rankings.admit().await?),
        };
        let user = self.state(request.user).await;
        let (engine, runtime) = (Arc::clone(&self.engine), Handle::current());
        let (request, model) = (request.clone(), request.model.map(str::to_owned));
        let request = Request { model: None, exclude: &[], filter: None, ..request };
        let ranking = spawn_blocking(move || {
            // Nobody may be waiting any more; but what has begun is counted until it ends.
            let _permit = permit;
            let request = Request { model: model.as_deref(), ..request };
            runtime.block_on(recommend(&engine, &request, user.as_ref()))
        });
        ranking.await.map_err(|error| {
            tracing::error!(%error, "a ranking was cut off");
            Problem::new(Kind::Internal, "the engine has failed")
        })
    }

    /// The user, where there is a store that knows.
    async fn state(&self, user: UserId) -> Option<Gathered> {
        match &self.store {
            Some(store) => Some(self.gather(store, user).await),
            None => None,
        }
    }

    async fn answer(
        &self,
        route: Route<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
        shared: &Shared,
    ) -> Result<Reply, Problem> {
        match route {
            Route::GetRecForYou => self.get_rec_for_you(query, shared).await,
            Route::GetMovie => self.get_movie(query),
            Route::GetUser => self.get_user(query).await,
            Route::GetSimilarMovie => self.get_similar_movie(query),
            Route::GetRecommendation => self.get_recommendation(query),
            Route::Movies => self.v1_movies(query),
            Route::Movie(id) => self.v1_movie(id, query),
            Route::Similar(id) => self.v1_similar(id, query),
            Route::Genres => query::parse(query, []).map(|[]| Reply::json(self.genres.clone())),
            Route::Users => self.v1_users(query),
            Route::User(id) => self.v1_user(id, query).await,
            Route::UserFeatures(id) => self.v1_user_features(id, query).await,
            Route::MovieFeatures(id) => self.v1_movie_features(id, query).await,
            Route::Recommendations(id) => self.v1_recommendations(id, query, shared).await,
            Route::Search => self.v1_search(query),
            // Files and the like have no parameters, and those that are given do no harm.
            Route::Poster(id) => poster(self.posters.as_deref(), id, headers).await,
            Route::Asset(name) => self.pages.asset(name, headers),
            Route::Page(page) => self.page(page, query, headers).await,
            Route::OpenApi => Ok(Reply::json(self.open_api.clone())),
            Route::Models | Route::Healthz | Route::Readyz => {
                // These are answered on the admin port, too, or with or without a site.
                Err(Problem::new(Kind::Internal, "this endpoint was not answered"))
            }
        }
    }

    /// A page is the same document for all its subjects, but its status says whether there is such a
    /// subject, and whether there is what the query chooses: the page itself shows what is wrong.
    async fn page(
        &self,
        page: Page<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Reply, Problem> {
        let found = |found: bool| if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let (name, status) = match page {
            Page::Home => ("home.html", StatusCode::OK),
            Page::Users => ("users.html", StatusCode::OK),
            Page::Api => ("api.html", StatusCode::OK),
            Page::Search => ("search.html", found(self.has_genre_of(query))),
            Page::Movie(id) => {
                let status = found(self.movie(page_id(id)?).is_ok());
                (
                    "movie.html",
                    self.status_of_choices(status, query, |engine, name| {
                        engine.similar_models().contains(&name)
                    }),
                )
            }
            Page::User(id) => match self.user(page_id(id)?).await {
                Err(problem) if problem.kind() != Kind::NotFound => {
                    // The page's own request tells what is the matter.
                    let page = self.pages.page("user.html", problem.kind().status(), headers)?;
                    return Ok(page.with(RETRY_AFTER, HeaderValue::from_static("1")));
                }
                user => {
                    let status = found(user.is_ok());
                    ("user.html", self.status_of_choices(status, query, Engine::has_model))
                }
            },
            Page::Genre(name) => {
                let name = decode(name, Plus::IsPlus);
                ("genre.html", found(name.is_some_and(|name| self.has_genre(&name))))
            }
        };
        self.pages.page(name, status, headers)
    }

    /// Whether there is a page for movies of this genre.
    fn has_genre(&self, name: &str) -> bool {
        let catalog = self.catalog();
        catalog.genres().find(name).is_some()
            || (name == NO_GENRE && !catalog.without_genre(Sort::Rating).is_empty())
    }

    /// The same for the genre in the query of a page; without one, yes. Queries of pages are read with
    /// forbearance.
    fn has_genre_of(&self, query: Option<&str>) -> bool {
        let Ok([genre]) = query::parse_of_page(query, ["genre"]) else { return true };
        genre.text().is_none_or(|name| self.has_genre(name))
    }

    /// The status of a page with the model, and the genres, that its query chooses.
    fn status_of_choices(
        &self,
        status: StatusCode,
        query: Option<&str>,
        has_model: fn(&Engine, &str) -> bool,
    ) -> StatusCode {
        let Ok([model, genres]) = query::parse_of_page(query, ["model", "genres"]) else {
            return status;
        };
        let model =
            model.text().is_none_or(|name| name.is_empty() || has_model(&self.engine, name));
        let genres = genres.text() == Some("") || self.genre_set(&genres).is_ok();
        if status == StatusCode::OK && !(model && genres) {
            StatusCode::BAD_REQUEST
        } else {
            status
        }
    }
}

async fn recommend(
    engine: &Engine,
    request: &Request<'_>,
    user: Option<&Gathered>,
) -> Result<Recommendations, Error> {
    match user {
        Some(user) => engine.recommend_to(request, &user.state(request.user), user.lacking).await,
        None => engine.recommend(request).await,
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("engine", &self.engine)
            .field("posters", &self.posters)
            .finish_non_exhaustive()
    }
}

/// The API's description with the names that this site knows.
fn open_api(engine: &Engine) -> String {
    let list = |names: &mut dyn Iterator<Item = &str>| {
        let mut out = Vec::new();
        json::strings(&mut out, names);
        String::from_utf8_lossy(&out).into_owned()
    };
    let (genres, models) = (engine.catalog().genres(), engine.models());
    let names = || genres.iter().map(|genre| genres.name(genre));
    let (genres, or_none) = (list(&mut names()), list(&mut names().chain([NO_GENRE])));
    let models = list(&mut models.iter().map(|model| &*model.name));
    OPEN_API
        .replace("[\"@genres\"]", &genres)
        .replace("[\"@genres or none\"]", &or_none)
        .replace("[\"@models\"]", &models)
}

fn header_value(name: &str) -> HeaderValue {
    HeaderValue::from_bytes(name.as_bytes()).unwrap_or(HeaderValue::from_static("?"))
}

/// An id in the path of a page: a page that cannot be is one that there is not.
fn page_id(text: &str) -> Result<u32, Problem> {
    query::path_id(text).map_err(|_| Problem::not_found(format!("{} is not an id", quoted(text))))
}

/// The problem of a request that the engine refuses.
pub(crate) fn engine_problem(error: &Error, model: &Value<'_>) -> Problem {
    match error {
        Error::UnknownModel { name, known } => {
            let words: Vec<&str> = known.iter().map(|known| &**known).collect();
            model.unknown_word(name, &format!("one of {}", words.join(", ")), words)
        }
        other => {
            tracing::error!(error = %other, "the engine failed");
            Problem::new(Kind::Internal, "the engine has failed")
        }
    }
}

/// Answers a request. Also says whether the client may be sending a body, which nobody reads: the
/// connection must end then.
pub(crate) async fn answer(
    shared: &Shared,
    site: Option<&Site>,
    mut parts: Parts,
    body: &mut Incoming,
    lane: Lane,
) -> (Response<Body>, bool) {
    let mut framing = Framing::of(&parts);
    let grant = shared.options.cors.grant(parts.uri.path(), &parts.headers);
    let reply = match framing.settle(body, &shared.options).await {
        Ok(()) => reply(shared, site, &parts, framing, &grant, lane).await,
        Err(problem) => Err(problem),
    };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let reply = reply.and_then(|reply| reply.map_body(|body| shared.flight.admit(target, body)));
    let reply = match reply {
        Ok(reply) => reply,
        Err(problem) => {
            tracing::debug!(uri = %parts.uri, ?problem, "refused a request");
            site.and_then(|site| error_page(site, &parts, &problem)).unwrap_or(problem.into())
        }
    };
    let reply = grant.mark(reply);
    let reply = match Route::find(parts.uri.path()) {
        Some(route) if route.is_personal() => {
            reply.with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
        }
        _ => reply,
    };
    let headers = std::mem::take(&mut parts.headers);
    let close = framing.has_body || shared.is_stopping() || lane == Lane::Probes;
    (reply.into_response(headers, close), framing.has_body)
}

async fn reply(
    shared: &Shared,
    site: Option<&Site>,
    parts: &Parts,
    framing: Framing,
    grant: &Grant,
    lane: Lane,
) -> Result<Reply, Problem> {
    gate::check(parts, framing, &shared.options)?;
    let (path, query) = (parts.uri.path(), parts.uri.query());
    let route = Route::find(path);
    match lane {
        Lane::Public => {}
        Lane::Probes => {
            if !matches!(route, Some(Route::Healthz | Route::Readyz)) {
                return Err(Problem::new(Kind::Unavailable, "the server has too many connections"));
            }
        }
        Lane::Admin => {
            if !matches!(route, Some(Route::Healthz | Route::Readyz | Route::Models)) {
                return Err(nothing_at(path));
            }
        }
    }
    let audience = if lane == Lane::Admin { Audience::Operator } else { Audience::Public };
    if lane == Lane::Public && !matches!(route, Some(Route::Healthz | Route::Readyz)) {
        shared.options.hosts.check(parts)?;
    }
    let Some(route) = route else {
        let page = Route::page_before_slash(path).ok_or_else(|| nothing_at(path))?;
        gate::check_method(parts, framing)?;
        return redirect(page, query);
    };
    if let Some(reply) = grant.preflight(parts) {
        return Ok(reply);
    }
    gate::check_method(parts, framing)?;
    match route {
        // Probes add parameters to get around caches; they do no harm.
        Route::Healthz => Ok(Reply::json(&b"{\"status\":\"ok\"}"[..])),
        Route::Readyz => {
            if shared.is_draining() {
                return Err(Problem::new(Kind::Unavailable, "shutting down"));
            }
            site.ok_or_else(loading)?.ready(audience)
        }
        Route::Models => site.ok_or_else(loading)?.v1_models(query, audience),
        other => {
            let site = site.ok_or_else(loading)?;
            site.answer(other, query, &parts.headers, shared).await
        }
    }
}

/// Sends a browser to a page of this server.
fn redirect(page: &str, query: Option<&str>) -> Result<Reply, Problem> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("{page}{query}"))
        .map_err(|_| Problem::not_found("there is no such page"))?;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(Reply::new(StatusCode::PERMANENT_REDIRECT, plain, "").with(LOCATION, location))
}

fn loading() -> Problem {
    Problem::new(Kind::Unavailable, "the server is loading its data")
}

fn nothing_at(path: &str) -> Problem {
    let trimmed = path.trim_end_matches('/');
    let mut detail = format!("there is no endpoint at {}", quoted(path));
    if trimmed != path && Route::find(trimmed).is_some() {
        detail = format!("{detail}; the one without a slash at the end is meant");
    }
    Problem::not_found(detail)
}

/// For people who follow a link to nowhere: a page. Programs, and all of the API, get the document.
fn error_page(site: &Site, parts: &Parts, problem: &Problem) -> Option<Reply> {
    let path = parts.uri.path();
    let of_people = match Route::find(path) {
        None => path != "/v1" && !path.starts_with("/v1/"),
        Some(route) => matches!(route, Route::Page(_)),
    };
    if problem.kind() != Kind::NotFound {
        return None;
    }
    let is_html =
        |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), b"text/html").is_some();
    if !of_people || !parts.headers.get_all(ACCEPT).iter().any(is_html) {
        return None;
    }
    let page = site.pages.page("error.html", StatusCode::NOT_FOUND, &HeaderMap::new()).ok()?;
    Some(page.with(VARY, HeaderValue::from_static("accept")))
}
