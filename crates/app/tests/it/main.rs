//! Whole servers, spoken to through sockets.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod entries;
mod failing;
mod load;
mod redis;
mod same_answers;
mod support;
