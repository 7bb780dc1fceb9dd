//! `aent explain`

use super::fixture::{Folder, SPEC};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

/// Large enough for the tensors to stand out from what a process holds anyway.
const VOCABULARY: i64 = 1 << 17;

#[test]
fn a_file_is_explained_with_what_it_costs() {
    let ran = Folder::with("a.aent", SPEC).run(&["explain", "a.aent"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in [
        "# Typed program",
        "log_prob over all tokens at temperature 1",
        "entropy over drop = 0.3 at temperature 1",
        "the logits are read once",
        "Their masks are counted first",
        "a vocabulary of 151,936",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[test]
fn what_a_batch_brings_and_what_may_be_set_come_first() {
    let text = "param eps = 20% in 0 .. 1\nparam k = 2\ninput w: seq\n\
                loss = k * token_mean(w * clip_ppo(high = eps)) + token_mean((values - returns)^2)\n";
    let folder = Folder::with("a.aent", text);
    let ran = folder.run(&["explain", "a.aent", "--set", "k=3"]);
    let (head, _) = ran.stdout.split_once("# Typed program").unwrap();
    let lines: Vec<Vec<&str>> = head.lines().map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<&str> = lines.iter().filter_map(|words| words.first().copied()).collect();
    let fields =
        ["logits", "actions", "response_mask", "old_log_prob", "advantages", "values", "returns", "w"];
    assert_eq!(names, [&["#"], &fields[..], &["#", "eps", "k"]].concat(), "{head}");
    for part in [
        "[B, T, V] grad  the policy's; or `hidden` [B, T, D] with `lm_head` [V, D], or `log_prob`",
        "token grad      the critic's values",
        "declared in a.aent, line 3",
        "eps = 0.2  in 0 .. 1\n",
        "k = 3      any number  2 in the file\n",
    ] {
        assert!(head.contains(part), "{part}: {head}");
    }
}

#[test]
fn programs_get_the_same_as_json() {
    let ran =
        Folder::with("a.aent", SPEC).run(&["explain", "a.aent", "--format", "json", "--vocabulary", "1000"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let json = ran.json();
    let field = |name: &str| {
        let fields = json["fields"].as_array().unwrap().iter();
        fields.clone().find(|of| of["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
    };
    assert_eq!((&field("logits")["type"], &field("logits")["gradient"]), (&"[B, T, V]".into(), &true.into()));
    assert_eq!(field("old_log_prob")["gradient"], false);
    let eps = json!({ "name": "eps", "value": 0.2, "default": 0.2, "range": [0.0, 1.0], "choices": null, "docs": "" });
    assert_eq!(json["params"], json!([eps]));
    assert_eq!(json["controllers"], json!(["beta"]));
    assert_eq!(json["metrics"], json!(["clip_fraction"]));
    assert_eq!(json["first_pass"], "counts");
    assert_eq!(json["requires"][0]["need"], "tokens");
    assert!(json["requires"][0]["place"].as_str().unwrap().starts_with("a.aent:"));
    assert_eq!(json["memory"]["bytes"][1]["token"]["gradient"], 4000);
    assert!(json["program"].as_str().unwrap().ends_with("loss = %10\n"));
}

#[test]
fn a_name_of_the_language_is_sent_to_its_page() {
    Folder::new().run(&["explain", "token_mean"]).refused("`aent terms token_mean` describes it");
}

#[test]
fn memory_is_that_of_the_vocabulary_asked_for() {
    let folder = Folder::with("a.aent", SPEC);
    let ran = folder.run(&["explain", "a.aent", "--vocabulary", "1000"]);
    let bytes = ran.stdout.lines().find_map(|line| line.strip_prefix("gradient of the logits")).unwrap();
    let bytes: Vec<_> = bytes.split_whitespace().collect();
    assert_eq!(bytes, ["2,000", "4,000", "8,000"], "{}", ran.stdout);
    for option in ["--vocabulary", "--sequences", "--length"] {
        assert_eq!(folder.run(&["explain", "a.aent", option, "0"]).code, 2, "{option}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_peak_of_a_step_is_the_one_that_is_explained() {
    let logits =
        |sequences| vec![("logits", Tensor::randn([sequences, 64, VOCABULARY], (Kind::Float, Device::Cpu)))];
    // The batch's own hidden states are too small to count.
    let hidden = |sequences| {
        let float = (Kind::Float, Device::Cpu);
        vec![
            ("hidden", Tensor::randn([sequences, 64, 4], float)),
            ("lm_head", Tensor::randn([VOCABULARY, 4], float)),
        ]
    };
    grows_as_explained("together", logits);
    grows_as_explained("adds, from hidden states", hidden);
}

/// From one sequence to four, so that what the process holds besides cancels in the difference.
fn grows_as_explained(line: &str, policy: impl Fn(i64) -> Vec<(&'static str, Tensor)>) {
    let folder = Folder::with("a.aent", SPEC);
    let peak = |sequences: i64| {
        let shape = [sequences, 64];
        let mut fields = policy(sequences);
        fields.extend([
            ("actions", Tensor::zeros(shape, (Kind::Int64, Device::Cpu))),
            ("response_mask", Tensor::ones(shape, (Kind::Bool, Device::Cpu))),
            ("old_log_prob", Tensor::full(shape, -12.0, (Kind::Float, Device::Cpu))),
            ("advantages", Tensor::ones(shape, (Kind::Float, Device::Cpu))),
        ]);
        Tensor::write_safetensors(&fields, folder.path("batch.safetensors")).unwrap();
        let mut eval = folder.command(&["eval", "a.aent", "--batch", "batch.safetensors", "--repeat", "1"]);
        // Else the allocator keeps some of the room in which the file was read, and how much is luck.
        let ran = eval.env("MALLOC_MMAP_THRESHOLD_", "1000000").output().unwrap();
        let json: Value = serde_json::from_slice(&ran.stdout).unwrap();
        json["peak_rss_bytes"].as_u64().unwrap() as f64
    };
    let explained = |sequences: &str| {
        let size = ["--sequences", sequences, "--length", "64", "--vocabulary", &VOCABULARY.to_string()];
        let ran = folder.run(&[&["explain", "a.aent"], size.as_slice()].concat());
        let values = ran.stdout.lines().find_map(|found| found.strip_prefix(line)).unwrap();
        // Numbers with their units, kind by kind; the second kind is f32.
        let values: Vec<_> = values.split_whitespace().collect();
        assert_eq!(values[3], "MiB", "{values:?}");
        values[2].parse::<f64>().unwrap() * 1024.0 * 1024.0
    };
    let (measured, expected) = (peak(4) - peak(1), explained("4") - explained("1"));
    assert!((measured / expected - 1.0).abs() < 0.02, "{line}: measured {measured}, explained {expected}");
}

#[test]
fn what_spans_the_batch_is_said() {
    let text = "let fork = top_fraction(entropy, 20%)\nloss = -token_mean(where(fork, log_prob, 0))\n";
    let ran = Folder::with("a.aent", text).run(&["explain", "a.aent"]);
    assert!(ran.stdout.contains("The model runs on each of them twice"), "{}", ran.stdout);
}

#[test]
fn a_wrong_file_is_refused() {
    Folder::with("a.aent", "loss = nothing").run(&["explain", "a.aent"]).refused("unknown-name");
    Folder::new().run(&["explain", "missing.aent"]).refused("unreadable-file");
}

#[test]
fn an_id_is_explained_with_an_example() {
    let ran = Folder::new().run(&["explain", "unknown-name"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.starts_with("# unknown-name (error)\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("```aent"));
    Folder::new().run(&["explain", "unknow-name"]).refused("did you mean `unknown-name`?");
}

#[test]
fn all_ids_make_one_document() {
    let ran = Folder::new().run(&["explain", "--all", "--markdown"]);
    assert_eq!(ran.code, 0);
    for code in aent::diag::codes::CODES {
        assert!(ran.stdout.contains(&format!("\n## {}\n", code.id)), "{}", code.id);
    }
    assert_eq!(Folder::new().run(&["explain"]).code, 2);
}
