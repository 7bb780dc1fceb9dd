//! `cargo xtask python`: the Python package, from its environment to its tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::setup::{Environment, environment};
use crate::steps::{Steps, cargo, check, program};

/// Where the package is installed for its tests. They judge the wheel that a user would get, not the sources.
const SITE: &str = "target/python/site";

const WHEELS: &str = "target/python/wheels";

/// No test may ask the network for what only its author's machine has, or tell anybody that it ran.
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
    let environment = steps.run("Python environment", || environment(root))?;
    steps
        .run("build and install the Python package (the first time about 5 minutes on two cores)", || {
            build(root, &environment)
        })?;
    steps.run("tests of the Python package", || test(root, &environment, pytest))?;
    steps.finish(
        "the Python package passes its tests, as a debug build that is several times slower than the one to use and \
         measure: `pip install ./python` makes that",
    );
    Ok(())
}

/// Whether the package's Rust and Python are laid out as the formatters do it.
pub(crate) fn format(root: &Path, environment: &Environment) -> Result<()> {
    let mut rust = cargo(&["fmt", "--check"], root);
    rust.current_dir(root.join("python"));
    check(rust, "`cd python && cargo fmt` mends the layout")?;
    check(
        ruff(root, environment, &["format", "--check"]),
        "`ruff format python` mends the layout; `ruff` is among the programs of the environment",
    )
}

/// What ruff finds in the Python sources. It takes no time.
pub(crate) fn lint_python(root: &Path, environment: &Environment) -> Result<()> {
    check(
        ruff(root, environment, &["check"]),
        "each line above says what to write; an exception is `# noqa: CODE` and a reason",
    )
}

/// What clippy finds in the package's crate.
pub(crate) fn lint_rust(root: &Path, environment: &Environment) -> Result<()> {
    let mut command = cargo(&["clippy", "--all-targets", "--", "--deny", "warnings"], root);
    command.current_dir(root.join("python"));
    check(
        activated(command, root, environment)?,
        "each lint above says what to write; an exception is `#[expect(lint, reason = \"...\")]`",
    )
}

/// Builds the wheel and installs it below `target`.
pub(crate) fn build(root: &Path, environment: &Environment) -> Result<()> {
    let (wheels, site) = (root.join(WHEELS), root.join(SITE));
    for folder in [&wheels, &site] {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("`{}` cannot be removed", folder.display()))?;
        }
    }
    // Cargo reads the package's own configuration only where it is started beside it.
    let mut maturin = program(environment.program("maturin"), &["build"], &root.join("python"));
    maturin.args(["--profile", "dev", "--compression-method", "stored", "--interpreter"]);
    maturin.arg(environment.program("python3")).arg("--out").arg(&wheels);
    check(activated(maturin, root, environment)?, "what the compiler says stands above")?;
    let mut pip = program(environment.program("python3"), &["-m", "pip", "install", "--quiet"], root);
    pip.args(["--disable-pip-version-check", "--no-deps", "--no-index", "--target"]);
    pip.arg(&site).arg(the_wheel(&wheels)?).env_remove("PYTHONPATH");
    check(pip, "what pip says stands above")?;
    println!("      to use it: PYTHONPATH={} {}", site.display(), environment.program("python3").display());
    Ok(())
}

/// Whether the types of the package and of its examples hold, and its stubs say what the built extension has.
pub(crate) fn types(root: &Path, environment: &Environment) -> Result<()> {
    let (python, sources) = (environment.program("python3"), root.join("python"));
    let mut types = program(&python, &["-m", "mypy"], &sources);
    types.arg("--cache-dir").arg(root.join("target/python/mypy")).env_remove("PYTHONPATH");
    check(types, "what mypy says stands above")?;
    // What the classes look like to C does not concern whoever reads the stubs.
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
        // The same everywhere: the order in which sums are added depends on it.
        command.env("OMP_NUM_THREADS", "2");
    }
    check(command, "`cargo xtask python -- -k NAME` runs one of the failed tests alone")
}

fn ruff(root: &Path, environment: &Environment, args: &[&str]) -> Command {
    let mut command = program(environment.program("ruff"), args, root);
    command.arg("python").env("RUFF_CACHE_DIR", root.join("target/python/ruff"));
    command
}

/// A command for which the environment is the active one, so that the build scripts ask its Python for torch and headers.
fn activated(mut command: Command, root: &Path, environment: &Environment) -> Result<Command> {
    let others = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(environment.programs()).chain(std::env::split_paths(&others));
    let path = std::env::join_paths(path).with_context(|| {
        format!(
            "the path `{}` cannot stand in `PATH`: name another folder in `AENT_CACHE`",
            environment.folder().display()
        )
    })?;
    command
        .env("PATH", path)
        .env("VIRTUAL_ENV", environment.folder())
        .env("PYO3_PYTHON", environment.program("python3"))
        // As maturin sets it: otherwise clippy and maturin would build PyO3 in turns.
        .env("PYO3_ENVIRONMENT_SIGNATURE", format!("cpython-{}-{}bit", environment.version, usize::BITS))
        .env("CARGO_TARGET_DIR", root.join("target/python/cargo"));
    for name in ["PYTHONPATH", "PYTHONHOME", "CONDA_PREFIX"] {
        command.env_remove(name);
    }
    Ok(command)
}

fn the_wheel(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).with_context(|| format!("`{}` cannot be read", folder.display()))?;
    let mut wheels = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"));
    match (wheels.next(), wheels.next()) {
        (Some(wheel), None) => Ok(wheel),
        (None, _) => bail!("maturin left no wheel in `{}`", folder.display()),
        (Some(one), Some(other)) => {
            bail!("expected one wheel, found `{}` and `{}`", one.display(), other.display())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_wheel_is_expected() {
        let folder = tempfile::tempdir().unwrap();
        assert!(the_wheel(folder.path()).unwrap_err().to_string().contains("no wheel"));
        fs::write(folder.path().join("a.whl"), "").unwrap();
        fs::write(folder.path().join("a.whl.json"), "").unwrap();
        assert_eq!(the_wheel(folder.path()).unwrap(), folder.path().join("a.whl"));
        fs::write(folder.path().join("b.whl"), "").unwrap();
        let text = the_wheel(folder.path()).unwrap_err().to_string();
        assert!(text.contains("a.whl") && text.contains("b.whl"), "{text}");
    }

    #[test]
    fn build_scripts_find_the_environments_programs_first() {
        let environment = Environment::at("/cache/python-3.11-0a", "3.11");
        let command = activated(Command::new("cargo"), Path::new("/clone"), &environment).unwrap();
        let set = |name: &str| command.get_envs().find(|(key, _)| *key == name).unwrap().1;
        let path = set("PATH").unwrap();
        assert_eq!(std::env::split_paths(path).next().unwrap(), environment.programs());
        assert_eq!(set("VIRTUAL_ENV").unwrap(), environment.folder());
        assert_eq!(set("PYTHONPATH"), None);
        let odd = Environment::at("/a:b/python-3.11-0a", "3.11");
        let text = activated(Command::new("cargo"), Path::new("/clone"), &odd).unwrap_err().to_string();
        assert!(text.contains("/a:b/") && text.contains("`AENT_CACHE`"), "{text}");
    }
}
