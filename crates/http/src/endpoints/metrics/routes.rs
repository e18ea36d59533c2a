//! The routes by which requests are counted: the templates of paths.

use std::sync::LazyLock;

use crate::endpoints::{ENDPOINTS, Id};

/// The pages, and their files.
pub(crate) const WEB: [&str; 8] = [
    "/",
    "/movies/{id}",
    "/users",
    "/users/{id}",
    "/genres/{name}",
    "/search",
    "/api",
    "/assets/{file}",
];

/// For each endpoint, the index of the first one with its path.
static FIRST: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let templates = || ENDPOINTS.iter().map(|(_, endpoint)| endpoint.path.template);
    let first = |template| templates().position(|other| other == template).unwrap_or_default();
    templates().map(first).collect()
});

/// The index of the route of an endpoint.
pub(crate) fn of_endpoint(id: Id) -> usize {
    // The endpoints are registered in the order of their ids.
    FIRST[id as usize]
}

/// The index of a route of [`WEB`].
pub(crate) fn of_web(index: usize) -> usize {
    ENDPOINTS.len() + index
}

/// The index for requests to no route.
pub(crate) fn none() -> usize {
    of_web(WEB.len())
}

/// The template of the route with this index; empty for requests to none.
pub(crate) fn name(index: usize) -> &'static str {
    let endpoint = ENDPOINTS.get(index).map(|(_, endpoint)| endpoint.path.template);
    let web = || WEB.get(index - ENDPOINTS.len()).copied();
    endpoint.or_else(web).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::metrics::MOST_ROUTES;

    #[test]
    fn every_route_has_an_index_of_its_own_and_its_name() {
        assert!(none() < MOST_ROUTES);
        for (index, (id, endpoint)) in ENDPOINTS.iter().enumerate() {
            assert_eq!(*id as usize, index);
            assert_eq!(name(of_endpoint(*id)), endpoint.path.template);
        }
        assert_eq!(of_endpoint(Id::User), of_endpoint(Id::ForgetUser));
        assert_eq!((name(of_web(7)), name(none())), ("/assets/{file}", ""));
    }
}
