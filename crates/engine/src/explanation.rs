use sparrow_model::{MovieIndex, UserState};
use sparrow_rank::{Contribution, Query};

use crate::buffers::{Buffers, SharedScores};
use crate::{Engine, Item};

impl Engine {
    /// The parts of the scores of ranked items, for a model that has such parts. Parts have a value for each item; those of
    /// items that the model did not score have no meaning.
    pub(crate) fn explain(
        &self,
        model: usize,
        user: &UserState<'_>,
        items: &[Item],
        buffers: &Buffers,
    ) -> Vec<Contribution> {
        let movies: Vec<MovieIndex> = items.iter().map(|item| item.movie).collect();
        let of_input = |input: &Option<usize>| {
            let shared = &buffers.shared[(*input)?];
            matches!(shared.outcome, Some(Ok(_))).then(|| scores_of(shared, &movies))
        };
        let inputs: Vec<Option<Vec<f32>>> =
            self.models[model].inputs.iter().map(of_input).collect();
        let inputs: Vec<Option<&[f32]>> = inputs.iter().map(Option::as_deref).collect();
        let ranker = &self.models[model].model.ranker;
        ranker.explain(&Query::new(user, &movies).with_inputs(&inputs))
    }
}

/// The scores of movies in any order; 0 for a movie without a score.
fn scores_of(shared: &SharedScores, movies: &[MovieIndex]) -> Vec<f32> {
    let score = |movie: &MovieIndex| {
        if let Some(scores) = &shared.catalog {
            return scores.as_slice()[movie.index()];
        }
        let index = shared.movies.iter().position(|scored| scored == movie);
        index.map_or(0.0, |index| shared.scores[index])
    };
    movies.iter().map(score).collect()
}
