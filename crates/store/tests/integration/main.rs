//! Integration tests of all implementations of the store.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod conformance;
#[cfg(feature = "file")]
mod file;
mod guarded;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_addresses;
#[cfg(feature = "redis")]
mod redis_keys;
#[cfg(feature = "redis")]
mod redis_lossy;
#[cfg(feature = "redis")]
mod redis_push;
#[cfg(feature = "redis")]
mod redis_tls;
#[cfg(feature = "redis")]
mod redis_trouble;
