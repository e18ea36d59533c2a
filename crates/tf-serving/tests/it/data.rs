//! Catalogues to rank, and what tests ask of a ranker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparrow_model::{
    Catalog, MovieId, MovieIndex, MovieRecord, Movies, RatingLog, Stars, UserId, UserState,
};
use sparrow_rank::{Error, Query, Ranker as _};
use sparrow_tf_serving::{
    Circuit, Input, Inputs, Options, Remote, Source, State, TfServingRanker, Type,
    movie_features_of,
};
use tokio::task::JoinHandle;

pub(crate) fn demo_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo")
}

/// The demonstration set.
pub(crate) fn demo() -> Arc<Catalog> {
    let source = sparrow_movielens::Source::open(&demo_folder()).unwrap();
    Arc::new(source.load(&sparrow_movielens::Options::default()).unwrap().catalog)
}

/// Movies with these ids, and one user, 6, who rated the first of them.
pub(crate) fn movies(ids: &[u32]) -> Arc<Catalog> {
    let record = |&id| MovieRecord {
        id: MovieId(id),
        title: format!("Movie {id}"),
        year: Some(1990),
        genres: vec!["Drama".to_owned()],
        imdb_id: None,
        tmdb_id: None,
    };
    let movies = Movies::new(ids.iter().map(record).collect()).unwrap();
    let mut log = RatingLog::default();
    log.push(UserId(6), MovieIndex(0), Stars::MAX, 1);
    Arc::new(Catalog::new(movies, log.into_histories().0))
}

/// A circuit that opens after so many failures.
pub(crate) fn after(min_requests: u32) -> Circuit {
    Circuit { min_requests, ..Circuit::default() }
}

/// Quick to look again, and slow to lose patience, for machines that are busy.
pub(crate) fn options() -> Options {
    Options {
        interval: Duration::from_millis(20),
        deadline: Duration::from_secs(5),
        circuit: after(3),
        ..Options::default()
    }
}

pub(crate) fn remote(url: &str, inputs: Vec<Input>, options: Options) -> Arc<Remote> {
    Arc::new(Remote::new(url, Inputs::new(inputs).unwrap(), options).unwrap())
}

pub(crate) fn ranker(remote: &Arc<Remote>, catalog: &Arc<Catalog>) -> TfServingRanker {
    TfServingRanker::new(Arc::clone(remote), catalog, movie_features_of(catalog))
}

pub(crate) fn input(name: &str, source: &str, value_type: Type) -> Input {
    Input::plain(name, source.parse::<Source>().unwrap(), value_type)
}

/// The scores of these movies for a user with the history that the catalogue has.
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

/// Looks at a model server, as the program does, until it is dropped.
pub(crate) struct Keeper(JoinHandle<()>);

impl Keeper {
    pub(crate) fn start(remote: &Arc<Remote>) -> Self {
        let remote = Arc::clone(remote);
        Self(tokio::spawn(async move { remote.keep().await }))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits until it is as wanted, for at most ten seconds.
pub(crate) async fn until(remote: &Remote, wanted: impl Fn(&State) -> bool) -> State {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let state = remote.state();
        if wanted(&state) {
            return state;
        }
        assert!(Instant::now() < end, "still {state:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) const fn is_ready(state: &State) -> bool {
    matches!(state, State::Ready { .. })
}

pub(crate) const fn is_failing(state: &State) -> bool {
    matches!(state, State::Failing { .. })
}
