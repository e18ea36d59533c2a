//! Measures of a ranked list, after Manning, Raghavan and Schütze, "Introduction to Information
//! Retrieval", chapter 8, and Järvelin and Kekäläinen 2002 for (n)DCG, with binary relevance.

/// The measures of one list.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ListMeasures {
    /// The number of relevant movies among the first k, divided by k, also if the list is shorter.
    pub precision: f64,
    /// The share of the relevant movies among the first k.
    pub recall: f64,
    /// The mean of the precision at the ranks of all relevant movies; 0 for those beyond k.
    pub average_precision: f64,
    /// The discounted cumulative gain of the first k movies, divided by that of the ideal list.
    pub ndcg: f64,
}

/// The discounted gain of a rank, counted from 0.
fn discount(rank: usize) -> f64 {
    1.0 / (rank as f64 + 2.0).log2()
}

impl ListMeasures {
    /// Computes the measures of a list from the relevance of its movies; `relevant` is the number of all relevant movies.
    /// All measures are zero without relevant movies.
    pub fn new(list: impl IntoIterator<Item = bool>, relevant: usize, k: usize) -> Self {
        let mut measures = Self::default();
        let mut hits = 0_usize;
        for (rank, _) in list.into_iter().take(k).enumerate().filter(|(_, relevant)| *relevant) {
            hits += 1;
            measures.average_precision += hits as f64 / (rank + 1) as f64;
            measures.ndcg += discount(rank);
        }
        if hits == 0 {
            return Self::default();
        }
        let ideal: f64 = (0..relevant.min(k)).map(discount).sum();
        Self {
            precision: hits as f64 / k as f64,
            recall: hits as f64 / relevant as f64,
            average_precision: measures.average_precision / relevant as f64,
            ndcg: measures.ndcg / ideal,
        }
    }
}

/// The measures of a single relevant movie: hit rate and nDCG at k.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RankMeasures {
    /// The probability that it is among the first k, if ties are in random order.
    pub hit_rate: f64,
    /// The expected discounted gain of its rank, 0 beyond k.
    pub ndcg: f64,
}

impl RankMeasures {
    /// Computes the measures of a movie with `better` movies before it and `tied` movies with the same score. Ties count as a
    /// random order, and the measures are expectations, so that constant scores and the order of ids have no
    /// advantage.
    pub fn new(better: usize, tied: usize, k: usize) -> Self {
        let ranks = (better..=better + tied).take_while(|&rank| rank < k);
        let all = (tied + 1) as f64;
        let (count, sum) =
            ranks.fold((0_usize, 0.0), |(count, sum), rank| (count + 1, sum + discount(rank)));
        Self { hit_rate: count as f64 / all, ndcg: sum / all }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn list_measures_equal_manual_results() {
        // Relevant at ranks 1 and 3 of the first 4; 3 are relevant in total.
        let measures = ListMeasures::new([true, false, true, false, true], 3, 4);
        assert!((measures.precision - 0.5).abs() < 1e-12);
        assert!((measures.recall - 2.0 / 3.0).abs() < 1e-12);
        assert!((measures.average_precision - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        // The discounts are 1, 0.6309, 0.5, 0.4307.
        let expected = 1.5 / (1.0 + 0.630_929_753_571_457_4 + 0.5);
        assert!((measures.ndcg - expected).abs() < 1e-12);
    }

    #[test]
    fn lists_without_and_with_all_relevant_movies_have_extreme_measures() {
        let best = ListMeasures::new([true, true], 2, 2);
        let all = ListMeasures { precision: 1.0, recall: 1.0, average_precision: 1.0, ndcg: 1.0 };
        assert_eq!(best, all);
        assert_eq!(ListMeasures::new([false, false], 2, 2), ListMeasures::default());
        assert_eq!(ListMeasures::new([], 0, 10), ListMeasures::default());
        // The ideal list is short too.
        let short = ListMeasures::new([true], 1, 10);
        assert_eq!((short.precision, short.recall, short.ndcg), (0.1, 1.0, 1.0));
    }

    #[test]
    fn rank_measures_equal_manual_results() {
        let first = RankMeasures::new(0, 0, 10);
        assert_eq!((first.hit_rate, first.ndcg), (1.0, 1.0));
        let third = RankMeasures::new(2, 0, 10);
        assert_eq!((third.hit_rate, third.ndcg), (1.0, 0.5));
        assert_eq!(RankMeasures::new(10, 0, 10), RankMeasures::default());
        // Nine better, one tied: in half of the orders its rank is 10.
        let tied = RankMeasures::new(9, 1, 10);
        assert!((tied.hit_rate - 0.5).abs() < 1e-12);
        assert!((tied.ndcg - 0.5 / 11_f64.log2()).abs() < 1e-12);
        // A hundred tied: as by chance.
        assert!((RankMeasures::new(0, 99, 10).hit_rate - 0.1).abs() < 1e-12);
    }

    proptest! {
        /// The reference follows the definitions.
        #[test]
        fn lists_are_measured_as_defined(
            list in prop::collection::vec(any::<bool>(), 0..15),
            beyond in 0..6_usize,
            k in 1..12_usize,
        ) {
            let found: Vec<usize> = (1..=list.len()).filter(|&rank| list[rank - 1]).collect();
            let relevant = found.len() + beyond;
            prop_assume!(relevant > 0);
            let top: Vec<usize> = found.iter().copied().filter(|&rank| rank <= k).collect();
            let precision_at = |rank: usize| {
                found.iter().filter(|&&other| other <= rank).count() as f64 / rank as f64
            };
            let gain = |ranks: &[usize]| -> f64 {
                ranks.iter().map(|&rank| 2_f64.ln() / (rank as f64 + 1.0).ln()).sum()
            };
            let ideal: Vec<usize> = (1..=relevant.min(k)).collect();
            let measures = ListMeasures::new(list.iter().copied(), relevant, k);
            prop_assert!((measures.precision - top.len() as f64 / k as f64).abs() < 1e-12);
            prop_assert!((measures.recall - top.len() as f64 / relevant as f64).abs() < 1e-12);
            let map = top.iter().map(|&rank| precision_at(rank)).sum::<f64>() / relevant as f64;
            prop_assert!((measures.average_precision - map).abs() < 1e-12);
            prop_assert!((measures.ndcg - gain(&top) / gain(&ideal)).abs() < 1e-12);
        }

        /// With one relevant movie in a list both measures are equal.
        #[test]
        fn places_are_the_mean_over_the_orders_of_ties(
            better in 0..20_usize,
            tied in 0..20_usize,
            k in 1..15_usize,
        ) {
            let measures = RankMeasures::new(better, tied, k);
            let orders = (better..=better + tied).map(|rank| {
                let list = (0..=rank).map(|at| at == rank);
                ListMeasures::new(list, 1, k)
            });
            let (mut hits, mut ndcg) = (0.0, 0.0);
            for measures in orders {
                hits += measures.recall;
                ndcg += measures.ndcg;
            }
            let all = (tied + 1) as f64;
            prop_assert!((measures.hit_rate - hits / all).abs() < 1e-12);
            prop_assert!((measures.ndcg - ndcg / all).abs() < 1e-12);
        }
    }
}
