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
