//! A matrix that several threads update without waiting for each other.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many numbers are computed with at a time; rows are padded to a multiple with zeros.
pub(super) const LANES: usize = 8;

/// Part of a row, as the processor computes with it.
pub(super) type Block = [f32; LANES];

/// Rows of numbers. A thread copies a row, computes with the copy, and writes it back; what another
/// thread wrote meanwhile is lost, which stochastic gradient descent bears well (Niu et al. 2011).
///
/// Two numbers share an atomic cell: that halves the number of memory operations, which the
/// compiler does not merge.
#[derive(Debug)]
pub(super) struct Shared {
    cells: Vec<AtomicU64>,
    blocks: usize,
}

impl Shared {
    /// `fill` gives the numbers, row after row, without the padding.
    pub(super) fn new(rows: usize, dimension: usize, mut fill: impl FnMut() -> f32) -> Self {
        let blocks = dimension.div_ceil(LANES);
        let shared = Self {
            cells: (0..rows * blocks * LANES / 2).map(|_| AtomicU64::new(0)).collect(),
            blocks,
        };
        let mut row = shared.row();
        for index in 0..rows {
            for value in row.as_flattened_mut().iter_mut().take(dimension) {
                *value = fill();
            }
            shared.store(index, &row);
        }
        shared
    }

    /// Room for a copy of a row.
    pub(super) fn row(&self) -> Vec<Block> {
        vec![[0.0; LANES]; self.blocks]
    }

    pub(super) fn load(&self, row: usize, into: &mut [Block]) {
        for (cells, block) in self.cells_of(row).as_chunks::<{ LANES / 2 }>().0.iter().zip(into) {
            let mut bits = [0; LANES / 2];
            for (bits, cell) in bits.iter_mut().zip(cells) {
                *bits = cell.load(Ordering::Relaxed);
            }
            for (pair, bits) in block.as_chunks_mut::<2>().0.iter_mut().zip(bits) {
                *pair = [f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)];
            }
        }
    }

    pub(super) fn store(&self, row: usize, from: &[Block]) {
        for (cells, block) in self.cells_of(row).as_chunks::<{ LANES / 2 }>().0.iter().zip(from) {
            for (cell, [low, high]) in cells.iter().zip(block.as_chunks::<2>().0) {
                let bits = u64::from(low.to_bits()) | u64::from(high.to_bits()) << 32;
                cell.store(bits, Ordering::Relaxed);
            }
        }
    }

    fn cells_of(&self, row: usize) -> &[AtomicU64] {
        let length = self.blocks * LANES / 2;
        &self.cells[row * length..(row + 1) * length]
    }

    /// All rows, one after the other, without the padding.
    pub(super) fn into_values(self, dimension: usize) -> Vec<f32> {
        let rows = self.cells.len() / (self.blocks * LANES / 2).max(1);
        let mut values = Vec::with_capacity(rows * dimension);
        let mut row = self.row();
        for index in 0..rows {
            self.load(index, &mut row);
            values.extend_from_slice(&row.as_flattened()[..dimension]);
        }
        values
    }
}

/// The dot product. Sums run per lane, in an order that does not depend on the machine.
pub(super) fn dot(a: &[Block], b: &[Block]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let (low, high) = sums.split_at(LANES / 2);
    low.iter().zip(high).map(|(low, high)| low + high).sum()
}

/// `to += scale · from`.
pub(super) fn add_scaled(to: &mut [Block], scale: f32, from: &[Block]) {
    for (to, from) in to.iter_mut().zip(from) {
        for lane in 0..LANES {
            to[lane] += scale * from[lane];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were_stored() {
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
            assert_eq!(row.as_flattened()[..dimension], expected);
            assert!(row.as_flattened()[dimension..].iter().all(|&padding| padding == 0.0));
            row[0][0] = -7.0;
            shared.store(2, &row);
            let values = shared.into_values(dimension);
            assert_eq!(values.len(), 3 * dimension);
            assert_eq!(values[2 * dimension].to_bits(), (-7.0_f32).to_bits());
        }
    }

    #[test]
    fn arithmetic() {
        let a = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [1.0; LANES]];
        let mut b = [[2.0; LANES], [0.5; LANES]];
        assert_eq!(dot(&a, &b).to_bits(), 76.0_f32.to_bits());
        add_scaled(&mut b, 2.0, &a);
        assert_eq!(b, [[4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0], [2.5; LANES]]);
    }
}
