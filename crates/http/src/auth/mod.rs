//! Who calls, and what they may do: API keys, tokens of users, and the session of a browser.

pub(crate) mod access;
pub(crate) mod credentials;
pub(crate) mod keys;
pub(crate) mod token_keys;
pub(crate) mod tokens;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::auth::keys::ApiKey;
use crate::auth::tokens::Tokens;

/// What clients without credentials may read, once there are keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnonymousReads {
    /// Only health, readiness, the description of the API and the documents of the pages, which contain no data.
    #[default]
    Nothing,
    /// Also movies, but nothing about users.
    Catalog,
    /// Everything.
    All,
}

/// The credentials that a server accepts. Without any it is open: [`crate::Options::accepts_writes`] alone decides about
/// changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Auth {
    /// The valid keys. Several keys may have one name, such as the old and the new one during a rotation.
    pub keys: Vec<ApiKey>,
    /// The accepted tokens of users.
    pub tokens: Option<Tokens>,
    /// What clients without credentials may read.
    pub anonymous_reads: AnonymousReads,
    /// Whether clients without credentials may change data.
    pub anonymous_writes: bool,
    /// Whether credentials are needed even if there are none: a file of keys that became empty opens nothing.
    pub is_required: bool,
}

impl Auth {
    /// Whether the server needs credentials.
    pub fn is_configured(&self) -> bool {
        self.is_required || !self.keys.is_empty() || self.tokens.is_some()
    }
}

/// The credentials in force, which can be replaced while the server runs.
#[derive(Debug)]
pub(crate) struct CurrentAuth {
    /// Read without a lock by every request of a server without credentials.
    configured: AtomicBool,
    current: RwLock<Arc<Auth>>,
}

impl CurrentAuth {
    pub(crate) fn new(auth: Auth) -> Self {
        Self {
            configured: AtomicBool::new(auth.is_configured()),
            current: RwLock::new(Arc::new(auth)),
        }
    }

    pub(crate) fn replace(&self, auth: Auth) {
        let configured = auth.is_configured();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(auth);
        self.configured.store(configured, Ordering::Release);
    }

    /// The credentials in force; `None` if the server is open.
    pub(crate) fn get(&self) -> Option<Arc<Auth>> {
        if !self.configured.load(Ordering::Acquire) {
            return None;
        }
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}
