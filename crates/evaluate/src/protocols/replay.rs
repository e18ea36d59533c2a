use std::collections::HashSet;

use sparrow_live::{Action, Limits, LiveUser, Sequence, Write};
use sparrow_model::{MovieIndex, Rated, UserId, UserState};

use super::{Evaluator, KnownUser, Outcome};
use crate::breakdown::ByPopularity;
use crate::observations::{Means, Observations};
use crate::ranking::RankMeasures;
use crate::split::rated_movies;
use crate::{Answers, Error, LIST_LENGTH};

/// The answer of a model in one state of the user.
enum Answer {
    /// The scores of the candidates.
    Scores(Vec<f32>),
    /// The first movies.
    List(Vec<MovieIndex>),
    /// The model has no scores for the user.
    Nothing,
}

impl Answer {
    /// The measures of the rank of a movie among the candidates that are not in `seen`.
    fn rank(
        &self,
        movie: MovieIndex,
        candidates: &[MovieIndex],
        seen: &HashSet<MovieIndex>,
    ) -> RankMeasures {
        match self {
            Self::Nothing => RankMeasures::default(),
            Self::List(list) => {
                let rank = list.iter().position(|&listed| listed == movie);
                rank.map_or_else(Default::default, |rank| RankMeasures::new(rank, 0, LIST_LENGTH))
            }
            Self::Scores(scores) => {
                // Candidates are in ascending order. A movie without a rating in training is never found.
                let Ok(own) = candidates.binary_search(&movie) else {
                    return RankMeasures::default();
                };
                let own = scores[own];
                let (mut better, mut tied) = (0, 0);
                for (other, &score) in candidates.iter().zip(scores) {
                    if score >= own && *other != movie && !seen.contains(other) {
                        better += usize::from(score > own);
                        tied += usize::from(score == own);
                    }
                }
                RankMeasures::new(better, tied, LIST_LENGTH)
            }
        }
    }
}

impl Evaluator<'_> {
    /// Replays the ratings of the test part in the order of time, and ranks each before it arrives: once with the ratings
    /// that arrived before it, as the live path of the server has them, and once with those of the training part alone.
    pub(super) async fn replay(&self) -> Result<Outcome, Error> {
        let candidates = rated_movies(&self.parts.training);
        let mut outcome = Outcome::default();
        let mut means = Means::new(&[
            "hit_rate_at_10",
            "ndcg_at_10",
            "hit_rate_at_10_static",
            "ndcg_at_10_static",
            "hit_rate_at_10_gain",
            "ndcg_at_10_gain",
        ]);
        let mut hits = Vec::new();
        for (user, arriving) in self.users() {
            outcome.users += 1;
            let id = arriving.user();
            let first = self.fitted.user(id);
            let fixed = self.answer(&first, &candidates).await?;
            let seen_first = self.excluded(&first);
            let (mut live, mut sums) = (LiveUser::default(), [0.0; 4]);
            let mut without_scores = matches!(fixed, Answer::Nothing);
            for (position, next) in (1..).zip(arriving.iter()) {
                let without = fixed.rank(next.movie, &candidates, &seen_first);
                let with = if live.is_empty() {
                    without
                } else {
                    let history = live.history(id, first.history, &self.fitted.catalog);
                    let known = KnownUser::new(history, self.fitted);
                    let state = UserState { is_updated: true, ..known.state(id) };
                    let answer = self.answer(&state, &candidates).await?;
                    without_scores = matches!(answer, Answer::Nothing);
                    answer.rank(next.movie, &candidates, &self.excluded(&state))
                };
                hits.push((user.0, next.movie, with.hit_rate));
                let found = [with.hit_rate, with.ndcg, without.hit_rate, without.ndcg];
                for (sum, found) in sums.iter_mut().zip(found) {
                    *sum += found;
                }
                self.arrive(&mut live, id, next, position);
            }
            outcome.without_scores += usize::from(without_scores);
            let [hit_rate, ndcg, hit_rate_static, ndcg_static] =
                sums.map(|sum| sum / arriving.len() as f64);
            means.push(
                user.0,
                &[
                    hit_rate,
                    ndcg,
                    hit_rate_static,
                    ndcg_static,
                    hit_rate - hit_rate_static,
                    ndcg - ndcg_static,
                ],
            );
        }
        outcome.by_popularity = ByPopularity::means(&self.parts.training, "hit_rate_at_10", &hits);
        outcome.measured = Observations { means, labels: None };
        Ok(outcome)
    }

    /// A rating arrives, as it does at the server.
    fn arrive(&self, live: &mut LiveUser, user: UserId, rated: Rated, position: u64) {
        let movie = self.catalog.movie(rated.movie).id;
        let write = Write::new(user, Action::Rate(movie, rated.stars), rated.timestamp);
        let sequence = Sequence { milliseconds: position, count: 0 };
        let unlimited = Limits { ratings: usize::MAX, events: 0 };
        // Without a limit, it is never reached.
        let _ = live.apply(&write, sequence, unlimited);
    }

    async fn answer(
        &self,
        user: &UserState<'_>,
        candidates: &[MovieIndex],
    ) -> Result<Answer, Error> {
        match &self.fitted.answers {
            Answers::Scores { ranker, .. } => {
                let mut scores = Vec::new();
                let found = self.fitted.score(&**ranker, user, candidates, &mut scores).await?;
                Ok(if found { Answer::Scores(scores) } else { Answer::Nothing })
            }
            Answers::Lists(engine) => {
                let mut list = Vec::new();
                self.recommended(engine, user, None, &mut list).await?;
                Ok(Answer::List(list))
            }
        }
    }
}
