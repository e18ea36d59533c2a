//! Interactions of users and movies as a sparse matrix, the training data of factorisations.

use std::fmt;
use std::str::FromStr;

use sparrow_hyperparameters::Value;
use sparrow_model::{Catalog, Rated};

/// Which ratings count, and with which weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Positives {
    /// All ratings with the same weight, whatever their stars: the user chose the movie.
    #[default]
    All,
    /// Ratings of 3.5 stars or more, with the same weight.
    Liked,
    /// All ratings, weighted by their stars; the mean weight is 1.
    Stars,
}

impl Positives {
    /// All values with their names.
    pub const NAMES: [(&'static str, Self); 3] =
        [("all", Self::All), ("liked", Self::Liked), ("stars", Self::Stars)];

    /// Returns whether a rating counts.
    pub fn counts(self, rated: &Rated) -> bool {
        self != Self::Liked || rated.stars.is_liked()
    }
}

impl fmt::Display for Positives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, positives)| positives == self);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for Positives {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|&(_, positives)| positives).ok_or_else(|| "all, liked or stars".to_owned())
    }
}

impl Value for Positives {
    fn parse(&mut self, text: &str) -> bool {
        text.parse().map(|positives| *self = positives).is_ok()
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn expected(&self) -> &'static str {
        "all, liked or stars"
    }
}

/// A sparse matrix in compressed rows: for each row the columns in ascending order, and weights unless all are 1.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Interactions {
    /// The entries of row `r` are at `starts[r]..starts[r + 1]`.
    starts: Vec<usize>,
    columns: Vec<u32>,
    weights: Option<Vec<f32>>,
    column_count: usize,
}

impl Interactions {
    /// The rows are users and the columns movies, by their indexes in the catalogue.
    pub fn of(catalog: &Catalog, positives: Positives) -> Self {
        let mut starts = vec![0];
        let (mut columns, mut weights) = (Vec::new(), Vec::new());
        let mut row: Vec<(u32, f32)> = Vec::new();
        for history in catalog.users().iter() {
            row.clear();
            let counted = history.iter().filter(|rated| positives.counts(rated));
            row.extend(counted.map(|rated| (rated.movie.0, f32::from(rated.stars.half_stars()))));
            row.sort_unstable_by_key(|&(movie, _)| movie);
            columns.extend(row.iter().map(|&(movie, _)| movie));
            if positives == Positives::Stars {
                weights.extend(row.iter().map(|&(_, half_stars)| half_stars));
            }
            starts.push(columns.len());
        }
        if !weights.is_empty() {
            let mean =
                weights.iter().map(|&weight| f64::from(weight)).sum::<f64>() / weights.len() as f64;
            for weight in &mut weights {
                *weight = (f64::from(*weight) / mean) as f32;
            }
        }
        let weights = (positives == Positives::Stars).then_some(weights);
        Self { starts, columns, weights, column_count: catalog.len() }
    }

    /// Takes the ascending columns of each row; there are `column_count` columns.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a [u32]>, column_count: usize) -> Self {
        let (mut starts, mut columns) = (vec![0], Vec::new());
        for row in rows {
            columns.extend_from_slice(row);
            starts.push(columns.len());
        }
        Self { starts, columns, weights: None, column_count }
    }

    /// The transposed matrix.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut starts = vec![0; self.column_count + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        for at in 0..self.column_count {
            starts[at + 1] += starts[at];
        }
        let mut cursors = starts.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut weights = self.weights.as_ref().map(|weights| vec![0.0; weights.len()]);
        for row in 0..self.len() {
            for index in self.starts[row]..self.starts[row + 1] {
                let cursor = &mut cursors[self.columns[index] as usize];
                columns[*cursor] = row as u32;
                if let (Some(to), Some(from)) = (&mut weights, &self.weights) {
                    to[*cursor] = from[index];
                }
                *cursor += 1;
            }
        }
        Self { starts, columns, weights, column_count: self.len() }
    }

    /// The columns of a row.
    ///
    /// # Panics
    /// If there is no such row; [`weights`](Self::weights) panics too.
    pub fn row(&self, at: usize) -> &[u32] {
        &self.columns[self.starts[at]..self.starts[at + 1]]
    }

    /// The weights of a row's columns, unless all are 1.
    pub fn weights(&self, at: usize) -> Option<&[f32]> {
        self.weights.as_ref().map(|weights| &weights[self.starts[at]..self.starts[at + 1]])
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of columns.
    pub const fn column_count(&self) -> usize {
        self.column_count
    }

    /// The number of entries.
    pub fn pair_count(&self) -> usize {
        self.columns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_twice_restores_the_matrix() {
        let rows: [&[u32]; 4] = [&[0, 3], &[], &[1, 2, 3], &[3]];
        let by_row = Interactions::from_rows(rows, 5);
        let by_column = by_row.transposed();
        let columns: Vec<&[u32]> = (0..5).map(|column| by_column.row(column)).collect();
        assert_eq!(columns, [&[0][..], &[2], &[2], &[0, 2, 3], &[]]);
        assert_eq!(by_column.transposed(), by_row);
        assert_eq!((by_row.len(), by_row.column_count(), by_row.pair_count()), (4, 5, 6));
    }

    #[test]
    fn transposing_keeps_weights() {
        let rows: [&[u32]; 2] = [&[0, 1], &[1]];
        let mut by_row = Interactions::from_rows(rows, 2);
        by_row.weights = Some(vec![0.5, 1.0, 2.0]);
        let by_column = by_row.transposed();
        assert_eq!(by_column.weights(0), Some(&[0.5][..]));
        assert_eq!(by_column.weights(1), Some(&[1.0, 2.0][..]));
    }

    #[test]
    fn formatted_names_are_parsed() {
        for (name, positives) in Positives::NAMES {
            assert_eq!((name.parse(), positives.to_string()), (Ok(positives), name.to_owned()));
        }
        assert!("some".parse::<Positives>().is_err());
    }
}
