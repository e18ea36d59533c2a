//! Test data and helpers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_model::{Catalog, MovieIndex, UserId, UserState};
use sparrow_rank::{Error, Query, Ranker as _};
use sparrow_test_support::catalogue;
use sparrow_tf_serving::{
    Circuit, Input, Inputs, Options, ServedModel, Source, State, TfServingRanker, Type,
    movie_features_of,
};
use tokio::task::JoinHandle;

/// Loads the demonstration set.
pub(crate) fn demo() -> Arc<Catalog> {
    let source = sparrow_movielens::Source::open(&sparrow_test_support::demo()).unwrap();
    Arc::new(source.load(&sparrow_movielens::Options::default()).unwrap().catalog)
}

/// Creates a catalogue of movies with these ids, and of user 6 who rated the first.
pub(crate) fn movies(ids: &[u32]) -> Arc<Catalog> {
    let movies = ids.iter().map(|&id| catalogue::movie(id, Some(1990), ["Drama"]));
    Arc::new(catalogue::catalog(movies, [(6, 0, 10, 1)]))
}

/// Options of a circuit that opens after `min_requests` failures.
pub(crate) fn after(min_requests: u32) -> Circuit {
    Circuit { min_requests, ..Circuit::default() }
}

/// Options with frequent checks and a long deadline, for busy machines.
pub(crate) fn options() -> Options {
    Options {
        interval: Duration::from_millis(20),
        deadline: Duration::from_secs(5),
        circuit: after(3),
        ..Options::default()
    }
}

pub(crate) fn remote(url: &str, inputs: Vec<Input>, options: Options) -> Arc<ServedModel> {
    Arc::new(ServedModel::new(url, Inputs::new(inputs).unwrap(), options).unwrap())
}

pub(crate) fn ranker(remote: &Arc<ServedModel>, catalog: &Arc<Catalog>) -> TfServingRanker {
    TfServingRanker::new(Arc::clone(remote), catalog, movie_features_of(catalog))
}

pub(crate) fn input(name: &str, source: &str, value_type: Type) -> Input {
    Input::plain(name, source.parse::<Source>().unwrap(), value_type)
}

/// Scores movies for a user with the history of the catalogue.
pub(crate) async fn score(
    ranker: &TfServingRanker,
    catalog: &Catalog,
    user: u32,
    movies: &[MovieIndex],
) -> Result<Vec<f32>, Error> {
    let history = catalog.users().find(UserId(user));
    let user = UserState { history, ..UserState::unknown(UserId(user)) };
    let mut scores = vec![7.0];
    ranker.score(&Query::new(&user, movies), &mut scores).await.map(|()| scores)
}

pub(crate) fn all(catalog: &Catalog) -> Vec<MovieIndex> {
    (0..catalog.len() as u32).map(MovieIndex).collect()
}

/// Runs the health checks in the background until it is dropped.
pub(crate) struct Monitor(JoinHandle<()>);

impl Monitor {
    pub(crate) fn start(remote: &Arc<ServedModel>) -> Self {
        let remote = Arc::clone(remote);
        Self(tokio::spawn(async move { remote.monitor().await }))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for a state for at most 10 seconds.
pub(crate) async fn until(remote: &ServedModel, wanted: impl Fn(&State) -> bool) -> State {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let state = remote.state();
        if wanted(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "timed out in {state:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) const fn is_ready(state: &State) -> bool {
    matches!(state, State::Ready { .. })
}

pub(crate) const fn is_failing(state: &State) -> bool {
    matches!(state, State::Failing { .. })
}
