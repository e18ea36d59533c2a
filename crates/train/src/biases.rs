use super::pair::Pair;

/// Number of alternating rounds: more than convergence needs.
const ROUNDS: usize = 8;
/// The typical contribution p (1 − p) of a rating to the precision of a bias.
pub(super) const CERTAINTY: f64 = 0.2;

/// The biases of users and movies in log-odds, by logistic regression on them alone.
#[derive(Debug)]
pub(super) struct Biases {
    pub(super) movies: Vec<f64>,
    pub(super) users: Vec<f64>,
    /// The log-odds of a pair without biases.
    pub(super) base: f64,
}

impl Biases {
    /// Fits the biases to pairs of rows. Each bias is shrunk to zero as if by `prior` ratings.
    pub(super) fn fit(pairs: &[Pair], movies: usize, users: usize, prior: f64) -> Self {
        let liked = pairs.iter().filter(|pair| pair.liked()).count() as f64;
        let base = (liked / (pairs.len() as f64 - liked)).ln();
        let mut biases = Self { movies: vec![0.0; movies], users: vec![0.0; users], base };
        let prior = prior * CERTAINTY;
        for _ in 0..ROUNDS {
            biases.improve(pairs, prior, |pair| pair.user, |all| &mut all.users);
            biases.improve(pairs, prior, |pair| pair.movie, |all| &mut all.movies);
        }
        biases
    }

    /// Performs a Newton step for the biases of one side.
    fn improve(
        &mut self,
        pairs: &[Pair],
        prior: f64,
        row: impl Fn(&Pair) -> u32,
        side: impl Fn(&mut Self) -> &mut Vec<f64>,
    ) {
        let mut slopes = vec![[0.0; 2]; side(self).len()];
        for pair in pairs {
            let logit =
                self.base + self.movies[pair.movie as usize] + self.users[pair.user as usize];
            let score = 1.0 / (1.0 + (-logit).exp());
            let [first, second] = &mut slopes[row(pair) as usize];
            *first += f64::from(u8::from(pair.liked())) - score;
            *second += score * (1.0 - score);
        }
        for (bias, [first, second]) in side(self).iter_mut().zip(slopes) {
            // The small summand keeps the biases of rows without pairs at zero if there is no prior.
            *bias += (first - prior * *bias) / (second + prior + 1e-9);
            *bias = bias.clamp(-6.0, 6.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_are_higher_for_generous_users_and_liked_movies() {
        let mut pairs = Vec::new();
        for user in 1..=20 {
            for movie in 1..=20 {
                // Even users like everything but the first movies, odd ones only the last.
                let liked = if user % 2 == 0 { movie > 4 } else { movie > 16 };
                pairs.push(Pair::new(user, movie, liked));
            }
        }
        let Biases { movies, users, .. } = Biases::fit(&pairs, 30, 30, 5.0);
        assert!(users[2] > 0.5 && users[1] < -0.5, "{users:?}");
        assert!(movies[20] > 0.5 && movies[1] < -0.5 && movies[20] > movies[10], "{movies:?}");
        assert_eq!((users[0], movies[25]), (0.0, 0.0));
        let free = Biases::fit(&pairs, 30, 30, 0.0);
        assert!(free.movies[20] > movies[20] && free.users.iter().all(|bias| bias.is_finite()));
    }
}
