//! Detects ratings of the test part in fitted models.

use std::collections::HashSet;
use std::fmt;

use sparrow_model::{Catalog, MovieIndex, UserId};

use super::Fitted;
use super::split::{HoldOut, Parts};

/// A leak of the test part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leak {
    /// The catalogue of the model contains a rating of the test part.
    Rating {
        /// The user.
        user: UserId,
        /// The movie.
        movie: MovieIndex,
    },
    /// The statistics of a movie differ from those of the training part.
    Statistics {
        /// The movie.
        movie: MovieIndex,
        /// The number of ratings in the statistics.
        counted: u32,
        /// The number of ratings in the training part.
        training: u32,
    },
    /// A rating of the training part is later than one of the test part that must be later.
    Future {
        /// The user.
        user: UserId,
    },
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rating { user, movie } => {
                write!(f, "that of user {user} for the movie with index {}", movie.0)
            }
            Self::Statistics { movie, counted, training } => write!(
                f,
                "{counted} are counted for the movie with index {}, which has {training} in the training part",
                movie.0
            ),
            Self::Future { user } => write!(f, "user {user} has later ones in training"),
        }
    }
}

/// Checks the parts, and the histories and statistics of the fitted model, from which its features are computed. The
/// internal state of a ranker is not checked.
pub fn check(parts: &Parts, hold_out: HoldOut, fitted: &Fitted) -> Result<(), Leak> {
    future(parts, hold_out)?;
    catalog(parts, &parts.training)?;
    if !std::sync::Arc::ptr_eq(&parts.training, &fitted.catalog) {
        catalog(parts, &fitted.catalog)?;
    }
    Ok(())
}

/// Checks the histories and statistics of a catalogue.
fn catalog(parts: &Parts, catalog: &Catalog) -> Result<(), Leak> {
    for test in parts.test.iter() {
        let Some(known) = catalog.users().find(test.user()) else { continue };
        let known: HashSet<MovieIndex> = known.movies().collect();
        if let Some(movie) = test.movies().find(|movie| known.contains(movie)) {
            return Err(Leak::Rating { user: test.user(), movie });
        }
    }
    let mut counts = vec![(0, 0); parts.training.len()];
    for rated in parts.training.users().iter().flat_map(|history| history.iter()) {
        let (count, half_stars) = &mut counts[rated.movie.index()];
        *count += 1;
        *half_stars += u32::from(rated.stars.half_stars());
    }
    for (movie, (training, half_stars)) in (0..).map(MovieIndex).zip(counts) {
        let stats = catalog.stats(movie);
        if (stats.count, stats.half_stars()) != (training, half_stars) {
            return Err(Leak::Statistics { movie, counted: stats.count, training });
        }
    }
    Ok(())
}

/// Checks that test ratings are later than training ratings, if they were held out by time.
fn future(parts: &Parts, hold_out: HoldOut) -> Result<(), Leak> {
    let first = |history: sparrow_model::History<'_>| history.iter().next().map(|r| r.timestamp);
    let of_all = parts.test.iter().filter_map(first).min();
    for known in parts.training.users().iter() {
        let limit = match hold_out {
            HoldOut::RANDOM | HoldOut::RandomByMovie | HoldOut::Users | HoldOut::Movies => None,
            HoldOut::TIME => of_all,
            HoldOut::PER_USER_TIME | HoldOut::LeaveOneOut => {
                parts.test.find(known.user()).and_then(first)
            }
        };
        let last = known.iter().next_back().map(|rated| rated.timestamp);
        if let (Some(limit), Some(last)) = (limit, last)
            && last > limit
        {
            return Err(Leak::Future { user: known.user() });
        }
    }
    Ok(())
}
