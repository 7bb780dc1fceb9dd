//! `cargo xtask tidy`: checks the house rules that neither the compiler nor clippy can see.

mod codes;
mod headers;
mod imports;
mod kernels;
mod layers;
mod length;
mod paths;
mod scan;
mod tree;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use tree::{TextFile, read_tree};

/// A broken rule and its place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// Relative to the workspace, with forward slashes.
    pub(crate) path: String,
    /// Starts at 1.
    pub(crate) line: usize,
    /// What is wrong, and what to do.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A rule checks all files of the repository at once.
type Rule = fn(&[TextFile]) -> Vec<Problem>;

const RULES: &[(&str, Rule)] = &[
    ("every Rust file says on line 1 what it is for", headers::check),
    ("no source file is long without a reason", length::check),
    ("modules import only what their layer may", layers::check),
    ("a layer may only what it uses", layers::check_allowances),
    ("`unsafe`, C++ and CUDA stay where they belong", kernels::check),
    ("every diagnostic id is explained and tested", codes::check),
    ("no path of one machine", paths::check),
];

/// Reads the repository and reports every broken rule.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let files = read_tree(root)?;
    println!("      {} files under {} rules", files.len(), RULES.len());
    let mut broken = 0;
    for (rule, check) in RULES {
        let mut problems = check(&files);
        problems.sort();
        if !problems.is_empty() {
            println!("\n      {rule}:");
        }
        for problem in &problems {
            println!("{problem}");
        }
        broken += problems.len();
    }
    if broken > 0 {
        bail!("house rules broken: {broken}; each line above says where and what to do");
    }
    Ok(())
}
