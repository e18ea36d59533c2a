//! Who may use the endpoints for operators on the admin port.

use hyper::http::request::Parts;

use crate::policy::hosts::Hosts;
use crate::policy::writes;
use crate::response::problem::{Kind, Problem};

/// What a request on the admin port may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Operator,
    /// Read health.
    Health,
}

/// The access of a request. On loopback, every program of this computer is an operator, but no web page that was bound to
/// this address (DNS rebinding). Beyond loopback, an operator has a key.
pub(crate) fn access(parts: &Parts, on_loopback: bool) -> Access {
    let is_operator =
        has_admin_key(parts) || (on_loopback && Hosts::loopback().check(parts).is_ok());
    if is_operator { Access::Operator } else { Access::Health }
}

/// Whether a request has a key of the scope `admin`. There are no keys.
const fn has_admin_key(_: &Parts) -> bool {
    false
}

/// Refuses a request for operators without access, and changes that a web page of another origin sends.
pub(crate) fn check(parts: &Parts, access: Access, changes: bool) -> Result<(), Problem> {
    if access != Access::Operator {
        let detail = "the admin port answers this only on loopback, for the hosts localhost, 127.0.0.1 and [::1]; \
                      others may read health";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    if changes { writes::check(parts, true) } else { Ok(()) }
}
