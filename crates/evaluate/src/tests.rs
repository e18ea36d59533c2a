use sparrow_model::{MovieRecord, Movies, RatingLog, Stars};

use super::*;

/// A data set of this size: some movies are rated more often, users like one half of the movies, and some users
/// and movies are better.
pub(crate) fn invented(users: usize, movies: usize, ratings: usize) -> Catalog {
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
    Trained { options: train::Options { epochs: 60, l2: 1.0, embedding: 4, ..options } }
}

#[tokio::test]
async fn labels_of_users_with_tastes_are_foretold_by_factors_only() {
    let catalog = invented(80, 60, 2400);
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

/// The lists of popularity, made by sorting everything for each user.
#[tokio::test]
async fn full_ranking_is_what_a_plain_reference_says() {
    let catalog = invented(80, 60, 1600);
    let options = Options { seeds: vec![7], resamples: 50, ..quick(Protocol::FullRanking) };
    let evaluation = evaluated(&catalog, &Popularity, &options).await;
    let Parts { training, test } = Parts::new(&catalog, Split::RandomByMovie, 0.25, 7);
    let (mut ndcg, mut map, mut users) = (0.0, 0.0, 0.0);
    let mut all = std::collections::BTreeSet::new();
    for test in test.iter() {
        let Some(known) = training.users().find(test.user()) else { continue };
        let mut list: Vec<MovieIndex> = (0..60).map(MovieIndex).collect();
        list.retain(|&m| training.stats(m).count > 0 && !known.movies().any(|seen| seen == m));
        list.sort_by_key(|&movie| (std::cmp::Reverse(training.stats(movie).count), movie));
        list.truncate(10);
        let hit = |movie: &MovieIndex| test.movies().any(|relevant| relevant == *movie);
        let gain = |place: usize| 1.0 / ((place + 2) as f64).log2();
        let found: Vec<usize> = (0..list.len()).filter(|&place| hit(&list[place])).collect();
        let best: f64 = (0..test.len().min(10)).map(gain).sum();
        ndcg += found.iter().map(|&place| gain(place)).sum::<f64>() / best;
        let precisions =
            (1..).zip(&found).map(|(hits, &place)| f64::from(hits) / (place + 1) as f64);
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
async fn seen_movies_are_counted_where_they_are_kept() {
    let catalog = invented(80, 60, 1600);
    let options = Options { keep_seen: true, ..quick(Protocol::FullRanking) };
    let kept = evaluated(&catalog, &Popularity, &options).await;
    assert!(mean(&kept, "seen_share") > 0.3);
    let removed = evaluated(&catalog, &Popularity, &quick(Protocol::FullRanking)).await;
    assert!(mean(&kept, "ndcg_at_10") < mean(&removed, "ndcg_at_10"));
}

/// Scores everything alike, or not at all.
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
        Ok(Fitted { catalog: Arc::clone(training.catalog), answers, users: None })
    }
}

/// A model that knows nothing is as good as chance, not better by luck of the order; one that does not answer
/// gets nothing.
#[tokio::test]
async fn knowing_nothing_is_worth_what_chance_is() {
    let catalog = invented(80, 300, 3000);
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
async fn what_knows_tastes_finds_the_last_movie_more_often() {
    let catalog = invented(80, 200, 3000);
    let options = quick(Protocol::LeaveOneOut);
    let popularity = evaluated(&catalog, &Popularity, &options).await;
    let vectors = Embeddings::Computed(sparrow_embed::Method::Item2Vec(
        sparrow_embed::item2vec::Options::DEFAULT,
    ));
    let vectors = evaluated(&catalog, &vectors, &options).await;
    assert!(mean(&popularity, "hit_rate_at_10") > 0.12, "{:?}", popularity.measures);
    assert!(mean(&vectors, "hit_rate_at_10") > 0.12, "{:?}", vectors.measures);
    let engine = method("engine", None).unwrap();
    let engine = evaluated(&catalog, &*engine, &options).await;
    assert!(engine.measures.iter().all(|measure| measure.name != "hit_rate_at_10"));
    assert!(mean(&engine, "hit_rate_at_10_all") > 0.01, "{:?}", engine.measures);
}

#[tokio::test]
async fn what_does_not_go_together_is_refused() {
    let catalog = invented(30, 30, 300);
    let engine = method("engine", None).unwrap();
    let refused = run(&catalog, &*engine, &quick(Protocol::Label), &|_, _| {}).await;
    assert!(matches!(refused, Err(Error::Option(_))));
    let options = Options { split: Split::Time, ..quick(Protocol::LeaveOneOut) };
    assert!(matches!(options.check(), Err(Error::Option(_))));
    let one_each = invented(30, 30, 0);
    let nothing = run(&one_each, &Popularity, &quick(Protocol::FullRanking), &|_, _| {}).await;
    assert!(matches!(nothing, Err(Error::NothingToMeasure(_))), "{nothing:?}");
}

/// Gives back what it was built over, whatever it is given to learn from.
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
        Ok(Fitted { catalog: Arc::clone(&self.0), answers, users: None })
    }
}

#[tokio::test]
async fn a_planted_leak_is_found() {
    let catalog = Arc::new(invented(80, 60, 1600));
    let found =
        async |method: Cheat, protocol| match run(&catalog, &method, &quick(protocol), &|_, _| {})
            .await
        {
            Err(Error::Leak(leak)) => leak,
            other => panic!("{other:?}"),
        };
    // The test part itself.
    let everything = || Cheat(Arc::clone(&catalog));
    for protocol in Protocol::ALL {
        let leak = found(everything(), protocol).await;
        assert!(matches!(leak, leak::Leak::Rating { .. }), "{leak}");
    }
    // Histories left out, but a popularity that counts the test part.
    let movies = Parts::new(&catalog, Split::Random, 0.2, 1).training.movies().to_vec();
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
    // A division that learns from the future.
    let wrong = Parts::new(&catalog, Split::Random, 0.2, 1);
    let training = Training { catalog: &wrong.training, split: Split::Random, seed: 1 };
    let fitted = Popularity.fit(training).unwrap();
    assert_eq!(leak::check(&wrong, Split::Random, &fitted), Ok(()));
    for split in [Split::Time, Split::PerUserTime] {
        let leak = leak::check(&wrong, split, &fitted);
        assert!(matches!(leak, Err(leak::Leak::Future { .. })), "{leak:?}");
    }
}

/// What a method's model says of each user and movie, from the training part of a data set.
async fn opinions(catalog: &Catalog, method: &dyn Method) -> Vec<Vec<f32>> {
    let parts = Parts::new(catalog, Split::PerUserTime, 0.25, 1);
    let training = Training { catalog: &parts.training, split: Split::PerUserTime, seed: 1 };
    let fitted = method.fit(training).unwrap();
    let movies: Vec<MovieIndex> = (0..catalog.len() as u32).map(MovieIndex).collect();
    let mut all = Vec::new();
    for history in catalog.users().iter() {
        let mut scores = Vec::new();
        match &fitted.answers {
            Answers::Scores { ranker, .. } => {
                fitted.score(&**ranker, history.user(), &movies, &mut scores).await.unwrap();
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

/// Whether a model changes when nothing but the ratings changes that it must not know.
async fn notices_the_test_part(method: impl Fn(&Arc<Catalog>) -> Box<dyn Method>) -> bool {
    let catalog = invented(60, 40, 1200);
    let held_out = Parts::new(&catalog, Split::PerUserTime, 0.25, 1).test;
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
    let before = opinions(&catalog, &*method(&catalog)).await;
    let after = opinions(&changed, &*method(&changed)).await;
    before != after
}

/// Fits biases to everything, whatever it is given to learn from.
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
async fn no_model_notices_what_is_held_out() {
    for known in KNOWN {
        let made = |_: &Arc<Catalog>| method(known.name, None).unwrap();
        assert!(!notices_the_test_part(made).await, "{}", known.name);
    }
    // One that was fitted to everything does.
    assert!(notices_the_test_part(|all| Box::new(Leaky(Arc::clone(all)))).await);
}
