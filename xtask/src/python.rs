//! `cargo xtask python`: sets up the Python environment, builds the Python package and runs its tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup::{Environment, Uv, package_environment};
use crate::steps::{Steps, cargo, check, program};
use crate::wheel;

/// Where the package is installed for its tests, which test the wheel that users get, not the sources.
pub(crate) const SITE: &str = "target/python/site";

/// Tests must not download anything, nor send telemetry.
const OFFLINE: &[(&str, &str)] = &[
    ("HF_HUB_OFFLINE", "1"),
    ("HF_DATASETS_OFFLINE", "1"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("TRANSFORMERS_OFFLINE", "1"),
    ("WANDB_MODE", "disabled"),
    ("RAY_USAGE_STATS_ENABLED", "0"),
    ("TOKENIZERS_PARALLELISM", "false"),
    ("MPLBACKEND", "Agg"),
];

/// Builds and installs the package and runs its tests, with arguments for pytest.
pub(crate) fn python(root: &Path, pytest: &[OsString]) -> Result<()> {
    let mut steps = Steps::new(3);
    let environment = steps.run("Python environment", || package_environment(root))?;
    steps
        .run("build and install the Python package (the first time about 3 minutes on two cores)", || {
            build(root, &environment).map(drop)
        })?;
    steps.run("tests of the Python package", || test(root, &environment, pytest))?;
    steps.finish("the Python package passes its tests, as the wheel that is in `target/wheels`");
    Ok(())
}

/// Checks the format of the package's Rust and Python.
pub(crate) fn format(root: &Path, environment: &Environment) -> Result<()> {
    let mut rust = cargo(&["fmt", "--check"], root);
    rust.current_dir(root.join("python"));
    check(rust, "`cd python && cargo fmt` mends the layout")?;
    check(
        ruff(root, environment, &["format", "--check"]),
        "`ruff format python site editors` mends the layout; `ruff` is among the programs of the environment",
    )
}

/// Runs ruff on the Python sources, which takes almost no time.
pub(crate) fn lint_python(root: &Path, environment: &Environment) -> Result<()> {
    check(
        ruff(root, environment, &["check"]),
        "each line above says what to write; an exception is `# noqa: CODE` and a reason",
    )
}

/// Runs clippy on the package's crate.
pub(crate) fn lint_rust(root: &Path) -> Result<()> {
    let mut command = cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"], root);
    command.current_dir(root.join("python"));
    command.env("CARGO_TARGET_DIR", root.join(wheel::CARGO));
    check(command, "each lint above says what to write; an exception is `#[expect(lint, reason = \"...\")]`")
}

/// Builds the wheel and installs it below `target`.
pub(crate) fn build(root: &Path, environment: &Environment) -> Result<PathBuf> {
    let site = root.join(SITE);
    if site.exists() {
        fs::remove_dir_all(&site).with_context(|| format!("`{}` cannot be removed", site.display()))?;
    }
    let wheel = wheel::build(root, environment)?;
    let mut install = Uv::find_or_install()?.command(&["pip", "install", "--quiet", "--no-cache"]);
    install.args(["--no-deps", "--no-index", "--target"]);
    install.arg(&site).arg("--python").arg(environment.program("python3")).arg(&wheel);
    check(install, "what uv says stands above")?;
    println!("      to use it: PYTHONPATH={} {}", site.display(), environment.program("python3").display());
    Ok(wheel)
}

/// Checks the types of the package and of its examples, and that the stubs match the built extension.
pub(crate) fn types(root: &Path, environment: &Environment) -> Result<()> {
    let (python, sources) = (environment.program("python3"), root.join("python"));
    let mut types = program(&python, &["-m", "mypy"], &sources);
    types.arg("--cache-dir").arg(root.join("target/python/mypy")).env_remove("PYTHONPATH");
    check(types, "what mypy says stands above")?;
    // How classes are laid out in C does not matter to readers of the stubs.
    let args = [
        "-m",
        "mypy.stubtest",
        "--ignore-disjoint-bases",
        "--mypy-config-file",
        "pyproject.toml",
        "aent._aent",
    ];
    let mut stubs = program(&python, &args, &sources);
    stubs.env("PYTHONPATH", root.join(SITE));
    check(stubs, "mend `python/package/aent/_aent.pyi`: it should say what the extension has")
}

/// Runs the package's tests.
pub(crate) fn test(root: &Path, environment: &Environment, pytest: &[OsString]) -> Result<()> {
    let args = ["-P", "-m", "pytest", "python/tests", "-p", "no:cacheprovider"];
    let mut command = program(environment.program("python3"), &args, root);
    command.args(pytest).env("PYTHONPATH", root.join(SITE)).envs(OFFLINE.iter().copied());
    if std::env::var_os("OMP_NUM_THREADS").is_none() {
        // The order in which sums are added depends on it.
        command.env("OMP_NUM_THREADS", "2");
    }
    check(command, "`cargo xtask python -- -k NAME` runs one of the failed tests alone")
}

fn ruff(root: &Path, environment: &Environment, args: &[&str]) -> Command {
    let mut command = program(environment.program("ruff"), args, root);
    command.args(["python", "site", "editors"]).env("RUFF_CACHE_DIR", root.join("target/python/ruff"));
    command
}
