//! Tests of whole reports, with run folders for them and for other tests.

use std::fs;

use super::load::Folder;
use super::{Summary, compare, file_name, summary, write};

/// A run folder with the specs `aent` and `none`, removed at the end of its test.
pub(super) struct RunFolder(tempfile::TempDir);

impl RunFolder {
    /// A folder with a `run.json` and no metrics yet.
    pub(super) fn new(seeds: &[u64], steps: u64, series: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.describe(&format!(
            r#"{{"task": "arithmetic", "title": "t", "preset": "demo", "created": "2026-01-01T00:00:00Z",
                "seeds": {seeds:?}, "steps": {steps}, "command": "aent train again", "series": {series},
                "specs": [{{"name": "aent", "path": "a.aent", "text": "loss = 1"}},
                          {{"name": "none", "path": "n.aent", "text": "loss = 1"}}]}}"#
        ));
        folder
    }

    /// Replaces `run.json`.
    pub(super) fn describe(&self, run: &str) {
        fs::write(self.0.path().join("run.json"), run).unwrap();
    }

    /// Writes the entropy of one spec and seed.
    pub(super) fn metrics(&self, spec: &str, seed: u64, values: &[(u64, f64)]) {
        let folder = self.0.path().join(spec).join(format!("seed-{seed}"));
        fs::create_dir_all(&folder).unwrap();
        let line = |(step, value): &(u64, f64)| format!("{{\"step\": {step}, \"entropy\": {value}}}\n");
        fs::write(folder.join("metrics.jsonl"), values.iter().map(line).collect::<String>()).unwrap();
    }

    /// Reads the folder.
    pub(super) fn read(&self) -> Folder {
        Folder::read(self.0.path()).unwrap()
    }

    /// The folder's figures.
    pub(super) fn summary(&self) -> Summary {
        summary(self.0.path()).unwrap()
    }

    /// Writes the report and reads the page.
    fn page(&self) -> String {
        fs::read_to_string(write(self.0.path()).unwrap().html).unwrap()
    }

    fn error(&self) -> String {
        write(self.0.path()).unwrap_err().to_string()
    }
}

const ENTROPY: &str = r#"[{"key": "entropy", "label": "entropy"}]"#;

#[test]
fn a_report_is_a_page_and_the_same_charts_as_pictures() {
    let folder = RunFolder::new(&[0], 3, ENTROPY);
    folder.metrics("aent", 0, &[(1, 1.0), (2, 0.5), (3, 0.2)]);
    let report = write(folder.0.path()).unwrap();
    assert_eq!(report.html, folder.0.path().join("report.html"));
    assert_eq!(report.plots, [folder.0.path().join("plots/01-entropy.png")]);
    assert!(fs::read(&report.plots[0]).unwrap().starts_with(b"\x89PNG"));
    let page = fs::read_to_string(&report.html).unwrap();
    assert_eq!(page.matches("<svg").count(), report.plots.len());
    assert!(page.contains("none, seed 0: not begun"));
    let left = |folder: &std::path::Path| {
        let names =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".partial")).count()
    };
    assert_eq!(left(folder.0.path()) + left(&folder.0.path().join("plots")), 0);
}

#[test]
fn a_page_asks_nothing_of_the_network() {
    let folder = RunFolder::new(&[0], 2, ENTROPY);
    folder.metrics("aent", 0, &[(1, 1.0), (2, 0.5)]);
    let page = folder.page();
    for outside in ["<script", "<link", "<img", "src=", "href=", "@import", "http://", "https://", "url(h"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn whatever_a_user_can_name_is_escaped() {
    const EVIL: &str = "<script>alert('x')</script>&\\\"";
    let folder = RunFolder::new(&[0], 2, "[]");
    folder.describe(&format!(
        r#"{{"task": "{EVIL}", "title": "{EVIL}", "preset": "{EVIL}", "created": "{EVIL}", "seeds": [0],
            "steps": 2, "command": "{EVIL}", "settings": [["{EVIL}", "{EVIL}"]], "notes": ["{EVIL}"],
            "findings": ["{EVIL}"],
            "specs": [{{"name": "aent", "path": "{EVIL}", "text": "{EVIL}", "summary": "{EVIL}"}}],
            "series": [{{"key": "entropy", "label": "{EVIL}", "unit": "{EVIL}"}}],
            "charts": [
                {{"kind": "bars", "title": "{EVIL}", "x": ["{EVIL}"], "x_label": "{EVIL}", "y_label": "{EVIL}",
                  "groups": [{{"name": "{EVIL}", "values": [1]}}], "caption": "{EVIL}"}},
                {{"kind": "lines", "title": "{EVIL}", "x_label": "{EVIL}", "y_label": "{EVIL}",
                  "lines": [{{"name": "{EVIL}", "x": [1, 2], "y": [1, 2]}}], "caption": "{EVIL}"}},
                {{"kind": "table", "title": "{EVIL}", "head": ["{EVIL}"], "rows": [["{EVIL}"]]}}]}}"#
    ));
    folder.metrics("aent", 0, &[(1, 1.0), (2, 0.5)]);
    let page = folder.page();
    assert!(!page.contains("<script"));
    assert!(!page.contains("alert('x')"));
    assert!(page.matches("alert(&#39;x&#39;)").count() > 20);
}

#[test]
fn a_long_run_stays_under_two_megabytes() {
    let series: Vec<String> =
        (0..8).map(|index| format!(r#"{{"key": "entropy", "label": "entropy {index}"}}"#)).collect();
    let folder = RunFolder::new(&[0, 1, 2, 3, 4], 4000, &format!("[{}]", series.join(",")));
    for seed in 0..5 {
        let wave = |step: u64| ((step * (seed + 3)) as f64 * 0.7).sin() + (step as f64 * 0.001);
        let values: Vec<(u64, f64)> = (1..=4000).map(|step| (step, wave(step))).collect();
        folder.metrics("aent", seed, &values);
        folder.metrics("none", seed, &values);
    }
    let length = folder.page().len();
    assert!((100_000..2_000_000).contains(&length), "{length}");
}

#[test]
fn a_folder_without_a_run_says_what_to_name() {
    let folder = tempfile::tempdir().unwrap();
    let message = write(folder.path()).unwrap_err().to_string();
    assert!(message.contains(&folder.path().display().to_string()), "{message}");
    assert!(message.contains("name the folder that `aent train` printed"), "{message}");
}

#[test]
fn a_run_without_a_step_says_how_to_start_it() {
    let folder = RunFolder::new(&[0], 2, ENTROPY);
    folder.metrics("aent", 0, &[]);
    let message = folder.error();
    assert!(message.contains("start it again with `aent train again`"), "{message}");
    assert!(!folder.0.path().join("report.html").exists());
}

#[test]
fn a_wrong_description_names_the_file_and_the_fault() {
    let folder = RunFolder::new(&[0], 2, ENTROPY);
    folder.describe(r#"{"task": 1}"#);
    let message = folder.error();
    assert!(message.contains("run.json") && message.contains("expected a string"), "{message}");
}

#[test]
fn empty_charts_and_specs_without_metrics_still_make_a_page() {
    let folder = RunFolder::new(&[0], 1, ENTROPY);
    let run = fs::read_to_string(folder.0.path().join("run.json")).unwrap();
    folder.describe(&run.replacen(
        r#""series""#,
        r#""charts": [{"kind": "bars", "title": "", "x": [], "y_label": "", "groups": []},
            {"kind": "bars", "title": "ragged", "x": ["a", "b"], "y_label": "",
             "groups": [{"name": "g", "values": [null], "errors": [], "reference": [1, null, 3]}]},
            {"kind": "lines", "title": "", "x_label": "", "y_label": "", "lines": []},
            {"kind": "lines", "title": "ragged", "x_label": "", "y_label": "", "scale": "log",
             "lines": [{"name": "l", "x": [1, 2, 3], "y": [0, null], "low": [1], "high": []}]},
            {"kind": "table", "title": "", "head": [], "rows": [[]]}], "series""#,
        1,
    ));
    folder.metrics("aent", 0, &[(1, 1.0)]);
    assert_eq!(folder.page().matches("<svg").count(), 5);
}

#[test]
fn plots_are_named_after_their_headings() {
    assert_eq!(file_name("reward (exact match)"), "reward-exact-match");
    assert_eq!(file_name("../../é"), "plot");
    assert!(file_name(&"long ".repeat(50)).len() <= 48);
}

#[test]
fn a_comparison_opens_with_all_tasks_and_links_to_their_reports() {
    let out = tempfile::tempdir().unwrap();
    let series = r#"[{"key": "reward", "label": "reward"}, {"key": "entropy", "label": "entropy"},
        {"key": "length", "label": "length"}]"#;
    let tasks = ["one", "two"].map(|task| {
        let folder = out.path().join(task);
        fs::create_dir_all(folder.join("aent/seed-0")).unwrap();
        fs::create_dir_all(folder.join("none/seed-0")).unwrap();
        let run = format!(
            r#"{{"task": "{task}", "title": "t", "preset": "", "created": "", "seeds": [0], "steps": 2,
                "command": "train {task} <again>", "settings": [["rate", "7e-4"]], "series": {series},
                "specs": [{{"name": "aent", "path": "a.aent", "text": "loss = 1"}},
                          {{"name": "none", "path": "n.aent", "text": "loss = 2"}}]}}"#
        );
        fs::write(folder.join("run.json"), run).unwrap();
        for spec in ["aent", "none"] {
            let lines = r#"{"step": 0, "reward": 0.5, "entropy": 1, "length": 1}
                {"step": 1, "reward": 0.7, "entropy": 1, "length": 1}"#;
            fs::write(folder.join(spec).join("seed-0/metrics.jsonl"), lines).unwrap();
        }
        folder
    });
    let report = compare(&tasks, out.path(), &["Chosen <so>".to_owned()]).unwrap();
    assert_eq!(report.html, out.path().join("report.html"));
    // Two charts of differences and, for each task, the score and the entropy.
    assert_eq!(report.plots.len(), 2 + 2 * 2);
    assert!(report.plots.iter().all(|plot| plot.exists()));
    let page = fs::read_to_string(&report.html).unwrap();
    assert_eq!(page.matches("<svg").count(), report.plots.len());
    for part in ["href=\"one/report.html\"", "href=\"two/report.html\"", "7e-4", "train one &lt;again&gt;"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(page.contains("Chosen &lt;so&gt;") && !page.contains("<again>"));
    assert!(page.find("All losses").unwrap() < page.find("The task one").unwrap());
}

#[test]
fn runs_of_different_numbers_of_losses_are_not_compared() {
    let two = RunFolder::new(&[0], 1, ENTROPY);
    let one = RunFolder::new(&[0], 1, ENTROPY);
    two.metrics("aent", 0, &[(0, 1.0)]);
    one.metrics("aent", 0, &[(0, 1.0)]);
    let run = fs::read_to_string(one.0.path().join("run.json")).unwrap();
    one.describe(&run.replace(
        r#",
                          {"name": "none", "path": "n.aent", "text": "loss = 1"}"#,
        "",
    ));
    let out = tempfile::tempdir().unwrap();
    let folders = [two.0.path().to_path_buf(), one.0.path().to_path_buf()];
    let message = compare(&folders, out.path(), &[]).unwrap_err().to_string();
    assert!(message.contains("expected 2 losses") && message.contains("found 1"), "{message}");
    assert!(!out.path().join("report.html").exists());
}
