//! What requests are answered from, and the limits that all connections share.

pub(crate) mod access_log;
pub(crate) mod admission;
pub(crate) mod experiments;
pub(crate) mod history;
pub(crate) mod in_flight;
pub(crate) mod limiter;
pub(crate) mod metrics;
pub(crate) mod operations;
pub(crate) mod options;
pub(crate) mod ranking_times;
pub(crate) mod recommendation_ids;
pub(crate) mod request_id;
pub(crate) mod sample;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod tls;
pub(crate) mod traces;
pub(crate) mod user_list;
pub(crate) mod web_files;
