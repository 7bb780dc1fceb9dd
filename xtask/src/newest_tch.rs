//! `cargo xtask tch`: runs the library's tests with the newest supported tch, on the torch that it binds.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::setup::{make_link, torch_environment};
use crate::steps::{Steps, cargo, check};

/// The upper end of the range in `Cargo.toml`; `Cargo.lock` has the lower end, which all other commands test.
const TCH: &str = "0.26.0";
/// The torch that it binds.
const TORCH: &str = "2.13.0";

/// Files that are copied into the other workspace, not linked.
const COPIED: [&str; 2] = ["Cargo.toml", "Cargo.lock"];
/// Files and folders that the other workspace has itself, or must not have.
const LEFT_OUT: [&str; 4] = ["target", ".git", ".libtorch", "runs"];

/// Runs the tests in a second workspace that differs only in its lock file and its torch.
pub(crate) fn test(root: &Path) -> Result<()> {
    let mut steps = Steps::new(2);
    let workspace = root.join("target/newest-tch");
    steps.run(&format!("torch {TORCH} and a workspace that locks tch {TCH}"), || {
        let environment = torch_environment(TORCH)?;
        link(root, &workspace)?;
        make_link(&workspace.join(".libtorch"), &environment.torch)?;
        let update = cargo(&["update", "--quiet", "--package", "tch", "--precise", TCH], &workspace);
        check(update, "the index of crates must be reachable")
    })?;
    steps.run("tests (the first time about 10 minutes on two cores)", || {
        let mut command = cargo(&["test", "--package", "aent", "--no-fail-fast"], &workspace);
        command.env("CARGO_TARGET_DIR", workspace.join("target"));
        check(command, "the same tests pass with the tch of `Cargo.lock`")
    })?;
    steps.finish(&format!("the library passes its tests with tch {TCH} on torch {TORCH}"));
    Ok(())
}

/// Links everything in the workspace into another folder, and copies the files that cargo writes.
fn link(root: &Path, workspace: &Path) -> Result<()> {
    fs::create_dir_all(workspace).with_context(|| format!("`{}` cannot be made", workspace.display()))?;
    for entry in fs::read_dir(root).context("the workspace cannot be read")? {
        let entry = entry.context("the workspace cannot be read")?;
        let name = entry.file_name();
        let is = |names: &[&str]| names.iter().any(|of| name == **of);
        if is(&LEFT_OUT) {
            continue;
        }
        let to = workspace.join(&name);
        if is(&COPIED) {
            fs::copy(entry.path(), &to).with_context(|| format!("`{}` cannot be written", to.display()))?;
        } else {
            make_link(&to, &entry.path())?;
        }
    }
    Ok(())
}
