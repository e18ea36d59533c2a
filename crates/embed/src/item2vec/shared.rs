//! A matrix that several threads update without locks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Number of components per vector operation; rows are padded with zeros to a multiple.
pub(super) const LANES: usize = 8;

/// Rows of floats. A thread copies a row, computes with the copy and writes it back. Concurrent updates of other threads
/// are lost, which stochastic gradient descent tolerates (Niu et al. 2011).
///
/// Two floats share an atomic cell, which halves the number of memory operations.
#[derive(Debug)]
pub(super) struct Shared {
    cells: Vec<AtomicU64>,
    /// Length of a row with its padding.
    width: usize,
}

impl Shared {
    /// `fill` returns the values row by row, without the padding.
    pub(super) fn new(rows: usize, dimension: usize, mut fill: impl FnMut() -> f32) -> Self {
        let width = dimension.next_multiple_of(LANES);
        let cells = (0..rows * width / 2).map(|_| AtomicU64::new(0)).collect();
        let shared = Self { cells, width };
        let mut row = shared.row();
        for index in 0..rows {
            for value in row.iter_mut().take(dimension) {
                *value = fill();
            }
            shared.store(index, &row);
        }
        shared
    }

    /// A buffer for a copy of a row.
    pub(super) fn row(&self) -> Vec<f32> {
        vec![0.0; self.width]
    }

    pub(super) fn load(&self, row: usize, into: &mut [f32]) {
        for (cell, pair) in self.cells_of(row).iter().zip(into.as_chunks_mut::<2>().0) {
            let bits = cell.load(Ordering::Relaxed);
            *pair = [f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)];
        }
    }

    pub(super) fn store(&self, row: usize, from: &[f32]) {
        for (cell, [low, high]) in self.cells_of(row).iter().zip(from.as_chunks::<2>().0) {
            let bits = u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32;
            cell.store(bits, Ordering::Relaxed);
        }
    }

    fn cells_of(&self, row: usize) -> &[AtomicU64] {
        let length = self.width / 2;
        &self.cells[row * length..(row + 1) * length]
    }

    /// The values of all rows, without the padding.
    pub(super) fn into_values(self, dimension: usize) -> Vec<f32> {
        let rows = self.cells.len() / (self.width / 2);
        let mut values = Vec::with_capacity(rows * dimension);
        let mut row = self.row();
        for index in 0..rows {
            self.load(index, &mut row);
            values.extend_from_slice(&row[..dimension]);
        }
        values
    }
}

/// The dot product of padded rows, summed per lane in an order that does not depend on the machine.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let (low, high) = sums.split_at(LANES / 2);
    low.iter().zip(high).map(|(low, high)| low + high).sum()
}

/// Updates the gradient of the input and the output vector of a pair:
/// `gradient += step · output`, and then `output += step · input`.
pub(super) fn approach(gradient: &mut [f32], output: &mut [f32], input: &[f32], step: f32) {
    for ((gradient, output), input) in gradient.iter_mut().zip(output).zip(input) {
        *gradient += step * *output;
        *output += step * input;
    }
}

/// `to += from`.
pub(super) fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_rows_are_loaded_unchanged() {
        for dimension in [1, 7, 8, 9, 32] {
            let mut next = 0.0;
            let fill = || {
                next += 1.5;
                next
            };
            let shared = Shared::new(3, dimension, fill);
            let mut row = shared.row();
            shared.load(1, &mut row);
            let expected: Vec<f32> =
                (dimension..2 * dimension).map(|n| 1.5 * (n + 1) as f32).collect();
            assert_eq!(row[..dimension], expected);
            assert!(row[dimension..].iter().all(|&padding| padding == 0.0));
            row[0] = -7.0;
            shared.store(2, &row);
            let values = shared.into_values(dimension);
            assert_eq!(values.len(), 3 * dimension);
            assert_eq!(values[2 * dimension].to_bits(), (-7.0_f32).to_bits());
        }
    }

    #[test]
    fn operations_equal_manual_results() {
        let a: Vec<f32> = (1..=16_u8).map(f32::from).collect();
        let mut b = vec![0.5; 16];
        assert_eq!(dot(&a, &b).to_bits(), 68.0_f32.to_bits());
        let mut gradient = vec![1.0; 16];
        approach(&mut gradient, &mut b, &a, 2.0);
        assert_eq!(gradient, [2.0; 16]);
        assert_eq!((b[0].to_bits(), b[15].to_bits()), (2.5_f32.to_bits(), 32.5_f32.to_bits()));
        add(&mut b, &gradient);
        assert_eq!(b[15].to_bits(), 34.5_f32.to_bits());
    }
}
