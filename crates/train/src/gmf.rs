use sparrow_neural::neural_cf::{self, Dense, Embedding, Model, Network};
use sparrow_neural::{TableBuilder, Zeros, is_zero};
use sparrow_random::Random;

use super::Options;
use super::biases::{Biases, CERTAINTY};
use super::content::Content;
use super::layers::Adam;
use super::layers::sigmoid;
use super::ordinal::Ordinal;
use super::pair::Pair;
use super::trainer::{Counts, UNKNOWN};

/// Generalised matrix factorisation (He et al. 2017, section 3.2) with biases, in training: the logit is the dot product
/// of the row of a movie and the row of a user, which includes the factors of the user's choices.
///
/// A row consists of the factors, the movie's [`Content`] or the user's weights for it, and two components for the
/// biases: the movie's bias and 1, or 1 and the user's bias. An update uses all samples and converges to the maximum a
/// posteriori estimate of the factors. The prior prevents overfitting.
#[derive(Debug, Clone)]
pub(super) struct Gmf {
    factors: usize,
    movies: Rows,
    users: Rows,
    /// The logit of a pair of unknown ids.
    base: f32,
    base_moments: [f32; 2],
    ordinal: Ordinal,
    choices: Choices,
    /// The users' rows including the factors of their choices.
    mixed: Vec<f32>,
    steps: u32,
}

/// The implicit feedback of a user, whatever the stars: each movie has a second row of factors, and their sum over the
/// rated movies, divided by the square root of their number, is added to the user's factors (SVD++, Koren 2008).
#[derive(Debug, Clone, Default)]
struct Choices {
    factors: usize,
    values: Vec<f32>,
    moments: Vec<[f32; 2]>,
    /// Rows of user and movie, by user.
    pairs: Vec<(u32, u32)>,
    /// The inverse square root of the number of ratings, by the row of the user.
    scales: Vec<f32>,
}

impl Choices {
    fn new(factors: usize, counts: &Counts, pairs: &[Pair]) -> Self {
        let mut rated = vec![0_u32; counts.users];
        for pair in pairs {
            rated[pair.user as usize] += 1;
        }
        let size = counts.movies * factors;
        let mut pairs: Vec<(u32, u32)> = pairs.iter().map(|pair| (pair.user, pair.movie)).collect();
        pairs.sort_unstable();
        Self {
            factors,
            values: vec![0.0; size],
            moments: vec![[0.0; 2]; size],
            pairs,
            scales: rated.into_iter().map(|count| 1.0 / (count.max(1) as f32).sqrt()).collect(),
        }
    }

    /// Adds the factors of their choices to the users' rows.
    fn mix(&self, users: &Rows, mixed: &mut Vec<f32>) {
        mixed.clone_from(&users.values);
        for &(user, movie) in &self.pairs {
            let factors = &self.values[movie as usize * self.factors..][..self.factors];
            let scale = self.scales[user as usize];
            for (value, factor) in mixed[user as usize * users.width..].iter_mut().zip(factors) {
                *value += scale * factor;
            }
        }
    }

    /// Updates the factors by the gradients of the users' rows and the prior.
    fn step(&mut self, users: &Rows, adam: Adam, step: u32, l2: f32) {
        let mut gradients = vec![0.0; self.values.len()];
        for &(user, movie) in &self.pairs {
            let of_user = &users.gradients[user as usize * users.width..];
            let scale = self.scales[user as usize];
            let of_movie = &mut gradients[movie as usize * self.factors..][..self.factors];
            for (of_movie, of_user) in of_movie.iter_mut().zip(of_user) {
                *of_movie += scale * of_user;
            }
        }
        let rate = adam.corrected(step);
        let values = self.values.iter_mut().zip(&mut self.moments).zip(gradients);
        for ((value, moments), gradient) in values {
            Adam::update(value, moments, gradient + l2 * *value, rate);
        }
    }
}

/// The rows of one side.
#[derive(Debug, Clone)]
struct Rows {
    width: usize,
    /// The L2 regularization of each column; `None` for columns with constant values.
    l2: Vec<Option<f32>>,
    /// The column of the bias; the other of the last two columns is constantly 1.
    bias: usize,
    values: Vec<f32>,
    moments: Vec<[f32; 2]>,
    gradients: Vec<f32>,
}

impl Rows {
    /// Rows with random factors and zeros for the content.
    fn new(options: &Options, content: usize, biases: &[f64], random: &mut Random) -> Self {
        let l2_bias = (options.bias_prior * CERTAINTY) as f32;
        let mut l2 = vec![Some(options.l2); options.dimension()];
        l2.resize(options.dimension() + content, Some(options.content));
        let bias = l2.len();
        l2.extend([Some(l2_bias), None]);
        let mut values = Vec::with_capacity(biases.len() * l2.len());
        for &of_row in biases {
            values.extend((0..options.dimension()).map(|_| (random.normal() * 0.1) as f32));
            values.resize(values.len() + content, 0.0);
            values.extend([of_row as f32, 1.0]);
        }
        let (moments, gradients) = (vec![[0.0; 2]; values.len()], vec![0.0; values.len()]);
        let mut rows = Self { width: l2.len(), l2, bias, values, moments, gradients };
        rows.set_unknown();
        rows
    }

    /// The rows of movies, with their constant content.
    fn of_movies(
        options: &Options,
        content: &Content,
        biases: &[f64],
        random: &mut Random,
    ) -> Self {
        let mut rows = Self::new(options, content.width(), biases, random);
        let columns = options.dimension()..rows.bias;
        rows.l2[columns.clone()].fill(None);
        for (index, row) in rows.values.chunks_exact_mut(rows.width).enumerate() {
            row[columns.clone()].copy_from_slice(content.row(index));
        }
        rows
    }

    /// The rows of users, whose last two columns are in the opposite order to those of movies.
    fn of_users(options: &Options, content: &Content, biases: &[f64], random: &mut Random) -> Self {
        let mut rows = Self::new(options, content.width(), biases, random);
        rows.l2.swap(rows.bias, rows.bias + 1);
        for row in rows.values.chunks_exact_mut(rows.width) {
            row.swap(rows.bias, rows.bias + 1);
        }
        rows.bias += 1;
        rows
    }

    /// Sets the row of unknown ids: zero factors and the mean bias.
    fn set_unknown(&mut self) {
        let known = self.values.chunks_exact(self.width).skip(1);
        let count = known.len().max(1) as f64;
        let mean = known.map(|row| f64::from(row[self.bias])).sum::<f64>() / count;
        let unknown = &mut self.values[UNKNOWN as usize * self.width..][..self.width];
        unknown.fill(0.0);
        unknown[self.width - 2..].fill(1.0);
        unknown[self.bias] = mean as f32;
    }

    /// Updates the rows by the gradients and the priors, and resets the gradients.
    fn step(&mut self, adam: Adam, step: u32) {
        let rate = adam.corrected(step);
        let rows = self.values.chunks_exact_mut(self.width);
        let moments = self.moments.chunks_exact_mut(self.width);
        let gradients = self.gradients.chunks_exact_mut(self.width);
        for ((values, moments), gradients) in rows.zip(moments).zip(gradients) {
            for (column, l2) in self.l2.iter().enumerate() {
                let Some(l2) = l2 else { continue };
                let gradient = gradients[column] + l2 * values[column];
                Adam::update(&mut values[column], &mut moments[column], gradient, rate);
            }
            gradients.fill(0.0);
        }
        self.set_unknown();
    }
}

impl Gmf {
    pub(super) fn new(
        options: &Options,
        counts: &Counts,
        content: &Content,
        pairs: &[Pair],
        random: &mut Random,
    ) -> Self {
        let factors = options.dimension();
        let biases = Biases::fit(pairs, counts.movies, counts.users, options.bias_prior);
        let choices = if options.choices > 0.0 {
            Choices::new(factors, counts, pairs)
        } else {
            Choices::default()
        };
        let mut gmf = Self {
            factors,
            movies: Rows::of_movies(options, content, &biases.movies, random),
            users: Rows::of_users(options, content, &biases.users, random),
            base: biases.base as f32,
            base_moments: [0.0; 2],
            ordinal: Ordinal::new(options.ordinal, pairs),
            choices,
            mixed: Vec::new(),
            steps: 0,
        };
        gmf.choices.mix(&gmf.users, &mut gmf.mixed);
        gmf
    }

    /// Performs one update and returns the mean loss before it.
    pub(super) fn epoch(
        &mut self,
        pairs: &[Pair],
        options: &Options,
        progress: &mut dyn FnMut(usize),
    ) -> f64 {
        let (mut loss, mut of_base) = (0.0, 0.0);
        let (movies, users) = (&mut self.movies, &mut self.users);
        for part in pairs.chunks(1 << 16) {
            for pair in part {
                let movie = row(&movies.values, movies.width, pair.movie);
                let user = row(&self.mixed, users.width, pair.user);
                let logit = self.base + dot(movie, user);
                let score = sigmoid(logit);
                let error = self.ordinal.slope(logit, pair.stars);
                loss -= f64::from(if pair.liked() { score } else { 1.0 - score }.max(1e-7)).ln();
                of_base += f64::from(error);
                let width = movies.width;
                let of_movie = &mut movies.gradients[pair.movie as usize * width..][..width];
                let of_user = &mut users.gradients[pair.user as usize * width..][..width];
                let rows = movie.iter().zip(user).zip(of_movie.iter_mut().zip(of_user));
                for ((&movie, &user), (of_movie, of_user)) in rows {
                    *of_movie += error * user;
                    *of_user += error * movie;
                }
            }
            progress(part.len());
        }
        self.steps += 1;
        let adam = Adam { rate: options.learning_rate };
        self.choices.step(&self.users, adam, self.steps, options.choices);
        self.movies.step(adam, self.steps);
        self.users.step(adam, self.steps);
        self.ordinal.step(adam, self.steps, 1.0);
        let rate = adam.corrected(self.steps);
        Adam::update(&mut self.base, &mut self.base_moments, of_base as f32, rate);
        self.choices.mix(&self.users, &mut self.mixed);
        loss / pairs.len().max(1) as f64
    }

    pub(super) fn predict(&self, pairs: &[Pair]) -> Vec<f32> {
        let logit = |pair: &Pair| {
            let movie = row(&self.movies.values, self.movies.width, pair.movie);
            self.base + dot(movie, row(&self.mixed, self.users.width, pair.user))
        };
        pairs.iter().map(|pair| sigmoid(logit(pair))).collect()
    }

    /// Counts the rows whose factors are zero.
    pub(super) fn zeros(&self) -> Zeros {
        let width = self.movies.width;
        let factors = |row: &[f32]| is_zero(&row[..self.factors]);
        let of = |values: &[f32]| {
            let known = values.chunks_exact(width).skip(1);
            [known.clone().filter(|row| factors(row)).count(), known.len()]
        };
        Zeros { movies: of(&self.movies.values), users: of(&self.mixed) }
    }

    /// The trained model: two towers without layers.
    pub(super) fn model(
        &self,
        movie_ids: &[u32],
        user_ids: &[u32],
    ) -> Result<Model, neural_cf::Error> {
        let width = self.movies.width;
        let embedding = |values: &[f32], ids: &[u32]| -> Result<Embedding, neural_cf::Error> {
            let mut table = TableBuilder::default();
            for (index, &id) in (1..).zip(ids) {
                table.push(id, row(values, width, index))?;
            }
            Ok(Embedding { table: table.build()?, unknown: row(values, width, UNKNOWN).to_vec() })
        };
        Model::new(
            embedding(&self.movies.values, movie_ids)?,
            embedding(&self.mixed, user_ids)?,
            Network::TwoTowers { movie: Vec::new(), user: Vec::new() },
            Dense { weight: vec![1.0], bias: vec![self.base] },
        )
    }
}

fn row(values: &[f32], width: usize, row: u32) -> &[f32] {
    &values[row as usize * width..][..width]
}

fn dot(left: &[f32], right: &[f32]) -> f32 {
    // Eight sums, which the compiler vectorises.
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (left, right) in left.iter().zip(right) {
        for ((sum, &left), &right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(&left, &right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::Method;

    fn right_predictions(gmf: &Gmf, pairs: &[Pair]) -> usize {
        let scores = gmf.predict(pairs);
        scores.iter().zip(pairs).filter(|(score, pair)| (**score > 0.5) == pair.liked()).count()
    }

    /// Users with the same rated movies have similar scores, whatever their stars.
    #[test]
    fn choices_of_movies_predict_likes() {
        let mut pairs = Vec::new();
        for user in 1..=40 {
            // One half of the users rates even movies and the other half odd ones, with neutral stars.
            for movie in (1..=20).filter(|movie| movie % 2 == u32::from(user > 20)) {
                pairs.push(Pair::new(user, movie, (user + movie) % 3 == 0));
            }
            // Each half likes one of two movies; some users have not rated them.
            if user % 20 > 3 {
                pairs.push(Pair::new(user, 21, user > 20));
                pairs.push(Pair::new(user, 22, user <= 20));
            }
        }
        let options =
            Options { embedding: Some(8), l2: 1.0, choices: 1.0, ..Options::new(Method::Gmf) };
        let counts = Counts { movies: 23, users: 41 };
        let right = |options: &Options| {
            let mut gmf =
                Gmf::new(options, &counts, &Content::default(), &pairs, &mut Random::new(1, 1));
            for _ in 0..200 {
                gmf.epoch(&pairs, options, &mut |_| {});
            }
            let asked: Vec<Pair> = [1, 2, 3, 21, 22, 23]
                .iter()
                .flat_map(|&user| [Pair::new(user, 21, user > 20), Pair::new(user, 22, user <= 20)])
                .collect();
            right_predictions(&gmf, &asked)
        };
        assert_eq!(right(&options), 12);
        assert!(right(&Options { choices: 0.0, ..options }) < 12);
    }

    /// Users like one of two genres; a movie of that genre that few have rated shows whether the model uses it.
    #[test]
    fn content_predicts_likes_of_movies_with_few_ratings() {
        let genre = |movie: u32| (movie % 2) as usize;
        let mut pairs = Vec::new();
        for user in 1..=30 {
            for movie in (1..=20).filter(|movie| (user * 7 + movie * 3) % 4 != 0) {
                pairs.push(Pair::new(user, movie, genre(movie) == user as usize % 2));
            }
        }
        // One rating each, of a user who likes the genre and of one who does not.
        pairs.push(Pair::new(1, 21, true));
        pairs.push(Pair::new(2, 22, true));
        let rows = (0..=22).map(|movie| (movie > 0).then(|| genre(movie)));
        let content = Content::of_rows(2, rows);
        let counts = Counts { movies: 23, users: 31 };
        let asked: Vec<Pair> = (3..=30)
            .flat_map(|user| [21, 22].map(|movie| (user, movie)))
            .map(|(user, movie)| Pair::new(user, movie, genre(movie) == user as usize % 2))
            .collect();
        let right = |content: &Content| {
            let options = Options { content: 0.5, choices: 0.0, ..Options::new(Method::Gmf) };
            let mut gmf = Gmf::new(&options, &counts, content, &pairs, &mut Random::new(1, 1));
            for _ in 0..100 {
                gmf.epoch(&pairs, &options, &mut |_| {});
            }
            right_predictions(&gmf, &asked)
        };
        assert_eq!(right(&content), asked.len());
        assert!(right(&Content::default()) < asked.len());
    }

    /// Each of two groups of users likes one half of the movies, which biases cannot represent.
    #[test]
    fn factors_separate_groups_and_the_model_scores_the_same() {
        let mut pairs = Vec::new();
        for user in 1..=30 {
            for movie in 1..=20 {
                if (user * 7 + movie * 3) % 4 != 0 {
                    pairs.push(Pair::new(user, movie, user % 2 == movie % 2));
                }
            }
        }
        let options = Options { embedding: Some(11), l2: 0.5, ..Options::new(Method::Gmf) };
        let counts = Counts { movies: 21, users: 31 };
        let mut gmf =
            Gmf::new(&options, &counts, &Content::default(), &pairs, &mut Random::new(1, 1));
        let mut last = f64::INFINITY;
        for _ in 0..100 {
            last = gmf.epoch(&pairs, &options, &mut |_| {});
        }
        assert!(last < 0.3, "{last}");
        let held_out: Vec<Pair> = (1..=30)
            .flat_map(|user| (1..=20).map(move |movie| (user, movie)))
            .filter(|(user, movie)| (user * 7 + movie * 3) % 4 == 0)
            .map(|(user, movie)| Pair::new(user, movie, user % 2 == movie % 2))
            .chain([Pair::new(0, 3, true), Pair::new(4, 0, true)])
            .collect();
        let ids: Vec<u32> = (1..=30).collect();
        let model = gmf.model(&ids[..20], &ids).unwrap();
        for (pair, score) in held_out.iter().zip(gmf.predict(&held_out)) {
            assert!((f64::from(score) - model.score(pair.user, pair.movie)).abs() < 1e-6);
            if pair.user > 0 && pair.movie > 0 {
                assert_eq!(score > 0.5, pair.liked(), "{pair:?}: {score}");
            } else {
                assert!((score - 0.5).abs() < 0.2, "{pair:?}: {score}");
            }
        }
    }
}
