//! Connections: accepting, limiting, timing, and ending them.

pub(crate) mod accept;
pub(crate) mod addresses;
pub(crate) mod serve;
pub(crate) mod socket;
pub(crate) mod timed_stream;
