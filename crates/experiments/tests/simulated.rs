//! The analysis of logs of simulated users, whose behavior is known.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use sparrow_experiments::analysis::{Conversion, Evidence, Plan, Results, Units, results};
use sparrow_experiments::statistics::{Comparison, power};
use sparrow_experiments::{Experiment, Unit};
use sparrow_live::{Action, Exposure, Recorded, Sequence, Write};
use sparrow_model::{MovieId, Stars, UserId};
use sparrow_random::Random;

const DAY: u32 = 86_400;
/// The time of all exposures of simulated users.
const SHOWN: u32 = 1_000 * DAY;
/// The number of movies that a simulated user may like before an exposure, and again after it.
const MOVIES: u32 = 10;

fn plan() -> Plan {
    Plan {
        variants: vec![("a".to_owned(), 0.5), ("b".to_owned(), 0.5)],
        window: DAY,
        before: 28 * DAY,
        confidence: 0.95,
        now: SHOWN + 2 * DAY,
    }
}

fn evidence(log: impl IntoIterator<Item = Recorded>) -> Evidence {
    let events = vec!["like".to_owned(), "watch".to_owned()];
    let rating = Some(Stars::from_half_stars(7).unwrap());
    let mut evidence = Evidence::new("x", Conversion { events, rating });
    log.into_iter().for_each(|entry| evidence.add(&entry));
    evidence
}

fn entry(user: u32, action: Action, time: u32) -> Recorded {
    let write = Write::new(UserId(user), action, time);
    Recorded { sequence: Sequence::default(), write, applied: true }
}

fn exposure(variant: &str) -> Exposure {
    Exposure {
        experiment: "x".into(),
        variant: variant.into(),
        model: "ease".into(),
        degraded: false,
        micros: 500,
        credits: None,
    }
}

fn shown(user: u32, variant: &str, time: u32) -> Recorded {
    entry(user, Action::Expose(Box::new(exposure(variant))), time)
}

fn event(user: u32, movie: u32, kind: &str, time: u32) -> Recorded {
    entry(user, Action::Event { movie: MovieId(movie), kind: kind.into(), value: 1.0 }, time)
}

/// Users who like each of [`MOVIES`] with a probability of their own, before and after they are exposed, which is `effect`
/// greater for variant b after it.
fn simulated(seed: u64, users: u32, effect: f64) -> Results {
    let experiment = Experiment::new(seed.to_string(), 1.0, &[0.5, 0.5]);
    let mut random = Random::new(seed, 7);
    let mut log = Vec::new();
    for user in 1..=users {
        let id = user.to_string();
        let unit = Unit { id: &id, ratings: None, route: "" };
        let variant = experiment.assign(&unit).unwrap();
        let mut likes = random.between(0.0, 0.4);
        for movie in 0..MOVIES {
            if random.chance(likes) {
                log.push(event(user, movie, "like", SHOWN - 1 - movie));
            }
        }
        log.push(shown(user, ["a", "b"][variant], SHOWN));
        if variant == 1 {
            likes += effect;
        }
        for movie in 0..MOVIES {
            if random.chance(likes) {
                log.push(event(user, 100 + movie, "like", SHOWN + movie));
            }
        }
    }
    let plan = plan();
    results(&evidence(log).units(&plan), &plan)
}

/// How variant b compares by a metric.
type Of = fn(&Results) -> Comparison;

const METRICS: [(&str, Of); 4] = [
    ("conversion", |results| results.variants[1].conversion.plain.unwrap()),
    ("conversion, CUPED", |results| results.variants[1].conversion.adjusted.unwrap()),
    ("movies", |results| results.variants[1].movies.plain.unwrap()),
    ("movies, CUPED", |results| results.variants[1].movies.adjusted.unwrap()),
];

/// A share of `trials` deviates from its probability by less than this in all but one of 2,000 cases.
fn tolerance(probability: f64, trials: usize) -> f64 {
    3.5 * (probability * (1.0 - probability) / trials as f64).sqrt()
}

#[test]
fn experiments_without_an_effect_are_significant_in_five_percent() {
    let trials = 1000;
    let all: Vec<Results> = (0..trials).map(|seed| simulated(seed, 200, 0.0)).collect();
    for (name, of) in METRICS {
        let significant = all.iter().filter(|results| of(results).p_value < 0.05).count();
        let share = significant as f64 / all.len() as f64;
        assert!((share - 0.05).abs() < tolerance(0.05, all.len()), "{name}: {share}");
        let excluded = all.iter().filter(|results| {
            let difference = of(results).difference;
            difference.low > 0.0 || difference.high < 0.0
        });
        assert_eq!(excluded.count(), significant, "{name}: intervals are not those of the test");
    }
    let mismatched = all.iter().filter(|results| results.is_mismatched()).count();
    assert!(mismatched <= 6, "{mismatched} of {trials} ratios are mismatched");
}

#[test]
fn effects_are_found_with_the_computed_power() {
    let (effect, users, trials) = (0.04, 400, 400);
    let difference = effect * f64::from(MOVIES);
    let all: Vec<Results> = (0..trials).map(|seed| simulated(seed, users, effect)).collect();
    let found = |of: Of| {
        all.iter().filter(|results| of(results).p_value < 0.05).count() as f64 / all.len() as f64
    };
    // Of a user, likes are binomial with a uniform probability.
    let variance = |low: f64| {
        let (n, mean, squares) = (f64::from(MOVIES), low + 0.2, 0.4_f64.powi(2) / 12.0);
        n * mean * (1.0 - mean) + n * (n - 1.0) * squares
    };
    let each = users as usize / 2;
    let expected = power(difference, [variance(0.0), variance(effect)], [each; 2], 0.05);
    let plain = found(METRICS[2].1);
    assert!(
        (plain - expected).abs() < tolerance(expected, all.len()),
        "power {plain}, not {expected}"
    );
    assert!((0.4..0.95).contains(&expected), "{expected}");
    // CUPED finds more, estimates the same effect, and has the stated variance.
    let adjusted = found(METRICS[3].1);
    assert!(adjusted > plain + 0.05, "power {adjusted} with CUPED, {plain} without");
    for (name, of) in &METRICS[2..] {
        let sum: f64 = all.iter().map(|results| of(results).difference.value).sum();
        let (mean, error) = (
            sum / all.len() as f64,
            (variance(effect) * 2.0 / each as f64 / all.len() as f64).sqrt(),
        );
        assert!((mean - difference).abs() < 3.5 * error, "{name}: {mean}, not {difference}");
        let covered = all.iter().filter(|results| {
            let found = of(results).difference;
            (found.low..=found.high).contains(&difference)
        });
        let covered = covered.count() as f64 / all.len() as f64;
        assert!((covered - 0.95).abs() < tolerance(0.95, all.len()), "{name}: {covered}");
    }
    for results in &all {
        let width = |of: Of| of(results).difference.high - of(results).difference.low;
        let ratio = (width(METRICS[3].1) / width(METRICS[2].1)).powi(2);
        let explained = results.explained[1];
        assert!((ratio - (1.0 - explained)).abs() < 0.06, "{ratio} and {explained}");
        assert!(explained > 0.1, "{explained}");
    }
}

#[test]
fn lost_users_of_a_variant_are_a_ratio_mismatch() {
    let of = |lost: u32| {
        let variants = (0..4000_u32).filter(|user| user % 2 == 0 || user % 20 >= lost);
        let log = variants.map(|user| shown(user + 1, ["a", "b"][user as usize % 2], SHOWN));
        results(&evidence(log).units(&plan()), &plan())
    };
    assert!(!of(0).is_mismatched());
    assert!(of(4).is_mismatched(), "{}", of(4).ratio_p_value);
}

fn one(log: Vec<Recorded>) -> sparrow_experiments::analysis::Unit {
    let Units { units, .. } = evidence(log).units(&plan());
    assert_eq!(units.len(), 1);
    units.into_iter().next().unwrap()
}

#[test]
fn outcomes_count_within_the_window_of_an_exposure() {
    for (time, expected) in [
        (SHOWN - 28 * DAY - 1, (0, 0)),
        (SHOWN - 28 * DAY, (1, 0)),
        (SHOWN - 1, (1, 0)),
        (SHOWN, (0, 1)),
        (SHOWN + DAY, (0, 1)),
        (SHOWN + DAY + 1, (0, 0)),
        (SHOWN + 5 * DAY - 1, (0, 0)),
        (SHOWN + 5 * DAY, (0, 1)),
        (SHOWN + 6 * DAY + 1, (0, 0)),
    ] {
        let log =
            vec![shown(1, "b", SHOWN), event(1, 9, "like", time), shown(1, "b", SHOWN + 5 * DAY)];
        let unit = one(log);
        assert_eq!((unit.before, unit.after), expected, "{} s", i64::from(time) - i64::from(SHOWN));
        assert_eq!((unit.variant, unit.first, unit.last), (1, SHOWN, SHOWN + 5 * DAY));
    }
}

#[test]
fn movie_counts_once_and_only_by_outcomes() {
    let rate = |movie, half_stars| {
        let stars = Stars::from_half_stars(half_stars).unwrap();
        entry(1, Action::Rate(MovieId(movie), stars), SHOWN + 1)
    };
    let valued = |movie, value| {
        entry(1, Action::Event { movie: MovieId(movie), kind: "like".into(), value }, SHOWN + 1)
    };
    for (entries, expected) in [
        (vec![rate(1, 7)], 1),
        (vec![rate(1, 6)], 0),
        (vec![valued(1, 0.0)], 0),
        (vec![event(1, 1, "click", SHOWN + 1)], 0),
        (vec![entry(1, Action::Unrate(MovieId(1)), SHOWN + 1)], 0),
        (vec![rate(1, 10), valued(1, 1.0), event(1, 1, "watch", SHOWN + 5)], 1),
        (vec![rate(1, 10), event(1, 2, "watch", SHOWN + 5)], 2),
        (vec![Recorded { applied: false, ..rate(1, 10) }], 0),
    ] {
        let log = [vec![shown(1, "a", SHOWN)], entries.clone()].concat();
        assert_eq!(one(log).after, expected, "{entries:?}");
    }
}

#[test]
fn users_without_a_single_known_variant_are_left_out() {
    let other = Exposure { experiment: "y".into(), ..exposure("a") };
    let log = vec![
        shown(1, "a", SHOWN),
        shown(1, "b", SHOWN + DAY),
        shown(2, "c", SHOWN),
        entry(3, Action::Expose(Box::new(other)), SHOWN),
        event(4, 1, "like", SHOWN),
        shown(5, "a", SHOWN),
        entry(5, Action::Forget, SHOWN + 1),
        shown(6, "b", SHOWN),
        entry(6, Action::Forget, SHOWN + 1),
        shown(6, "a", SHOWN + 2),
    ];
    let evidence = evidence(log);
    assert_eq!(evidence.variants(), ["a", "b", "c"]);
    let found = evidence.units(&plan());
    assert_eq!((found.units.len(), found.mixed, found.unknown), (1, 1, 1));
    assert_eq!(found.units[0].first, SHOWN + 2, "what precedes a deletion is forgotten");
}

#[test]
fn guard_metrics_are_of_the_model_that_ranked() {
    let with = |user, degraded, model: &str, micros, time| {
        let shown = Exposure { degraded, model: model.into(), micros, ..exposure("b") };
        entry(user, Action::Expose(Box::new(shown)), time)
    };
    let log = vec![
        shown(1, "a", SHOWN),
        shown(2, "a", SHOWN),
        with(3, true, "popularity", 100, SHOWN),
        with(3, false, "emb", 300, SHOWN + DAY),
        with(4, false, "emb", 1000, SHOWN + DAY),
    ];
    let results = results(&evidence(log).units(&plan()), &plan());
    let b = &results.variants[1];
    assert_eq!((b.users, b.exposures, results.variants[0].exposures), (2, 3, 2));
    // User 3 has degraded answers half of the time.
    assert_eq!(b.degraded.mean.unwrap().value, 0.25);
    assert_eq!(b.degraded.plain.unwrap().difference.value, 0.25);
    assert_eq!(b.milliseconds.mean.unwrap().value, 0.6);
    assert_eq!(b.percentiles, Some([0.3, 1.0, 1.0]));
    assert_eq!((b.models["emb"], b.models["popularity"]), (2, 1));
    assert_eq!((results.period, results.open), (Some((SHOWN, SHOWN + DAY)), 0));
    assert_eq!(b.degraded.adjusted, None);
}

#[test]
fn interleaved_models_are_compared_by_the_outcomes_of_their_movies() {
    let list = |user| {
        let shown = Exposure { credits: Some("1=ease 2=emb 3=ease".into()), ..exposure("b") };
        entry(user, Action::Expose(Box::new(shown)), SHOWN)
    };
    let mut log = vec![shown(100, "a", SHOWN)];
    for user in 1..=10 {
        log.push(list(user));
        // Both models of user 10 have an outcome; movie 4 is of neither.
        let movies = match user {
            1..=7 => vec![1, 3],
            8..=9 => vec![2, 4],
            _ => vec![2, 3],
        };
        log.extend(movies.into_iter().map(|movie| event(user, movie, "like", SHOWN + 10)));
    }
    let results = results(&evidence(log).units(&plan()), &plan());
    let found = results.variants[1].interleaved.clone().unwrap();
    assert_eq!(found.models, ["ease", "emb"]);
    assert_eq!((found.outcomes, found.users), ([15, 3], [7, 2]));
    assert!((found.p_value - 0.179_687_5).abs() < 1e-9, "{}", found.p_value);
    assert_eq!(results.variants[0].interleaved, None);
}

#[test]
fn analysis_of_few_users_has_no_comparison() {
    let none = results(&Units::default(), &plan());
    assert_eq!((none.period, none.ratio_p_value), (None, 1.0));
    assert_eq!(none.variants[1].conversion.mean, None);
    let log = vec![shown(1, "a", SHOWN), shown(2, "b", SHOWN)];
    let few = results(&evidence(log).units(&plan()), &plan());
    assert!(few.variants[1].movies.plain.is_none() && few.variants[1].percentiles.is_some());
    assert_eq!(few.variants[1].movies.mean.unwrap().value, 0.0);
}
