//! The page that compares runs: all results in one table, then each task with its curves, settings and specs.

use std::fmt::Write;
use std::path::Path;

use super::chart::Figure;
use super::comparison::{Compared, distinct, overview};
use super::page::{
    CONTROLS, document, escape, grid, named_table, picture, section, sentences, settings, specs,
};

/// A run with its path and its charts.
pub(super) struct Shown<'a> {
    /// The scores.
    pub(super) run: &'a Compared,
    /// Its path, relative to the page's folder if it is below.
    pub(super) path: &'a Path,
    /// Its curves.
    pub(super) curves: Vec<Figure>,
}

/// The whole page; `bars` compare the runs.
pub(super) fn page(runs: &[Compared], bars: &[Figure], shown: &[Shown<'_>], notes: &[String]) -> String {
    let tasks: Vec<&str> = runs.iter().map(|run| run.folder.run.task.as_str()).collect();
    let title = format!("Losses compared on {}", tasks.join(" and "));
    let mut body = format!(
        "<header>\n<p class=\"kicker\">aent compare</p>\n<h1>{}</h1>\n<p class=\"lead\">The first loss of a task, {}, is what \
         the others are compared with. Only the loss differs within a task: all losses of a seed begin with the same policy, \
         meet the same problems and draw the same random numbers.</p>\n</header>\n",
        escape(&title),
        first(runs)
    );
    body.push_str(&sentences("findings", "How it was set up", notes));
    let caption = "Mean over seeds ± half the width of its 95% interval (Student’s t), at the end: over the last 5% of the steps. \
                   Differences are paired by seed.";
    body.push_str(&section(
        "All losses",
        &format!("{}{CONTROLS}{}", named_table(&overview(runs), caption), grid(bars.iter().map(picture))),
    ));
    body.extend(shown.iter().map(task));
    document(&title, &body)
}

/// One run: table, curves, settings, specs.
fn task(shown: &Shown<'_>) -> String {
    let run = shown.run;
    let described = &run.folder.run;
    let seeds: Vec<String> = described.seeds.iter().map(u64::to_string).collect();
    let table = run.table();
    let mut body = format!(
        "<p>{} steps on each of the seeds {}. {}</p>\n",
        described.steps,
        seeds.join(", "),
        whole(shown.path)
    );
    body.push_str(&sentences("warning", "Not finished", &run.summary.unfinished));
    body.push_str(&named_table(&table, &table.caption));
    body.push_str(&grid(shown.curves.iter().map(picture)));
    let mut page = section(&format!("The task {}", escape(&described.task)), &body);
    page.push_str(&settings(described));
    let command = format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", escape(&described.command));
    page.push_str(&section(
        &format!("The losses on {}", escape(&described.task)),
        &(specs(described) + &command),
    ));
    page
}

/// The path of the run's own report, as a link if it is below the page.
fn whole(path: &Path) -> String {
    let plain =
        |path: &str| path.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter));
    let inside = path.to_str().filter(|text| path.is_relative() && plain(text));
    let mut text = "The run’s own report, with every measurement: ".to_owned();
    let _ = match inside {
        Some(inside) => write!(text, "<a href=\"{inside}/report.html\">{inside}/report.html</a>."),
        None => write!(text, "<code>{}</code>.", escape(&path.join("report.html").display().to_string())),
    };
    text
}

/// The first loss of each task.
fn first(runs: &[Compared]) -> String {
    let names: Vec<String> = distinct(runs.iter().map(Compared::first)).into_iter().map(escape).collect();
    names.join(" or ")
}
