//! `cargo xtask wheel`: builds the Python package as one wheel for every torch and every Python from 3.10.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::python;
use crate::setup::{Environment, package_environment};
use crate::steps::{Steps, check, program};

const WHEELS: &str = "target/wheels";

/// Where cargo builds the package's crate, which is a separate workspace.
pub(crate) const CARGO: &str = "target/python/cargo";

/// A kernel, a language and a command line need no more than this.
const MOST_BYTES: u64 = 6_000_000;

/// Builds the wheel and checks its requirements.
pub(crate) fn wheel(root: &Path) -> Result<()> {
    let mut steps = Steps::new(3);
    let environment = steps.run("Python environment", || package_environment(root))?;
    let title = "build and install the wheel (the first time about 3 minutes on two cores)";
    let wheel = steps.run(title, || python::build(root, &environment))?;
    steps.run("what the wheel needs", || audit(root, &wheel, &environment))?;
    steps.finish(&format!("the wheel is `{}`", wheel.display()));
    Ok(())
}

/// Builds the optimised wheel.
pub(crate) fn build(root: &Path, environment: &Environment) -> Result<PathBuf> {
    let wheels = root.join(WHEELS);
    if wheels.exists() {
        fs::remove_dir_all(&wheels).with_context(|| format!("`{}` cannot be removed", wheels.display()))?;
    }
    // Cargo reads the package's own configuration only if it starts in that folder.
    let mut maturin = program(environment.program("maturin"), &["build", "--release"], &root.join("python"));
    maturin.arg("--out").arg(&wheels).env("CARGO_TARGET_DIR", root.join(CARGO));
    // The build uses no Python: settings for one would only make PyO3 build again.
    for name in ["PYO3_PYTHON", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME"] {
        maturin.env_remove(name);
    }
    check(maturin, "what the compiler says stands above")?;
    the_wheel(&wheels)
}

/// Refuses a wheel that is too large, or that needs a newer system than it says, more of Python than the stable
/// interface, or any symbol of libtorch or CUDA.
pub(crate) fn audit(root: &Path, wheel: &Path, environment: &Environment) -> Result<()> {
    let name = wheel.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let bytes = fs::metadata(wheel).with_context(|| format!("`{}` cannot be read", wheel.display()))?.len();
    println!("      {name}: {:.1} MB", bytes as f64 / 1e6);
    if bytes > MOST_BYTES {
        bail!("expected a wheel of at most {MOST_BYTES} bytes, found {bytes}");
    }
    if !name.contains("-cp310-abi3-") {
        bail!("expected a wheel for the stable interface of Python 3.10, `-cp310-abi3-`, found `{name}`");
    }
    let platform = heard(environment, "auditwheel", &["show"], wheel)?;
    let tag = name.trim_end_matches(".whl").rsplit('-').next().unwrap_or_default();
    if !platform.contains(tag) {
        bail!("expected `auditwheel` to confirm `{tag}`, found:\n{platform}");
    }
    heard(environment, "abi3audit", &["--strict", "--assume-minimum-abi3", "3.10"], wheel)?;
    let installed = root.join(python::SITE).join("aent");
    let torch = heard(environment, "torch-abi-audit", &[], &installed)?;
    if !torch.contains("Torch ABI:   NO-TORCH") {
        bail!("expected a wheel that names no symbol of libtorch, found:\n{torch}");
    }
    println!(
        "      confirmed by auditwheel ({tag}), abi3audit (abi3 of 3.10) and torch-abi-audit (no symbol of libtorch)"
    );
    Ok(())
}

/// Runs a checker of the environment on the wheel and returns its output; its failure is an error with that output.
fn heard(environment: &Environment, name: &str, args: &[&str], wheel: &Path) -> Result<String> {
    let mut command = Command::new(environment.program(name));
    let output =
        command.args(args).arg(wheel).output().with_context(|| format!("`{name}` cannot be started"))?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("`{name}` refuses the wheel:\n{text}");
    }
    Ok(text)
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
}
