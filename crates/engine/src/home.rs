//! The rows of a home page.

use std::sync::Arc;

use sparrow_model::{Genre, MovieIndex, MovieSet, Sort, Stars, UserId, UserState};

use crate::{Engine, Error, Item, Reason, Recommendations, Request, SimilarRequest};

/// Rows of genres on a home page.
const GENRES: usize = 4;

/// Recent movies that are tried for "because you liked".
const RECENT: usize = 10;

/// Ratings that the common distribution of genres counts for.
const PRIOR: f32 = 10.0;

/// A row with fewer movies than this is left out, unless it is the first.
const SHORTEST: usize = 3;

/// A request for the rows of a home page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HomeRequest<'a> {
    /// The user.
    pub user: UserId,
    /// The name or alias of the ranking model; `None` for the default model.
    pub model: Option<&'a str>,
    /// The number of movies in a row, at most.
    pub size: usize,
    /// All movies in order of current popularity; see [`popular_now`](crate::popular_now).
    pub popular_now: &'a [MovieIndex],
}

/// The rows of a home page. No movie is in two rows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Home {
    /// In the order of the page. No row is empty.
    pub rows: Vec<Row>,
}

/// A row of a home page.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Row {
    /// What it contains.
    pub kind: RowKind,
    /// How it was ranked; `None` for an order that is the same for all users.
    pub ranked: Option<Ranked>,
    /// The movies, best first.
    pub movies: Vec<MovieIndex>,
}

/// The model that ranked a row.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ranked {
    /// The requested model.
    pub requested: Arc<str>,
    /// The model that ranked.
    pub model: Arc<str>,
    /// Whether the row is degraded.
    pub degraded: bool,
    /// Why it is degraded or not personal.
    pub reason: Option<Reason>,
}

/// What a row of a home page contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RowKind {
    /// The best movies for the user.
    Recommended,
    /// Movies that are similar to this one, which the user liked recently.
    BecauseYouLiked(MovieIndex),
    /// The best movies of a genre: for the user, or by rating.
    Genre(Genre),
    /// Movies by current popularity.
    PopularNow,
    /// The best of the newest releases for the user.
    NewForYou,
    /// Movies by rating.
    BestRated,
    /// Movies by release year.
    Newest,
}

impl From<&Recommendations> for Ranked {
    fn from(found: &Recommendations) -> Self {
        Self {
            requested: Arc::clone(&found.requested),
            model: Arc::clone(&found.model),
            degraded: found.degraded,
            reason: found.reason,
        }
    }
}

impl Home {
    /// Whether a row contains the movie.
    fn contains(&self, movie: MovieIndex) -> bool {
        self.rows.iter().any(|row| row.movies.contains(&movie))
    }

    fn shown(&self) -> Vec<MovieIndex> {
        self.rows.iter().flat_map(|row| row.movies.iter().copied()).collect()
    }

    fn add(&mut self, kind: RowKind, ranked: Option<Ranked>, movies: Vec<MovieIndex>) {
        if movies.len() >= SHORTEST || (self.rows.is_empty() && !movies.is_empty()) {
            self.rows.push(Row { kind, ranked, movies });
        }
    }

    /// Adds the first movies of an order that no row contains.
    fn add_ordered(
        &mut self,
        kind: RowKind,
        size: usize,
        order: &[MovieIndex],
        is_excluded: impl Fn(MovieIndex) -> bool,
    ) {
        let movies = order.iter().copied();
        let movies = movies.filter(|&movie| !is_excluded(movie) && !self.contains(movie));
        let movies = movies.take(size).collect();
        self.add(kind, None, movies);
    }
}

impl Engine {
    /// The rows for everybody: current popularity, best rated, newest, and the genres with the most ratings.
    pub fn public_home(&self, size: usize, popular_now: &[MovieIndex]) -> Home {
        let mut home = Home { rows: Vec::new() };
        let order = |sort| self.catalog.ordered(sort, None);
        home.add_ordered(RowKind::PopularNow, size, popular_now, |_| false);
        home.add_ordered(RowKind::BestRated, size, order(Sort::Rating), |_| false);
        for (index, genre) in self.genres_by_affinity(None).into_iter().take(GENRES).enumerate() {
            if index == GENRES / 2 {
                home.add_ordered(RowKind::Newest, size, order(Sort::ReleaseYear), |_| false);
            }
            let order = self.catalog.ordered(Sort::Rating, Some(genre));
            home.add_ordered(RowKind::Genre(genre), size, order, |_| false);
        }
        home
    }

    /// The rows for a user of the catalogue; see [`home_for`](Self::home_for).
    pub async fn home(&self, request: &HomeRequest<'_>) -> Result<Home, Error> {
        let user = self.user_state(request.user);
        let is_unknown = user.history.is_none() && user.embedding.is_none();
        self.home_for(request, &user, is_unknown.then_some(Reason::UnknownUser)).await
    }

    /// The rows for a user whose state comes from elsewhere, as in [`recommend_to`](Self::recommend_to). No row contains a
    /// movie that the user has rated.
    ///
    /// Genres are ordered by u·ln(u/p), where p is the share of a genre of all ratings, and u its share of the user's likes
    /// (both with 1/k for each of the k genres of a movie), smoothed as if the user had ten more likes that are distributed
    /// like p: the genres that the user likes more than others do come first.
    pub async fn home_for(
        &self,
        request: &HomeRequest<'_>,
        user: &UserState<'_>,
        missing: Option<Reason>,
    ) -> Result<Home, Error> {
        let HomeRequest { model, size, .. } = *request;
        let mut home = Home { rows: Vec::new() };
        let base = Request { model, size, ..Request::new(request.user) };
        let found = self.recommend_to(&base, user, missing).await?;
        home.add(RowKind::Recommended, Some((&found).into()), movies(&found.items));
        self.add_because(&mut home, size, user);
        let mut rest = self.genres_by_affinity(Some(user)).into_iter().take(GENRES).enumerate();
        loop {
            let next = rest.next();
            match next.map_or(GENRES, |(index, _)| index) {
                1 => self.add_popular(&mut home, request, user),
                2 => self.add_new(&mut home, &base, user, missing).await?,
                _ => {}
            }
            let Some((_, genre)) = next else { break };
            let shown = home.shown();
            let genres = [genre].into_iter().collect();
            let wanted = Request { genres, exclude: &shown, ..base.clone() };
            let found = self.recommend_to(&wanted, user, missing).await?;
            home.add(RowKind::Genre(genre), Some((&found).into()), movies(&found.items));
        }
        // A catalogue may have fewer genres than rows.
        let has = |home: &Home, kind| home.rows.iter().any(|row| row.kind == kind);
        if !has(&home, RowKind::PopularNow) {
            self.add_popular(&mut home, request, user);
        }
        if !has(&home, RowKind::NewForYou) {
            self.add_new(&mut home, &base, user, missing).await?;
        }
        Ok(home)
    }

    /// Adds the movies that are similar to the most recent well rated one that has similar ones.
    fn add_because(&self, home: &mut Home, size: usize, user: &UserState<'_>) {
        const WELL: u8 = 8;
        let Some(history) = &user.history else { return };
        let is_well = |stars: Stars| stars.half_stars() >= WELL;
        let recent = history.iter().rev().filter(|rated| is_well(rated.stars));
        let mut exclude: Vec<MovieIndex> = user.seen_movies().collect();
        exclude.extend_from_slice(user.hidden);
        exclude.extend(home.shown());
        for rated in recent.filter(|rated| !self.catalog.is_hidden(rated.movie)).take(RECENT) {
            let request =
                SimilarRequest { size, exclude: &exclude, ..SimilarRequest::new(rated.movie) };
            let Ok(similar) = self.similar(&request) else { return };
            if similar.reason.is_none() && similar.items.len() >= SHORTEST {
                let Similarity { ranked, movies } = Similarity::of(&similar);
                home.add(RowKind::BecauseYouLiked(rated.movie), Some(ranked), movies);
                return;
            }
        }
    }

    fn add_popular(&self, home: &mut Home, request: &HomeRequest<'_>, user: &UserState<'_>) {
        let mut seen = MovieSet::new(self.catalog.len());
        seen.extend(user.seen_movies());
        seen.extend(user.hidden.iter().copied());
        let is_seen = |movie| seen.contains(movie);
        home.add_ordered(RowKind::PopularNow, request.size, request.popular_now, is_seen);
    }

    /// Adds the best of the newest releases: a twentieth of the catalogue, and at least four rows.
    async fn add_new(
        &self,
        home: &mut Home,
        base: &Request<'_>,
        user: &UserState<'_>,
        missing: Option<Reason>,
    ) -> Result<(), Error> {
        let order = self.catalog.ordered(Sort::ReleaseYear, None);
        let newest = (order.len() / 20).max(4 * base.size).min(order.len());
        let Some(&last) = order[..newest].last() else { return Ok(()) };
        let Some(year) = self.catalog.movie(last).year else { return Ok(()) };
        let shown = home.shown();
        let request = Request { exclude: &shown, min_year: Some(year), ..base.clone() };
        let found = self.recommend_to(&request, user, missing).await?;
        home.add(RowKind::NewForYou, Some((&found).into()), movies(&found.items));
        Ok(())
    }

    /// The genres that have movies, in the order of the user's affinity; without a user, by their share of all ratings.
    fn genres_by_affinity(&self, user: Option<&UserState<'_>>) -> Vec<Genre> {
        let catalog = &self.catalog;
        let has_movies = |genre: &Genre| !catalog.ordered(Sort::Rating, Some(*genre)).is_empty();
        let mut genres: Vec<Genre> = catalog.genres().iter().filter(has_movies).collect();
        let common = &self.genre_shares;
        let liked = user.map_or_else(Vec::new, |user| self.liked_shares(user, PRIOR));
        let affinity = |genre: &Genre| {
            let (own, all) = (liked.get(genre.index()).copied(), common[genre.index()]);
            own.filter(|own| *own > 0.0 && all > 0.0).map_or(0.0, |own| own * (own / all).ln())
        };
        // Without a history, the favourites are those of the features.
        let listed = user
            .filter(|user| user.history.is_none())
            .map_or(&[][..], |user| user.favourite_genres);
        let position =
            |genre: &Genre| listed.iter().position(|known| known == genre).unwrap_or(listed.len());
        genres.sort_by(|a, b| {
            let by_share = || common[b.index()].total_cmp(&common[a.index()]);
            let by_affinity = || affinity(b).total_cmp(&affinity(a)).then_with(by_share);
            position(a).cmp(&position(b)).then_with(by_affinity)
        });
        genres
    }

    /// The shares of the genres of a user's likes, with 1/k for each of the k genres of a movie. `prior` likes that are
    /// distributed like all ratings are added. Zeros without any likes.
    pub(crate) fn liked_shares(&self, user: &UserState<'_>, prior: f32) -> Vec<f32> {
        let mut shares: Vec<f32> = self.genre_shares.iter().map(|share| share * prior).collect();
        for movie in user.rated_movies(true) {
            let genres = self.genre_sets[movie.index()];
            for genre in genres.iter() {
                shares[genre.index()] += 1.0 / genres.len() as f32;
            }
        }
        let total: f32 = shares.iter().sum();
        if total > 0.0 {
            for share in &mut shares {
                *share /= total;
            }
        }
        shares
    }
}

/// An answer to "similar movies" as a row.
struct Similarity {
    ranked: Ranked,
    movies: Vec<MovieIndex>,
}

impl Similarity {
    fn of(similar: &crate::Similar) -> Self {
        let ranked = Ranked {
            requested: Arc::clone(&similar.requested),
            model: Arc::clone(&similar.model),
            degraded: false,
            reason: None,
        };
        Self { ranked, movies: similar.items.iter().map(|item| item.movie).collect() }
    }
}

fn movies(items: &[Item]) -> Vec<MovieIndex> {
    items.iter().map(|item| item.movie).collect()
}
