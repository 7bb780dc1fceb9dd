//! `cargo xtask torches`: checks that the wheel gives the same numbers on other torches as on the tests' torch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::python::{self, SITE};
use crate::setup::{TORCH, package_environment, torch_environment};
use crate::steps::{Steps, check, program};

/// The oldest supported version, one in between, and the newest tried.
pub(crate) const VERSIONS: [&str; 3] = ["2.8.0", "2.13.0", NEWEST];
/// The newest version tried.
pub(crate) const NEWEST: &str = "2.15.0";

const SCRIPT: &str = "python/torches/every_number.py";

/// Builds the wheel and compares its numbers on each version with those on [`TORCH`].
pub(crate) fn torches(root: &Path, versions: &[String]) -> Result<()> {
    let versions: Vec<&str> =
        if versions.is_empty() { VERSIONS.to_vec() } else { versions.iter().map(String::as_str).collect() };
    let mut steps = Steps::new(3 + versions.len());
    let environment = steps.run("Python environment", || package_environment(root))?;
    steps.run("build and install the wheel", || python::build(root, &environment).map(drop))?;
    let reference = steps
        .run(&format!("numbers on torch {TORCH}"), || record(root, &environment.program("python3"), TORCH))?;
    let mut rows = Vec::new();
    for version in versions {
        let title = format!("numbers on torch {version} (the first time 3 to 5 GB are downloaded)");
        rows.push(steps.run(&title, || on_other(root, version, &reference))?);
    }
    println!("\n| torch | Python | numbers | equal to the last bit | largest difference, f64 | f32 |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for row in rows {
        println!("{row}");
    }
    steps.finish(&format!("the wheel gives what it gives on torch {TORCH}"));
    Ok(())
}

/// Compares one version with the recorded numbers and returns its row of the table.
pub(crate) fn on_other(root: &Path, version: &str, reference: &Path) -> Result<String> {
    let python = torch_environment(version)?.program("python3");
    let found = record(root, &python, version)?;
    let mut command = script(root, &python);
    let output = command.arg("compare").args([reference, &found]).output().context("it cannot be started")?;
    let row = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        bail!("torch {version} gives other numbers:\n{row}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    println!("      {row}");
    Ok(row)
}

/// Records the numbers of the installed wheel with the torch of a Python.
pub(crate) fn record(root: &Path, python: &Path, version: &str) -> Result<PathBuf> {
    let folder = root.join("target/python/torches");
    fs::create_dir_all(&folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    let file = folder.join(format!("{version}.json"));
    let mut command = script(root, python);
    command.arg("record").arg(&file).env("OMP_NUM_THREADS", "2");
    check(command, "what Python says stands above")?;
    Ok(file)
}

fn script(root: &Path, python: &Path) -> Command {
    let mut command = program(python, &["-P", SCRIPT], root);
    command.env("PYTHONPATH", root.join(SITE));
    command
}
