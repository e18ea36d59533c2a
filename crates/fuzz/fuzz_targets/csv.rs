#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary folder"));

fuzz_target!(|data: &[u8]| {
    sparrow_movielens::fuzzing::records(data);
    sparrow_movielens::fuzzing::data_set(FOLDER.path(), data);
});
