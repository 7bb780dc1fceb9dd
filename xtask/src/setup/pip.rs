//! Makes a Python environment and fills it with pip, whose output it logs and reports.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::place::{Lock, Place, Sizes};
use super::progress::Progress;
use super::python::{Version, shown};

/// What to install with pip.
pub(crate) struct Wanted {
    /// Pip's arguments.
    pub(crate) packages: Vec<OsString>,
    /// A file of versions for the packages that pip needs to build packages without a wheel.
    pub(crate) for_builds: Option<PathBuf>,
    /// The expected sizes.
    pub(crate) sizes: Sizes,
    /// What to do if the package index has no such version for this machine.
    pub(crate) no_match: String,
}

/// Makes the environment `folder` with the Python `python`.
pub(crate) fn make_environment(python: &Path, folder: &Path, lock: &Lock) -> Result<()> {
    println!("      making a Python environment with `{} -m venv`", python.display());
    venv(python, folder, lock.shared()?)
}

fn venv(python: &Path, folder: &Path, stdin: Stdio) -> Result<()> {
    let name = python.display();
    let output = Command::new(python).args(["-m", "venv"]).arg(folder).stdin(stdin).output();
    let output = output.with_context(|| format!("`{name}` cannot be started"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let package = python.file_name().unwrap_or(python.as_os_str()).to_string_lossy();
        bail!(
            "`{name} -m venv` failed:\n{}\nPython's module `venv` must be whole, for example `apt install \
             {package}-venv` (Debian, Ubuntu)",
            said.trim()
        );
    }
    Ok(())
}

/// Runs pip in the environment `folder`, with its temporary files there too, so that one removal clears everything.
pub(crate) fn install(folder: &Path, place: &Place, wanted: &Wanted, lock: &Lock) -> Result<()> {
    let scratch = folder.join("scratch");
    fs::create_dir(&scratch).context("the cache cannot be written")?;
    let mut log = File::create(place.log()).context("the log cannot be written")?;
    let mut command = Command::new(folder.join("bin/python3"));
    command
        .args(["-u", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"])
        // A cached copy of every wheel would be useless: all clones share this installation.
        .args(["--progress-bar", "off", "--no-cache-dir", "--no-compile"])
        .args(&wanted.packages)
        .env("TMPDIR", &scratch)
        .stdin(lock.shared()?)
        .stdout(Stdio::piped())
        .stderr(log.try_clone().context("the log cannot be written")?);
    for name in ["PIP_CONSTRAINT", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    if let Some(versions) = &wanted.for_builds {
        // Builds run in their own environment, which arguments do not reach. Older versions of pip read the first
        // variable there, newer ones the second.
        command.env("PIP_CONSTRAINT", versions).env("PIP_BUILD_CONSTRAINT", versions);
    }
    let mut pip = command.spawn().context("pip cannot be started")?;
    let (send, lines) = mpsc::channel();
    let output = pip.stdout.take().context("pip's output was asked for")?;
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let mut unpacking = false;
    let mut progress = Progress::new("downloading", scratch.clone(), wanted.sizes.download);
    let status = loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                writeln!(log, "{line}").context("the log cannot be written")?;
                if line.starts_with("Installing collected packages") && !unpacking {
                    unpacking = true;
                    progress.finish();
                    progress = Progress::new("unpacking", folder.join("lib"), wanted.sizes.installed);
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => progress.tick(),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                break pip.wait().context("pip cannot be waited for")?;
            }
        }
    };
    if !status.success() {
        drop(progress);
        let said = fs::read_to_string(place.log()).unwrap_or_default();
        bail!("{}", failure(&said, place, &wanted.no_match));
    }
    progress.finish();
    fs::remove_dir_all(&scratch).context("pip's temporary files cannot be removed")
}

/// The folder of the packages in the environment `folder`.
pub(crate) fn packages_of(folder: &Path, version: Version) -> PathBuf {
    folder.join(format!("lib/python{}/site-packages", shown(version)))
}

fn failure(said: &str, place: &Place, no_match: &str) -> String {
    let lines: Vec<_> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n");
    let way_out = if said.contains("No space left") {
        "the disk is full: free some, or name a folder on a larger disk in the variable `AENT_CACHE`"
    } else if said.contains("No matching distribution") {
        no_match
    } else {
        "if the network is the reason, run the command again; a mirror is named in `PIP_INDEX_URL`, a proxy in \
         `HTTPS_PROXY`"
    };
    let log = place.log();
    format!(
        "pip could not install {}:\n{last}\n{way_out}\nall it said is in `{}`",
        place.title,
        log.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_failure_comes_with_its_last_words_and_a_way_out() {
        let place = Place::new(Path::new("/c"), "torch-2.11.0", "libtorch 2.11.0");
        let told = |said| failure(said, &place, "name a libtorch of your own");
        let text = told("ERROR: No matching distribution found for torch==2.11.0");
        for part in [
            "install libtorch 2.11.0",
            "No matching distribution found",
            "of your own",
            "/c/torch-2.11.0.log",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(told("OSError: [Errno 28] No space left on device").contains("the disk is full"));
        assert!(told("Connection refused").contains("HTTPS_PROXY"));
    }

    #[test]
    fn an_environment_needs_a_python_that_starts() {
        let folder = tempfile::tempdir().unwrap();
        let text = venv(Path::new("no-such-python"), folder.path(), Stdio::null()).unwrap_err().to_string();
        assert!(text.contains("`no-such-python` cannot be started"), "{text}");
    }

    #[test]
    fn an_environment_that_fails_says_which_package_has_venv() {
        let folder = tempfile::tempdir().unwrap();
        let text = venv(Path::new("false"), folder.path(), Stdio::null()).unwrap_err().to_string();
        assert!(
            text.contains("`false -m venv` failed") && text.contains("`apt install false-venv`"),
            "{text}"
        );
    }
}
