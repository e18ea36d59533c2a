//! Decides whether a caller may use an endpoint.

use std::sync::Arc;

use hyper::http::request::Parts;
use sparrow_model::UserId;

use crate::auth::credentials::Credential;
use crate::auth::keys::{Scopes, find};
use crate::auth::{AnonymousReads, Auth};
use crate::endpoints::endpoint::{Endpoint, Variables};
use crate::parameters::definition::{Parameter, USER_ID};
use crate::parameters::query::{Unknown, parse, path_id};
use crate::response::problem::{Kind, Problem};

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A request without credentials, or with a cookie that is no longer valid.
    Anonymous,
    /// A key, by its name.
    Key(Arc<str>),
    /// A user with a token.
    User(UserId),
}

/// What a caller may do on a server with credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) caller: Caller,
    pub(crate) scopes: Scopes,
    /// Whether a browser sent the credential by itself.
    pub(crate) is_cookie: bool,
    reads: AnonymousReads,
}

/// Whose data an endpoint reads or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    /// No user in particular.
    Nobody,
    InPath,
    InQuery,
    /// The handler checks the body: [`crate::endpoints::endpoint::Call::check_user`].
    InBody,
    /// All users.
    Everybody,
}

/// Endpoints that are personal are about everybody unless they are known here.
fn subject(endpoint: &Endpoint) -> Subject {
    match endpoint.path.template {
        _ if !endpoint.is_personal => Subject::Nobody,
        path if path.starts_with("/v1/users/{id}") => Subject::InPath,
        "/getuser" | "/getrecforyou" => Subject::InQuery,
        "/v1/events" => Subject::InBody,
        // For somebody without an id.
        "/v1/recommendations" => Subject::Nobody,
        _ => Subject::Everybody,
    }
}

impl Access {
    /// Identifies the caller. Credentials in a header must be valid. An invalid cookie counts as none: its owner signs in
    /// again on a page.
    pub(crate) fn of(auth: &Auth, parts: &Parts) -> Result<Self, Problem> {
        let Some(credential) = Credential::of(&parts.headers)? else {
            return Ok(Self::anonymous(auth));
        };
        match Self::identify(auth, credential.secret) {
            Ok(access) => Ok(Self { is_cookie: credential.is_cookie, ..access }),
            Err(_) if credential.is_cookie => Ok(Self::anonymous(auth)),
            Err(problem) => Err(problem),
        }
    }

    /// Identifies the owner of a key or a token.
    pub(crate) fn identify(auth: &Auth, secret: &str) -> Result<Self, Problem> {
        if let Some(key) = find(&auth.keys, secret.as_bytes()) {
            return Ok(Self {
                caller: Caller::Key(key.name().into()),
                scopes: key.scopes(),
                is_cookie: false,
                reads: auth.anonymous_reads,
            });
        }
        Err(Problem::new(Kind::InvalidCredentials, "the key is not valid"))
    }

    /// What a client without credentials may do.
    pub(crate) fn anonymous(auth: &Auth) -> Self {
        let writes = if auth.anonymous_writes { Scopes::WRITE } else { Scopes::NONE };
        Self {
            caller: Caller::Anonymous,
            scopes: writes,
            is_cookie: false,
            reads: auth.anonymous_reads,
        }
    }

    /// Whether the request has credentials that a browser did not send by itself.
    pub(crate) fn is_explicit(&self) -> bool {
        self.caller != Caller::Anonymous && !self.is_cookie
    }

    /// Whether data may be changed.
    pub(crate) fn writes(&self) -> bool {
        self.scopes.contains(Scopes::WRITE)
    }

    /// Whether movies may be read.
    pub(crate) fn reads_catalog(&self) -> bool {
        self.scopes.contains(Scopes::READ) || self.reads != AnonymousReads::Nothing
    }

    /// Whether the data of this user may be read.
    pub(crate) fn reads_user(&self, user: UserId) -> bool {
        if self.reads == AnonymousReads::All {
            return true;
        }
        let is_own = match self.caller {
            Caller::User(own) => own == user,
            Caller::Key(_) => true,
            Caller::Anonymous => false,
        };
        is_own && self.scopes.contains(Scopes::READ)
    }

    /// Refuses an endpoint that the caller may not use.
    pub(crate) fn check(
        &self,
        endpoint: &Endpoint,
        parts: &Parts,
        variables: Variables<'_>,
    ) -> Result<(), Problem> {
        if endpoint.is_open {
            return Ok(());
        }
        let (allowed, scope) = if endpoint.writes {
            (self.scopes.contains(Scopes::WRITE), "write")
        } else if endpoint.is_personal && subject(endpoint) != Subject::Nobody {
            (self.scopes.contains(Scopes::READ) || self.reads == AnonymousReads::All, "read")
        } else {
            (self.reads_catalog(), "read")
        };
        if !allowed {
            return Err(self.refusal(scope));
        }
        if !endpoint.writes && self.reads == AnonymousReads::All {
            return Ok(());
        }
        let Caller::User(_) = self.caller else { return Ok(()) };
        // An invalid id is for the handler to refuse.
        let user = match subject(endpoint) {
            Subject::Nobody | Subject::InBody => return Ok(()),
            Subject::Everybody => {
                let detail = "a token of a user gives access to the data of this user alone";
                return Err(Problem::new(Kind::Forbidden, detail));
            }
            Subject::InPath => path_id("id", variables[0]).ok(),
            Subject::InQuery => {
                static QUERY: [Parameter; 1] = [USER_ID];
                let values = parse(parts.uri.query(), &QUERY, Unknown::Ignore);
                values.and_then(|[id]| id.id()).ok()
            }
        };
        user.map_or(Ok(()), |user| self.check_user(UserId(user)))
    }

    /// Refuses another user than that of the token.
    pub(crate) fn check_user(&self, user: UserId) -> Result<(), Problem> {
        match self.caller {
            Caller::User(own) if own != user => {
                let detail = format!("the token is of user {own}, not of user {user}");
                Err(Problem::new(Kind::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }

    /// Refuses callers without the scope `admin`.
    pub(crate) fn check_admin(&self) -> Result<(), Problem> {
        if self.scopes.contains(Scopes::ADMIN) { Ok(()) } else { Err(self.refusal("admin")) }
    }

    fn refusal(&self, scope: &str) -> Problem {
        match &self.caller {
            Caller::Anonymous => {
                let detail = format!(
                    "this needs a key with the scope {scope}: send it as Authorization: Bearer KEY"
                );
                Problem::new(Kind::Unauthorized, detail)
            }
            Caller::Key(name) => {
                let detail = format!("the key {name:?} does not have the scope {scope}");
                Problem::new(Kind::Forbidden, detail)
            }
            Caller::User(_) => {
                let detail = format!("the token does not have the scope {scope}");
                Problem::new(Kind::Forbidden, detail)
            }
        }
    }
}
