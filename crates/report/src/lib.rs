//! Reports as HTML pages: one file with tables and charts that needs nothing else.
//!
//! A [`Report`] is plain data: text, [`Table`]s and [`Chart`]s, in [`Section`]s. [`html`] writes it as a page without
//! scripts and without resources from elsewhere, readable in light and dark. The charts are SVG with text as text, styled
//! by classes; series differ by marker and line pattern as well as by colour. The same report results in the same bytes.
//!
//! The crate knows no models and measures nothing. Start reading at [`Report`].

mod axis;
mod chart;
mod page;
mod svg;

pub use axis::{Axis, Scale};
pub use chart::{Chart, MAX_SERIES, Plot, Point, Row, Sample, Series, picture};
pub use page::{Cell, Report, Section, Table, html};

/// A chart cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the chart {chart:?}: {message}")]
pub struct Error {
    chart: String,
    message: String,
}
