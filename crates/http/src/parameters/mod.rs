//! Parameters of endpoints: their definitions, and reading them from paths, queries and bodies.

pub(crate) mod body;
pub(crate) mod definition;
pub(crate) mod query;
