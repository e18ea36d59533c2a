//! Offline interleaving: which of two models would win if their lists were merged by team draft, as an online experiment
//! merges them, and users took the relevant movies.

use std::collections::HashMap;

use sparrow_experiments::{Team, team_draft};
use sparrow_model::MovieIndex;

use crate::LIST_LENGTH;
use crate::observations::{Means, Observations};

/// The name of the measure.
pub(crate) const NAME: &str = "interleaving";

/// Coin tosses per user and seed. Each is used for both orders of the models, so that equal lists win equally often.
const TOSSES: u64 = 50;

/// The lists of the evaluated users, each movie with whether it is relevant. Users are indexes of the whole data set.
pub(crate) type Lists = HashMap<u32, Vec<(MovieIndex, bool)>>;

/// By user, the share of merged lists in which the first model wins minus the share in which the second one does, divided by
/// two: the mean is Δ of Chapelle, Joachims, Radlinski and Yue (Large-scale validation and analysis of interleaved search
/// evaluation, 2012), from −0.5 to 0.5.
pub(crate) fn observe(first: &Lists, second: &Lists) -> Observations {
    let mut users: Vec<u32> =
        first.keys().filter(|user| second.contains_key(user)).copied().collect();
    users.sort_unstable();
    let mut means = Means::new(&[NAME]);
    for user in users {
        means.push(user, &[preference(&first[&user], &second[&user], user)]);
    }
    Observations { means, labels: None }
}

fn preference(first: &[(MovieIndex, bool)], second: &[(MovieIndex, bool)], user: u32) -> f64 {
    let movies = |list: &[(MovieIndex, bool)]| list.iter().map(|&(movie, _)| movie).collect();
    let (a, b): (Vec<_>, Vec<_>) = (movies(first), movies(second));
    let relevant: Vec<MovieIndex> = first
        .iter()
        .chain(second)
        .filter(|(_, relevant)| *relevant)
        .map(|&(movie, _)| movie)
        .collect();
    // 1 if the first of two lists wins, −1 if the second one does.
    let winner = |a: &[MovieIndex], b: &[MovieIndex], toss| {
        let list = team_draft(a, b, LIST_LENGTH, u64::from(user) << 32 | toss);
        let hits = list.iter().filter(|(movie, _)| relevant.contains(movie));
        let margin: i32 = hits.map(|(_, team)| if *team == Team::A { 1 } else { -1 }).sum();
        margin.signum()
    };
    let wins: i32 = (0..TOSSES).map(|toss| winner(&a, &b, toss) - winner(&b, &a, toss)).sum();
    f64::from(wins) / (2 * TOSSES) as f64 / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(movies: impl IntoIterator<Item = u32>, relevant: &[u32]) -> Vec<(MovieIndex, bool)> {
        movies.into_iter().map(|movie| (MovieIndex(movie), relevant.contains(&movie))).collect()
    }

    #[test]
    fn the_model_with_the_relevant_movies_wins() {
        let relevant = [0, 1, 2];
        let (good, bad) = (list(0..10, &relevant), list(10..20, &relevant));
        assert_eq!(preference(&good, &bad, 7), 0.5);
        assert_eq!(preference(&bad, &good, 7), -0.5);
        assert_eq!(preference(&bad, &bad, 7), 0.0);
    }

    #[test]
    fn a_better_order_wins_more_often() {
        // The relevant movie is the first or the last of the same ten.
        let (early, late) = (list(0..10, &[0]), list((0..10).rev(), &[0]));
        let preferred = preference(&early, &late, 7);
        assert!(preferred > 0.3, "{preferred}");
        assert_eq!(preference(&late, &early, 7), -preferred);
    }

    #[test]
    fn equal_lists_win_equally_often() {
        let same = list(0..10, &[0, 3]);
        assert!((0..100).all(|user| preference(&same, &same, user) == 0.0));
    }

    #[test]
    fn users_with_both_lists_are_observed() {
        let lists = |users: &[u32]| users.iter().map(|&user| (user, list(0..3, &[]))).collect();
        let observed = observe(&lists(&[1, 2, 5]), &lists(&[5, 2, 9]));
        assert_eq!(observed.users().collect::<Vec<_>>(), [2, 5]);
    }
}
