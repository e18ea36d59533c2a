//! Decides whether a caller may use an endpoint.

use std::sync::Arc;
use std::time::SystemTime;

use hyper::http::request::Parts;

use crate::auth::credentials::Credential;
use crate::auth::keys::{Scopes, find};
use crate::auth::tokens::is_token;
use crate::auth::{AnonymousReads, Auth};
use crate::response::problem::{Kind, Problem};

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A request without credentials, or with a cookie that is no longer valid.
    Anonymous,
    /// A key, by its name.
    Key(Arc<str>),
    /// A user, by a token. Permitted are movies and the data of this user alone.
    User(u32),
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

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Writes,
    /// Data about users.
    ReadsUsers,
    /// Data about movies alone.
    ReadsCatalog,
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

    /// Identifies the owner of a key, or the user of a token.
    pub(crate) fn identify(auth: &Auth, secret: &str) -> Result<Self, Problem> {
        let identified = if let Some(key) = find(&auth.keys, secret.as_bytes()) {
            Ok((Caller::Key(key.name().into()), key.scopes()))
        } else {
            match &auth.tokens {
                Some(tokens) if is_token(secret) => tokens
                    .user(secret, SystemTime::now())
                    .map(|user| (Caller::User(user), Scopes::READ.and(Scopes::WRITE))),
                _ => Err("the key is not valid"),
            }
        };
        let (caller, scopes) =
            identified.map_err(|why| Problem::new(Kind::InvalidCredentials, why))?;
        Ok(Self { caller, scopes, is_cookie: false, reads: auth.anonymous_reads })
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

    /// The only user whose data the caller may use; `None` if there is no such restriction.
    pub(crate) fn only_user(&self) -> Option<u32> {
        if let Caller::User(user) = self.caller { Some(user) } else { None }
    }

    /// Whether data may be changed.
    pub(crate) fn writes(&self) -> bool {
        self.scopes.contains(Scopes::WRITE)
    }

    /// Whether movies may be read.
    pub(crate) fn reads_catalog(&self) -> bool {
        self.scopes.contains(Scopes::READ) || self.reads != AnonymousReads::Nothing
    }

    /// Whether the data of a user may be read; with `None`, those of all users.
    pub(crate) fn reads_user(&self, user: Option<u32>) -> bool {
        (self.scopes.contains(Scopes::READ) && self.includes(user))
            || self.reads == AnonymousReads::All
    }

    /// Whether a user is the only one of the caller, if there is one.
    fn includes(&self, user: Option<u32>) -> bool {
        self.only_user().is_none_or(|only| user == Some(only))
    }

    /// Refuses what the caller may not do. `user` is the user whose data it is about; `None` for all users.
    pub(crate) fn check(&self, need: Need, user: Option<u32>) -> Result<(), Problem> {
        let (allowed, scope) = match need {
            Need::Writes => (self.writes() && self.includes(user), "write"),
            Need::ReadsUsers => (self.reads_user(user), "read"),
            Need::ReadsCatalog => (self.reads_catalog(), "read"),
        };
        if allowed { Ok(()) } else { Err(self.refusal(scope)) }
    }

    /// Refuses callers without the scope `admin`.
    pub(crate) fn check_admin(&self) -> Result<(), Problem> {
        if self.scopes.contains(Scopes::ADMIN) { Ok(()) } else { Err(self.refusal("admin")) }
    }

    fn refusal(&self, scope: &str) -> Problem {
        match &self.caller {
            Caller::Anonymous => {
                let detail = format!(
                    "this needs a key with the scope {scope}, or a token if the server accepts them: send it as \
                     Authorization: Bearer KEY"
                );
                Problem::new(Kind::Unauthorized, detail)
            }
            Caller::User(user) => {
                let detail = format!("the token permits movies and the data of user {user} alone");
                Problem::new(Kind::Forbidden, detail)
            }
            Caller::Key(name) => {
                let detail = format!("the key {name:?} does not have the scope {scope}");
                Problem::new(Kind::Forbidden, detail)
            }
        }
    }
}
