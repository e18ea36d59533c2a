use std::collections::HashSet;

use sparrow_engine::{Engine, Request};
use sparrow_model::{Catalog, GenreSet, History, MovieIndex, MovieSet, UserId, UserIndex};
use sparrow_neural::TopK;
use sparrow_progress::Progress;
use sparrow_random::Random;
use sparrow_rank::UNSCORED;
use sparrow_train::metrics::LabelMetrics;

use super::observations::{Labels, Means, Observations};
use super::ranking::{ListMeasures, PlaceMeasures};
use super::split::{Parts, rated_movies};
use super::{Answers, Error, Fitted, Options, PLACES, Protocol};

/// How many others the movie of leave-one-out is put among.
const OTHERS: usize = 99;

/// What a model answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) measured: Observations,
    /// Measures that are of the whole, and not of users.
    pub(super) whole: Vec<(&'static str, f64)>,
    pub(super) users: usize,
    pub(super) without_scores: usize,
}

/// Asks a fitted model by a protocol. `catalog` is the whole data set: users are positions in it.
pub(super) async fn ask(
    catalog: &Catalog,
    parts: &Parts,
    fitted: &Fitted,
    options: &Options,
    seed: u64,
    progress: Progress<'_>,
) -> Result<Asked, Error> {
    let asking = Asking { catalog, parts, fitted, keep_seen: options.keep_seen, progress };
    let asked = match options.protocol {
        Protocol::Label => asking.labels().await?,
        Protocol::FullRanking => asking.lists().await?,
        Protocol::LeaveOneOut => asking.places(seed).await?,
    };
    if asked.users == 0 {
        return Err(Error::NoTestData("no user has ratings in both parts"));
    }
    Ok(asked)
}

struct Asking<'a> {
    catalog: &'a Catalog,
    parts: &'a Parts,
    fitted: &'a Fitted,
    keep_seen: bool,
    progress: Progress<'a>,
}

impl<'a> Asking<'a> {
    /// Users with held-out ratings, with their positions in the whole.
    fn users(&self) -> impl Iterator<Item = (UserIndex, History<'a>)> + use<'a, '_> {
        let all = self.parts.test.len() as u64;
        self.parts.test.iter().enumerate().filter_map(move |(place, test)| {
            (self.progress)(place as u64, all);
            Some((self.catalog.users().index_of(test.user())?, test))
        })
    }

    /// Those who have ratings in training, too.
    fn known_users(
        &self,
    ) -> impl Iterator<Item = (UserIndex, History<'a>, History<'a>)> + use<'a, '_> {
        self.users().filter_map(|(user, test)| {
            Some((user, self.parts.training.users().find(test.user())?, test))
        })
    }

    async fn labels(&self) -> Result<Asked, Error> {
        let Answers::Scores { ranker, probabilities } = &self.fitted.answers else {
            return Err(Error::Option("lists have no scores".to_owned()));
        };
        let mut asked = Asked::default();
        let mut means = Means::new(&["user_roc_auc"]);
        let (mut pairs, mut scores, mut answered) = (Vec::new(), Vec::new(), 0);
        for (user, test) in self.users() {
            let movies: Vec<MovieIndex> = test.movies().collect();
            let labels: Vec<bool> = test.iter().map(|rated| rated.stars.is_liked()).collect();
            asked.users += 1;
            if !self.fitted.score(&**ranker, test.user(), &movies, &mut scores).await? {
                asked.without_scores += 1;
                scores.clear();
                scores.resize(movies.len(), UNSCORED);
            }
            answered += scores.iter().filter(|&&score| score != UNSCORED).count();
            let of_user = LabelMetrics::new(&scores, &labels).map(|metrics| metrics.roc_auc);
            means.push(user.0, &[of_user.unwrap_or(f64::NAN)]);
            let of_user = scores.iter().zip(&labels);
            pairs.extend(of_user.map(|(&score, &liked)| (score, liked, user.0)));
        }
        asked.whole.push(("scored_share", f64::from(answered as u32) / pairs.len().max(1) as f64));
        // A movie without a score is one without a probability.
        let probabilities = *probabilities && answered == pairs.len();
        asked.measured = Observations { means, labels: Some(Labels::new(pairs, probabilities)) };
        Ok(asked)
    }

    async fn lists(&self) -> Result<Asked, Error> {
        let candidates = rated_movies(&self.parts.training);
        let mut asked = Asked::default();
        let names = [
            "ndcg_at_10",
            "map_at_10",
            "precision_at_10",
            "recall_at_10",
            "hit_rate_at_10",
            "novelty",
            "diversity",
            "seen_share",
        ];
        let mut means = Means::new(&names);
        let mut beyond = Beyond::new(&self.parts.training, candidates.len());
        let (mut list, mut scores) = (Vec::new(), Vec::new());
        for (user, known, test) in self.known_users() {
            asked.users += 1;
            let found = self.best(test.user(), &known, &candidates, &mut scores, &mut list).await?;
            asked.without_scores += usize::from(!found);
            let relevant: HashSet<MovieIndex> = test.movies().collect();
            let hits = list.iter().map(|movie| relevant.contains(movie));
            let of_list = ListMeasures::new(hits, relevant.len(), PLACES);
            let [novelty, diversity, seen] = beyond.measure(&list, &known);
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
                    seen,
                ],
            );
        }
        asked.whole.push(("coverage", beyond.coverage()));
        asked.measured = Observations { means, labels: None };
        Ok(asked)
    }

    /// The best movies for a user, in `list`, with the scores of all candidates in `scores` if there are
    /// scores; whether there was an answer.
    async fn best(
        &self,
        user: UserId,
        known: &History<'_>,
        candidates: &[MovieIndex],
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
                let seen: HashSet<MovieIndex> =
                    if self.keep_seen { HashSet::new() } else { known.movies().collect() };
                let mut top = TopK::new(PLACES);
                for (&movie, &score) in candidates.iter().zip(&*scores) {
                    if score != UNSCORED && top.accepts(score) && !seen.contains(&movie) {
                        top.push(score, movie.0);
                    }
                }
                list.extend(top.sorted().map(|(_, movie)| MovieIndex(movie)));
            }
            Answers::Lists(engine) => self.recommended(engine, user, list).await?,
        }
        Ok(true)
    }

    async fn recommended(
        &self,
        engine: &Engine,
        user: UserId,
        list: &mut Vec<MovieIndex>,
    ) -> Result<(), Error> {
        let exclude_seen = !self.keep_seen;
        let request = Request { size: PLACES, exclude_seen, ..Request::new(user) };
        let answer = engine.recommend(&request).await;
        let answer = answer.map_err(|error| Error::Option(error.to_string()))?;
        list.extend(answer.items.iter().map(|item| item.movie));
        Ok(())
    }

    async fn places(&self, seed: u64) -> Result<Asked, Error> {
        let scores_pairs = matches!(self.fitted.answers, Answers::Scores { .. });
        // Those of the whole: the movie that is held out must not stand out by having no other rating.
        let candidates = rated_movies(self.catalog);
        let mut asked = Asked::default();
        let sampled: &[&'static str] =
            if scores_pairs { &["hit_rate_at_10", "ndcg_at_10"] } else { &[] };
        let others = ["hit_rate_at_10_all", "ndcg_at_10_all", "novelty", "diversity", "seen_share"];
        let mut means = Means::new(&[sampled, &others].concat());
        let mut beyond = Beyond::new(&self.parts.training, candidates.len());
        let (mut list, mut scores) = (Vec::new(), Vec::new());
        for (user, known, test) in self.known_users() {
            let Some(held_out) = test.movies().next() else { continue };
            asked.users += 1;
            let found = self.best(test.user(), &known, &candidates, &mut scores, &mut list).await?;
            asked.without_scores += usize::from(!found);
            let mut values = Vec::new();
            let among_all = if scores_pairs {
                let mut random = Random::new(seed, u64::from(test.user().0) << 8 | 1);
                let (sampled, all) = places(&candidates, &scores, &known, held_out, &mut random);
                values.extend([sampled.hit_rate, sampled.ndcg]);
                all
            } else {
                let place = list.iter().position(|&movie| movie == held_out);
                place.map_or_else(Default::default, |place| PlaceMeasures::new(place, 0, PLACES))
            };
            values.extend([among_all.hit_rate, among_all.ndcg]);
            values.extend(beyond.measure(&list, &known));
            means.push(user.0, &values);
        }
        asked.whole.push(("coverage", beyond.coverage()));
        asked.measured = Observations { means, labels: None };
        Ok(asked)
    }
}

/// Where the held-out movie comes among sampled others, and among all others that the user has not rated.
/// Without scores it comes nowhere.
fn places(
    candidates: &[MovieIndex],
    scores: &[f32],
    known: &History<'_>,
    held_out: MovieIndex,
    random: &mut Random,
) -> (PlaceMeasures, PlaceMeasures) {
    let own = candidates.iter().zip(scores).find(|&(&movie, _)| movie == held_out);
    let Some((_, &own)) = own else { return Default::default() };
    let known: HashSet<MovieIndex> = known.movies().collect();
    let mut others: Vec<f32> = candidates
        .iter()
        .zip(scores)
        .filter(|&(movie, _)| *movie != held_out && !known.contains(movie))
        .map(|(_, &score)| score)
        .collect();
    let place = |others: &[f32]| {
        let better = others.iter().filter(|&&score| score > own).count();
        let tied = others.iter().filter(|&&score| score == own).count();
        PlaceMeasures::new(better, tied, PLACES)
    };
    let all = place(&others);
    // The first ones of a random order.
    let sample = OTHERS.min(others.len());
    for at in 0..sample {
        let from = at + random.below(others.len() - at);
        others.swap(at, from);
    }
    (place(&others[..sample]), all)
}

/// What lists are like, whether or not they are right.
struct Beyond<'a> {
    training: &'a Catalog,
    candidates: usize,
    recommended: MovieSet,
    distinct: usize,
}

impl<'a> Beyond<'a> {
    fn new(training: &'a Catalog, candidates: usize) -> Self {
        Self { training, candidates, recommended: MovieSet::new(training.len()), distinct: 0 }
    }

    /// Of one list: novelty, diversity, and the part that the user has seen. NaN where the list is too short.
    fn measure(&mut self, list: &[MovieIndex], known: &History<'_>) -> [f64; 3] {
        for &movie in list {
            if !self.recommended.contains(movie) {
                self.recommended.insert(movie);
                self.distinct += 1;
            }
        }
        let users = self.training.users().len() as f64;
        let counts = list.iter().map(|&movie| self.training.stats(movie).count);
        let known: HashSet<MovieIndex> = known.movies().collect();
        let seen = list.iter().filter(|movie| known.contains(movie)).count() as f64;
        let len = list.len() as f64;
        let genres: Vec<GenreSet> =
            list.iter().map(|&movie| self.training.movie(movie).genre_set).collect();
        [novelty(counts, users), diversity(&genres), seen / len]
    }

    /// The part of the movies that could have been recommended that was, to anyone.
    fn coverage(&self) -> f64 {
        self.distinct as f64 / self.candidates.max(1) as f64
    }
}

/// The mean self-information of movies with so many ratings among so many users, in bits: how surprising it
/// is that a user has rated them (Zhou et al. 2010). A movie without ratings counts as one with one.
fn novelty(counts: impl ExactSizeIterator<Item = u32>, users: f64) -> f64 {
    let len = counts.len() as f64;
    counts.map(|count| (users / f64::from(count.max(1))).log2()).sum::<f64>() / len
}

/// The mean distance of two movies of a list (Ziegler et al. 2005, "intra-list"): the part of the genres of
/// either that is not one of both (Jaccard). Movies without genres are alike.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn novelty_by_hand() {
        // One that half of all users have rated, one that an eighth has, one that nobody has.
        let found = novelty([32, 8, 0].into_iter(), 64.0);
        assert!((found - (1.0 + 3.0 + 6.0) / 3.0).abs() < 1e-12);
        assert!(novelty([].into_iter(), 64.0).is_nan());
    }

    #[test]
    fn diversity_by_hand() {
        let sets = [0b011, 0b110, 0b011, 0].map(GenreSet::from_bits);
        // 1/3 shared, all shared, 1/3 shared, and nothing shared with the one without genres.
        let expected = (2.0 / 3.0 + 0.0 + 2.0 / 3.0 + 3.0) / 6.0;
        assert!((diversity(&sets) - expected).abs() < 1e-12);
        assert_eq!(diversity(&[GenreSet::EMPTY; 2]), 0.0);
        assert!(diversity(&sets[..1]).is_nan());
    }
}
