//! The store in a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redb::{Database, TableDefinition};
use sparrow_model::{MovieId, UserId};
use sparrow_store::{Entry, Error, FeatureStore, FileStore, Generation, Options, connect};
use sparrow_test_support::rounds;

use crate::testsuite::{self, Handles, push, start};

fn open(path: &Path) -> FileStore {
    FileStore::open(path, &Options::default())
}

fn embedding(user: u32, value: f32) -> Entry {
    Entry::UserEmbedding(UserId(user), vec![value])
}

async fn value(store: &FileStore) -> Option<f32> {
    let users = store.users(&[UserId(1)]).await.unwrap().value;
    users[0].embedding.as_ref().map(|vector| vector[0])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_fulfils_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let count = AtomicUsize::new(0);
    testsuite::check(async || {
        let path = folder.path().join(format!("store-{}", count.fetch_add(1, Ordering::Relaxed)));
        let handles: Handles = [Arc::new(open(&path)), Arc::new(open(&path))];
        handles
    })
    .await;
}

#[tokio::test]
async fn only_the_file_and_its_lock_remain() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("features"));
    push(&store, vec![embedding(1, 1.0)]).await;
    drop(start(&store).await);
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["features", "features.lock"]);
    assert_eq!(value(&store).await, Some(1.0));
}

#[cfg(unix)]
#[tokio::test]
async fn a_named_pipe_is_rejected_at_once_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let store = open(&path);
    let read = store.generation().await.unwrap_err();
    let pushed = store.push().await.map(drop).unwrap_err();
    for error in [read, pushed] {
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("it is a named pipe, not a file"), "{error}");
    }
    assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
}

#[tokio::test]
async fn a_removed_file_is_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    let store = open(&path);
    let first = push(&store, vec![embedding(1, 1.0)]).await;
    fs::remove_file(&path).unwrap();
    assert_eq!(value(&store).await, None);
    assert_eq!(store.generation().await.unwrap(), Generation(0));
    assert!(push(&store, vec![embedding(1, 2.0)]).await >= first);
    assert_eq!(value(&store).await, Some(2.0));
}

async fn refusals(path: &Path) -> [Error; 2] {
    let store = open(path);
    [store.users(&[UserId(1)]).await.unwrap_err(), store.push().await.map(|_| ()).unwrap_err()]
}

#[tokio::test]
async fn other_files_are_rejected_and_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    fs::write(&path, "Dear all, ".repeat(1000)).unwrap();
    for error in refusals(&path).await {
        assert!(
            error
                .to_string()
                .contains("letter.txt rejected the request: the file is not a feature store"),
            "{error}"
        );
    }
    assert_eq!(fs::read_to_string(&path).unwrap().len(), 10_000);
    fs::write(&path, "").unwrap();
    for error in refusals(&path).await {
        assert!(matches!(error, Error::Refused { .. }), "{error}");
    }

    // A database of another program, and a file of a later version.
    let database = folder.path().join("database");
    let other: TableDefinition<'_, u32, u32> = TableDefinition::new("other");
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    let write = |later: bool| {
        let database = Database::create(&database).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(other).unwrap().insert(1, 1).unwrap();
        if later {
            transaction.open_table(meta).unwrap().insert("format", 3).unwrap();
        }
        transaction.commit().unwrap();
    };
    write(false);
    for error in refusals(&database).await {
        assert!(error.to_string().contains("not a feature store"), "{error}");
    }
    write(true);
    for error in refusals(&database).await {
        assert!(
            error.to_string().contains("format 3, this program reads formats up to 2"),
            "{error}"
        );
    }
    for error in refusals(folder.path()).await {
        assert!(error.to_string().contains("not a file"), "{error}");
    }
}

#[tokio::test]
async fn damaged_files_return_errors_without_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    let store = open(&path);
    push(&store, (0..3000).map(|user| embedding(user, 1.0)).collect()).await;
    let whole = fs::read(&path).unwrap();
    for (index, length) in [(0, 10), (1, 600), (2, whole.len() / 2), (3, whole.len() - 4096)] {
        let cut = folder.path().join(format!("cut-{index}"));
        fs::write(&cut, &whole[..length]).unwrap();
        let result = open(&cut).users(&[UserId(1), UserId(2999)]).await;
        assert!(
            matches!(result, Err(Error::Refused { .. } | Error::Unavailable { .. })),
            "{length}: {result:?}"
        );
    }
    for start in (512..whole.len()).step_by(whole.len() / 16) {
        let mut garbled = whole.clone();
        for byte in garbled.iter_mut().skip(start).take(2048) {
            *byte ^= 0xa5;
        }
        let path = folder.path().join(format!("garbled-{start}"));
        fs::write(&path, garbled).unwrap();
        // Undetected damage outside of values, and a malformed value, are valid results, too.
        let store = open(&path);
        let _ = store.users(&[UserId(1), UserId(2999)]).await;
        let _ = store.all_movies().await;
    }
}

#[tokio::test]
async fn folders_that_cannot_contain_the_file_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing/features"), PathBuf::from("/proc/features")] {
        let error = open(&path).push().await.map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. } | Error::Refused { .. }), "{error}");
        assert!(error.to_string().contains("features"), "{error}");
    }
    let location = format!("file:{}", folder.path().join("missing/features").display());
    let error =
        connect(&location.parse().unwrap(), &Options::default()).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("No such file or directory"), "{error}");
}

/// Run in a separate process by the tests below: pushes to the file in the environment variable.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the parent test reads it")]
async fn pusher_process() {
    let Some(path) = std::env::var_os("SPARROW_TEST_FILE") else { return };
    let store = open(Path::new(&path));
    let mut push = start(&store).await;
    for round in 0..400 {
        let entries = (0..1000)
            .map(|id| Entry::MovieEmbedding(MovieId(round * 1000 + id), vec![0.5; 64]))
            .collect();
        if let Err(error) = push.put(entries).await {
            print!("put: {error}");
            assert!(push.commit().await.is_err());
            return;
        }
    }
    if let Err(error) = push.commit().await {
        print!("commit: {error}");
    }
}

/// The command that runs [`pusher_process`] after a shell command.
fn pusher(shell: &str, path: &Path) -> Command {
    let mut command = Command::new("sh");
    let program = std::env::current_exe().unwrap();
    command
        .args(["-c", &format!("{shell} exec \"$0\" --exact file::pusher_process --nocapture")])
        .arg(program)
        .env("SPARROW_TEST_FILE", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

#[tokio::test]
async fn a_full_disk_leaves_the_store_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    let store = open(&path);
    push(&store, vec![embedding(1, 1.0)]).await;
    // A file size limit of 10 MB fails like a full disk.
    let output = pusher("trap '' XFSZ; ulimit -f 10000;", &path).output().unwrap();
    let output_text = String::from_utf8_lossy(&output.stdout);
    assert!(output_text.contains("rejected the request: File too large"), "{output_text}");
    assert!(output.status.success(), "{output_text}");
    assert_eq!(value(&store).await, Some(1.0));
    assert!(!folder.path().join("features.new").exists());
    push(&store, vec![embedding(1, 2.0)]).await;
    assert_eq!(value(&store).await, Some(2.0));
}

#[tokio::test]
async fn a_killed_push_leaves_the_store_unchanged_and_unlocked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    let store = open(&path);
    for _ in 0..rounds("killed pushes to a file store", 1, 30) {
        kill_a_push(&folder, &path, &store).await;
    }
}

async fn kill_a_push(folder: &tempfile::TempDir, path: &Path, store: &FileStore) {
    push(store, vec![embedding(1, 1.0)]).await;
    let mut child = pusher("", path).spawn().unwrap();
    let staged = folder.path().join("features.new");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while fs::metadata(&staged).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(std::time::Instant::now() < end, "nothing is staged");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(
        matches!(store.push().await, Err(Error::Refused { .. })),
        "the other process holds the lock"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(value(store).await, Some(1.0));
    push(store, vec![embedding(1, 2.0)]).await;
    assert_eq!(value(store).await, Some(2.0));
    assert!(store.all_movies().await.unwrap().value.is_empty());
    assert!(!staged.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bits_never_change_a_value() {
    const USERS: u32 = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    let entries = (0..USERS)
        .flat_map(|id| {
            let features = crate::testsuite::user_fields(&id.to_string());
            [embedding(id, id as f32), Entry::UserFeatures(UserId(id), features)]
        })
        .collect();
    push(&open(&path), entries).await;
    let sound = fs::read(&path).unwrap();
    let ids: Vec<UserId> = (0..USERS).map(UserId).collect();
    let expected = open(&path).users(&ids).await.unwrap();
    let (mut same, mut named, mut refused) = (0, 0, 0);
    let rounds = rounds("flipped bits in a file store", 150, 5000);
    for round in 0..rounds {
        let mut bytes = sound.clone();
        let bit = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        let damaged = folder.path().join("damaged");
        fs::write(&damaged, &bytes).unwrap();
        match open(&damaged).users(&ids).await {
            Err(_) => refused += 1,
            Ok(read) if read == expected => same += 1,
            Ok(read) => {
                assert_eq!(read.generation, expected.generation, "bit {bit}");
                for (found, right) in read.value.iter().zip(&expected.value) {
                    if found != right {
                        // The damage may be in a key: then the value is missing.
                        assert!(found.features.is_none() || found.features == right.features);
                        assert!(found.embedding.is_none() || found.embedding == right.embedding);
                    }
                }
                named += 1;
            }
        }
    }
    assert!(named * 20 > rounds, "{same} without effect, {named} malformed, {refused} rejected");
}

#[tokio::test]
async fn the_error_of_a_truncated_file_contains_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    push(&open(&path), vec![embedding(1, 1.0)]).await;
    let bytes = fs::read(&path).unwrap();
    for length in [bytes.len() / 2, 5000, 700, 100] {
        fs::write(&path, &bytes[..length]).unwrap();
        for error in [
            open(&path).users(&[UserId(1)]).await.map(|_| ()).unwrap_err(),
            open(&path).push().await.map(|_| ()).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.contains("delete it and push again"), "{length} bytes: {text}");
        }
    }
    fs::remove_file(&path).unwrap();
    push(&open(&path), vec![embedding(1, 2.0)]).await;
    assert_eq!(value(&open(&path)).await, Some(2.0));
}

#[tokio::test]
async fn files_of_the_previous_format_are_read_and_updated() {
    const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
    const VECTORS: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("user embeddings");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("features");
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("format", 1).unwrap();
        meta.insert("generation", 5).unwrap();
        let mut vectors = transaction.open_table(VECTORS).unwrap();
        vectors.insert(1, &3.5_f32.to_le_bytes()[..]).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = open(&path);
    assert_eq!(store.generation().await.unwrap(), Generation(5));
    assert_eq!(value(&store).await, Some(3.5));
    push(&store, vec![Entry::MovieEmbedding(MovieId(1), vec![1.0])]).await;
    assert_eq!(value(&store).await, Some(3.5));
}
