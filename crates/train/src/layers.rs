//! The layers of a network in training: forward and backward pass, Adam.
//!
//! Gradients are written by hand. The networks have a few hundred weights and two embeddings: a framework would spend most
//! of its time on overhead between operations on matrices of 10 by 10, and update whole embedding tables although a
//! batch uses a few hundred rows.
//!
//! [`LANES`] samples are processed side by side, so that the compiler vectorises the code for any layer size.

use sparrow_neural::Factors;
use sparrow_random::Random;

/// The logistic function.
pub(super) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Number of samples that are processed side by side.
pub(super) const LANES: usize = 16;

/// A value of each of [`LANES`] samples.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Lanes {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    /// Adds `factor * other`.
    pub(super) fn add_scaled(&mut self, factor: f32, other: &Self) {
        for (sum, &other) in self.0.iter_mut().zip(&other.0) {
            *sum += factor * other;
        }
    }

    /// Adds `left * right`, lane by lane.
    pub(super) fn add_product(&mut self, left: &Self, right: &Self) {
        for ((sum, &left), &right) in self.0.iter_mut().zip(&left.0).zip(&right.0) {
            *sum += left * right;
        }
    }

    pub(super) fn sum(&self) -> f32 {
        self.0.iter().sum()
    }
}

/// The optimiser Adam (Kingma and Ba 2015).
#[derive(Debug, Clone, Copy)]
pub(super) struct Adam {
    pub(super) rate: f32,
}

impl Adam {
    const MEAN: f32 = 0.9;
    const SQUARE: f32 = 0.999;
    const EPSILON: f32 = 1e-7;

    /// The rate of the `step`-th update, counted from 1, with the correction for moments that
    /// start from zero.
    pub(super) fn corrected(self, step: u32) -> f32 {
        let step = step.min(1_000_000).cast_signed();
        self.rate * (1.0 - Self::SQUARE.powi(step)).sqrt() / (1.0 - Self::MEAN.powi(step))
    }

    /// Applies `missed` updates without a gradient, of which the last one is the `step`-th.
    ///
    /// Each of them shrinks the moments and changes the value by their ratio, which shrinks by a constant factor. The bias
    /// correction hardly changes in the meantime: that of the tenth update, after half of the change, is used for all.
    fn fade(self, values: &mut [f32], moments: &mut [[f32; 2]], missed: u32, step: u32) {
        let missed = missed.min(1_000_000).cast_signed();
        let ratio = Self::MEAN / Self::SQUARE.sqrt();
        let steps = ratio * (1.0 - ratio.powi(missed)) / (1.0 - ratio);
        let rate = self.corrected(step.min(step.saturating_sub(missed as u32) + 10)) * steps;
        let (of_mean, of_square) = (Self::MEAN.powi(missed), Self::SQUARE.powi(missed));
        for (value, [mean, square]) in values.iter_mut().zip(moments) {
            *value -= rate * *mean / (square.sqrt() + Self::EPSILON);
            *mean *= of_mean;
            *square *= of_square;
        }
    }

    pub(super) fn update(value: &mut f32, moments: &mut [f32; 2], gradient: f32, rate: f32) {
        let [mean, square] = moments;
        *mean += (1.0 - Self::MEAN) * (gradient - *mean);
        *square += (1.0 - Self::SQUARE) * (gradient * gradient - *square);
        *value -= rate * *mean / (square.sqrt() + Self::EPSILON);
    }
}

/// A fully connected layer in training.
#[derive(Debug, Clone)]
pub(super) struct Dense {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// A row per input with a column per output, then the biases.
    pub(super) values: Vec<f32>,
    moments: Vec<[f32; 2]>,
    /// The gradients of the batch, summed over the lanes at its end.
    gradients: Vec<Lanes>,
}

impl Dense {
    /// Initialises weights as Glorot and Bengio (2010); biases are zero.
    pub(super) fn new(inputs: usize, outputs: usize, random: &mut Random) -> Self {
        let limit = (6.0 / (inputs + outputs) as f64).sqrt();
        let weights = (0..inputs * outputs).map(|_| random.between(-limit, limit) as f32);
        let values: Vec<f32> = weights.chain(std::iter::repeat_n(0.0, outputs)).collect();
        let moments = vec![[0.0; 2]; values.len()];
        let gradients = vec![Lanes::ZERO; values.len()];
        Self { inputs, outputs, values, moments, gradients }
    }

    pub(super) fn weight(&self) -> &[f32] {
        &self.values[..self.inputs * self.outputs]
    }

    pub(super) fn bias(&self) -> &[f32] {
        &self.values[self.inputs * self.outputs..]
    }

    /// Computes the outputs before the activation.
    pub(super) fn forward(&self, inputs: &[Lanes], sums: &mut [Lanes]) {
        for (output, (sum, &bias)) in sums.iter_mut().zip(self.bias()).enumerate() {
            let mut total = Lanes([bias; LANES]);
            for (input, lanes) in inputs.iter().enumerate() {
                total.add_scaled(self.values[input * self.outputs + output], lanes);
            }
            *sum = total;
        }
    }

    /// Adds to the gradients of the layer and computes those of its inputs from those of its outputs.
    pub(super) fn backward(
        &mut self,
        inputs: &[Lanes],
        of_sums: &[Lanes],
        of_inputs: &mut [Lanes],
    ) {
        let (of_weights, of_biases) = self.gradients.split_at_mut(self.inputs * self.outputs);
        let weights = self.values.chunks_exact(self.outputs);
        let rows = of_weights.chunks_exact_mut(self.outputs).zip(weights);
        for ((lanes, (of_row, row)), of_input) in inputs.iter().zip(rows).zip(of_inputs) {
            let mut total = Lanes::ZERO;
            for ((of_weight, &weight), of_sum) in of_row.iter_mut().zip(row).zip(of_sums) {
                total.add_scaled(weight, of_sum);
                of_weight.add_product(lanes, of_sum);
            }
            *of_input = total;
        }
        for (of_bias, of_sum) in of_biases.iter_mut().zip(of_sums) {
            of_bias.add_scaled(1.0, of_sum);
        }
    }

    /// Ends a batch: `scale` turns the sum of the gradients into their mean, `decay` is the L2 regularization.
    pub(super) fn step(&mut self, adam: Adam, step: u32, scale: f32, decay: f32) {
        let rate = adam.corrected(step);
        let weights = self.inputs * self.outputs;
        let parts = self.values.iter_mut().zip(&mut self.moments).zip(&mut self.gradients);
        for (index, ((value, moments), gradient)) in parts.enumerate() {
            let decay = if index < weights { decay * *value } else { 0.0 };
            Adam::update(value, moments, gradient.sum() * scale + decay, rate);
            *gradient = Lanes::ZERO;
        }
    }

    /// The gradient of one value in the batch so far.
    #[cfg(test)]
    pub(super) fn gradient(&self, index: usize) -> f32 {
        self.gradients[index].sum()
    }
}

/// Layers with ReLU activations and dropout.
#[derive(Debug, Clone)]
pub(super) struct Mlp {
    pub(super) layers: Vec<Dense>,
    /// The inputs of each layer, and the outputs of the last one.
    values: Vec<Vec<Lanes>>,
    /// The dropout factors of each output.
    kept: Vec<Vec<Lanes>>,
    /// The gradients of `values`.
    gradients: Vec<Vec<Lanes>>,
}

impl Mlp {
    pub(super) fn new(inputs: usize, widths: &[usize], random: &mut Random) -> Self {
        let all: Vec<usize> = std::iter::once(inputs).chain(widths.iter().copied()).collect();
        let layers = all.windows(2).map(|pair| Dense::new(pair[0], pair[1], random)).collect();
        let lanes: Vec<Vec<Lanes>> = all.iter().map(|&width| vec![Lanes::ZERO; width]).collect();
        let kept = lanes[1..].to_vec();
        Self { layers, values: lanes.clone(), kept, gradients: lanes }
    }

    /// The input buffer.
    pub(super) fn input(&mut self) -> &mut [Lanes] {
        &mut self.values[0]
    }

    /// The outputs of the last layer.
    pub(super) fn output(&self) -> &[Lanes] {
        &self.values[self.layers.len()]
    }

    /// The outputs, and the buffer of their gradients.
    pub(super) fn ends(&mut self) -> (&[Lanes], &mut [Lanes]) {
        let last = self.layers.len();
        (&self.values[last], &mut self.gradients[last])
    }

    /// The gradients of the inputs.
    pub(super) fn input_gradients(&self) -> &[Lanes] {
        &self.gradients[0]
    }

    /// The forward pass. `dropout` is the dropout rate in training.
    pub(super) fn forward(&mut self, dropout: Option<(f64, &mut Random)>) {
        let mut dropout = dropout.filter(|(part, _)| *part > 0.0);
        for (index, layer) in self.layers.iter().enumerate() {
            let (before, after) = self.values.split_at_mut(index + 1);
            let outputs = &mut after[0];
            layer.forward(&before[index], outputs);
            for lanes in outputs.iter_mut() {
                for lane in &mut lanes.0 {
                    *lane = lane.max(0.0);
                }
            }
            if let Some((part, random)) = &mut dropout {
                let scale = (1.0 / (1.0 - *part)) as f32;
                for (lanes, kept) in outputs.iter_mut().zip(&mut self.kept[index]) {
                    for (lane, kept) in lanes.0.iter_mut().zip(&mut kept.0) {
                        *kept = if random.chance(*part) { 0.0 } else { scale };
                        *lane *= *kept;
                    }
                }
            }
        }
    }

    /// The backward pass. Adds to the gradients of the layers.
    pub(super) fn backward(&mut self, dropout: bool) {
        for (index, layer) in self.layers.iter_mut().enumerate().rev() {
            let (before, after) = self.gradients.split_at_mut(index + 1);
            let of_outputs = &mut after[0];
            for (of_output, output) in of_outputs.iter_mut().zip(&self.values[index + 1]) {
                for (of_output, &output) in of_output.0.iter_mut().zip(&output.0) {
                    // The gradient of inactive and dropped outputs is zero.
                    *of_output = if output > 0.0 { *of_output } else { 0.0 };
                }
            }
            if dropout {
                for (of_output, kept) in of_outputs.iter_mut().zip(&self.kept[index]) {
                    for (of_output, &kept) in of_output.0.iter_mut().zip(&kept.0) {
                        *of_output *= kept;
                    }
                }
            }
            layer.backward(&self.values[index], of_outputs, &mut before[index]);
        }
    }
}

/// A table of embeddings in training.
///
/// Only the rows of a batch are updated, with the same result as Adam over the whole table: the updates of a row by the
/// decaying momentum in batches without it are a geometric series, which is added before the next use of the row. For
/// rows with few samples these updates are the greater part.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) dimension: usize,
    pub(super) values: Vec<f32>,
    moments: Vec<[f32; 2]>,
    gradients: Vec<f32>,
    /// The last batch whose updates each row includes.
    settled: Vec<u32>,
    /// The number of samples of the batch with each row.
    uses: Vec<u32>,
    touched: Vec<u32>,
}

impl Table {
    /// Initialises rows with small random values.
    pub(super) fn new(rows: usize, dimension: usize, random: &mut Random) -> Self {
        let len = rows * dimension;
        Self {
            dimension,
            values: (0..len).map(|_| random.between(-0.05, 0.05) as f32).collect(),
            moments: vec![[0.0; 2]; len],
            gradients: vec![0.0; len],
            settled: vec![0; rows],
            uses: vec![0; rows],
            touched: Vec::new(),
        }
    }

    /// Sets the first component of each row.
    pub(super) fn set_first(&mut self, values: &[f64]) {
        for (row, &value) in self.values.chunks_exact_mut(self.dimension).zip(values) {
            row[0] = value as f32;
        }
    }

    /// Sets the leading components of all rows.
    pub(super) fn set_rows(&mut self, unknown: &[f32], known: &Factors) {
        let mut rows = self.values.chunks_exact_mut(self.dimension);
        assert_eq!(rows.len(), known.len() + 1);
        if let Some(row) = rows.next() {
            row[..unknown.len()].copy_from_slice(unknown);
        }
        for (index, row) in rows.enumerate() {
            let values = known.row(index);
            row[..values.len()].copy_from_slice(&values);
        }
    }

    pub(super) fn row(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.dimension..][..self.dimension]
    }

    /// Copies the rows of samples into lanes.
    pub(super) fn gather(&self, rows: &[u32], to: &mut [Lanes]) {
        for (lane, &row) in rows.iter().enumerate() {
            for (lanes, &value) in to.iter_mut().zip(self.row(row)) {
                lanes.0[lane] = value;
            }
        }
    }

    /// Adds to the gradients of rows.
    pub(super) fn backward(&mut self, rows: &[u32], gradients: &[Lanes]) {
        for (lane, &row) in rows.iter().enumerate() {
            if self.uses[row as usize] == 0 {
                self.touched.push(row);
            }
            self.uses[row as usize] += 1;
            let of_row = &mut self.gradients[row as usize * self.dimension..][..self.dimension];
            for (of_value, lanes) in of_row.iter_mut().zip(gradients) {
                *of_value += lanes.0[lane];
            }
        }
    }

    /// Applies the pending updates of rows up to batch `step`.
    pub(super) fn settle(&mut self, rows: impl IntoIterator<Item = u32>, adam: Adam, step: u32) {
        for row in rows {
            let row = row as usize;
            let missed = step.saturating_sub(self.settled[row]);
            self.settled[row] = step;
            if missed > 0 {
                let range = row * self.dimension..(row + 1) * self.dimension;
                let values = &mut self.values[range.clone()];
                adam.fade(values, &mut self.moments[range], missed, step);
            }
        }
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> u32 {
        self.settled.len() as u32
    }

    /// Ends batch `step`, whose rows include the updates of the batch before it. `decay` is the L2 regularization per
    /// sample of a row.
    pub(super) fn step(&mut self, adam: Adam, step: u32, scale: f32, decay: f32) {
        let rate = adam.corrected(step);
        for row in self.touched.drain(..) {
            let row = row as usize;
            self.settled[row] = step;
            let decay = decay * self.uses[row] as f32;
            self.uses[row] = 0;
            let range = row * self.dimension..(row + 1) * self.dimension;
            let values = self.values[range.clone()].iter_mut();
            let moments = self.moments[range.clone()].iter_mut();
            for ((value, moments), gradient) in values.zip(moments).zip(&mut self.gradients[range])
            {
                Adam::update(value, moments, (*gradient + decay * *value) * scale, rate);
                *gradient = 0.0;
            }
        }
    }

    /// The gradient of one value in the batch so far.
    #[cfg(test)]
    pub(super) fn gradient(&self, index: usize) -> f32 {
        self.gradients[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference is Adam with zero gradients in between.
    #[test]
    fn sparse_updates_equal_adam_over_the_whole_table() {
        let adam = Adam { rate: 0.01 };
        let mut table = Table::new(2, 1, &mut Random::new(1, 1));
        let start = table.values[1];
        let (mut dense, mut moments) = (start, [0.0; 2]);
        for step in 1..=60 {
            let gradient = match step {
                3 => 0.5,
                4 => 0.25,
                31 => 0.75,
                _ => 0.0,
            };
            Adam::update(&mut dense, &mut moments, gradient, adam.corrected(step));
            if gradient != 0.0 {
                table.settle([1], adam, step - 1);
                let mut lanes = Lanes::ZERO;
                lanes.0[0] = gradient;
                table.backward(&[1], &[lanes]);
                table.step(adam, step, 1.0, 0.0);
            }
        }
        table.settle(0..2, adam, 60);
        let (moved, expected) = (table.values[1] - start, dense - start);
        assert!(expected.abs() > 0.02, "{expected}");
        assert!((moved - expected).abs() < 0.05 * expected.abs(), "{moved} {expected}");
    }
}
