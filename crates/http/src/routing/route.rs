//! From paths to endpoints and pages.

use crate::endpoints::endpoint::Endpoint;
use crate::endpoints::{ENDPOINTS, Id};
use crate::routing::pages::Page;

/// What is at a path, with the undecoded variable part of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route<'p> {
    /// The variable part is empty if the path has none.
    Endpoint(Id, &'static Endpoint, &'p str),
    /// A file of the web pages.
    Asset(&'p str),
    Page(Page<'p>),
}

impl<'p> Route<'p> {
    /// The route at a path. No path has two spellings: with a slash at its end it has no route;
    /// [`page_before_slash`] returns the page that is meant.
    pub(crate) fn find(path: &'p str) -> Option<Self> {
        let matching = |(id, endpoint): &(Id, &'static Endpoint)| {
            let variable = endpoint.path.matches(path)?;
            Some(Self::Endpoint(*id, endpoint, variable))
        };
        ENDPOINTS.iter().find_map(matching).or_else(|| Self::web(path))
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
    let page = trimmed != path && matches!(Route::find(trimmed), Some(Route::Page(_)));
    page.then_some(trimmed)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn page(path: &str) -> Option<Page<'_>> {
        match Route::find(path)? {
            Route::Page(page) => Some(page),
            _ => None,
        }
    }

    #[test]
    fn every_endpoint_is_found_at_its_path() {
        for (id, endpoint) in ENDPOINTS {
            let path = endpoint.path.template.replace("{id}", "7");
            let Some(Route::Endpoint(found, _, variable)) = Route::find(&path) else {
                panic!("{path} has no endpoint")
            };
            assert_eq!(found, *id, "{path}");
            assert_eq!(
                variable,
                if endpoint.path.template.contains("{id}") { "7" } else { "" },
                "{path}"
            );
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
        let similar = Route::find("/v1/movies/1/similar").unwrap();
        assert!(matches!(similar, Route::Endpoint(Id::SimilarMovies, _, "1")));
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
            assert!(Route::find(path).is_none(), "{path}");
        }
    }
}
