//! From paths to endpoints and pages.

use crate::endpoints::endpoint::{Endpoint, Variables};
use crate::endpoints::metrics::routes;
use crate::endpoints::{ENDPOINTS, Id};
use crate::response::reply::Methods;
use crate::routing::pages::Page;
use crate::state::admission::Class;

/// What is at a path, with the undecoded variable part of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route<'p> {
    Endpoint(Id, &'static Endpoint, Variables<'p>),
    /// A file of the web pages.
    Asset(&'p str),
    Page(Page<'p>),
}

impl<'p> Route<'p> {
    /// The route at a path: the endpoint that takes the method, or else the first at this path. No path has two spellings:
    /// with a slash at its end it has no route; [`page_before_slash`] returns the page that is meant.
    pub(crate) fn find(path: &'p str, method: &str) -> Option<Self> {
        let mut others = None;
        for (id, endpoint) in ENDPOINTS {
            let Some(variables) = endpoint.path.matches(path) else { continue };
            let route = Self::Endpoint(*id, endpoint, variables);
            if endpoint.methods.contains(method) {
                return Some(route);
            }
            others = others.or(Some(route));
        }
        others.or_else(|| Self::web(path))
    }

    /// The methods that the path takes.
    pub(crate) fn methods(&self) -> Methods {
        let Self::Endpoint(_, endpoint, _) = self else { return Methods::READ };
        let at_path = ENDPOINTS.iter().map(|(_, other)| *other);
        let at_path = at_path.filter(|other| other.path.template == endpoint.path.template);
        at_path.fold(Methods::NONE, |methods, other| methods.and(other.methods))
    }

    fn web(path: &'p str) -> Option<Self> {
        let (first, rest) = match path.strip_prefix('/')?.split_once('/') {
            None => (&path[1..], None),
            Some((_, rest)) if rest.is_empty() || rest.contains('/') => return None,
            Some((first, rest)) => (first, Some(rest)),
        };
        Some(Self::Page(match (first, rest) {
            ("assets", Some(file)) => return Some(Self::Asset(file)),
            ("", None) => Page::Home,
            ("movies", Some(id)) => Page::Movie(id),
            ("users", None) => Page::Users,
            ("users", Some(id)) => Page::User(id),
            ("genres", Some(name)) => Page::Genre(name),
            ("search", None) => Page::Search,
            ("api", None) => Page::Api,
            _ => return None,
        }))
    }

    /// The index of the route by which its requests are counted.
    pub(crate) fn index(&self) -> usize {
        routes::of_web(match self {
            Self::Endpoint(id, ..) => return routes::of_endpoint(*id),
            Self::Page(Page::Home) => 0,
            Self::Page(Page::Movie(_)) => 1,
            Self::Page(Page::Users) => 2,
            Self::Page(Page::User(_)) => 3,
            Self::Page(Page::Genre(_)) => 4,
            Self::Page(Page::Search) => 5,
            Self::Page(Page::Api) => 6,
            Self::Asset(_) => 7,
        })
    }

    /// The user in the path of an endpoint.
    pub(crate) fn user(&self) -> Option<u32> {
        match self {
            Self::Endpoint(_, endpoint, [id, _]) if endpoint.has_user_in_path() => id.parse().ok(),
            _ => None,
        }
    }

    /// The class of its requests.
    pub(crate) fn class(&self) -> Class {
        self.endpoint().map_or(Class::Cheap, Endpoint::class)
    }

    /// The endpoint, unless it is a page or one of their files.
    pub(crate) const fn endpoint(&self) -> Option<&'static Endpoint> {
        match self {
            Self::Endpoint(_, endpoint, _) => Some(endpoint),
            Self::Asset(_) | Self::Page(_) => None,
        }
    }
}

/// The path of the page that is meant by a path with slashes at its end.
pub(crate) fn page_before_slash(path: &str) -> Option<&str> {
    let trimmed = path.trim_end_matches('/');
    let page = trimmed != path && matches!(Route::find(trimmed, "GET"), Some(Route::Page(_)));
    page.then_some(trimmed)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn page(path: &str) -> Option<Page<'_>> {
        match Route::find(path, "GET")? {
            Route::Page(page) => Some(page),
            _ => None,
        }
    }

    #[test]
    fn every_endpoint_is_found_at_its_path() {
        for (id, endpoint) in ENDPOINTS {
            let template = endpoint.path.template;
            let path = template.replace("{id}", "7").replace("{movieId}", "8");
            for method in endpoint.methods.names() {
                let Some(route) = Route::find(&path, method) else {
                    panic!("{path} has no endpoint")
                };
                let Route::Endpoint(found, _, variables) = route else {
                    panic!("{path} is no endpoint")
                };
                assert_eq!(found, *id, "{method} {path}");
                assert!(route.methods().contains(method));
                let expected = |name, value| if template.contains(name) { value } else { "" };
                assert_eq!(
                    variables,
                    [expected("{id}", "7"), expected("{movieId}", "8")],
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn endpoints_of_one_path_differ_by_their_methods() {
        let find = |method| match Route::find("/v1/users/6", method).unwrap() {
            Route::Endpoint(id, ..) => id,
            other => panic!("{other:?}"),
        };
        assert_eq!(find("GET"), Id::User);
        assert_eq!(find("DELETE"), Id::ForgetUser);
        assert_eq!(find("PATCH"), Id::User);
        let methods = Route::find("/v1/users/6", "PATCH").unwrap().methods();
        assert_eq!(methods.text(), "GET, HEAD, DELETE");
    }

    #[test]
    fn rankings_and_writes_are_costly_and_health_is_exempt() {
        let class = |path, method| Route::find(path, method).unwrap().class();
        for (path, method) in [
            ("/v1/users/6/recommendations", "GET"),
            ("/v1/recommendations", "POST"),
            ("/v1/users/6/home", "GET"),
            ("/v1/movies/1/similar", "GET"),
            ("/getrecforyou", "GET"),
            ("/v1/users/6/ratings/50", "PUT"),
            ("/v1/events", "POST"),
        ] {
            assert_eq!(class(path, method), Class::Costly, "{path}");
        }
        for path in
            ["/v1/movies/1", "/v1/home", "/v1/users/6", "/getmovie", "/v1/models", "/", "/assets/x"]
        {
            assert_eq!(class(path, "GET"), Class::Cheap, "{path}");
        }
        for path in ["/healthz", "/readyz", "/metrics"] {
            assert_eq!(class(path, "GET"), Class::Exempt, "{path}");
        }
    }

    #[test]
    fn pages_are_counted_by_their_templates() {
        for (index, template) in routes::WEB.iter().enumerate() {
            let path = template.replace(['{', '}'], "");
            let route = Route::find(&path, "GET").unwrap();
            assert_eq!(route.index(), routes::of_web(index), "{template}");
        }
    }

    #[test]
    fn a_page_is_found_with_slashes_at_the_end() {
        for (path, page) in
            [("/users/", "/users"), ("/users/6/", "/users/6"), ("/search//", "/search")]
        {
            assert_eq!(page_before_slash(path), Some(page));
        }
        for path in
            ["/", "//", "//users/", "/users", "/v1/movies/", "/getmovie/", "/movies/", "///a/"]
        {
            assert_eq!(page_before_slash(path), None, "{path}");
        }
    }

    #[test]
    fn paths_have_one_spelling() {
        assert_eq!(page("/"), Some(Page::Home));
        assert_eq!(page("/users/6"), Some(Page::User("6")));
        let similar = Route::find("/v1/movies/1/similar", "GET").unwrap();
        assert!(matches!(similar, Route::Endpoint(Id::SimilarMovies, _, ["1", ""])));
        for path in [
            "",
            "*",
            "//",
            "/users/",
            "/v1",
            "/v1/",
            "/v1/movies/",
            "/v1/movies/1/",
            "/v1/movies/1/similar/",
            "/v1/movies/1/other",
            "/v1/movies//similar",
            "/getmovie/",
            "/GetMovie",
            "/movies",
            "/genres",
            "/posters/1.png",
            "/posters/a/1.jpg",
            "/assets/a/b.js",
            "/v1/genres/Drama",
            "/v1/movies/1/similar/x/y",
        ] {
            assert!(Route::find(path, "GET").is_none(), "{path}");
        }
    }
}
