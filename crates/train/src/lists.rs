//! Measures a model by the lists that it recommends.

use sparrow_model::{Catalog, UserId};
use sparrow_neural::neural_cf::{Model, Scorer};

use super::metrics::{LIST_LENGTH, ListMetrics};
use super::split::Sample;

/// The most users that are measured; of more, every n-th.
const MAX_USERS: usize = 2000;

/// Ranks for each user with held-out ratings all movies that are not among the `known` ratings. Both parts are ordered
/// by user. `score` writes the scores of all movies for a user; without scores, the list is empty. Returns `None` without
/// held-out ratings.
pub(super) fn measure(
    score: &mut dyn FnMut(UserId, &mut Vec<f32>),
    catalog: &Catalog,
    known: &[Sample],
    held_out: &[Sample],
) -> Option<ListMetrics> {
    let ids: Vec<UserId> = catalog.users().iter().map(|history| history.user()).collect();
    let users: Vec<&[Sample]> = held_out.chunk_by(|a, b| a.user == b.user).collect();
    let mut sum = ListMetrics { ndcg: 0.0, recall: 0.0, hit_rate: 0.0, users: 0 };
    let mut list = Vec::new();
    for relevant in users.iter().step_by(users.len().div_ceil(MAX_USERS).max(1)) {
        let user = relevant[0].user;
        list.clear();
        score(ids[user as usize], &mut list);
        let own = known.partition_point(|sample| sample.user < user);
        for sample in known[own..].iter().take_while(|sample| sample.user == user) {
            if let Some(score) = list.get_mut(sample.movie as usize) {
                *score = f32::NEG_INFINITY;
            }
        }
        sum.add(&best(&list), &relevant.iter().map(|it| it.movie).collect::<Vec<_>>());
    }
    sum.mean()
}

/// The scores of a model for all movies of a catalogue, as [`measure`] takes them.
pub(super) fn scores<'a>(
    model: &'a Model,
    catalog: &Catalog,
) -> impl FnMut(UserId, &mut Vec<f32>) + 'a {
    let scorer = Scorer::new(model, catalog.movies().iter().map(|movie| movie.id.0));
    move |user, scores| {
        scorer.score_all(&scorer.query(user.0), scores);
    }
}

/// The movies with the highest scores, in descending order; equal scores by index.
fn best(scores: &[f32]) -> Vec<u32> {
    let mut best: Vec<u32> = Vec::with_capacity(LIST_LENGTH + 1);
    for (movie, &score) in (0..).zip(scores) {
        let last = best.last().map(|&last| scores[last as usize]);
        if best.len() == LIST_LENGTH && last.is_some_and(|last| score <= last) {
            continue;
        }
        let at = best.partition_point(|&other| scores[other as usize] >= score);
        best.insert(at, movie);
        best.truncate(LIST_LENGTH);
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_movies_are_in_the_order_of_score_and_index() {
        let scores: Vec<f32> = (0..30).map(|movie| ((movie * 7) % 15) as f32).collect();
        let mut expected: Vec<u32> = (0..30).collect();
        expected.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        assert_eq!(best(&scores), expected[..LIST_LENGTH]);
        assert_eq!(best(&scores[..3]), [2, 1, 0]);
    }
}
