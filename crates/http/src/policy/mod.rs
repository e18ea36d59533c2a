//! Who may use the server: accepted hosts, and origins of web pages.

pub(crate) mod cors;
pub(crate) mod hosts;
