//! GrowthBook's published test cases, which are not part of the project: the environment variable
//! `SPARROW_GROWTHBOOK_CASES` names the file.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "the numbers of cases are results")]
#![expect(clippy::unnecessary_wraps, reason = "the tests of all sections have one type")]

use std::collections::BTreeMap;

use serde_json::Value;
use sparrow_experiments::{
    BucketRange, Experiment, Filter, HashVersion, Layer, Namespace, Targeting, Unit, bucket_ranges,
    choose_variation, equal_weights, hash,
};

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    Some(value.as_array()?.iter().map(number).collect())
}

fn range(value: &Value) -> BucketRange {
    BucketRange::new(number(&value[0]), number(&value[1]))
}

fn ranges(value: &Value) -> Vec<BucketRange> {
    value.as_array().unwrap().iter().map(range).collect()
}

fn version(value: &Value, default: HashVersion) -> Option<HashVersion> {
    match value.as_u64() {
        None => Some(default),
        Some(1) => Some(HashVersion::V1),
        Some(2) => Some(HashVersion::V2),
        Some(_) => None,
    }
}

/// What a case is about that Sparrow does not have, or whether it passes.
type Outcome = Result<bool, &'static str>;

fn hashes(case: &Value) -> Outcome {
    // `null` stands for a version that does not exist, which the type does not allow.
    let version = version(&case[2], HashVersion::V1).ok_or("unknown versions of the hash")?;
    Ok(hash(case[0].as_str().unwrap(), case[1].as_str().unwrap(), version) == number(&case[3]))
}

fn same(found: &[BucketRange], expected: &[BucketRange]) -> bool {
    let is_near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(a, b)| is_near(a.start, b.start) && is_near(a.end, b.end))
}

fn range_case(case: &Value) -> Outcome {
    let [variations, coverage, weights] = [&case[1][0], &case[1][1], &case[1][2]];
    let weights = numbers(weights);
    let variations = variations.as_u64().unwrap() as usize;
    let found = bucket_ranges(variations, number(coverage), weights.as_deref());
    Ok(same(&found, &ranges(&case[2])))
}

fn choice(case: &Value) -> Outcome {
    let found = choose_variation(number(&case[1]), &ranges(&case[2]));
    let expected = usize::try_from(case[3].as_i64().unwrap()).ok();
    Ok(found == expected)
}

fn namespace(value: &Value) -> Namespace {
    let range = BucketRange::new(number(&value[1]), number(&value[2]));
    Namespace { name: value[0].as_str().unwrap().to_owned(), range }
}

fn in_namespace(case: &Value) -> Outcome {
    let found = namespace(&case[2]).includes(case[1].as_str().unwrap());
    Ok(found == case[3].as_bool().unwrap())
}

fn weights(case: &Value) -> Outcome {
    let variations = usize::try_from(case[0].as_i64().unwrap());
    let variations = variations.map_err(|_| "negative numbers of variations")?;
    let (found, expected) = (equal_weights(variations), numbers(&case[1]).unwrap());
    let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-6;
    Ok(found.len() == expected.len() && found.iter().zip(&expected).all(is_near))
}

/// The targeting of an experiment of the cases.
fn targeting(context: &Value, experiment: &Value) -> Result<Targeting, &'static str> {
    let Some(condition) = experiment["condition"].as_object() else {
        return Ok(Targeting::default());
    };
    let group = condition.get("id").and_then(|id| id["$inGroup"].as_str());
    let group = group.ok_or("conditions on attributes of browsers")?;
    let users = context["savedGroups"][group].as_array().unwrap().iter();
    let users = users.map(|user| user.as_str().unwrap().to_owned()).collect();
    Ok(Targeting { users: Some(users), ..Targeting::default() })
}

fn run(case: &Value) -> Outcome {
    let (context, experiment) = (&case[1], &case[2]);
    for (part, why) in [
        ("qaMode", "a mode for quality assurance"),
        ("url", "forced variations in web addresses"),
        ("forcedVariations", "forced variations by user"),
        ("features", "feature flags"),
    ] {
        if !context[part].is_null() {
            return Err(why);
        }
    }
    let key = experiment["key"].as_str().unwrap();
    let variations = experiment["variations"].as_array().unwrap();
    let seed = experiment["seed"].as_str().unwrap_or(key);
    let given = numbers(&experiment["weights"]);
    let coverage = experiment["coverage"].as_f64().unwrap_or(1.0);
    let layer = match (experiment["filters"].as_array(), &experiment["namespace"]) {
        (Some(filters), _) => {
            let filter = |filter: &Value| {
                if !filter["attribute"].is_null() {
                    return Err("filters by another attribute than the variations");
                }
                Ok(Filter {
                    seed: filter["seed"].as_str().unwrap().to_owned(),
                    ranges: ranges(&filter["ranges"]),
                    version: version(&filter["hashVersion"], HashVersion::V2).unwrap(),
                })
            };
            Some(Layer::Filters(filters.iter().map(filter).collect::<Result<_, _>>()?))
        }
        (None, Value::Null) => None,
        (None, value) => Some(Layer::Namespace(namespace(value))),
    };
    let enabled = context["enabled"].as_bool().unwrap_or(true);
    let ours = Experiment {
        seed: seed.to_owned(),
        version: version(&experiment["hashVersion"], HashVersion::V1).unwrap(),
        ranges: match &experiment["ranges"] {
            Value::Null => bucket_ranges(variations.len(), coverage, given.as_deref()),
            given => ranges(given),
        },
        active: enabled && experiment["active"].as_bool().unwrap_or(true),
        layer,
        holdout: None,
        targeting: targeting(context, experiment)?,
        force: experiment["force"]
            .as_i64()
            .map(|force| usize::try_from(force).unwrap_or(usize::MAX)),
    };
    let attribute = experiment["hashAttribute"].as_str().unwrap_or("id");
    let id = context["attributes"][attribute].as_str().unwrap_or_default();
    let found = ours.assign(&Unit { id, ratings: None, route: "" });
    let is_in = case[4].as_bool().unwrap();
    // Without an assignment, the value is that of the first variation.
    let value = &variations[found.unwrap_or(0)];
    let is_hashed = found.is_ok() && ours.force.is_none();
    Ok(found.is_ok() == is_in && *value == case[3] && is_hashed == case[5].as_bool().unwrap())
}

/// Checks the cases of a section. Returns the numbers of those that passed, and the others by reason.
fn check(cases: &Value, section: &str, test: fn(&Value) -> Outcome) -> (usize, usize) {
    let (mut passed, mut other) = (0, BTreeMap::<&str, usize>::new());
    for case in cases[section].as_array().unwrap() {
        match test(case) {
            Ok(is_right) => assert!(is_right, "{section}: {case}"),
            Err(why) => *other.entry(why).or_default() += 1,
        }
        passed += usize::from(test(case).is_ok());
    }
    println!("{section}: {passed} passed, not applicable: {other:?}");
    (passed, other.into_values().sum())
}

#[test]
#[ignore = "needs GrowthBook's test cases: set SPARROW_GROWTHBOOK_CASES, run .ci/test"]
fn growthbook_cases_pass() {
    let path = std::env::var_os("SPARROW_GROWTHBOOK_CASES");
    let path = path.expect("SPARROW_GROWTHBOOK_CASES names the file with the cases");
    let cases = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(check(&cases, "hash", hashes), (14, 1));
    assert_eq!(check(&cases, "getBucketRange", range_case), (13, 0));
    assert_eq!(check(&cases, "chooseVariation", choice), (13, 0));
    assert_eq!(check(&cases, "inNamespace", in_namespace), (16, 0));
    assert_eq!(check(&cases, "getEqualWeights", weights), (5, 1));
    assert_eq!(check(&cases, "run", run), (61, 12));
}
