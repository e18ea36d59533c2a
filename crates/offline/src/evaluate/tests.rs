use sparrow_model::{MovieId, MovieRecord, Movies, RatingLog, Stars};

use super::*;

/// A data set of this size: some movies are rated more often, users like one half of the movies, and some users
/// and movies are better.
pub(crate) fn invented(users: usize, movies: usize, ratings: usize) -> Catalog {
    let record = |id: u32| MovieRecord {
        id: MovieId(id * 3 + 1),
        title: format!("Movie {id}"),
        year: Some(1990),
        genres: vec![format!("Genre {}", id % 2), format!("Genre {}", 2 + id % 3)],
        imdb_id: None,
        tmdb_id: None,
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
