//! The engine over a small catalogue: order, filters, fallbacks and the reasons in answers.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use sparrow_engine::{
    Builder, Candidates, Embeddings, Engine, Error, Filter, HomeRequest, Model, NO_MODEL, Reason,
    RecallMix, Recommendations, Request, RowKind, Scope, SimilarRequest, popular_now,
};
use sparrow_model::{
    Catalog, GenreSet, MovieId, MovieIndex, OwnedHistory, Sort, UserId, UserState,
};
use sparrow_neural::{EmbeddingTable, Similarity};
use sparrow_rank::{ItemScores, PopularityRanker, Query, Ranker, State, UNSCORED};
use sparrow_recall::{ByOrder, ByScores, Recall};
use sparrow_test_support::catalogue;

const MOVIES: u32 = 60;

/// Movies 0 to 59 with ids of a hundred more; movie m has 60 − m ratings, genre A if even, B if a
/// multiple of three. User u rated the movies below 60 − u, so user 0 has rated all movies.
fn catalog() -> Arc<Catalog> {
    let movies = (0..MOVIES).map(|m| {
        let genres = [(2, "A"), (3, "B")].into_iter();
        let genres = genres.filter(|(every, _)| m.is_multiple_of(*every));
        catalogue::movie(m + 100, Some(1950 + m as u16), genres.map(|(_, genre)| genre))
    });
    let rated = (0..MOVIES).flat_map(|user| (0..MOVIES - user).map(move |movie| (user, movie)));
    let ratings =
        rated.map(|(user, movie)| (user, movie, (movie % 10) as u8 + 1, user * 100 + movie));
    Arc::new(catalogue::catalog(movies, ratings))
}

/// Movies 10 to 59 have vectors on a half circle. The vector of user u, from 20 to 58, is that of movie u; user 59 has none.
fn embeddings(catalog: &Catalog) -> Embeddings {
    let line = |id: u32, at: u32| {
        let angle = f64::from(at) * 0.05;
        format!("{id}:{} {}\n", angle.cos(), angle.sin())
    };
    let items: String = (10..MOVIES).map(|m| line(m + 100, m)).collect();
    let users: String = (20..59).map(|u| line(u, u)).collect();
    let read = |text: &str| EmbeddingTable::read(text.as_bytes(), "test").unwrap();
    Embeddings::new(&read(&items), read(&users), Similarity::Cosine, catalog).unwrap()
}

/// The standard engine with the model `neuralcf`, which is unavailable.
fn standard(catalog: &Arc<Catalog>) -> Builder {
    let neuralcf = Model::unavailable("neuralcf", "neuralcf", "no model is loaded");
    Engine::builder(Arc::clone(catalog))
        .standard(Some(embeddings(catalog)))
        .model(neuralcf.alias("nerualcf").fallback("emb"))
}

fn engine() -> Engine {
    standard(&catalog()).build().unwrap()
}

fn movies(answer: &Recommendations) -> Vec<u32> {
    answer.items.iter().map(|item| item.movie.0).collect()
}

fn found_by(answer: &Recommendations, index: usize) -> Vec<&str> {
    answer.recalled_by(&answer.items[index]).collect()
}

#[tokio::test]
async fn nearest_unseen_movies_come_first() {
    let engine = engine();
    let request = Request { size: 4, ..Request::new(UserId(40)) };
    let answer = engine.recommend(&request).await.unwrap();
    // User 40 has seen movies 0 to 19 and has the vector of movie 40.
    assert_eq!(movies(&answer)[0], 40);
    let mut near = movies(&answer);
    near.sort_unstable();
    assert!(near == [38, 39, 40, 41] || near == [39, 40, 41, 42], "{near:?}");
    assert_eq!((&*answer.model, answer.degraded, answer.reason), ("emb", false, None));
    assert!((answer.items[0].score.unwrap() - 1.0).abs() < 1e-6);
    assert!(answer.items.is_sorted_by(|a, b| a.score >= b.score));
    assert_eq!(found_by(&answer, 0), ["embedding"]);
    assert_eq!(answer.candidates, 40);
    assert!(answer.timings.total >= answer.timings.recall + answer.timings.rank);
}

#[tokio::test]
async fn all_standard_strategies_serve_models_without_one_of_their_own() {
    let engine = engine();
    let request = Request { model: Some("popularity"), size: 60, ..Request::new(UserId(40)) };
    let answer = engine.recommend(&request).await.unwrap();
    let nearest = answer.items.iter().position(|item| item.movie.0 == 40).unwrap();
    assert_eq!(found_by(&answer, nearest), ["embedding", "genre", "rating", "recency"]);
    assert_eq!(answer.candidates, 40);
}

#[tokio::test]
async fn seen_movies_are_excluded_unless_requested() {
    let engine = engine();
    let request = Request { size: 100, ..Request::new(UserId(40)) };
    let unseen = engine.recommend(&request).await.unwrap();
    assert_eq!(unseen.items.len(), 40);
    assert!(unseen.items.iter().all(|item| item.movie.0 >= 20));
    let all = engine.recommend(&Request { exclude_seen: false, ..request }).await.unwrap();
    assert_eq!(all.items.len(), 60);
    // Movies 0 to 9 have no vector: they come last, the most popular first, without a score.
    assert_eq!(movies(&all)[50..], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(all.items[50..].iter().all(|item| item.score.is_none()));
    assert!(all.items[50..].iter().all(|item| all.ordered_by(item) == Some("popularity")));
    assert!(all.items[..50].iter().all(|item| all.ordered_by(item).is_none()));
    assert!(all.items[..50].iter().all(|item| item.score.is_some()));
    // A user who has seen all movies gets an empty list, not an error.
    let nothing = engine.recommend(&Request::new(UserId(0))).await.unwrap();
    assert_eq!(nothing.items.len(), 0);
}

#[tokio::test]
async fn excluded_movies_are_replaced_by_others() {
    let engine = engine();
    let genre = |name| engine.catalog().genres().find(name).unwrap();
    let exclude: Vec<_> = [40, 41, 7000].map(MovieIndex).to_vec();
    for candidates in [Candidates::Recalled, Candidates::All] {
        let request = Request {
            size: 9,
            exclude: &exclude,
            exclude_genres: [genre("A")].into_iter().collect(),
            min_year: Some(1950 + 35),
            candidates,
            ..Request::new(UserId(40))
        };
        let mut found = movies(&engine.recommend(&request).await.unwrap());
        found.sort_unstable();
        assert_eq!(found, [35, 37, 39, 43, 45, 47, 49, 51, 53]);
        let rest = engine.recommend(&Request { size: 100, ..request.clone() }).await.unwrap();
        // Odd movies from 35 to 59 without 41.
        assert_eq!(rest.items.len(), 12);
        let both = Request { genres: [genre("B")].into_iter().collect(), ..request };
        let mut found = movies(&engine.recommend(&both).await.unwrap());
        found.sort_unstable();
        assert_eq!(found, [39, 45, 51, 57]);
    }
}

#[tokio::test]
async fn hidden_movies_are_in_no_answer() {
    let mut catalog = Arc::into_inner(catalog()).unwrap();
    let hidden: Vec<u32> = (30..50).chain([3]).collect();
    assert_eq!(catalog.hide(hidden.iter().map(|m| MovieId(m + 100))), []);
    let engine = standard(&Arc::new(catalog)).build().unwrap();
    for (user, candidates) in
        [40, 999].into_iter().zip([Candidates::Recalled, Candidates::All].iter().cycle())
    {
        for model in ["emb", "popularity"] {
            let request = Request {
                size: 100,
                exclude_seen: false,
                candidates: *candidates,
                model: Some(model),
                ..Request::new(UserId(user))
            };
            let found = movies(&engine.recommend(&request).await.unwrap());
            assert_eq!(found.len(), 60 - hidden.len());
            assert!(found.iter().all(|movie| !hidden.contains(movie)));
            let genres = engine.catalog().genres().iter().collect();
            let found = movies(&engine.recommend(&Request { genres, ..request }).await.unwrap());
            assert!(found.iter().all(|movie| !hidden.contains(movie)) && found.len() > 20);
        }
    }
    for model in ["emb", "genre"] {
        let request =
            SimilarRequest { model: Some(model), size: 3, ..SimilarRequest::new(MovieIndex(29)) };
        let similar = engine.similar(&request).unwrap();
        assert_eq!((similar.items.len(), &*similar.model), (3, model));
        assert!(similar.items.iter().all(|item| !hidden.contains(&item.movie.0)));
    }
}

#[test]
fn similar_movies_keep_their_number_without_the_excluded() {
    let engine = engine();
    let exclude = [MovieIndex(29)];
    let odd = engine.catalog().genres().find("A").into_iter().collect();
    let request =
        SimilarRequest { size: 2, exclude: &exclude, ..SimilarRequest::new(MovieIndex(30)) };
    let found = |request: &SimilarRequest<'_>| {
        let similar = engine.similar(request).unwrap();
        let mut found: Vec<u32> = similar.items.iter().map(|item| item.movie.0).collect();
        found.sort_unstable();
        found
    };
    let near = found(&request);
    assert!(near == [28, 31] || near == [31, 32], "{near:?}");
    assert_eq!(found(&SimilarRequest { exclude_genres: odd, ..request.clone() }), [27, 31]);
    assert_eq!(found(&SimilarRequest { min_year: Some(1950 + 40), ..request.clone() }), [40, 41]);
    let genre = SimilarRequest { model: Some("genre"), exclude_genres: odd, size: 99, ..request };
    assert!(found(&genre).iter().all(|movie| movie % 2 == 1 && *movie != 29));
}

#[tokio::test]
async fn home_has_rows_by_taste_and_no_movie_twice() {
    let engine = engine();
    let catalog = engine.catalog();
    let popular_now = popular_now(catalog, catalog);
    let request = HomeRequest { user: UserId(40), model: None, size: 4, popular_now: &popular_now };
    let home = engine.home(&request).await.unwrap();
    let kinds: Vec<RowKind> = home.rows.iter().map(|row| row.kind).collect();
    let genre = |name| RowKind::Genre(catalog.genres().find(name).unwrap());
    // User 40 likes the movies 6 to 9 and 16 to 19: 3 likes of A and 2 of B, of which others like 5 and 3 in 8. Movie 19 is
    // the most recent one, and has similar ones.
    let because = RowKind::BecauseYouLiked(MovieIndex(19));
    let expected = [
        RowKind::Recommended,
        because,
        genre("B"),
        RowKind::PopularNow,
        genre("A"),
        RowKind::NewForYou,
    ];
    assert_eq!(kinds, expected);
    let all: Vec<u32> = home.rows.iter().flat_map(|row| &row.movies).map(|m| m.0).collect();
    let mut distinct = all.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!((distinct.len(), all.len()), (24, 24));
    assert!(all.iter().all(|movie| *movie >= 20));
    let first = engine.recommend(&Request { size: 4, ..Request::new(UserId(40)) }).await.unwrap();
    assert_eq!(home.rows[0].movies.iter().map(|m| m.0).collect::<Vec<_>>(), movies(&first));
    assert_eq!(&*home.rows[0].ranked.as_ref().unwrap().model, "emb");
    assert!(home.rows[2].movies.iter().all(|movie| movie.0 % 3 == 0));
    assert!(home.rows[3].ranked.is_none());

    let unknown = engine.home(&HomeRequest { user: UserId(999), ..request }).await.unwrap();
    let ranked = unknown.rows[0].ranked.as_ref().unwrap();
    assert_eq!((ranked.degraded, ranked.reason), (true, Some(Reason::UnknownUser)));
    assert!(unknown.rows.iter().any(|row| row.kind == RowKind::PopularNow));
    let model = Some("emd");
    assert!(matches!(
        engine.home(&HomeRequest { model, ..request }).await,
        Err(Error::UnknownModel { .. })
    ));
    // A user who has rated every movie.
    let nothing = engine.home(&HomeRequest { user: UserId(0), ..request }).await.unwrap();
    assert!(nothing.rows.is_empty());
}

#[test]
fn public_home_has_no_movie_twice() {
    let engine = engine();
    let catalog = engine.catalog();
    let home = engine.public_home(5, &popular_now(catalog, catalog));
    let kinds: Vec<RowKind> = home.rows.iter().map(|row| row.kind).collect();
    assert_eq!(kinds[..2], [RowKind::PopularNow, RowKind::BestRated]);
    let mut all: Vec<u32> = home.rows.iter().flat_map(|row| &row.movies).map(|m| m.0).collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!((all.len(), count), (20, 20));
}

#[tokio::test]
async fn diversity_reorders_the_best_movies() {
    let engine = engine();
    let request = Request { size: 5, ..Request::new(UserId(40)) };
    let best = movies(&engine.recommend(&Request { size: 20, ..request.clone() }).await.unwrap());
    let by = async |diversity| {
        movies(&engine.recommend(&Request { diversity, ..request.clone() }).await.unwrap())
    };
    assert_eq!(by(0.0).await, best[..5]);
    for diversity in [0.3, 0.7, 1.0, 7.0] {
        let found = by(diversity).await;
        let mut distinct = found.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!((found.len(), distinct.len()), (5, 5));
        assert!(found.iter().all(|movie| best.contains(movie)), "{found:?}");
        assert_ne!(found, best[..5]);
    }
    // More movies than positions that are re-ranked, or than there are.
    let all = Request { size: 300, diversity: 0.5, ..request };
    assert_eq!(engine.recommend(&all).await.unwrap().items.len(), 40);
}

#[tokio::test]
async fn state_from_the_caller_gives_the_same_answer() {
    let engine = engine();
    let catalog = engine.catalog();
    let request = Request::new(UserId(40));
    let expected = engine.recommend(&request).await.unwrap();
    // The cosine does not depend on the length of the vector.
    let angle: f32 = 40.0 * 0.05;
    let mut vector = [angle.cos() * 3.0, angle.sin() * 3.0];
    let embeddings = engine.embeddings().unwrap();
    assert!(embeddings.prepare(&mut vector));
    let history = OwnedHistory::new(UserId(40), catalog.users().find(UserId(40)).unwrap().iter());
    let genres = engine.favourite_genres(&history.get());
    let state = UserState {
        history: Some(history.get()),
        favourite_genres: &genres,
        embedding: Some(&vector),
        ..UserState::unknown(UserId(40))
    };
    let answer = engine.recommend_to(&request, &state, None).await.unwrap();
    assert_eq!(movies(&answer), movies(&expected));
    assert_eq!((&*answer.model, answer.degraded, answer.reason), ("emb", false, None));

    let seen = [MovieIndex(39), MovieIndex(40)];
    let some = UserState { history: None, also_rated: &seen, ..state };
    let answer = engine.recommend_to(&request, &some, None).await.unwrap();
    assert!(!movies(&answer).iter().any(|movie| [39, 40].contains(movie)));
    for unfit in [&mut [1.0_f32][..], &mut [f32::NAN, 1.0], &mut [1e30, 1.0]] {
        assert!(!embeddings.prepare(unfit));
    }
}

#[tokio::test]
async fn answer_reports_why_the_state_is_incomplete() {
    let engine = engine();
    let nobody = UserState::unknown(UserId(40));
    for (model, lacking, degraded) in [
        ("emb", Reason::StoreUnavailable, true),
        ("popularity", Reason::StoreUnavailable, true),
        ("neuralcf", Reason::StoreUpdating, true),
        ("popularity", Reason::StoreFailed, true),
        ("emb", Reason::UnknownUser, true),
        ("popularity", Reason::UnknownUser, false),
    ] {
        let request = Request { model: Some(model), ..Request::new(UserId(40)) };
        let answer = engine.recommend_to(&request, &nobody, Some(lacking)).await.unwrap();
        assert_eq!((answer.degraded, answer.reason), (degraded, Some(lacking)), "{model}");
        assert_eq!(&*answer.model, "popularity");
        assert_eq!(answer.items.len(), 32);
    }
}

#[tokio::test]
async fn genres_limit_the_answer() {
    let engine = engine();
    let genre = |name| engine.catalog().genres().find(name).unwrap();
    let both: GenreSet = [genre("A"), genre("B")].into_iter().collect();
    for genres in [[genre("B")].into_iter().collect(), both] {
        let request = Request { genres, size: 100, ..Request::new(UserId(40)) };
        let answer = engine.recommend(&request).await.unwrap();
        let mut found = movies(&answer);
        found.sort_unstable();
        let expected: Vec<u32> =
            (20..MOVIES).filter(|m| m % 3 == 0 || (genres == both && m % 2 == 0)).collect();
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn users_without_a_vector_get_popular_movies_with_a_reason() {
    let engine = engine();
    let ask = async |user, model| {
        let request = Request { size: 3, model, ..Request::new(UserId(user)) };
        engine.recommend(&request).await.unwrap()
    };
    let known = ask(59, None).await;
    assert_eq!(movies(&known), [1, 2, 3]);
    assert_eq!((&*known.requested, &*known.model), ("emb", "popularity"));
    assert_eq!((known.degraded, known.reason), (true, Some(Reason::NoUserEmbedding)));

    let unknown = ask(9999, Some("emb")).await;
    assert_eq!(movies(&unknown), [0, 1, 2]);
    assert_eq!((unknown.degraded, unknown.reason), (true, Some(Reason::UnknownUser)));

    let popular = ask(9999, Some("popularity")).await;
    assert_eq!((popular.degraded, popular.reason), (false, Some(Reason::UnknownUser)));
    let popular = ask(40, Some("popularity")).await;
    assert_eq!((popular.degraded, popular.reason), (false, None));
    assert_eq!(movies(&popular), [20, 21, 22]);
}

#[tokio::test]
async fn unavailable_models_fall_back() {
    let engine = engine();
    for name in ["neuralcf", "nerualcf"] {
        let request = Request { model: Some(name), ..Request::new(UserId(40)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert_eq!((&*answer.requested, &*answer.model), ("neuralcf", "emb"));
        assert_eq!((answer.degraded, answer.reason), (true, Some(Reason::ModelUnavailable)));
    }
    let engine = Engine::builder(catalog()).standard(None).build().unwrap();
    let status = &engine.models()[0].status;
    assert_eq!(status.state, State::Unavailable);
    assert_eq!(status.trouble.as_deref(), Some("the engine has no embeddings"));
    let answer = engine.recommend(&Request::new(UserId(40))).await.unwrap();
    assert_eq!((&*answer.model, answer.degraded), ("popularity", true));
    assert_eq!(answer.reason, Some(Reason::ModelUnavailable));

    let request = Request { model: Some("emd"), ..Request::new(UserId(40)) };
    let error = engine.recommend(&request).await.unwrap_err();
    let Error::UnknownModel { known, .. } = error else { panic!("{error}") };
    assert_eq!(known.iter().map(|n| &**n).collect::<Vec<_>>(), ["emb", "popularity"]);
}

#[tokio::test]
async fn empty_list_names_a_model_that_could_have_ranked() {
    let engine = engine();
    // User 0 has rated all movies and has no vector.
    let ask = async |user: u32, model: &str| {
        let request = Request { model: Some(model), ..Request::new(UserId(user)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert!(answer.items.is_empty());
        (answer.model.to_string(), answer.degraded, answer.reason)
    };
    let none_left = |model: &str| (model.to_owned(), false, None);
    assert_eq!(ask(0, "popularity").await, none_left("popularity"));
    let unavailable = ("popularity".to_owned(), true, Some(Reason::ModelUnavailable));
    assert_eq!(ask(0, "neuralcf").await, unavailable);
    let no_vector = ("popularity".to_owned(), true, Some(Reason::NoUserEmbedding));
    assert_eq!(ask(0, "emb").await, no_vector);
}

#[tokio::test]
async fn answer_names_no_model_if_none_can_rank() {
    let catalog = catalog();
    let failing = Fixed(Err(|| sparrow_rank::Error::TimedOut), 0);
    let model = Model::new("fixed", Arc::new(failing));
    let engine = standard(&catalog).model(model).build().unwrap();
    for (user, count) in [(40, 5), (0, 0)] {
        let request = Request { model: Some("fixed"), size: 5, ..Request::new(UserId(user)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert_eq!((&*answer.requested, &*answer.model), ("fixed", NO_MODEL));
        assert_eq!((answer.degraded, answer.reason), (true, Some(Reason::ModelTimedOut)));
        assert_eq!(answer.items.len(), count);
    }
}

struct Fixed(Result<f32, fn() -> sparrow_rank::Error>, usize);

#[async_trait]
impl Ranker for Fixed {
    fn kind(&self) -> &'static str {
        "fixed"
    }

    async fn score(
        &self,
        query: &Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        let score = *self.0.as_ref().map_err(|error| error())?;
        scores.clear();
        scores.resize(query.movies.len() - self.1, score);
        Ok(())
    }
}

struct Broken;

impl Recall for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn recall(
        &self,
        query: &sparrow_recall::Query<'_>,
        _limit: usize,
        found: &mut Vec<MovieIndex>,
    ) -> Result<(), sparrow_recall::Error> {
        found.push(MovieIndex(query.catalog.len() as u32 - 1));
        Err(sparrow_recall::Error::Unavailable { strategy: "broken".into(), source: "gone".into() })
    }
}

#[tokio::test]
async fn failing_and_invalid_rankers_fall_back() {
    let catalog = catalog();
    let cases: [(Fixed, Option<Reason>); 5] = [
        (Fixed(Ok(0.5), 0), None),
        (Fixed(Ok(0.5), 1), Some(Reason::ModelFailed)),
        (Fixed(Ok(f32::NAN), 0), Some(Reason::ModelFailed)),
        (Fixed(Err(|| sparrow_rank::Error::TimedOut), 0), Some(Reason::ModelTimedOut)),
        (
            Fixed(Err(|| sparrow_rank::Error::Unavailable("gone".into())), 0),
            Some(Reason::ModelUnavailable),
        ),
    ];
    for (ranker, reason) in cases {
        let model = Model::new("fixed", Arc::new(ranker)).fallback("emb");
        let engine = standard(&catalog).model(model).build().unwrap();
        let request = Request { model: Some("fixed"), size: 5, ..Request::new(UserId(40)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert_eq!((answer.degraded, answer.reason), (reason.is_some(), reason));
        assert_eq!(&*answer.model, if reason.is_some() { "emb" } else { "fixed" });
        if reason.is_none() {
            // Equal scores: by movie id.
            assert_eq!(movies(&answer), [20, 21, 22, 23, 24]);
        }
    }
}

/// Scores the movies below an index by their index, and no others.
struct Knows(u32);

#[async_trait]
impl Ranker for Knows {
    fn kind(&self) -> &'static str {
        "knows"
    }

    async fn score(
        &self,
        query: &Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        if query.user.id.0 >= 1000 {
            return Err(sparrow_rank::Error::UnknownUser(query.user.id));
        }
        let score = |movie: &MovieIndex| if movie.0 < self.0 { movie.0 as f32 } else { UNSCORED };
        scores.clear();
        scores.extend(query.movies.iter().map(score));
        Ok(())
    }
}

#[tokio::test]
async fn movies_without_a_score_come_last_in_the_order_of_the_fallback() {
    let catalog = catalog();
    let model = |name: &str, known| Model::new(name, Arc::new(Knows(known)));
    let engine = standard(&catalog)
        .model(model("few", 23).fallback("more"))
        .model(model("more", 26).fallback("emb"))
        .model(model("last", 22))
        .build()
        .unwrap();
    let ask = async |model, user| {
        let request = Request { model: Some(model), size: 12, ..Request::new(UserId(user)) };
        engine.recommend(&request).await.unwrap()
    };
    // Movies 20 to 22 by the model, 23 to 25 by its fallback, the others by their distance to user 40.
    let answer = ask("few", 40).await;
    assert_eq!((&*answer.model, answer.degraded, answer.reason), ("few", false, None));
    assert_eq!(movies(&answer)[..7], [22, 21, 20, 25, 24, 23, 40]);
    let ordered_by: Vec<_> = answer.items.iter().map(|item| answer.ordered_by(item)).collect();
    assert!(ordered_by[..3].iter().all(Option::is_none));
    assert!(ordered_by[3..6].iter().all(|name| *name == Some("more")));
    assert!(ordered_by[6..].iter().all(|name| *name == Some("emb")));
    let has_score = answer.items.iter().map(|item| item.score.is_some());
    assert!(has_score.eq(ordered_by.iter().map(Option::is_none)));
    // Without a fallback, the number of ratings orders them.
    assert_eq!(movies(&ask("last", 40).await)[..4], [21, 20, 22, 23]);

    let unknown = ask("few", 1000).await;
    assert_eq!((&*unknown.model, unknown.reason), ("popularity", Some(Reason::UnknownUser)));
    let counts = |name: &str| {
        let model = engine.models().into_iter().find(|model| *model.name == *name).unwrap();
        (model.counts.answered, model.counts.stood_in, model.counts.declined)
    };
    assert_eq!(counts("few"), (1, 0, 1));
    assert_eq!(counts("more"), (1, 1, 1));
    assert_eq!(counts("emb"), (1, 1, 1));
    assert_eq!(counts("popularity"), (1, 1, 0));
}

#[tokio::test]
async fn the_whole_catalogue_can_be_ranked() {
    let catalog = catalog();
    let model = Model::new("all", Arc::new(Knows(MOVIES)));
    let engine = standard(&catalog).candidates(5).model(model).build().unwrap();
    let genre = engine.catalog().genres().find("B").unwrap();
    let all = Request {
        model: Some("all"),
        size: 4,
        candidates: Candidates::All,
        ..Request::new(UserId(40))
    };
    let answer = engine.recommend(&all).await.unwrap();
    assert_eq!((movies(&answer), answer.candidates), (vec![59, 58, 57, 56], 40));
    assert_eq!(found_by(&answer, 0), [""; 0]);
    let genres = [genre].into_iter().collect();
    let answer = engine.recommend(&Request { genres, ..all }).await.unwrap();
    assert_eq!((movies(&answer), answer.candidates), (vec![57, 54, 51, 48], 13));
}

#[tokio::test]
async fn excluded_and_filtered_movies_are_not_recommended() {
    let engine = engine();
    let catalog_end = MovieIndex(MOVIES + 7);
    let exclude = [MovieIndex(40), MovieIndex(41), catalog_end];
    let is_even = |movie: MovieIndex| movie.0.is_multiple_of(2);
    let request = Request {
        exclude: &exclude,
        filter: Some(Filter(&is_even)),
        size: 100,
        ..Request::new(UserId(40))
    };
    for candidates in [Candidates::Recalled, Candidates::All] {
        let request = Request { candidates, ..request.clone() };
        let mut found = movies(&engine.recommend(&request).await.unwrap());
        found.sort_unstable();
        // User 40 has seen the movies 0 to 19.
        let expected = (20..MOVIES).filter(|movie| movie % 2 == 0 && *movie != 40);
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
}

/// Scores the whole catalogue at once, by movie index and not those below 30, and counts how often it is asked.
#[derive(Default)]
struct Whole {
    asked: AtomicUsize,
}

#[async_trait]
impl Ranker for Whole {
    fn kind(&self) -> &'static str {
        "whole"
    }

    fn score_all(
        &self,
        user: &UserState<'_>,
    ) -> Option<Result<Arc<ItemScores>, sparrow_rank::Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if user.id == UserId(50) {
            return Some(Err(sparrow_rank::Error::UnknownUser(user.id)));
        }
        let score = |movie| if movie < 30 { UNSCORED } else { movie as f32 };
        Some(Ok(Arc::new(ItemScores::new((0..MOVIES).map(score).collect()))))
    }

    async fn score(
        &self,
        query: &Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        let all = self.score_all(query.user).unwrap()?;
        scores.clear();
        scores.extend(query.movies.iter().map(|movie| all.as_slice()[movie.index()]));
        Ok(())
    }
}

/// Counts how often a model is asked.
struct Counted(Knows, AtomicUsize);

#[async_trait]
impl Ranker for Counted {
    fn kind(&self) -> &'static str {
        "counted"
    }

    async fn score(
        &self,
        query: &Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.score(query, scores).await
    }
}

/// The difference of the scores of two models, for movies that both can score.
struct Difference;

#[async_trait]
impl Ranker for Difference {
    fn kind(&self) -> &'static str {
        "difference"
    }

    async fn score(
        &self,
        query: &Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        let [Some(first), Some(second)] = query.inputs else {
            return Err(sparrow_rank::Error::UnknownUser(query.user.id));
        };
        assert_eq!((first.len(), second.len()), (query.movies.len(), query.movies.len()));
        let both = |(&a, &b): (&f32, &f32)| {
            if a == UNSCORED || b == UNSCORED { UNSCORED } else { a - 3.0 * b }
        };
        scores.clear();
        scores.extend(first.iter().zip(second.iter()).map(both));
        Ok(())
    }
}

fn with_whole(catalog: &Arc<Catalog>) -> (Engine, Arc<Whole>, Arc<Counted>) {
    let whole = Arc::new(Whole::default());
    let counted = Arc::new(Counted(Knows(50), AtomicUsize::new(0)));
    let engine = standard(catalog)
        .strategy(ByScores::new("whole", "whole", 55.0), 10)
        .model(Model::new("whole", Arc::clone(&whole) as Arc<dyn Ranker>).fallback("popularity"))
        .model(Model::new("counted", Arc::clone(&counted) as Arc<dyn Ranker>))
        .model(
            Model::new("blend", Arc::new(Difference))
                .inputs(["whole", "counted"])
                .fallback("counted"),
        )
        .build()
        .unwrap();
    (engine, whole, counted)
}

#[tokio::test]
async fn scores_of_the_whole_catalogue_are_computed_once_per_request() {
    let (engine, whole, _) = with_whole(&catalog());
    let request = Request { model: Some("whole"), size: 40, ..Request::new(UserId(40)) };
    let answer = engine.recommend(&request).await.unwrap();
    assert_eq!(whole.asked.load(Ordering::Relaxed), 1);
    assert_eq!(movies(&answer)[..3], [59, 58, 57]);
    assert_eq!((&*answer.model, answer.degraded), ("whole", false));
    // Movies 20 to 29 have no score.
    assert_eq!(movies(&answer)[30..], (20..30).collect::<Vec<_>>());
    let recalled: Vec<u32> = (answer.items.iter())
        .filter(|item| answer.recalled_by(item).any(|name| name == "whole"))
        .map(|item| item.movie.0)
        .collect();
    assert_eq!(recalled, [59, 58, 57, 56]);

    // Without scores for the user, the strategy has no candidates and has not failed.
    let other = Request { user: UserId(50), ..request };
    let answer = engine.recommend(&other).await.unwrap();
    assert_eq!(whole.asked.load(Ordering::Relaxed), 2);
    assert_eq!((&*answer.model, answer.reason), ("popularity", Some(Reason::UserNotInModel)));
    let info = engine.models().into_iter().find(|model| &*model.name == "whole").unwrap();
    assert_eq!((info.counts.answered, info.counts.declined), (1, 1));
}

#[tokio::test]
async fn strategies_serve_the_requests_of_their_scope() {
    let whole = Arc::new(Whole::default());
    let model = |name: &str| Model::new(name, Arc::clone(&whole) as Arc<dyn Ranker>);
    let engine = standard(&catalog())
        .strategy_for(Scope::OwnModel, ByScores::new("whole", "whole", 55.0), 10)
        .model(model("whole").fallback("popularity"))
        .strategy(ByOrder(Sort::Popularity), 5)
        .model(Model::new("blend", Arc::new(Difference)).inputs(["whole", "popularity"]))
        .build()
        .unwrap();
    for (name, user, is_own, is_asked) in [
        ("popularity", 40, false, false),
        ("whole", 40, true, true),
        ("blend", 40, true, true),
        // The model has no scores for this user.
        ("whole", 50, false, true),
    ] {
        let before = whole.asked.load(Ordering::Relaxed);
        let request = Request { model: Some(name), size: 60, ..Request::new(UserId(user)) };
        let answer = engine.recommend(&request).await.unwrap();
        let found = |wanted: &str| {
            let by = |item| answer.recalled_by(item).any(|strategy| strategy == wanted);
            answer.items.iter().any(by)
        };
        assert_eq!((found("whole"), found("rating")), (is_own, !is_own), "{name} {user}");
        assert!(found("popularity"), "{name} {user}");
        let asked = whole.asked.load(Ordering::Relaxed) - before;
        assert_eq!(asked, usize::from(is_asked), "{name} {user}");
    }
}

#[tokio::test]
async fn requests_select_recall_mixes_by_name() {
    let of = |sort, share| RecallMix::default().strategy(ByOrder(sort), share).candidates(10);
    let engine = standard(&catalog())
        .recall_mix("newest", of(Sort::ReleaseYear, 10))
        .recall_mix("best", of(Sort::Rating, 4))
        .build()
        .unwrap();
    let plain = self::engine();
    let request = Request { model: Some("popularity"), size: 5, ..Request::new(UserId(40)) };
    let answer = async |engine: &Engine, recall| {
        let answer = engine.recommend(&Request { recall, ..request.clone() }).await.unwrap();
        let found = (0..answer.items.len()).map(|index| found_by(&answer, index).join(" "));
        let found: Vec<String> = found.collect();
        (answer.candidates, movies(&answer), found)
    };
    let before = answer(&plain, None).await;
    assert_eq!(answer(&engine, None).await, before);
    assert_eq!(before.0, 40);
    let (candidates, found, by) = answer(&engine, Some("newest")).await;
    // The most popular of the newest ten.
    assert_eq!((candidates, found), (10, vec![50, 51, 52, 53, 54]));
    assert!(by.iter().all(|by| by == "recency"), "{by:?}");
    let (candidates, _, by) = answer(&engine, Some("best")).await;
    assert_eq!(candidates, 10);
    // Popular movies fill up.
    assert!(by.iter().all(|by| by == "rating" || by == "popularity"), "{by:?}");
    assert!(by.iter().any(|by| by == "popularity"), "{by:?}");
    let all = Request { candidates: Candidates::All, recall: Some("best"), ..request.clone() };
    assert_eq!(engine.recommend(&all).await.unwrap().candidates, 40);

    let error = engine.recommend(&Request { recall: Some("bset"), ..request.clone() }).await;
    let Err(Error::UnknownRecallMix { name, known }) = error else { panic!("{error:?}") };
    assert_eq!((&*name, known.len()), ("bset", 2));
    // Counters have one entry per strategy: the default mix used recency once, the other one once.
    let counts = engine.recall_counts();
    let calls = |name: &str| -> Vec<u64> {
        let of_name = counts.iter().filter(|counts| &*counts.strategy == name);
        of_name.map(|counts| counts.calls).collect()
    };
    assert_eq!((calls("recency"), calls("embedding")), (vec![2], vec![1]));
}

#[tokio::test]
async fn popular_movies_fill_up_all_candidates_only_if_no_model_proposed_any() {
    let whole = Arc::new(Whole::default());
    let model = |name: &str| Model::new(name, Arc::clone(&whole) as Arc<dyn Ranker>);
    let blend = Model::new("blend", Arc::new(Difference)).inputs(["whole", "popularity"]);
    let catalog = catalog();
    let popularity = PopularityRanker::new(Arc::clone(&catalog));
    let engine = Engine::builder(catalog)
        .candidates(30)
        .strategy_for(Scope::OwnModel, ByScores::new("whole", "whole", 55.0), 10)
        .model(Model::new("popularity", Arc::new(popularity)))
        .model(model("whole"))
        .model(blend.fallback("popularity"))
        .default_model("blend")
        .build()
        .unwrap();
    // Movies 56 to 59 exceed the score of 55. The model has no scores for user 50.
    for (user, size, candidates) in [(40, 2, 4), (40, 10, 10), (50, 2, 30), (50, 10, 30)] {
        let request = Request { model: Some("blend"), size, ..Request::new(UserId(user)) };
        let answer = engine.recommend(&request).await.unwrap();
        assert_eq!((answer.items.len(), answer.candidates), (size, candidates), "{user} {size}");
    }
}

#[tokio::test]
async fn model_that_names_a_strategy_ranks_its_candidates_alone_if_there_are_any() {
    let counted = Arc::new(Counted(Knows(50), AtomicUsize::new(0)));
    let model = Model::new("counted", counted as Arc<dyn Ranker>).fallback("popularity");
    let engine = standard(&catalog()).model(model.recall("embedding")).build().unwrap();
    // User 59 has no vector.
    for (user, is_alone) in [(20, true), (59, false)] {
        let request = Request { model: Some("counted"), size: 30, ..Request::new(UserId(user)) };
        let answer = engine.recommend(&request).await.unwrap();
        let others = |item| answer.recalled_by(item).any(|name| name == "rating");
        assert_eq!(answer.items.iter().any(others), !is_alone, "{user}");
        let by_vectors = |item| answer.recalled_by(item).any(|name| name == "embedding");
        assert_eq!(answer.items.iter().any(by_vectors), is_alone, "{user}");
    }
}

#[tokio::test]
async fn list_of_a_model_contains_its_best_movies_however_long_it_is() {
    let whole = Arc::new(Whole::default());
    let engine = standard(&catalog())
        .candidates(10)
        .strategy_for(Scope::OwnModel, ByScores::new("whole", "whole", 0.0), 2)
        .model(Model::new("whole", whole as Arc<dyn Ranker>).fallback("popularity"))
        .build()
        .unwrap();
    for size in [1, 5, 20] {
        let request = Request { model: Some("whole"), size, ..Request::new(UserId(40)) };
        let answer = engine.recommend(&request).await.unwrap();
        let best: Vec<u32> = (0..MOVIES).rev().take(size).collect();
        assert_eq!(movies(&answer), best);
    }
}

#[tokio::test]
async fn model_without_a_score_for_any_candidate_falls_back() {
    let (engine, ..) = with_whole(&catalog());
    let is_unscored = |movie: MovieIndex| (20..30).contains(&movie.0);
    let request = Request {
        model: Some("whole"),
        candidates: Candidates::All,
        filter: Some(Filter(&is_unscored)),
        ..Request::new(UserId(40))
    };
    let answer = engine.recommend(&request).await.unwrap();
    assert_eq!(answer.items.len(), 10);
    assert_eq!((&*answer.model, answer.degraded), ("popularity", true));
    assert_eq!(answer.reason, Some(Reason::CandidatesNotInModel));
    let info = engine.models().into_iter().find(|model| &*model.name == "whole").unwrap();
    assert_eq!((info.counts.answered, info.counts.declined), (0, 1));
}

#[tokio::test]
async fn a_model_combines_scores_that_others_compute_once() {
    let (engine, whole, counted) = with_whole(&catalog());
    let request = Request { model: Some("blend"), size: 40, ..Request::new(UserId(40)) };
    let answer = engine.recommend(&request).await.unwrap();
    // Both models score the movies 30 to 49, with a difference of m - 3 m. The fallback orders the others.
    assert_eq!(movies(&answer)[..20], (30..50).collect::<Vec<_>>());
    assert_eq!(answer.items[0].score, Some(-60.0));
    assert_eq!(answer.ordered_by(&answer.items[20]), Some("counted"));
    assert_eq!(movies(&answer)[20..23], [29, 28, 27]);
    assert_eq!(whole.asked.load(Ordering::Relaxed), 1);
    assert_eq!(counted.1.load(Ordering::Relaxed), 1);

    // The combination can work without the scores of one model; this one cannot.
    let answer = engine.recommend(&Request { user: UserId(50), ..request }).await.unwrap();
    assert_eq!((&*answer.model, answer.reason), ("counted", Some(Reason::UserNotInModel)));
    assert_eq!(counted.1.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn failing_strategy_only_degrades_the_answer() {
    let catalog = catalog();
    let builder = Engine::builder(Arc::clone(&catalog)).strategy(Broken, 10);
    let engine = builder.standard(Some(embeddings(&catalog))).build().unwrap();
    let answer = engine.recommend(&Request { size: 3, ..Request::new(UserId(40)) }).await.unwrap();
    assert_eq!((&*answer.model, answer.degraded), ("emb", true));
    assert_eq!(answer.reason, Some(Reason::RecallFailed));
    assert_eq!(movies(&answer)[0], 40);
    assert!(!found_by(&answer, 0).contains(&"broken"));
}

#[tokio::test]
async fn buffers_of_a_request_do_not_affect_the_next() {
    let engine = engine();
    let request = Request { size: 10, ..Request::new(UserId(40)) };
    let first = engine.recommend(&request).await.unwrap();
    for user in [0, 59, 9999] {
        let all = Request { exclude_seen: false, size: 100, ..Request::new(UserId(user)) };
        engine.recommend(&all).await.unwrap();
    }
    let again = engine.recommend(&request).await.unwrap();
    assert_eq!(first.items, again.items);
}

#[test]
fn similar_movies_by_vector_and_by_genre() {
    let engine = engine();
    let ask = |movie, model, size| {
        let request = SimilarRequest { model, size, ..SimilarRequest::new(MovieIndex(movie)) };
        engine.similar(&request).unwrap()
    };
    let near = ask(30, None, 2);
    let mut ids: Vec<u32> = near.items.iter().map(|item| item.movie.0).collect();
    ids.sort_unstable();
    assert_eq!((&*near.model, near.reason, ids), ("emb", None, vec![29, 31]));
    assert!((near.items[0].score - 0.05_f32.cos()).abs() < 1e-5);

    // Movie 5 has no vector.
    let stand_in = ask(5, Some("emb"), 2);
    assert_eq!((&*stand_in.requested, &*stand_in.model), ("emb", "genre"));
    assert_eq!(stand_in.reason, Some(Reason::NoMovieEmbedding));

    let alike = ask(6, Some("genre"), 59);
    assert_eq!((alike.items.len(), alike.reason), (59, None));
    let catalog = engine.catalog();
    for item in &alike.items {
        // Movie 6 has both genres.
        let other = catalog.movie(item.movie).genre_set.len();
        let shared = if other == 0 { 0.0 } else { 2.0 * other as f32 / (2 + other) as f32 };
        let expected = 0.7 * shared + 0.3 * catalog.stats(item.movie).bayesian / 5.0;
        assert!((item.score - expected).abs() < 1e-6);
        assert_ne!(item.movie, MovieIndex(6));
    }
    assert!(
        alike
            .items
            .is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.movie < b.movie))
    );

    let unknown =
        SimilarRequest { model: Some("popularity"), ..SimilarRequest::new(MovieIndex(6)) };
    assert!(matches!(engine.similar(&unknown), Err(Error::UnknownModel { .. })));
}

/// As [`embeddings`], with zero vectors for user 40 and movie 30.
fn engine_with_zeros(similarity: Similarity) -> Engine {
    let catalog = catalog();
    let line = |id: u32, at: u32| {
        let angle = f64::from(at) * 0.05;
        format!("{id}:{} {}\n", angle.cos(), angle.sin())
    };
    let zero = |id: u32| format!("{id}:0 -0\n");
    let items: String =
        (10..MOVIES).map(|m| if m == 30 { zero(m + 100) } else { line(m + 100, m) }).collect();
    let users: String = (20..59).map(|u| if u == 40 { zero(u) } else { line(u, u) }).collect();
    let read = |text: &str| EmbeddingTable::read(text.as_bytes(), "test").unwrap();
    let embeddings = Embeddings::new(&read(&items), read(&users), similarity, &catalog).unwrap();
    Engine::builder(catalog).standard(Some(embeddings)).build().unwrap()
}

#[tokio::test]
async fn zero_vectors_count_as_missing() {
    for similarity in [Similarity::Cosine, Similarity::Dot] {
        let engine = engine_with_zeros(similarity);
        let answer = engine.recommend(&Request::new(UserId(40))).await.unwrap();
        assert_eq!((&*answer.model, answer.degraded), ("popularity", true));
        assert_eq!(answer.reason, Some(Reason::NoUserEmbedding));
        for item in &answer.items {
            assert!(answer.recalled_by(item).all(|name| name != "embedding"));
        }

        // Movie 30 is ranked, without a score.
        let all = Request { candidates: Candidates::All, size: 60, ..Request::new(UserId(50)) };
        let answer = engine.recommend(&all).await.unwrap();
        assert_eq!((&*answer.model, answer.degraded), ("emb", false));
        let item = answer.items.iter().find(|item| item.movie.0 == 30).unwrap();
        assert_eq!(item.score, None);

        let request = |movie| SimilarRequest { size: 59, ..SimilarRequest::new(MovieIndex(movie)) };
        let similar = engine.similar(&request(30)).unwrap();
        assert_eq!((&*similar.model, similar.reason), ("genre", Some(Reason::NoMovieEmbedding)));
        let similar = engine.similar(&request(31)).unwrap();
        assert_eq!((&*similar.model, similar.items.len()), ("emb", 48));
    }
    // The vector of a user in a store.
    let engine = engine_with_zeros(Similarity::Cosine);
    let state = UserState { embedding: Some(&[0.0, 0.0]), ..UserState::unknown(UserId(7)) };
    let answer = engine.recommend_to(&Request::new(UserId(7)), &state, None).await.unwrap();
    assert_eq!((&*answer.model, answer.degraded), ("popularity", true));
    assert_eq!(answer.reason, Some(Reason::NoUserEmbedding));
}

#[test]
fn contradictory_engines_are_errors() {
    let catalog = catalog();
    let error = |builder: Builder| builder.build().unwrap_err();
    let unavailable = |name: &str| Model::unavailable(name, "test", "not loaded");
    let default = error(standard(&catalog).default_model("emd"));
    assert_eq!(default.to_string(), "no model is named \"emd\"");
    let fallback = error(standard(&catalog).model(unavailable("new").fallback("pop")));
    assert_eq!(fallback.to_string(), "no model is named \"pop\"");
    let cycle = standard(&catalog)
        .model(unavailable("one").fallback("two"))
        .model(unavailable("two").alias("too").fallback("one"));
    assert!(matches!(error(cycle), Error::CyclicFallback(name) if name == "one"));
    let twice = error(standard(&catalog).model(unavailable("one").alias("emb")));
    assert!(matches!(twice, Error::DuplicateModel(name) if name == "emb"));
    let twice = standard(&catalog).strategy(ByScores::new("genre", "emb", 0.0), 1);
    assert!(matches!(error(twice), Error::DuplicateStrategy(name) if name == "genre"));
    let missing = error(standard(&catalog).strategy(ByScores::new("new", "missing", 0.0), 1));
    assert!(matches!(missing, Error::UnknownModel { name, .. } if name == "missing"));
    let blend = |name: &str, input: &str| unavailable(name).inputs([input]);
    let nested = error(standard(&catalog).model(blend("a", "emb")).model(blend("b", "a")));
    assert!(
        matches!(nested, Error::NestedInput { model, input } if (&*model, &*input) == ("b", "a"))
    );
    let many = (0..16).fold(standard(&catalog), |builder, index| {
        builder.strategy(ByScores::new(format!("s{index}"), "emb", 0.0), 1)
    });
    assert!(matches!(error(many), Error::TooManyStrategies(20)));
    let mix = RecallMix::default;
    let twice = standard(&catalog).recall_mix("wide", mix()).recall_mix("wide", mix());
    assert!(matches!(error(twice), Error::DuplicateRecallMix(name) if name == "wide"));
    let foreign = mix().strategy(ByScores::new("new", "missing", 0.0), 1);
    let foreign = error(standard(&catalog).recall_mix("wide", foreign));
    assert!(matches!(foreign, Error::UnknownModel { name, .. } if name == "missing"));

    let read = |text: &str| EmbeddingTable::read(text.as_bytes(), "test").unwrap();
    let vectors = |items, users| {
        Embeddings::new(&read(items), read(users), Similarity::Dot, &catalog)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(vectors("100:1 2\n", "1:1\n"), "user vectors have 1 dimensions, item vectors 2");
    assert_eq!(
        vectors("9999:1\n", "1:1\n"),
        "none of the 1 item vectors belongs to a movie of the catalogue"
    );
    assert_eq!(
        vectors("100:0\n101:0\n9999:1\n", "1:1\n"),
        "all 2 item vectors of the catalogue's movies are zero"
    );
}
