//! What endpoints answer with: JSON, problem documents, headers.

pub(crate) mod audience;
pub(crate) mod coding;
pub(crate) mod json;
pub(crate) mod movie_json;
pub(crate) mod problem;
pub(crate) mod reply;
pub(crate) mod schema;
