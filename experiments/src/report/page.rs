//! The page: one self-contained HTML file with the script that draws its charts, without network access.

use std::fmt::Write;

use super::chart::{COLOURS, Figure};
use super::highlight::highlight;
use super::load::Folder;
use super::run::{Chart, Columns, Run, Table};
use super::summary::{Summary, SummaryTable};

/// The styles of the page and the colours of its charts, light and dark.
const STYLE: &str = include_str!("page.css");
/// The charts' library, <https://plotly.com/javascript>: its smallest bundle, which has lines and bars. The crate `plotly`
/// writes for this major version.
const PLOTLY: &str = include_str!("plotly/plotly-basic.min.js");
/// Draws the charts.
const SCRIPT: &str = include_str!("page.js");
/// Lets the browser itself see to it that the page loads nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:";

/// The whole page. `extra` has a figure for each chart of the run that is not a table.
pub(super) fn page(
    folder: &Folder,
    summary: &Summary,
    series: &[Figure],
    extra: &[Option<Figure>],
) -> String {
    let run = &folder.run;
    let mut page = header(run);
    page.push_str(&sentences("findings", "Findings", &run.findings));
    page.push_str(&sentences("warning", "Not finished", &summary.unfinished));
    page.push_str(&figures(run, summary));
    let curves = grid(series.iter().map(picture));
    let curves = if curves.is_empty() { curves } else { format!("{CONTROLS}{curves}") };
    page.push_str(&section("Over the steps", &curves));
    let charts = run.charts.iter().zip(extra).filter_map(|(chart, figure)| match (chart, figure) {
        (Chart::Table(table), _) => Some(extra_table(table)),
        (_, Some(figure)) => Some(picture(figure)),
        _ => None,
    });
    page.push_str(&section("More views", &grid(charts)));
    page.push_str(&section("The specs", &specs(run)));
    page.push_str(&settings(run));
    page.push_str(&reproduce(run));
    document(&run.title, &page)
}

/// What a reader can do with the charts.
pub(super) const CONTROLS: &str = "<p class=\"controls\">Point at a chart to see its values. Click a name to hide it, double-click it \
    to see it alone. Drag to zoom, double-click to zoom back. The camera saves a chart as PNG, the disk as SVG.</p>\n";

/// A page with this title and body.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <main>\n{body}</main>\n<script>{PLOTLY}</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(title)
    )
}

fn header(run: &Run) -> String {
    let seeds: Vec<String> = run.seeds.iter().map(u64::to_string).collect();
    let mut text = format!(
        "<header>\n<p class=\"kicker\">aent train · task {} · preset {} · {}</p>\n<h1>{}</h1>\n<p class=\"lead\">",
        escape(&run.task),
        escape(&run.preset),
        escape(&run.created),
        escape(&run.title)
    );
    let who =
        if run.specs.len() == 1 { "One spec was".into() } else { format!("{} specs were", run.specs.len()) };
    let with = if run.seeds.len() == 1 { "seed" } else { "the seeds" };
    let _ = writeln!(
        text,
        "{who} trained on the task <b>{}</b> with {with} {}, {} steps each.{}</p>\n<ul class=\"who\">",
        escape(&run.task),
        seeds.join(", "),
        run.steps,
        if run.specs.len() > 1 { " Only the loss differs:" } else { "" }
    );
    for (index, spec) in run.specs.iter().enumerate() {
        let _ = writeln!(text, "<li>{} <span>{}</span></li>", name(index, &spec.name), escape(&spec.summary));
    }
    text.push_str("</ul>\n</header>\n");
    text
}

/// Sentences as a list in a box; empty without sentences.
pub(super) fn sentences(class: &str, heading: &str, sentences: &[String]) -> String {
    if sentences.is_empty() {
        return String::new();
    }
    let mut text = format!("<section class=\"{class}\">\n<h2>{heading}</h2>\n<ul>\n");
    for sentence in sentences {
        let _ = writeln!(text, "<li>{}</li>", escape(sentence));
    }
    text.push_str("</ul>\n</section>\n");
    text
}

/// The table of the run's figures, with an explanation of its numbers.
fn figures(run: &Run, summary: &Summary) -> String {
    let SummaryTable { head, rows } = summary.table(&run.series);
    let seeds = summary.specs.iter().map(|spec| spec.seeds).max().unwrap_or(0);
    let even = summary.specs.iter().all(|spec| spec.seeds == seeds);
    let up_to = if even { "" } else { "up to " };
    let mut note =
        String::from("Start is the first measured value, end the mean over the last 5% of the steps. ");
    let _ = if seeds > 1 {
        write!(
            note,
            "Each number is the mean over {up_to}{seeds} seeds ± half the width of its 95% interval (Student’s t)."
        )
    } else {
        write!(note, "One seed was trained, so there are no intervals.")
    };
    if run.series.iter().any(|series| series.band.is_some()) {
        note.push_str(" The share in a band counts every step, those of a warm-up too.");
    }
    if !summary.unfinished.is_empty() {
        note.push_str(" A seed that stopped early counts with the figures of where it stopped.");
    }
    if run.series.iter().all(|series| series.columns() == Columns::None && series.band.is_none()) {
        return String::new();
    }
    section("In numbers", &named_table(&Table { head, rows, ..Table::default() }, &note))
}

/// A table with a row for each spec, starting with its name.
pub(super) fn named_table(table: &Table, caption: &str) -> String {
    let mut rows = String::new();
    for (index, row) in table.rows.iter().enumerate() {
        rows.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let cell = if column == 0 { name(index, cell) } else { escape(cell) };
            let (tag, head) = (if column == 0 { "th" } else { "td" }, escape(&table.head[column]));
            let _ = write!(rows, "<{tag} data-label=\"{head}\">{cell}</{tag}>");
        }
        rows.push_str("</tr>\n");
    }
    format!(
        "<div class=\"scroll\"><table class=\"cards\">\n<thead><tr>{}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         <p class=\"caption\">{}</p>\n",
        tagged("th", &table.head),
        escape(caption)
    )
}

/// A figure with its caption.
pub(super) fn picture(figure: &Figure) -> String {
    let wide = if figure.wide { " wide" } else { "" };
    // No text inside can end the element.
    let plot = figure.plot.to_string().replace('<', "\\u003c");
    format!(
        "<figure class=\"chart{wide}\">\n<h3>{}</h3>\n<div class=\"scroll\"><div class=\"plot\" style=\"height:{}px\"></div></div>\n\
         <script type=\"application/json\">{plot}</script>\n<figcaption>{}</figcaption>\n</figure>\n",
        escape(&figure.title),
        figure.height,
        escape(&figure.caption)
    )
}

fn extra_table(table: &Table) -> String {
    let mut rows = String::new();
    for row in &table.rows {
        let _ = writeln!(rows, "<tr>{}</tr>", tagged("td", row));
    }
    format!(
        "<figure class=\"wide\">\n<h3>{}</h3>\n<div class=\"scroll\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table></div>\n<figcaption>{}</figcaption>\n</figure>\n",
        escape(&table.title),
        tagged("th", &table.head),
        escape(&table.caption)
    )
}

/// The specs' texts, side by side.
pub(super) fn specs(run: &Run) -> String {
    let texts = run.specs.iter().enumerate().map(|(index, spec)| {
        format!(
            "<article>\n<h3>{}</h3>\n<p class=\"path\">{}</p>\n<pre tabindex=\"0\"><code>{}</code></pre>\n</article>\n",
            name(index, &spec.name),
            escape(&spec.path),
            highlight(&spec.text)
        )
    });
    let texts: String = texts.collect();
    if texts.is_empty() { texts } else { format!("<div class=\"specs\">\n{texts}</div>\n") }
}

/// Every setting, and the notes on how the run was made.
pub(super) fn settings(run: &Run) -> String {
    let mut rows = String::new();
    let seeds: Vec<String> = run.seeds.iter().map(u64::to_string).collect();
    let fixed = [
        ("task", run.task.clone()),
        ("preset", run.preset.clone()),
        ("steps", run.steps.to_string()),
        ("seeds", seeds.join(", ")),
    ];
    let given = run.settings.iter().map(|(name, value)| (name.as_str(), value.clone()));
    for (name, value) in fixed.into_iter().chain(given) {
        let _ = writeln!(rows, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(&value));
    }
    let notes = tagged("p", &run.notes);
    section(
        "Settings",
        &format!(
            "<div class=\"settings\"><table class=\"pairs\">\n<tbody>\n{rows}</tbody>\n</table>\n<div class=\"notes\">{notes}</div></div>\n"
        ),
    )
}

fn reproduce(run: &Run) -> String {
    let mut text = String::new();
    if !run.command.is_empty() {
        let _ = writeln!(text, "<pre tabindex=\"0\"><code>{}</code></pre>", escape(&run.command));
    }
    text.push_str(
        "<p>The measurements are in <code>SPEC/seed-N/metrics.jsonl</code> beside this page, one line per step.</p>\n",
    );
    section("How to reproduce", &text)
}

/// A spec's name with a sample of its colour.
fn name(index: usize, name: &str) -> String {
    format!("<span class=\"name\"><i class=\"c{}\"></i>{}</span>", index % COLOURS, escape(name))
}

/// Each text as an element.
fn tagged(tag: &str, texts: &[String]) -> String {
    let mut elements = String::new();
    for text in texts {
        let _ = write!(elements, "<{tag}>{}</{tag}>", escape(text));
    }
    elements
}

/// Figures side by side.
pub(super) fn grid(figures: impl Iterator<Item = String>) -> String {
    let figures: String = figures.collect();
    if figures.is_empty() { figures } else { format!("<div class=\"grid-of-plots\">\n{figures}</div>\n") }
}

/// A part of the page with a heading; empty if the part is.
pub(super) fn section(heading: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("<section>\n<h2>{heading}</h2>\n{body}</section>\n") }
}

/// Escapes text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
