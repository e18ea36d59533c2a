mod replay;

use std::collections::HashSet;

use sparrow_engine::{Engine, Filter, Request};
use sparrow_model::{
    Catalog, Genre, GenreSet, History, MovieIndex, MovieSet, OwnedHistory, UserId, UserIndex,
    UserState,
};
use sparrow_neural::TopK;
use sparrow_progress::Progress;
use sparrow_random::Random;
use sparrow_rank::UNSCORED;
use sparrow_train::metrics::LabelMetrics;

use super::breakdown::ByPopularity;
use super::interleaving::Lists;
use super::observations::{Labels, Means, Observations};
use super::ranking::{ListMeasures, RankMeasures};
use super::split::{Parts, rated_movies};
use super::{Answers, Error, Fitted, LIST_LENGTH, Options, Protocol};

/// Number of sampled movies among which leave-one-out ranks the held-out one.
const OTHERS: usize = 99;

/// The numbers of first ratings by which new users are known.
const KNOWN: [usize; 4] = [1, 3, 5, MOST_KNOWN];
const MOST_KNOWN: usize = 10;

/// The result of a protocol.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) measured: Observations,
    pub(super) by_popularity: ByPopularity,
    pub(super) lists: Lists,
    /// Measures that are not means over users.
    pub(super) whole: Vec<(&'static str, f64)>,
    pub(super) users: usize,
    pub(super) without_scores: usize,
}

/// Evaluates a fitted model by a protocol. `catalog` is the whole data set, and contains the users by index.
pub(super) async fn evaluate(
    catalog: &Catalog,
    parts: &Parts,
    fitted: &Fitted,
    options: &Options,
    seed: u64,
    progress: Progress<'_>,
) -> Result<Outcome, Error> {
    let evaluator = Evaluator { catalog, parts, fitted, keep_seen: options.keep_seen, progress };
    let outcome = match options.protocol {
        Protocol::Label => evaluator.labels().await?,
        Protocol::FullRanking => evaluator.lists().await?,
        Protocol::LeaveOneOut => evaluator.ranks(seed).await?,
        Protocol::FirstK => evaluator.new_users().await?,
        Protocol::ColdItems => evaluator.cold_items().await?,
        Protocol::Replay => evaluator.replay().await?,
    };
    if outcome.users == 0 {
        return Err(Error::NoTestData("no user has ratings in both parts"));
    }
    Ok(outcome)
}

struct Evaluator<'a> {
    catalog: &'a Catalog,
    parts: &'a Parts,
    fitted: &'a Fitted,
    keep_seen: bool,
    progress: Progress<'a>,
}

impl<'a> Evaluator<'a> {
    /// Users with held-out ratings, with their indexes in the whole data set.
    fn users(&self) -> impl Iterator<Item = (UserIndex, History<'a>)> + use<'a, '_> {
        let all = self.parts.test.len() as u64;
        self.parts.test.iter().enumerate().filter_map(move |(rank, test)| {
            (self.progress)(rank as u64, all);
            Some((self.catalog.users().index_of(test.user())?, test))
        })
    }

    /// Users with ratings in both parts.
    fn known_users(
        &self,
    ) -> impl Iterator<Item = (UserIndex, History<'a>, History<'a>)> + use<'a, '_> {
        self.users().filter_map(|(user, test)| {
            Some((user, self.parts.training.users().find(test.user())?, test))
        })
    }

    async fn labels(&self) -> Result<Outcome, Error> {
        let Answers::Scores { ranker, probabilities } = &self.fitted.answers else {
            return Err(Error::Option("lists have no scores".to_owned()));
        };
        let mut outcome = Outcome::default();
        let mut means = Means::new(&["user_roc_auc"]);
        let (mut pairs, mut rated, mut scores) = (Vec::new(), Vec::new(), Vec::new());
        let mut answered = 0;
        for (user, test) in self.users() {
            let movies: Vec<MovieIndex> = test.movies().collect();
            let labels: Vec<bool> = test.iter().map(|rated| rated.stars.is_liked()).collect();
            outcome.users += 1;
            let state = self.fitted.user(test.user());
            if !self.fitted.score(&**ranker, &state, &movies, &mut scores).await? {
                outcome.without_scores += 1;
                scores.clear();
                scores.resize(movies.len(), UNSCORED);
            }
            answered += scores.iter().filter(|&&score| score != UNSCORED).count();
            let of_user = LabelMetrics::new(&scores, &labels).map(|metrics| metrics.roc_auc);
            means.push(user.0, &[of_user.unwrap_or(f64::NAN)]);
            let of_user = scores.iter().zip(&labels);
            pairs.extend(of_user.map(|(&score, &liked)| (score, liked, user.0)));
            rated.extend(movies);
        }
        outcome
            .whole
            .push(("scored_share", f64::from(answered as u32) / pairs.len().max(1) as f64));
        // Movies without a score have no probability.
        let probabilities = *probabilities && answered == pairs.len();
        outcome.by_popularity = ByPopularity::labels(&self.parts.training, &pairs, &rated);
        outcome.measured = Observations { means, labels: Some(Labels::new(pairs, probabilities)) };
        Ok(outcome)
    }

    async fn lists(&self) -> Result<Outcome, Error> {
        let candidates = rated_movies(&self.parts.training);
        let mut outcome = Outcome::default();
        let names = [
            "ndcg_at_10",
            "map_at_10",
            "precision_at_10",
            "recall_at_10",
            "hit_rate_at_10",
            "novelty",
            "diversity",
            "genre_divergence",
            "seen_share",
        ];
        let mut means = Means::new(&names);
        let mut properties = ListProperties::new(&self.parts.training, candidates.len());
        let (mut list, mut scores, mut found_movies) = (Vec::new(), Vec::new(), Vec::new());
        for (user, known, test) in self.known_users() {
            outcome.users += 1;
            let state = self.fitted.user(test.user());
            let found = self.best(&state, &candidates, None, &mut scores, &mut list).await?;
            outcome.without_scores += usize::from(!found);
            let relevant: HashSet<MovieIndex> = test.movies().collect();
            let with_relevance = list.iter().map(|&movie| (movie, relevant.contains(&movie)));
            outcome.lists.insert(user.0, with_relevance.collect());
            let hits = list.iter().map(|movie| relevant.contains(movie));
            let in_list = |movie: &MovieIndex| f64::from(u8::from(list.contains(movie)));
            found_movies.extend(test.movies().map(|movie| (user.0, movie, in_list(&movie))));
            let of_list = ListMeasures::new(hits, relevant.len(), LIST_LENGTH);
            let [novelty, diversity, divergence, seen] = properties.measure(&list, &known);
            means.push(
                user.0,
                &[
                    of_list.ndcg,
                    of_list.average_precision,
                    of_list.precision,
                    of_list.recall,
                    f64::from(u8::from(of_list.precision > 0.0)),
                    novelty,
                    diversity,
                    divergence,
                    seen,
                ],
            );
        }
        outcome.whole.push(("coverage", properties.coverage()));
        let training = &self.parts.training;
        outcome.by_popularity = ByPopularity::means(training, "recall_at_10", &found_movies);
        outcome.measured = Observations { means, labels: None };
        Ok(outcome)
    }

    /// Writes the best of the candidates for a user into `list`, and the scores of all candidates, if the model has
    /// scores, into `scores`. `filter` accepts the candidates, if these are not all movies that a list may contain.
    /// Returns false if the model has no scores for the user.
    async fn best(
        &self,
        user: &UserState<'_>,
        candidates: &[MovieIndex],
        filter: Option<Filter<'_>>,
        scores: &mut Vec<f32>,
        list: &mut Vec<MovieIndex>,
    ) -> Result<bool, Error> {
        list.clear();
        scores.clear();
        match &self.fitted.answers {
            Answers::Scores { ranker, .. } => {
                if !self.fitted.score(&**ranker, user, candidates, scores).await? {
                    scores.clear();
                    return Ok(false);
                }
                let seen = self.excluded(user);
                let mut top = TopK::new(LIST_LENGTH);
                for (&movie, &score) in candidates.iter().zip(&*scores) {
                    if score != UNSCORED && top.accepts(score) && !seen.contains(&movie) {
                        top.push(score, movie.0);
                    }
                }
                list.extend(top.sorted().map(|(_, movie)| MovieIndex(movie)));
            }
            Answers::Lists(engine) => self.recommended(engine, user, filter, list).await?,
        }
        Ok(true)
    }

    /// The movies that a list must not contain.
    fn excluded(&self, user: &UserState<'_>) -> HashSet<MovieIndex> {
        if self.keep_seen { HashSet::new() } else { user.rated_movies(false).collect() }
    }

    async fn recommended(
        &self,
        engine: &Engine,
        user: &UserState<'_>,
        filter: Option<Filter<'_>>,
        list: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        let request = Request {
            size: LIST_LENGTH,
            exclude_seen: !self.keep_seen,
            filter,
            diversity: self.fitted.diversity,
            ..Request::new(user.id)
        };
        let answer = if user.is_anonymous || user.is_updated {
            engine.recommend_to(&request, user, None).await
        } else {
            engine.recommend(&request).await
        };
        let answer = answer.map_err(|error| Error::Option(error.to_string()))?;
        list.extend(answer.items.iter().map(|item| item.movie));
        Ok(())
    }

    /// Lists for users outside the training part, by their first ratings.
    async fn new_users(&self) -> Result<Outcome, Error> {
        let candidates = rated_movies(&self.parts.training);
        let mut outcome = Outcome::default();
        let mut means = Means::new(&[
            "ndcg_at_10_first_1",
            "ndcg_at_10_first_3",
            "ndcg_at_10_first_5",
            "ndcg_at_10_first_10",
            "hit_rate_at_10_first_1",
            "hit_rate_at_10_first_3",
            "hit_rate_at_10_first_5",
            "hit_rate_at_10_first_10",
        ]);
        let (mut list, mut scores) = (Vec::new(), Vec::new());
        for (user, ratings) in self.users() {
            let relevant: HashSet<MovieIndex> = ratings.movies().skip(MOST_KNOWN).collect();
            if relevant.is_empty() {
                continue;
            }
            outcome.users += 1;
            let (mut ndcg, mut hit_rate) = ([0.0; KNOWN.len()], [0.0; KNOWN.len()]);
            for (index, known) in KNOWN.into_iter().enumerate() {
                let history =
                    OwnedHistory::new(UserState::anonymous().id, ratings.iter().take(known));
                let known = KnownUser::new(history, self.fitted);
                let state =
                    UserState { is_anonymous: true, ..known.state(UserState::anonymous().id) };
                let found = self.best(&state, &candidates, None, &mut scores, &mut list).await?;
                outcome.without_scores += usize::from(!found && index + 1 == KNOWN.len());
                let hits = list.iter().map(|movie| relevant.contains(movie));
                let of_list = ListMeasures::new(hits, relevant.len(), LIST_LENGTH);
                ndcg[index] = of_list.ndcg;
                hit_rate[index] = f64::from(u8::from(of_list.precision > 0.0));
            }
            means.push(user.0, &[ndcg, hit_rate].concat());
        }
        outcome.measured = Observations { means, labels: None };
        Ok(outcome)
    }

    /// Lists of movies without ratings, and how many of these get into lists of all movies.
    async fn cold_items(&self) -> Result<Outcome, Error> {
        let rated = rated_movies(self.catalog);
        let is_cold = |movie: MovieIndex| {
            self.parts.training.stats(movie).count == 0 && self.catalog.stats(movie).count > 0
        };
        let cold: Vec<MovieIndex> = rated.iter().copied().filter(|&movie| is_cold(movie)).collect();
        let filter: &(dyn Fn(MovieIndex) -> bool + Sync) = &is_cold;
        let mut outcome = Outcome::default();
        let mut means = Means::new(&["ndcg_at_10", "recall_at_10", "hit_rate_at_10", "cold_share"]);
        let (mut list, mut scores) = (Vec::new(), Vec::new());
        for (user, _, test) in self.known_users() {
            outcome.users += 1;
            let state = self.fitted.user(test.user());
            self.best(&state, &rated, None, &mut scores, &mut list).await?;
            let found = list.iter().filter(|&&movie| is_cold(movie)).count();
            let share = found as f64 / list.len().max(1) as f64;
            let found =
                self.best(&state, &cold, Some(Filter(filter)), &mut scores, &mut list).await?;
            outcome.without_scores += usize::from(!found);
            let relevant: HashSet<MovieIndex> = test.movies().collect();
            let hits = list.iter().map(|movie| relevant.contains(movie));
            let of_list = ListMeasures::new(hits, relevant.len(), LIST_LENGTH);
            let hit_rate = f64::from(u8::from(of_list.precision > 0.0));
            means.push(user.0, &[of_list.ndcg, of_list.recall, hit_rate, share]);
        }
        outcome.measured = Observations { means, labels: None };
        Ok(outcome)
    }

    async fn ranks(&self, seed: u64) -> Result<Outcome, Error> {
        let scores_pairs = matches!(self.fitted.answers, Answers::Scores { .. });
        // The rated movies of the whole data set, because the held-out rating may be the only one of its movie.
        let candidates = rated_movies(self.catalog);
        let mut outcome = Outcome::default();
        let sampled: &[&'static str] =
            if scores_pairs { &["hit_rate_at_10", "ndcg_at_10"] } else { &[] };
        let others = [
            "hit_rate_at_10_all",
            "ndcg_at_10_all",
            "novelty",
            "diversity",
            "genre_divergence",
            "seen_share",
        ];
        let mut means = Means::new(&[sampled, &others].concat());
        let mut properties = ListProperties::new(&self.parts.training, candidates.len());
        let (mut list, mut scores, mut hit_rates) = (Vec::new(), Vec::new(), Vec::new());
        for (user, known, test) in self.known_users() {
            let Some(held_out) = test.movies().next() else { continue };
            outcome.users += 1;
            let state = self.fitted.user(test.user());
            let found = self.best(&state, &candidates, None, &mut scores, &mut list).await?;
            outcome.without_scores += usize::from(!found);
            let with_relevance = list.iter().map(|&movie| (movie, movie == held_out));
            outcome.lists.insert(user.0, with_relevance.collect());
            let mut values = Vec::new();
            let among_all = if scores_pairs {
                let mut random = Random::new(seed, u64::from(test.user().0) << 8 | 1);
                let (sampled, all) = ranks(&candidates, &scores, &known, held_out, &mut random);
                values.extend([sampled.hit_rate, sampled.ndcg]);
                all
            } else {
                let rank = list.iter().position(|&movie| movie == held_out);
                rank.map_or_else(Default::default, |rank| RankMeasures::new(rank, 0, LIST_LENGTH))
            };
            values.extend([among_all.hit_rate, among_all.ndcg]);
            hit_rates.push((user.0, held_out, among_all.hit_rate));
            values.extend(properties.measure(&list, &known));
            means.push(user.0, &values);
        }
        outcome.whole.push(("coverage", properties.coverage()));
        let training = &self.parts.training;
        outcome.by_popularity = ByPopularity::means(training, "hit_rate_at_10_all", &hit_rates);
        outcome.measured = Observations { means, labels: None };
        Ok(outcome)
    }
}

/// The measures of the held-out movie among sampled movies, and among all movies that the user has not rated. They are
/// zero without scores.
fn ranks(
    candidates: &[MovieIndex],
    scores: &[f32],
    known: &History<'_>,
    held_out: MovieIndex,
    random: &mut Random,
) -> (RankMeasures, RankMeasures) {
    let own = candidates.iter().zip(scores).find(|&(&movie, _)| movie == held_out);
    let Some((_, &own)) = own else { return Default::default() };
    let known: HashSet<MovieIndex> = known.movies().collect();
    let mut others: Vec<f32> = candidates
        .iter()
        .zip(scores)
        .filter(|&(movie, _)| *movie != held_out && !known.contains(movie))
        .map(|(_, &score)| score)
        .collect();
    let rank = |others: &[f32]| {
        let better = others.iter().filter(|&&score| score > own).count();
        let tied = others.iter().filter(|&&score| score == own).count();
        RankMeasures::new(better, tied, LIST_LENGTH)
    };
    let all = rank(&others);
    // The first scores after a partial shuffle are the sample.
    let sample = OTHERS.min(others.len());
    for at in 0..sample {
        let from = at + random.below(others.len() - at);
        others.swap(at, from);
    }
    (rank(&others[..sample]), all)
}

/// A user who is known by a history outside of the training part: from a request with ratings, or with live ratings.
struct KnownUser {
    history: OwnedHistory,
    vector: Option<Vec<f32>>,
    favourite_genres: Vec<Genre>,
}

impl KnownUser {
    fn new(history: OwnedHistory, fitted: &Fitted) -> Self {
        let (vectors, favourite_genres) = match &fitted.answers {
            Answers::Lists(engine) => {
                (engine.embeddings(), engine.favourite_genres(&history.get()))
            }
            Answers::Scores { .. } => (fitted.vectors.as_ref(), Vec::new()),
        };
        let vector = vectors.and_then(|vectors| vectors.vector_of(&history.get()));
        Self { history, vector, favourite_genres }
    }

    fn state(&self, id: UserId) -> UserState<'_> {
        UserState {
            history: Some(self.history.get()),
            favourite_genres: &self.favourite_genres,
            embedding: self.vector.as_deref(),
            ..UserState::unknown(id)
        }
    }
}

/// Properties of lists that do not depend on relevance.
struct ListProperties<'a> {
    training: &'a Catalog,
    candidates: usize,
    recommended: MovieSet,
    distinct: usize,
}

impl<'a> ListProperties<'a> {
    fn new(training: &'a Catalog, candidates: usize) -> Self {
        Self { training, candidates, recommended: MovieSet::new(training.len()), distinct: 0 }
    }

    /// Returns novelty, diversity, the divergence of genres and the share of seen movies of a list; NaN if the list is too
    /// short, or if the user likes nothing.
    fn measure(&mut self, list: &[MovieIndex], known: &History<'_>) -> [f64; 4] {
        for &movie in list {
            if !self.recommended.contains(movie) {
                self.recommended.insert(movie);
                self.distinct += 1;
            }
        }
        let users = self.training.users().len() as f64;
        let counts = list.iter().map(|&movie| self.training.stats(movie).count);
        let liked = known.iter().filter(|rated| rated.stars.is_liked());
        let target = genre_shares(liked.map(|rated| self.training.movie(rated.movie).genre_set));
        let known: HashSet<MovieIndex> = known.movies().collect();
        let seen = list.iter().filter(|movie| known.contains(movie)).count() as f64;
        let len = list.len() as f64;
        let genres: Vec<GenreSet> =
            list.iter().map(|&movie| self.training.movie(movie).genre_set).collect();
        let divergence = divergence(&target, &genre_shares(genres.iter().copied()));
        [novelty(counts, users), diversity(&genres), divergence, seen / len]
    }

    /// The share of the candidates that were recommended to at least one user.
    fn coverage(&self) -> f64 {
        self.distinct as f64 / self.candidates.max(1) as f64
    }
}

/// The mean self-information in bits of movies by their numbers of ratings (Zhou et al. 2010). A movie without ratings
/// counts as one with one rating.
fn novelty(counts: impl ExactSizeIterator<Item = u32>, users: f64) -> f64 {
    let len = counts.len() as f64;
    counts.map(|count| (users / f64::from(count.max(1))).log2()).sum::<f64>() / len
}

/// The mean Jaccard distance between the genres of two movies of a list ("intra-list", Ziegler et al. 2005). The distance
/// between movies without genres is 0.
fn diversity(genres: &[GenreSet]) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (at, &one) in genres.iter().enumerate() {
        for &other in &genres[at + 1..] {
            let shared = one.shared(other);
            let all = one.len() + other.len() - shared;
            pairs += 1.0;
            sum += if all == 0 { 0.0 } else { 1.0 - f64::from(shared) / f64::from(all) };
        }
    }
    sum / pairs
}

/// The shares of genres of movies, with 1/k for each of the k genres of a movie. NaN without any genre.
fn genre_shares(movies: impl Iterator<Item = GenreSet>) -> [f64; MOST_GENRES] {
    let mut shares = [0.0; MOST_GENRES];
    for genres in movies {
        for genre in genres.iter() {
            shares[genre.index()] += 1.0 / f64::from(genres.len());
        }
    }
    let total: f64 = shares.iter().sum();
    shares.map(|share| share / total)
}

/// The most genres of a catalogue.
const MOST_GENRES: usize = 64;

/// The Kullback–Leibler divergence of the genres of a list from those of the user's likes, in nats, where the list is
/// smoothed with a hundredth of the likes (Steck 2018, "Calibrated Recommendations").
fn divergence(likes: &[f64; MOST_GENRES], list: &[f64; MOST_GENRES]) -> f64 {
    const ALPHA: f64 = 0.01;
    if likes[0].is_nan() || list[0].is_nan() {
        return f64::NAN;
    }
    let terms = likes.iter().zip(list).filter(|(like, _)| **like > 0.0);
    terms.map(|(like, list)| like * (like / ((1.0 - ALPHA) * list + ALPHA * like)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn novelty_equals_manual_results() {
        // Movies that half of the users, an eighth of them, and none have rated.
        let found = novelty([32, 8, 0].into_iter(), 64.0);
        assert!((found - (1.0 + 3.0 + 6.0) / 3.0).abs() < 1e-12);
        assert!(novelty([].into_iter(), 64.0).is_nan());
    }

    #[test]
    fn diversity_equals_manual_results() {
        let sets = [0b011, 0b110, 0b011, 0].map(GenreSet::from_bits);
        // Shared genres: 1/3, all, 1/3, and none with the movie without genres.
        let expected = (2.0 / 3.0 + 0.0 + 2.0 / 3.0 + 3.0) / 6.0;
        assert!((diversity(&sets) - expected).abs() < 1e-12);
        assert_eq!(diversity(&[GenreSet::EMPTY; 2]), 0.0);
        assert!(diversity(&sets[..1]).is_nan());
    }

    #[test]
    fn divergence_equals_manual_results() {
        let of = |bits: &[u64]| genre_shares(bits.iter().map(|&bits| GenreSet::from_bits(bits)));
        // Half of the first genre, a quarter of each other one.
        let likes = of(&[0b001, 0b110]);
        assert_eq!(likes[..4], [0.5, 0.25, 0.25, 0.0]);
        assert!(divergence(&likes, &likes).abs() < 1e-12);
        // The list has only the first genre: 0.5 ln(0.5 / 0.995) + 0.5 ln 100.
        let expected = 0.5 * (0.5_f64 / 0.995).ln() + 0.5 * 100.0_f64.ln();
        assert!((divergence(&likes, &of(&[0b001])) - expected).abs() < 1e-12);
        assert!(divergence(&of(&[]), &likes).is_nan() && divergence(&likes, &of(&[0])).is_nan());
    }
}
