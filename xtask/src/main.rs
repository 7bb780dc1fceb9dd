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
mod site;
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
    /// Train eight losses on two tasks and write a report that compares them (sets up libtorch first).
    Demo,
    /// Run every check and test, of Rust and Python (sets up libtorch and Python first).
    Test,
    /// Build the Python package and run its tests (sets up its Python first).
    Python {
        /// Arguments for pytest, such as `-k NAME`.
        #[arg(last = true, value_name = "PYTEST ARGUMENTS")]
        pytest: Vec<OsString>,
    },
    /// Build the Python package as a wheel in `target/wheels` and check what it requires.
    Wheel,
    /// Compare all numbers of the wheel on other versions of torch with those on the tests' version.
    Torches {
        /// Versions such as 2.8.0; by default the oldest supported, one in between and the newest tried.
        versions: Vec<String>,
    },
    /// Test the library with the newest supported tch, on the torch that it binds.
    Tch,
    /// Find or install libtorch and link it as `.libtorch`, so that plain cargo and editors work in this clone.
    Setup,
    /// Build the documentation as one searchable site in `target/site/html`.
    Site,
    /// Check the house rules: imports, first lines, file lengths, `unsafe`, diagnostic ids, paths.
    Tidy,
    /// Regenerate the generated documents.
    Docs {
        /// Write nothing; fail if a document differs from the output of its command.
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
        Task::Site => site::site(root),
        Task::Tidy => tidy::tidy(root),
        Task::Docs { check } => {
            setup::setup(root)?;
            docs::docs(root, if *check { docs::Mode::Check } else { docs::Mode::Write })
        }
    }
}

/// The folder of the workspace, found at run time, since the clone may have moved since this program was built.
fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    let root = package.parent().context("the folder `xtask` lies inside the workspace")?;
    Ok(root.to_path_buf())
}
