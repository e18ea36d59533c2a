//! A deadline, a circuit breaker and retries for calls of a service that may fail.
//!
//! [`Guard`] runs the calls of one service, counts their outcomes in a circuit breaker, and reports the [`Status`].
//! [`Service`] describes the service: how its errors count, and what the caller receives instead of an answer.
//! The feature stores, the model server and `sparrow_guarded_ranker::GuardedRanker` are such services.
//!
//! The crate does not know what a call does, and logs nothing. Start reading at [`Guard`].

mod breaker;
mod guard;

pub use breaker::Circuit;
pub use guard::{Admission, Assessment, Guard, Outage, Policy, Recovery, Retry, Service, Status};
