//! What the endpoints that change live data share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sparrow_live::{Accepted, Action, Error as LiveError, Idempotency, Write, unix_time};
use sparrow_model::{MovieId, UserId};
use sparrow_user_state::{LiveSource, LoadedUser};

use crate::endpoints::endpoint::Call;
use crate::endpoints::stores::{live_problem, store_problem};
use crate::parameters::body::Item;
use crate::response::problem::{Kind, Problem, quoted};
use crate::response::reply::Reply;
use crate::response::schema::{Schema, TEXT, json_type};
use crate::state::snapshot::Snapshot;

pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The length of the longest idempotency key.
pub(crate) const LONGEST_KEY: u32 = 100;

/// The greatest number of changes in one request.
pub(crate) const LARGEST_BATCH: usize = 1000;

/// How far ahead of the server's clock that of a client may be, in seconds.
const CLOCK_TOLERANCE: u32 = 300;

pub(crate) const TIMESTAMP: &str = "timestamp";

json_type! {
    /// A change that was accepted.
    pub(crate) struct Written as "Written" {
        /// The position in the log of changes.
        sequence / "sequence": String = TEXT,
        /// What it survives: memory (not even a restart), everysec (a crash of the process), fsync (a crash of the machine),
        /// replicas:N (the loss of the machine), or unknown.
        durability / "durability": String = TEXT,
        /// Whether it is in force: false if a newer change is.
        applied / "applied": bool = Schema::Boolean,
        /// Whether an earlier request had the same key: this is its answer.
        repeated / "repeated": bool = Schema::Boolean,
    }
}

json_type! {
    /// The result of one change of several.
    pub(crate) struct ItemResult as "ItemResult" {
        /// That of a request with this change alone.
        status / "status": u16 = Schema::Integer { least: 200, most: Some(599) },
        /// The position in the log of changes.
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence / "sequence": Option<String> = Schema::Optional(&TEXT),
        /// Whether it is in force: false if a newer change is.
        #[serde(skip_serializing_if = "Option::is_none")]
        applied / "applied": Option<bool> = Schema::Optional(&Schema::Boolean),
        /// Whether an earlier change had the same key: this is its result.
        #[serde(skip_serializing_if = "Option::is_none")]
        repeated / "repeated": Option<bool> = Schema::Optional(&Schema::Boolean),
        /// Why it was not accepted.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail / "detail": Option<String> = Schema::Optional(&TEXT),
        /// The field that it is about.
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter / "parameter": Option<String> = Schema::Optional(&TEXT),
    }
}

json_type! {
    pub(crate) struct Batch as "WrittenBatch" {
        /// What the accepted changes survive, as in `Written`.
        durability / "durability": String = TEXT,
        /// In the order of the request.
        items / "items": Vec<ItemResult> = Schema::AtMost(1000, &Schema::Named(&ItemResult::TYPE)),
    }
}

/// The greatest time that a change may have now.
pub(crate) fn latest() -> u32 {
    unix_time().saturating_add(CLOCK_TOLERANCE)
}

/// The live data of a server that has them.
pub(crate) fn source(snapshot: &Snapshot) -> Result<&LiveSource, Problem> {
    let none = || Problem::new(Kind::Forbidden, "this server has no store for live data");
    snapshot.source.live.as_ref().ok_or_else(none)
}

/// A requested change.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) write: Write,
    /// The time in the request; without one, that of its arrival counts.
    time: Option<u32>,
}

impl Change {
    pub(crate) fn new(user: UserId, action: Action, time: Option<u32>) -> Self {
        Self { write: Write::new(user, action, time.unwrap_or_else(unix_time)), time }
    }

    /// Sets the key for retries.
    pub(crate) fn with_key(mut self, key: Option<String>) -> Self {
        let digest = digest(&self.write, self.time);
        self.write.idempotency = key.map(|key| Idempotency { key: key.into(), digest });
        self
    }
}

/// A number that differs for requests with different content: 64-bit FNV-1a. All servers of a store compute the same.
fn digest(write: &Write, time: Option<u32>) -> u64 {
    let action = match &write.action {
        Action::Rate(movie, stars) => format!("rate {movie} {}", stars.half_stars()),
        Action::Unrate(movie) => format!("unrate {movie}"),
        Action::Event { movie, kind, value } => format!("event {movie} {kind} {value}"),
        Action::Expose(shown) => format!("expose {shown:?}"),
        Action::Forget => "forget".to_owned(),
    };
    let content = format!("{action} {time:?} {:?} {:?}", write.session, write.recommendation);
    content.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The key in the header of a request.
pub(crate) fn key_of(call: &Call<'_>) -> Result<Option<String>, Problem> {
    let mut values = call.headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    if values.next().is_none() && is_key(text) && text.len() <= LONGEST_KEY as usize {
        return Ok(Some(text.to_owned()));
    }
    let detail = format!("{IDEMPOTENCY_KEY} must be one value of {KEY}, got {}", quoted(text));
    Err(Problem::new(Kind::InvalidParameter, detail).parameter(IDEMPOTENCY_KEY))
}

const KEY: &str = "1 to 100 visible ASCII characters";

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The field for retries of an item of a batch; else the key of the request with the index of the item.
pub(crate) fn key_of_item(
    item: &Item<'_>,
    field: &str,
    of_request: Option<&str>,
    index: usize,
) -> Result<Option<String>, Problem> {
    let own = item.text(field, LONGEST_KEY, is_key, KEY)?;
    Ok(own.map(str::to_owned).or_else(|| of_request.map(|key| format!("{key}#{index}"))))
}

/// The time of an item, if it has one.
pub(crate) fn time_of(item: &Item<'_>) -> Result<Option<u32>, Problem> {
    let time = item.optional_whole(TIMESTAMP)?;
    let latest = latest();
    match time {
        Some(time) if time > latest => {
            let path = item.path(TIMESTAMP);
            let detail = format!(
                "{path} must be a Unix time in seconds, at most five minutes ahead ({latest} now), got {time}"
            );
            Err(Problem::new(Kind::InvalidBody, detail).parameter(&path))
        }
        time => Ok(time),
    }
}

/// The movie with this id, which exists.
pub(crate) fn movie_of(snapshot: &Snapshot, id: u32, path: &str) -> Result<MovieId, Problem> {
    snapshot.movie(id).map(|_| MovieId(id)).map_err(|problem| problem.parameter(path))
}

/// Makes changes, and counts them.
async fn write(
    call: &Call<'_>,
    live: &LiveSource,
    writes: &[Write],
) -> Vec<Result<Accepted, LiveError>> {
    let results = live.store.write(writes).await;
    if let Some(metrics) = &call.shared.metrics {
        for (write, result) in writes.iter().zip(&results) {
            metrics.count_write(write, result);
        }
    }
    results
}

/// Makes one change, and answers with its result.
pub(crate) async fn write_one(call: &Call<'_>, change: Change) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let live = source(snapshot)?;
    let mut changes = [change];
    find_stored_times(snapshot, &mut changes).await?;
    let writes = changes.map(|change| change.write);
    let results = write(call, live, &writes).await;
    let failed = || Problem::new(Kind::Internal, "the store for live data has failed");
    let accepted = results.into_iter().next().ok_or_else(failed)?;
    let Accepted { sequence, applied, repeated, durability } =
        accepted.map_err(|error| live_problem(&error))?;
    Ok(Reply::serialized(&Written {
        sequence: sequence.to_string(),
        durability: durability.to_string(),
        applied,
        repeated,
    }))
}

/// Makes several changes: none if one of them is invalid, unless `partial` is set. Answers with the result of each.
pub(crate) async fn write_all(
    call: &Call<'_>,
    changes: Vec<Result<Change, Problem>>,
    partial: bool,
) -> Result<Reply, Problem> {
    let snapshot = call.snapshot()?;
    let live = source(snapshot)?;
    let mut valid = Vec::with_capacity(changes.len());
    // The problems of the invalid ones.
    let mut problems = Vec::with_capacity(changes.len());
    for change in changes {
        match change {
            Ok(change) => {
                valid.push(change);
                problems.push(None);
            }
            Err(problem) if partial => problems.push(Some(problem)),
            Err(problem) => return Err(problem),
        }
    }
    find_stored_times(snapshot, &mut valid).await?;
    let writes: Vec<Write> = valid.into_iter().map(|change| change.write).collect();
    let results = write(call, live, &writes).await;
    // What all of them survive.
    let reached = results.iter().flatten().map(|accepted| accepted.durability).min();
    let mut results = results.into_iter();
    let mut worst: Option<Problem> = None;
    let items = problems.into_iter().map(|invalid| {
        let outcome = if let Some(problem) = invalid {
            Err(problem)
        } else {
            let failed = || Problem::new(Kind::Internal, "the store for live data has failed");
            let result = results.next().ok_or_else(failed);
            let result = result.and_then(|result| result.map_err(|error| live_problem(&error)));
            result.inspect_err(|problem| {
                let status = problem.kind().status();
                if worst.as_ref().is_none_or(|worst| worst.kind().status() < status) {
                    worst = Some(problem.clone());
                }
            })
        };
        match outcome {
            Ok(Accepted { sequence, applied, repeated, .. }) => ItemResult {
                status: 200,
                sequence: Some(sequence.to_string()),
                applied: Some(applied),
                repeated: Some(repeated),
                detail: None,
                parameter: None,
            },
            Err(problem) => ItemResult {
                status: problem.kind().status().as_u16(),
                sequence: None,
                applied: None,
                repeated: None,
                detail: Some(problem.detail().to_owned()),
                parameter: problem.parameter_name().map(str::to_owned),
            },
        }
    });
    let items: Vec<ItemResult> = items.collect();
    match worst {
        // The rest may have been accepted.
        Some(problem) if !partial || problem.kind().status().is_server_error() => {
            Err(problem.with_items(items))
        }
        _ => {
            let durability = reached.unwrap_or_else(|| live.store.durability()).to_string();
            Ok(Reply::serialized(&Batch { durability, items }))
        }
    }
}

/// Sets the times of the ratings that the changes replace, as far as they are outside the live data.
async fn find_stored_times(snapshot: &Snapshot, changes: &mut [Change]) -> Result<(), Problem> {
    let mut users: HashMap<UserId, Option<LoadedUser>> = HashMap::new();
    for Change { write, time } in changes {
        let (Action::Rate(movie, _) | Action::Unrate(movie)) = write.action else { continue };
        let Some(movie) = snapshot.catalog().index_of(movie) else { continue };
        let user = match &snapshot.source.store {
            None => None,
            // A change without a time is newer than what is stored.
            Some(_) if time.is_none() => continue,
            Some(store) => {
                if let Entry::Vacant(entry) = users.entry(write.user) {
                    let read = store.read(write.user, &snapshot.engine).await;
                    entry.insert(Some(read.map_err(|error| store_problem(&error))?));
                }
                users.get(&write.user).and_then(Option::as_ref)
            }
        };
        let history = match user {
            Some(user) => user.history(),
            None => snapshot.catalog().users().find(write.user),
        };
        let is_same = |rated: &sparrow_model::Rated| rated.movie == movie;
        let stored = history.and_then(|history| history.iter().find(is_same));
        write.stored_time = stored.map(|rated| rated.timestamp);
    }
    Ok(())
}
