use std::collections::HashSet;
use std::fmt;

use crate::bucket::{
    BucketRange, Filter, HashVersion, Namespace, bucket_ranges, choose_variation, hash,
};

/// An experiment: who takes part, and how users are distributed over its variants, which have indices here.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The seed of the hash.
    pub seed: String,
    /// The version of the hash.
    pub version: HashVersion,
    /// The hashes of each variant. An experiment has at least two.
    pub ranges: Vec<BucketRange>,
    /// Whether anybody takes part.
    pub active: bool,
    /// The part of the users that other experiments leave to this one.
    pub layer: Option<Layer>,
    /// The users that take part in no experiment with this holdout.
    pub holdout: Option<Holdout>,
    /// Who takes part otherwise.
    pub targeting: Targeting,
    /// The variant that everybody gets who would get any.
    pub force: Option<usize>,
}

/// A part of the users. Experiments in one layer with disjoint parts have no common users.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// By a hash of version 1.
    Namespace(Namespace),
    /// By hashes of any version. A user is in all filters.
    Filters(Vec<Filter>),
}

impl Layer {
    fn includes(&self, value: &str) -> bool {
        match self {
            Self::Namespace(namespace) => namespace.includes(value),
            Self::Filters(filters) => filters.iter().all(|filter| filter.includes(value)),
        }
    }
}

/// Users that take part in no experiment, so that the effect of all of them together can be measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Holdout {
    /// The seed of the hash.
    pub seed: String,
    /// The share of users.
    pub share: f64,
}

impl Holdout {
    /// Whether it contains a user.
    pub fn includes(&self, value: &str) -> bool {
        hash(&self.seed, value, HashVersion::V2) < self.share
    }
}

/// Conditions that users and requests must meet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targeting {
    /// These users only; `None` for all.
    pub users: Option<HashSet<String>>,
    /// Users with at least this number of ratings.
    pub min_ratings: Option<usize>,
    /// Users with at most this number of ratings.
    pub max_ratings: Option<usize>,
    /// Requests of these routes only; `None` for all.
    pub routes: Option<Vec<String>>,
}

impl Targeting {
    /// Whether the number of ratings matters.
    pub const fn needs_ratings(&self) -> bool {
        self.min_ratings.is_some() || self.max_ratings.is_some()
    }

    fn includes(&self, unit: &Unit<'_>) -> bool {
        let ratings = unit.ratings;
        self.users.as_ref().is_none_or(|users| users.contains(unit.id))
            && self.min_ratings.is_none_or(|least| ratings.is_some_and(|number| number >= least))
            && self.max_ratings.is_none_or(|most| ratings.is_some_and(|number| number <= most))
            && self
                .routes
                .as_ref()
                .is_none_or(|routes| routes.iter().any(|route| route == unit.route))
    }
}

/// Who makes a request, and which.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    /// What is hashed: the user id in decimal digits.
    pub id: &'a str,
    /// The number of ratings of the user, if it is known.
    pub ratings: Option<usize>,
    /// The route of the request.
    pub route: &'a str,
}

/// Why a user gets no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excluded {
    /// The experiment is not active, or has fewer than two variants.
    Inactive,
    /// There is no id.
    NoId,
    /// The holdout contains the user.
    Holdout,
    /// The layer leaves the user to other experiments.
    Layer,
    /// The conditions are not met.
    Targeting,
    /// The variants do not cover the user.
    Coverage,
    /// [`Experiment::force`] is not the index of a variant.
    Force,
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inactive => "inactive",
            Self::NoId => "no id",
            Self::Holdout => "holdout",
            Self::Layer => "other layer range",
            Self::Targeting => "not targeted",
            Self::Coverage => "not covered",
            Self::Force => "no such variant",
        })
    }
}

impl Experiment {
    /// An experiment for all users, with these weights of its variants.
    pub fn new(seed: impl Into<String>, coverage: f64, weights: &[f64]) -> Self {
        Self {
            seed: seed.into(),
            version: HashVersion::default(),
            ranges: bucket_ranges(weights.len(), coverage, Some(weights)),
            active: true,
            layer: None,
            holdout: None,
            targeting: Targeting::default(),
            force: None,
        }
    }

    /// The index of the variant of a user. It depends on the arguments alone: a user keeps the variant as long as the experiment and
    /// what it is targeted at stay the same.
    pub fn assign(&self, unit: &Unit<'_>) -> Result<usize, Excluded> {
        if !self.active || self.ranges.len() < 2 {
            return Err(Excluded::Inactive);
        }
        if unit.id.is_empty() {
            return Err(Excluded::NoId);
        }
        if self.holdout.as_ref().is_some_and(|holdout| holdout.includes(unit.id)) {
            return Err(Excluded::Holdout);
        }
        if self.layer.as_ref().is_some_and(|layer| !layer.includes(unit.id)) {
            return Err(Excluded::Layer);
        }
        if !self.targeting.includes(unit) {
            return Err(Excluded::Targeting);
        }
        let hash = hash(&self.seed, unit.id, self.version);
        let chosen = choose_variation(hash, &self.ranges).ok_or(Excluded::Coverage)?;
        match self.force {
            None => Ok(chosen),
            Some(forced) if forced < self.ranges.len() => Ok(forced),
            Some(_) => Err(Excluded::Force),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn unit(id: &str) -> Unit<'_> {
        Unit { id, ratings: Some(10), route: "/recommendations" }
    }

    proptest! {
        #[test]
        fn held_out_users_are_in_no_experiment(id in any::<u32>(), share in 0.0..1.0_f64) {
            let id = id.to_string();
            let holdout = Some(Holdout { seed: "quarter".into(), share });
            let assigned = |seed: &str| {
                Experiment { holdout: holdout.clone(), ..Experiment::new(seed, 1.0, &[0.5, 0.5]) }.assign(&unit(&id))
            };
            let is_held_out = assigned("a") == Err(Excluded::Holdout);
            prop_assert_eq!(is_held_out, assigned("b") == Err(Excluded::Holdout));
            prop_assert_eq!(is_held_out, hash("quarter", &id, HashVersion::V2) < share);
        }

        #[test]
        fn variant_does_not_depend_on_other_conditions(id in any::<u32>()) {
            let id = id.to_string();
            let plain = Experiment::new("a", 1.0, &[0.3, 0.7]);
            let layer = Filter { seed: "l".into(), ranges: vec![BucketRange::new(0.0, 0.5)], version: HashVersion::V2 };
            let restricted = Experiment { layer: Some(Layer::Filters(vec![layer])), ..plain.clone() };
            let chosen = restricted.assign(&unit(&id));
            prop_assert!(chosen == Err(Excluded::Layer) || chosen == plain.assign(&unit(&id)));
        }
    }

    #[test]
    fn targeting_compares_users_ratings_and_routes() {
        let with = |targeting| Experiment { targeting, ..Experiment::new("a", 1.0, &[0.5, 0.5]) };
        let is_in = |targeting, unit| with(targeting).assign(&unit) != Err(Excluded::Targeting);
        let users = |ids: [&str; 1]| Targeting {
            users: Some(ids.map(str::to_owned).into()),
            ..Targeting::default()
        };
        assert!(is_in(users(["6"]), unit("6")) && !is_in(users(["6"]), unit("7")));
        for (least, most, ratings, expected) in [
            (Some(10), None, Some(10), true),
            (Some(11), None, Some(10), false),
            (None, Some(10), Some(10), true),
            (None, Some(9), Some(10), false),
            (Some(0), None, None, false),
        ] {
            let targeting =
                Targeting { min_ratings: least, max_ratings: most, ..Targeting::default() };
            let found = is_in(targeting, Unit { ratings, ..unit("6") });
            assert_eq!(found, expected, "{least:?} {most:?} {ratings:?}");
        }
        let routes = |route: &str| Targeting {
            routes: Some(vec![route.to_owned()]),
            ..Targeting::default()
        };
        assert!(is_in(routes("/recommendations"), unit("6")));
        assert!(!is_in(routes("/home"), unit("6")));
    }
}
