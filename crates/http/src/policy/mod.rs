//! Who may use the server: accepted hosts, origins of web pages, who may write, and how often.

pub(crate) mod base_path;
pub(crate) mod cors;
pub(crate) mod hosts;
pub(crate) mod operators;
pub(crate) mod proxies;
pub(crate) mod rates;
pub(crate) mod writes;
