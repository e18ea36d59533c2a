use std::ops::Range;

use plotters::coord::ranged1d::{
    BoldPoints, KeyPointHint, KeyPointWeight, NoDefaultFormatting, Ranged, ValueFormatter,
};
use plotters::coord::types::RangedCoordf64;

/// An axis of a chart. Its range follows the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What the values are.
    pub label: String,
    /// How values are placed.
    pub scale: Scale,
}

impl Axis {
    /// An axis of this scale.
    pub fn new(label: &str, scale: Scale) -> Self {
        Self { label: label.to_owned(), scale }
    }
}

/// How values are placed on an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    /// In proportion.
    Linear,
    /// In proportion, with ticks at whole numbers.
    Whole,
    /// By their logarithms. Values are greater than 0.
    Logarithmic,
    /// The value i is the i-th category, from 0.
    Categories(Vec<String>),
}

/// An axis with its range and its ticks.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
    categories: Vec<String>,
}

/// The magnitude up to which differences are exact enough and finite.
const LARGEST: f64 = 1e100;

/// Whether a value has a place on axes.
fn drawable(value: f64) -> bool {
    value.abs() < LARGEST
}

impl Placed {
    /// An axis that contains all values, with about `count` ticks. Values that are not
    /// [`drawable`] are ignored.
    pub(crate) fn new(scale: &Scale, values: impl Iterator<Item = f64>, count: usize) -> Self {
        let logarithmic = *scale == Scale::Logarithmic;
        let usable = |value: &f64| drawable(*value) && (!logarithmic || *value > 1.0 / LARGEST);
        let range = values.filter(usable).fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        });
        let (mut low, mut high) = range.unwrap_or((1.0, 10.0));
        let mut categories = Vec::new();
        match scale {
            Scale::Categories(names) => {
                categories.clone_from(names);
                (low, high) = (-0.5, names.len().max(1) as f64 - 0.5);
            }
            Scale::Logarithmic => {
                let margin = if low == high { 2.0 } else { (high / low).powf(0.05) };
                (low, high) = (low / margin, high * margin);
            }
            Scale::Linear | Scale::Whole => {
                let magnitude = low.abs().max(high.abs()).max(1e-9);
                let margin = ((high - low) * 0.05).max(magnitude * 1e-3);
                (low, high) = (low - margin, high + margin);
            }
        }
        let ticks = match scale {
            Scale::Categories(names) => (0..names.len()).map(|index| index as f64).collect(),
            Scale::Logarithmic => logarithmic_ticks(low, high),
            Scale::Linear => linear_ticks(low, high, count),
            Scale::Whole => {
                let ticks = linear_ticks(low, high, count);
                let whole = |tick: &f64| (tick - tick.round()).abs() < 1e-6;
                ticks.into_iter().filter(whole).map(f64::round).collect()
            }
        };
        Self { low, high, logarithmic, ticks, categories }
    }

    /// An axis without ticks.
    pub(crate) fn plain(low: f64, high: f64) -> Self {
        Self { low, high, logarithmic: false, ticks: Vec::new(), categories: Vec::new() }
    }

    /// The same axis from this value on.
    pub(crate) fn starting_at(self, low: f64) -> Self {
        let ticks = self.ticks.into_iter().filter(|tick| *tick >= low).collect();
        Self { low, ticks, ..self }
    }

    pub(crate) const fn low(&self) -> f64 {
        self.low
    }

    pub(crate) const fn high(&self) -> f64 {
        self.high
    }

    /// Whether the axis can place a value.
    pub(crate) fn contains(&self, value: f64) -> bool {
        drawable(value) && (self.low..=self.high).contains(&value)
    }

    /// The texts of the ticks.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.ticks.iter().map(|&tick| self.text(tick)).collect()
    }

    /// The text of a tick.
    pub(crate) fn text(&self, tick: f64) -> String {
        if let Some(name) = self.categories.get(tick as usize) {
            return name.clone();
        }
        if self.logarithmic {
            return short(tick);
        }
        let step =
            self.ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
        let decimals =
            if step.is_finite() { (-step.log10() - 1e-9).ceil().clamp(0.0, 9.0) } else { 3.0 };
        let text = format!("{tick:.*}", decimals as usize);
        // Ticks are sums of steps, and zero may be negative by rounding.
        if text.trim_start_matches(['-', '0', '.']).is_empty() { "0".to_owned() } else { text }
    }
}

fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    RangedCoordf64::from(low..high).key_points(BoldPoints(count))
}

/// Powers of ten; with twice and five times these, if there are fewer than three.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let ticks = |factors: &[f64]| -> Vec<f64> {
        let all =
            decades.clone().flat_map(|power| factors.iter().map(move |f| f * 10_f64.powi(power)));
        all.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let powers = ticks(&[1.0]);
    let ticks = if powers.len() < 3 { ticks(&[1.0, 2.0, 5.0]) } else { powers };
    // At most six fit.
    let step = ticks.len().div_ceil(6).max(1);
    ticks.into_iter().step_by(step).collect()
}

/// A number with few digits.
fn short(value: f64) -> String {
    if (0.0001..100_000.0).contains(&value) {
        let decimals = (-value.log10()).ceil().clamp(0.0, 5.0) as usize;
        return format!("{value:.decimals$}");
    }
    format!("{value:.0e}")
}

impl Ranged for Placed {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        let part = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        start + (f64::from(end - start) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight() {
            KeyPointWeight::Bold => self.ticks.clone(),
            KeyPointWeight::Any => Vec::new(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Placed {
    fn format_ext(&self, value: &f64) -> String {
        self.text(*value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(scale: &Scale, values: &[f64]) -> Vec<String> {
        Placed::new(scale, values.iter().copied(), 5).texts()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(texts(&Scale::Linear, &[0.21, 0.42]), ["0.20", "0.25", "0.30", "0.35", "0.40"]);
        assert_eq!(texts(&Scale::Linear, &[-0.1, 0.1]), ["-0.10", "-0.05", "0", "0.05", "0.10"]);
        assert_eq!(texts(&Scale::Whole, &[0.0, 3.0]), ["0", "1", "2", "3"]);
        assert_eq!(texts(&Scale::Logarithmic, &[0.001, 20.0]), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(texts(&Scale::Logarithmic, &[20.0, 90.0]), ["20", "50"]);
        let names = Scale::Categories(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(texts(&names, &[]), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn every_finite_value_is_within_the_axis(
            values in prop::collection::vec(prop_oneof![-1e12..1e12_f64, Just(f64::NAN), Just(0.0)], 0..8),
            logarithmic: bool,
        ) {
            let scale = if logarithmic { Scale::Logarithmic } else { Scale::Linear };
            let axis = Placed::new(&scale, values.iter().copied(), 5);
            prop_assert!(axis.low() < axis.high());
            prop_assert!(axis.ticks.len() < 20, "{:?}", axis.ticks);
            for value in values.into_iter().filter(|value| value.is_finite()) {
                if logarithmic && value <= 0.0 {
                    continue;
                }
                prop_assert!(axis.contains(value));
                prop_assert!((0..=1000).contains(&axis.map(&value, (0, 1000))));
            }
        }
    }
}
