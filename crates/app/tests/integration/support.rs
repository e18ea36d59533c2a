//! Servers on the demonstration set, a client, and a store with configurable failures.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;
use sparrow_app::{Config, Running};
use sparrow_live::Watermark;
use sparrow_model::{Catalog, MovieId, UserId};
use sparrow_movielens::Source;
use sparrow_neural::EmbeddingTable;
use sparrow_store::{
    Entry, Error, FeatureStore, Generation, Push, Read, StoredMovie, StoredUser, UserList,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The time limit for conditions that must become true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The demonstration set.
pub(crate) struct Demo {
    pub(crate) catalog: Catalog,
    pub(crate) items: EmbeddingTable,
    pub(crate) users: EmbeddingTable,
}

pub(crate) static DEMO: LazyLock<Demo> = LazyLock::new(|| {
    let folder = sparrow_test_support::demo();
    let table = |name: &str| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        EmbeddingTable::read(&bytes[..], name).unwrap()
    };
    let source = Source::open(&folder).unwrap();
    Demo {
        catalog: source.load(&sparrow_movielens::Options::default()).unwrap().catalog,
        items: table("item2vecEmb.csv"),
        users: table("userEmb.csv"),
    }
});

/// All entries that the loader pushes for the demonstration set.
pub(crate) fn demo_entries() -> Vec<Entry> {
    crate::entries::entries(&DEMO.catalog, &DEMO.items, &DEMO.users)
}

/// A configuration with port 0 and short intervals between checks for changes.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    // Most tests are about the vectors of the engine.
    "emb".clone_into(&mut config.ranking.default);
    config.listen.set_port(0);
    config.admin.listen = None;
    config.store.refresh = Duration::from_millis(50);
    config.store.start_wait = Duration::from_millis(300);
    config
}

/// Starts a server and waits until it has loaded.
pub(crate) async fn serve(config: Config, store: Arc<dyn FeatureStore>) -> Running {
    let mut running = sparrow_app::start_with_store(config, store).await.unwrap();
    tokio::time::timeout(PATIENCE, running.loaded()).await.expect("not loaded").unwrap();
    running
}

pub(crate) async fn push(store: &dyn FeatureStore, entries: Vec<Entry>) -> Generation {
    let mut push = store.push().await.unwrap();
    push.put(entries).await.unwrap();
    push.commit().await.unwrap()
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

pub(crate) async fn get(address: SocketAddr, target: &str) -> Answer {
    exchange(
        address,
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
    )
    .await
}

/// The same with more headers, as whole lines.
pub(crate) async fn get_with(address: SocketAddr, target: &str, headers: &str) -> Answer {
    exchange(
        address,
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n"),
    )
    .await
}

/// Sends JSON.
pub(crate) async fn send(address: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    send_with(address, method, target, "", body).await
}

/// The same with more headers, as whole lines.
pub(crate) async fn send_with(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    exchange(address, request).await
}

async fn exchange(address: SocketAddr, request: String) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let text = tokio::time::timeout(PATIENCE, exchange).await.expect("no answer").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("cut off: {text:?}"));
    Answer { status: head[9..12].parse().unwrap(), head: head.to_owned(), body: body.to_owned() }
}

/// Repeats a request until the answer satisfies a condition.
pub(crate) async fn until(
    address: SocketAddr,
    target: &str,
    wanted: impl Fn(&Answer) -> bool,
) -> Answer {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = get(address, target).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "{target} stays {answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The behaviour of a [`Switch`] for reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    Answers,
    IsAway,
    IsLate,
}

/// A store with configurable failures that counts its reads.
#[derive(Debug)]
pub(crate) struct Switch {
    store: Mutex<Arc<dyn FeatureStore>>,
    mode: AtomicU8,
    pub(crate) user_reads: AtomicUsize,
}

impl Switch {
    pub(crate) fn new(store: impl FeatureStore + 'static) -> Arc<Self> {
        let mode = AtomicU8::new(Mode::Answers as u8);
        let store: Arc<dyn FeatureStore> = Arc::new(store);
        Arc::new(Self { store: Mutex::new(store), mode, user_reads: AtomicUsize::new(0) })
    }

    pub(crate) fn inner(&self) -> Arc<dyn FeatureStore> {
        Arc::clone(&self.store.lock().unwrap())
    }

    /// Replaces the store.
    pub(crate) fn replace(&self, store: impl FeatureStore + 'static) {
        *self.store.lock().unwrap() = Arc::new(store);
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::SeqCst);
    }

    async fn check(&self) -> Result<(), Error> {
        let store = || "test".to_owned();
        match self.mode.load(Ordering::SeqCst) {
            mode if mode == Mode::IsAway as u8 => {
                Err(Error::Unavailable { store: store(), what: "switched off".to_owned() })
            }
            mode if mode == Mode::IsLate as u8 => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Err(Error::TimedOut { store: store() })
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl FeatureStore for Switch {
    fn address(&self) -> &'static str {
        "test"
    }

    async fn generation(&self) -> Result<Generation, Error> {
        self.check().await?;
        self.inner().generation().await
    }

    async fn users(&self, ids: &[UserId]) -> Result<Read<Vec<StoredUser>>, Error> {
        self.user_reads.fetch_add(1, Ordering::SeqCst);
        self.check().await?;
        self.inner().users(ids).await
    }

    async fn movies(&self, ids: &[MovieId]) -> Result<Read<Vec<StoredMovie>>, Error> {
        self.check().await?;
        self.inner().movies(ids).await
    }

    async fn all_movies(&self) -> Result<Read<Vec<(MovieId, StoredMovie)>>, Error> {
        self.check().await?;
        self.inner().all_movies().await
    }

    async fn embedding_info(&self) -> Result<Read<Option<String>>, Error> {
        self.check().await?;
        self.inner().embedding_info().await
    }

    async fn watermark(&self) -> Result<Read<Option<Watermark>>, Error> {
        self.check().await?;
        self.inner().watermark().await
    }

    async fn user_list(&self) -> Result<Read<UserList>, Error> {
        self.check().await?;
        self.inner().user_list().await
    }

    async fn push(&self) -> Result<Box<dyn Push>, Error> {
        self.inner().push().await
    }
}
