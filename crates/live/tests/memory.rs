//! The store in memory fulfils the contract.

use std::sync::Arc;

use sparrow_live::MemoryLive;

// By its path, because tests that select a feature make Cargo compile everything above this crate a second time.
#[expect(unreachable_pub, reason = "a public module of the crate")]
#[path = "../src/testsuite.rs"]
mod testsuite;

#[tokio::test]
async fn memory_fulfils_the_contract() {
    testsuite::check(async |limits| {
        let store = MemoryLive::new(limits);
        let handles: testsuite::Handles = [Arc::new(store.clone()), Arc::new(store)];
        handles
    })
    .await;
}
