//! GrowthBook's bucketing: <https://docs.growthbook.io/lib/build-your-own>.

/// The version of the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashVersion {
    /// 1,000 buckets. The buckets of similar seeds correlate.
    V1,
    /// 10,000 buckets, without that correlation.
    #[default]
    V2,
}

/// FNV-1a with 32 bits over the parts as one text.
fn fnv1a(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    bytes.fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The hash of a value, such as a user id, from 0 to below 1. Texts are hashed as UTF-8.
pub fn hash(seed: &str, value: &str, version: HashVersion) -> f64 {
    let (seed, value) = (seed.as_bytes(), value.as_bytes());
    match version {
        HashVersion::V1 => f64::from(fnv1a(&[value, seed]) % 1000) / 1000.0,
        HashVersion::V2 => {
            // The digits of the first hash, without an allocation.
            let mut digits = [0; 10];
            let (mut rest, mut from) = (fnv1a(&[seed, value]), digits.len());
            loop {
                from -= 1;
                digits[from] = b'0' + (rest % 10) as u8;
                rest /= 10;
                if rest == 0 {
                    break;
                }
            }
            f64::from(fnv1a(&[&digits[from..]]) % 10_000) / 10_000.0
        }
    }
}

/// A range of hashes: `start` belongs to it, `end` does not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BucketRange {
    /// The first hash.
    pub start: f64,
    /// The end.
    pub end: f64,
}

impl BucketRange {
    /// A range from `start` to below `end`.
    pub const fn new(start: f64, end: f64) -> Self {
        Self { start, end }
    }

    /// Whether a hash is in the range.
    pub fn contains(self, hash: f64) -> bool {
        self.start <= hash && hash < self.end
    }
}

/// Equal weights for variations, with the sum 1.
pub fn equal_weights(variations: usize) -> Vec<f64> {
    vec![1.0 / variations as f64; variations]
}

/// The ranges of variations with these weights, each reduced to the share `coverage` from its start. If the number of
/// weights differs from `variations` or their sum is not about 1, the weights are equal. `coverage` is limited to 0 to 1.
pub fn bucket_ranges(
    variations: usize,
    coverage: f64,
    weights: Option<&[f64]>,
) -> Vec<BucketRange> {
    let coverage = coverage.clamp(0.0, 1.0);
    let is_valid = |weights: &&[f64]| {
        weights.len() == variations && (0.99..=1.01).contains(&weights.iter().sum::<f64>())
    };
    let equal = equal_weights(variations);
    let weights = weights.filter(is_valid).unwrap_or(&equal);
    let mut start = 0.0;
    let range = |&weight: &f64| {
        let range = BucketRange::new(start, start + coverage * weight);
        start += weight;
        range
    };
    weights.iter().map(range).collect()
}

/// The variation whose range contains the hash; `None` if none does.
pub fn choose_variation(hash: f64, ranges: &[BucketRange]) -> Option<usize> {
    ranges.iter().position(|range| range.contains(hash))
}

/// A namespace of GrowthBook with a range: experiments with disjoint ranges of one namespace have no common users. The hash
/// is always version 1; a [`Filter`] does the same with version 2.
#[derive(Debug, Clone, PartialEq)]
pub struct Namespace {
    /// The name.
    pub name: String,
    /// The part of the users.
    pub range: BucketRange,
}

impl Namespace {
    /// Whether a value, such as a user id, is in the range.
    pub fn includes(&self, value: &str) -> bool {
        self.range.contains(hash(&format!("__{}", self.name), value, HashVersion::V1))
    }
}

/// A filter of GrowthBook: the users whose hash is in one of some ranges.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The seed of the hash.
    pub seed: String,
    /// The ranges.
    pub ranges: Vec<BucketRange>,
    /// The version of the hash.
    pub version: HashVersion,
}

impl Filter {
    /// Whether a value, such as a user id, is in one of the ranges.
    pub fn includes(&self, value: &str) -> bool {
        choose_variation(hash(&self.seed, value, self.version), &self.ranges).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(0.01..1.0_f64, 2..6).prop_map(|weights| {
            let sum: f64 = weights.iter().sum();
            weights.into_iter().map(|weight| weight / sum).collect()
        })
    }

    proptest! {
        #[test]
        fn hashes_are_multiples_of_a_bucket(seed in ".{0,12}", value in ".{0,12}") {
            for (version, buckets) in [(HashVersion::V1, 1000.0), (HashVersion::V2, 10_000.0)] {
                let hash = hash(&seed, &value, version);
                prop_assert!((0.0..1.0).contains(&hash));
                prop_assert!((hash * buckets - (hash * buckets).round()).abs() < 1e-9);
            }
        }

        #[test]
        fn version_2_hashes_the_decimal_digits(seed in ".{0,12}", value in ".{0,12}") {
            let text = fnv1a(&[seed.as_bytes(), value.as_bytes()]).to_string();
            let expected = f64::from(fnv1a(&[text.as_bytes()]) % 10_000) / 10_000.0;
            prop_assert_eq!(hash(&seed, &value, HashVersion::V2), expected);
        }

        #[test]
        fn ranges_are_disjoint_and_have_the_covered_weights(weights in weights(), coverage in 0.0..=1.0_f64) {
            let ranges = bucket_ranges(weights.len(), coverage, Some(&weights));
            for (range, weight) in ranges.iter().zip(&weights) {
                prop_assert!((range.end - range.start - weight * coverage).abs() < 1e-9);
            }
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start + 1e-12);
            }
        }

        #[test]
        fn more_coverage_moves_nobody(weights in weights(), low in 0.0..1.0_f64, hash in 0.0..1.0_f64) {
            let before = choose_variation(hash, &bucket_ranges(weights.len(), low, Some(&weights)));
            let after = choose_variation(hash, &bucket_ranges(weights.len(), 1.0, Some(&weights)));
            prop_assert!(before.is_none() || before == after);
        }

        #[test]
        fn disjoint_ranges_share_no_user(id in any::<u32>(), cut in 0.0..1.0_f64, name in "[a-z]{1,8}") {
            let (low, high) = (BucketRange::new(0.0, cut), BucketRange::new(cut, 1.0));
            let value = id.to_string();
            let namespace = |range| Namespace { name: name.clone(), range }.includes(&value);
            prop_assert!(namespace(low) != namespace(high));
            let filter = |range| Filter { seed: name.clone(), ranges: vec![range], version: HashVersion::V2 }
                .includes(&value);
            prop_assert!(filter(low) != filter(high));
        }
    }

    #[test]
    fn variants_get_their_weights_of_consecutive_ids() {
        let weights = [0.1, 0.3, 0.6];
        let ranges = bucket_ranges(3, 0.5, Some(&weights));
        let mut counts = [0; 4];
        let users = 40_000;
        for id in 0..users {
            let hash = hash("salt", &f64::from(id).to_string(), HashVersion::V2);
            counts[choose_variation(hash, &ranges).unwrap_or(3)] += 1;
        }
        for (count, expected) in counts.into_iter().zip([0.05, 0.15, 0.3, 0.5]) {
            let share = f64::from(count) / f64::from(users);
            let deviation = (expected * (1.0 - expected) / f64::from(users)).sqrt();
            assert!((share - expected).abs() < 5.0 * deviation, "{share} of {expected}");
        }
    }
}
