//! The measures of groups: of users by the length of their history, and of held-out ratings by the popularity of the
//! movie.
//!
//! Both are counted in the training part, which is all that a model knows. The groups are the same for all data sets, so
//! reports are comparable; those without observations are omitted.

use std::collections::HashMap;

use sparrow_model::{Catalog, MovieIndex};

use crate::observations::{Labels, Means, Observations};
use crate::split::Parts;
use crate::{Evaluation, Protocol, Seed, resampled, statistics};

/// The least number of ratings of each group.
const GROUPS: [u32; 9] = [0, 1, 5, 10, 20, 50, 100, 200, 500];

/// The group of a number of ratings.
fn group_of(ratings: u32) -> usize {
    GROUPS.partition_point(|&least| least <= ratings) - 1
}

/// A measure of a group, over all seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// The least number of ratings.
    pub least: u32,
    /// The greatest number of ratings; `None` for the last group.
    pub most: Option<u32>,
    /// The number of users with observations, as a mean over the seeds.
    pub users: f64,
    /// The mean over the seeds.
    pub mean: f64,
    /// The 95% confidence interval, as in [`Measure`](crate::Measure); `None` for fewer than five users, whose resamples are
    /// too much alike.
    pub interval: Option<(f64, f64)>,
}

impl Group {
    /// The number of ratings as text, such as `5–9`.
    pub fn name(&self) -> String {
        match self.most {
            Some(most) if most == self.least => self.least.to_string(),
            Some(most) => format!("{}–{most}", self.least),
            None => format!("{} and more", self.least),
        }
    }
}

/// The measure of [`by_history`].
pub const fn measure_by_history(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Label => "roc_auc",
        Protocol::FullRanking | Protocol::ColdItems | Protocol::Replay => "ndcg_at_10",
        Protocol::LeaveOneOut => "ndcg_at_10_all",
        Protocol::FirstK => "ndcg_at_10_first_10",
    }
}

/// The measure of [`by_popularity`]. For a user, recall is the share of the held-out ratings of the group that are in the
/// list. [`Protocol::FirstK`] and [`Protocol::ColdItems`] have no such groups.
pub const fn measure_by_popularity(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Label => "roc_auc",
        Protocol::FullRanking | Protocol::FirstK | Protocol::ColdItems => "recall_at_10",
        Protocol::LeaveOneOut => "hit_rate_at_10_all",
        Protocol::Replay => "hit_rate_at_10",
    }
}

/// [`measure_by_history`] for users by their number of ratings in the training part.
pub fn by_history(evaluation: &Evaluation) -> Vec<Group> {
    let of_group = |seed: &Seed, group| {
        let length = |user| seed.histories.get(&user).copied().unwrap_or_default();
        seed.measured.of_users(|user| group_of(length(user)) == group)
    };
    groups(evaluation, measure_by_history(evaluation.options.protocol), &of_group)
}

/// [`measure_by_popularity`] for held-out ratings by the number of ratings of the movie in the training part.
pub fn by_popularity(evaluation: &Evaluation) -> Vec<Group> {
    let of_group =
        |seed: &Seed, group| seed.by_popularity.0.get(group).cloned().unwrap_or_default();
    groups(evaluation, measure_by_popularity(evaluation.options.protocol), &of_group)
}

fn groups(
    evaluation: &Evaluation,
    name: &str,
    of_group: &dyn Fn(&Seed, usize) -> Observations,
) -> Vec<Group> {
    let groups = GROUPS.iter().enumerate().filter_map(|(index, &least)| {
        let of_seeds = evaluation.seeds.iter().map(|seed| of_group(seed, index));
        let of_seeds: Vec<Observations> = of_seeds.filter(|seed| !seed.is_empty()).collect();
        let mut values = Vec::new();
        let mut users = 0;
        for seed in &of_seeds {
            let mut of_seed: Vec<u32> = seed.users().collect();
            of_seed.sort_unstable();
            of_seed.dedup();
            users += of_seed.len();
            let all = vec![1; of_seed.last().map_or(0, |&last| last as usize + 1)];
            // A group with likes only, or without likes, has no ROC AUC.
            let Some(measures) = seed.measure(&all) else { continue };
            values.extend(measures.iter().find(|measure| measure.0 == name).map(|it| it.1));
        }
        if values.is_empty() {
            return None;
        }
        let users = users as f64 / evaluation.seeds.len() as f64;
        let observed: Vec<&Observations> = of_seeds.iter().collect();
        let resamples = if users < 5.0 { 0 } else { evaluation.options.resamples };
        let drawn = resampled(&observed, resamples);
        let drawn = drawn.into_iter().find(|measure| measure.0 == name);
        Some(Group {
            least,
            most: GROUPS.get(index + 1).map(|next| next - 1),
            users,
            mean: statistics::mean_and_deviation(&values).0,
            interval: drawn.and_then(|(_, mut values)| statistics::interval(&mut values)),
        })
    });
    groups.collect()
}

/// The numbers of ratings in the training part of the users with held-out ratings, by their index in the whole data set.
pub(crate) fn histories(catalog: &Catalog, parts: &Parts) -> HashMap<u32, u32> {
    let length = |user| parts.training.users().find(user).map_or(0, |history| history.len());
    let users = parts.test.iter().filter_map(|test| {
        let index = catalog.users().index_of(test.user())?;
        Some((index.0, length(test.user()) as u32))
    });
    users.collect()
}

/// The observations of held-out ratings by group.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct ByPopularity(Vec<Observations>);

impl ByPopularity {
    /// Groups a value for each held-out rating: `values` has the index of the user, the movie and the value. A user's value
    /// of a group is the mean of these. The values are ordered by user.
    pub(crate) fn means(
        training: &Catalog,
        name: &'static str,
        values: &[(u32, MovieIndex, f64)],
    ) -> Self {
        let mut groups = vec![Means::new(&[name]); GROUPS.len()];
        for of_user in values.chunk_by(|a, b| a.0 == b.0) {
            let mut sums = [(0.0, 0); GROUPS.len()];
            for &(_, movie, value) in of_user {
                let (sum, count) = &mut sums[group_of(training.stats(movie).count)];
                *sum += value;
                *count += 1;
            }
            for (group, (sum, count)) in groups.iter_mut().zip(sums) {
                if count > 0 {
                    group.push(of_user[0].0, &[sum / f64::from(count)]);
                }
            }
        }
        Self(groups.into_iter().map(|means| Observations { means, labels: None }).collect())
    }

    /// Groups triples of score, label and user; `movies` has their movies.
    pub(crate) fn labels(
        training: &Catalog,
        pairs: &[(f32, bool, u32)],
        movies: &[MovieIndex],
    ) -> Self {
        let mut groups = vec![Vec::new(); GROUPS.len()];
        for (&pair, &movie) in pairs.iter().zip(movies) {
            groups[group_of(training.stats(movie).count)].push(pair);
        }
        let groups = groups.into_iter().map(|pairs| Observations {
            means: Means::default(),
            labels: Some(Labels::new(pairs, false)),
        });
        Self(groups.collect())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::tests::generated;
    use crate::{Options, method, run};

    #[test]
    fn groups_have_names_and_contain_their_bounds() {
        let names: Vec<String> = (0..GROUPS.len())
            .map(|index| {
                let most = GROUPS.get(index + 1).map(|next| next - 1);
                Group { least: GROUPS[index], most, users: 0.0, mean: 0.0, interval: None }.name()
            })
            .collect();
        assert_eq!(names[..3], ["0", "1–4", "5–9"]);
        assert_eq!(names[8], "500 and more");
        for (index, least) in GROUPS.into_iter().enumerate() {
            assert_eq!(group_of(least), index);
            assert_eq!(group_of(least.saturating_sub(1)), index.saturating_sub(1));
        }
        assert_eq!(group_of(u32::MAX), 8);
    }

    async fn evaluated(protocol: Protocol, model: &str) -> Evaluation {
        let catalog = generated(80, 60, 1600);
        let options = Options { seeds: vec![1, 2], resamples: 50, ..Options::new(protocol) };
        let method = method(model, None).unwrap();
        run(&catalog, &*method, &options, &|_, _| {}).await.unwrap()
    }

    fn mean(evaluation: &Evaluation, name: &str) -> f64 {
        evaluation.measures.iter().find(|measure| measure.name == name).unwrap().mean
    }

    /// The groups partition the users, so their weighted mean is the measure of all.
    #[tokio::test]
    async fn groups_of_users_combine_to_the_whole_measure() {
        for protocol in [Protocol::FullRanking, Protocol::LeaveOneOut] {
            let mut evaluation = evaluated(protocol, "popularity").await;
            evaluation.seeds.truncate(1);
            let name = measure_by_history(protocol);
            let whole = evaluation.seeds[0].measures.iter().find(|it| it.0 == name).unwrap().1;
            let groups = by_history(&evaluation);
            assert!(groups.len() > 1, "{groups:?}");
            let users: f64 = groups.iter().map(|group| group.users).sum();
            assert_eq!(users, evaluation.seeds[0].users as f64);
            let sum: f64 = groups.iter().map(|group| group.users * group.mean).sum();
            assert!((sum / users - whole).abs() < 1e-12, "{sum} {users} {whole}");
            for group in groups {
                assert_eq!(group.interval.is_some(), group.users >= 5.0, "{group:?}");
                let (low, high) = group.interval.unwrap_or((0.0, 1.0));
                assert!(low <= group.mean && group.mean <= high, "{group:?}");
            }
        }
    }

    #[tokio::test]
    async fn popularity_finds_only_popular_movies() {
        let evaluation = evaluated(Protocol::FullRanking, "popularity").await;
        let groups = by_popularity(&evaluation);
        let (first, last) = (groups[0], groups[groups.len() - 1]);
        assert!(first.mean < 0.05 && last.mean > 0.2, "{groups:?}");
        // With one held-out rating a user, the groups partition the users.
        let evaluation = evaluated(Protocol::LeaveOneOut, "popularity").await;
        let groups = by_popularity(&evaluation);
        let sum: f64 = groups.iter().map(|group| group.users * group.mean).sum();
        let users: f64 = groups.iter().map(|group| group.users).sum();
        let whole = mean(&evaluation, "hit_rate_at_10_all");
        assert!((sum / users - whole).abs() < 1e-9, "{sum} {users} {whole}");
    }

    #[tokio::test]
    async fn labels_have_areas_by_group() {
        let evaluation = evaluated(Protocol::Label, "biases").await;
        for groups in [by_history(&evaluation), by_popularity(&evaluation)] {
            assert!(groups.len() > 1, "{groups:?}");
            assert!(groups.iter().all(|group| (0.0..=1.0).contains(&group.mean)), "{groups:?}");
        }
    }
}
