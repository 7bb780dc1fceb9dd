//! `cargo xtask test`: everything that a change must pass, the quickest checks first.

use std::path::Path;

use anyhow::Result;

use crate::docs::{Mode, docs};
use crate::setup::setup;
use crate::steps::{Steps, cargo, check};
use crate::tidy::tidy;

/// Sets up, then runs every check. The tests come last, so that a log ends with their summary.
pub(crate) fn test(root: &Path) -> Result<()> {
    let mut steps = Steps::new(7);
    steps.run("libtorch", || setup(root))?;
    steps.run("format", || {
        check(cargo(&["fmt", "--all", "--check"], root), "`cargo fmt --all` mends the layout")
    })?;
    steps.run("house rules", || tidy(root))?;
    steps.run("lints, and the first build (about 6 minutes on two cores)", || {
        let lints = ["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"];
        check(
            cargo(&lints, root),
            "each lint above says what to write; an exception is `#[expect(lint, reason = \"...\")]`",
        )
    })?;
    steps.run("generated documents", || docs(root, Mode::Check))?;
    steps.run("documentation of the code", || {
        let mut command = cargo(&["doc", "--workspace", "--no-deps"], root);
        command.env("RUSTDOCFLAGS", "--deny warnings");
        check(command, "the documentation's warnings above are errors here")
    })?;
    steps.run("tests and doc tests", || {
        check(
            cargo(&["test", "--workspace", "--no-fail-fast"], root),
            "`cargo test NAME` runs one of the failed tests alone",
        )
    })?;
    steps.finish("every check passed");
    Ok(())
}
