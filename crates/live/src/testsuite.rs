//! The contract of [`LiveStore`] as tests for any implementation.
//!
//! With the Cargo feature `testsuite`, tests of other crates call [`check`] with their own store. It panics at the
//! first violation.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sparrow_live::{
    Accepted, Action, Error, Exposure, Idempotency, Limits, LiveStore, LiveUser, Sequence,
    Watermark, Write, partition,
};
use sparrow_model::{MovieId, Stars, UserId};

/// Two handles to one store, as in two processes or in two parts of one.
pub type Handles = [Arc<dyn LiveStore>; 2];

/// Checks a store. `fresh` returns two handles to an empty store with these limits; it is called a dozen times.
///
/// # Panics
/// If the store violates the contract.
pub async fn check(fresh: impl AsyncFn(Limits) -> Handles) {
    let limits = Limits::default();
    a_new_store_is_empty(&fresh(limits).await).await;
    writes_are_visible_through_every_handle(&fresh(limits).await).await;
    extreme_values_are_read_back(&fresh(limits).await).await;
    random_writes_change_users_as_apply_does(&fresh, limits).await;
    random_writes_change_users_as_apply_does(&fresh, Limits { ratings: 6, events: 5 }).await;
    retries_change_nothing(&fresh(limits).await).await;
    reused_keys_are_rejected(&fresh(limits).await).await;
    a_rating_beyond_the_limit_is_refused_and_not_logged(&fresh).await;
    the_log_contains_all_writes_in_order(&fresh(limits).await).await;
    forgotten_users_start_again(&fresh(limits).await).await;
    exposures_are_logged_and_change_no_user(&fresh(limits).await).await;
    concurrent_writes_are_all_counted(&fresh(limits).await).await;
    created_users_are_distinct(&fresh(limits).await).await;
    users_created_with_one_key_are_one(&fresh(limits).await).await;
    included_ratings_are_dropped_and_others_remain(&fresh(limits).await).await;
    nothing_is_dropped_for_watermarks_of_other_data(&fresh(limits).await).await;
    random_users_drop_ratings_as_drop_included_does(&fresh(limits).await).await;
    the_log_is_trimmed_up_to_a_watermark(&fresh(limits).await).await;
}

fn rate(user: u32, movie: u32, half_stars: u8, time: u32) -> Write {
    let stars = Stars::from_half_stars(half_stars).unwrap();
    Write::new(UserId(user), Action::Rate(MovieId(movie), stars), time)
}

fn event(user: u32, movie: u32, kind: &str, value: f32, time: u32) -> Write {
    let action = Action::Event { movie: MovieId(movie), kind: kind.into(), value };
    Write::new(UserId(user), action, time)
}

fn with_key(write: Write, key: &str, digest: u64) -> Write {
    Write { idempotency: Some(Idempotency { key: key.into(), digest }), ..write }
}

async fn user(store: &dyn LiveStore, id: u32) -> LiveUser {
    store.users(&[UserId(id)]).await.unwrap().remove(0)
}

async fn write(store: &dyn LiveStore, write: Write) -> Result<Accepted, Error> {
    let mut results = store.write(&[write]).await;
    assert_eq!(results.len(), 1);
    results.remove(0)
}

/// The whole log of a partition, a few writes at a time.
async fn log(store: &dyn LiveStore, partition: u16) -> Vec<sparrow_live::Recorded> {
    let mut all: Vec<sparrow_live::Recorded> = Vec::new();
    loop {
        let after = all.last().map_or(Sequence::default(), |last| last.sequence);
        let next = store.log(partition, after, 3).await.unwrap();
        assert!(next.len() <= 3);
        if next.is_empty() {
            return all;
        }
        all.extend(next);
    }
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % limit
    }
}

async fn a_new_store_is_empty([a, b]: &Handles) {
    for store in [a, b] {
        assert_eq!(user(store.as_ref(), 1).await, LiveUser::default());
        assert_eq!(store.users(&[]).await.unwrap(), []);
        assert!(store.write(&[]).await.is_empty());
        assert!(!store.address().is_empty());
        assert!(store.partitions() > 0);
        assert_eq!(store.partitions(), a.partitions());
        for partition in 0..store.partitions().min(3) {
            assert_eq!(log(store.as_ref(), partition).await, []);
        }
    }
}

async fn writes_are_visible_through_every_handle([a, b]: &Handles) {
    let mut last = Sequence::default();
    for (store, movie) in [(a, 5), (b, 3), (a, 4)] {
        let accepted = write(store.as_ref(), rate(7, movie, 9, 100)).await.unwrap();
        assert!(accepted.applied && !accepted.repeated);
        assert!(accepted.sequence > last, "{accepted:?} after {last}");
        last = accepted.sequence;
        for store in [a, b] {
            let user = user(store.as_ref(), 7).await;
            let rating = user.rating(MovieId(movie)).unwrap();
            assert_eq!(rating.stars.map(Stars::half_stars), Some(9));
            assert_eq!((rating.time, rating.sequence), (100, accepted.sequence));
        }
    }
    let movies: Vec<u32> = user(a.as_ref(), 7).await.ratings.iter().map(|r| r.movie.0).collect();
    assert_eq!(movies, [3, 4, 5]);
    // In the order of the ids, repeated ones and unknown ones too.
    write(b.as_ref(), event(8, 1, "view", 1.0, 1)).await.unwrap();
    let users = a.users(&[UserId(8), UserId(9), UserId(7), UserId(8)]).await.unwrap();
    let counts: Vec<_> = users.iter().map(|user| (user.ratings.len(), user.events.len())).collect();
    assert_eq!(counts, [(0, 1), (0, 0), (3, 0), (0, 1)]);
}

async fn extreme_values_are_read_back([a, b]: &Handles) {
    let (movie, time, id) = (u32::MAX, u32::MAX, u32::MAX);
    let long = "x".repeat(100);
    let writes = [
        rate(id, movie, 10, time),
        rate(id, 0, 1, 0),
        Write::new(UserId(id), Action::Unrate(MovieId(1)), 0),
        event(id, movie, "späte Ansicht", 0.1, time),
        event(id, movie, &long, -f32::MAX, 0),
        event(id, 0, "", f32::MIN_POSITIVE, 0),
        event(0, 0, "a b\r\nc\0\"d\"", 1e-30, 0),
    ];
    let mut expected: BTreeMap<UserId, LiveUser> = BTreeMap::new();
    for (write, result) in writes.iter().zip(a.write(&writes).await) {
        let sequence = result.unwrap().sequence;
        let user = expected.entry(write.user).or_default();
        user.apply(write, sequence, Limits::default()).unwrap();
    }
    for (id, expected) in expected {
        assert_eq!(user(b.as_ref(), id.0).await, expected);
    }
}

async fn random_writes_change_users_as_apply_does(
    fresh: &impl AsyncFn(Limits) -> Handles,
    limits: Limits,
) {
    let mut numbers = Numbers(7);
    let handles = fresh(limits).await;
    let mut expected: BTreeMap<UserId, LiveUser> = BTreeMap::new();
    for round in 0..60 {
        let writes: Vec<Write> = (0..=numbers.below(12))
            .map(|_| {
                let user = numbers.below(3);
                let (movie, time) = (numbers.below(9) * 300, 1000 + numbers.below(20));
                let value = numbers.below(100) as f32 / 7.0 - 4.0;
                let mut write = match numbers.below(16) {
                    0..=5 => rate(user, movie, 1 + numbers.below(10) as u8, time),
                    6..=8 => Write::new(UserId(user), Action::Unrate(MovieId(movie)), time),
                    9..=14 => {
                        let kind = ["view", "watch", "dismiss"][numbers.below(3) as usize];
                        event(user, movie, kind, value, time)
                    }
                    _ if round % 10 == 9 => Write::new(UserId(user), Action::Forget, time),
                    _ => event(user, movie, "view", value, time),
                };
                if numbers.below(4) == 0 {
                    write.stored_time = Some(1000 + numbers.below(20));
                }
                write
            })
            .collect();
        let store = &handles[numbers.below(2) as usize];
        let results = store.write(&writes).await;
        assert_eq!(results.len(), writes.len());
        for (write, result) in writes.iter().zip(results) {
            let user = expected.entry(write.user).or_default();
            let before = user.clone();
            match result {
                Ok(accepted) => {
                    let applied = user.apply(write, accepted.sequence, limits);
                    assert_eq!(Ok(accepted.applied), applied, "{write:?} of {before:?}");
                    assert!(!accepted.repeated);
                }
                Err(Error::TooManyRatings { user: id, limit }) => {
                    assert_eq!((id, limit), (write.user, limits.ratings));
                    let refused = user.apply(write, Sequence::default(), limits);
                    assert!(refused.is_err(), "{write:?} of {before:?}");
                }
                Err(error) => panic!("{error}"),
            }
        }
        let ids: Vec<UserId> = expected.keys().copied().collect();
        for store in &handles {
            let users = store.users(&ids).await.unwrap();
            for ((id, expected), user) in expected.iter().zip(users) {
                assert_eq!(*expected, user, "user {id} after round {round}");
            }
        }
    }
}

async fn retries_change_nothing([a, b]: &Handles) {
    let original = with_key(event(1, 2, "view", 1.5, 10), "k", 77);
    let first = write(a.as_ref(), original.clone()).await.unwrap();
    assert!(!first.repeated);
    let later = with_key(rate(1, 2, 4, 10), "later", 1);
    write(a.as_ref(), later).await.unwrap();
    let before = user(a.as_ref(), 1).await;
    for store in [a, b] {
        let again = write(store.as_ref(), original.clone()).await.unwrap();
        assert_eq!(again, Accepted { repeated: true, ..first });
    }
    assert_eq!(user(b.as_ref(), 1).await, before);
    assert_eq!(before.events[0].count, 1);
    // A write that was not applied is repeated as such.
    let old = with_key(rate(1, 2, 5, 9), "old", 1);
    let first = write(b.as_ref(), old.clone()).await.unwrap();
    assert!(!first.applied);
    assert_eq!(write(a.as_ref(), old).await.unwrap(), Accepted { repeated: true, ..first });
    // Twice in one batch.
    let twice = with_key(event(1, 3, "view", 1.0, 10), "twice", 1);
    let results = a.write(&[twice.clone(), twice]).await;
    let [first, second] = <[_; 2]>::try_from(results).unwrap().map(Result::unwrap);
    assert_eq!(second, Accepted { repeated: true, ..first });
    let log = log(a.as_ref(), partition(UserId(1), a.partitions())).await;
    assert_eq!(log.len(), 4);
}

async fn reused_keys_are_rejected([a, b]: &Handles) {
    write(a.as_ref(), with_key(rate(1, 2, 5, 9), "k", 1)).await.unwrap();
    let before = user(a.as_ref(), 1).await;
    let reused = with_key(rate(1, 2, 6, 10), "k", 2);
    let other_user = with_key(rate(2, 2, 6, 10), "k", 2);
    let results = b.write(&[reused, other_user, rate(3, 1, 1, 1)]).await;
    let [reused, other_user, third] = <[_; 3]>::try_from(results).unwrap();
    assert!(matches!(reused, Err(Error::KeyReused { key }) if key == "k"));
    assert!(!other_user.unwrap().repeated);
    assert!(third.unwrap().applied);
    assert_eq!(user(a.as_ref(), 1).await, before);
    // Digests are compared exactly.
    let most = with_key(rate(4, 2, 5, 9), "most", u64::MAX);
    write(a.as_ref(), most.clone()).await.unwrap();
    assert!(write(b.as_ref(), most).await.unwrap().repeated);
    let close = with_key(rate(4, 2, 5, 9), "most", u64::MAX - 1);
    assert!(matches!(write(b.as_ref(), close).await, Err(Error::KeyReused { .. })));
}

async fn a_rating_beyond_the_limit_is_refused_and_not_logged(
    fresh: &impl AsyncFn(Limits) -> Handles,
) {
    let [a, b] = fresh(Limits { ratings: 2, events: 2 }).await;
    let writes = [rate(1, 10, 5, 1), Write::new(UserId(1), Action::Unrate(MovieId(20)), 1)];
    assert!(a.write(&writes).await.iter().all(Result::is_ok));
    let before = user(a.as_ref(), 1).await;
    let third = with_key(rate(1, 30, 5, 1), "k", 1);
    let results = b.write(&[third.clone(), rate(1, 20, 7, 2), event(1, 1, "view", 1.0, 1)]).await;
    let [refused, replaced, event_result] = <[_; 3]>::try_from(results).unwrap();
    assert!(matches!(refused, Err(Error::TooManyRatings { user: UserId(1), limit: 2 })));
    assert!(replaced.unwrap().applied && event_result.unwrap().applied);
    // A refused write does not use up its key.
    assert!(matches!(write(a.as_ref(), third).await, Err(Error::TooManyRatings { .. })));
    let after = user(a.as_ref(), 1).await;
    assert_eq!((before.ratings.len(), after.ratings.len()), (2, 2));
    assert_eq!(log(a.as_ref(), partition(UserId(1), a.partitions())).await.len(), 4);
    // The least recent events make room.
    for movie in [2, 3] {
        write(b.as_ref(), event(1, movie, "view", 1.0, 1)).await.unwrap();
    }
    let movies: Vec<u32> = user(a.as_ref(), 1).await.events.iter().map(|e| e.movie.0).collect();
    assert_eq!(movies, [2, 3]);
    assert_eq!(log(b.as_ref(), partition(UserId(1), a.partitions())).await.len(), 6);
}

async fn the_log_contains_all_writes_in_order([a, b]: &Handles) {
    let mut expected: BTreeMap<u16, Vec<(Sequence, Write, bool)>> = BTreeMap::new();
    let mut numbers = Numbers(3);
    for round in 0..6_u32 {
        let mut writes = vec![
            with_key(rate(round % 3, 4, 8, 100 + round), &format!("key {round}"), u64::MAX),
            event(round, 5, "watch", 0.1 * round as f32, round),
            Write::new(UserId(1), Action::Unrate(MovieId(4)), 103),
            Write::new(UserId(numbers.below(1000)), Action::Forget, 5),
        ];
        writes[1].session = Some("session 1".into());
        writes[1].recommendation = Some("r\u{fc}ck".into());
        writes[0].stored_time = Some(3);
        let store = if round % 2 == 0 { a } else { b };
        for (write, result) in writes.iter().zip(store.write(&writes).await) {
            let accepted = result.unwrap();
            let recorded = Write { stored_time: None, ..write.clone() };
            let partition = partition(write.user, store.partitions());
            let expected = expected.entry(partition).or_default();
            expected.push((accepted.sequence, recorded, accepted.applied));
        }
    }
    let mut not_applied = 0;
    for (partition, expected) in expected {
        for store in [a, b] {
            let found = log(store.as_ref(), partition).await.into_iter();
            let found: Vec<_> = found.map(|r| (r.sequence, r.write, r.applied)).collect();
            assert_eq!(found, expected, "partition {partition}");
        }
        assert!(expected.is_sorted_by(|a, b| a.0 < b.0));
        not_applied += expected.iter().filter(|(_, _, applied)| !applied).count();
        // From a position on.
        let last = expected.len() - 1;
        let rest = a.log(partition, expected[last / 2].0, 100).await.unwrap();
        assert_eq!(rest.len(), last - last / 2);
        assert_eq!(a.log(partition, expected[last].0, 100).await.unwrap(), []);
    }
    assert!(not_applied > 0);
}

async fn forgotten_users_start_again([a, b]: &Handles) {
    for movie in 0..5 {
        write(a.as_ref(), rate(1, movie, 5, 50)).await.unwrap();
        write(a.as_ref(), event(1, movie, "like", 1.0, 50)).await.unwrap();
    }
    let forgotten = write(b.as_ref(), Write::new(UserId(1), Action::Forget, 60)).await.unwrap();
    assert!(forgotten.applied);
    let expected = LiveUser { forgotten: Some(forgotten.sequence), ..LiveUser::default() };
    assert_eq!(user(a.as_ref(), 1).await, expected);
    // Stored ratings of a forgotten user are gone, so none of them is newer.
    let again = Write { stored_time: Some(99), ..rate(1, 3, 6, 40) };
    assert!(write(a.as_ref(), again).await.unwrap().applied);
    let found = user(b.as_ref(), 1).await;
    assert_eq!((found.forgotten, found.ratings.len()), (Some(forgotten.sequence), 1));
}

/// Waits for two futures, which make progress at the same time.
async fn both<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> [T; 2] {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let mut done = [None, None];
    poll_fn(move |context| {
        if done[0].is_none()
            && let Poll::Ready(value) = a.as_mut().poll(context)
        {
            done[0] = Some(value);
        }
        if done[1].is_none()
            && let Poll::Ready(value) = b.as_mut().poll(context)
        {
            done[1] = Some(value);
        }
        match &mut done {
            [a @ Some(_), b @ Some(_)] => Poll::Ready([a.take().unwrap(), b.take().unwrap()]),
            _ => Poll::Pending,
        }
    })
    .await
}

async fn concurrent_writes_are_all_counted([a, b]: &Handles) {
    let mut sequences = HashSet::new();
    for round in 0..20 {
        let writes = vec![event(5, 1, "view", 1.0, round); 5];
        let [one, two] = both(a.write(&writes), b.write(&writes)).await;
        for accepted in one.into_iter().chain(two) {
            assert!(sequences.insert(accepted.unwrap().sequence));
        }
    }
    let user = user(a.as_ref(), 5).await;
    assert_eq!((user.events[0].count, user.events[0].sum), (200, 200.0));
    assert_eq!(Some(&user.events[0].sequence), sequences.iter().max());
    let log = log(b.as_ref(), partition(UserId(5), a.partitions())).await;
    assert_eq!(log.len(), 200);
}

async fn created_users_are_distinct([a, b]: &Handles) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        for created in both(a.create_user(None), b.create_user(None)).await {
            ids.push(created.unwrap().id.0);
        }
    }
    ids.sort_unstable();
    assert_eq!(ids, (1_000_000_001..=1_000_000_010).collect::<Vec<u32>>());
}

async fn users_created_with_one_key_are_one([a, b]: &Handles) {
    let keys = ["k", "a{b}c", "k2"];
    let mut created = Vec::new();
    for key in keys {
        // At the same time, too.
        let [one, two] = both(a.create_user(Some(key)), b.create_user(Some(key))).await;
        let id = one.unwrap().id;
        assert_eq!(two.unwrap().id, id, "{key}");
        created.push(id);
    }
    // A key of a write is another one.
    let rating = with_key(rate(created[0].0, 1, 9, 5), "k", 1);
    assert!(!write(a.as_ref(), rating).await.unwrap().repeated);
    for (key, id) in keys.into_iter().zip(&created) {
        assert_eq!(b.create_user(Some(key)).await.unwrap().id, *id, "{key}");
    }
    created.push(a.create_user(None).await.unwrap().id);
    created.push(b.create_user(Some("k3")).await.unwrap().id);
    let distinct: HashSet<UserId> = created.iter().copied().collect();
    assert_eq!(distinct.len(), created.len(), "{created:?}");
}

async fn exposures_are_logged_and_change_no_user([store, other]: &Handles) {
    let rating = write(&**store, rate(6, 1, 9, 100)).await.unwrap();
    let before = user(&**store, 6).await;
    let shown = Exposure {
        experiment: "a".into(),
        variant: "b".into(),
        model: "ease".into(),
        degraded: true,
        micros: 250,
        credits: Some("1=ease 2=emb".into()),
    };
    let exposure = Write {
        recommendation: Some("r-1".into()),
        ..Write::new(UserId(6), Action::Expose(Box::new(shown)), 200)
    };
    let exposure = with_key(exposure, "exposure a b 0", 0);
    let accepted = write(&**store, exposure.clone()).await.unwrap();
    assert!(accepted.applied && !accepted.repeated && accepted.sequence > rating.sequence);
    assert!(write(&**other, exposure.clone()).await.unwrap().repeated);
    assert_eq!(user(&**other, 6).await, before);
    let partition = partition(UserId(6), other.partitions());
    let log = other.log(partition, rating.sequence, 10).await.unwrap();
    let logged: Vec<&Write> = log.iter().map(|entry| &entry.write).collect();
    assert_eq!(logged, [&exposure]);
    // A user who only saw something has no live data.
    write(&**store, Write { user: UserId(7), ..exposure }).await.unwrap();
    assert_eq!(user(&**other, 7).await, LiveUser::default());
    assert_eq!(other.all_users().await.unwrap(), [UserId(6)]);
    write(&**store, rate(8, 1, 9, 300)).await.unwrap();
    let mut positions = vec![Sequence::default(); usize::from(other.partitions())];
    let mut users = HashSet::new();
    while !users.contains(&UserId(8)) {
        let changes = other.changes(&mut positions, Duration::from_secs(1)).await.unwrap();
        users.extend(changes.into_iter().map(|change| change.user));
    }
    assert!(!users.contains(&UserId(7)));
}

/// The watermark of all writes so far.
async fn now(store: &dyn LiveStore) -> Watermark {
    let mut watermark = Watermark::new(store.partitions());
    for partition in 0..store.partitions() {
        if let Some(last) = log(store, partition).await.last() {
            watermark.advance(partition, last.sequence);
        }
    }
    watermark
}

async fn included_ratings_are_dropped_and_others_remain([a, b]: &Handles) {
    let unrate = |user, movie| Write::new(UserId(user), Action::Unrate(MovieId(movie)), 50);
    for one in [
        rate(1, 10, 9, 50),
        unrate(1, 11),
        event(1, 12, "dismiss", 1.0, 50),
        rate(2, 10, 8, 50),
        Write::new(UserId(3), Action::Forget, 50),
        rate(3, 10, 7, 60),
        unrate(4, 10),
    ] {
        assert!(write(a.as_ref(), one).await.unwrap().applied);
    }
    let included = now(a.as_ref()).await;
    for later in [rate(1, 11, 6, 60), rate(1, 13, 5, 60), rate(3, 10, 6, 70)] {
        assert!(write(b.as_ref(), later).await.unwrap().applied);
    }
    let logged = log(a.as_ref(), partition(UserId(1), a.partitions())).await;
    let before = [user(a.as_ref(), 1).await, user(a.as_ref(), 3).await];
    assert_eq!(a.drop_included(&included).await.unwrap(), 3);
    for store in [a, b] {
        let now = user(store.as_ref(), 1).await;
        let movies: Vec<u32> = now.ratings.iter().map(|rating| rating.movie.0).collect();
        assert_eq!(movies, [11, 13]);
        assert_eq!(now.ratings, before[0].ratings[1..]);
        assert_eq!(now.events, before[0].events);
        assert_eq!(user(store.as_ref(), 3).await, before[1]);
        for dropped in [2, 4] {
            assert!(user(store.as_ref(), dropped).await.is_empty());
        }
    }
    // It can be repeated, and older watermarks change nothing.
    assert_eq!(b.drop_included(&included).await.unwrap(), 0);
    let none = Watermark::new(a.partitions());
    assert_eq!(b.drop_included(&none).await.unwrap(), 0);
    assert_eq!(log(b.as_ref(), partition(UserId(1), a.partitions())).await, logged);
    assert!(write(a.as_ref(), rate(2, 10, 4, 50)).await.unwrap().applied);
    assert_eq!(user(b.as_ref(), 2).await.ratings.len(), 1);
}

async fn nothing_is_dropped_for_watermarks_of_other_data([a, b]: &Handles) {
    let accepted = write(a.as_ref(), rate(1, 10, 9, 50)).await.unwrap();
    let at = partition(UserId(1), a.partitions());
    let mut unknown = Watermark::new(a.partitions());
    let later = Sequence { count: accepted.sequence.count + 7, ..accepted.sequence };
    unknown.advance(at, later);
    let mut of_others = Watermark::new(a.partitions() + 1);
    of_others.advance(at, accepted.sequence);
    for watermark in [Watermark::default(), unknown, of_others] {
        assert_eq!(a.drop_included(&watermark).await.unwrap(), 0, "{watermark:?}");
        assert_eq!(a.trim(&watermark).await.unwrap(), 0, "{watermark:?}");
    }
    assert_eq!(user(b.as_ref(), 1).await.ratings.len(), 1);
    assert_eq!(log(b.as_ref(), at).await.len(), 1);
    assert!(b.trimmed().await.unwrap().is_zero());
}

async fn random_users_drop_ratings_as_drop_included_does([a, b]: &Handles) {
    const USERS: u32 = 12;
    let (mut numbers, mut watermark) = (Numbers(6), Watermark::default());
    for round in 0..6 {
        for _ in 0..60 {
            let (id, movie) = (1 + numbers.below(USERS), numbers.below(9));
            let action = match numbers.below(20) {
                0 => Action::Forget,
                1..4 => Action::Unrate(MovieId(movie)),
                4..8 => Action::Event { movie: MovieId(movie), kind: "é".into(), value: 1.0 },
                half => {
                    Action::Rate(MovieId(movie), Stars::from_half_stars(half as u8 / 2).unwrap())
                }
            };
            let _ =
                write(a.as_ref(), Write::new(UserId(id), action, numbers.below(9))).await.unwrap();
        }
        let ids: Vec<UserId> = (1..=USERS).map(UserId).collect();
        let mut expected = b.users(&ids).await.unwrap();
        // The watermark of the round before, then that of now.
        for last in [watermark.clone(), now(a.as_ref()).await] {
            let mut count = 0;
            for (id, user) in ids.iter().zip(&mut expected) {
                count += user.drop_included(last.get(partition(*id, a.partitions())));
            }
            let dropped = a.drop_included(&last).await.unwrap();
            assert_eq!(dropped, count as u64, "round {round}");
            assert_eq!(b.users(&ids).await.unwrap(), expected, "round {round}");
            watermark = last;
        }
    }
}

async fn the_log_is_trimmed_up_to_a_watermark([a, b]: &Handles) {
    for movie in 0..5 {
        write(a.as_ref(), rate(1, movie, 9, 50)).await.unwrap();
        write(a.as_ref(), rate(2, movie, 9, 50)).await.unwrap();
    }
    assert!(a.trimmed().await.unwrap().is_zero());
    assert_eq!(a.trimmed().await.unwrap().partitions(), a.partitions());
    let included = now(a.as_ref()).await;
    let later = write(a.as_ref(), rate(1, 7, 9, 50)).await.unwrap();
    assert_eq!(b.trim(&included).await.unwrap(), 10);
    let at = partition(UserId(1), a.partitions());
    for store in [a, b] {
        let left: Vec<Sequence> =
            log(store.as_ref(), at).await.iter().map(|it| it.sequence).collect();
        assert_eq!(left, [later.sequence]);
        assert_eq!(store.trimmed().await.unwrap(), included);
        assert_eq!(user(store.as_ref(), 1).await.ratings.len(), 6);
    }
    // The write at the watermark is no longer in the log, but known.
    assert_eq!(a.trim(&included).await.unwrap(), 0);
    assert_eq!(a.drop_included(&included).await.unwrap(), 10);
    assert_eq!(user(b.as_ref(), 1).await.ratings.len(), 1);
    // Positions go on.
    assert!(write(b.as_ref(), rate(2, 9, 9, 50)).await.unwrap().sequence > included.get(0));
    assert_eq!(a.trim(&now(a.as_ref()).await).await.unwrap(), 2);
    assert_eq!(log(b.as_ref(), at).await, []);
    assert!(included.is_within(&b.trimmed().await.unwrap()));
}
