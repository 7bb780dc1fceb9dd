//! `cargo xtask demo`: from an empty machine to a report of three losses on one task.

use std::path::Path;

use anyhow::Result;

use crate::setup::setup;
use crate::steps::{Steps, cargo, check, program};

/// What the demo runs once the program is built.
const DEMO: &[&str] = &[
    "target/release/aent",
    "train",
    "examples/recipes/aent.aent",
    "examples/recipes/entropy_bonus.aent",
    "examples/recipes/grpo.aent",
    "--task",
    "arithmetic",
    "--preset",
    "demo",
    "--out",
    "runs/demo",
];

/// Sets up, builds and trains.
pub(crate) fn demo(root: &Path) -> Result<()> {
    let mut steps = Steps::new(3);
    steps.run("libtorch", || setup(root))?;
    steps.run("build the program `aent` (the first time about 5 minutes on two cores)", || {
        check(
            cargo(&["build", "--release", "--package", "aent-cli"], root),
            "what the compiler says stands above",
        )
    })?;
    steps.run(
        "train a small policy on sums with three losses, three seeds each (about 6 minutes on two cores)",
        || {
            check(
                program(DEMO[0], &DEMO[1..], root),
                "what the program says stands above; `cargo xtask demo` goes on where it stopped",
            )
        },
    )?;
    steps.finish("the demo is done");
    Ok(())
}
