//! uv, which makes the environments and fills them: the one on the path, or else one that pip installs into the cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::place::Place;
use super::torch::TORCH;
use crate::steps::{ask, check, program};

/// The version that is installed into the cache.
const VERSION: &str = "0.13.9";

/// Bytes to download and on the disk.
const SIZES: [u64; 2] = [18_000_000, 65_000_000];

/// The oldest version on the path that will do.
const OLDEST: (u32, u32) = (0, 8);

/// The Pythons that the tests' frameworks are pinned for.
pub(crate) const PYTHONS: &str = ">=3.11,<3.14";

/// What to do if uv has no Python.
const NO_PYTHON: &str = "what uv says stands above; without a Python 3.11 to 3.13 it downloads one from GitHub\ninstall one, for \
     example with `apt install python3` (Debian, Ubuntu), `dnf install python3.12` (Fedora) or `brew install python@3.12` (macOS)";

/// Variables that would change what is installed, or where.
const UNSET: &str = "PIP_CONSTRAINT PIP_PREFIX PIP_TARGET PIP_USER PYTHONHOME PYTHONPATH UV_BUILD_CONSTRAINT UV_CONSTRAINT \
                     UV_NO_CACHE UV_OVERRIDE UV_REQUIRE_HASHES";

/// A uv that starts.
pub(crate) struct Uv {
    program: PathBuf,
    /// Variables that hand pip's settings on.
    settings: Vec<(&'static str, String)>,
}

impl Uv {
    /// The uv on the path, or else the cache's, installed if necessary.
    pub(crate) fn find_or_install() -> Result<Self> {
        let program = if on_path() { "uv".into() } else { installed()? };
        // The environment of the cache's uv has pip, which the active Python may lack.
        let beside = program.with_file_name("python3");
        let python = if beside.is_file() { beside.as_path() } else { Path::new("python3") };
        let settings = settings_of(&ask(python, &["-m", "pip", "config", "list"]).unwrap_or_default());
        Ok(Self { program, settings })
    }

    /// A command of uv.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = clean(&self.program, args);
        // The user's own variables for uv come first.
        let unset = self.settings.iter().filter(|(name, _)| std::env::var_os(name).is_none());
        command.envs(unset.map(|(name, value)| (name, value)));
        command
    }

    /// Makes the environment `folder` with a Python, given by its path or as [`PYTHONS`], and installs `packages`.
    ///
    /// Downloads are unpacked beside the environment and linked into it. If that is interrupted, the next run goes on with
    /// them; a finished environment does not need them any more.
    pub(crate) fn fill(&self, folder: &Path, python: &str, packages: &[&str], lock: &File) -> Result<()> {
        let downloads = folder.with_extension("downloads");
        // Relocatable, since it is renamed once it is filled.
        let mut venv = self.command(&["venv", "--quiet", "--relocatable", "--python", python]);
        venv.arg(folder).env("UV_CACHE_DIR", &downloads).stdin(shared(lock)?);
        check(venv, NO_PYTHON)?;
        let mut install = self.command(&["pip", "install", "--python"]);
        install.arg(folder).args(packages).env("UV_CACHE_DIR", &downloads).stdin(shared(lock)?);
        check(
            install,
            &format!(
                "what uv says stands above\n\
                 if the network failed, run the command again, which keeps what has come; a mirror is named in \
                 `UV_DEFAULT_INDEX` or `PIP_INDEX_URL`, a proxy in `HTTPS_PROXY`\n\
                 if the disk is full, free some, or name a folder on a larger disk in the variable `AENT_CACHE`\n\
                 if there is no torch for this system, name a libtorch {TORCH} of your own in the variable `LIBTORCH`"
            ),
        )?;
        fs::remove_dir_all(downloads).context("the downloads that are not needed any more cannot be removed")
    }
}

fn on_path() -> bool {
    let line = ask("uv", &["--version"]);
    line.and_then(|line| version(&line)).is_some_and(|version| version >= OLDEST)
}

/// The first two numbers of a line such as `uv 0.13.9 (x86_64-unknown-linux-gnu)`.
fn version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("uv ")?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn installed() -> Result<PathBuf> {
    let title = format!("uv {VERSION}, which installs Python packages,");
    let place = Place::new(&format!("uv-{VERSION}"), &title, SIZES)?;
    let find = |folder: &Path| Some(folder.join("bin/uv")).filter(|uv| uv.is_file());
    place.find_or_fill(find, |folder, lock| {
        if ask("python3", &["-c", "import ensurepip, venv; print('whole')"]).is_none() {
            bail!(
                "there is neither uv nor a `python3` with the modules `venv` and `ensurepip` to install it with\n\
                 install Python, for example with `apt install python3-venv` (Debian, Ubuntu), `dnf install python3` (Fedora) \
                 or `brew install python` (macOS)"
            );
        }
        let mut venv = clean(Path::new("python3"), &["-m", "venv"]);
        venv.arg(folder).stdin(shared(lock)?);
        check(venv, "what Python says stands above")?;
        let wanted = format!("uv=={VERSION}");
        let args = ["-m", "pip", "install", "--disable-pip-version-check", "--only-binary=:all:", &wanted];
        let mut pip = clean(&folder.join("bin/python3"), &args);
        pip.stdin(shared(lock)?);
        check(pip, "what pip says stands above; a mirror is named in `PIP_INDEX_URL`, a proxy in `HTTPS_PROXY`")
    })
}

fn shared(lock: &File) -> Result<Stdio> {
    Ok(lock.try_clone().context("the lock cannot be shared with a child")?.into())
}

fn clean(name: &Path, args: &[&str]) -> Command {
    let mut command = program(name, args, Path::new("."));
    for name in UNSET.split_whitespace() {
        command.env_remove(name);
    }
    command
}

/// Variables for uv, which does not read pip's settings, from the lines of `pip config list`.
fn settings_of(pip: &str) -> Vec<(&'static str, String)> {
    let value = |key: &str| {
        // The strongest of pip's sources first.
        [":env:", "install", "global"].iter().find_map(|source| {
            let value = pip.lines().find_map(|line| line.strip_prefix(&format!("{source}.{key}=")))?;
            Some(value.trim_matches(['\'', '"']).replace("\\n", " ").trim().to_owned())
        })
    };
    let mut settings = Vec::new();
    settings.extend(value("cert").map(|file| ("SSL_CERT_FILE", file)));
    settings.extend(value("index-url").map(|index| ("UV_DEFAULT_INDEX", index)));
    if let Some(more) = value("extra-index-url") {
        // Pip takes the best version of all indexes.
        settings.extend([("UV_INDEX", more), ("UV_INDEX_STRATEGY", "unsafe-best-match".to_owned())]);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uv_tells_its_version() {
        assert_eq!(version("uv 0.13.9 (x86_64-unknown-linux-gnu)"), Some((0, 13)));
        assert_eq!(version("pyenv: uv: command not found"), None);
    }

    #[test]
    fn uv_asks_the_indexes_that_pip_asks() {
        let of = |pip: &str| {
            settings_of(pip).into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        let pip =
            "global.index-url='https://global'\ninstall.index-url='https://install'\nglobal.timeout='9'\n";
        assert_eq!(of(pip), ["UV_DEFAULT_INDEX=https://install"]);
        assert_eq!(of(&format!("{pip}:env:.index-url='https://env'")), ["UV_DEFAULT_INDEX=https://env"]);
        assert_eq!(
            of("global.cert='/ca.pem'\nglobal.extra-index-url='\\nhttps://a\\nhttps://b'"),
            ["SSL_CERT_FILE=/ca.pem", "UV_INDEX=https://a https://b", "UV_INDEX_STRATEGY=unsafe-best-match"]
        );
        assert!(of("").is_empty());
    }
}
