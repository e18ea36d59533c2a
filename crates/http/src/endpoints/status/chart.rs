//! Charts of the last hour as inline SVG. The labels are HTML, so that they keep their size on narrow screens; the
//! drawing stretches.

use std::fmt::Write as _;

use super::html::escape;

/// The size of the drawing in units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// Seconds from the left edge to the right one, with the labels of the time axis: the first one that contains all values.
const SPANS: [(f64, [&str; 2]); 3] = [
    (600.0, ["10 min ago", "5 min"]),
    (1800.0, ["30 min ago", "15 min"]),
    (f64::INFINITY, ["an hour ago", "30 min"]),
];
const HOUR: f64 = 3600.0;

/// A chart: lines, or bars that are stacked.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// What it shows, in numbers, for those who do not see it.
    pub(super) summary: String,
    pub(super) scale: Scale,
    pub(super) series: &'a [Series],
    pub(super) bars: bool,
    /// The text of a value on the axis.
    pub(super) label: fn(f64) -> String,
}

/// Values by their age in seconds, newest last; `None` breaks a line.
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) values: Vec<(f64, Option<f64>)>,
}

/// The values from the bottom to the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Scale {
    /// From 0.
    Linear(f64),
    /// Powers of ten.
    Decades(i32, i32),
}

impl Scale {
    /// With a round greatest value, which is at least `least`.
    pub(super) fn linear(values: impl Iterator<Item = f64>, least: f64) -> Self {
        let most = values.fold(least, f64::max);
        let unit = 10_f64.powf(most.log10().floor());
        let step = [1.0, 2.0, 4.0, 6.0, 8.0].into_iter().find(|step| step * unit >= most);
        Self::Linear(step.unwrap_or(10.0) * unit)
    }

    /// All decades with values, at least one.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let range = values.filter(|value| *value > 0.0).map(f64::log10);
        let range = range.fold(None, |range: Option<(f64, f64)>, value| {
            Some(range.map_or((value, value), |(least, most)| (least.min(value), most.max(value))))
        });
        let (least, most) = range.unwrap_or((-3.0, -2.0));
        let bottom = least.floor() as i32;
        Self::Decades(bottom, (most.ceil() as i32).max(bottom + 1))
    }

    /// The part of the height.
    fn at(self, value: f64) -> f64 {
        let part = match self {
            Self::Linear(most) => value / most,
            Self::Decades(bottom, top) => {
                (value.max(f64::MIN_POSITIVE).log10() - f64::from(bottom)) / f64::from(top - bottom)
            }
        };
        part.clamp(0.0, 1.0)
    }

    /// The values with lines, equally spaced, from the top.
    fn ticks(self) -> Vec<f64> {
        match self {
            Self::Linear(most) => vec![most, most / 2.0, 0.0],
            Self::Decades(bottom, top) => {
                (bottom..=top).rev().map(|power| 10_f64.powi(power)).collect()
            }
        }
    }
}

impl Chart<'_> {
    fn span(&self) -> (f64, [&'static str; 2]) {
        let ages = self.series.iter().filter_map(|series| series.values.first());
        let oldest = ages.map(|(age, _)| *age).fold(0.0, f64::max);
        let [short, middle, whole] = SPANS;
        let (span, labels) = if oldest <= short.0 {
            short
        } else if oldest <= middle.0 {
            middle
        } else {
            whole
        };
        (span.min(HOUR), labels)
    }

    fn x_of(&self, age: f64) -> f64 {
        WIDTH * (1.0 - age / self.span().0).clamp(0.0, 1.0)
    }

    /// Writes the chart as a figure.
    pub(super) fn write(&self, out: &mut String) {
        let title = escape(self.title);
        let _ = write!(
            out,
            "<figure class=\"chart\"><figcaption><h3>{title}</h3><ul class=\"keys\" role=\"list\">"
        );
        if self.series.len() > 1 {
            for (index, series) in self.series.iter().enumerate() {
                let _ = write!(
                    out,
                    "<li><svg class=\"keys__key\" viewBox=\"0 0 28 10\" aria-hidden=\"true\" focusable=\"false\">"
                );
                if self.bars {
                    let _ = write!(
                        out,
                        "<rect class=\"bar bar--{index}\" x=\"8\" y=\"1\" width=\"12\" height=\"8\"/>"
                    );
                } else {
                    let _ = write!(out, "<path class=\"line line--{index}\" d=\"M0 5H28\"/>");
                }
                let _ = write!(out, "</svg>{}</li>", escape(series.name));
            }
        }
        out.push_str("</ul></figcaption><div class=\"chart__plot\"><div class=\"chart__scale\" aria-hidden=\"true\">");
        let ticks = self.scale.ticks();
        for tick in &ticks {
            let _ = write!(out, "<span>{}</span>", escape(&(self.label)(*tick)));
        }
        let label = escape(&self.summary);
        let _ = write!(
            out,
            "</div><svg class=\"chart__drawing\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{label}\">"
        );
        for index in 0..ticks.len() {
            let y = HEIGHT * index as f64 / (ticks.len() - 1) as f64;
            let _ = write!(out, "<path class=\"grid\" d=\"M0 {y:.1}H{WIDTH}\"/>");
        }
        if self.bars {
            self.write_bars(out);
        } else {
            self.write_lines(out);
        }
        let (_, [left, middle]) = self.span();
        let _ = write!(
            out,
            "</svg></div><p class=\"chart__time quiet small\" aria-hidden=\"true\"><span>{left}</span><span>{middle}</span><span>now</span></p></figure>"
        );
    }

    fn write_lines(&self, out: &mut String) {
        for (index, series) in self.series.iter().enumerate() {
            let mut path = String::new();
            let mut is_drawing = false;
            for (at, (age, value)) in series.values.iter().enumerate() {
                let Some(value) = value else {
                    is_drawing = false;
                    continue;
                };
                let y = HEIGHT * (1.0 - self.scale.at(*value));
                let command = if is_drawing { 'L' } else { 'M' };
                let _ = write!(path, "{command}{:.1} {y:.1}", self.x_of(*age));
                let next = series.values.get(at + 1).and_then(|(_, value)| *value);
                if !is_drawing && next.is_none() {
                    // A single value is a short line.
                    path.push_str("h3");
                }
                is_drawing = true;
            }
            let _ = write!(out, "<path class=\"line line--{index}\" d=\"{path}\"/>");
        }
    }

    fn write_bars(&self, out: &mut String) {
        let points = self.series.first().map_or(0, |series| series.values.len());
        for point in 0..points {
            let mut base = 0.0;
            for (index, series) in self.series.iter().enumerate() {
                let Some(&(age, Some(value))) = series.values.get(point) else { continue };
                if value <= 0.0 {
                    continue;
                }
                let (bottom, top) = (self.scale.at(base), self.scale.at(base + value));
                base += value;
                // A bar is at least visible.
                let height = ((top - bottom) * HEIGHT).max(1.5);
                let y = (HEIGHT * (1.0 - bottom) - height).max(0.0);
                let x = (self.x_of(age) - 2.0).clamp(0.0, WIDTH - 4.0);
                let _ = write!(
                    out,
                    "<rect class=\"bar bar--{index}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"4\" height=\"{height:.1}\"/>"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_round_ends_and_contain_their_values() {
        assert_eq!(Scale::linear([3.0, 37.0].into_iter(), 1.0), Scale::Linear(40.0));
        assert_eq!(Scale::linear([].into_iter(), 1.0), Scale::Linear(1.0));
        assert_eq!(Scale::linear([900.0].into_iter(), 1.0), Scale::Linear(1000.0));
        assert_eq!(Scale::decades([0.0003, 0.02].into_iter()), Scale::Decades(-4, -1));
        assert_eq!(Scale::decades([0.001].into_iter()), Scale::Decades(-3, -2));
        assert_eq!(Scale::decades([].into_iter()), Scale::Decades(-3, -2));
        assert_eq!(Scale::Decades(-4, -2).at(0.001), 0.5);
        assert_eq!((Scale::Linear(10.0).at(20.0), Scale::Decades(-4, -2).at(0.0)), (1.0, 0.0));
    }

    #[test]
    fn lines_break_where_there_is_no_value_and_texts_are_escaped() {
        let values =
            vec![(3600.0, Some(1.0)), (2400.0, Some(2.0)), (1200.0, None), (0.0, Some(0.0))];
        let mut out = String::new();
        Chart {
            title: "A & B",
            summary: "\"now\" <1".to_owned(),
            scale: Scale::Linear(2.0),
            series: &[Series { name: "a", values }],
            bars: false,
            label: |value| value.to_string(),
        }
        .write(&mut out);
        assert!(out.contains("d=\"M0.0 60.0L200.0 0.0M600.0 120.0h3\""), "{out}");
        assert!(out.contains("A &amp; B") && out.contains("&quot;now&quot; &lt;1"), "{out}");
    }

    #[test]
    fn bars_are_stacked() {
        let series = |name, value| Series { name, values: vec![(300.0, Some(value))] };
        let mut out = String::new();
        Chart {
            title: "",
            summary: String::new(),
            scale: Scale::Linear(4.0),
            series: &[series("a", 1.0), series("none", 0.0), series("b", 2.0)],
            bars: true,
            label: |value| value.to_string(),
        }
        .write(&mut out);
        for bar in [
            "bar--0\" x=\"298.0\" y=\"90.0\" width=\"4\" height=\"30.0\"",
            "bar--2\" x=\"298.0\" y=\"30.0\" width=\"4\" height=\"60.0\"",
        ] {
            assert!(out.contains(bar), "{out}");
        }
        assert!(!out.contains("bar--1\" x=\"298"), "{out}");
    }
}
