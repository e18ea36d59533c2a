//! The description of an endpoint, and a call of it.

use hyper::header::HeaderMap;

use crate::parameters::definition::Parameter;
use crate::parameters::query::{Unknown, Value, parse, path_id};
use crate::policy::cors::Origins;
use crate::response::audience::Audience;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Methods;
use crate::response::schema::{Field, Schema};
use crate::state::shared::Shared;
use crate::state::snapshot::Snapshot;

/// An endpoint: everything that routing and OpenAPI need beside its handler. Endpoints take GET and
/// HEAD, or POST if they have a body.
#[derive(Debug)]
pub(crate) struct Endpoint<Query: ?Sized = [Parameter]> {
    pub(crate) path: Path,
    pub(crate) operation_id: &'static str,
    pub(crate) group: Group,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    /// The definition of the variable part of the path.
    pub(crate) variable: Option<Parameter>,
    /// The fields of the request body, an object in JSON, which may also contain the parameters of the query.
    pub(crate) body: Option<&'static [Field]>,
    pub(crate) answer: Answer,
    /// The problems beside those that every endpoint has.
    pub(crate) problems: &'static [Kind],
    pub(crate) unknown: Unknown,
    pub(crate) origins: Origins,
    pub(crate) exposure: Exposure,
    /// Whether answers are about a user: caches must not keep them.
    pub(crate) is_personal: bool,
    pub(crate) query: Query,
}

/// The sections of the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Recommendations,
    Movies,
    Users,
    SparrowRecSys,
    Server,
}

/// The answer of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    Json(Schema),
    /// JSON, with headers for the model that answered.
    Ranked(Schema),
    /// A JPEG image, which is revalidated.
    Image,
}

/// Where an endpoint is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// On the public port.
    Public,
    /// On the public port and on the admin port.
    PublicAndAdmin,
    /// Everywhere, for every host, and also at the limit of connections: load balancers probe it.
    Probe,
}

/// The path of an endpoint, with at most one variable part.
#[derive(Debug)]
pub(crate) struct Path {
    /// As in OpenAPI: `/v1/movies/{id}/similar`.
    pub(crate) template: &'static str,
    before: &'static str,
    after: Option<&'static str>,
}

impl Path {
    const fn new(template: &'static str) -> Self {
        const VARIABLE: usize = "{id}".len();
        let (bytes, mut index) = (template.as_bytes(), 0);
        while index < bytes.len() {
            if bytes[index] == b'{' {
                let (before, rest) = template.split_at(index);
                return Self { template, before, after: Some(rest.split_at(VARIABLE).1) };
            }
            index += 1;
        }
        Self { template, before: template, after: None }
    }

    /// The variable part of a path that matches, empty if the template has none.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.before)?;
        let Some(after) = self.after else { return rest.is_empty().then_some(rest) };
        let variable = rest.strip_suffix(after)?;
        (!variable.is_empty() && !variable.contains('/')).then_some(variable)
    }
}

impl<Query: Copy> Endpoint<Query> {
    /// An endpoint under `/v1`.
    pub(crate) const fn v1(
        group: Group,
        path: &'static str,
        operation_id: &'static str,
        query: Query,
        answer: Answer,
        summary: &'static str,
    ) -> Self {
        Self {
            path: Path::new(path),
            operation_id,
            group,
            summary,
            description: "",
            variable: None,
            body: None,
            answer,
            problems: &[],
            unknown: Unknown::Refuse,
            origins: Origins::Listed,
            exposure: Exposure::Public,
            is_personal: false,
            query,
        }
    }

    /// An endpoint of SparrowRecSys, which ignores unknown parameters.
    pub(crate) const fn sparrowrecsys(
        path: &'static str,
        operation_id: &'static str,
        query: Query,
        answer: Answer,
        summary: &'static str,
    ) -> Self {
        Self {
            unknown: Unknown::Ignore,
            origins: Origins::All,
            ..Self::v1(Group::SparrowRecSys, path, operation_id, query, answer, summary)
        }
    }

    /// An endpoint that is not part of the API of movies and users. It ignores unknown parameters, which get
    /// around caches.
    pub(crate) const fn other(
        group: Group,
        path: &'static str,
        operation_id: &'static str,
        query: Query,
        answer: Answer,
        summary: &'static str,
    ) -> Self {
        Self {
            unknown: Unknown::Ignore,
            origins: Origins::Own,
            ..Self::v1(group, path, operation_id, query, answer, summary)
        }
    }

    pub(crate) const fn described(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    /// Sets the definition of the variable part of the path.
    pub(crate) const fn of(self, variable: Parameter) -> Self {
        Self { variable: Some(variable), ..self }
    }

    /// Takes POST, with a body of these fields.
    pub(crate) const fn posted(self, body: &'static [Field]) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) const fn with_problems(self, problems: &'static [Kind]) -> Self {
        Self { problems, ..self }
    }

    pub(crate) const fn exposed(self, exposure: Exposure) -> Self {
        Self { exposure, ..self }
    }

    /// Marks the answers as about a user: caches must not keep them, and only listed origins may read them.
    pub(crate) const fn personal(self) -> Self {
        Self { is_personal: true, origins: Origins::Listed, ..self }
    }
}

impl Endpoint {
    pub(crate) const fn methods(&self) -> Methods {
        if self.body.is_some() { Methods::Post } else { Methods::Read }
    }
}

impl<const N: usize> Endpoint<[Parameter; N]> {
    /// The values of the query, in the order of the parameters.
    pub(crate) fn arguments<'q>(&'static self, call: &Call<'q>) -> Result<[Value<'q>; N], Problem> {
        parse(call.query, &self.query, self.unknown)
    }
}

/// A call of an endpoint, or of a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    /// `None` before the first one is published.
    pub(crate) snapshot: Option<&'a Snapshot>,
    /// The variable part of the path, undecoded.
    pub(crate) variable: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// The request body; empty if the endpoint takes none.
    pub(crate) body: &'a [u8],
    pub(crate) audience: Audience,
}

impl<'a> Call<'a> {
    /// The data to answer from; a problem while they are loaded.
    pub(crate) fn snapshot(&self) -> Result<&'a Snapshot, Problem> {
        let loading = || Problem::new(Kind::Unavailable, "the server is loading its data");
        self.snapshot.ok_or_else(loading)
    }

    /// The id in the path.
    pub(crate) fn id(&self) -> Result<u32, Problem> {
        path_id(self.variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_with_their_variable_part() {
        let similar = Path::new("/v1/movies/{id}/similar");
        assert_eq!(similar.matches("/v1/movies/7/similar"), Some("7"));
        for other in
            ["/v1/movies//similar", "/v1/movies/7/8/similar", "/v1/movies/7", "/v1/movies/similar"]
        {
            assert_eq!(similar.matches(other), None, "{other}");
        }
        let genres = Path::new("/v1/genres");
        assert_eq!(genres.matches("/v1/genres"), Some(""));
        assert_eq!(genres.matches("/v1/genres/"), None);
    }
}
