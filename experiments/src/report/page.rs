//! The page: one self-contained HTML file with the script that draws its charts, without network access.

use maud::{DOCTYPE, Markup, PreEscaped, html};

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
    let views = run.charts.iter().zip(extra).filter_map(|(chart, figure)| match (chart, figure) {
        (Chart::Table(table), _) => Some(extra_table(table)),
        (_, Some(figure)) => Some(picture(figure)),
        _ => None,
    });
    let views: Vec<Markup> = views.collect();
    let body = html! {
        (header(run))
        (sentences("findings", "Findings", &run.findings))
        (sentences("warning", "Not finished", &summary.unfinished))
        (figures(run, summary))
        @if !series.is_empty() {
            section { h2 { "Over the steps" } (controls()) (grid(series.iter().map(picture))) }
        }
        @if !views.is_empty() {
            section { h2 { "More views" } (grid(views)) }
        }
        @if !run.specs.is_empty() {
            section { h2 { "The specs" } (specs(run)) }
        }
        (settings(run))
        (reproduce(run))
    };
    document(&run.title, &body)
}

/// A page with this title and body.
pub(super) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main { (body) }
                noscript { p { "The charts need JavaScript, which this browser does not run here." } }
                script { (PreEscaped(PLOTLY)) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn header(run: &Run) -> Markup {
    html! {
        header {
            p.kicker { "aent train · task " (run.task) " · preset " (run.preset) " · " (run.created) }
            h1 { (run.title) }
            p.lead {
                @match run.specs.len() {
                    1 => "One spec was",
                    count => { (count) " specs were" },
                }
                " trained on the task " b { (run.task) } " with "
                @if run.seeds.len() == 1 { "seed " } @else { "the seeds " }
                (list(&run.seeds)) ", " (run.steps) " steps each."
                @if run.specs.len() > 1 { " Only the loss differs:" }
            }
            ul.who {
                @for (index, spec) in run.specs.iter().enumerate() {
                    li { (name(index, &spec.name)) " " span { (spec.summary) } }
                }
            }
        }
    }
}

/// Sentences as a list in a box; empty without sentences.
pub(super) fn sentences(class: &str, heading: &str, sentences: &[String]) -> Markup {
    html! {
        @if !sentences.is_empty() {
            section class=(class) {
                h2 { (heading) }
                ul { @for sentence in sentences { li { (sentence) } } }
            }
        }
    }
}

/// The table of the run's figures, with an explanation of its numbers.
fn figures(run: &Run, summary: &Summary) -> Markup {
    if run.series.iter().all(|series| series.columns() == Columns::None && series.band.is_none()) {
        return Markup::default();
    }
    let SummaryTable { head, rows } = summary.table(&run.series);
    let seeds = summary.specs.iter().map(|spec| spec.seeds).max().unwrap_or(0);
    let even = summary.specs.iter().all(|spec| spec.seeds == seeds);
    let note = html! {
        "Start is the first measured value, end the mean over the last 5% of the steps. "
        @if seeds > 1 {
            "Each number is the mean over " @if !even { "up to " } (seeds)
            " seeds ± half the width of its 95% interval (Student’s t)."
        } @else {
            "One seed was trained, so there are no intervals."
        }
        @if run.series.iter().any(|series| series.band.is_some()) {
            " The share in a band counts every step, those of a warm-up too."
        }
        @if !summary.unfinished.is_empty() {
            " A seed that stopped early counts with the figures of where it stopped."
        }
    };
    html! {
        section {
            h2 { "In numbers" }
            (named_table(&Table { head, rows, ..Table::default() }, &note))
        }
    }
}

/// A table with a row for each spec, starting with its name.
pub(super) fn named_table(table: &Table, caption: &Markup) -> Markup {
    html! {
        div.scroll {
            table.cards {
                thead { tr { @for head in &table.head { th { (head) } } } }
                tbody {
                    @for (index, row) in table.rows.iter().enumerate() {
                        tr {
                            @for (column, (cell, head)) in row.iter().zip(&table.head).enumerate() {
                                @if column == 0 {
                                    th data-label=(head) { (name(index, cell)) }
                                } @else {
                                    td data-label=(head) { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
        p.caption { (caption) }
    }
}

/// What a reader can do with the charts.
pub(super) fn controls() -> Markup {
    html! {
        p.controls {
            "Point at a chart to see its values. Click a name to hide it, double-click it to see it alone. Drag to zoom, double-click \
             to zoom back. The camera saves a chart as PNG, the disk as SVG."
        }
    }
}

/// A figure with its caption.
pub(super) fn picture(figure: &Figure) -> Markup {
    // No text inside can end the script element.
    let plot = figure.plot.to_string().replace('<', "\\u003c");
    html! {
        figure.chart.wide[figure.wide] {
            h3 { (figure.title) }
            div.scroll { div.plot style={ "height:" (figure.height) "px" } {} }
            script type="application/json" { (PreEscaped(plot)) }
            figcaption { (figure.caption) }
        }
    }
}

fn extra_table(table: &Table) -> Markup {
    html! {
        figure.wide {
            h3 { (table.title) }
            div.scroll {
                table {
                    thead { tr { @for head in &table.head { th { (head) } } } }
                    tbody { @for row in &table.rows { tr { @for cell in row { td { (cell) } } } } }
                }
            }
            figcaption { (table.caption) }
        }
    }
}

/// The specs' texts, side by side.
pub(super) fn specs(run: &Run) -> Markup {
    html! {
        div.specs {
            @for (index, spec) in run.specs.iter().enumerate() {
                article {
                    h3 { (name(index, &spec.name)) }
                    p.path { (spec.path) }
                    pre tabindex="0" { code { (highlight(&spec.text)) } }
                }
            }
        }
    }
}

/// Every setting, and the notes on how the run was made.
pub(super) fn settings(run: &Run) -> Markup {
    let (steps, seeds) = (run.steps.to_string(), list(&run.seeds));
    let fixed = [("task", &run.task), ("preset", &run.preset), ("steps", &steps), ("seeds", &seeds)];
    let given = run.settings.iter().map(|(name, value)| (name.as_str(), value));
    html! {
        section {
            h2 { "Settings" }
            div.settings {
                table.pairs {
                    tbody { @for (name, value) in fixed.into_iter().chain(given) { tr { th { (name) } td { (value) } } } }
                }
                div.notes { @for note in &run.notes { p { (note) } } }
            }
        }
    }
}

fn reproduce(run: &Run) -> Markup {
    html! {
        section {
            h2 { "How to reproduce" }
            (command(&run.command))
            p {
                "The measurements are in " code { "SPEC/seed-N/metrics.jsonl" } " beside this page, one line per step."
            }
        }
    }
}

/// A command line; empty without one.
pub(super) fn command(line: &str) -> Markup {
    html! { @if !line.is_empty() { pre tabindex="0" { code { (line) } } } }
}

/// A spec's name with a sample of its colour.
fn name(index: usize, name: &str) -> Markup {
    html! { span.name { i class={ "c" (index % COLOURS) } {} (name) } }
}

/// Figures side by side; empty without any.
pub(super) fn grid(figures: impl IntoIterator<Item = Markup>) -> Markup {
    html! { div.grid { @for figure in figures { (figure) } } }
}

/// Seeds as text.
pub(super) fn list(seeds: &[u64]) -> String {
    seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}
