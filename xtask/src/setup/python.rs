//! Finds Pythons and asks them for their version and for torch.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::torch::TORCH;

/// A Python's version, such as 3.11.
pub(crate) type Version = (u32, u32);

/// The Pythons that torch has wheels for.
const OF_TORCH: RangeInclusive<Version> = (3, 10)..=(3, 14);

/// The Pythons that the tests' frameworks are pinned for.
const OF_PACKAGE: RangeInclusive<Version> = (3, 11)..=(3, 13);

/// Finds torch without importing it, which would take seconds.
const WHERE_IS_TORCH: &str =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s and s.origin else '')";

const WHICH_VERSION: &str = "import sys; print(sys.version_info[0], sys.version_info[1])";

/// Torch's folder in the active `python3`, if it has one.
pub(crate) fn active_torch() -> Option<PathBuf> {
    torch_of(Path::new("python3"))
}

/// Torch's folder in a Python, if it has one.
pub(crate) fn torch_of(python: &Path) -> Option<PathBuf> {
    let origin = PathBuf::from(ask(python, WHERE_IS_TORCH)?);
    origin.parent().filter(|folder| folder.is_absolute()).map(PathBuf::from)
}

/// A Python that torch can be installed for, preferably one that the Python package supports as well.
pub(crate) fn for_torch() -> Result<String> {
    let found = found();
    match choose(&found, &OF_PACKAGE).or_else(|| choose(&found, &OF_TORCH)) {
        Some(python) => Ok(python),
        None => bail!(
            "{}\nor name a libtorch {TORCH} in the variable `LIBTORCH`",
            refusal(&format!("libtorch {TORCH} is installed"), &OF_TORCH, &found)
        ),
    }
}

/// A Python that torch and the Python package can be installed for.
pub(crate) fn for_package() -> Result<String> {
    let found = found();
    match choose(&found, &OF_PACKAGE) {
        Some(python) => Ok(python),
        None => bail!("{}", refusal("the Python package is built and tested", &OF_PACKAGE, &found)),
    }
}

/// The version of the Python in the environment `folder` that holds torch, if the package can use it.
pub(crate) fn usable_version(folder: &Path) -> Result<Version> {
    judge(version_of(&folder.join("bin/python3")), folder)
}

fn judge(version: Option<Version>, folder: &Path) -> Result<Version> {
    let folder = folder.display();
    let again = format!("remove `{folder}` and run `cargo xtask setup`, which installs torch anew");
    match version {
        Some(version) if OF_PACKAGE.contains(&version) => Ok(version),
        Some(version) => bail!(
            "torch {TORCH} in `{folder}` is installed for Python {}, and the Python package is built and tested with \
             Python {} to {}\ninstall one, for example {}; then {again}",
            shown(version),
            shown(*OF_PACKAGE.start()),
            shown(*OF_PACKAGE.end()),
            another()
        ),
        None => bail!(
            "the Python of `{folder}` does not start: the one that it was made with may be gone\n{again}"
        ),
    }
}

/// The Pythons on this machine, the active one first.
fn found() -> Vec<(String, Version)> {
    let (newest, oldest) = (OF_TORCH.end().1, OF_TORCH.start().1);
    let named = (oldest..=newest).rev().map(|minor| format!("python3.{minor}"));
    let candidates = std::iter::once("python3".to_owned()).chain(named);
    candidates.filter_map(|python| version_of(Path::new(&python)).map(|version| (python, version))).collect()
}

fn choose(found: &[(String, Version)], range: &RangeInclusive<Version>) -> Option<String> {
    found.iter().find(|(_, version)| range.contains(version)).map(|(python, _)| python.clone())
}

/// A message that says what is needed, what was found, and how to install what is needed.
fn refusal(what: &str, range: &RangeInclusive<Version>, found: &[(String, Version)]) -> String {
    let list: Vec<_> =
        found.iter().map(|(python, version)| format!("`{python}` is {}", shown(*version))).collect();
    let list = if list.is_empty() { "there is none".to_owned() } else { list.join(", ") };
    let install = if found.is_empty() { any() } else { another() };
    format!(
        "{what} with Python {} to {}, and {list}\ninstall one, for example {install}",
        shown(*range.start()),
        shown(*range.end())
    )
}

/// How to install Python on a machine without one.
fn any() -> &'static str {
    if cfg!(target_os = "macos") {
        another()
    } else {
        "`apt install python3 python3-venv` (Debian, Ubuntu) or `dnf install python3` (Fedora)"
    }
}

/// How to install another Python.
fn another() -> &'static str {
    if cfg!(target_os = "macos") {
        "`brew install python@3.12`"
    } else {
        "`apt install python3.12 python3.12-venv python3.12-dev` (Ubuntu) or `dnf install python3.12-devel` (Fedora)"
    }
}

fn version_of(python: &Path) -> Option<Version> {
    version(&ask(python, WHICH_VERSION)?)
}

/// The line that a program prints in Python; `None` if it fails.
fn ask(python: &Path, program: &str) -> Option<String> {
    let output = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// Parses `3 11` as two numbers.
fn version(line: &str) -> Option<Version> {
    let (major, minor) = line.split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The version in its usual form.
pub(crate) fn shown((major, minor): Version) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(pythons: &[(&str, Version)]) -> Vec<(String, Version)> {
        pythons.iter().map(|(python, version)| ((*python).to_owned(), *version)).collect()
    }

    #[test]
    fn the_active_python_comes_first() {
        let found = machine(&[("python3", (3, 11)), ("python3.12", (3, 12))]);
        assert_eq!(choose(&found, &OF_TORCH).unwrap(), "python3");
        assert_eq!(choose(&found, &OF_PACKAGE).unwrap(), "python3");
    }

    #[test]
    fn an_old_or_too_new_python_is_passed_over() {
        let found = machine(&[("python3", (3, 9)), ("python3.12", (3, 12))]);
        assert_eq!(choose(&found, &OF_TORCH).unwrap(), "python3.12");
        let found = machine(&[("python3", (3, 15)), ("python3.14", (3, 14)), ("python3.13", (3, 13))]);
        assert_eq!(choose(&found, &OF_TORCH).unwrap(), "python3.14");
        assert_eq!(choose(&found, &OF_PACKAGE).unwrap(), "python3.13");
        assert_eq!(choose(&found[..2], &OF_PACKAGE), None);
    }

    #[test]
    fn without_a_suitable_python_the_message_names_what_was_found() {
        let found = machine(&[("python3", (3, 9))]);
        let text = refusal("it is made", &OF_TORCH, &found);
        assert!(text.starts_with("it is made with Python 3.10 to 3.14, and `python3` is 3.9\n"), "{text}");
        let text = refusal("it is made", &OF_PACKAGE, &[]);
        assert!(text.contains("3.11 to 3.13, and there is none") && text.contains("install"), "{text}");
    }

    #[test]
    fn torch_for_a_python_that_is_too_new_for_the_package_is_refused_with_a_way_out() {
        let folder = Path::new("/c/torch");
        assert_eq!(judge(Some((3, 13)), folder).unwrap(), (3, 13));
        let text = judge(Some((3, 14)), folder).unwrap_err().to_string();
        for part in ["`/c/torch` is installed for Python 3.14", "3.11 to 3.13", "remove `/c/torch`"] {
            assert!(text.contains(part), "{text}");
        }
        let text = judge(None, folder).unwrap_err().to_string();
        assert!(text.contains("does not start") && text.contains("remove `/c/torch`"), "{text}");
    }

    #[test]
    fn a_version_is_two_numbers() {
        assert_eq!(version("3 11"), Some((3, 11)));
        assert_eq!(version("3.11"), None);
    }
}
