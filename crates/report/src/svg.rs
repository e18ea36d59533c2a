//! The backend of plotters: SVG whose elements have classes instead of colours, and text as text.
//!
//! The backend of plotters itself writes colours into the elements, so its charts cannot follow the colour scheme.

use std::convert::Infallible;
use std::fmt::Write as _;

use plotters::style::Color;
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};

/// Coordinates of plotters are integers; these are tenths of pixels.
pub(crate) const UNIT: i32 = 10;

/// The height of text in pixels.
pub(crate) const TEXT: i32 = 12;

/// What an element is; the style sheet decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Axis,
    Grid,
    /// A line for comparison, such as the diagonal.
    Guide,
    Text,
    /// The line of a series.
    Line(usize),
    /// A marker of a series.
    Mark(usize),
    /// A confidence interval of a series.
    Interval(usize),
    /// A bar.
    Bar,
}

/// Series after this many look like the first ones again.
pub(crate) const STYLES: usize = 6;

impl Ink {
    /// The code of a colour that stands for this.
    fn code(self) -> (u8, u8, u8) {
        let series = |kind, index: usize| (kind, (index % STYLES) as u8, 0);
        match self {
            Self::Axis => (0, 0, 0),
            Self::Grid => (1, 0, 0),
            Self::Guide => (2, 0, 0),
            Self::Text => (3, 0, 0),
            Self::Bar => (4, 0, 0),
            Self::Line(index) => series(5, index),
            Self::Mark(index) => series(6, index),
            Self::Interval(index) => series(7, index),
        }
    }

    /// The classes of an element with the colour of this code.
    fn class((kind, series, _): (u8, u8, u8)) -> String {
        match kind {
            0 => "axis".to_owned(),
            1 => "grid".to_owned(),
            2 => "guide".to_owned(),
            3 => "text".to_owned(),
            4 => "bar".to_owned(),
            5 => format!("line s{series}"),
            6 => format!("mark s{series}"),
            _ => format!("interval s{series}"),
        }
    }
}

impl Color for Ink {
    fn to_backend_color(&self) -> BackendColor {
        BackendColor { alpha: 1.0, rgb: self.code() }
    }
}

/// Escapes text for HTML and XML. Control characters, which XML forbids, are replaced.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An upper estimate of the width of text in tenths of pixels, for any sans-serif font.
pub(crate) fn width_of(text: &str) -> i32 {
    let tenths_of_height = text.chars().map(|c| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | '.' | ',' | ':' | '-' | ' ' | '(' | ')' | '\'' => 4,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 10,
        c if c.is_ascii_uppercase() => 8,
        c if c.is_ascii() => 6,
        _ => 10,
    });
    tenths_of_height.sum::<i32>() * TEXT * UNIT / 10
}

/// Text that is at most this wide, without its middle if it is longer: names of models differ at both ends.
pub(crate) fn shortened(text: &str, width: i32) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let without = |dropped: usize| -> String {
        let kept = letters.len() - dropped;
        let (start, end) = (&letters[..kept.div_ceil(2)], &letters[letters.len() - kept / 2..]);
        start.iter().chain(&['…']).chain(end).collect()
    };
    let mut shorter = (1..=letters.len()).map(without);
    shorter.find(|shorter| width_of(shorter) <= width).unwrap_or_default()
}

/// Writes elements into a text.
pub(crate) struct Svg<'a> {
    pub(crate) elements: &'a mut String,
    /// Width and height in tenths of pixels.
    pub(crate) size: (u32, u32),
}

/// A coordinate in pixels.
fn px(tenths: i32) -> String {
    match (tenths / UNIT, tenths % UNIT) {
        (whole, 0) => whole.to_string(),
        _ => format!("{:.1}", f64::from(tenths) / f64::from(UNIT)),
    }
}

fn points(path: impl IntoIterator<Item = BackendCoord>) -> String {
    let points = path.into_iter().map(|(x, y)| format!("{},{}", px(x), px(y)));
    points.collect::<Vec<_>>().join(" ")
}

impl Svg<'_> {
    fn add(&mut self, element: &str, color: BackendColor, attributes: &str) {
        let class = Ink::class(color.rgb);
        let _ = writeln!(self.elements, "<{element} class=\"{class}\" {attributes}/>");
    }
}

type Written = Result<(), DrawingErrorKind<Infallible>>;

impl DrawingBackend for Svg<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Written {
        Ok(())
    }

    fn present(&mut self) -> Written {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Written {
        let (x, y) = (px(x), px(y));
        self.add("rect", color, &format!("x=\"{x}\" y=\"{y}\" width=\".1\" height=\".1\""));
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Written {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        _fill: bool,
    ) -> Written {
        let (x, y, width, height) = (px(left), px(top), px(right - left), px(bottom - top));
        let attributes = format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
        self.add("rect", style.color(), &attributes);
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Written {
        self.add("polyline", style.color(), &format!("points=\"{}\"", points(path)));
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        _fill: bool,
    ) -> Written {
        let (x, y, radius) = (px(x), px(y), px(radius.cast_signed()));
        self.add("circle", style.color(), &format!("cx=\"{x}\" cy=\"{y}\" r=\"{radius}\""));
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Written {
        self.add("polygon", style.color(), &format!("points=\"{}\"", points(path)));
        Ok(())
    }

    fn draw_text<T: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &T,
        (x, y): BackendCoord,
    ) -> Written {
        let anchor = match style.anchor().h_pos {
            HPos::Left => "start",
            HPos::Center => "middle",
            HPos::Right => "end",
        };
        // Capitals are about 0.72 of the height.
        let down = TEXT
            * UNIT
            * match style.anchor().v_pos {
                VPos::Top => 80,
                VPos::Center => 36,
                VPos::Bottom => -20,
            }
            / 100;
        let class = Ink::class(style.color().rgb);
        let (x, y, text) = (px(x), px(y + down), escape(text));
        let _ = writeln!(
            self.elements,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        );
        Ok(())
    }

    fn estimate_text_size<T: BackendTextStyle>(
        &self,
        text: &str,
        _style: &T,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        Ok((width_of(text).cast_unsigned(), (TEXT * UNIT).cast_unsigned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b>&\"'\u{0}\u{7f}é"), "a&lt;b&gt;&amp;&quot;&#39;\u{fffd}\u{fffd}é");
    }

    #[test]
    fn long_text_loses_its_middle() {
        assert_eq!(shortened("short", 1000), "short");
        let long = shortened("neuralcf:pretraining=none:negatives=4", 1200);
        assert!(long.starts_with("neural") && long.ends_with("ves=4"), "{long}");
        assert!(width_of(&long) <= 1200 && width_of(&long) > 1000);
        assert_eq!(shortened("long", 0), "");
    }

    #[test]
    fn coordinates_are_tenths_of_pixels() {
        assert_eq!([px(0), px(15), px(-5), px(1230)], ["0", "1.5", "-0.5", "123"]);
    }

    #[test]
    fn classes_repeat_after_the_last_style() {
        let class = |ink: Ink| Ink::class(ink.to_backend_color().rgb);
        assert_eq!(class(Ink::Mark(1)), "mark s1");
        assert_eq!(class(Ink::Line(STYLES + 1)), "line s1");
        assert_ne!(class(Ink::Interval(2)), class(Ink::Line(2)));
    }
}
