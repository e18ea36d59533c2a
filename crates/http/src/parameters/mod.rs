//! Parameters of endpoints: their definitions, and reading them from paths and queries.

pub(crate) mod definition;
pub(crate) mod query;
