//! Who may use the server: accepted hosts, origins of web pages, and who may write.

pub(crate) mod cors;
pub(crate) mod hosts;
pub(crate) mod operators;
pub(crate) mod writes;
