use std::sync::Arc;

use sparrow_store::MemoryStore;

use crate::testsuite::{self, Handles};

#[tokio::test(flavor = "multi_thread")]
async fn memory_fulfils_the_contract() {
    testsuite::check(async || {
        let store = MemoryStore::default();
        let handles: Handles = [Arc::new(store.clone()), Arc::new(store)];
        handles
    })
    .await;
}
