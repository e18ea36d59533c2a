//! From paths to endpoints.

/// An endpoint, with the undecoded variable part of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'p> {
    GetMovie,
    GetUser,
    GetSimilarMovie,
    GetRecommendation,
    GetRecForYou,
    Movies,
    Movie(&'p str),
    Similar(&'p str),
    MovieFeatures(&'p str),
    Genres,
    Users,
    User(&'p str),
    Recommendations(&'p str),
    UserFeatures(&'p str),
    Search,
    Models,
    OpenApi,
    Healthz,
    Readyz,
    Poster(&'p str),
    Asset(&'p str),
    Page(Page<'p>),
}

/// A web page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page<'p> {
    Home,
    Movie(&'p str),
    User(&'p str),
    Users,
    Genre(&'p str),
    Search,
    /// The API's description, as text.
    Api,
}

impl<'p> Route<'p> {
    /// The endpoint at a path. No path has two spellings: with a slash behind it there is none, and
    /// [`Self::page_before_slash`] says where a page is.
    pub(crate) fn find(path: &'p str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let first = parts.next()?;
        let rest = [parts.next(), parts.next(), parts.next()];
        if parts.next().is_some() {
            return None;
        }
        Some(match (first, rest) {
            ("getrecforyou", [None, ..]) => Self::GetRecForYou,
            ("getmovie", [None, ..]) => Self::GetMovie,
            ("getuser", [None, ..]) => Self::GetUser,
            ("getsimilarmovie", [None, ..]) => Self::GetSimilarMovie,
            ("getrecommendation", [None, ..]) => Self::GetRecommendation,
            ("v1", [Some(name), variable, last]) => Self::v1(name, variable, last)?,
            ("openapi.json", [None, ..]) => Self::OpenApi,
            ("healthz", [None, ..]) => Self::Healthz,
            ("readyz", [None, ..]) => Self::Readyz,
            ("posters", [Some(file), None, _]) => Self::Poster(file.strip_suffix(".jpg")?),
            ("assets", [Some(file), None, _]) => Self::Asset(file),
            ("", [None, ..]) => Self::Page(Page::Home),
            ("movies", [Some(id), None, _]) => Self::Page(Page::Movie(filled(id)?)),
            ("users", [None, ..]) => Self::Page(Page::Users),
            ("users", [Some(id), None, _]) => Self::Page(Page::User(filled(id)?)),
            ("genres", [Some(name), None, _]) => Self::Page(Page::Genre(filled(name)?)),
            ("search", [None, ..]) => Self::Page(Page::Search),
            ("api", [None, ..]) => Self::Page(Page::Api),
            _ => return None,
        })
    }

    /// Whether the answer is about a user: caches must not keep it.
    pub(crate) const fn is_personal(self) -> bool {
        matches!(
            self,
            Self::GetUser
                | Self::GetRecForYou
                | Self::Users
                | Self::User(_)
                | Self::Recommendations(_)
                | Self::UserFeatures(_)
        )
    }

    /// The path of the page that is meant by one with slashes at its end, as people type it.
    pub(crate) fn page_before_slash(path: &str) -> Option<&str> {
        let trimmed = path.trim_end_matches('/');
        let page = trimmed != path && matches!(Route::find(trimmed), Some(Route::Page(_)));
        page.then_some(trimmed)
    }

    fn v1(name: &str, variable: Option<&'p str>, last: Option<&str>) -> Option<Self> {
        Some(match (name, variable, last) {
            ("movies", None, _) => Self::Movies,
            ("movies", Some(id), None) => Self::Movie(filled(id)?),
            ("movies", Some(id), Some("similar")) => Self::Similar(filled(id)?),
            ("movies", Some(id), Some("features")) => Self::MovieFeatures(filled(id)?),
            ("genres", None, _) => Self::Genres,
            ("users", None, _) => Self::Users,
            ("users", Some(id), None) => Self::User(filled(id)?),
            ("users", Some(id), Some("recommendations")) => Self::Recommendations(filled(id)?),
            ("users", Some(id), Some("features")) => Self::UserFeatures(filled(id)?),
            ("search", None, _) => Self::Search,
            ("models", None, _) => Self::Models,
            _ => return None,
        })
    }
}

fn filled(part: &str) -> Option<&str> {
    (!part.is_empty()).then_some(part)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The path of an endpoint in the API description; pages and their files are not described.
    fn template(route: Route<'_>) -> Option<&'static str> {
        Some(match route {
            Route::GetMovie => "/getmovie",
            Route::GetUser => "/getuser",
            Route::GetSimilarMovie => "/getsimilarmovie",
            Route::GetRecommendation => "/getrecommendation",
            Route::GetRecForYou => "/getrecforyou",
            Route::Movies => "/v1/movies",
            Route::Movie(_) => "/v1/movies/{id}",
            Route::Similar(_) => "/v1/movies/{id}/similar",
            Route::MovieFeatures(_) => "/v1/movies/{id}/features",
            Route::Genres => "/v1/genres",
            Route::Users => "/v1/users",
            Route::User(_) => "/v1/users/{id}",
            Route::UserFeatures(_) => "/v1/users/{id}/features",
            Route::Recommendations(_) => "/v1/users/{id}/recommendations",
            Route::Search => "/v1/search",
            Route::Models => "/v1/models",
            Route::OpenApi => "/openapi.json",
            Route::Healthz => "/healthz",
            Route::Readyz => "/readyz",
            Route::Poster(_) => "/posters/{id}.jpg",
            Route::Asset(_) | Route::Page(_) => return None,
        })
    }

    #[test]
    fn the_routes_are_those_of_the_api_description() {
        let document = include_str!("../openapi.json");
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        let described: BTreeSet<&str> =
            document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let routed: BTreeSet<&str> = described
            .iter()
            .filter_map(|path| template(Route::find(&path.replace("{id}", "7")).unwrap()))
            .collect();
        assert_eq!(routed, described);
        // As many as `template` has.
        assert_eq!(described.len(), 20);
    }

    #[test]
    fn pages_are_known_with_a_slash_at_the_end() {
        for (path, page) in
            [("/users/", "/users"), ("/users/6/", "/users/6"), ("/search//", "/search")]
        {
            assert_eq!(Route::page_before_slash(path), Some(page));
        }
        for path in
            ["/", "//", "//users/", "/users", "/v1/movies/", "/getmovie/", "/movies/", "///a/"]
        {
            assert_eq!(Route::page_before_slash(path), None, "{path}");
        }
    }

    #[test]
    fn paths_have_one_spelling() {
        assert_eq!(Route::find("/"), Some(Route::Page(Page::Home)));
        assert_eq!(Route::find("/users/6"), Some(Route::Page(Page::User("6"))));
        assert_eq!(Route::find("/posters/1.jpg"), Some(Route::Poster("1")));
        assert_eq!(Route::find("/v1/movies/1/similar"), Some(Route::Similar("1")));
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
            assert_eq!(Route::find(path), None, "{path}");
        }
    }
}
