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
