//! States of every format that was ever written: what an older release saved goes on in this one.

use super::{Folder, advance, assert_refused, session};
use std::fs;
use std::path::PathBuf;

/// Written after five steps of [`advance`].
const STEPS: u64 = 5;

fn stored(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/state").join(name)
}

fn text() -> String {
    fs::read_to_string(stored("v1.aent")).unwrap()
}

#[test]
fn a_state_of_each_format_goes_on_where_its_run_stopped() {
    for format in ["v1.json", "v2.json"] {
        let mut session = session(&text());
        session.load(stored(format)).unwrap();
        let saved: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(stored(format)).unwrap()).unwrap();
        let value = |of: &serde_json::Value| match of.as_array() {
            Some(pair) => (pair[0].as_str().unwrap().to_owned(), pair[1]["value"].as_f64().unwrap()),
            None => (of["name"].as_str().unwrap().to_owned(), of["state"]["value"].as_f64().unwrap()),
        };
        let values: Vec<_> = saved["controllers"].as_array().unwrap().iter().map(value).collect();
        assert_eq!(session.coefficients(), values.into_iter().collect(), "{format}");
        assert_eq!(session.steps(), STEPS, "{format}");
        // The run that wrote it, taken again and on: memory was restored too.
        let mut whole = super::session(&text());
        for _ in 0..STEPS {
            advance(&mut whole);
        }
        for _ in 0..5 {
            let (found, expected) = (session.coefficients(), whole.coefficients());
            for (name, expected) in expected {
                let apart = (found[&name] - expected).abs();
                assert!(apart <= 1e-9 * expected.abs(), "{format} {name}: {} and {expected}", found[&name]);
            }
            advance(&mut session);
            advance(&mut whole);
        }
    }
}

#[test]
fn a_state_of_format_1_belongs_to_its_controllers_too() {
    // What no controller depends on may change.
    let fits = format!(
        "{}\nmetric more = token_mean(log_prob)",
        text().replace("clip_ppo()", "clip_ppo(high = 0.3)")
    );
    session(&fits).load(stored("v1.json")).unwrap();
    // And a controller may not.
    for (from, to, words) in [
        ("target = 0.9", "target = 0.8", ["controller `band`", "`target` is 0.8 .. 0.8 here and 0.9 .. 0.9"]),
        ("2 * token_mean(h * h)", "3 * token_mean(h * h)", ["controller `share`", "its signal is"]),
        ("drop = 30%", "drop = 40%", ["controller `pid`", "clamped_entropy"]),
        (
            "controller ramp    = cosine",
            "controller ramp    = linear",
            ["controller `ramp`", "`linear` here and `cosine`"],
        ),
    ] {
        assert!(text().contains(from), "{from}");
        assert_refused(&mut session(&text().replace(from, to)), &stored("v1.json"), &words);
    }
}

#[test]
fn what_is_written_today_is_the_newest_format_and_says_so() {
    let folder = Folder::new("format");
    let path = folder.file("state.json");
    session(&text()).save(&path).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let stored: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(stored("v2.json")).unwrap()).unwrap();
    assert_eq!(saved["format"], stored["format"]);
    assert_eq!(saved["format"], 2);
    // Whoever changes what is written makes a new format and keeps reading this one.
    for (saved, stored) in
        saved["controllers"].as_array().unwrap().iter().zip(stored["controllers"].as_array().unwrap())
    {
        for key in ["name", "kind", "args", "signal"] {
            assert_eq!(saved[key], stored[key]);
        }
    }
}

#[test]
fn a_state_of_another_format_is_refused_with_both_numbers() {
    let folder = Folder::new("other-format");
    let path = folder.file("state.json");
    let mut state = serde_json::to_value(session(&text()).state()).unwrap();
    state["format"] = 99.into();
    fs::write(&path, state.to_string()).unwrap();
    assert_refused(&mut session(&text()), &path, &["format 1 to 2", "format 99"]);
    // A later format may hold anything else besides.
    fs::write(&path, "{\"format\": 99, \"everything\": \"else\"}").unwrap();
    assert_refused(&mut session(&text()), &path, &["format 1 to 2", "format 99"]);
}
