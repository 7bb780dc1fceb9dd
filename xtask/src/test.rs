//! `cargo xtask test`: all checks for a change, the quickest first.

use std::path::Path;

use anyhow::Result;

use crate::docs::{Mode, docs};
use crate::python;
use crate::setup::{TORCH, package_environment, setup};
use crate::site;
use crate::steps::{Steps, cargo, check};
use crate::tidy::tidy;
use crate::torches;
use crate::wheel;

/// Property tests run the same cases every time, so that only the change makes a difference. Plain `cargo test` does
/// not set this variable, and looks at new cases each time.
const SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "20260711");

/// Sets up, then runs every check. The tests come last, so that a log ends with their summary.
pub(crate) fn test(root: &Path) -> Result<()> {
    let mut steps = Steps::new(12);
    steps.run("libtorch", || setup(root))?;
    let python = steps.run("Python environment", || package_environment(root))?;
    steps.run("format", || {
        check(cargo(&["fmt", "--all", "--check"], root), "`cargo fmt --all` mends the layout")?;
        python::format(root, &python)
    })?;
    steps.run("house rules", || tidy(root))?;
    steps.run("lints, and the first build (about 6 minutes on two cores)", || {
        python::lint_python(root, &python)?;
        let lints = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        check(
            cargo(&lints, root),
            "each lint above says what to write; an exception is `#[expect(lint, reason = \"...\")]`",
        )?;
        let without = ["clippy", "-p", "aent-cli", "--no-default-features", "--", "--deny", "warnings"];
        check(
            cargo(&without, root),
            "the program must build without torch: what needs it has the feature `tch`",
        )
    })?;
    steps.run("generated documents", || docs(root, Mode::Check))?;
    steps.run(site::TITLE, || site::build(root).map(drop))?;
    steps.run("documentation of the code", || {
        let mut command = cargo(&["doc", "--workspace", "--no-deps"], root);
        command.env("RUSTDOCFLAGS", "--deny warnings");
        check(command, "the documentation's warnings above are errors here")
    })?;
    steps.run(
        "Python package: lints, the wheel and types (the first time about 5 minutes on two cores)",
        || {
            python::lint_rust(root)?;
            let wheel = python::build(root, &python)?;
            wheel::audit(root, &wheel, &python)?;
            python::types(root, &python)
        },
    )?;
    steps.run("tests and doc tests", || {
        let mut command = cargo(&["test", "--workspace", "--no-fail-fast"], root);
        if std::env::var_os(SEED.0).is_none() {
            command.env(SEED.0, SEED.1);
        }
        check(command, "`cargo test NAME` runs one of the failed tests alone")
    })?;
    steps.run("tests of the Python package", || python::test(root, &python, &[]))?;
    steps.run("the wheel on the newest torch (the first time 3 GB are downloaded)", || {
        let reference = torches::record(root, &python.program("python3"), TORCH)?;
        torches::on_other(root, torches::NEWEST, &reference).map(drop)
    })?;
    steps.finish("every check passed");
    Ok(())
}
