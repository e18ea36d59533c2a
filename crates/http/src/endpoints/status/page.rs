//! The page as HTML.

use std::fmt::Write as _;

use super::chart::{Chart, Scale, Series};
use super::html::escape;
use super::{Point, Requests, Status, Times, is_ready};

const HEAD: &str = r##"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="theme-color" content="#f6f1e7" media="(prefers-color-scheme: light)">
  <meta name="theme-color" content="#151311" media="(prefers-color-scheme: dark)">
  <title>Status – Sparrow</title>
  <link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/assets/site.css">
  <link rel="stylesheet" href="/assets/status.css">
  <noscript><meta http-equiv="refresh" content="10"></noscript>
  <script type="module" src="/assets/status.js"></script>
</head>
<body>
  <a class="skip" href="#main">Skip to content</a>
  <header class="top">
    <div class="top__in">
      <a class="brand" href="/status"><svg class="brand__bird" viewBox="0 0 32 32" aria-hidden="true" focusable="false"><rect class="brand__tile" width="32" height="32" rx="7"/><g transform="translate(14.5 19) scale(.78)"><path class="brand__body" d="M-10-2A10 10 0 0 0 10-2Z"/><circle class="brand__body" cx="7" cy="-5" r="5"/><path class="brand__beak" d="M11-7L17-5L11-3Z"/><path class="brand__body" d="M-10-2L-20-8L-8-8Z"/><path class="brand__wing" d="M-8-2A8 8 0 0 0 4-2Z"/></g></svg><span>Sparrow</span></a>
      <nav class="top__nav" aria-label="Main">
        <a href="/metrics">Metrics</a>
        <a href="/debug/config">Configuration</a>
        <button class="top__me" type="button" id="pause" aria-pressed="false" hidden>Pause</button>
      </nav>
    </div>
  </header>
"##;

const FOOT: &str = r#"  <div class="hidden" id="live" role="status" aria-live="polite"></div>
  <footer class="foot">
    <p>Sparrow, a movie recommender. This page is for operators; <a href="/status.json">the same as JSON</a>.</p>
  </footer>
</body>
</html>
"#;

pub(super) fn write(status: &Status) -> String {
    let mut out = String::with_capacity(32 << 10);
    out.push_str(HEAD);
    out.push_str("  <main id=\"main\" class=\"status\" tabindex=\"-1\">\n");
    head(&mut out, status);
    if status.metrics {
        tiles(&mut out, status);
        charts(&mut out, status);
        routes(&mut out, status);
    } else {
        out.push_str("<p class=\"notice\">Metrics are off ([metrics] enabled): requests are not counted.</p>");
    }
    models(&mut out, status);
    stores(&mut out, status);
    live(&mut out, status);
    experiments(&mut out, status);
    out.push_str("  </main>\n");
    out.push_str(FOOT);
    out
}

fn head(out: &mut String, status: &Status) {
    let (health, word) = match status.state {
        "ready" => ("ready", "Ready"),
        "draining" => ("draining", "Shutting down"),
        _ => ("loading", "Loading"),
    };
    let since = |what: &str, time: Option<u64>| {
        time.map_or_else(String::new, |time| {
            format!(", {what} {} ago", span(status.time.saturating_sub(time)))
        })
    };
    let movies = status
        .movies
        .map_or_else(String::new, |movies| format!(", {} movies", count(movies as u64)));
    let _ = write!(
        out,
        "<div class=\"page-head\"><div><p class=\"eyebrow\">For operators</p><h1 id=\"title\" tabindex=\"-1\">Status</h1></div>\
         <p><span class=\"health health--{health}\" data-state=\"{health}\">{word}</span> <span class=\"quiet\">version {}{movies}{}{}</span></p></div>",
        status.version,
        since("data loaded", status.loaded),
        since("pushed", status.generation),
    );
}

fn tiles(out: &mut String, status: &Status) {
    let Status { recent, hour, .. } = status;
    let errors = |requests: &Requests| share(requests.server_errors, requests.count);
    out.push_str("<dl class=\"tiles\">");
    let mut tile = |name: &str, value: &str, more: &str| {
        let (value, more) = (escape(value), escape(more));
        let _ = write!(
            out,
            "<div><dt>{name}</dt><dd>{value}</dd><dd class=\"quiet small\">{more}</dd></div>"
        );
    };
    let requests = format!("{} in the last hour", count(hour.count));
    tile("Requests per second", &number(rate(recent)), &requests);
    let times = |times: &Times, get: fn(&Times) -> Option<f64>| {
        get(times).map_or_else(|| "–".to_owned(), seconds)
    };
    let p99 = format!("median {}", times(&recent.times, |times| times.p50));
    tile("99th percentile", &times(&recent.times, |times| times.p99), &p99);
    let failed = format!("{} in the last hour", count(hour.server_errors));
    tile("Server errors", &errors(recent), &failed);
    let shed = format!("{} in the last hour", count(hour.shed));
    tile("Shed requests", &count(recent.shed), &shed);
    let connections = format!("{} connections", count(status.connections));
    tile("In progress", &count(status.active), &connections);
    out.push_str("</dl><p class=\"quiet small\">Large numbers are those of the last minute. The admin port counts, too.</p>");
}

fn charts(out: &mut String, status: &Status) {
    let points = &status.points;
    let series = |name, get: &dyn Fn(&Point) -> Option<f64>| Series {
        name,
        values: points.iter().map(|point| (point.age, get(point))).collect(),
    };
    let greatest = |get: &dyn Fn(&Point) -> f64| points.iter().map(get).fold(0.0, f64::max);
    out.push_str("<section aria-labelledby=\"hour\"><div class=\"section-head\"><h2 id=\"hour\">The last hour</h2></div><div class=\"charts\">");
    let of_rate = |point: &Point| rate(&point.requests);
    Chart {
        title: "Requests per second",
        summary: format!(
            "Requests per second in the last hour: {} in the last minute, at most {}",
            number(rate(&status.recent)),
            number(greatest(&of_rate))
        ),
        scale: Scale::linear(points.iter().map(of_rate), 1.0),
        series: &[series("requests", &|point| Some(rate(&point.requests)))],
        bars: false,
        label: number,
    }
    .write(out);
    let all = points.iter().flat_map(|point| {
        let Times { p50, p95, p99 } = point.requests.times;
        [p50, p95, p99].into_iter().flatten()
    });
    let hour = &status.hour.times;
    let at = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), seconds);
    Chart {
        title: "Time of answers",
        summary: format!(
            "Time of answers in the last hour: median {}, 95th percentile {}, 99th percentile {}",
            at(hour.p50),
            at(hour.p95),
            at(hour.p99)
        ),
        scale: Scale::decades(all),
        series: &[
            series("median", &|point| point.requests.times.p50),
            series("95%", &|point| point.requests.times.p95),
            series("99%", &|point| point.requests.times.p99),
        ],
        bars: false,
        label: seconds,
    }
    .write(out);
    // Shed requests are among those with a status from 500 on.
    let failed =
        |point: &Point| point.requests.server_errors.saturating_sub(point.requests.shed) as f64;
    let shed = |point: &Point| point.requests.shed as f64;
    let refused = |point: &Point| point.requests.client_errors as f64;
    let sum = |point: &Point| failed(point) + shed(point) + refused(point);
    Chart {
        title: "Errors per half minute",
        summary: format!(
            "Errors in the last hour: {} server errors, of which {} shed requests, and {} client errors",
            count(status.hour.server_errors),
            count(status.hour.shed),
            count(status.hour.client_errors)
        ),
        scale: Scale::linear(points.iter().map(sum), 4.0),
        series: &[
            series("server errors", &|point| Some(failed(point))),
            series("shed", &|point| Some(shed(point))),
            series("client errors", &|point| Some(refused(point))),
        ],
        bars: true,
        label: number,
    }
    .write(out);
    let fallbacks = |point: &Point| point.fallbacks as f64;
    let all: u64 = points.iter().map(|point| point.fallbacks).sum();
    Chart {
        title: "Fallback answers per half minute",
        summary: format!(
            "Answers of models as the fallback of others in the last hour: {}",
            count(all)
        ),
        scale: Scale::linear(points.iter().map(fallbacks), 4.0),
        series: &[series("fallback answers", &|point| Some(fallbacks(point)))],
        bars: true,
        label: number,
    }
    .write(out);
    if points.iter().any(|point| point.lag_seconds.is_some()) {
        let lag = |point: &Point| point.lag_seconds.unwrap_or_default();
        Chart {
            title: "Delay of live data",
            summary: format!(
                "Delay of the consumers of live data in the last hour: at most {}",
                seconds(greatest(&lag))
            ),
            scale: Scale::linear(points.iter().map(lag), 0.1),
            series: &[series("delay", &|point| point.lag_seconds)],
            bars: false,
            label: seconds,
        }
        .write(out);
    }
    out.push_str("</div></section>");
}

/// Begins a section with a table.
fn table(out: &mut String, id: &str, title: &str, note: &str, columns: &[&str]) {
    let _ = write!(
        out,
        "<section aria-labelledby=\"{id}\"><div class=\"section-head\"><h2 id=\"{id}\">{title}</h2><p class=\"quiet\">{note}</p></div>\
         <div class=\"sideways\" tabindex=\"0\" role=\"region\" aria-labelledby=\"{id}\"><table class=\"standing\"><caption class=\"hidden\">{title}</caption><thead><tr>"
    );
    for column in columns {
        let _ = write!(out, "<th scope=\"col\">{column}</th>");
    }
    out.push_str("</tr></thead><tbody>");
}

const END_OF_TABLE: &str = "</tbody></table></div></section>";
const HOUR: &str = "in the last hour";

fn numbers<T: AsRef<str>>(out: &mut String, cells: impl IntoIterator<Item = T>) {
    for cell in cells {
        let _ = write!(out, "<td class=\"number\">{}</td>", escape(cell.as_ref()));
    }
}

fn time_cells(out: &mut String, times: &Times) {
    let cell = |time: Option<f64>| time.map_or_else(|| "–".to_owned(), seconds);
    numbers(out, [cell(times.p50), cell(times.p95), cell(times.p99)]);
}

fn routes(out: &mut String, status: &Status) {
    let columns = ["Route", "Requests", "Median", "95%", "99%", "Client errors", "Server errors"];
    table(out, "routes", "Routes", HOUR, &columns);
    for route in &status.routes {
        let name = if route.route.is_empty() { "(no route)" } else { route.route };
        let _ = write!(
            out,
            "<tr data-route=\"{0}\"><th scope=\"row\"><code>{0}</code></th>",
            escape(name)
        );
        let requests = &route.requests;
        numbers(out, [count(requests.count)]);
        time_cells(out, &requests.times);
        numbers(out, [requests.client_errors, requests.server_errors].map(count));
        out.push_str("</tr>");
    }
    if status.routes.is_empty() {
        let _ = write!(
            out,
            "<tr><td colspan=\"{}\" class=\"quiet\">no requests yet</td></tr>",
            columns.len()
        );
    }
    out.push_str(END_OF_TABLE);
}

fn models(out: &mut String, status: &Status) {
    let columns = [
        "Model",
        "State",
        "Version",
        "Fallback",
        "Answers",
        "As fallback",
        "Declined",
        "Failed",
        "Median",
        "95%",
        "99%",
    ];
    table(out, "models", "Models", HOUR, &columns);
    for model in &status.models {
        let _ = write!(
            out,
            "<tr data-model=\"{0}\"><th scope=\"row\">{0}<span class=\"quiet small\">{1}</span></th><td>{2}",
            escape(&model.name),
            escape(model.kind),
            health(is_ready(model.state), model.state)
        );
        if let Some(reason) = &model.reason {
            let _ = write!(out, "<p class=\"small\">{}</p>", escape(reason));
        }
        out.push_str("</td>");
        let version = model.version.map_or_else(|| "–".to_owned(), |version| version.to_string());
        numbers(out, [&version, model.fallback.as_deref().unwrap_or("–")]);
        numbers(out, [model.answered, model.as_fallback, model.declined, model.failed].map(count));
        time_cells(out, &model.times);
        out.push_str("</tr>");
    }
    if status.models.is_empty() {
        let _ = write!(
            out,
            "<tr><td colspan=\"{}\" class=\"quiet\">not loaded yet</td></tr>",
            columns.len()
        );
    }
    out.push_str(END_OF_TABLE);
}

fn stores(out: &mut String, status: &Status) {
    if status.stores.is_empty() {
        return;
    }
    let columns = ["Store", "Circuit breaker", "Calls", "Failed", "Median", "95%", "99%"];
    table(out, "stores", "Stores", HOUR, &columns);
    for store in &status.stores {
        let _ = write!(
            out,
            "<tr data-store=\"{0}\"><th scope=\"row\">{0}<span class=\"quiet small\">{1}</span></th><td>{2}",
            store.name,
            escape(&store.address),
            match store.circuit_breaker {
                "none" => "–".to_owned(),
                state => health(state != "open" && store.trouble.is_none(), state),
            }
        );
        if let Some(trouble) = &store.trouble {
            let _ = write!(out, "<p class=\"small\">{}</p>", escape(trouble));
        }
        out.push_str("</td>");
        numbers(out, [store.calls, store.failed].map(count));
        time_cells(out, &store.times);
        out.push_str("</tr>");
    }
    out.push_str(END_OF_TABLE);
}

fn live(out: &mut String, status: &Status) {
    let Some(live) = &status.live else { return };
    let note =
        format!("{} writes {HOUR}, durability {}", count(live.writes), escape(&live.durability));
    let columns = ["Consumer", "Delay", "Users to process", "Failures since the start", "State"];
    table(out, "live-data", "Live data", &note, &columns);
    for consumer in &live.consumers {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", consumer.name);
        numbers(
            out,
            [seconds(consumer.lag_seconds), count(consumer.pending), count(consumer.failures)],
        );
        let trouble = consumer.trouble.as_deref();
        let _ = write!(
            out,
            "<td>{}</td></tr>",
            health(trouble.is_none(), trouble.unwrap_or("follows"))
        );
    }
    if live.consumers.is_empty() {
        let _ = write!(
            out,
            "<tr><td colspan=\"{}\" class=\"quiet\">no consumer runs</td></tr>",
            columns.len()
        );
    }
    out.push_str(END_OF_TABLE);
}

fn experiments(out: &mut String, status: &Status) {
    if status.experiments.is_empty() {
        return;
    }
    let exposures = &status.exposures;
    let note = format!(
        "since the start, {} exposures logged, {} dropped, {} failed",
        count(exposures.logged),
        count(exposures.dropped),
        count(exposures.failed)
    );
    table(out, "experiments", "Experiments", &note, &["Experiment", "State", "Variants"]);
    for experiment in &status.experiments {
        let state = if experiment.active { "active" } else { "not active" };
        let _ = write!(
            out,
            "<tr data-experiment=\"{0}\"><th scope=\"row\">{0}</th><td>{1}</td><td>",
            escape(&experiment.name),
            health(experiment.active, state)
        );
        for variant in &experiment.variants {
            let _ = write!(
                out,
                "<p class=\"small\">{}: {:.1}%, model {}</p>",
                escape(&variant.name),
                variant.share * 100.0,
                escape(&variant.model)
            );
        }
        out.push_str("</td></tr>");
    }
    out.push_str(END_OF_TABLE);
}

fn health(is_good: bool, text: &str) -> String {
    let class = if is_good { "health health--ready" } else { "health" };
    format!("<span class=\"{class}\">{}</span>", escape(text))
}

fn rate(requests: &Requests) -> f64 {
    if requests.seconds > 0.0 { requests.count as f64 / requests.seconds } else { 0.0 }
}

/// A number with about three digits.
fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        ..0.995 => trimmed(format!("{value:.2}")),
        ..99.5 => trimmed(format!("{value:.1}")),
        _ => count(value.round() as u64),
    }
}

fn trimmed(text: String) -> String {
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A duration in its unit.
fn seconds(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        ..0.000_999_5 => format!("{} µs", number(seconds * 1e6)),
        ..0.999_5 => format!("{} ms", number(seconds * 1e3)),
        _ => format!("{} s", number(seconds)),
    }
}

fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        "0%".to_owned()
    } else {
        format!("{}%", number(100.0 * part as f64 / whole as f64))
    }
}

/// A time in its greatest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_units() {
        let numbers = [0.0, 0.034, 0.5, 1.0, 12.34, 99.6, 1234.4].map(number);
        assert_eq!(numbers, ["0", "0.03", "0.5", "1", "12.3", "100", "1,234"]);
        let times = [0.0, 0.000_04, 0.000_999_9, 0.012_34, 1.5, 10.0].map(seconds);
        assert_eq!(times, ["0 s", "40 µs", "1 ms", "12.3 ms", "1.5 s", "10 s"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 130, 7300, 200_000].map(span), ["5 s", "2 min", "2 h", "2 days"]);
        assert_eq!((share(0, 0), share(1, 3)), ("0%".to_owned(), "33.3%".to_owned()));
    }

    #[test]
    fn page_without_data_states_what_is_missing() {
        let status = Status { state: "loading", metrics: true, ..Status::default() };
        let page = write(&status);
        for text in ["Loading", "no requests yet", "not loaded yet"] {
            assert!(page.contains(text), "{text}");
        }
        assert!(write(&Status::default()).contains("Metrics are off"));
        assert!(!page.contains("style="));
    }
}
