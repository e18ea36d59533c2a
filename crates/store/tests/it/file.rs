//! The embedded store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparrow_store::{FileStore, Options};

use crate::conformance::{self, Handles};

fn open(path: &Path) -> FileStore {
    FileStore::open(path, &Options::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    conformance::check(async || {
        let path = folder.path().join(format!("store-{}", count.fetch_add(1, Ordering::Relaxed)));
        let handles: Handles = [Arc::new(open(&path)), Arc::new(open(&path))];
        handles
    })
    .await;
}
