use sparrow_model::{MovieRecord, Movies, RatingLog, Stars};

use super::*;

/// Generates a data set: some movies are rated more often, each user likes one half of the movies, and users and movies
/// have biases.
pub(crate) fn generated(users: usize, movies: usize, ratings: usize) -> Catalog {
    let record = |id: u32| {
        let genres = [format!("Genre {}", id % 2), format!("Genre {}", 2 + id % 3)];
        sparrow_test_support::catalogue::movie(id * 3 + 1, Some(1990), genres)
    };
    let movies_list = Movies::new((0..movies as u32).map(record).collect()).unwrap();
    let mut random = Random::new(11, 0);
    let mut rated = std::collections::BTreeSet::new();
    let mut log = RatingLog::default();
    while rated.len() < ratings {
        let user = random.below(users);
        // The first movies more often, and those of the user's half.
        let mut movie = random.below(movies).min(random.below(movies));
        if movie % 2 != user % 2 && random.chance(0.6) {
            movie = (movie + 1).min(movies - 1);
        }
        if !rated.insert((user, movie)) {
            continue;
        }
        let taste = if user % 2 == movie % 2 { 2.0 } else { -2.0 };
        let stars = 6.0 + taste + (user % 5) as f64 * 0.3 + random.normal();
        let stars = Stars::from_half_stars(stars.clamp(1.0, 10.0) as u8).unwrap();
        let time = 1_000_000 + rated.len() as u32 * 7;
        log.push(UserId(user as u32 + 100), MovieIndex(movie as u32), stars, time);
    }
    Catalog::new(movies_list, log.into_histories().0)
}

fn quick(protocol: Protocol) -> Options {
    Options { seeds: vec![1, 2], resamples: 200, ..Options::new(protocol) }
}

async fn evaluated(catalog: &Catalog, method: &dyn Method, options: &Options) -> Evaluation {
    run(catalog, method, options, &|_, _| {}).await.unwrap()
}

fn mean(evaluation: &Evaluation, name: &str) -> f64 {
    evaluation.measures.iter().find(|measure| measure.name == name).unwrap().mean
}

fn gmf() -> Trained {
    let options = train::Options::new(train::Method::Gmf);
    Trained { options: train::Options { epochs: 60, l2: 1.0, embedding: Some(4), ..options } }
}

#[tokio::test]
async fn factors_predict_labels_better_than_biases() {
    let catalog = generated(80, 60, 2400);
    let options = quick(Protocol::Label);
    let factors = evaluated(&catalog, &gmf(), &options).await;
    let biases = evaluated(&catalog, &UserAndMovieBiases::default(), &options).await;
    assert!(mean(&factors, "roc_auc") > 0.9, "{:?}", factors.measures);
    assert!(mean(&biases, "roc_auc") < 0.7, "{:?}", biases.measures);
    assert!(mean(&factors, "calibration_error") < 0.2);
    let differences = compare(&factors, &biases).unwrap();
    let auc = differences.iter().find(|difference| difference.name == "roc_auc").unwrap();
    assert!(auc.interval.0 > 0.1 && auc.p_value < 0.02, "{auc:?}");
    let own = compare(&factors, &factors).unwrap();
    assert!(own.iter().all(|d| d.difference == 0.0 && d.p_value == 1.0));
    // Movies without a vector have no probability; popularity has none at all.
    let popularity = evaluated(&catalog, &Popularity, &options).await;
    assert!(popularity.measures.iter().all(|measure| measure.name != "log_loss"));
    assert!(popularity.calibration.is_none() && factors.calibration.is_some());
}

#[tokio::test]
async fn lists_of_two_models_are_interleaved() {
    let catalog = generated(120, 80, 3600);
    let options = Options { seeds: vec![1, 2], resamples: 100, ..quick(Protocol::FullRanking) };
    let ease = method("ease", None).unwrap();
    let ease = evaluated(&catalog, &*ease, &options).await;
    let biases = evaluated(&catalog, &UserAndMovieBiases::default(), &options).await;
    let interleaving = |first: &Evaluation, second: &Evaluation| {
        let differences = compare(first, second).unwrap();
        differences.into_iter().find(|difference| difference.name == "interleaving").unwrap()
    };
    let preference = interleaving(&ease, &biases);
    assert!(preference.difference > 0.05 && preference.difference <= 0.5, "{preference:?}");
    assert!(preference.interval.0 > 0.0 && preference.p_value < 0.05, "{preference:?}");
    assert_eq!(interleaving(&biases, &ease).difference, -preference.difference);
    let own = interleaving(&ease, &ease);
    assert_eq!((own.difference, own.interval, own.p_value), (0.0, (0.0, 0.0), 1.0));
}

/// The reference sorts all movies by popularity for each user.
#[tokio::test]
async fn full_ranking_equals_a_naive_reference() {
    let catalog = generated(80, 60, 1600);
    let options = Options { seeds: vec![7], resamples: 50, ..quick(Protocol::FullRanking) };
    let evaluation = evaluated(&catalog, &Popularity, &options).await;
    let Parts { training, test } = Parts::new(&catalog, HoldOut::RandomByMovie, 0.25, 7);
    let (mut ndcg, mut map, mut users) = (0.0, 0.0, 0.0);
    let mut all = std::collections::BTreeSet::new();
    for test in test.iter() {
        let Some(known) = training.users().find(test.user()) else { continue };
        let mut list: Vec<MovieIndex> = (0..60).map(MovieIndex).collect();
        list.retain(|&m| training.stats(m).count > 0 && !known.movies().any(|seen| seen == m));
        list.sort_by_key(|&movie| (std::cmp::Reverse(training.stats(movie).count), movie));
        list.truncate(10);
        let hit = |movie: &MovieIndex| test.movies().any(|relevant| relevant == *movie);
        let gain = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let found: Vec<usize> = (0..list.len()).filter(|&rank| hit(&list[rank])).collect();
        let best: f64 = (0..test.len().min(10)).map(gain).sum();
        ndcg += found.iter().map(|&rank| gain(rank)).sum::<f64>() / best;
        let precisions = (1..).zip(&found).map(|(hits, &rank)| f64::from(hits) / (rank + 1) as f64);
        map += precisions.sum::<f64>() / test.len() as f64;
        users += 1.0;
        all.extend(list);
    }
    assert!((mean(&evaluation, "ndcg_at_10") - ndcg / users).abs() < 1e-12);
    assert!((mean(&evaluation, "map_at_10") - map / users).abs() < 1e-12);
    let rated = split::rated_movies(&training).len() as f64;
    assert!((mean(&evaluation, "coverage") - all.len() as f64 / rated).abs() < 1e-12);
    assert_eq!(mean(&evaluation, "seen_share"), 0.0);
    assert_eq!(evaluation.seeds[0].users as f64, users);
    for measure in &evaluation.measures {
        match measure.interval {
            Some((low, high)) => assert!(low <= measure.mean && measure.mean <= high),
            None => assert_eq!(measure.name, "coverage"),
        }
    }
}

#[tokio::test]
async fn seen_movies_count_if_lists_keep_them() {
    let catalog = generated(80, 60, 1600);
    let options = Options { keep_seen: true, ..quick(Protocol::FullRanking) };
    let kept = evaluated(&catalog, &Popularity, &options).await;
    assert!(mean(&kept, "seen_share") > 0.3);
    let removed = evaluated(&catalog, &Popularity, &quick(Protocol::FullRanking)).await;
    assert!(mean(&kept, "ndcg_at_10") < mean(&removed, "ndcg_at_10"));
}

/// Returns the same score for all movies, or an error.
struct Indifferent(f32);

#[async_trait::async_trait]
impl Ranker for Indifferent {
    fn kind(&self) -> &'static str {
        "indifferent"
    }

    async fn score(
        &self,
        query: &sparrow_rank::Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        if self.0.is_nan() {
            return Err(sparrow_rank::Error::NoUserEmbedding(query.user.id));
        }
        scores.clear();
        scores.resize(query.movies.len(), self.0);
        Ok(())
    }
}

impl Method for Indifferent {
    fn name(&self) -> String {
        "indifferent".to_owned()
    }

    fn fit(
        &self,
        training: Training<'_>,
    ) -> Result<Fitted, Box<dyn std::error::Error + Send + Sync>> {
        let ranker = Arc::new(Self(self.0));
        let answers = Answers::Scores { ranker, probabilities: false };
        Ok(Fitted { catalog: Arc::clone(training.catalog), answers, vectors: None, diversity: 0.0 })
    }
}

/// Ties count as a random order; a model without scores has a hit rate of 0.
#[tokio::test]
async fn constant_scores_are_as_good_as_chance() {
    let catalog = generated(80, 300, 3000);
    let left_out = evaluated(&catalog, &Indifferent(0.3), &quick(Protocol::LeaveOneOut)).await;
    assert!((mean(&left_out, "hit_rate_at_10") - 0.1).abs() < 1e-9);
    assert!(mean(&left_out, "hit_rate_at_10_all") < 0.06);
    let labels = evaluated(&catalog, &Indifferent(0.3), &quick(Protocol::Label)).await;
    assert_eq!((mean(&labels, "roc_auc"), mean(&labels, "user_roc_auc")), (0.5, 0.5));
    let silent = evaluated(&catalog, &Indifferent(f32::NAN), &quick(Protocol::LeaveOneOut)).await;
    assert_eq!(mean(&silent, "hit_rate_at_10"), 0.0);
    assert_eq!(silent.seeds[0].without_scores, silent.seeds[0].users);
}

#[tokio::test]
async fn personal_models_find_the_last_movie_more_often_than_chance() {
    let catalog = generated(80, 200, 3000);
    let options = quick(Protocol::LeaveOneOut);
    let popularity = evaluated(&catalog, &Popularity, &options).await;
    let vectors = method("emb", None).unwrap();
    let vectors = evaluated(&catalog, &*vectors, &options).await;
    assert!(mean(&popularity, "hit_rate_at_10") > 0.12, "{:?}", popularity.measures);
    assert!(mean(&vectors, "hit_rate_at_10") > 0.12, "{:?}", vectors.measures);
    let engine = method("engine", None).unwrap();
    let engine = evaluated(&catalog, &*engine, &options).await;
    assert!(engine.measures.iter().all(|measure| measure.name != "hit_rate_at_10"));
    assert!(mean(&engine, "hit_rate_at_10_all") > 0.01, "{:?}", engine.measures);
}

#[tokio::test]
async fn incompatible_options_are_errors() {
    let catalog = generated(30, 30, 300);
    let engine = method("engine", None).unwrap();
    let refused = run(&catalog, &*engine, &quick(Protocol::Label), &|_, _| {}).await;
    assert!(matches!(refused, Err(Error::Option(_))));
    let options = Options { hold_out: HoldOut::TIME, ..quick(Protocol::LeaveOneOut) };
    assert!(matches!(options.check(), Err(Error::Option(_))));
    for protocol in [Protocol::FullRanking, Protocol::FirstK] {
        let options = Options { hold_out: HoldOut::Movies, ..quick(protocol) };
        assert!(matches!(options.check(), Err(Error::Option(_))), "{protocol}");
    }
    let one_each = generated(30, 30, 0);
    let nothing = run(&one_each, &Popularity, &quick(Protocol::FullRanking), &|_, _| {}).await;
    assert!(matches!(nothing, Err(Error::NoTestData(_))), "{nothing:?}");
}

/// Returns a model of its own catalogue instead of the training part.
struct Cheat(Arc<Catalog>);

impl Method for Cheat {
    fn name(&self) -> String {
        "cheat".to_owned()
    }

    fn fit(
        &self,
        _training: Training<'_>,
    ) -> Result<Fitted, Box<dyn std::error::Error + Send + Sync>> {
        let ranker = Arc::new(sparrow_rank::PopularityRanker::new(Arc::clone(&self.0)));
        let answers = Answers::Scores { ranker, probabilities: false };
        Ok(Fitted { catalog: Arc::clone(&self.0), answers, vectors: None, diversity: 0.0 })
    }
}

#[tokio::test]
async fn planted_leaks_are_detected() {
    let catalog = Arc::new(generated(80, 60, 1600));
    let found =
        async |method: Cheat, protocol| match run(&catalog, &method, &quick(protocol), &|_, _| {})
            .await
        {
            Err(Error::Leak(leak)) => leak,
            other => panic!("{other:?}"),
        };
    // A catalogue with the test part.
    let everything = || Cheat(Arc::clone(&catalog));
    for protocol in Protocol::ALL {
        let leak = found(everything(), protocol).await;
        assert!(matches!(leak, leak::Leak::Rating { .. }), "{leak}");
    }
    // No histories, but statistics with the test part.
    let movies = Parts::new(&catalog, HoldOut::RANDOM, 0.2, 1).training.movies().to_vec();
    let records = movies.iter().map(|movie| MovieRecord {
        id: movie.id,
        title: movie.title.to_string(),
        year: movie.year,
        genres: Vec::new(),
        imdb_id: None,
        tmdb_id: None,
    });
    let sums = Catalog::from_sums(Movies::new(records.collect()).unwrap(), |id| {
        let stats = catalog.stats(catalog.index_of(id).unwrap());
        (stats.count, stats.half_stars(), Vec::new())
    });
    let leak = found(Cheat(Arc::new(sums)), Protocol::FullRanking).await;
    assert!(matches!(leak, leak::Leak::Statistics { .. }), "{leak}");
    // A training part with ratings after the test part.
    let wrong = Parts::new(&catalog, HoldOut::RANDOM, 0.2, 1);
    let training = Training { catalog: &wrong.training, hold_out: HoldOut::RANDOM, seed: 1 };
    let fitted = Popularity.fit(training).unwrap();
    assert_eq!(leak::check(&wrong, HoldOut::RANDOM, &fitted), Ok(()));
    for hold_out in [HoldOut::TIME, HoldOut::PER_USER_TIME] {
        let leak = leak::check(&wrong, hold_out, &fitted);
        assert!(matches!(leak, Err(leak::Leak::Future { .. })), "{leak:?}");
    }
}

/// The scores or lists of a model that is fitted to the training part, for all users.
async fn outputs(catalog: &Catalog, method: &dyn Method) -> Vec<Vec<f32>> {
    let parts = Parts::new(catalog, HoldOut::PER_USER_TIME, 0.25, 1);
    let training = Training { catalog: &parts.training, hold_out: HoldOut::PER_USER_TIME, seed: 1 };
    let fitted = method.fit(training).unwrap();
    let movies: Vec<MovieIndex> = (0..catalog.len() as u32).map(MovieIndex).collect();
    let mut all = Vec::new();
    for history in catalog.users().iter() {
        let mut scores = Vec::new();
        match &fitted.answers {
            Answers::Scores { ranker, .. } => {
                let user = fitted.user(history.user());
                fitted.score(&**ranker, &user, &movies, &mut scores).await.unwrap();
            }
            Answers::Lists(engine) => {
                let request = sparrow_engine::Request::new(history.user());
                let answer = engine.recommend(&request).await.unwrap();
                scores.extend(answer.items.iter().map(|item| item.movie.0 as f32));
            }
        }
        all.push(scores);
    }
    all
}

/// Returns whether a model changes if only the held-out ratings change.
async fn depends_on_the_test_part(method: impl Fn(&Arc<Catalog>) -> Box<dyn Method>) -> bool {
    let catalog = generated(60, 40, 1200);
    let held_out = Parts::new(&catalog, HoldOut::PER_USER_TIME, 0.25, 1).test;
    let mut log = RatingLog::default();
    for history in catalog.users().iter() {
        let held_out: Vec<_> = held_out
            .find(history.user())
            .map_or_else(Vec::new, |of_user| of_user.movies().collect());
        for rated in history.iter() {
            let turned = Stars::from_half_stars(11 - rated.stars.half_stars()).unwrap();
            let stars = if held_out.contains(&rated.movie) { turned } else { rated.stars };
            log.push(history.user(), rated.movie, stars, rated.timestamp);
        }
    }
    let records = catalog.movies().iter().map(|movie| MovieRecord {
        id: movie.id,
        title: movie.title.to_string(),
        year: movie.year,
        genres: movie.genres.iter().map(|&g| catalog.genres().name(g).to_owned()).collect(),
        imdb_id: None,
        tmdb_id: None,
    });
    let changed = Catalog::new(Movies::new(records.collect()).unwrap(), log.into_histories().0);
    let (catalog, changed) = (Arc::new(catalog), Arc::new(changed));
    let before = outputs(&catalog, &*method(&catalog)).await;
    let after = outputs(&changed, &*method(&changed)).await;
    before != after
}

/// Fits biases to its own catalogue instead of the training part.
struct Leaky(Arc<Catalog>);

impl Method for Leaky {
    fn name(&self) -> String {
        "leaky".to_owned()
    }

    fn fit(
        &self,
        training: Training<'_>,
    ) -> Result<Fitted, Box<dyn std::error::Error + Send + Sync>> {
        UserAndMovieBiases::default().fit(Training { catalog: &self.0, ..training })
    }
}

#[tokio::test]
async fn no_model_depends_on_held_out_ratings() {
    for model in models() {
        let made = |_: &Arc<Catalog>| method(model.name, None).unwrap();
        assert!(!depends_on_the_test_part(made).await, "{}", model.name);
    }
    // A model that is fitted to all ratings does.
    assert!(depends_on_the_test_part(|all| Box::new(Leaky(Arc::clone(all)))).await);
}

/// The user state of a query.
#[derive(Debug, Clone)]
struct SeenQuery {
    user: UserId,
    is_anonymous: bool,
    is_updated: bool,
    history: Vec<MovieIndex>,
}

/// Records the histories of queries, and scores movies in the order of their ids.
#[derive(Clone, Default)]
struct Spy(Arc<std::sync::Mutex<Vec<SeenQuery>>>);

#[async_trait::async_trait]
impl Ranker for Spy {
    fn kind(&self) -> &'static str {
        "spy"
    }

    async fn score(
        &self,
        query: &sparrow_rank::Query<'_>,
        scores: &mut Vec<f32>,
    ) -> Result<(), sparrow_rank::Error> {
        let user = query.user;
        self.0.lock().unwrap().push(SeenQuery {
            user: user.id,
            is_anonymous: user.is_anonymous,
            is_updated: user.is_updated,
            history: user.history.iter().flat_map(sparrow_model::History::movies).collect(),
        });
        scores.clear();
        scores.extend(query.movies.iter().map(|movie| -(movie.0 as f32)));
        Ok(())
    }
}

impl Method for Spy {
    fn name(&self) -> String {
        "spy".to_owned()
    }

    fn fit(
        &self,
        training: Training<'_>,
    ) -> Result<Fitted, Box<dyn std::error::Error + Send + Sync>> {
        let answers = Answers::Scores { ranker: Arc::new(self.clone()), probabilities: false };
        let catalog = Arc::clone(training.catalog);
        Ok(Fitted { catalog, answers, vectors: None, diversity: 0.0 })
    }
}

#[tokio::test]
async fn first_k_ranks_for_users_outside_the_training_part_by_their_first_ratings() {
    let catalog = generated(80, 60, 1600);
    let options = Options { seeds: vec![1], ..quick(Protocol::FirstK) };
    let spy = Spy::default();
    let evaluation = evaluated(&catalog, &spy, &options).await;
    let queries = spy.0.lock().unwrap().clone();
    let queries: Vec<_> =
        queries.iter().map(|query| (query.is_anonymous, query.history.len())).collect();
    assert_eq!(queries.len(), 4 * evaluation.seeds[0].users);
    let expected = [1, 3, 5, 10].map(|known| (true, known));
    assert!(queries.chunks(4).all(|of_user| of_user == expected), "{queries:?}");
    assert_eq!(evaluation.seeds[0].users, 16);

    let ease = evaluated(&catalog, &*method("ease", None).unwrap(), &options).await;
    let (one, ten) = (mean(&ease, "ndcg_at_10_first_1"), mean(&ease, "ndcg_at_10_first_10"));
    assert!(ten > one && one > 0.0, "{:?}", ease.measures);
    for name in ["ials", "engine", "engine:ranking=emb"] {
        let model = evaluated(&catalog, &*method(name, None).unwrap(), &options).await;
        assert!(mean(&model, "ndcg_at_10_first_10") > 0.1, "{name}: {:?}", model.measures);
    }
}

#[tokio::test]
async fn content_finds_cold_items_that_popularity_cannot_tell_apart() {
    let catalog = generated(80, 200, 4000);
    let options = quick(Protocol::ColdItems);
    let popularity = evaluated(&catalog, &Popularity, &options).await;
    for line in ["ials", "engine"] {
        let content = evaluated(&catalog, &*method(line, None).unwrap(), &options).await;
        let (ours, theirs) = (mean(&content, "ndcg_at_10"), mean(&popularity, "ndcg_at_10"));
        assert!(ours > 1.1 * theirs, "{line}: {ours} {theirs}");
        // The engine orders them after the others.
        let is_shown = mean(&content, "cold_share") > 0.0;
        assert_eq!(is_shown, line == "ials", "{line}: {:?}", content.measures);
    }
    let without = method("ials:content-ridge=0", None).unwrap();
    let without = evaluated(&catalog, &*without, &options).await;
    assert_eq!(mean(&without, "ndcg_at_10"), 0.0);
}

#[tokio::test]
async fn diversity_of_a_line_re_ranks_the_lists_of_the_engine() {
    let catalog = generated(80, 120, 3000);
    let options = Options { seeds: vec![1], ..quick(Protocol::FullRanking) };
    let measured = async |line: &str| {
        let method = method(line, None).unwrap();
        let evaluation = evaluated(&catalog, &*method, &options).await;
        (mean(&evaluation, "diversity"), mean(&evaluation, "genre_divergence"))
    };
    let (plain, diverse) = (measured("engine").await, measured("engine:diversity=0.8").await);
    assert!(diverse.0 > plain.0 && diverse.1 < plain.1, "{plain:?} {diverse:?}");
}

/// The reference sorts the movies for each rating that arrives.
#[tokio::test]
async fn replay_ranks_each_rating_by_those_before_it_and_by_the_training_part() {
    let catalog = generated(40, 60, 1000);
    for hold_out in [HoldOut::PER_USER_TIME, HoldOut::TIME] {
        let options = Options { seeds: vec![1], hold_out, ..quick(Protocol::Replay) };
        let spy = Spy::default();
        let evaluation = evaluated(&catalog, &spy, &options).await;
        let queries = spy.0.lock().unwrap().clone();
        let Parts { training, test } = Parts::new(&catalog, hold_out, 0.2, 1);
        let (mut queries, mut live, mut fixed) = (queries.into_iter(), 0.0, 0.0);
        for arriving in test.iter() {
            let stored = training.users().find(arriving.user());
            let first: Vec<MovieIndex> =
                stored.iter().flat_map(sparrow_model::History::movies).collect();
            let mut known = first.clone();
            let (mut of_live, mut of_fixed) = (0.0, 0.0);
            for (step, next) in arriving.movies().enumerate() {
                // The state contains everything that arrived before, and nothing that arrives later.
                let SeenQuery { user, is_updated, history, .. } = queries.next().unwrap();
                assert_eq!((user, is_updated), (arriving.user(), step > 0));
                assert_eq!(history, known, "{hold_out}, step {step}");
                let hit = |seen: &[MovieIndex]| {
                    let mut list: Vec<MovieIndex> = (0..60).map(MovieIndex).collect();
                    list.retain(|&m| training.stats(m).count > 0 && !seen.contains(&m));
                    f64::from(u8::from(list.iter().take(10).any(|&listed| listed == next)))
                };
                of_live += hit(&known);
                of_fixed += hit(&first);
                known.push(next);
            }
            live += of_live / arriving.len() as f64;
            fixed += of_fixed / arriving.len() as f64;
        }
        assert!(queries.next().is_none());
        let users = test.len() as f64;
        assert!((mean(&evaluation, "hit_rate_at_10") - live / users).abs() < 1e-12);
        assert!((mean(&evaluation, "hit_rate_at_10_static") - fixed / users).abs() < 1e-12);
        let gain = (live - fixed) / users;
        assert!((mean(&evaluation, "hit_rate_at_10_gain") - gain).abs() < 1e-12 && gain > 0.0);
    }
}

/// Users without a training rating get tastes from the ratings that arrive.
#[tokio::test]
async fn models_of_histories_gain_by_ratings_that_arrive() {
    let catalog = generated(80, 200, 4000);
    let options = Options { hold_out: HoldOut::TIME, ..quick(Protocol::Replay) };
    for line in ["ials", "ease", "blend", "engine", "neuralcf"] {
        let measured = evaluated(&catalog, &*method(line, None).unwrap(), &options).await;
        let gain = mean(&measured, "ndcg_at_10_gain");
        assert!(gain > 0.0, "{line}: {:?}", measured.measures);
    }
}

#[test]
fn replay_holds_out_the_latest_ratings() {
    for hold_out in [HoldOut::RANDOM, HoldOut::RandomByMovie, HoldOut::Users] {
        let options = Options { hold_out, ..Options::new(Protocol::Replay) };
        assert!(matches!(options.check(), Err(Error::Option(_))), "{hold_out}");
    }
    let options = Options { hold_out: HoldOut::TIME, ..Options::new(Protocol::Replay) };
    assert!(options.check().is_ok());
}

/// Ratings of the test part in training, planted by a split that does not follow the time.
#[tokio::test]
async fn a_training_part_with_later_ratings_is_detected_before_a_replay() {
    let catalog = generated(60, 40, 1200);
    let parts = Parts::new(&catalog, HoldOut::RandomByMovie, 0.2, 1);
    let training = Training { catalog: &parts.training, hold_out: HoldOut::PER_USER_TIME, seed: 1 };
    let fitted = Popularity.fit(training).unwrap();
    for hold_out in [HoldOut::PER_USER_TIME, HoldOut::TIME] {
        let leak = leak::check(&parts, hold_out, &fitted);
        assert!(matches!(leak, Err(leak::Leak::Future { .. })), "{leak:?}");
    }
}
