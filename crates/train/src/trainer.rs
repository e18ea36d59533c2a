use sparrow_neural::neural_cf::{self, Embedding, Model};
use sparrow_neural::{Factors, TableBuilder, Zeros, is_zero};
use sparrow_random::Random;

use super::biases::Biases;
use super::layers::{Adam, Dense, LANES, Lanes, Mlp, Table, sigmoid};
use super::ordinal::Ordinal;
use super::pair::Pair;
use super::pretrained;
use super::{Method, Options};

/// The row of ids that are not known.
pub(super) const UNKNOWN: u32 = 0;

/// The most samples that calibrate the scores of a pre-trained network.
const CALIBRATION_SAMPLES: usize = 20_000;

/// How many rows the embedding tables have, those of unknown ids included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) movies: usize,
    pub(super) users: usize,
}

/// A network in training.
#[derive(Debug, Clone)]
pub(super) struct Trainer {
    movies: Table,
    users: Table,
    body: Body,
    output: Dense,
    ordinal: Ordinal,
    /// Batches so far.
    steps: u32,
}

#[derive(Debug, Clone)]
enum Body {
    /// The movie's embedding, then the user's.
    NeuralCf(Mlp),
    TwoTowers {
        movie: Mlp,
        user: Mlp,
    },
    NeuMf(NeuMf),
}

/// Both branches of NeuMF: the products of the first `factors` dimensions, and layers over the others.
#[derive(Debug, Clone)]
struct NeuMf {
    factors: usize,
    mlp: Mlp,
    /// The embeddings of a group of samples.
    movie: Vec<Lanes>,
    user: Vec<Lanes>,
    /// The inputs of the output layer: the products, then the outputs of the layers.
    last: Vec<Lanes>,
    /// The gradients of these.
    of_movie: Vec<Lanes>,
    of_user: Vec<Lanes>,
    of_last: Vec<Lanes>,
}

impl NeuMf {
    fn new(factors: usize, hidden: &[usize], random: &mut Random) -> Self {
        let mlp = Mlp::new(2 * mlp_dimension(hidden), hidden, random);
        let embedding = vec![Lanes::ZERO; factors + mlp_dimension(hidden)];
        let last = vec![Lanes::ZERO; factors + mlp.output().len()];
        Self {
            factors,
            mlp,
            movie: embedding.clone(),
            user: embedding.clone(),
            of_movie: embedding.clone(),
            of_user: embedding,
            of_last: last.clone(),
            last,
        }
    }

    /// Computes the inputs of the output layer from both embeddings.
    fn forward(&mut self, dropout: Option<(f64, &mut Random)>) {
        let (products, outputs) = self.last.split_at_mut(self.factors);
        for ((product, movie), user) in products.iter_mut().zip(&self.movie).zip(&self.user) {
            *product = Lanes::ZERO;
            product.add_product(movie, user);
        }
        let (movie, user) = self.mlp.input().split_at_mut(self.movie.len() - self.factors);
        movie.copy_from_slice(&self.movie[self.factors..]);
        user.copy_from_slice(&self.user[self.factors..]);
        self.mlp.forward(dropout);
        outputs.copy_from_slice(self.mlp.output());
    }

    /// Computes the gradients of both embeddings from those of the inputs of the output layer.
    fn backward(&mut self, dropout: bool) {
        let (of_products, of_outputs) = self.of_last.split_at(self.factors);
        for (at, of_product) in of_products.iter().enumerate() {
            (self.of_movie[at], self.of_user[at]) = (Lanes::ZERO, Lanes::ZERO);
            self.of_movie[at].add_product(of_product, &self.user[at]);
            self.of_user[at].add_product(of_product, &self.movie[at]);
        }
        self.mlp.ends().1.copy_from_slice(of_outputs);
        self.mlp.backward(dropout);
        let (movie, user) = self.mlp.input_gradients().split_at(self.movie.len() - self.factors);
        self.of_movie[self.factors..].copy_from_slice(movie);
        self.of_user[self.factors..].copy_from_slice(user);
    }
}

/// The dimension of the embeddings in the layers of NeuMF: in the paper's tower, the first layer has half as many
/// outputs as inputs.
fn mlp_dimension(hidden: &[usize]) -> usize {
    hidden.first().copied().unwrap_or(1)
}

impl Trainer {
    /// A network with random weights; its embeddings know the biases of `pairs`.
    pub(super) fn new(
        options: &Options,
        counts: &Counts,
        pairs: &[Pair],
        random: &mut Random,
    ) -> Self {
        let embedding = options.dimension();
        let last_width = options.hidden.last().copied().unwrap_or(1);
        let mut mlp = |inputs| Mlp::new(inputs, &options.hidden, random);
        let (body, dimension, last) = match options.method {
            Method::TwoTowers => {
                let (movie, user) = (mlp(embedding), mlp(embedding));
                (Body::TwoTowers { movie, user }, embedding, 1)
            }
            Method::NeuMf => {
                let body = NeuMf::new(embedding, &options.hidden, random);
                let dimension = embedding + mlp_dimension(&options.hidden);
                (Body::NeuMf(body), dimension, embedding + last_width)
            }
            Method::NeuralCf | Method::Gmf => {
                (Body::NeuralCf(mlp(2 * embedding)), embedding, last_width)
            }
        };
        let mut movies = Table::new(counts.movies, dimension, random);
        let mut users = Table::new(counts.users, dimension, random);
        if options.bias_prior > 0.0 {
            let biases = Biases::fit(pairs, counts.movies, counts.users, options.bias_prior);
            movies.set_first(&biases.movies);
            users.set_first(&biases.users);
        }
        Self {
            movies,
            users,
            body,
            output: Dense::new(last, 1, random),
            ordinal: Ordinal::new(options.ordinal, pairs),
            steps: 0,
        }
    }

    /// A network whose scores are in the order of the dot products of `movies` and `users`, nearly for NeuralCF and
    /// exactly for NeuMF, whose rows are those of the tables without the unknown row. Unknown users have the mean vector,
    /// unknown movies zeros. `pairs` calibrate the scores.
    pub(super) fn pretrained(
        options: &Options,
        movies: &Factors,
        users: &Factors,
        pairs: &[Pair],
        random: &mut Random,
    ) -> Self {
        let dimension = options.dimension();
        let mut options = Options { bias_prior: 0.0, ..options.clone() };
        if options.method == Method::NeuralCf {
            options.hidden = vec![pretrained::units(dimension)];
        }
        let counts = Counts { movies: movies.len() + 1, users: users.len() + 1 };
        let mut trainer = Self::new(&options, &counts, &[], random);
        trainer.movies.set_rows(&vec![0.0; dimension], movies);
        let mut mean = vec![0.0; dimension];
        for row in 0..users.len() {
            for (mean, value) in mean.iter_mut().zip(users.row(row)) {
                *mean += value / users.len() as f32;
            }
        }
        trainer.users.set_rows(&mean, users);
        if let Body::NeuralCf(mlp) = &mut trainer.body {
            let [hidden, output] = pretrained::layers(movies, users, dimension);
            mlp.layers[0].values = [hidden.weight, hidden.bias].concat();
            trainer.output.values = [output.weight, output.bias].concat();
        } else {
            // The products alone: the layers learn what these do not explain.
            trainer.output.values.fill(0.0);
            trainer.output.values[..dimension].fill(1.0);
        }
        let sample = pairs.len().min(CALIBRATION_SAMPLES);
        let sample: Vec<Pair> = (0..sample).map(|_| pairs[random.below(pairs.len())]).collect();
        let scores = trainer.logits(&sample);
        let labels: Vec<bool> = sample.iter().map(Pair::liked).collect();
        let [scale, offset] = pretrained::calibrate(&scores, &labels);
        for weight in &mut trainer.output.values {
            *weight *= scale;
        }
        trainer.shift(offset);
        trainer
    }

    /// Adds to all logits.
    pub(super) fn shift(&mut self, by: f32) {
        if let Some(bias) = self.output.values.last_mut() {
            *bias += by;
        }
    }

    /// Goes through the pairs once, in a new order, and returns the mean loss. `progress` is told of
    /// every batch's length.
    pub(super) fn epoch(
        &mut self,
        pairs: &mut [Pair],
        options: &Options,
        random: &mut Random,
        progress: &mut dyn FnMut(usize),
    ) -> f64 {
        random.shuffle(pairs);
        let mut loss = 0.0;
        let adam = Adam { rate: options.learning_rate };
        for batch in pairs.chunks(options.batch) {
            // Unknown ids come in where they were not.
            let movies = batch.iter().map(|pair| pair.movie).chain([UNKNOWN]);
            self.movies.settle(movies, adam, self.steps);
            let users = batch.iter().map(|pair| pair.user).chain([UNKNOWN]);
            self.users.settle(users, adam, self.steps);
            for group in batch.chunks(LANES) {
                let mut group = group.to_vec();
                for pair in &mut group {
                    if random.chance(options.unknown) {
                        pair.user = UNKNOWN;
                    }
                    if random.chance(options.unknown) {
                        pair.movie = UNKNOWN;
                    }
                }
                loss += self.learn(&group, options.dropout, random);
            }
            self.step(batch.len(), options);
            progress(batch.len());
        }
        self.movies.settle(0..self.movies.rows(), adam, self.steps);
        self.users.settle(0..self.users.rows(), adam, self.steps);
        loss / pairs.len().max(1) as f64
    }

    /// The scores of pairs.
    pub(super) fn predict(&mut self, pairs: &[Pair]) -> Vec<f32> {
        self.logits(pairs).into_iter().map(sigmoid).collect()
    }

    fn logits(&mut self, pairs: &[Pair]) -> Vec<f32> {
        let mut all = Vec::with_capacity(pairs.len());
        for group in pairs.chunks(LANES) {
            let logits = self.forward(&Rows::new(group), None);
            all.extend_from_slice(&logits.0[..group.len()]);
        }
        all
    }

    fn forward(&mut self, rows: &Rows, dropout: Option<(f64, &mut Random)>) -> Lanes {
        let mut logits = [Lanes::ZERO];
        match &mut self.body {
            Body::NeuralCf(mlp) => {
                let (movie, user) = mlp.input().split_at_mut(self.movies.dimension);
                self.movies.gather(rows.movies(), movie);
                self.users.gather(rows.users(), user);
                mlp.forward(dropout);
                self.output.forward(mlp.output(), &mut logits);
            }
            Body::TwoTowers { movie, user } => {
                self.movies.gather(rows.movies(), movie.input());
                self.users.gather(rows.users(), user.input());
                if let Some((part, random)) = dropout {
                    movie.forward(Some((part, &mut *random)));
                    user.forward(Some((part, random)));
                } else {
                    movie.forward(None);
                    user.forward(None);
                }
                let dot = dot(movie.output(), user.output());
                self.output.forward(&[dot], &mut logits);
            }
            Body::NeuMf(neumf) => {
                self.movies.gather(rows.movies(), &mut neumf.movie);
                self.users.gather(rows.users(), &mut neumf.user);
                neumf.forward(dropout);
                self.output.forward(&neumf.last, &mut logits);
            }
        }
        let [logits] = logits;
        logits
    }

    /// Adds up the gradients of a group of samples, and returns the sum of their losses.
    fn learn(&mut self, group: &[Pair], dropout: f64, random: &mut Random) -> f64 {
        let rows = Rows::new(group);
        let logits = self.forward(&rows, Some((dropout, random)));
        let mut loss = 0.0;
        // Lanes without a sample keep the gradient zero.
        let mut of_logit = Lanes::ZERO;
        for ((of_logit, &logit), pair) in of_logit.0.iter_mut().zip(&logits.0).zip(group) {
            *of_logit = self.ordinal.slope(logit, pair.stars);
            // ln(1 + e^±logit), without overflow.
            let margin = f64::from(if pair.liked() { -logit } else { logit });
            loss += margin.max(0.0) + (-margin.abs()).exp().ln_1p();
        }
        let dropout = dropout > 0.0;
        match &mut self.body {
            Body::NeuralCf(mlp) => {
                let (last, of_last) = mlp.ends();
                self.output.backward(last, &[of_logit], of_last);
                mlp.backward(dropout);
                let (movie, user) = mlp.input_gradients().split_at(self.movies.dimension);
                self.movies.backward(rows.movies(), movie);
                self.users.backward(rows.users(), user);
            }
            Body::TwoTowers { movie, user } => {
                let mut of_dot = [Lanes::ZERO];
                let ((movie_last, of_movie), (user_last, of_user)) = (movie.ends(), user.ends());
                let dot = dot(movie_last, user_last);
                self.output.backward(&[dot], &[of_logit], &mut of_dot);
                let ends = of_movie.iter_mut().zip(of_user).zip(movie_last.iter().zip(user_last));
                for ((of_movie, of_user), (movie, user)) in ends {
                    (*of_movie, *of_user) = (Lanes::ZERO, Lanes::ZERO);
                    of_movie.add_product(&of_dot[0], user);
                    of_user.add_product(&of_dot[0], movie);
                }
                movie.backward(dropout);
                user.backward(dropout);
                self.movies.backward(rows.movies(), movie.input_gradients());
                self.users.backward(rows.users(), user.input_gradients());
            }
            Body::NeuMf(neumf) => {
                self.output.backward(&neumf.last, &[of_logit], &mut neumf.of_last);
                neumf.backward(dropout);
                self.movies.backward(rows.movies(), &neumf.of_movie);
                self.users.backward(rows.users(), &neumf.of_user);
            }
        }
        loss
    }

    /// Ends a batch of `len` samples.
    fn step(&mut self, len: usize, options: &Options) {
        self.steps += 1;
        let adam = Adam { rate: options.learning_rate };
        let scale = 1.0 / len as f32;
        let layers = match &mut self.body {
            Body::NeuralCf(mlp) | Body::NeuMf(NeuMf { mlp, .. }) => {
                mlp.layers.iter_mut().chain(&mut [])
            }
            Body::TwoTowers { movie, user } => movie.layers.iter_mut().chain(&mut user.layers),
        };
        for layer in layers.chain([&mut self.output]) {
            layer.step(adam, self.steps, scale, options.l2_layers);
        }
        self.ordinal.step(adam, self.steps, scale);
        self.movies.step(adam, self.steps, scale, options.l2);
        self.users.step(adam, self.steps, scale, options.l2);
    }

    /// The embeddings that are zero.
    pub(super) fn zeros(&self) -> Zeros {
        let of = |table: &Table| {
            let known = 1..table.rows();
            [known.clone().filter(|&row| is_zero(table.row(row))).count(), known.len()]
        };
        Zeros { movies: of(&self.movies), users: of(&self.users) }
    }

    /// The trained model. The ids are those of the rows after that of unknown ids, ascending.
    pub(super) fn model(
        &self,
        movie_ids: &[u32],
        user_ids: &[u32],
    ) -> Result<Model, neural_cf::Error> {
        let layers = |mlp: &Mlp| mlp.layers.iter().map(finished).collect();
        let network = match &self.body {
            Body::NeuralCf(mlp) => neural_cf::Network::NeuralCf { hidden: layers(mlp) },
            Body::TwoTowers { movie, user } => {
                neural_cf::Network::TwoTowers { movie: layers(movie), user: layers(user) }
            }
            Body::NeuMf(NeuMf { factors, mlp, .. }) => {
                neural_cf::Network::NeuMf { factors: *factors, hidden: layers(mlp) }
            }
        };
        let embedding = |table: &Table, ids| embedding(table, ids).map_err(neural_cf::Error::from);
        Model::new(
            embedding(&self.movies, movie_ids)?,
            embedding(&self.users, user_ids)?,
            network,
            finished(&self.output),
        )
    }
}

fn embedding(table: &Table, ids: &[u32]) -> Result<Embedding, String> {
    let mut known = TableBuilder::default();
    for (row, &id) in (1..).zip(ids) {
        known.push(id, table.row(row))?;
    }
    Ok(Embedding { table: known.build()?, unknown: table.row(UNKNOWN).to_vec() })
}

fn finished(layer: &Dense) -> neural_cf::Dense {
    neural_cf::Dense { weight: layer.weight().to_vec(), bias: layer.bias().to_vec() }
}

/// The rows of a group of samples.
struct Rows {
    movies: [u32; LANES],
    users: [u32; LANES],
    len: usize,
}

impl Rows {
    fn new(group: &[Pair]) -> Self {
        let mut rows = Self { movies: [0; LANES], users: [0; LANES], len: group.len() };
        for (lane, pair) in group.iter().enumerate() {
            rows.movies[lane] = pair.movie;
            rows.users[lane] = pair.user;
        }
        rows
    }

    fn movies(&self) -> &[u32] {
        &self.movies[..self.len]
    }

    fn users(&self) -> &[u32] {
        &self.users[..self.len]
    }
}

fn dot(left: &[Lanes], right: &[Lanes]) -> Lanes {
    let mut sum = Lanes::ZERO;
    for (left, right) in left.iter().zip(right) {
        sum.add_product(left, right);
    }
    sum
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const PAIRS: [Pair; 5] = [
        Pair::new(1, 1, true),
        Pair::new(1, 2, false),
        Pair::new(2, 1, true),
        Pair::new(0, 3, false),
        Pair::new(2, 0, true),
    ];

    fn options(method: Method) -> Options {
        let options = Options::without_pretraining(method);
        Options { embedding: Some(3), hidden: vec![5, 4], bias_prior: 0.0, ..options }
    }

    fn trainer(options: &Options) -> Trainer {
        let mut trainer =
            Trainer::new(options, &Counts { movies: 4, users: 3 }, &[], &mut Random::new(3, 0));
        // Away from zero, so that gradients are of a size to compare.
        for table in [&mut trainer.movies, &mut trainer.users] {
            for value in &mut table.values {
                *value *= 20.0;
            }
        }
        trainer
    }

    /// The loss of all pairs, in double precision.
    fn loss(trainer: &Trainer) -> f64 {
        let model = trainer.model(&[1, 2, 3], &[1, 2]).unwrap();
        let loss = |pair: &Pair| {
            let score = model.score(pair.user, pair.movie);
            -(if pair.liked() { score } else { 1.0 - score }).ln()
        };
        PAIRS.iter().map(loss).sum()
    }

    type Values = fn(&mut Trainer) -> &mut Vec<f32>;
    type Gradient = fn(&Trainer, usize) -> f32;

    /// The first layer over the user's embedding.
    fn first(trainer: &Trainer) -> &Dense {
        match &trainer.body {
            Body::NeuralCf(mlp) | Body::NeuMf(NeuMf { mlp, .. }) => &mlp.layers[0],
            Body::TwoTowers { user, .. } => &user.layers[0],
        }
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        for method in [Method::NeuralCf, Method::TwoTowers, Method::NeuMf] {
            let mut trained = trainer(&options(method));
            let reported = trained.learn(&PAIRS, 0.0, &mut Random::new(1, 1));
            assert!((reported - loss(&trained)).abs() < 1e-5);

            let parts: [(Values, Gradient); 4] = [
                (|t| &mut t.movies.values, |t, at| t.movies.gradient(at)),
                (|t| &mut t.users.values, |t, at| t.users.gradient(at)),
                (|t| &mut t.output.values, |t, at| t.output.gradient(at)),
                (
                    |t| match &mut t.body {
                        Body::NeuralCf(mlp) | Body::NeuMf(NeuMf { mlp, .. }) => {
                            &mut mlp.layers[0].values
                        }
                        Body::TwoTowers { user, .. } => &mut user.layers[0].values,
                    },
                    |t, at| first(t).gradient(at),
                ),
            ];
            for (part, (values, gradient)) in parts.into_iter().enumerate() {
                for at in 0..values(&mut trained).len() {
                    let by = 1e-3;
                    let moved = |by: f32| {
                        let mut moved = trained.clone();
                        values(&mut moved)[at] += by;
                        loss(&moved)
                    };
                    let expected = (moved(by) - moved(-by)) / 2.0 / f64::from(by);
                    let found = f64::from(gradient(&trained, at));
                    assert!(
                        (found - expected).abs() < 2e-3 * (1.0 + expected.abs()),
                        "{method}, part {part}, value {at}: {found}, not {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn training_learns_the_pairs_by_heart() {
        for method in [Method::NeuralCf, Method::TwoTowers, Method::NeuMf] {
            let options =
                Options { unknown: 0.0, l2: 0.0, batch: 2, learning_rate: 0.02, ..options(method) };
            let mut trainer = trainer(&options);
            let mut pairs = PAIRS;
            let mut random = Random::new(1, 1);
            for _ in 0..300 {
                trainer.epoch(&mut pairs, &options, &mut random, &mut |_| {});
            }
            let model = trainer.model(&[1, 2, 3], &[1, 2]).unwrap();
            for (pair, score) in PAIRS.iter().zip(trainer.predict(&PAIRS)) {
                assert_eq!(score > 0.5, pair.liked(), "{method}, {pair:?}: {score}");
                assert!((f64::from(score) - model.score(pair.user, pair.movie)).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn pretrained_neumf_has_the_order_of_the_dot_products() {
        let mut random = Random::new(5, 1);
        let mut factors = |rows| Factors::new(rows, 4, |_| (random.normal() * 0.3) as f32);
        let (movies, users) = (factors(30), factors(6));
        let options = Options { embedding: Some(4), ..Options::new(Method::NeuMf) };
        let pairs: Vec<Pair> = (1..=6)
            .flat_map(|user| {
                (1..=30).map(move |movie| Pair::new(user, movie, (user + movie) % 5 == 0))
            })
            .collect();
        let mut trainer =
            Trainer::pretrained(&options, &movies, &users, &pairs, &mut Random::new(3, 0));
        let scores = trainer.predict(&pairs);
        for (pairs, scores) in pairs.chunks(30).zip(scores.chunks(30)) {
            let dot = |pair: &Pair| -> f32 {
                let (movie, user) =
                    (movies.row(pair.movie as usize - 1), users.row(pair.user as usize - 1));
                movie.iter().zip(&user).map(|(movie, user)| movie * user).sum()
            };
            let mut order: Vec<usize> = (0..30).collect();
            order.sort_by(|&a, &b| dot(&pairs[a]).total_cmp(&dot(&pairs[b])));
            assert!(order.windows(2).all(|pair| scores[pair[0]] <= scores[pair[1]] + 1e-6));
            assert!(scores[order[29]] > scores[order[0]]);
        }
    }

    /// Half of the outputs left out, twice their size: on average the gradients stay.
    #[test]
    fn dropout_keeps_the_mean_of_the_gradients() {
        let options = options(Method::NeuralCf);
        let start = trainer(&options);
        let mut random = Random::new(7, 7);
        let mean = |dropout: f64, random: &mut Random| {
            let mut trained = start.clone();
            for _ in 0..4000 {
                trained.learn(&PAIRS[..1], dropout, random);
            }
            trained.output.gradient(4) / 4000.0
        };
        let (with, without) = (mean(0.2, &mut random), mean(0.0, &mut random));
        assert!((with - without).abs() < 0.05 * without.abs() + 0.02, "{with} {without}");
    }
}
