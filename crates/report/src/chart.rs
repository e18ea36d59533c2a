use std::convert::Infallible;
use std::iter;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::style::{Color, ShapeStyle, TextStyle};
use plotters_backend::BackendCoord;
use plotters_backend::text_anchor::{HPos, Pos, VPos};

use crate::Error;
use crate::axis::{Axis, Placed, Scale};
use crate::svg::{Ink, STYLES, Svg, TEXT, UNIT, escape, shortened, width_of};

/// The most series of a chart that are told apart by marker and line pattern.
pub const MAX_SERIES: usize = STYLES;

/// A chart with its title.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The title, above the chart.
    pub title: String,
    /// A sentence below the chart; empty for none.
    pub note: String,
    /// What is drawn.
    pub plot: Plot,
}

/// The content of a chart. Values that are not finite are not drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Plot {
    /// A line for each value: its name, a marker with its interval, and the number.
    Rows {
        /// The values, from top to bottom.
        rows: Vec<Row>,
        /// The name of the axis.
        label: String,
        /// A value that is marked by a line.
        reference: Option<f64>,
    },
    /// Bars from zero.
    Bars {
        /// The values, from top to bottom.
        rows: Vec<Row>,
        /// The name of the axis.
        label: String,
    },
    /// Series over a common axis.
    Lines {
        /// The horizontal axis.
        x: Axis,
        /// The vertical axis.
        y: Axis,
        /// At most [`MAX_SERIES`].
        series: Vec<Series>,
        /// Whether the points with y = x are marked by a line.
        diagonal: bool,
    },
    /// Numbered points, with a list of the numbers.
    Points {
        /// The horizontal axis.
        x: Axis,
        /// The vertical axis.
        y: Axis,
        /// The points, whose numbers start from 1.
        points: Vec<Point>,
    },
}

/// A value with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The name.
    pub label: String,
    /// The value.
    pub value: f64,
    /// The confidence interval.
    pub interval: Option<(f64, f64)>,
}

/// Points of one colour, marker and line pattern.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The name in the legend.
    pub label: String,
    /// The points, from left to right.
    pub points: Vec<Sample>,
    /// Whether the points are joined by a line.
    pub line: bool,
    /// Whether the points are marked.
    pub markers: bool,
}

/// A point of a series: x, y and the confidence interval of y.
pub type Sample = (f64, f64, Option<(f64, f64)>);

/// A point with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The name in the list.
    pub label: String,
    /// The position.
    pub at: (f64, f64),
}

/// The width of all charts in pixels: that of a phone.
const WIDTH: i32 = 360;

/// The height of a row in pixels: its name, and below it the marker.
const ROW: i32 = 34;

/// The height of a line of a legend in pixels.
const LINE: i32 = 18;

/// The space of the names of an axis and of its ticks, in pixels.
const AXIS: i32 = 20;

type Area<'a> = DrawingArea<Svg<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<Infallible>>;

/// The SVG element of a chart, without a style sheet.
pub(crate) fn svg(chart: &Chart) -> Result<String, Error> {
    let height = height(&chart.plot);
    let mut elements = String::new();
    let size = ((WIDTH * UNIT).cast_unsigned(), (height * UNIT).cast_unsigned());
    let area = Svg { elements: &mut elements, size }.into_drawing_area();
    let drawn = match &chart.plot {
        Plot::Rows { rows, label, reference } => draw_rows(&area, rows, label, *reference),
        Plot::Bars { rows, label } => draw_bars(&area, rows, label),
        Plot::Lines { x, y, series, diagonal } => draw_lines(&area, [x, y], series, *diagonal),
        Plot::Points { x, y, points } => draw_points(&area, [x, y], points),
    };
    drop(area);
    drawn.map_err(|error| Error { chart: chart.title.clone(), message: error.to_string() })?;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"{}\">\n{elements}</svg>\n",
        escape(&chart.title)
    ))
}

/// The chart with this title in a page of [`html`](crate::html), as an SVG file of its own.
pub fn picture(page: &str, title: &str) -> Option<String> {
    let label = format!(" aria-label=\"{}\">", escape(title));
    let svg = page.split("<svg").skip(1).find(|svg| svg.contains(&label))?;
    let (start, rest) = svg.split_once('\n')?;
    let (elements, _) = rest.split_once("</svg>")?;
    // Without a width, viewers stretch it to that of their window.
    let width = WIDTH * 4 / 3;
    Some(format!("<svg width=\"{width}\"{start}\n<style>\n{STYLE}</style>\n{elements}</svg>\n"))
}

/// The style sheet of the charts.
pub(crate) const STYLE: &str = include_str!("chart.css");

fn height(plot: &Plot) -> i32 {
    match plot {
        Plot::Rows { rows, .. } | Plot::Bars { rows, .. } => {
            rows.iter().map(|_| ROW).sum::<i32>() + 2 * AXIS + 6
        }
        Plot::Lines { series, .. } => {
            let names = series.iter().map(|series| &*series.label);
            legend(names).1 + 240 + 2 * AXIS
        }
        Plot::Points { points, .. } => {
            legend(numbered(points).iter().map(|name| &**name)).1 + 260 + 2 * AXIS
        }
    }
}

/// The texts of the list of points.
fn numbered(points: &[Point]) -> Vec<String> {
    points.iter().zip(1..).map(|(point, number)| format!("{number} {}", point.label)).collect()
}

/// The places of the entries of a legend, in tenths of pixels, and its height in pixels. A legend with one entry is empty:
/// the title names it.
fn legend<'a>(names: impl Iterator<Item = &'a str>) -> (Vec<BackendCoord>, i32) {
    let mut places = Vec::new();
    let (mut x, mut y) = (0, 0);
    for name in names {
        let width = KEY + width_of(name) + 14 * UNIT;
        if x > 0 && x + width > WIDTH * UNIT {
            (x, y) = (0, y + LINE * UNIT);
        }
        places.push((x, y));
        x += width;
    }
    match places.len() {
        0 | 1 => (Vec::new(), 0),
        _ => (places, y / UNIT + LINE + 4),
    }
}

/// The width of a sample of a series in the legend, in tenths of pixels.
const KEY: i32 = 34 * UNIT;

fn text_style(ink: Ink, h: HPos, v: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", TEXT * UNIT).into();
    TextStyle { font, color: ink.to_backend_color(), pos: Pos::new(h, v) }
}

fn write(area: &Area<'_>, text: &str, at: BackendCoord, h: HPos, v: VPos) -> Drawn {
    area.draw(&Text::new(text, at, text_style(Ink::Text, h, v)))
}

fn stroke(ink: Ink) -> ShapeStyle {
    // The style sheet has the width.
    ink.stroke_width(1)
}

fn line(area: &Area<'_>, ink: Ink, points: Vec<BackendCoord>) -> Drawn {
    area.draw(&PathElement::new(points, stroke(ink)))
}

/// Draws the marker of a series.
fn mark(area: &Area<'_>, index: usize, (x, y): BackendCoord) -> Drawn {
    let ink = Ink::Mark(index);
    let polygon = |corners: &[(i32, i32)]| {
        let corners: Vec<_> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        area.draw(&Polygon::new(corners, ink.filled()))
    };
    match index % STYLES {
        0 => area.draw(&Circle::new((x, y), 40, ink.filled())),
        1 => polygon(&[(-36, -36), (36, -36), (36, 36), (-36, 36)]),
        2 => polygon(&[(-46, 36), (46, 36), (0, -44)]),
        3 => polygon(&[(0, -54), (44, 0), (0, 54), (-44, 0)]),
        4 => polygon(&[(-46, -36), (46, -36), (0, 44)]),
        // A cross.
        _ => polygon(&[
            (-15, -48),
            (15, -48),
            (15, -15),
            (48, -15),
            (48, 15),
            (15, 15),
            (15, 48),
            (-15, 48),
            (-15, 15),
            (-48, 15),
            (-48, -15),
            (-15, -15),
        ]),
    }
}

/// Draws an interval from one place to another, with ends across.
fn interval(area: &Area<'_>, index: usize, from: BackendCoord, to: BackendCoord) -> Drawn {
    let ink = Ink::Interval(index);
    line(area, ink, vec![from, to])?;
    let across = if from.1 == to.1 { (0, 35) } else { (35, 0) };
    for (x, y) in [from, to] {
        line(area, ink, vec![(x - across.0, y - across.1), (x + across.0, y + across.1)])?;
    }
    Ok(())
}

/// The width of the widest text of a tick in pixels.
fn widest_tick(axis: &Placed) -> i32 {
    axis.texts().iter().map(|text| width_of(text)).max().unwrap_or_default() / UNIT
}

type Context<'a> = ChartContext<'a, Svg<'a>, Cartesian2d<Placed, Placed>>;

/// The space around a plot, in pixels.
struct Margins {
    top: i32,
    left: i32,
    right: i32,
}

/// Draws the axes with their ticks, and the name of the horizontal one.
fn axes<'a>(
    area: &Area<'a>,
    [x, y]: [Placed; 2],
    label: &str,
    margins: &Margins,
) -> Result<Context<'a>, DrawingAreaErrorKind<Infallible>> {
    let mut builder = ChartBuilder::on(area);
    builder
        .margin_top(margins.top * UNIT)
        .margin_right(margins.right * UNIT)
        .margin_bottom(AXIS * UNIT)
        .x_label_area_size(AXIS * UNIT)
        .y_label_area_size(margins.left * UNIT);
    let mut context = builder.build_cartesian_2d(x, y)?;
    let style = text_style(Ink::Text, HPos::Center, VPos::Top);
    context
        .configure_mesh()
        .bold_line_style(stroke(Ink::Grid))
        .light_line_style(stroke(Ink::Grid))
        .axis_style(stroke(Ink::Axis))
        .label_style(style)
        .set_all_tick_mark_size(3 * UNIT)
        .draw()?;
    let (_, height) = area.dim_in_pixel();
    let left = margins.left * UNIT;
    let middle = i32::midpoint(left, (WIDTH - margins.right) * UNIT);
    let label = &shortened(label, WIDTH * UNIT);
    // Long names start at the left edge instead.
    let at = middle.max(width_of(label) / 2);
    let at = at.min((WIDTH * UNIT - width_of(label) / 2).max(width_of(label) / 2));
    write(area, label, (at, height.cast_signed() - 2 * UNIT), HPos::Center, VPos::Bottom)?;
    Ok(context)
}

/// The values of rows and the ends of their intervals.
fn values(rows: &[Row]) -> impl Iterator<Item = f64> + '_ {
    rows.iter().flat_map(|row| {
        let ends = row.interval.into_iter().flat_map(|(low, high)| [low, high]);
        ends.chain([row.value])
    })
}

/// A number with four digits behind the point, or fewer if it is large.
fn number(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude >= 1e6 => format!("{value:.2e}"),
        magnitude if magnitude >= 1000.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Draws the content of a row, with the places of numbers in it.
type DrawRow<'a> = dyn FnMut(&Row, &dyn Fn(f64) -> BackendCoord) -> Drawn + 'a;

/// Draws what rows and bars have in common. Calls `draw` with each row that has a value.
fn draw_each_row(
    area: &Area<'_>,
    rows: &[Row],
    label: &str,
    x: &Placed,
    draw: &mut DrawRow<'_>,
    guide: Option<f64>,
) -> Drawn {
    let widest = rows.iter().map(|row| width_of(&number(row.value))).max().unwrap_or_default();
    // Half of a tick's text may be left of the plot.
    let margins = Margins { top: 4, left: widest_tick(x) / 2, right: widest / UNIT + 8 };
    let low = x.low();
    let guide = guide.filter(|&guide| x.contains(guide));
    let context =
        axes(area, [x.clone(), Placed::plain(0.0, rows.len().max(1) as f64)], label, &margins)?;
    if let Some(guide) = guide {
        let ends = [0.0, rows.len() as f64].map(|y| context.backend_coord(&(guide, y)));
        line(area, Ink::Guide, ends.to_vec())?;
    }
    for (row, top) in rows.iter().zip((1..=rows.len()).rev()) {
        let (left, y) = context.backend_coord(&(low, top as f64));
        let label = shortened(&row.label, WIDTH * UNIT - left - 20);
        write(area, &label, (left + 20, y + 20), HPos::Left, VPos::Top)?;
        if !x.contains(row.value) {
            continue;
        }
        let y = y + 25 * UNIT;
        let place = |value: f64| (context.backend_coord(&(value, 0.0)).0, y);
        draw(row, &place)?;
        write(area, &number(row.value), ((WIDTH - 1) * UNIT, y), HPos::Right, VPos::Center)?;
    }
    Ok(())
}

fn draw_rows(area: &Area<'_>, rows: &[Row], label: &str, reference: Option<f64>) -> Drawn {
    let x = Placed::new(&Scale::Linear, values(rows).chain(reference), 5);
    let mut draw = |row: &Row, place: &dyn Fn(f64) -> BackendCoord| {
        let drawable = |(low, high): &(f64, f64)| x.contains(*low) && x.contains(*high);
        if let Some((low, high)) = row.interval.filter(drawable) {
            interval(area, 0, place(low), place(high))?;
        }
        mark(area, 0, place(row.value))
    };
    draw_each_row(area, rows, label, &x, &mut draw, reference)
}

fn draw_bars(area: &Area<'_>, rows: &[Row], label: &str) -> Drawn {
    let mut x = Placed::new(&Scale::Linear, values(rows).chain([0.0]), 5);
    let negative = values(rows).any(|value| value < 0.0);
    if !negative {
        x = x.starting_at(0.0);
    }
    let mut draw = |row: &Row, place: &dyn Fn(f64) -> BackendCoord| {
        let ((from, y), (to, _)) = (place(row.value.min(0.0)), place(row.value.max(0.0)));
        let corners = [(from, y - 5 * UNIT), (to, y + 5 * UNIT)];
        area.draw(&Rectangle::new(corners, Ink::Bar.filled()))
    };
    draw_each_row(area, rows, label, &x, &mut draw, negative.then_some(0.0))
}

/// Draws axes with the name of the vertical one above it, below a legend.
fn named_axes<'a>(
    area: &Area<'a>,
    placed: [Placed; 2],
    [x, y]: [&Axis; 2],
    legend: i32,
) -> Result<Context<'a>, DrawingAreaErrorKind<Infallible>> {
    // Half of a tick's text may be right of the plot.
    let [across, up] = [0, 1].map(|axis: usize| widest_tick(&placed[axis]));
    let margins = Margins { top: legend + AXIS, left: up + 8, right: across / 2 + 4 };
    let context = axes(area, placed, &x.label, &margins)?;
    let label = shortened(&y.label, WIDTH * UNIT);
    write(area, &label, (0, (legend + 2) * UNIT), HPos::Left, VPos::Top)?;
    Ok(context)
}

fn draw_lines(area: &Area<'_>, [x, y]: [&Axis; 2], series: &[Series], diagonal: bool) -> Drawn {
    let (keys, height) = legend(series.iter().map(|series| &*series.label));
    for ((index, series), &(left, top)) in series.iter().enumerate().zip(&keys) {
        let y = top + LINE * UNIT / 2;
        if series.line {
            line(area, Ink::Line(index), vec![(left, y), (left + KEY - 50, y)])?;
        }
        if series.markers {
            mark(area, index, (left + (KEY - 50) / 2, y))?;
        }
        let label = shortened(&series.label, WIDTH * UNIT - left - KEY);
        write(area, &label, (left + KEY, y), HPos::Left, VPos::Center)?;
    }
    let points = || series.iter().flat_map(|series| &series.points);
    let xs = points().map(|point| point.0);
    let ys = points().flat_map(|&(_, y, interval)| {
        iter::once(y).chain(interval.into_iter().flat_map(|(low, high)| [low, high]))
    });
    let placed = [Placed::new(&x.scale, xs, 7), Placed::new(&y.scale, ys, 6)];
    let ends = [0, 1].map(|axis: usize| (placed[axis].low(), placed[axis].high()));
    let context = named_axes(area, placed.clone(), [x, y], height)?;
    if diagonal {
        let (low, high) = (ends[0].0.max(ends[1].0), ends[0].1.min(ends[1].1));
        if low < high {
            let ends = [low, high].map(|value| context.backend_coord(&(value, value)));
            line(area, Ink::Guide, ends.to_vec())?;
        }
    }
    let categories = matches!(x.scale, Scale::Categories(_));
    for (index, one) in series.iter().enumerate() {
        // Series beside each other, so that their intervals do not cover one another.
        let beside =
            if categories { 0.7 * ((index as f64 + 0.5) / series.len() as f64 - 0.5) } else { 0.0 };
        let [across, up] = &placed;
        let drawable = one.points.iter().filter(|(x, y, _)| across.contains(*x) && up.contains(*y));
        let place = |x: f64, y: f64| context.backend_coord(&(x + beside, y));
        let drawable: Vec<_> = drawable.copied().collect();
        if one.line {
            let path: Vec<_> = drawable.iter().map(|&(x, y, _)| place(x, y)).collect();
            line(area, Ink::Line(index), path)?;
        }
        for (x, y, ends) in drawable {
            if let Some((low, high)) =
                ends.filter(|(low, high)| up.contains(*low) && up.contains(*high))
            {
                interval(area, index, place(x, low), place(x, high))?;
            }
            if one.markers {
                mark(area, index, place(x, y))?;
            }
        }
    }
    Ok(())
}

fn draw_points(area: &Area<'_>, [x, y]: [&Axis; 2], points: &[Point]) -> Drawn {
    let names = numbered(points);
    let (keys, height) = legend(names.iter().map(|name| &**name));
    for (name, &(left, top)) in names.iter().zip(&keys) {
        let name = shortened(name, WIDTH * UNIT - left);
        write(area, &name, (left, top + LINE * UNIT / 2), HPos::Left, VPos::Center)?;
    }
    let finite = |point: &&Point| point.at.0.is_finite() && point.at.1.is_finite();
    let placed = [
        Placed::new(&x.scale, points.iter().filter(finite).map(|point| point.at.0), 6),
        Placed::new(&y.scale, points.iter().filter(finite).map(|point| point.at.1), 6),
    ];
    let context = named_axes(area, placed.clone(), [x, y], height)?;
    let drawable = |point: &Point| placed[0].contains(point.at.0) && placed[1].contains(point.at.1);
    let drawn = points.iter().zip(1..).filter(|(point, _)| drawable(point));
    let drawn: Vec<(BackendCoord, String)> = drawn
        .map(|(point, number): (_, i32)| (context.backend_coord(&point.at), number.to_string()))
        .collect();
    let mut taken: Vec<[i32; 4]> =
        drawn.iter().map(|((x, y), _)| [x - 45, y - 45, x + 45, y + 45]).collect();
    for ((x, y), number) in &drawn {
        mark(area, 0, (*x, *y))?;
        let (width, height) = (width_of(number) + 10, TEXT * UNIT);
        // Farther and farther around the point, until the number covers nothing.
        let around = (1..12).flat_map(|ring| {
            let (dx, dy) = (ring * 70 + width / 2, ring * 70 + height / 2 - 40);
            [(dx, 0), (-dx, 0), (0, -dy), (0, dy), (dx, -dy), (-dx, -dy), (dx, dy), (-dx, dy)]
        });
        let boxes = around.map(|(dx, dy)| {
            let (x, y) = (x + dx, y + dy);
            [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        });
        let free = |new: &[i32; 4]| {
            let apart = |old: &[i32; 4]| {
                new[2] < old[0] || old[2] < new[0] || new[3] < old[1] || old[3] < new[1]
            };
            new[0] >= 0 && new[2] <= WIDTH * UNIT && taken.iter().all(apart)
        };
        let mut boxes = boxes.peekable();
        let Some(&first) = boxes.peek() else { continue };
        let place = boxes.find(free).unwrap_or(first);
        taken.push(place);
        let at = (i32::midpoint(place[0], place[2]), i32::midpoint(place[1], place[3]));
        write(area, number, at, HPos::Center, VPos::Center)?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(label: &str, value: f64) -> Row {
        Row { label: label.to_owned(), value, interval: Some((value - 0.5, value + 0.5)) }
    }

    fn drawn(plot: Plot) -> String {
        svg(&Chart { title: "t".to_owned(), note: String::new(), plot }).unwrap()
    }

    fn count(svg: &str, what: &str) -> usize {
        svg.matches(what).count()
    }

    /// The places of circles: markers of the first series.
    fn circles(svg: &str) -> Vec<(f64, f64)> {
        let number = |text: &str, name: &str| -> f64 {
            let rest = text.split_once(&format!("{name}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let lines = svg.lines().filter(|line| line.starts_with("<circle"));
        lines.map(|line| (number(line, "cx"), number(line, "cy"))).collect()
    }

    #[test]
    fn rows_have_markers_in_proportion_with_names_and_numbers() {
        let rows = vec![row("a<b", 1.0), row("c", 2.0), row("d", 4.0), row("none", f64::NAN)];
        let svg = drawn(Plot::Rows { rows, label: "axis".to_owned(), reference: Some(0.0) });
        let places = circles(&svg);
        assert_eq!(places.len(), 3);
        let [a, c, d] = [places[0].0, places[1].0, places[2].0];
        assert!(((d - c) / (c - a) - 2.0).abs() < 0.01, "{a} {c} {d}");
        assert!(places[0].1 < places[1].1 && places[1].1 < places[2].1);
        assert!(svg.contains(">a&lt;b</text>") && svg.contains(">4.0000</text>"), "{svg}");
        assert!(svg.contains(">none</text>") && !svg.contains("NaN"));
        assert_eq!(count(&svg, "interval s0"), 9);
        assert_eq!(count(&svg, "class=\"guide\""), 1);
    }

    #[test]
    fn bars_start_at_zero_on_either_side() {
        let row = |label: &str, value| Row { interval: None, ..row(label, value) };
        let rows = vec![row("a", -1.0), row("b", 2.0)];
        let svg = drawn(Plot::Bars { rows, label: "w".to_owned() });
        let bars: Vec<&str> = svg.lines().filter(|line| line.starts_with("<rect")).collect();
        let value = |bar: &str, name: &str| -> f64 {
            let rest = bar.split_once(&format!(" {name}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let [(x0, w0), (x1, w1)] = [0, 1].map(|i| (value(bars[i], "x"), value(bars[i], "width")));
        assert!((x0 + w0 - x1).abs() < 0.11, "{bars:?}");
        assert!((w1 / w0 - 2.0).abs() < 0.01, "{bars:?}");
    }

    fn lines(count: usize, points: &[Sample]) -> Plot {
        let series = (0..count).map(|index| Series {
            label: format!("series {index}"),
            points: points.to_vec(),
            line: true,
            markers: true,
        });
        Plot::Lines {
            x: Axis::new("x", Scale::Linear),
            y: Axis::new("y", Scale::Linear),
            series: series.collect(),
            diagonal: true,
        }
    }

    #[test]
    fn series_differ_in_markers_and_classes() {
        let svg = drawn(lines(MAX_SERIES, &[(0.0, 0.0, None), (1.0, 1.0, None)]));
        for series in 0..MAX_SERIES {
            assert_eq!(count(&svg, &format!("class=\"line s{series}\"")), 2, "line and legend");
            assert_eq!(count(&svg, &format!("class=\"mark s{series}\"")), 3);
        }
        let marks = svg.lines().filter(|line| line.contains("class=\"mark"));
        // As offsets from the first corner, so that the shapes are comparable.
        let shapes: std::collections::BTreeSet<String> = marks
            .map(|mark| {
                let Some((_, points)) = mark.split_once("points=\"") else {
                    return "circle".to_owned();
                };
                let points: Vec<(f64, f64)> = points
                    .split('"')
                    .next()
                    .unwrap()
                    .split(' ')
                    .map(|point| {
                        let (x, y) = point.split_once(',').unwrap();
                        (x.parse().unwrap(), y.parse().unwrap())
                    })
                    .collect();
                let shape = points
                    .iter()
                    .map(|(x, y)| format!("{:.1},{:.1}", x - points[0].0, y - points[0].1));
                shape.collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(shapes.len(), MAX_SERIES, "{shapes:?}");
    }

    #[test]
    fn one_series_has_no_legend() {
        let svg = drawn(lines(1, &[(0.0, 0.0, None)]));
        assert!(!svg.contains("series 0"), "{svg}");
        assert!(drawn(lines(2, &[])).contains("series 1"));
    }

    #[test]
    fn numbers_of_points_do_not_cover_each_other() {
        let points = (0..14).map(|index| Point {
            label: format!("model {index}"),
            // All but two in one place.
            at: if index < 12 { (0.5, 0.5) } else { (f64::from(index), 0.1) },
        });
        let plot = Plot::Points {
            x: Axis::new("x", Scale::Linear),
            y: Axis::new("y", Scale::Linear),
            points: points.collect(),
        };
        let svg = drawn(plot);
        assert_eq!(circles(&svg).len(), 14);
        let texts: Vec<&str> =
            svg.lines().filter(|line| line.contains("text-anchor=\"middle\"")).collect();
        let of = |number: i32| {
            texts
                .iter()
                .copied()
                .find(|line| {
                    line.ends_with(&format!(">{number}</text>")) && !line.contains("y=\"4")
                })
                .unwrap()
        };
        let mut places: Vec<String> =
            (3..=12).map(|number| of(number).split_once('>').unwrap().0.to_owned()).collect();
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 10, "{texts:?}");
    }

    #[test]
    fn picture_contains_its_style_sheet() {
        let chart = |title: &str| Chart {
            title: title.to_owned(),
            note: String::new(),
            plot: lines(1, &[(0.0, 1.0, None)]),
        };
        let charts = vec![chart("first"), chart("a & b")];
        let section = crate::Section { charts, ..crate::Section::default() };
        let report = crate::Report { sections: vec![section], ..crate::Report::default() };
        let page = crate::html(&report).unwrap();
        let picture = picture(&page, "a & b").unwrap();
        assert!(
            picture.starts_with("<svg width=\"480\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=")
        );
        assert!(picture.contains("aria-label=\"a &amp; b\"") && !picture.contains("first"));
        assert_eq!(count(&picture, "prefers-color-scheme: dark"), 1);
        assert_eq!(count(&picture, "<svg") + count(&picture, "</svg>"), 2);
        assert_eq!(super::picture(&page, "none"), None);
    }

    proptest! {
        /// Whatever the data, a chart is drawn, and no coordinate is far outside.
        #[test]
        fn any_data_are_drawn(
            points in prop::collection::vec((any::<f64>(), -1e9..1e9_f64, any::<bool>()), 0..8),
            series in 0..9_usize,
            logarithmic: bool,
            label: String,
        ) {
            let samples: Vec<Sample> =
                points.iter().map(|&(x, y, some)| (x, y, some.then_some((y - 1.0, x)))).collect();
            let x = Axis::new(&label, if logarithmic { Scale::Logarithmic } else { Scale::Whole });
            let y = Axis::new("y", Scale::Linear);
            let one = Series { label: label.clone(), points: samples, line: true, markers: true };
            let rows = points.iter().map(|&(x, y, some)| Row {
                label: label.clone(), value: x, interval: some.then_some((y, x)),
            });
            let rows: Vec<Row> = rows.collect();
            let named = points.iter().map(|&(x, y, _)| Point { label: label.clone(), at: (x, y) });
            let plots = [
                Plot::Lines { x: x.clone(), y: y.clone(), series: vec![one; series], diagonal: true },
                Plot::Points { x, y, points: named.collect() },
                Plot::Rows { rows: rows.clone(), label: label.clone(), reference: Some(1.0) },
                Plot::Bars { rows, label: label.clone() },
            ];
            for plot in plots {
                let svg = drawn(plot);
                prop_assert!(!svg.contains("NaN") || label.contains("NaN"));
                for (x, _) in circles(&svg) {
                    prop_assert!((0.0..=360.0).contains(&x), "{}", x);
                }
            }
        }
    }
}
