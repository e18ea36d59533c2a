//! Follows ratings and events: counts them per movie, and projects users into the feature store.
//!
//! Each server follows all partitions, from a position that it keeps in memory. At the start and for each new state of the
//! data, it reads all users with live data again, so no position needs to be stored. Users are read with their live data after
//! the write was found in the log, and what was derived from an earlier read is replaced: it does not matter how often and in
//! which order writes arrive. `docs/live.md` describes the guarantees.

mod pending;
mod publisher;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sparrow_http::Snapshot;
use sparrow_live::{Consumers, LiveStore, Sequence, unix_time};
use sparrow_model::UserId;
use sparrow_store::{Generation, Projection};
use sparrow_user_state::{FollowedUser, LiveStatistics, ReadError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::pending::{Pending, Work};
pub(crate) use self::publisher::Publisher;

/// The longest wait for writes.
const WAIT: Duration = Duration::from_secs(5);
/// The wait while users remain to be processed.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// The pause between two reads of the log: writes within it are processed together.
const PAUSE: Duration = Duration::from_millis(100);
/// The pause after a failure.
const RETRY: Duration = Duration::from_millis(500);
/// The shortest time between two publications of statistics.
const PUBLICATION_INTERVAL: Duration = Duration::from_millis(500);
/// A call that returns as many changes may have left some.
const FULL: usize = 100;
/// Calls that read the log one after the other at most.
const MOST_READS: usize = 50;
/// Users that are read at the same time.
const CONCURRENT: usize = 32;
/// Users that are processed together.
const BATCH: usize = 512;

/// Follows live data as long as the server runs. `projects` is whether users are written into the feature store.
pub(crate) async fn run(
    publisher: Arc<Publisher>,
    live: Arc<dyn LiveStore>,
    consumers: Arc<Consumers>,
    projects: bool,
) {
    consumers.statistics.start();
    if projects {
        consumers.projector.start();
    }
    let mut snapshots = publisher.subscribe();
    let Some(base) = loaded(&mut snapshots).await else { return };
    let follower = Follower {
        statistics: LiveStatistics::new(unix_time()),
        base,
        publisher,
        live,
        consumers,
        projects,
        positions: None,
        pending: Pending::default(),
        is_changed: false,
        published: Instant::now(),
    };
    Box::pin(follower.follow(snapshots)).await;
}

/// Waits for a snapshot with all data, other than the last one that was taken. `None` at the end of the server.
async fn loaded(snapshots: &mut watch::Receiver<Option<Arc<Snapshot>>>) -> Option<Arc<Snapshot>> {
    loop {
        let is_loaded = |snapshot: &Arc<Snapshot>| {
            snapshot.source().store.as_ref().is_none_or(|store| store.generation.is_some())
        };
        let snapshot = snapshots.borrow_and_update().clone().filter(is_loaded);
        if snapshot.is_some() {
            return snapshot;
        }
        snapshots.changed().await.ok()?;
    }
}

struct Follower {
    /// The data without live ratings.
    base: Arc<Snapshot>,
    publisher: Arc<Publisher>,
    live: Arc<dyn LiveStore>,
    consumers: Arc<Consumers>,
    projects: bool,
    /// `None` until all users are known to be in `pending` or processed.
    positions: Option<Vec<Sequence>>,
    pending: Pending,
    statistics: LiveStatistics,
    /// Whether `statistics` differ from the published ones.
    is_changed: bool,
    published: Instant,
}

impl Follower {
    async fn follow(mut self, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        loop {
            let read = tokio::select! {
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let Some(base) = loaded(&mut snapshots).await else { return };
                    self.rebase(base);
                    continue;
                }
                read = self.read_log() => read,
            };
            match read {
                Ok(()) => self.set_trouble(None),
                Err(error) => {
                    self.set_trouble(Some(error.to_string()));
                    sleep(RETRY).await;
                    self.check_positions().await;
                }
            }
            let outcome = self.process().await;
            self.publish();
            self.report();
            sleep(if outcome.is_ok() { PAUSE } else { RETRY }).await;
        }
    }

    /// Continues with other data: everybody with live data is read again.
    fn rebase(&mut self, base: Arc<Snapshot>) {
        let now = milliseconds();
        let work = Work::all(self.projects);
        // Also those whose live data the new generation contains and who have none any more.
        for user in self.statistics.all_users() {
            self.pending.add(user, Sequence::default(), now, work);
        }
        self.base = base;
        self.statistics = LiveStatistics::new(unix_time());
        self.is_changed = false;
        self.positions = None;
    }

    /// Adds the users of new writes to those who are pending.
    async fn read_log(&mut self) -> Result<(), sparrow_live::Error> {
        let work = Work::all(self.projects);
        if self.positions.is_none() {
            // Before the users are listed, so that no write is missed in between.
            let positions = self.live.positions().await?;
            let (users, now) = (self.live.all_users().await?, milliseconds());
            for user in users {
                self.pending.add(user, Sequence::default(), now, work);
            }
            self.positions = Some(positions);
        }
        let Some(positions) = &mut self.positions else { return Ok(()) };
        let mut wait = if self.pending.is_empty() && !self.is_changed { WAIT } else { SHORT_WAIT };
        for _ in 0..MOST_READS {
            let changes = self.live.changes(positions, wait).await?;
            for change in &changes {
                let since = change.sequence.milliseconds;
                self.pending.add(change.user, change.sequence, since, work);
            }
            if changes.len() < FULL {
                break;
            }
            wait = SHORT_WAIT;
        }
        Ok(())
    }

    /// After a failure: a store that lost writes, in a fail-over for example, may continue before the positions.
    async fn check_positions(&mut self) {
        let Some(positions) = &self.positions else { return };
        if let Ok(ends) = self.live.positions().await
            && (ends.len() != positions.len()
                || ends.iter().zip(positions).any(|(end, position)| end < position))
        {
            tracing::warn!(
                "the log of ratings and events has lost writes: all users are read again"
            );
            self.positions = None;
        }
    }

    /// Reads pending users, counts their ratings, and projects them.
    async fn process(&mut self) -> Result<(), ()> {
        let (mut outcome, mut projections) = (Ok(()), Vec::new());
        let generation = self.base.source().store.as_ref().and_then(|store| store.generation);
        let (mut counted, users) = (0, self.pending.take_oldest(BATCH));
        for some in users.chunks(CONCURRENT) {
            let mut reads = JoinSet::new();
            for &user in some {
                let base = Arc::clone(&self.base);
                reads.spawn(async move { (user, base.source().follow(user, base.engine()).await) });
            }
            while let Some(read) = reads.join_next().await {
                let Ok((user, read)) = read else { continue };
                match read {
                    // The new generation will be loaded, and everybody read again.
                    Ok(Some(followed)) if followed.generation != generation => outcome = Err(()),
                    Ok(Some(followed)) => {
                        counted += usize::from(self.count(user, &followed));
                        projections.extend(self.projection(user, &followed));
                    }
                    Ok(None) => self.pending.remove(user),
                    Err(error) => {
                        outcome = Err(());
                        self.failed(user, &error);
                    }
                }
            }
        }
        self.consumers.statistics.count(counted, 0);
        if let (Some(generation), false) = (generation, projections.is_empty())
            && self.project(generation, &projections).await.is_err()
        {
            outcome = Err(());
        }
        outcome
    }

    /// Counts the ratings of a user, if that is pending.
    fn count(&mut self, user: UserId, followed: &FollowedUser) -> bool {
        if !self.pending.complete(user, Work::COUNT) {
            return false;
        }
        self.is_changed |= self.statistics.set(user, followed, self.base.popularity());
        true
    }

    /// The projection of a user, if it is pending and changes anything.
    fn projection(&mut self, user: UserId, followed: &FollowedUser) -> Option<Projection> {
        let read = self.pending.get(user, Work::PROJECT)?;
        let projection = followed.projection(read, self.base.engine());
        if projection.is_none() {
            self.pending.complete(user, Work::PROJECT);
        }
        projection
    }

    async fn project(&mut self, generation: Generation, users: &[Projection]) -> Result<(), ()> {
        let Some(store) = &self.base.source().store else { return Ok(()) };
        let projected = store.reader.project(generation, users).await;
        let projector = &self.consumers.projector;
        let outcome = match projected {
            Ok(Ok(outcome)) => outcome,
            // A push is being completed, or was announced: they stay pending.
            Ok(Err(_)) => return Err(()),
            Err(error) => {
                warn_if_news(projector.set_trouble(Some(error.to_string())), &error);
                return Err(());
            }
        };
        for projection in users {
            if outcome.failed.iter().all(|(user, _)| *user != projection.user) {
                self.pending.complete(projection.user, Work::PROJECT);
            }
        }
        projector.count(outcome.written + outcome.superseded, outcome.superseded);
        match outcome.failed.first() {
            None => {
                projector.set_trouble(None);
                Ok(())
            }
            Some((_, error)) => {
                warn_if_news(projector.set_trouble(Some(error.to_string())), error);
                Err(())
            }
        }
    }

    /// A user who cannot be read: one whose data are malformed is left out, others are read again.
    fn failed(&mut self, user: UserId, error: &ReadError) {
        if let ReadError::Live(sparrow_live::Error::Malformed { .. })
        | ReadError::Store(sparrow_store::Error::Malformed { .. }) = error
        {
            self.pending.remove(user);
        }
        let is_news = self.consumers.statistics.set_trouble(Some(error.to_string()));
        warn_if_news(is_news, error);
    }

    fn set_trouble(&self, trouble: Option<String>) {
        let is_news = self.consumers.statistics.set_trouble(trouble.clone());
        match trouble {
            Some(error) if is_news => {
                tracing::warn!(error, "ratings and events are not followed; trying again");
            }
            _ => {}
        }
    }

    /// Publishes statistics that have changed, not too often.
    fn publish(&mut self) {
        if !self.is_changed || self.published.elapsed() < PUBLICATION_INTERVAL {
            return;
        }
        let snapshot = self.base.with_live_statistics(&self.statistics);
        self.publisher.publish_variant(&self.base, snapshot);
        (self.is_changed, self.published) = (false, Instant::now());
    }

    fn report(&self) {
        let now = milliseconds();
        let consumers =
            [(&self.consumers.statistics, Work::COUNT), (&self.consumers.projector, Work::PROJECT)];
        for (consumer, work) in consumers {
            let (oldest, count) = self.pending.oldest(work);
            let lag = oldest.map_or(0, |since| now.saturating_sub(since));
            consumer.set_lag(Duration::from_millis(lag), count);
        }
    }
}

fn warn_if_news(is_news: bool, error: &(dyn std::error::Error + 'static)) {
    if is_news {
        tracing::warn!(error, "a user with live data cannot be processed; trying again");
    }
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
