//! Live data in a file.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sparrow_live::{Action, Durability, Error, Idempotency, Limits, LiveStore, Sequence, Write};
use sparrow_model::{MovieId, UserId};
use sparrow_store::FileLive;
use tempfile::tempdir;

use crate::live_testsuite::{self, Handles};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_fulfils_the_contract_of_live_data() {
    let folder = tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    live_testsuite::check(async |limits| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let store = FileLive::open(&folder.path().join(format!("{number}")), limits).unwrap();
        let handles: Handles = [Arc::new(store.clone()), Arc::new(store)];
        handles
    })
    .await;
}

fn view(user: u32, movie: u32, key: &str) -> Write {
    let action = Action::Event { movie: MovieId(movie), kind: "view".into(), value: 1.0 };
    let idempotency = Some(Idempotency { key: key.into(), digest: 1 });
    Write { idempotency, ..Write::new(UserId(user), action, 1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_a_restart() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("live");
    let store = FileLive::open(&path, Limits::default()).unwrap();
    assert_eq!(store.durability(), Durability::Fsync);
    let first = store.write(&[view(1, 2, "a"), view(2, 3, "b")]).await.remove(0).unwrap();
    let created = store.create_user(Some("k")).await.unwrap();
    let before = store.users(&[UserId(1), UserId(2)]).await.unwrap();
    let log = store.log(0, Sequence::default(), 9).await.unwrap();
    assert_eq!(log.len(), 2);
    drop(store);

    let store = FileLive::open(&path, Limits::default()).unwrap();
    assert_eq!(store.users(&[UserId(1), UserId(2)]).await.unwrap(), before);
    assert_eq!(store.log(0, Sequence::default(), 9).await.unwrap(), log);
    assert_eq!(store.create_user(Some("k")).await.unwrap(), created);
    assert!(store.create_user(None).await.unwrap().id > created.id);
    let again = store.write(&[view(1, 2, "a"), view(1, 2, "c")]).await;
    let [again, new] = <[_; 2]>::try_from(again).unwrap().map(Result::unwrap);
    assert!(again.repeated && again.sequence == first.sequence);
    assert!(new.sequence > log[1].sequence);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_gets_a_clear_error() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("live");
    let store = FileLive::open(&path, Limits::default()).unwrap();
    let error = FileLive::open(&path, Limits::default()).unwrap_err();
    assert!(error.to_string().contains("another process has the file open"), "{error}");
    // The first is not affected.
    assert!(store.write(&[view(1, 2, "a")]).await.remove(0).unwrap().applied);
    drop(store);
    FileLive::open(&path, Limits::default()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_are_errors_and_stay_unchanged() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("text");
    let text = "userId,movieId\n".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    let error = FileLive::open(&path, Limits::default()).unwrap_err();
    assert!(matches!(&error, Error::Unavailable { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert!(FileLive::open(folder.path(), Limits::default()).is_err());
    assert!(FileLive::open(&folder.path().join("a/b"), Limits::default()).is_err());
}

const CHILD_PATH: &str = "SPARROW_TEST_LIVE_FILE";

/// The process that [`kills_lose_and_double_no_acknowledged_write`] kills: writes with the keys 0, 1, … of eight users, and
/// prints each when it is acknowledged.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a process for another test"]
#[expect(clippy::print_stdout, reason = "the other process reads it")]
async fn child_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD_PATH) else { return };
    let store = FileLive::open(Path::new(&path), Limits::default()).unwrap();
    let clients = (0..8).map(|user| {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0_u32.. {
                let write = view(user, number % 700, &number.to_string());
                let accepted = store.write(&[write]).await.remove(0).unwrap();
                println!("acknowledged {user} {number} {}", accepted.sequence);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_and_double_no_acknowledged_write() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("live");
    let kills = sparrow_test_support::rounds("kills of a process with a live file", 3, 20);
    let mut acknowledged: Vec<(u32, u32, Sequence)> = Vec::new();
    for kill in 1..=kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["file_live::child_writes_until_it_is_killed", "--exact", "--ignored"])
            .arg("--nocapture")
            .env(CHILD_PATH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It starts with the writes of the processes before it, which are repeated.
        let (target, mut new) = (500 + 37 * kill, 0);
        let before: std::collections::HashSet<_> = acknowledged.iter().copied().collect();
        while new < target {
            let line = lines.next().unwrap().unwrap();
            let Some((_, rest)) = line.split_once("acknowledged ") else { continue };
            let mut words = rest.split(' ');
            let mut word = || words.next().unwrap();
            let write =
                (word().parse().unwrap(), word().parse().unwrap(), word().trim().parse().unwrap());
            if !before.contains(&write) {
                acknowledged.push(write);
                new += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = FileLive::open(&path, Limits::default()).unwrap();
    let log = store.log(0, Sequence::default(), usize::MAX).await.unwrap();
    let mut recorded: Vec<(u32, u32, Sequence)> = log
        .iter()
        .map(|entry| {
            let key = &entry.write.idempotency.as_ref().unwrap().key;
            (entry.write.user.0, key.parse().unwrap(), entry.sequence)
        })
        .collect();
    recorded.sort_unstable();
    let lost = acknowledged.iter().filter(|write| recorded.binary_search(write).is_err()).count();
    let doubled = recorded.windows(2).filter(|two| (two[0].0, two[0].1) == (two[1].0, two[1].1));
    assert_eq!((lost, doubled.count()), (0, 0));
    // What users have equals what the log says.
    for user in 0..8 {
        let counted: u32 = store.users(&[UserId(user)]).await.unwrap()[0]
            .events
            .iter()
            .map(|event| event.count)
            .sum();
        let entries = log.iter().filter(|entry| entry.write.user == UserId(user)).count();
        assert_eq!(counted as usize, entries);
    }
}
