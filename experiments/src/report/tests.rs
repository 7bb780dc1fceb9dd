//! Tests of whole reports, with run folders for them and for other tests.

use std::fs;

use serde_json::{Value, json};

use super::load::Folder;
use super::{Summary, compare, summary, write};

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
        fs::read_to_string(write(self.0.path()).unwrap()).unwrap()
    }

    fn error(&self) -> String {
        write(self.0.path()).unwrap_err().to_string()
    }
}

const ENTROPY: &str = r#"[{"key": "entropy", "label": "entropy"}]"#;

/// The page without the charts' library, which is not ours to judge.
fn own(page: &str) -> String {
    let (before, rest) = page.split_once("<script>/**\n* plotly.js").unwrap();
    let (_, after) = rest.split_once("</script>").unwrap();
    format!("{before}{after}")
}

/// What the page's charts draw, in its order.
fn charts(page: &str) -> Vec<Value> {
    let parts = page.split("<script type=\"application/json\">").skip(1);
    parts.map(|part| serde_json::from_str(part.split_once("</script>").unwrap().0).unwrap()).collect()
}

#[test]
fn a_page_shows_the_measured_values_and_what_is_missing() {
    let folder = RunFolder::new(&[0, 1], 3, ENTROPY);
    folder.metrics("aent", 0, &[(0, 1.0), (1, 0.5), (2, 0.25)]);
    folder.metrics("aent", 1, &[(0, 2.0), (1, 0.5), (2, 0.75)]);
    let path = write(folder.0.path()).unwrap();
    assert_eq!(path, folder.0.path().join("report.html"));
    let page = fs::read_to_string(&path).unwrap();
    assert!(page.contains("none, seed 0: not begun"));
    let [chart] = &charts(&page)[..] else { panic!("expected one chart") };
    let [area, seeds, line] = &chart["data"].as_array().unwrap()[..] else { panic!("expected three traces") };
    assert_eq!((&line["name"], &line["y"]), (&json!("aent"), &json!([1.5, 0.5, 0.5])));
    assert_eq!(seeds["y"], json!([1, 0.5, 0.25, null, 2, 0.5, 0.75]));
    // Two seeds that differ by 1 and by 0.5: standard error half of that, t(1) = 12.7062.
    assert_eq!(area["y"], json!([7.8531, 0.5, 3.67655, -2.67655, 0.5, -4.8531]));
    let kept = fs::read_dir(folder.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut kept: Vec<_> = kept.map(|name| name.into_string().unwrap()).collect();
    kept.sort();
    assert_eq!(kept, ["aent", "report.html", "run.json"]);
}

#[test]
fn a_page_asks_nothing_of_the_network() {
    let folder = RunFolder::new(&[0], 2, ENTROPY);
    folder.metrics("aent", 0, &[(1, 1.0), (2, 0.5)]);
    let page = folder.page();
    assert!(page.contains("content=\"default-src 'none';"));
    let own = own(&page);
    for outside in ["<link", "<img", "src=", "href=", "@import", "http://", "https://", "url(", "fetch("] {
        assert!(!own.contains(outside), "{outside}");
    }
}

#[test]
fn the_library_is_on_the_page_once_and_ends_no_element() {
    let folder = RunFolder::new(&[0], 2, ENTROPY);
    folder.metrics("aent", 0, &[(1, 1.0), (2, 0.5)]);
    let page = folder.page();
    assert_eq!(page.matches("plotly.js (basic - minified) v3.").count(), 1);
    // The chart's values, the library, and the page's own script.
    assert_eq!(page.matches("<script").count(), page.matches("</script").count());
    assert_eq!(page.matches("</script").count(), 3);
}

#[test]
fn whatever_a_user_can_name_is_escaped() {
    const EVIL: &str = "</script><script>alert('x')</script>&\\\"";
    const NAME: &str = "</script><script>alert('x')</script>&\"";
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
    let own = own(&page);
    assert!(!own.contains("<script>alert") && !own.contains("</script><script>"));
    assert!(own.matches("&lt;/script&gt;&lt;script&gt;alert(").count() > 20);
    // In the charts the name is whole again, as text that plotly.js does not read as markup.
    let [_, bars, lines] = &charts(&page)[..] else { panic!("expected three charts") };
    let escaped = NAME.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for chart in [bars, lines] {
        assert_eq!(chart["data"][0]["name"], escaped.as_str());
        assert_eq!(chart["layout"]["yaxis"]["title"]["text"], escaped.as_str());
    }
    assert_eq!(bars["layout"]["xaxis"]["ticktext"][0], escaped.as_str());
}

#[test]
fn the_charts_of_a_long_run_stay_under_two_megabytes() {
    let series: Vec<String> =
        (0..8).map(|index| format!(r#"{{"key": "entropy", "label": "entropy {index}"}}"#)).collect();
    let folder = RunFolder::new(&[0, 1, 2, 3, 4], 4000, &format!("[{}]", series.join(",")));
    for seed in 0..5 {
        let wave = |step: u64| ((step * (seed + 3)) as f64 * 0.7).sin() + (step as f64 * 0.001);
        let values: Vec<(u64, f64)> = (1..=4000).map(|step| (step, wave(step))).collect();
        folder.metrics("aent", seed, &values);
        folder.metrics("none", seed, &values);
    }
    let length = own(&folder.page()).len();
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
    assert_eq!(charts(&folder.page()).len(), 5);
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
    let path = compare(&tasks, out.path(), &["Chosen <so>".to_owned()]).unwrap();
    assert_eq!(path, out.path().join("report.html"));
    let page = fs::read_to_string(&path).unwrap();
    // Two charts of differences and, for each task, the score and the entropy.
    let charts = charts(&page);
    assert_eq!(charts.len(), 2 + 2 * 2);
    assert_eq!((&charts[0]["data"][0]["name"], &charts[0]["data"][0]["y"]), (&json!("none"), &json!([0, 0])));
    assert_eq!(
        (&charts[2]["data"][1]["name"], &charts[2]["data"][1]["y"]),
        (&json!("none"), &json!([0.5, 0.7]))
    );
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
