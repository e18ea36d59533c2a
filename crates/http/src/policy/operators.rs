//! Who may use the endpoints for operators on the admin port.

use hyper::http::request::Parts;

use crate::auth::access::Access;
use crate::policy::hosts::Hosts;
use crate::response::problem::{Kind, Problem};

/// Whether a request on the admin port is an operator's. On loopback, every program of this computer is an operator, but no
/// web page that was bound to this address (DNS rebinding). Beyond loopback, an operator has a key with the scope `admin`.
pub(crate) fn is_operator(parts: &Parts, on_loopback: bool, access: Option<&Access>) -> bool {
    check(parts, on_loopback, access).is_ok()
}

/// Refuses a request on the admin port that is not an operator's.
pub(crate) fn check(
    parts: &Parts,
    on_loopback: bool,
    access: Option<&Access>,
) -> Result<(), Problem> {
    if on_loopback && Hosts::loopback().check(parts).is_ok() {
        return Ok(());
    }
    let without_keys = || {
        let detail = "the admin port answers this only on loopback, for the hosts localhost, 127.0.0.1 and [::1], \
                      or with a key in [auth] that has the scope admin; others may read health, beyond loopback also metrics";
        Problem::new(Kind::Forbidden, detail)
    };
    access.ok_or_else(without_keys)?.check_admin()
}
