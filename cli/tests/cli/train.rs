//! `aent train`, as far as it is the command line's; what training does is tested where it is done.

use super::fixture::{Folder, SPEC};

#[test]
fn a_file_that_is_wrong_is_refused_before_anything_is_written() {
    let folder = Folder::with("a.aent", "loss = nothing\n");
    folder
        .run(&["train", "a.aent", "--task", "arithmetic", "--out", "runs", "--quiet"])
        .refused("there is no `nothing`");
    assert!(!folder.path("runs/report.html").exists());
}

#[test]
fn an_unknown_preset_or_parameter_is_refused() {
    let folder = Folder::with("a.aent", SPEC);
    let refused = |more: &[&str], part: &str| {
        let args = [&["train", "a.aent", "--task", "arithmetic", "--out", "runs", "--quiet"], more].concat();
        folder.run(&args).refused(part);
    };
    refused(&["--preset", "no-such-preset"], "no-such-preset");
    refused(&["--set", "epz=1"], "epz");
}

#[test]
fn a_small_run_ends_with_a_table_and_a_report() {
    let folder = Folder::with("grpo.aent", "loss = token_mean(clip_ppo(low = 0.2, high = 0.28))\n");
    let mut args =
        vec!["train", "grpo.aent", "--task", "arithmetic", "--steps", "2", "--seeds", "0", "--out", "r"];
    for setting in ["warmup_steps=3", "warmup_batch=8", "prompts=4", "group=2", "held_out=8"] {
        args.extend(["--task-set", setting]);
    }
    let ran = folder.run(&args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stdout.contains("| grpo |"), "{}", ran.stdout);
    assert!(ran.stdout.contains("report: r/report.html"), "{}", ran.stdout);
    assert!(folder.read("r/report.html").contains("aent train grpo.aent --task arithmetic"));
}

#[test]
fn an_assertion_that_does_not_hold_is_a_warning_and_named_losses_are_in_the_metrics() {
    let file = "loss policy = token_mean(clip_ppo())\nloss bonus = -0.01 * token_mean(entropy())\n\
        assert token_mean(entropy()) < 0.01, \"the policy is loose\"\n";
    let folder = Folder::with("two.aent", file);
    let mut args =
        vec!["train", "two.aent", "--task", "arithmetic", "--steps", "3", "--seeds", "5", "--out", "r"];
    for setting in ["warmup_steps=3", "warmup_batch=8", "prompts=4", "group=2", "held_out=8"] {
        args.extend(["--task-set", setting]);
    }
    for more in [&[][..], &["--quiet"]] {
        let ran = folder.run(&[&args, more].concat());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let warnings: Vec<_> = ran.stderr.lines().filter(|line| line.starts_with("warning")).collect();
        let [first, last] = warnings[..] else { panic!("{}", ran.stderr) };
        let begins = "warning: two, seed 5: step 0: the policy is loose: expected `token_mean(entropy()) < 0.01`, found ";
        assert!(first.starts_with(begins), "{first}");
        assert_eq!(last, "warning: two, seed 5: an `assert` did not hold in 3 of 3 steps");
        let line = folder.read("r/two/seed-5/metrics.jsonl").lines().next().unwrap().to_owned();
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(line["loss/bonus"].as_f64().unwrap() < 0.0 && line["loss/policy"].is_number(), "{line}");
        std::fs::remove_dir_all(folder.path("r")).unwrap();
    }
}

#[test]
fn every_recipe_that_the_task_can_feed_is_trained_and_the_others_are_refused_by_field() {
    /// What answers to sums do not come with: a critic, greedy answers, several rewards, pairs, turns, rollouts, an entropy or a
    /// proxy of before.
    const UNFED: [&str; 20] = [
        "aepo",
        "dpo",
        "entrocraft",
        "erc",
        "flowrl",
        "gdpo",
        "ipo",
        "kto",
        "lp_reg",
        "orpo",
        "ppo",
        "remax",
        "rlhf_ppo",
        "rollouts",
        "sampling_mask",
        "simpo",
        "top_k_distillation",
        "turn_gspo",
        "turn_ppo",
        "vapo",
    ];
    let folder = Folder::with("unused.aent", SPEC);
    let recipes = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/recipes");
    let mut fed = Vec::new();
    for entry in std::fs::read_dir(recipes).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let file = path.to_str().unwrap().to_owned();
        if path.extension().is_none_or(|extension| extension != "aent") {
            continue;
        }
        if UNFED.contains(&name.as_str()) {
            let args = ["train", &file, "--task", "arithmetic", "--out", "no", "--quiet"];
            folder.run(&args).refused("needs the batch field");
        } else {
            fed.push((name, file));
        }
    }
    assert!(fed.len() > 50, "{} recipes", fed.len());
    let files = fed.iter().map(|(_, file)| file.as_str());
    let mut args: Vec<&str> = std::iter::once("train").chain(files).collect();
    args.extend(["--task", "arithmetic", "--steps", "1", "--seeds", "0", "--out", "r", "--quiet"]);
    for setting in ["warmup_steps=3", "warmup_batch=8", "prompts=4", "group=2", "held_out=8"] {
        args.extend(["--task-set", setting]);
    }
    let ran = folder.run(&args);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (name, _) in &fed {
        let line = folder.read(&format!("r/{name}/seed-0/metrics.jsonl"));
        let metrics: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
        // Of a policy that has learned nothing, whatever the spec calls its own metrics.
        let entropy = metrics["entropy"].as_f64().unwrap();
        assert!(entropy > 8.0 && entropy < 4096f64.ln(), "{name}: {line}");
    }
}
