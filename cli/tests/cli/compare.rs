//! `aent compare`, as far as it is the command line's; what the page says is tested where it is made.

use super::fixture::Folder;

#[test]
fn two_finished_runs_become_one_page() {
    let folder = Folder::new();
    for task in ["sums", "table"] {
        let run = format!(
            r#"{{"task": "{task}", "title": "", "preset": "", "created": "", "seeds": [0], "steps": 1,
                "specs": [{{"name": "grpo", "path": "", "text": ""}}], "series": [{{"key": "reward", "label": "reward"}}]}}"#
        );
        std::fs::create_dir_all(folder.path(&format!("{task}/grpo/seed-0"))).unwrap();
        folder.write(&format!("{task}/run.json"), run);
        folder.write(&format!("{task}/grpo/seed-0/metrics.jsonl"), r#"{"step": 0, "reward": 0.5}"#);
    }
    let ran = folder.run(&["compare", "sums", "table", "--out", "both", "--note", "As published."]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout, "comparison: both/report.html\n");
    let page = folder.read("both/report.html");
    assert!(page.contains("Losses compared on sums and table") && page.contains("As published."));
    let ran = folder.run(&["compare", "sums", "table", "--out", "./table"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
    assert!(ran.stderr.contains("`--out ./table`") && ran.stderr.contains("`table`"), "{}", ran.stderr);
    assert!(!folder.path("table/report.html").exists());
}

#[test]
fn a_folder_without_a_run_is_refused() {
    Folder::new().run(&["compare", "nowhere", "--out", "."]).refused("expected a run folder");
}
