//! Installs torch into the cache: one process at a time, and either the whole of it or nothing.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::cache::{Cache, torch_in};
use super::progress::{Progress, gigabytes};
use super::python;
use super::torch::TORCH;

/// What is downloaded, what it becomes, and what must be free meanwhile (both at once, and some air).
struct Sizes {
    download: u64,
    installed: u64,
}

impl Sizes {
    /// Linux's wheel comes with CUDA's libraries, macOS's without.
    fn of_this_system() -> Self {
        if cfg!(target_os = "macos") {
            Self { download: 150_000_000, installed: 600_000_000 }
        } else {
            Self { download: 2_720_000_000, installed: 4_700_000_000 }
        }
    }

    fn needed(&self) -> u64 {
        self.download + self.installed + 500_000_000
    }
}

/// Torch's folder, after installing it or after another process has.
pub(crate) fn install(cache: &Cache) -> Result<PathBuf> {
    fs::create_dir_all(cache.folder()).with_context(|| {
        format!(
            "the cache `{}` cannot be made; the variable `AENT_CACHE` names another",
            cache.folder().display()
        )
    })?;
    let lock = lock(cache)?;
    if let Some(torch) = cache.torch() {
        return Ok(torch);
    }
    clear_remains(cache)?;
    let python = python::suitable()?;
    let sizes = Sizes::of_this_system();
    require_space(free_space(cache.folder()), sizes.needed(), cache.folder())?;
    println!("      no libtorch {TORCH} was found; installing it, once for all clones of this user");
    println!("      into    {}", cache.environment().display());
    println!(
        "      size    about {} to download, {} on disk",
        gigabytes(sizes.download),
        gigabytes(sizes.installed)
    );
    println!(
        "      another place: stop, and set the variable `AENT_CACHE`; torch {TORCH} of your own: `LIBTORCH`"
    );
    println!("      making a Python environment with `{python} -m venv`");
    make_environment(&python, &cache.partial(), shared(&lock)?)?;
    pip_install(cache, &sizes, &lock)?;
    if torch_in(&cache.partial()).is_none() {
        bail!(
            "pip says it is done, but torch {TORCH} is not whole; its output is in `{}`",
            cache.log().display()
        );
    }
    fs::rename(cache.partial(), cache.environment())
        .context("the finished installation cannot be renamed")?;
    cache.torch().context("the finished installation cannot be found")
}

/// The lock that ends with this process and the children it has started, however they end.
fn lock(cache: &Cache) -> Result<File> {
    let path = cache.lock();
    let file = File::options().create(true).read(true).append(true).open(&path);
    let file = file.with_context(|| format!("`{}` cannot be written", path.display()))?;
    if file.try_lock().is_err() {
        println!(
            "      another process is installing libtorch (it holds `{}`); waiting for it",
            path.display()
        );
        file.lock().with_context(|| format!("`{}` cannot be locked", path.display()))?;
    }
    Ok(file)
}

/// The lock's file as a child's input. Nothing is read from it; but as long as the child holds it, it keeps others out
/// even if this process is killed.
fn shared(lock: &File) -> Result<Stdio> {
    Ok(lock.try_clone().context("the lock cannot be shared with a child")?.into())
}

/// Removes what a killed installation left, and an environment that is no longer whole.
fn clear_remains(cache: &Cache) -> Result<()> {
    for remains in [cache.partial(), cache.environment()] {
        if remains.exists() {
            println!("      `{}` was left unfinished; removing it and starting again", remains.display());
            fs::remove_dir_all(&remains)
                .with_context(|| format!("`{}` cannot be removed", remains.display()))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(folder).ok()?;
    Some(space.f_bavail * space.f_frsize)
}

#[cfg(not(unix))]
fn free_space(_folder: &Path) -> Option<u64> {
    None
}

fn require_space(free: Option<u64>, needed: u64, folder: &Path) -> Result<()> {
    match free {
        Some(free) if free < needed => bail!(
            "installing libtorch {TORCH} needs {} free in `{}`, and {} are\nfree some, or name a folder on a larger \
             disk in the variable `AENT_CACHE`",
            gigabytes(needed),
            folder.display(),
            gigabytes(free)
        ),
        _ => Ok(()),
    }
}

fn make_environment(python: &str, folder: &Path, stdin: Stdio) -> Result<()> {
    let output = Command::new(python).args(["-m", "venv"]).arg(folder).stdin(stdin).output();
    let output = output.with_context(|| format!("`{python}` cannot be started"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        bail!(
            "`{python} -m venv` failed:\n{}\nPython's module `venv` must be whole, for example `apt install \
             python3-venv` (Debian, Ubuntu)",
            said.trim()
        );
    }
    Ok(())
}

/// Runs pip in the environment, keeping its temporary files there too, so that one removal clears everything.
fn pip_install(cache: &Cache, sizes: &Sizes, lock: &File) -> Result<()> {
    let partial = cache.partial();
    let scratch = partial.join("scratch");
    fs::create_dir(&scratch).context("the cache cannot be written")?;
    let mut log = File::create(cache.log()).context("the log cannot be written")?;
    let mut command = Command::new(partial.join("bin/python3"));
    command
        .args([
            "-u",
            "-m",
            "pip",
            "install",
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar",
            "off",
        ])
        // A second copy of every wheel would be of no use: all clones share this installation.
        .args(["--no-cache-dir", "--no-compile", &format!("torch=={TORCH}")])
        .env("TMPDIR", &scratch)
        .env_remove("PIP_USER")
        .env_remove("PIP_TARGET")
        .stdin(shared(lock)?)
        .stdout(Stdio::piped())
        .stderr(log.try_clone().context("the log cannot be written")?);
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
    let mut progress = Progress::new("downloading", scratch.clone(), sizes.download);
    let status = loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                writeln!(log, "{line}").context("the log cannot be written")?;
                if line.starts_with("Installing collected packages") && !unpacking {
                    unpacking = true;
                    progress.finish();
                    progress = Progress::new("unpacking", partial.join("lib"), sizes.installed);
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
        let said = fs::read_to_string(cache.log()).unwrap_or_default();
        bail!("{}", pip_failed(&said, &cache.log()));
    }
    progress.finish();
    fs::remove_dir_all(&scratch).context("pip's temporary files cannot be removed")
}

fn pip_failed(said: &str, log: &Path) -> String {
    let lines: Vec<_> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(8)..].join("\n");
    let way_out = if said.contains("No space left") {
        "the disk is full: free some, or name a folder on a larger disk in the variable `AENT_CACHE`"
            .to_owned()
    } else if said.contains("No matching distribution") {
        format!(
            "the package index has no torch {TORCH} for this system and Python; name a libtorch {TORCH} of your own in \
             the variable `LIBTORCH`"
        )
    } else {
        "if the network is the reason, run the command again; a mirror is named in `PIP_INDEX_URL`, a proxy in \
         `HTTPS_PROXY`"
            .to_owned()
    };
    format!("pip could not install torch {TORCH}:\n{last}\n{way_out}\nall it said is in `{}`", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_told_with_both_sizes() {
        let text =
            require_space(Some(1_000_000_000), 7_800_000_000, Path::new("/c")).unwrap_err().to_string();
        assert!(
            text.contains("7.8 GB") && text.contains("1.0 GB") && text.contains("`AENT_CACHE`"),
            "{text}"
        );
        assert!(require_space(Some(8_000_000_000), 7_800_000_000, Path::new("/c")).is_ok());
        assert!(require_space(None, 7_800_000_000, Path::new("/c")).is_ok());
    }

    #[test]
    fn what_a_killed_installation_left_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        fs::create_dir_all(cache.partial().join("lib")).unwrap();
        fs::create_dir_all(cache.environment().join("lib")).unwrap();
        clear_remains(&cache).unwrap();
        assert!(!cache.partial().exists() && !cache.environment().exists());
        clear_remains(&cache).unwrap();
    }

    #[test]
    fn only_one_process_holds_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let held = lock(&cache).unwrap();
        let other = File::open(cache.lock()).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn pips_failure_comes_with_its_last_words_and_a_way_out() {
        let log = Path::new("/c/log");
        let text = pip_failed("ERROR: No matching distribution found for torch==2.11.0", log);
        assert!(text.contains("No matching distribution found") && text.contains("`LIBTORCH`"), "{text}");
        assert!(pip_failed("OSError: [Errno 28] No space left on device", log).contains("the disk is full"));
        assert!(pip_failed("Connection refused", log).contains("HTTPS_PROXY"));
    }

    #[test]
    fn an_environment_needs_a_python_that_starts() {
        let folder = tempfile::tempdir().unwrap();
        let text = make_environment("no-such-python", folder.path(), Stdio::null()).unwrap_err().to_string();
        assert!(text.contains("`no-such-python` cannot be started"), "{text}");
    }
}
