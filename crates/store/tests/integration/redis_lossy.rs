//! Redis behind a proxy that loses, cuts, repeats, delays and garbles replies.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sparrow_model::{MovieId, UserId};
use sparrow_store::{Entry, Error, FeatureStore, Options, RedisStore, StoredUser};
use sparrow_test_redis::TestRedis;

use crate::conformance::{push, user_fields};
use crate::redis::{open, options};

const NONE: u8 = 0;
const DROP: u8 = 1;
const TRUNCATE: u8 = 2;
const DOUBLE: u8 = 3;
const DELAY: u8 = 4;
const GARBAGE: u8 = 5;
/// Each of the others in turn.
const MIXED: u8 = 6;

/// A proxy that spoils one reply in `one_in`.
struct Lossy {
    port: u16,
    control: Arc<Control>,
}

struct Control {
    fault: AtomicU8,
    one_in: AtomicU32,
    replies: AtomicU64,
    spoilt: AtomicU64,
}

impl Lossy {
    fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = Arc::new(Control {
            fault: AtomicU8::new(NONE),
            one_in: AtomicU32::new(1),
            replies: AtomicU64::new(0),
            spoilt: AtomicU64::new(0),
        });
        let proxy =
            Self { port: listener.local_addr().unwrap().port(), control: Arc::clone(&control) };
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass_on(from, to));
                let control = Arc::clone(&control);
                thread::spawn(move || spoil(server, client, &control));
            }
        });
        proxy
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn set(&self, fault: u8, one_in: u32) {
        self.control.one_in.store(one_in, Ordering::SeqCst);
        self.control.fault.store(fault, Ordering::SeqCst);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn spoil(mut from: TcpStream, mut to: TcpStream, control: &Control) {
    let (mut buffer, mut ahead) = (vec![0; 1 << 16], Vec::new());
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        ahead.extend_from_slice(&buffer[..length]);
        while let Some(length) = frame(&ahead) {
            let reply: Vec<u8> = ahead.drain(..length).collect();
            if pass_reply(&reply, &mut to, control).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn pass_reply(reply: &[u8], to: &mut TcpStream, control: &Control) -> std::io::Result<()> {
    let number = control.replies.fetch_add(1, Ordering::SeqCst);
    // Spread, and the same in every run.
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    let fault = control.fault.load(Ordering::SeqCst);
    if fault == NONE || !random.is_multiple_of(u64::from(control.one_in.load(Ordering::SeqCst))) {
        return to.write_all(reply);
    }
    let spoilt = control.spoilt.fetch_add(1, Ordering::SeqCst);
    let fault = if fault == MIXED { (spoilt % 5) as u8 + 1 } else { fault };
    match fault {
        DROP => Ok(()),
        TRUNCATE => to.write_all(&reply[..reply.len() / 2]),
        DOUBLE => to.write_all(&[reply, reply].concat()),
        DELAY => {
            thread::sleep(Duration::from_millis(200));
            to.write_all(reply)
        }
        _ => to.write_all(b"\x00\xff:what\r\n$-7\r\n*x"),
    }
}

/// The length of the reply that the bytes begin with, once it is there as a whole.
fn frame(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).ok()?.parse::<i64>().ok();
    match bytes[0] {
        b'$' => {
            let length = number()?;
            let whole = if length < 0 { line } else { line + length as usize + 2 };
            (bytes.len() >= whole).then_some(whole)
        }
        b'*' => {
            let mut whole = line;
            for _ in 0..number()?.max(0) {
                whole += frame(bytes.get(whole..).filter(|rest| !rest.is_empty())?)?;
            }
            Some(whole)
        }
        _ => Some(line),
    }
}

const USERS: u32 = 200;

fn entries(stamp: u32) -> Vec<Entry> {
    let of_user = |user: u32| {
        let value = user + 1000 * stamp;
        [
            Entry::UserFeatures(UserId(user), user_fields(&value.to_string())),
            Entry::UserEmbedding(UserId(user), vec![value as f32]),
            Entry::MovieEmbedding(MovieId(user), vec![value as f32]),
        ]
    };
    (0..USERS).flat_map(of_user).collect()
}

fn is_right(user: &StoredUser, id: u32, stamp: u32) -> bool {
    let value = id + 1000 * stamp;
    user.embedding == Some(vec![value as f32])
        && user.features == Some(user_fields(&value.to_string()))
        && user.malformed.is_empty()
}

/// Reads until it works; how long that took.
async fn recovery(store: &RedisStore, pause: Duration) -> Duration {
    let start = Instant::now();
    loop {
        if store.users(&[UserId(7)]).await.is_ok() {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(20), "the store stays away");
        tokio::time::sleep(pause).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn of_100_000_reads_through_lost_replies_none_is_wrong() {
    const READERS: u32 = 16;
    const READS: u32 = 100_000 / READERS;
    let redis = TestRedis::start(&[]);
    push(&open(&redis.url(), &options()).await, entries(1)).await;
    let proxy = Lossy::before(redis.port());
    let options = Options { deadline: Duration::from_millis(100), connections: 4, ..options() };
    let store = open(&proxy.url(), &options).await;
    store.users(&[UserId(7)]).await.unwrap();
    proxy.set(MIXED, 2500);
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut right, mut failed) = (0, 0);
                for read in 0..READS {
                    let id = (read * 7 + reader * 31) % USERS;
                    match store.users(&[UserId(id)]).await {
                        Ok(read) => {
                            assert!(is_right(&read.value[0], id, 1), "user {id}: {read:?}");
                            right += 1;
                        }
                        Err(Error::Unavailable { .. } | Error::TimedOut { .. }) => failed += 1,
                        Err(error) => panic!("{error}"),
                    }
                    tokio::task::yield_now().await;
                }
                (right, failed)
            })
        })
        .collect();
    let (mut right, mut failed) = (0, 0);
    for reader in readers {
        let (one, other) = reader.await.unwrap();
        (right, failed) = (right + one, failed + other);
    }
    let spoilt = proxy.control.spoilt.load(Ordering::SeqCst);
    assert!(right > 10_000 && spoilt > 20, "{right} right, {failed} failed, {spoilt} spoilt");
    proxy.set(NONE, 1);
    assert!(recovery(&store, Duration::from_millis(10)).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn each_fault_is_recovered_from_at_any_rate() {
    let redis = TestRedis::start(&[]);
    push(&open(&redis.url(), &options()).await, entries(1)).await;
    for connections in [1, 4] {
        let proxy = Lossy::before(redis.port());
        let options = Options { deadline: Duration::from_millis(200), connections, ..options() };
        let store = open(&proxy.url(), &options).await;
        for fault in [DROP, TRUNCATE, DOUBLE, DELAY, GARBAGE] {
            for pause in [Duration::from_millis(5), Duration::from_millis(600)] {
                proxy.set(fault, 1);
                for _ in 0..2 {
                    if let Ok(read) = store.users(&[UserId(7)]).await {
                        assert!(is_right(&read.value[0], 7, 1), "{fault}: {read:?}");
                    }
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
                proxy.set(NONE, 1);
                let took = recovery(&store, pause).await;
                assert!(took < Duration::from_secs(2), "fault {fault}, {pause:?}: {took:?}");
                for id in 0..20 {
                    let read = store.users(&[UserId(id)]).await.unwrap();
                    assert!(is_right(&read.value[0], id, 1), "{fault}: {read:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_push_through_lost_replies_is_whole_or_fails() {
    let redis = TestRedis::start(&[]);
    let direct = open(&redis.url(), &options()).await;
    push(&direct, entries(0)).await;
    let proxy = Lossy::before(redis.port());
    let options = Options {
        deadline: Duration::from_millis(100),
        bulk_deadline: Duration::from_millis(300),
        grace: Duration::from_millis(120),
        lock: Duration::from_millis(400),
        ..options()
    };
    let store = open(&proxy.url(), &options).await;
    let (mut pushed, mut failed, mut held) = (0, 0, 0);
    for stamp in 1..=16 {
        proxy.set(MIXED, 400);
        let outcome = async {
            let mut push = store.push().await?;
            push.put(entries(stamp)).await?;
            push.commit().await
        };
        let outcome = outcome.await;
        proxy.set(NONE, 1);
        let ids: Vec<UserId> = (0..USERS).map(UserId).collect();
        let users = direct.users(&ids).await.unwrap().value;
        let now = (users[0].embedding.as_ref().unwrap()[0] / 1000.0) as u32;
        for (id, user) in (0..).zip(&users) {
            assert!(is_right(user, id, now), "user {id} of {now} after {stamp}: {user:?}");
        }
        if outcome.is_ok() {
            assert_eq!(now, stamp);
            pushed += 1;
        } else {
            // The new generation may be in force though its announcement was not answered.
            assert!(now == held || now == stamp, "{now} after {held}, {stamp}: {outcome:?}");
            failed += 1;
        }
        held = now;
        recovery(&store, Duration::from_millis(10)).await;
    }
    assert!(pushed > 0 && failed > 0, "{pushed} pushed, {failed} failed");
}
