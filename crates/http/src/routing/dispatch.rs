//! From a request to its answer: checks, the endpoint, the headers of the answer.

use std::net::IpAddr;
use std::time::Instant;

use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, HeaderMap, HeaderValue, LOCATION,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use tracing::{Instrument as _, Span, field};

use crate::auth::access::{Access, Need};
use crate::endpoints;
use crate::endpoints::endpoint::{Call, Endpoint, Exposure, UserIn};
use crate::endpoints::metrics::routes;
use crate::parameters::definition::{Parameter, USER_ID};
use crate::parameters::query::{Unknown, parse};
use crate::policy::cors::{Grant, Origins};
use crate::policy::rates::Standing;
use crate::policy::{operators, writes};
use crate::response::audience::Audience;
use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::{Body, Methods, Reply};
use crate::routing::framing::{self, Framing};
use crate::routing::pages;
use crate::routing::route::{Route, page_before_slash};
use crate::state::access_log::Access as LoggedAccess;
use crate::state::admission::Class;
use crate::state::metrics::ServerMetrics;
use crate::state::request_id::{self, REQUEST_ID};
use crate::state::shared::Shared;
use crate::state::snapshot::Snapshot;
use crate::state::traces::Traced;

/// Which requests a connection accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// All that are for the public.
    Public,
    /// One request for health or readiness: the server has too many connections.
    Probes,
    /// Health, and what operators need, with details that are not public.
    Admin { on_loopback: bool },
}

/// Answers a request. Also returns whether the client may be sending a body that was not read: the connection must then
/// be closed.
pub(crate) async fn answer(
    shared: &Shared,
    snapshot: Option<&Snapshot>,
    mut parts: Parts,
    body: &mut Incoming,
    lane: Lane,
    peer: Option<IpAddr>,
) -> (Response<Body>, bool) {
    let start = Instant::now();
    let request_id = request_id::of(&parts.headers, &shared.request_ids);
    let active = shared.metrics.as_ref().map(ServerMetrics::begin);
    let mut framing = Framing::of(&parts);
    let is_outside = enter_base_path(shared, &mut parts, lane);
    let path = parts.uri.path();
    let method = method_asked_for(&parts);
    let route = Route::find(path, method).filter(|_| !is_outside);
    let index = route.map_or_else(routes::none, |route| route.index());
    let traced = shared.tracer().and_then(|tracer| tracer.trace(&parts.headers));
    let span = traced.map_or_else(Span::none, |traced| span(traced, &parts, index, &request_id));
    let endpoint = route.and_then(|route| route.endpoint());
    let origins = match endpoint {
        Some(endpoint) => endpoint.origins,
        // Problems at other paths there, too.
        None if path.starts_with("/v1/") => Origins::Listed,
        None => Origins::Own,
    };
    let grant = shared.options.cors.grant(origins, &parts.headers);
    let takes_body = endpoint.is_some_and(|endpoint| {
        endpoint.body.is_some() && endpoint.methods.contains(parts.method.as_str())
    });
    let empty =
        if takes_body { Ok(()) } else { framing.read_empty_chunks(body, &shared.options).await };
    // On a server without credentials, this is one load.
    let auth = shared.auth.get();
    let access = auth.as_ref().map(|auth| Access::of(auth, &parts)).transpose();
    let client = shared.options.proxies.client(peer, &parts.headers);
    let request = Request { route, is_outside, framing, lane, takes_body };
    let known = access.as_ref().ok().and_then(Option::as_ref);
    let standing = is_rated(route, lane).then(|| shared.rates.count(client, known)).flatten();
    let checked = standing
        .as_ref()
        .map_or(Ok(()), Standing::check)
        .and(empty)
        .and_then(|()| check(shared, &parts, request, &grant, access));
    let reply = match checked {
        Ok(Checked::Answered(reply)) => Ok(reply),
        Ok(Checked::Call(route, access)) => {
            let body = if takes_body {
                // Boxed: few requests have a body, and all have a future of this size.
                Box::pin(framing.read_body(&parts, body, &shared.options)).await
            } else {
                Ok(Vec::new())
            };
            match body {
                Ok(body) => match shared.admission.admit(class(route, lane)).await {
                    Ok(_at_work) => {
                        let access = access.as_ref();
                        let call = reply(shared, snapshot, &parts, route, &body, lane, access);
                        call.instrument(span.clone()).await
                    }
                    Err(problem) => Err(problem),
                },
                Err(problem) => Err(problem),
            }
        }
        Err(problem) => Err(problem),
    };
    let reply = reply.and_then(|reply| prepare(shared, &parts, reply));
    let reply = match reply {
        Ok(reply) => reply,
        Err(problem) => {
            let id = request_id.to_str().unwrap_or_default();
            tracing::debug!(uri = %parts.uri, request_id = id, ?problem, "refused a request");
            let page = snapshot.and_then(|_| error_page(shared, &parts, route, &problem));
            page.unwrap_or_else(|| {
                Reply::problem(&problem, Some(id), traced.map(Traced::id).as_deref())
            })
        }
    };
    let mut reply = grant.add_headers(reply);
    if let Some(standing) = standing {
        reply = standing.add_headers(reply);
    }
    if let Some(endpoint) = endpoint {
        reply = with_caching(shared, endpoint, auth.is_some(), reply);
    }
    if let Some(log) = shared.access_log() {
        log.log(&LoggedAccess {
            address: client,
            request_id: request_id.to_str().unwrap_or_default(),
            trace: traced,
            method: parts.method.as_str(),
            route: routes::name(index),
            status: reply.status().as_u16(),
            took: start.elapsed(),
            model: reply.model().map(|(model, _)| model),
            degraded: reply.model().map(|(_, degraded)| degraded),
            reason: reply.reason(),
            user: route.and_then(|route| route.user()),
        });
    }
    record(&span, &reply);
    let headers = std::mem::take(&mut parts.headers);
    let close = framing.has_body || shared.is_stopping() || lane == Lane::Probes;
    let response = reply.with(REQUEST_ID, request_id).into_response(headers, close);
    if let Some(active) = active {
        active.answered(index, &parts.method, response.status());
    }
    (response, framing.has_body)
}

/// The method of a request. A preflight request asks for the endpoint of another method.
fn method_asked_for(parts: &Parts) -> &str {
    let asked = (parts.method == Method::OPTIONS)
        .then(|| parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?.to_str().ok());
    asked.flatten().unwrap_or(parts.method.as_str())
}

/// Compresses an answer, and counts its bytes until they are sent.
fn prepare(shared: &Shared, parts: &Parts, reply: Reply) -> Result<Reply, Problem> {
    let compresses = shared.options.compression;
    let reply = if compresses { reply.compressed(&parts.headers) } else { reply };
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    reply.map_body(|body| shared.in_flight.admit(target, body))
}

/// Removes the base path from the path of a request. Returns whether the path does not have it: then nothing is there, except
/// health and readiness, since load balancers address the server itself.
fn enter_base_path(shared: &Shared, parts: &mut Parts, lane: Lane) -> bool {
    let base = &shared.options.base_path;
    if base.as_str().is_empty() || matches!(lane, Lane::Admin { .. }) {
        return false;
    }
    if let Some(uri) = base.strip(&parts.uri) {
        parts.uri = uri;
        return false;
    }
    let route = Route::find(parts.uri.path(), parts.method.as_str());
    let endpoint = route.and_then(|route| route.endpoint());
    endpoint.is_none_or(|endpoint| endpoint.exposure != Exposure::Probe)
}

/// Adds the rules for caches.
fn with_caching(shared: &Shared, endpoint: &Endpoint, has_auth: bool, reply: Reply) -> Reply {
    if endpoint.is_personal {
        reply.with(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    } else if has_auth && !endpoint.is_open {
        // Not for caches that do not know who asked.
        reply.set(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))
    } else if endpoint.is_of_catalog()
        && reply.status() == StatusCode::OK
        && !reply.has(&CACHE_CONTROL)
        && let Some(control) = &shared.catalog_caching
    {
        reply.with(CACHE_CONTROL, control.clone())
    } else {
        reply
    }
}

/// The span of a request, which continues the trace of its caller.
fn span(traced: Traced, parts: &Parts, route: usize, request_id: &HeaderValue) -> Span {
    let (method, route) = (parts.method.as_str(), routes::name(route));
    tracing::debug_span!(
        "request",
        trace_id = traced.trace,
        parent_id = traced.parent,
        otel.name = format!("{method} {route}").trim_end(),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        request_id = request_id.to_str().unwrap_or_default(),
        model = field::Empty,
        degraded = field::Empty,
        reason = field::Empty,
    )
}

/// Records the answer in the span of its request.
fn record(span: &Span, reply: &Reply) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", reply.status().as_u16());
    if reply.status().is_server_error() {
        span.record("otel.status_code", "error");
    }
    if let Some((model, degraded)) = reply.model() {
        span.record("model", model).record("degraded", degraded);
    }
    if let Some(reason) = reply.reason() {
        span.record("reason", reason);
    }
}

/// Whether requests for a route count for the limits on rates. The files of the web pages are exempt: one page has many.
fn is_rated(route: Option<Route<'_>>, lane: Lane) -> bool {
    lane == Lane::Public
        && match route {
            Some(Route::Endpoint(_, endpoint, _)) => endpoint.exposure != Exposure::Probe,
            Some(Route::Page(_) | Route::Asset(_)) => false,
            None => true,
        }
}

/// The class of a request. Nothing may block operators.
fn class(route: Route<'_>, lane: Lane) -> Class {
    if let Lane::Admin { .. } = lane { Class::Exempt } else { route.class() }
}

/// A request after all checks of its head.
enum Checked<'p> {
    /// The answer needs nothing else.
    Answered(Reply),
    Call(Route<'p>, Option<Access>),
}

/// What is known of a request.
#[derive(Clone, Copy)]
struct Request<'p> {
    route: Option<Route<'p>>,
    /// Whether its path is not below the base path.
    is_outside: bool,
    framing: Framing,
    lane: Lane,
    takes_body: bool,
}

fn check<'p>(
    shared: &Shared,
    parts: &Parts,
    Request { route, is_outside, framing, lane, takes_body }: Request<'p>,
    grant: &Grant,
    access: Result<Option<Access>, Problem>,
) -> Result<Checked<'p>, Problem> {
    framing::check(parts, framing, &shared.options)?;
    let (path, query) = (parts.uri.path(), parts.uri.query());
    let exposure = route.and_then(|route| route.endpoint()).map(|endpoint| endpoint.exposure);
    match lane {
        Lane::Public | Lane::Probes if exposure == Some(Exposure::Probe) => {}
        Lane::Public if exposure.is_some_and(|exposure| !exposure.is_public()) => {
            return Err(no_endpoint(path));
        }
        Lane::Public => shared.options.hosts.check(parts)?,
        Lane::Probes => {
            shared.count_refusal(0);
            return Err(Problem::new(Kind::Unavailable, "the server has too many connections"));
        }
        Lane::Admin { .. } => match exposure {
            Some(Exposure::Probe) => {}
            // The files of the page for operators, which contain no data.
            None if matches!(route, Some(Route::Asset(_))) => {}
            Some(exposure) if exposure.is_admin() => {}
            _ => return Err(no_endpoint(path)),
        },
    }
    let Some(route) = route else {
        let page = page_before_slash(path).filter(|_| !is_outside);
        let page = page.ok_or_else(|| no_endpoint(path))?;
        framing::check_method(parts, framing, Methods::READ, false)?;
        let base = shared.options.base_path.as_str();
        return redirect(base, page, query).map(Checked::Answered);
    };
    let endpoint = route.endpoint();
    // The usual case needs not to collect the methods of the path.
    let own = endpoint.map_or(Methods::READ, |endpoint| endpoint.methods);
    if !own.contains(parts.method.as_str()) {
        if let Some(reply) = grant.preflight(parts, own) {
            return Ok(Checked::Answered(reply));
        }
        return Err(route.methods().refuse(parts.method.as_str()));
    }
    framing::check_method(parts, framing, own, takes_body)?;
    let access = authorize(parts, route, lane, access)?;
    if takes_body && matches!(lane, Lane::Admin { .. }) {
        writes::check_origin(parts, access.as_ref().is_some_and(|access| access.is_cookie))?;
    }
    if endpoint.is_some_and(|endpoint| endpoint.writes) {
        let options = &shared.options;
        writes::check(parts, options.accepts_writes, &options.cors, access.as_ref())?;
    }
    if endpoint.is_some_and(Endpoint::is_of_own_pages) {
        writes::check_origin(parts, false)?;
    }
    Ok(Checked::Call(route, access))
}

/// Refuses callers that may not use a route. The documents of pages contain no data and need no credentials.
fn authorize(
    parts: &Parts,
    route: Route<'_>,
    lane: Lane,
    access: Result<Option<Access>, Problem>,
) -> Result<Option<Access>, Problem> {
    let Route::Endpoint(_, endpoint, _) = route else { return Ok(access.unwrap_or(None)) };
    if endpoint.exposure == Exposure::Probe {
        // Credentials that are not valid count as none.
        return Ok(access.unwrap_or(None));
    }
    let access = access?;
    if let Lane::Admin { on_loopback } = lane {
        if endpoint.exposure == Exposure::Metrics && !on_loopback {
            return Ok(access);
        }
        operators::check(parts, on_loopback, access.as_ref())?;
        return Ok(access);
    }
    if let Some(access) = &access
        && !endpoint.is_open
    {
        access.check(endpoint.needs, subject(parts, route, endpoint, access)?)?;
    }
    Ok(access)
}

/// The user whose data a request is about, if its caller may use those of one user alone; `None` for all users.
fn subject(
    parts: &Parts,
    route: Route<'_>,
    endpoint: &Endpoint,
    access: &Access,
) -> Result<Option<u32>, Problem> {
    static ID: [Parameter; 1] = [USER_ID];
    let only = access.only_user();
    match endpoint.user_in {
        _ if only.is_none() || endpoint.needs == Need::ReadsCatalog => Ok(None),
        UserIn::Path => Ok(route.user()),
        // As the handler reads it.
        UserIn::Query => {
            let [id] = parse(parts.uri.query(), &ID, Unknown::Ignore)?;
            id.id().map(Some)
        }
        // The handler checks the users in the body.
        UserIn::Body => Ok(only),
    }
}

async fn reply(
    shared: &Shared,
    snapshot: Option<&Snapshot>,
    parts: &Parts,
    route: Route<'_>,
    body: &[u8],
    lane: Lane,
    access: Option<&Access>,
) -> Result<Reply, Problem> {
    let audience = match lane {
        Lane::Admin { on_loopback } if operators::is_operator(parts, on_loopback, access) => {
            Audience::Operator
        }
        _ => Audience::Public,
    };
    let variables = if let Route::Endpoint(_, _, variables) = route { variables } else { [""; 2] };
    let (query, headers) = (parts.uri.query(), &parts.headers);
    let call = Call { shared, snapshot, variables, query, headers, body, audience, access };
    match route {
        Route::Endpoint(id, ..) => endpoints::answer(id, &call).await,
        Route::Asset(name) => shared.web.asset(name, call.headers),
        Route::Page(page) => pages::show(page, &call).await,
    }
}

/// Redirects a browser to a page of this server.
fn redirect(base: &str, page: &str, query: Option<&str>) -> Result<Reply, Problem> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("{base}{page}{query}"))
        .map_err(|_| Problem::not_found("there is no such page"))?;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(Reply::new(StatusCode::PERMANENT_REDIRECT, plain, "").with(LOCATION, location))
}

fn no_endpoint(path: &str) -> Problem {
    let trimmed = path.trim_end_matches('/');
    let mut detail = format!("there is no endpoint at {}", quoted(path));
    if trimmed != path && Route::find(trimmed, "GET").is_some() {
        detail = format!("{detail}; the one without a slash at the end is meant");
    }
    Problem::not_found(detail)
}

/// The page for browsers that follow a broken link. Other clients, and all requests to the API, get the problem
/// document.
fn error_page(
    shared: &Shared,
    parts: &Parts,
    route: Option<Route<'_>>,
    problem: &Problem,
) -> Option<Reply> {
    let path = parts.uri.path();
    let is_page = match route {
        None => path != "/v1" && !path.starts_with("/v1/"),
        Some(route) => matches!(route, Route::Page(_)),
    };
    if !is_page || problem.kind() != Kind::NotFound {
        return None;
    }
    let is_html =
        |value: &HeaderValue| memchr::memmem::find(value.as_bytes(), b"text/html").is_some();
    if !parts.headers.get_all(ACCEPT).iter().any(is_html) {
        return None;
    }
    let page = shared.web.page("error.html", StatusCode::NOT_FOUND, &HeaderMap::new()).ok()?;
    Some(page.varying_by("accept"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::time::Duration;

    use sparrow_test_support::tokens::{AUDIENCE, ISSUER, Issuer, key_set};

    use super::*;
    use crate::auth::token_keys::TokenKeys;
    use crate::auth::tokens::Tokens;
    use crate::auth::{AnonymousReads, Auth};
    use crate::endpoints::ENDPOINTS;

    const OWN: u32 = 6;
    const OTHER: u32 = 7;

    /// The endpoints with which a caller may read or change the data of a user, in the order of their names.
    fn permitted(access: &Access, user: u32) -> Vec<&'static str> {
        let guarded = ENDPOINTS.iter().map(|(_, endpoint)| *endpoint);
        let guarded = guarded.filter(|endpoint| endpoint.exposure.is_public() && !endpoint.is_open);
        let permits = |endpoint: &&Endpoint| {
            let path = endpoint.path.template.replace("{id}", &user.to_string());
            let path = path.replace("{movieId}", "1");
            let method = endpoint.methods.names().next().unwrap();
            let request = hyper::Request::builder().method(method).uri(format!("{path}?id={user}"));
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let route = Route::find(&path, method).unwrap();
            assert_eq!(route.endpoint().unwrap().operation_id, endpoint.operation_id);
            let outcome = authorize(&parts, route, Lane::Public, Ok(Some(access.clone())));
            let refused = outcome.as_ref().err().map(Problem::kind);
            assert!(matches!(refused, None | Some(Kind::Forbidden)), "{refused:?} {path}");
            refused.is_none()
        };
        sorted(guarded.filter(permits).map(|found| found.operation_id))
    }

    fn sorted(names: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        names
    }

    fn with_token(anonymous_reads: AnonymousReads) -> Access {
        let issuer = Issuer::new("one");
        let tokens = Tokens {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            user_claim: "sub".to_owned(),
            leeway: Duration::ZERO,
            keys: TokenKeys::parse(&key_set(&[issuer.jwk()])).unwrap(),
        };
        let auth = Auth { tokens: Some(tokens), anonymous_reads, ..Auth::default() };
        Access::identify(&auth, &issuer.token_of(OWN, 60)).unwrap()
    }

    /// About movies, or about a user without an id.
    const ABOUT_NO_USER: [&str; 14] = [
        "getHome",
        "getMovie",
        "getMovieFeatures",
        "getPoster",
        "listGenres",
        "listModels",
        "listMovies",
        "listSimilarMovies",
        "originalGenre",
        "originalMovie",
        "originalSimilarMovies",
        "recommendToNewUser",
        "searchMovies",
        // The handler checks the users in the body.
        "recordEvents",
    ];

    const READS: [&str; 7] = [
        "getUser",
        "getUserFeatures",
        "getUserHome",
        "listEvents",
        "originalRecommendations",
        "originalUser",
        "recommend",
    ];

    const CHANGES: [&str; 4] = ["forgetUser", "rateMovie", "rateMovies", "removeRating"];

    /// A new endpoint is in one of the lists, or tokens do not permit it.
    #[test]
    fn tokens_permit_movies_and_their_own_user_alone() {
        let access = with_token(AnonymousReads::Nothing);
        assert_eq!(permitted(&access, OTHER), sorted(ABOUT_NO_USER));
        let own = ABOUT_NO_USER.into_iter().chain(READS).chain(CHANGES);
        assert_eq!(permitted(&access, OWN), sorted(own));
        for (_, endpoint) in ENDPOINTS {
            let is_listed = [&ABOUT_NO_USER[..], &READS, &CHANGES].concat();
            let is_listed = is_listed.contains(&endpoint.operation_id);
            let is_guarded = endpoint.exposure.is_public() && !endpoint.is_open;
            assert_eq!(is_guarded && endpoint.accepts_tokens(), is_listed, "{endpoint:?}");
        }
    }

    #[test]
    fn tokens_permit_reads_that_everybody_may_and_no_such_changes() {
        let access = with_token(AnonymousReads::All);
        let all = ABOUT_NO_USER.into_iter().chain(READS).chain(["listUsers"]);
        assert_eq!(permitted(&access, OTHER), sorted(all));
    }
}
