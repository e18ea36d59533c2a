//! The immutable data that requests are answered from.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use hyper::header::HeaderValue;
use sparrow_engine::{CurrentPopularity, Engine};
use sparrow_features::RatingStats;
use sparrow_live::Consumers;
use sparrow_metrics::Health;
use sparrow_model::{Catalog, Genre, GenreSet, MovieId, MovieIndex, Sort};
use sparrow_store::UserList as StoredUserList;
use sparrow_user_state::{LiveSource, LiveStatistics, StoreSource, UserSource};

use crate::parameters::definition::NO_GENRE;
use crate::parameters::query::Value;
use crate::policy::base_path::BasePath;
use crate::response::movie_json::{MovieJson, Shown};
use crate::response::problem::Problem;
use crate::state::ranking_times::RankingTimes;
use crate::state::user_list::UserList;

/// The options of a snapshot.
#[derive(Debug, Clone, Default)]
pub struct SnapshotOptions {
    /// A folder with images named `{movieId}.jpg`.
    pub posters: Option<PathBuf>,
    /// The store of the users; without one they are those of the engine's catalogue.
    pub store: Option<StoreSource>,
    /// The live data of users; without them, the server accepts no ratings and events.
    pub live: Option<LiveSource>,
    /// The users of the store for lists of users. If it is empty, they are those of [`StoreSource::histories`].
    pub users: StoredUserList,
    /// The consumers of live data, for readiness; `None` if nothing follows them.
    pub consumers: Option<Arc<Consumers>>,
}

/// An engine, and everything that is serialised once rather than per request.
pub struct Snapshot {
    pub(crate) engine: Arc<Engine>,
    pub(crate) ranking_times: Arc<RankingTimes>,
    /// Movies in the shape of `/v1`.
    pub(crate) movies: MovieJson,
    /// Movies in the shape of SparrowRecSys.
    pub(crate) sparrowrecsys_movies: MovieJson,
    /// The description of the API, made for the first request.
    pub(crate) open_api: OnceLock<(BasePath, Bytes)>,
    /// Without live ratings.
    popularity: Arc<CurrentPopularity>,
    /// The movies in order of current popularity.
    pub(crate) popular_now: Arc<[MovieIndex]>,
    pub(crate) users: Arc<UserList>,
    pub(crate) consumers: Option<Arc<Consumers>>,
    pub(crate) source: UserSource,
    /// The ratings of each movie; empty with a store, which has them.
    pub(crate) movie_ratings: Arc<[RatingStats]>,
    /// Model names as header values.
    model_headers: Vec<(Arc<str>, HeaderValue)>,
    pub(crate) posters: Option<PathBuf>,
    /// When it was made.
    pub(crate) loaded: SystemTime,
}

impl Snapshot {
    /// Serialises the catalogue of the engine: about a second for tens of thousands of movies.
    pub fn new(engine: Arc<Engine>, options: SnapshotOptions) -> Self {
        let catalog = Arc::clone(engine.catalog());
        let (users, movie_ratings) = match &options.store {
            Some(StoreSource { histories: Some(data), .. }) if options.users.total == 0 => {
                (UserList::from_histories(data.users()), Vec::new())
            }
            Some(_) => (UserList::from_store(&options.users), Vec::new()),
            None => {
                let users = catalog.users();
                {
                    let ratings = RatingStats::of_movies(users, catalog.len());
                    (UserList::from_histories(users), ratings)
                }
            }
        };
        let histories = options.store.as_ref().and_then(|store| store.histories.as_deref());
        let popularity = CurrentPopularity::new(&catalog, histories.unwrap_or(&catalog));
        let popular_now = popularity.order(&catalog, 0, []).into();
        let names = engine.models().into_iter().map(|model| model.name);
        let names = names.chain(engine.similar_models().map(Arc::from));
        Self {
            ranking_times: Arc::new(RankingTimes::new(&engine)),
            movies: MovieJson::v1(&catalog),
            sparrowrecsys_movies: MovieJson::sparrowrecsys(&catalog),
            open_api: OnceLock::new(),
            popularity: Arc::new(popularity),
            popular_now,
            users: Arc::new(users),
            consumers: options.consumers,
            source: UserSource { store: options.store, live: options.live },
            movie_ratings: movie_ratings.into(),
            model_headers: names.map(|name| (Arc::clone(&name), header_value(&name))).collect(),
            posters: options.posters,
            loaded: SystemTime::now(),
            engine,
        }
    }

    /// The same data with live ratings in the statistics of movies and in the list of users. `self` has none. Shares all
    /// else with this snapshot, so it is made in milliseconds.
    #[must_use]
    pub fn with_live_statistics(&self, live: &LiveStatistics) -> Self {
        let catalog = Arc::clone(self.engine.catalog());
        let mut shown = Vec::new();
        for (movie, change) in live.movies() {
            if (change.count, change.half_stars) == (0, 0) {
                continue;
            }
            let stats = catalog.stats(movie);
            let count = (i64::from(stats.count) + change.count).clamp(0, u32::MAX.into());
            let sum = (i64::from(stats.half_stars()) + change.half_stars).max(0);
            let average = if count == 0 { 0.0 } else { sum as f64 / 2.0 / count as f64 };
            shown.push((movie, Shown { count: count as u32, average: average.min(5.0) }));
        }
        let added = live.movies().map(|(movie, change)| (movie, change.weight));
        let changed = |json| MovieJson::changed(json, &catalog, &shown);
        Self {
            engine: Arc::clone(&self.engine),
            ranking_times: Arc::clone(&self.ranking_times),
            movies: changed(&self.movies),
            sparrowrecsys_movies: changed(&self.sparrowrecsys_movies),
            open_api: self.open_api.clone(),
            popularity: Arc::clone(&self.popularity),
            popular_now: self.popularity.order(&catalog, live.reference(), added).into(),
            users: Arc::new(self.users.with(live.users())),
            consumers: self.consumers.clone(),
            source: self.source.clone(),
            movie_ratings: Arc::clone(&self.movie_ratings),
            model_headers: self.model_headers.clone(),
            posters: self.posters.clone(),
            loaded: self.loaded,
        }
    }

    /// The engine.
    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Where the users come from.
    pub const fn source(&self) -> &UserSource {
        &self.source
    }

    /// The current popularity without live ratings.
    pub const fn popularity(&self) -> &Arc<CurrentPopularity> {
        &self.popularity
    }

    /// What the feature store and the store for live data report about their calls.
    pub(crate) fn store_health(&self) -> [Option<Health<'_>>; 2] {
        let UserSource { store, live } = &self.source;
        let live = live.as_ref().and_then(|live| live.store.health());
        [store.as_ref().and_then(|store| store.reader.health()), live]
    }

    pub(crate) fn catalog(&self) -> &Catalog {
        self.engine.catalog()
    }

    /// The movie with this id, unless it is hidden.
    pub(crate) fn movie(&self, id: u32) -> Result<MovieIndex, Problem> {
        self.catalog()
            .index_of(MovieId(id))
            .filter(|&movie| !self.catalog().is_hidden(movie))
            .ok_or_else(|| Problem::not_found(format!("there is no movie {id}")))
    }

    /// The header value that names a model.
    pub(crate) fn model_header(&self, name: &str) -> HeaderValue {
        let header = self.model_headers.iter().find(|(model, _)| **model == *name);
        header.map_or_else(|| header_value(name), |(_, value)| value.clone())
    }

    /// All movies, or those of a genre if one is given, in this order.
    pub(crate) fn ordered(&self, genre: &Value<'_>, sort: Sort) -> Result<&[MovieIndex], Problem> {
        let catalog = self.catalog();
        Ok(match genre.text() {
            None => catalog.ordered(sort, None),
            Some(NO_GENRE) => catalog.without_genre(sort),
            Some(name) => catalog.ordered(sort, Some(self.genre_named(name, genre)?)),
        })
    }

    /// The genres of a parameter, whose values are names or comma-separated names; empty if it is not given.
    pub(crate) fn genre_set(&self, value: &Value<'_>) -> Result<GenreSet, Problem> {
        let mut set = GenreSet::EMPTY;
        for text in value.texts() {
            // A name may contain a comma.
            if let Some(genre) = self.catalog().genres().find(text) {
                set.insert(genre);
                continue;
            }
            for name in text.split(',') {
                set.insert(self.genre_named(name, value)?);
            }
        }
        Ok(set)
    }

    fn genre_named(&self, name: &str, value: &Value<'_>) -> Result<Genre, Problem> {
        let genres = self.catalog().genres();
        genres.find(name).ok_or_else(|| {
            let names = genres.iter().map(|genre| genres.name(genre));
            value.unknown_word(name, "a genre of the data set", names)
        })
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("engine", &self.engine)
            .field("posters", &self.posters)
            .finish_non_exhaustive()
    }
}

fn header_value(name: &str) -> HeaderValue {
    HeaderValue::from_bytes(name.as_bytes()).unwrap_or(HeaderValue::from_static("?"))
}
