//! The commands of this repository: `cargo xtask help` lists them.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "talking to the terminal is what this program is for"
)]

mod demo;
mod docs;
mod newest_tch;
mod python;
mod setup;
mod steps;
mod test;
mod tidy;
mod torches;
mod wheel;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

/// Set-up, demo, tests and house rules of aent.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Train a small policy with three losses side by side and write a report (sets up libtorch first).
    Demo,
    /// Format, lints, house rules, documents, all tests of Rust and Python (sets up libtorch and Python first).
    Test,
    /// Build the Python package and run its tests (sets up its Python first).
    Python {
        /// Arguments for pytest, such as `-k NAME`.
        #[arg(last = true, value_name = "PYTEST ARGUMENTS")]
        pytest: Vec<OsString>,
    },
    /// Build the Python package as a wheel in `target/wheels` and look at what it needs.
    Wheel,
    /// Compare every number that the wheel gives on other torches with those on the torch of the tests.
    Torches {
        /// The versions, such as 2.8.0; the oldest, one between and the newest when left out.
        versions: Vec<String>,
    },
    /// Test the library with the newest tch that it allows, on the torch that goes with it.
    Tch,
    /// Find or install libtorch and link it as `.libtorch`, so that plain cargo and editors work in this clone.
    Setup,
    /// The house rules: who imports whom, first lines, file lengths, `unsafe`, diagnostic ids, paths.
    Tidy,
    /// Write the generated documents anew.
    Docs {
        /// Write nothing; fail where a document is not what its command prints.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match root().and_then(|root| run(&cli.command, &root)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task, root: &Path) -> Result<()> {
    match task {
        Task::Demo => demo::demo(root),
        Task::Test => test::test(root),
        Task::Python { pytest } => python::python(root, pytest),
        Task::Wheel => wheel::wheel(root),
        Task::Torches { versions } => torches::torches(root, versions),
        Task::Tch => newest_tch::test(root),
        Task::Setup => setup::setup(root),
        Task::Tidy => tidy::tidy(root),
        Task::Docs { check } => {
            setup::setup(root)?;
            docs::docs(root, if *check { docs::Mode::Check } else { docs::Mode::Write })
        }
    }
}

/// The folder of the workspace. Asked at run time, since a clone may have been moved after this program was built.
fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = package.parent().context("the folder `xtask` lies inside the workspace")?;
    Ok(root.to_path_buf())
}
