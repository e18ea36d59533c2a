//! The endpoints under `/v1`.

use std::ops::Range;
use std::time::Duration;

use sparrow_engine::{
    Candidates, Engine, Item, ModelInfo, Reason, Recommendations, Request, SimilarRequest,
};
use sparrow_model::{Catalog, Genre, GenreSet, GenreTaste, MovieIndex, Rated, Sort, UserId};
use sparrow_rank::State;

use crate::json;
use crate::problem::Problem;
use crate::public::Audience;
use crate::query::{self, Value};
use crate::reply::Reply;
use crate::server::Shared;
use crate::site::{Site, engine_problem};
use crate::texts::{V1_UNKNOWN, write_rating_range};

/// Items on a page of a list where the request does not say.
const PAGE_SIZE: usize = 20;

/// Movies of a recommendation where the request does not say.
const RECOMMENDATIONS: usize = 32;

/// Characters of a search text.
const LONGEST_SEARCH: usize = 200;

/// What MovieLens calls the genre of movies without one: a name in requests for lists.
pub(crate) const NO_GENRE: &str = "(no genres listed)";

const SORTS: [(&str, Sort); 3] = [
    ("rating", Sort::Rating),
    ("releaseYear", Sort::ReleaseYear),
    ("popularity", Sort::Popularity),
];

pub(crate) const CANDIDATES: [(&str, Candidates); 2] =
    [("recalled", Candidates::Recalled), ("all", Candidates::All)];

/// The list of genres, by name.
pub(crate) fn genres(catalog: &Catalog) -> Vec<u8> {
    let mut out = b"{\"items\":".to_vec();
    json::list(&mut out, catalog.genres().iter(), |out, genre| {
        out.extend_from_slice(b"{\"genre\":");
        json::string(out, catalog.genres().name(genre));
        out.extend_from_slice(b",\"movies\":");
        json::integer(out, catalog.ordered(Sort::Rating, Some(genre)).len());
        out.push(b'}');
    });
    out.extend_from_slice(b",\"withoutGenre\":{\"genre\":");
    json::string(&mut out, NO_GENRE);
    out.extend_from_slice(b",\"movies\":");
    json::integer(&mut out, catalog.without_genre(Sort::Rating).len());
    out.extend_from_slice(b"}}");
    out
}

/// What models there are, how they are doing, and what else a page wants to know before it asks.
fn models(engine: &Engine, posters: bool, audience: Audience) -> Vec<u8> {
    let mut out = b"{\"default\":".to_vec();
    json::string(&mut out, engine.default_model());
    out.extend_from_slice(b",\"items\":");
    json::list(&mut out, engine.models(), |out, model| write_model_info(out, model, audience));
    out.extend_from_slice(b",\"similar\":");
    json::strings(&mut out, engine.similar_models());
    out.extend_from_slice(b",\"posters\":");
    json::boolean(&mut out, posters);
    out.push(b'}');
    out
}

fn write_model_info(out: &mut Vec<u8>, model: ModelInfo, audience: Audience) {
    let number = |out: &mut Vec<u8>, number: Option<u64>| match number {
        Some(number) => json::integer(out, number),
        None => out.extend_from_slice(b"null"),
    };
    let status = model.status;
    out.extend_from_slice(b"{\"name\":");
    json::string(out, &model.name);
    out.extend_from_slice(b",\"kind\":");
    json::string(out, model.kind);
    out.extend_from_slice(b",\"available\":");
    json::boolean(out, status.state == State::Ready);
    out.extend_from_slice(b",\"state\":");
    json::string(out, status.state.as_str());
    out.extend_from_slice(b",\"reason\":");
    let trouble = status.trouble.map(|trouble| audience.message(trouble));
    json::optional_string(out, trouble.as_deref());
    out.extend_from_slice(b",\"version\":");
    number(out, status.version);
    out.extend_from_slice(b",\"since\":");
    let since = status.since.map(|time| humantime::format_rfc3339_seconds(time).to_string());
    json::optional_string(out, since.as_deref());
    out.extend_from_slice(b",\"dimension\":");
    number(out, model.dimension.map(|dimension| dimension as u64));
    out.extend_from_slice(b",\"fallback\":");
    json::optional_string(out, model.fallback.as_deref());
    let counts = &model.counts;
    out.extend_from_slice(b",\"requests\":");
    let mut before = b'{';
    for (name, count) in [
        ("answered", counts.answered),
        ("stoodIn", counts.stood_in),
        ("declined", counts.declined),
        ("failed", counts.failed),
    ] {
        out.push(before);
        json::string(out, name);
        out.push(b':');
        json::integer(out, count);
        before = b',';
    }
    out.extend_from_slice(b"},\"latency\":");
    match &counts.latency {
        Some(latency) => {
            out.extend_from_slice(b"{\"p50Micros\":");
            json::integer(out, micros(latency.p50));
            out.extend_from_slice(b",\"p90Micros\":");
            json::integer(out, micros(latency.p90));
            out.extend_from_slice(b",\"p99Micros\":");
            json::integer(out, micros(latency.p99));
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Site {
    /// `/v1/models`.
    pub(crate) fn v1_models(
        &self,
        query: Option<&str>,
        audience: Audience,
    ) -> Result<Reply, Problem> {
        let [] = query::parse(query, [])?;
        Ok(Reply::json(models(&self.engine, self.has_posters(), audience)))
    }

    /// `/v1/movies`.
    pub(crate) fn v1_movies(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let [genre, sort, size, offset] = query::parse(query, ["genre", "sort", "size", "offset"])?;
        let order = self.ordered(&genre, sort.choice(&SORTS, Sort::Rating)?)?;
        let page = Page::read(&size, &offset, order.len())?;
        let mut out = page.start();
        self.v1.list(&mut out, order[page.items].iter().copied());
        out.push(b'}');
        Ok(Reply::json(out))
    }

    /// `/v1/movies/{id}`.
    pub(crate) fn v1_movie(&self, id: &str, query: Option<&str>) -> Result<Reply, Problem> {
        let id = query::path_id(id)?;
        let [] = query::parse(query, [])?;
        let movie = self.movie(id)?;
        let mut out = self.v1.get(movie).to_vec();
        // The rating list joins the movie's own fields.
        out.pop();
        out.extend_from_slice(b",\"topRatings\":");
        json::list(&mut out, self.catalog().top_ratings(movie), |out, top| {
            out.extend_from_slice(b"{\"userId\":");
            json::integer(out, top.user.0);
            out.extend_from_slice(b",\"score\":");
            json::float32(out, top.stars.value());
            out.extend_from_slice(b",\"timestamp\":");
            json::integer(out, top.timestamp);
            out.push(b'}');
        });
        out.push(b'}');
        Ok(Reply::json(out))
    }

    /// `/v1/movies/{id}/similar`.
    pub(crate) fn v1_similar(&self, id: &str, query: Option<&str>) -> Result<Reply, Problem> {
        let id = query::path_id(id)?;
        let [size, model] = query::parse(query, ["size", "model"])?;
        let size = size.size(RECOMMENDATIONS)?;
        let request = SimilarRequest { movie: self.movie(id)?, model: model.text(), size };
        let found =
            self.engine.similar(&request).map_err(|error| engine_problem(&error, &model))?;

        let movies = found.items.iter().map(|item| item.movie);
        let mut out = Vec::with_capacity(192 + self.v1.len_of(movies) + found.items.len() * 36);
        out.extend_from_slice(b"{\"movieId\":");
        json::integer(&mut out, id);
        let degraded = found.reason.is_some();
        write_model(&mut out, &found.model, degraded, &found.requested, found.reason);
        out.extend_from_slice(b",\"items\":");
        json::list(&mut out, &found.items, |out, item| {
            self.write_movie(out, item.movie);
            out.extend_from_slice(b",\"score\":");
            json::float32(out, item.score);
            out.push(b'}');
        });
        out.push(b'}');
        Ok(Reply::json(out).with_model(self.model_header(&found.model), degraded))
    }

    /// `/v1/users`.
    pub(crate) fn v1_users(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let [sort, size, offset] = query::parse(query, ["sort", "size", "offset"])?;
        let by_activity = sort.choice(&[("userId", false), ("ratingCount", true)], false)?;
        let page = Page::read(&size, &offset, self.users.len())?;
        let mut out = page.start();
        json::list(&mut out, page.items, |out, place| {
            let user = self.users.get(place, by_activity);
            out.extend_from_slice(b"{\"userId\":");
            json::integer(out, user.id.0);
            out.extend_from_slice(b",\"ratingCount\":");
            json::integer(out, user.ratings);
            out.extend_from_slice(b",\"averageRating\":");
            json::float(out, user.average);
            out.push(b'}');
        });
        out.push(b'}');
        Ok(Reply::json(out))
    }

    /// `/v1/users/{id}`: a page of the history, newest first.
    pub(crate) async fn v1_user(&self, id: &str, query: Option<&str>) -> Result<Reply, Problem> {
        let id = query::path_id(id)?;
        let [size, offset] = query::parse(query, ["size", "offset"])?;
        // Its parameters are checked before it is known whether there is such a user.
        Page::read(&size, &offset, 0)?;
        let user = self.user(id).await?;
        let (history, profile) = (user.history(), user.profile(self.catalog()));
        let page = Page::read(&size, &offset, history.len())?;

        let mut out = Vec::with_capacity(1024 + page.items.len() * 320);
        out.extend_from_slice(b"{\"userId\":");
        json::integer(&mut out, id);
        out.extend_from_slice(b",\"ratingCount\":");
        json::integer(&mut out, profile.rating_count);
        write_rating_range(&mut out, &profile, V1_UNKNOWN);
        out.extend_from_slice(b",\"favouriteGenres\":");
        let listed = user.listed_genres().iter();
        let listed = listed.map(|&genre| GenreTaste { genre, rated: 0, liked: 0 });
        json::list(&mut out, profile.favourite_genres.into_iter().chain(listed), |out, taste| {
            out.extend_from_slice(b"{\"genre\":");
            json::string(out, self.catalog().genres().name(taste.genre));
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
            self.write_movie(out, rated.movie);
            out.extend_from_slice(b",\"score\":");
            json::float32(out, rated.stars.value());
            out.extend_from_slice(b",\"timestamp\":");
            json::integer(out, rated.timestamp);
            out.push(b'}');
        });
        out.extend_from_slice(b"}}");
        Ok(Reply::json(out))
    }

    /// `/v1/users/{id}/recommendations`.
    pub(crate) async fn v1_recommendations(
        &self,
        id: &str,
        query: Option<&str>,
        shared: &Shared,
    ) -> Result<Reply, Problem> {
        let id = query::path_id(id)?;
        let [size, model, genres, exclude_seen, candidates, explain] = query::parse_repeatable(
            query,
            ["size", "model", "genres", "exclude_seen", "candidates", "explain"],
            "genres",
        )?;
        let request = Request {
            user: UserId(id),
            model: model.text(),
            size: size.size(RECOMMENDATIONS)?,
            genres: self.genre_set(&genres)?,
            exclude_seen: exclude_seen.flag(true)?,
            candidates: candidates.choice(&CANDIDATES, Candidates::Recalled)?,
            ..Request::new(UserId(id))
        };
        let explain = explain.flag(false)?;
        let found = self.recommend(&request, &model, shared).await?;

        let movies = found.items.iter().map(|item| item.movie);
        let each = if explain { 128 } else { 16 };
        let mut out = Vec::with_capacity(384 + self.v1.len_of(movies) + found.items.len() * each);
        out.extend_from_slice(b"{\"userId\":");
        json::integer(&mut out, id);
        write_model(&mut out, &found.model, found.degraded, &found.requested, found.reason);
        out.extend_from_slice(b",\"items\":");
        json::list(&mut out, &found.items, |out, item| {
            self.write_movie(out, item.movie);
            if explain {
                write_why(out, &found, item);
            }
            out.push(b'}');
        });
        if explain {
            write_stages(&mut out, &found);
        }
        out.push(b'}');
        Ok(Reply::json(out).with_model(self.model_header(&found.model), found.degraded))
    }

    /// `/v1/search`.
    pub(crate) fn v1_search(&self, query: Option<&str>) -> Result<Reply, Problem> {
        let [q, size, offset] = query::parse(query, ["q", "size", "offset"])?;
        let text = q.required()?;
        // The pattern in the API's description says the same.
        let is_blank = |letter: char| letter.is_whitespace() || letter.is_control();
        if text.chars().all(is_blank) || text.chars().count() > LONGEST_SEARCH {
            return Err(q.invalid(&format!("1 to {LONGEST_SEARCH} characters, not all blank")));
        }
        let (size, offset) = (size.size(PAGE_SIZE)?, offset.offset()?);
        let hits = self.catalog().search(text, offset, size);
        let mut out = b"{\"query\":".to_vec();
        json::string(&mut out, text);
        out.push(b',');
        Page::of(hits.total, offset, size).write_start(&mut out);
        self.v1.list(&mut out, hits.movies.iter().copied());
        out.push(b'}');
        Ok(Reply::json(out))
    }

    /// The movies, or those of a genre if one is given, in order.
    pub(crate) fn ordered(&self, genre: &Value<'_>, sort: Sort) -> Result<&[MovieIndex], Problem> {
        let catalog = self.catalog();
        Ok(match genre.text() {
            None => catalog.ordered(sort, None),
            Some(NO_GENRE) => catalog.without_genre(sort),
            Some(name) => catalog.ordered(sort, Some(self.genre_named(name, genre)?)),
        })
    }

    /// Genres by name: given one by one, or divided by commas; none where none are given.
    pub(crate) fn genre_set(&self, value: &Value<'_>) -> Result<GenreSet, Problem> {
        let mut set = GenreSet::EMPTY;
        for text in value.texts() {
            // A name may contain a comma.
            if let Some(genre) = self.catalog().genres().find(text) {
                set.insert(genre);
                continue;
            }
            for name in text.split(',') {
                set.insert(self.genre_named(name, value)?);
            }
        }
        Ok(set)
    }

    fn genre_named(&self, name: &str, value: &Value<'_>) -> Result<Genre, Problem> {
        let genres = self.catalog().genres();
        genres.find(name).ok_or_else(|| {
            let names = genres.iter().map(|genre| genres.name(genre));
            value.unknown_word(name, "a genre of the data set", names)
        })
    }

    /// Writes the beginning of an item: its movie.
    fn write_movie(&self, out: &mut Vec<u8>, movie: MovieIndex) {
        out.extend_from_slice(b"{\"movie\":");
        out.extend_from_slice(self.v1.get(movie));
    }
}

/// Writes the score of an item, and which model and strategies it comes from.
fn write_why(out: &mut Vec<u8>, found: &Recommendations, item: &Item) {
    out.extend_from_slice(b",\"score\":");
    match item.score {
        Some(score) => json::float32(out, score),
        None => out.extend_from_slice(b"null"),
    }
    if let Some(model) = found.ordered_by(item) {
        out.extend_from_slice(b",\"orderedBy\":");
        json::string(out, model);
    }
    out.extend_from_slice(b",\"recalledBy\":");
    json::strings(out, found.recalled_by(item));
}

/// Writes which model answered, and if need be why not the one that was asked for.
fn write_model(
    out: &mut Vec<u8>,
    model: &str,
    degraded: bool,
    requested: &str,
    reason: Option<Reason>,
) {
    out.extend_from_slice(b",\"model\":");
    json::string(out, model);
    out.extend_from_slice(b",\"degraded\":");
    json::boolean(out, degraded);
    if degraded {
        out.extend_from_slice(b",\"requestedModel\":");
        json::string(out, requested);
    }
    if let Some(reason) = reason {
        out.extend_from_slice(b",\"reason\":");
        json::string(out, reason.as_str());
    }
}

/// Writes how long the stages took, and how many candidates they handled.
fn write_stages(out: &mut Vec<u8>, found: &Recommendations) {
    out.extend_from_slice(b",\"timings\":{\"recallMicros\":");
    json::integer(out, micros(found.timings.recall));
    out.extend_from_slice(b",\"rankMicros\":");
    json::integer(out, micros(found.timings.rank));
    out.extend_from_slice(b",\"totalMicros\":");
    json::integer(out, micros(found.timings.total));
    out.extend_from_slice(b"},\"candidates\":");
    json::integer(out, found.candidates);
}

/// Part of a list.
struct Page {
    total: usize,
    offset: usize,
    size: usize,
    /// The places that are on the page.
    items: Range<usize>,
}

impl Page {
    fn read(size: &Value<'_>, offset: &Value<'_>, total: usize) -> Result<Self, Problem> {
        Ok(Self::of(total, offset.offset()?, size.size(PAGE_SIZE)?))
    }

    fn of(total: usize, offset: usize, size: usize) -> Self {
        let start = offset.min(total);
        Self { total, offset, size, items: start..total.min(start + size) }
    }

    /// The beginning of the page's JSON, up to its items.
    fn start(&self) -> Vec<u8> {
        let mut out = b"{".to_vec();
        self.write_start(&mut out);
        out
    }

    /// The same without the brace.
    fn write_start(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"total\":");
        json::integer(out, self.total);
        out.extend_from_slice(b",\"offset\":");
        json::integer(out, self.offset);
        out.extend_from_slice(b",\"size\":");
        json::integer(out, self.size);
        out.extend_from_slice(b",\"items\":");
    }
}
