//! The description of an endpoint, and a call of it.

use hyper::header::HeaderMap;

use crate::auth::access::Access;
use crate::auth::access::Need;
use crate::parameters::definition::Parameter;
use crate::parameters::query::{Unknown, Value, parse, path_id};
use crate::policy::cors::Origins;
use crate::response::audience::Audience;
use crate::response::problem::{Kind, Problem};
use crate::response::reply::Methods;
use crate::response::schema::{Field, Schema};
use crate::state::admission::Class;
use crate::state::shared::Shared;
use crate::state::snapshot::Snapshot;

/// An endpoint: everything that routing and OpenAPI need beside its handler. Several endpoints may have one path, and
/// different methods.
#[derive(Debug)]
pub(crate) struct Endpoint<Query: ?Sized = [Parameter]> {
    pub(crate) path: Path,
    pub(crate) operation_id: &'static str,
    pub(crate) group: Group,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) methods: Methods,
    /// The definitions of the variable parts of the path.
    pub(crate) variables: &'static [Parameter],
    /// Whether it changes data: see [`crate::policy::writes`].
    pub(crate) writes: bool,
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
    /// What its callers must be permitted on a server with credentials.
    pub(crate) needs: Need,
    /// Where its requests name the user whose data they read or change.
    pub(crate) user_in: UserIn,
    /// Whether it needs no credentials on a server that has some.
    pub(crate) is_open: bool,
    pub(crate) query: Query,
}

/// Where requests name the user whose data they read or change. Callers with a token may use the data of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserIn {
    /// In the path, below `/v1/users/{id}`. Requests to other paths are about all users.
    Path,
    /// In the parameter `id` of the query.
    Query,
    /// In the body: the handler calls [`Call::check_change`] for each.
    Body,
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
    /// Text, or a page for operators.
    Text,
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
    /// On the admin port alone, for operators.
    Operators,
    /// On the admin port alone; beyond loopback for everybody, since collectors have no keys.
    Metrics,
}

impl Exposure {
    /// Whether the endpoint exists on the public port.
    pub(crate) const fn is_public(self) -> bool {
        !matches!(self, Self::Operators | Self::Metrics)
    }

    /// Whether the endpoint exists on the admin port.
    pub(crate) const fn is_admin(self) -> bool {
        !matches!(self, Self::Public)
    }
}

/// The path of an endpoint, with at most two variable parts.
#[derive(Debug)]
pub(crate) struct Path {
    /// As in OpenAPI: `/v1/movies/{id}/similar`.
    pub(crate) template: &'static str,
    /// The fixed parts: before, between and after the variable ones. Those beyond the number of variables are `None`.
    before: &'static str,
    more: [Option<&'static str>; 2],
}

/// The variable parts of a path, undecoded; empty ones if the template has fewer.
pub(crate) type Variables<'p> = [&'p str; 2];

impl Path {
    const fn new(template: &'static str) -> Self {
        let (before, rest) = until_variable(template);
        let mut more = [None, None];
        if let Some(rest) = rest {
            let (between, rest) = until_variable(rest);
            more[0] = Some(between);
            if let Some(rest) = rest {
                more[1] = Some(rest);
            }
        }
        Self { template, before, more }
    }

    /// The variable parts of a path that matches.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<Variables<'p>> {
        let mut rest = path.strip_prefix(self.before)?;
        let mut variables = [""; 2];
        for (variable, after) in variables.iter_mut().zip(self.more) {
            let Some(after) = after else { break };
            let until_slash = |text: &'p str| text.split_at(text.find('/').unwrap_or(text.len()));
            let (part, others) = until_slash(rest);
            // As in `/posters/{id}.jpg`.
            let (suffix, after) = until_slash(after);
            let part = part.strip_suffix(suffix)?;
            *variable = Some(part).filter(|part| !part.is_empty())?;
            rest = others.strip_prefix(after)?;
        }
        rest.is_empty().then_some(variables)
    }
}

/// The part of a template before its first variable, and that after it.
const fn until_variable(template: &'static str) -> (&'static str, Option<&'static str>) {
    let (bytes, mut index) = (template.as_bytes(), 0);
    while index < bytes.len() {
        if bytes[index] == b'{' {
            let mut end = index;
            while bytes[end] != b'}' {
                end += 1;
            }
            let (before, _) = template.split_at(index);
            return (before, Some(template.split_at(end + 1).1));
        }
        index += 1;
    }
    (template, None)
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
            methods: Methods::READ,
            variables: &[],
            writes: false,
            body: None,
            answer,
            problems: &[],
            unknown: Unknown::Refuse,
            origins: Origins::Listed,
            exposure: Exposure::Public,
            is_personal: false,
            needs: Need::ReadsCatalog,
            user_in: UserIn::Path,
            is_open: false,
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

    /// Sets the definitions of the variable parts of the path.
    pub(crate) const fn of(self, variables: &'static [Parameter]) -> Self {
        Self { variables, ..self }
    }

    /// Takes POST, with a body of these fields.
    pub(crate) const fn posted(self, body: &'static [Field]) -> Self {
        Self { methods: Methods::POST, body: Some(body), ..self }
    }

    /// Changes data by this method.
    pub(crate) const fn writing(self, methods: Methods, body: Option<&'static [Field]>) -> Self {
        let needs = Need::Writes;
        let origins = Origins::Writers;
        Self { methods, body, writes: true, is_personal: true, needs, origins, ..self }
    }

    /// Takes PUT with a body on the admin port, where [`crate::policy::operators`] decides who may.
    pub(crate) const fn operated(self, body: &'static [Field]) -> Self {
        Self { methods: Methods::PUT, body: Some(body), exposure: Exposure::Operators, ..self }
    }

    pub(crate) const fn with_problems(self, problems: &'static [Kind]) -> Self {
        Self { problems, ..self }
    }

    pub(crate) const fn exposed(self, exposure: Exposure) -> Self {
        Self { exposure, ..self }
    }

    /// Sets where requests name the user whose data they read or change.
    pub(crate) const fn naming_user(self, user_in: UserIn) -> Self {
        Self { user_in, ..self }
    }

    /// Needs no credentials.
    pub(crate) const fn open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Marks the answers as for an anonymous user: they contain no data of users, but caches must not keep them.
    pub(crate) const fn for_anonymous(self) -> Self {
        Self { needs: Need::ReadsCatalog, ..self.personal() }
    }

    /// Marks the answers as about a user: caches must not keep them, and only listed origins may read them.
    pub(crate) const fn personal(self) -> Self {
        Self { is_personal: true, needs: Need::ReadsUsers, origins: Origins::Listed, ..self }
    }
}

impl Endpoint {
    /// Whether its answers are about movies alone and the same for everybody, until the data change.
    pub(crate) fn is_of_catalog(&self) -> bool {
        let is_list = matches!(self.group, Group::Movies | Group::SparrowRecSys);
        is_list && !self.is_personal && self.methods == Methods::READ
    }

    /// Whether its path names a user.
    pub(crate) fn has_user_in_path(&self) -> bool {
        self.path.template.starts_with("/v1/users/{id}")
    }

    /// Whether a token can permit it: it is about movies, or about the user that a request names.
    pub(crate) fn accepts_tokens(&self) -> bool {
        let names_user = self.user_in != UserIn::Path || self.has_user_in_path();
        self.needs == Need::ReadsCatalog || names_user
    }

    /// The class of its requests. Costly are writes, and everything that is ranked for somebody.
    pub(crate) fn class(&self) -> Class {
        let ranks_for_a_user = self.group == Group::Recommendations && self.is_personal;
        let is_costly = self.writes || ranks_for_a_user || matches!(self.answer, Answer::Ranked(_));
        match self.exposure {
            Exposure::Probe | Exposure::Operators | Exposure::Metrics => Class::Exempt,
            Exposure::Public | Exposure::PublicAndAdmin if is_costly => Class::Costly,
            Exposure::Public | Exposure::PublicAndAdmin => Class::Cheap,
        }
    }

    /// Whether only the web pages of this server may send its requests, which change something for a browser.
    pub(crate) fn is_of_own_pages(&self) -> bool {
        self.origins == Origins::Own && self.exposure.is_public() && self.methods != Methods::READ
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
    /// The variable parts of the path, undecoded.
    pub(crate) variables: Variables<'a>,
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// The request body; empty if the endpoint takes none.
    pub(crate) body: &'a [u8],
    pub(crate) audience: Audience,
    /// `None` on a server without credentials.
    pub(crate) access: Option<&'a Access>,
}

impl<'a> Call<'a> {
    /// The data to answer from; a problem while they are loaded.
    pub(crate) fn snapshot(&self) -> Result<&'a Snapshot, Problem> {
        let loading = || Problem::new(Kind::Unavailable, "the server is loading its data");
        self.snapshot.ok_or_else(loading)
    }

    /// The id in the path.
    pub(crate) fn id(&self) -> Result<u32, Problem> {
        path_id("id", self.variables[0])
    }

    /// Refuses callers that may not change the data of this user.
    pub(crate) fn check_change(&self, user: u32) -> Result<(), Problem> {
        self.access.map_or(Ok(()), |access| access.check(Need::Writes, Some(user)))
    }

    /// The second id in the path, of a movie.
    pub(crate) fn movie_id(&self) -> Result<u32, Problem> {
        path_id("movieId", self.variables[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_with_their_variable_part() {
        let similar = Path::new("/v1/movies/{id}/similar");
        assert_eq!(similar.matches("/v1/movies/7/similar"), Some(["7", ""]));
        for other in
            ["/v1/movies//similar", "/v1/movies/7/8/similar", "/v1/movies/7", "/v1/movies/similar"]
        {
            assert_eq!(similar.matches(other), None, "{other}");
        }
        let genres = Path::new("/v1/genres");
        assert_eq!(genres.matches("/v1/genres"), Some(["", ""]));
        assert_eq!(genres.matches("/v1/genres/"), None);
        let rating = Path::new("/v1/users/{id}/ratings/{movieId}");
        assert_eq!(rating.matches("/v1/users/6/ratings/50"), Some(["6", "50"]));
        for other in [
            "/v1/users/6/ratings/",
            "/v1/users//ratings/50",
            "/v1/users/6/ratings/50/",
            "/v1/users/6/ratings/50/1",
            "/v1/users/6/ratings",
            "/v1/users/6/x/50",
        ] {
            assert_eq!(rating.matches(other), None, "{other}");
        }
    }
}
