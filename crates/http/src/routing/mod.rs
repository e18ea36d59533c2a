//! From a request to its endpoint or page.

pub(crate) mod dispatch;
pub(crate) mod framing;
pub(crate) mod pages;
pub(crate) mod route;
