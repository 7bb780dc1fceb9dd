//! `aent check --format`, for programs other than this one.

use super::fixture::Folder;
use serde_json::{Value, json};

/// An error with a label on another line, a warning, and a name before it that has two bytes for each letter.
const TEXT: &str = "# é\nlet a = 1\nlet a = token_mean(\n    entropi\n)\nloss = -token_mean(log_prob)\n";

#[test]
fn short_is_one_line_for_each_finding() {
    let folder = Folder::with("a.aent", TEXT);
    let ran = folder.run(&["check", "a.aent", "--format", "short"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.stdout,
        "a.aent:3:5: error[duplicate-name]: `a` is defined twice (nothing shadows anything: take another name)\n\
         a.aent:4:5: error[unknown-name]: there is no `entropi` (did you mean `entropy`?)\n"
    );
    assert_eq!(ran.stderr, "1 file checked: 2 errors\n");
    assert_eq!(folder.run(&["check", "a.aent", "--format", "short", "-q"]).stderr, "");
}

#[test]
fn places_have_an_end_and_names_a_fix() {
    let json = Folder::with("a.aent", TEXT).run(&["check", "a.aent", "--format", "json"]).json();
    let item = &json["diagnostics"][1];
    let start = TEXT.find("entropi").unwrap();
    let span = json!({
        "start": start, "end": start + 7, "line": 4, "column": 5, "end_line": 4, "end_column": 12,
    });
    assert_eq!(item["span"], span);
    let edit = json!({ "file": "a.aent", "span": span, "replacement": "entropy" });
    assert_eq!(item["fix"], json!({ "edits": [edit] }));
    assert_eq!(json["diagnostics"][0]["fix"], Value::Null);
}

#[test]
fn github_shows_findings_beside_the_lines() {
    let folder = Folder::with("50%,a:b.aent", TEXT);
    folder.write("c.aent", "loss = token_mean(\n    log_prob > 0\n    or 1\n)\n");
    let ran = folder.run(&["check", "50%,a:b.aent", "c.aent", "missing.aent", "--format", "github"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[1],
        "::error file=50%25%2Ca%3Ab.aent,line=4,col=5,endLine=4,endColumn=12,title=unknown-name::there is no `entropi`%0Ahelp: did you mean `entropy`?"
    );
    assert!(
        lines.last().unwrap().starts_with("::error file=missing.aent,title=unreadable-file::"),
        "{lines:?}"
    );
    assert_eq!(ran.code, 1);
}

#[test]
fn sarif_has_what_code_scanning_requires() {
    let folder = Folder::with("a b.aent", TEXT);
    folder.write("c.aent", "let spare = 1\nloss = -token_mean(log_prob)\n");
    let ran = folder.run(&["check", "a b.aent", "c.aent", "missing.aent", "--format", "sarif"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let log = ran.json();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert_eq!(run["tool"]["driver"]["name"], "aent");
    let results = run["results"].as_array().unwrap();
    let levels: Vec<_> = results.iter().map(|of| (of["ruleId"].as_str(), of["level"].as_str())).collect();
    assert_eq!(
        levels,
        [
            (Some("duplicate-name"), Some("error")),
            (Some("unknown-name"), Some("error")),
            (Some("unused-let"), Some("warning")),
            (Some("unreadable-file"), Some("error")),
        ]
    );
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in results {
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
        assert!(result["message"]["text"].is_string());
    }
    for rule in rules {
        assert!(rule["shortDescription"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{rule}");
    }
    let place = &results[1]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%20b.aent");
    let region = json!({ "startLine": 4, "startColumn": 5, "endLine": 4, "endColumn": 12 });
    assert_eq!(place["region"], region);
    let change = &results[1]["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["artifactLocation"]["uri"], "a%20b.aent");
    let replacement = json!({ "deletedRegion": region, "insertedContent": { "text": "entropy" } });
    assert_eq!(change["replacements"], json!([replacement]));
    let first = &results[0]["relatedLocations"][0];
    assert_eq!(first["physicalLocation"]["region"]["startLine"], 2);
    assert_eq!(results[3]["locations"][0]["physicalLocation"].get("region"), None);
}

#[test]
fn nothing_found_is_a_log_without_results() {
    let folder = Folder::with("a.aent", "loss = -token_mean(log_prob)\n");
    let ran = folder.run(&["check", "a.aent", "--format", "sarif"]);
    assert_eq!((ran.code, &ran.json()["runs"][0]["results"]), (0, &json!([])));
    for format in ["short", "github"] {
        assert_eq!(folder.run(&["check", "a.aent", "--format", format]).stdout, "");
    }
}
