//! Asks Pythons for their version and for torch.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::torch::TORCH;

/// The Pythons for which torch's wheels are made.
const OLDEST: (u32, u32) = (3, 10);
const NEWEST: (u32, u32) = (3, 14);

/// Finds torch without importing it, which would take seconds.
const WHERE_IS_TORCH: &str =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.origin if s and s.origin else '')";

const WHICH_VERSION: &str = "import sys; print(sys.version_info[0], sys.version_info[1])";

/// Torch's folder in the `python3` that is active, if it has one.
pub(crate) fn active_torch() -> Option<PathBuf> {
    let origin = PathBuf::from(ask("python3", WHERE_IS_TORCH)?);
    origin.parent().filter(|folder| folder.is_absolute()).map(PathBuf::from)
}

/// A Python that torch can be installed for: the active one, or else any that has torch's wheels.
pub(crate) fn suitable() -> Result<String> {
    let named = (OLDEST.1..=NEWEST.1).rev().map(|minor| format!("python3.{minor}"));
    let candidates = std::iter::once("python3".to_owned()).chain(named);
    choose(candidates, |python| ask(python, WHICH_VERSION).as_deref().and_then(version))
}

fn choose(
    candidates: impl Iterator<Item = String>,
    version: impl Fn(&str) -> Option<(u32, u32)>,
) -> Result<String> {
    let mut unsuitable = Vec::new();
    for python in candidates {
        match version(&python) {
            Some(version) if (OLDEST..=NEWEST).contains(&version) => return Ok(python),
            Some((major, minor)) => unsuitable.push(format!("`{python}` is {major}.{minor}")),
            None => {}
        }
    }
    let found = if unsuitable.is_empty() { "there is none".to_owned() } else { unsuitable.join(", ") };
    let install = if cfg!(target_os = "macos") {
        "`brew install python@3.12`"
    } else if unsuitable.is_empty() {
        "`apt install python3 python3-venv` (Debian, Ubuntu) or `dnf install python3` (Fedora)"
    } else {
        "`apt install python3.12 python3.12-venv` (Ubuntu) or `dnf install python3.12` (Fedora)"
    };
    bail!(
        "libtorch {TORCH} is installed with Python {}.{} to {}.{}, and {found}\ninstall one, for example {install}, \
         or name a libtorch {TORCH} in the variable `LIBTORCH`",
        OLDEST.0,
        OLDEST.1,
        NEWEST.0,
        NEWEST.1
    )
}

/// The line that Python prints for a program; nothing if it cannot.
fn ask(python: &str, program: &str) -> Option<String> {
    let output = Command::new(python)
        .args(["-c", program])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// `3 11` as two numbers.
fn version(line: &str) -> Option<(u32, u32)> {
    let (major, minor) = line.split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(machine: &[(&str, (u32, u32))]) -> Result<String> {
        let candidates = ["python3", "python3.14", "python3.12"].map(str::to_owned).into_iter();
        choose(candidates, |python| {
            machine.iter().find(|(name, _)| *name == python).map(|(_, version)| *version)
        })
    }

    #[test]
    fn the_active_python_comes_first() {
        assert_eq!(chosen(&[("python3", (3, 10)), ("python3.12", (3, 12))]).unwrap(), "python3");
    }

    #[test]
    fn an_old_or_too_new_python_is_passed_over() {
        assert_eq!(chosen(&[("python3", (3, 9)), ("python3.12", (3, 12))]).unwrap(), "python3.12");
        assert_eq!(chosen(&[("python3", (3, 15)), ("python3.14", (3, 14))]).unwrap(), "python3.14");
    }

    #[test]
    fn without_a_suitable_python_the_message_names_what_was_found() {
        assert!(chosen(&[("python3", (3, 9))]).unwrap_err().to_string().contains("`python3` is 3.9"));
        let text = chosen(&[]).unwrap_err().to_string();
        assert!(text.contains("3.10 to 3.14, and there is none"), "{text}");
        assert!(text.contains("install"), "{text}");
    }

    #[test]
    fn a_version_is_two_numbers() {
        assert_eq!(version("3 11"), Some((3, 11)));
        assert_eq!(version("3.11"), None);
    }
}
