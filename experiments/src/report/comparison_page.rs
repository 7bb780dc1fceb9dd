//! The page that compares runs: all results in one table, then each task with its curves, settings and specs.

use std::path::Path;

use maud::{Markup, html};

use super::chart::Figure;
use super::comparison::{Compared, distinct, overview};
use super::page::{
    command, controls, document, grid, list, named_table, picture, sentences, settings, specs,
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
    let first = distinct(runs.iter().map(Compared::first)).join(" or ");
    let caption = html! {
        "Mean over seeds ± half the width of its 95% interval (Student’s t), at the end: over the last 5% of the steps. \
         Differences are paired by seed."
    };
    let body = html! {
        header {
            p.kicker { "aent compare" }
            h1 { (title) }
            p.lead {
                "The first loss of a task, " (first) ", is what the others are compared with. Only the loss differs within a task: all \
                 losses of a seed begin with the same policy, meet the same problems and draw the same random numbers."
            }
        }
        (sentences("findings", "How it was set up", notes))
        section {
            h2 { "All losses" }
            (named_table(&overview(runs), &caption))
            (controls())
            (grid(bars.iter().map(picture)))
        }
        @for run in shown { (task(run)) }
    };
    document(&title, &body)
}

/// One run: table, curves, settings, specs.
fn task(shown: &Shown<'_>) -> Markup {
    let run = shown.run;
    let described = &run.folder.run;
    let table = run.table();
    html! {
        section {
            h2 { "The task " (described.task) }
            p { (described.steps) " steps on each of the seeds " (list(&described.seeds)) ". " (whole(shown.path)) }
            (sentences("warning", "Not finished", &run.summary.unfinished))
            (named_table(&table, &html! { (table.caption) }))
            (grid(shown.curves.iter().map(picture)))
        }
        (settings(described))
        section {
            h2 { "The losses on " (described.task) }
            (specs(described))
            (command(&described.command))
        }
    }
}

/// The path of the run's own report, as a link if it is below the page.
fn whole(path: &Path) -> Markup {
    let report = path.join("report.html");
    let plain =
        |path: &&str| path.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter));
    let inside = report.to_str().filter(|_| path.is_relative()).filter(plain);
    html! {
        "The run’s own report, with every measurement: "
        @match inside {
            Some(inside) => a href=(inside) { (inside) },
            None => code { (report.display()) },
        }
        "."
    }
}
