use std::fmt::Write as _;

use crate::Error;
use crate::chart::{self, Chart};
use crate::svg::escape;

/// A report.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Report {
    /// The title.
    pub title: String,
    /// Names and values at the top, such as the data set and the command.
    pub facts: Vec<(String, Cell)>,
    /// Paragraphs below them, such as warnings.
    pub notes: Vec<String>,
    /// The sections, in order.
    pub sections: Vec<Section>,
}

/// A section: text, then charts, then tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// Paragraphs.
    pub text: Vec<String>,
    /// The charts.
    pub charts: Vec<Chart>,
    /// The tables.
    pub tables: Vec<Table>,
}

/// A table whose first column names the rows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// What it contains.
    pub caption: String,
    /// The names of the columns.
    pub columns: Vec<String>,
    /// A cell per column for each row.
    pub rows: Vec<Vec<Cell>>,
    /// Whether only the caption is visible until a reader opens it.
    pub folded: bool,
}

/// A cell of a table, or the value of a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text.
    Text(String),
    /// Long text, which is wrapped.
    Long(String),
    /// The name of a model, a command or an option.
    Code(String),
    /// A number.
    Number(String),
    /// A number, and in small print how certain it is.
    Measure(String, String),
    /// Nothing was measured.
    Missing,
}

impl Cell {
    /// A number with this many digits behind the point; missing if it is not finite.
    pub fn number(value: f64, digits: usize) -> Self {
        if value.is_finite() { Self::Number(format!("{value:.digits$}")) } else { Self::Missing }
    }

    fn class(&self) -> &'static str {
        match self {
            Self::Number(_) | Self::Measure(..) | Self::Missing => " class=\"number\"",
            Self::Long(_) => " class=\"long\"",
            Self::Text(_) | Self::Code(_) => "",
        }
    }

    fn content(&self) -> String {
        match self {
            Self::Text(text) | Self::Long(text) | Self::Number(text) => escape(text),
            Self::Code(text) => format!("<code>{}</code>", escape(text)),
            Self::Measure(text, small) => {
                format!("{}<br><small>{}</small>", escape(text), escape(small))
            }
            Self::Missing => "–".to_owned(),
        }
    }
}

/// Writes a report as a page.
pub fn html(report: &Report) -> Result<String, Error> {
    let mut page = String::new();
    let title = escape(&report.title);
    // The policy makes browsers refuse scripts and resources from elsewhere, whatever the page contains.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{}{}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        include_str!("page.css"),
        chart::STYLE,
    );
    if !report.facts.is_empty() {
        page.push_str("<dl>\n");
        for (name, value) in &report.facts {
            let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), value.content());
        }
        page.push_str("</dl>\n");
    }
    paragraphs(&report.notes, &mut page);
    for (number, section) in (1..).zip(&report.sections) {
        let heading = escape(&section.heading);
        let _ = writeln!(
            page,
            "<section aria-labelledby=\"s{number}\">\n<h2 id=\"s{number}\">{heading}</h2>"
        );
        paragraphs(&section.text, &mut page);
        if !section.charts.is_empty() {
            page.push_str("<div class=\"charts\">\n");
            for chart in &section.charts {
                figure(chart, &mut page)?;
            }
            page.push_str("</div>\n");
        }
        section.tables.iter().for_each(|it| table(it, &mut page));
        page.push_str("</section>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(page)
}

fn paragraphs(texts: &[String], page: &mut String) {
    for text in texts {
        let _ = writeln!(page, "<p>{}</p>", escape(text));
    }
}

fn figure(chart: &Chart, page: &mut String) -> Result<(), Error> {
    let title = escape(&chart.title);
    let _ = write!(page, "<figure>\n<figcaption>{title}</figcaption>\n{}", chart::svg(chart)?);
    if !chart.note.is_empty() {
        let _ = writeln!(page, "<p>{}</p>", escape(&chart.note));
    }
    page.push_str("</figure>\n");
    Ok(())
}

fn table(table: &Table, page: &mut String) {
    let caption = escape(&table.caption);
    if table.folded {
        let _ = writeln!(page, "<details>\n<summary>{caption}</summary>");
    }
    // A region that scrolls must be reachable by keyboard.
    let _ = writeln!(
        page,
        "<div class=\"table\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n<table>"
    );
    if !table.folded {
        let _ = writeln!(page, "<caption>{caption}</caption>");
    }
    let numbers: Vec<bool> = (0..table.columns.len())
        .map(|column| {
            table
                .rows
                .iter()
                .any(|row| row.get(column).is_some_and(|cell| cell.class().contains("number")))
        })
        .collect();
    page.push_str("<thead><tr>");
    for (column, is_number) in table.columns.iter().zip(numbers) {
        let class = if is_number { " class=\"number\"" } else { "" };
        let _ = write!(page, "<th scope=\"col\"{class}>{}</th>", escape(column));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        page.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let (class, content) = (cell.class(), cell.content());
            let _ = match index {
                0 => write!(page, "<th scope=\"row\"{class}>{content}</th>"),
                _ => write!(page, "<td{class}>{content}</td>"),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
    if table.folded {
        page.push_str("</details>\n");
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::{Plot, Row};

    fn report() -> Report {
        let hostile = "</title><script src=\"https://example.org/x.js\">'&\u{0}".to_owned();
        let cells = vec![
            Cell::Code(hostile.clone()),
            Cell::number(0.25, 3),
            Cell::Measure("1".to_owned(), hostile.clone()),
            Cell::number(f64::NAN, 1),
            Cell::Long(hostile.clone()),
        ];
        let table = |folded| Table {
            caption: hostile.clone(),
            columns: ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec(),
            rows: vec![cells.clone(), cells.clone()],
            folded,
        };
        let row = Row { label: hostile.clone(), value: 1.0, interval: None };
        let plot = Plot::Bars { rows: vec![row], label: hostile.clone() };
        Report {
            title: hostile.clone(),
            facts: vec![(hostile.clone(), Cell::Text(hostile.clone()))],
            notes: vec![hostile.clone()],
            sections: vec![Section {
                heading: hostile.clone(),
                text: vec![hostile.clone()],
                charts: vec![Chart { title: hostile.clone(), note: hostile.clone(), plot }],
                tables: vec![table(false), table(true)],
            }],
        }
    }

    #[test]
    fn all_text_is_escaped() {
        let page = html(&report()).unwrap();
        assert!(
            !page.contains("<script") && !page.contains("</title><") && !page.contains('\u{0}')
        );
        assert_eq!(page.matches("</title>").count(), 1);
        assert!(page.contains(
            "&lt;/title&gt;&lt;script src=&quot;https://example.org/x.js&quot;&gt;&#39;&amp;"
        ));
    }

    #[test]
    fn page_needs_nothing_else() {
        let page = html(&Report { title: "t".to_owned(), ..Report::default() }).unwrap()
            + &html(&report()).unwrap();
        for outside in [" src=\"", " href=", "url(", "@import", "<link", "<img", "<iframe", " on"] {
            // "on" only at the beginning of attributes.
            let found = match outside {
                " on" => page.contains(" onload") || page.contains(" onclick"),
                other => page.contains(other),
            };
            assert!(!found, "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn tables_have_a_cell_per_column_and_numbers_to_the_right() {
        let page = html(&report()).unwrap();
        assert_eq!(page.matches("<th scope=\"col\"").count(), 10);
        assert_eq!(page.matches("<th scope=\"row\"").count(), 4);
        assert_eq!(page.matches("<td").count(), 16);
        assert!(page.contains("<th scope=\"col\" class=\"number\">b</th>"));
        assert!(page.contains("<td class=\"number\">0.250</td>"));
        assert!(page.contains("<td class=\"number\">–</td>"));
        assert_eq!(page.matches("<details>").count(), 1);
    }
}
