//! Re-ranking for diversity: maximal marginal relevance and calibration of genres.

use sparrow_model::{GenreSet, UserState};
use sparrow_neural::normalise;

use crate::{Engine, Item};

/// The diversity of lists, unless a request asks for another one.
pub const DEFAULT_DIVERSITY: f32 = 0.0;

/// Positions that are re-ranked, at most.
const POSITIONS: usize = 100;

/// Candidates for each of these positions.
const DEPTH: usize = 4;

/// The weight of the target in the smoothed distribution of the list, as in Steck 2018.
const ALPHA: f32 = 0.01;

/// The number of ranked movies that [`Engine::diversify`] needs for a list of `size` movies.
pub(crate) fn depth(size: usize) -> usize {
    (size.min(POSITIONS) * DEPTH).max(size)
}

impl Engine {
    /// Re-ranks the first 100 positions of a ranked list and shortens it to `size`. Each position takes the movie i of the
    /// first 4·min(size, 100) that maximises
    ///
    /// (1 − d)·rel(i) − d·(max sim(i, j) + C(S ∪ {i})) / 2
    ///
    /// where d is the diversity from 0 to 1, S contains the movies before, rel is the score scaled to 0 to 1 (0 for movies
    /// without a score), and sim(i, j), with j in S, is the mean of the cosine of the vectors, if it is positive, and the
    /// Jaccard index of the genres (maximal marginal relevance, Carbonell and Goldstein 1998). C is the Kullback–Leibler
    /// divergence of the list's genres from those of the user's likes, divided by its maximum, ln 100 (calibration, Steck
    /// 2018). Without likes, only the similarity counts. Without vectors, only the genres do.
    pub(crate) fn diversify(
        &self,
        diversity: f32,
        user: &UserState<'_>,
        size: usize,
        items: &mut Vec<Item>,
    ) {
        let pool = items.len().min(size.min(POSITIONS) * DEPTH);
        let likes = self.liked_shares(user, 0.0);
        let candidates: Vec<Candidate> =
            items[..pool].iter().map(|item| self.candidate(item)).collect();
        let chosen = rerank(diversity, &candidates, &likes, size.min(POSITIONS));
        let mut is_chosen = vec![false; items.len()];
        for &index in &chosen {
            is_chosen[index] = true;
        }
        let rest = (0..items.len()).filter(|&index| !is_chosen[index]);
        *items = chosen.iter().copied().chain(rest).take(size).map(|index| items[index]).collect();
    }

    fn candidate(&self, item: &Item) -> Candidate {
        let vector = self.embeddings.as_ref().and_then(|vectors| vectors.items.get(item.movie.0));
        let vector = vector.map(|mut vector| {
            normalise(&mut vector);
            vector
        });
        Candidate { score: item.score, genres: self.genre_sets[item.movie.index()], vector }
    }
}

/// A movie that re-ranking may choose.
#[derive(Debug, Clone)]
struct Candidate {
    score: Option<f32>,
    genres: GenreSet,
    /// Of length 1.
    vector: Option<Vec<f32>>,
}

impl Candidate {
    fn similarity(&self, other: &Self) -> f32 {
        let both =
            (self.genres.len() + other.genres.len() - self.genres.shared(other.genres)) as f32;
        let shared = self.genres.shared(other.genres) as f32;
        let jaccard = if both > 0.0 { shared / both } else { 0.0 };
        match (&self.vector, &other.vector) {
            (Some(own), Some(other)) => {
                let cosine: f32 = own.iter().zip(other).map(|(a, b)| a * b).sum();
                f32::midpoint(cosine.max(0.0), jaccard)
            }
            _ => jaccard,
        }
    }
}

/// The indices of the chosen candidates, in order; `count` of them, or all.
fn rerank(diversity: f32, candidates: &[Candidate], likes: &[f32], count: usize) -> Vec<usize> {
    let scores = || candidates.iter().filter_map(|candidate| candidate.score);
    let (least, most) = (scores().fold(f32::MAX, f32::min), scores().fold(f32::MIN, f32::max));
    let relevance: Vec<f32> = candidates
        .iter()
        .map(|candidate| match candidate.score {
            Some(score) if most > least => (score - least) / (most - least),
            Some(_) => 1.0,
            None => 0.0,
        })
        .collect();
    let has_likes = likes.iter().any(|&share| share > 0.0);
    let mut calibration = Calibration::new(likes);
    let mut similar = vec![0.0_f32; candidates.len()];
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    let mut chosen = Vec::with_capacity(count.min(candidates.len()));
    while chosen.len() < count && !left.is_empty() {
        calibration.prepare();
        let value = |index: usize| {
            let penalty = if has_likes {
                f32::midpoint(similar[index], calibration.with(candidates[index].genres))
            } else {
                similar[index]
            };
            (1.0 - diversity) * relevance[index] - diversity * penalty
        };
        // Of equal values the first one counts, which is the better ranked one.
        let (mut selected, mut best) = (0, f32::MIN);
        for (at, &index) in left.iter().enumerate() {
            let value = value(index);
            if value > best {
                (selected, best) = (at, value);
            }
        }
        let next = left.remove(selected);
        chosen.push(next);
        calibration.add(candidates[next].genres);
        for &index in &left {
            similar[index] = similar[index].max(candidates[index].similarity(&candidates[next]));
        }
    }
    chosen
}

/// The divergence of the genres of a list from a target.
struct Calibration<'a> {
    target: &'a [f32],
    /// The sums of 1/k over the movies of the list with k genres.
    counts: Vec<f32>,
    movies: f32,
    /// p·ln q for each genre, if a movie without the genre is added.
    terms: Vec<f32>,
    /// The sum of p·ln p.
    own: f32,
}

impl<'a> Calibration<'a> {
    fn new(target: &'a [f32]) -> Self {
        let own = target.iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum();
        let zeros = vec![0.0; target.len()];
        Self { target, counts: zeros.clone(), movies: 0.0, terms: zeros, own }
    }

    /// p·ln q, where q is smoothed with the target.
    fn term(&self, genre: usize, count: f32) -> f32 {
        let p = self.target[genre];
        if p > 0.0 {
            p * ((1.0 - ALPHA) * count / (self.movies + 1.0) + ALPHA * p).ln()
        } else {
            0.0
        }
    }

    /// Computes what all candidates for the next position share.
    fn prepare(&mut self) {
        for genre in 0..self.target.len() {
            self.terms[genre] = self.term(genre, self.counts[genre]);
        }
    }

    /// The divergence of the list with one more movie, from 0 to 1.
    fn with(&self, genres: GenreSet) -> f32 {
        let share = 1.0 / genres.len() as f32;
        let mut sum: f32 = self.terms.iter().sum();
        for genre in genres.iter() {
            let index = genre.index();
            sum += self.term(index, self.counts[index] + share) - self.terms[index];
        }
        (self.own - sum) / (1.0 / ALPHA).ln()
    }

    fn add(&mut self, genres: GenreSet) {
        let share = 1.0 / genres.len() as f32;
        for genre in genres.iter() {
            self.counts[genre.index()] += share;
        }
        self.movies += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidate(score: f32, genres: u64, vector: Option<[f32; 2]>) -> Candidate {
        let vector = vector.map(|vector| {
            let mut vector = vector.to_vec();
            normalise(&mut vector);
            vector
        });
        Candidate { score: Some(score), genres: GenreSet::from_bits(genres), vector }
    }

    #[test]
    fn a_similar_movie_gives_way_to_another() {
        // The second is like the first, the third is not.
        let movies = [
            candidate(1.0, 0b01, Some([1.0, 0.0])),
            candidate(0.9, 0b01, Some([1.0, 0.1])),
            candidate(0.8, 0b10, Some([0.0, 1.0])),
            candidate(0.0, 0b11, None),
        ];
        assert_eq!(rerank(0.0, &movies, &[0.5, 0.5], 3), [0, 1, 2]);
        assert_eq!(rerank(0.3, &movies, &[0.0, 0.0], 3), [0, 2, 1]);
        assert_eq!(rerank(0.3, &movies, &[0.5, 0.5], 2), [0, 2]);
    }

    #[test]
    fn calibration_prefers_the_shares_of_the_user() {
        // Ten movies of each of two genres without vectors; the user likes the second one three times as much.
        let mut movies: Vec<Candidate> = (0..10).map(|_| candidate(1.0, 0b01, None)).collect();
        movies.extend((0..10).map(|_| candidate(0.9999, 0b10, None)));
        // The relevance is relative to the least score.
        movies.push(candidate(0.0, 0b11, None));
        let chosen = rerank(0.5, &movies, &[0.25, 0.75], 8);
        let second = chosen.iter().filter(|&&index| (10..20).contains(&index)).count();
        assert_eq!(second, 6, "{chosen:?}");
    }

    #[test]
    fn divergence_is_zero_at_the_target_and_at_most_one() {
        let target = [0.5, 0.25, 0.25];
        let mut list = Calibration::new(&target);
        list.prepare();
        assert!((list.with(GenreSet::EMPTY) - 1.0).abs() < 0.35);
        for genres in [0b001, 0b001, 0b010] {
            list.add(GenreSet::from_bits(genres));
        }
        list.prepare();
        assert!(list.with(GenreSet::from_bits(0b100)).abs() < 1e-6);
        assert!(list.with(GenreSet::from_bits(0b010)) > 0.01);
    }

    proptest! {
        #[test]
        fn any_list_is_reordered_without_repetition(
            movies in proptest::collection::vec((0.0_f32..1.0, 0_u64..16, any::<bool>()), 0..60),
            likes in proptest::array::uniform4(0.0_f32..1.0),
            diversity in 0.0_f32..=1.0,
            count in 0_usize..80,
        ) {
            let mut movies: Vec<Candidate> = movies
                .into_iter()
                .map(|(score, genres, has_vector)| {
                    candidate(score, genres, has_vector.then_some([score, 1.0 - score]))
                })
                .collect();
            movies.sort_by(|a, b| b.score.partial_cmp(&a.score).unwrap_or(std::cmp::Ordering::Equal));
            let chosen = rerank(diversity, &movies, &likes, count);
            prop_assert_eq!(chosen.len(), count.min(movies.len()));
            let mut distinct = chosen.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), chosen.len());
            let unchanged: Vec<usize> = (0..count.min(movies.len())).collect();
            prop_assert_eq!(rerank(0.0, &movies, &likes, count), unchanged);
        }
    }
}
