//! What the tests of several crates share: the folders of the project.
//!
//! Functions panic with the cause if an operation fails: they run in tests only.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folder of the demonstration set.
pub fn demo() -> PathBuf {
    workspace().join("crates/demo/data")
}
