//! Integration tests of all implementations of the store.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "file")]
mod file;
#[cfg(feature = "file")]
mod file_live;
mod guarded;
mod guarded_live;
#[expect(unreachable_pub, reason = "a public module of the crate")]
#[path = "../../../live/src/testsuite.rs"]
mod live_testsuite;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_addresses;
#[cfg(feature = "redis")]
mod redis_included;
#[cfg(feature = "redis")]
mod redis_keys;
#[cfg(feature = "redis")]
mod redis_live;
#[cfg(feature = "redis")]
mod redis_lossy;
#[cfg(feature = "redis")]
mod redis_push;
#[cfg(feature = "redis")]
mod redis_tls;
#[cfg(feature = "redis")]
mod redis_trouble;
// By its path, because tests that select a feature make Cargo compile everything above this crate a second time.
#[expect(unreachable_pub, reason = "a public module of the crate")]
#[path = "../../src/testsuite.rs"]
mod testsuite;
