//! `cargo xtask demo`: sets up, trains eight losses on two tasks, and writes a report that compares them.

use std::path::Path;

use anyhow::Result;

use crate::setup::setup;
use crate::steps::{Steps, cargo, check, program};

/// The program once it is built.
const AENT: &str = "target/release/aent";

/// The files of each method on the two tasks; the first method is the one that the others are compared with.
const METHODS: [[&str; 2]; 8] = [
    ["examples/recipes/grpo.aent", "examples/sparse_mdp/no_entropy.aent"],
    ["examples/recipes/entropy_bonus.aent", "examples/sparse_mdp/full_entropy.aent"],
    ["examples/arithmetic/clamped_entropy.aent", "examples/sparse_mdp/clamped_entropy.aent"],
    ["examples/recipes/renyi_bonus.aent", "examples/sparse_mdp/renyi_bonus.aent"],
    ["examples/recipes/skywork_or1.aent", "examples/sparse_mdp/skywork_or1.aent"],
    ["examples/recipes/sac.aent", "examples/sparse_mdp/sac.aent"],
    ["examples/recipes/entropic.aent", "examples/sparse_mdp/entropic.aent"],
    ["examples/arithmetic/aent.aent", "examples/sparse_mdp/aent.aent"],
];

/// The tasks, each with its folder and what it sets besides its preset `demo`.
const TASKS: [(&str, &str, &[&str]); 2] = [
    ("arithmetic", "runs/demo/arithmetic", &["--set", "least=0.15"]),
    ("sparse-mdp", "runs/demo/sparse-mdp", &[]),
];

/// Notes on the comparison's set-up, for its page.
const NOTES: [&str; 3] = [
    "Every constant stands below: the settings of each task, and the text of each loss. A setting that begins with `param` takes \
     the place of what the text says.",
    "The constants were chosen on the seeds 100 and 101, which are not among those shown: of a few values a method, the one that \
     ended highest. The grids are in docs/training.md and docs/sparse-mdp.md.",
    "A few seeds make wide intervals. A difference whose interval holds zero is not a result.",
];

/// Sets up, builds, trains and compares.
pub(crate) fn demo(root: &Path) -> Result<()> {
    let mut steps = Steps::new(5);
    steps.run("libtorch", || setup(root))?;
    steps.run("build the program `aent` (the first time about 5 minutes on two cores)", || {
        check(
            cargo(&["build", "--release", "--package", "aent-cli"], root),
            "what the compiler says stands above",
        )
    })?;
    let titles = [
        "train a small policy on sums with eight losses, three seeds each (about 5 minutes on two cores)",
        "train tables of 10,000 actions of which 15 pay with the same methods, five seeds each (about 2 minutes)",
    ];
    for ((task, title), place) in TASKS.into_iter().zip(titles).zip(0..) {
        steps.run(title, || {
            check(
                program(AENT, &training(task, place), root),
                "what the program says stands above; `cargo xtask demo` goes on where it stopped",
            )
        })?;
    }
    steps
        .run("compare", || check(program(AENT, &comparison(), root), "what the program says stands above"))?;
    steps.finish("the demo is done: open runs/demo/report.html");
    Ok(())
}

/// The arguments that train all methods on the task at an index of [`TASKS`].
fn training(
    (task, out, more): (&'static str, &'static str, &'static [&'static str]),
    place: usize,
) -> Vec<&'static str> {
    let files = METHODS.iter().map(|files| files[place]);
    let options = ["--task", task, "--preset", "demo", "--out", out];
    std::iter::once("train").chain(files).chain(options).chain(more.iter().copied()).collect()
}

/// The arguments that show both runs on one page.
fn comparison() -> Vec<&'static str> {
    let folders = TASKS.iter().map(|(_, out, _)| *out);
    let notes = NOTES.iter().flat_map(|note| ["--note", note]);
    std::iter::once("compare").chain(folders).chain(["--out", "runs/demo"]).chain(notes).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_loss_of_the_demo_is_a_file_and_no_two_of_a_task_share_a_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for place in 0..TASKS.len() {
            let mut names = BTreeSet::new();
            for files in METHODS {
                assert!(root.join(files[place]).is_file(), "{}", files[place]);
                assert!(names.insert(Path::new(files[place]).file_stem()), "{}", files[place]);
            }
        }
    }
}
