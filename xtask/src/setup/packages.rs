//! The Python environment of the Python package: the cache's torch, and all packages that `python/requirements.txt` pins.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::place::{Place, Sizes, clear};
use super::{install, pip, python};

const REQUIREMENTS: &str = "python/requirements.txt";

const SIZES: Sizes = Sizes { download: 350_000_000, installed: 1_050_000_000 };

/// Written last: without it, an environment is incomplete. Environments are filled in place and not renamed, since
/// their programs contain the folder's path.
const COMPLETE: &str = "complete";

/// A complete Python environment.
pub(crate) struct Environment {
    folder: PathBuf,
    /// Its Python's version, such as `3.11`.
    pub(crate) version: String,
}

impl Environment {
    /// The folder of its programs.
    pub(crate) fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// One of its programs, such as `python3`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }
}

/// The environment with this clone's requirements, installed if necessary.
///
/// Its torch is always the cache's, even if the clone uses another libtorch: other packages next to a user's own torch
/// would mix with the pinned versions, and might change between two runs.
pub(crate) fn environment(root: &Path) -> Result<Environment> {
    let requirements = root.join(REQUIREMENTS);
    let text = fs::read(&requirements).with_context(|| format!("`{REQUIREMENTS}` cannot be read"))?;
    let cache = Cache::of_this_user()?;
    let torch = match cache.torch() {
        Some(torch) => torch,
        None => install::install(&cache, &python::for_package()?)?,
    };
    let with_torch = cache.torch_place().environment();
    let version = python::usable_version(&with_torch)?;
    let place = cache.place(&name(version, &text), "the environment of the Python package");
    let folder = place.environment();
    if !is_whole(&folder) {
        fill(&cache, &place, &torch, version, &requirements)?;
    }
    let environment = Environment { folder, version: python::shown(version) };
    println!(
        "      Python {} with torch, the frameworks and the tools: {}",
        environment.version,
        environment.program("python3").display()
    );
    Ok(environment)
}

/// The name depends on the requirements and the Python, so that clones do not fight over one environment.
fn name(version: python::Version, requirements: &[u8]) -> String {
    let digest = Sha256::digest(requirements);
    format!(
        "python-{}-{:02x}{:02x}{:02x}{:02x}",
        python::shown(version),
        digest[0],
        digest[1],
        digest[2],
        digest[3]
    )
}

fn is_whole(folder: &Path) -> bool {
    folder.join(COMPLETE).is_file()
}

fn fill(
    cache: &Cache,
    place: &Place,
    torch: &Path,
    version: python::Version,
    requirements: &Path,
) -> Result<()> {
    let lock = place.lock()?;
    let folder = place.environment();
    if is_whole(&folder) {
        return Ok(());
    }
    clear(std::slice::from_ref(&folder))?;
    place.announce(SIZES)?;
    pip::make_environment(&cache.torch_place().environment().join("bin/python3"), &folder, &lock)?;
    let wanted = pip::Wanted {
        // Everything is pinned; nothing else may be installed.
        packages: vec!["--no-deps".into(), "--requirement".into(), requirements.into()],
        for_builds: Some(requirements.to_path_buf()),
        sizes: SIZES,
        no_match: format!(
            "the package index lacks a version that `{REQUIREMENTS}` pins, for this system and Python {}",
            python::shown(version)
        ),
    };
    pip::install(&folder, place, &wanted, &lock)?;
    // Only now: pip would count the packages next to torch as installed, and leave them out.
    let packages = pip::packages_of(&folder, version);
    fs::write(packages.join("torch.pth"), link(cache.folder(), torch)?)
        .context("the environment cannot be linked to torch")?;
    let found = python::torch_of(&folder.join("bin/python3"));
    // Compare resolved folders: the cache may be reached through a link.
    if found.as_ref().and_then(|found| fs::canonicalize(found).ok()) != fs::canonicalize(torch).ok() {
        bail!(
            "the environment `{}` should find torch in `{}`, and finds {}",
            folder.display(),
            torch.display(),
            found.map_or_else(|| "none".to_owned(), |found| format!("`{}`", found.display()))
        );
    }
    fs::write(folder.join(COMPLETE), "").context("the finished environment cannot be marked as such")
}

/// The line that adds the packages next to torch to an environment of the cache. It is relative to the environment's
/// own packages, so that the cache can be moved.
fn link(cache: &Path, torch: &Path) -> Result<String> {
    let packages = torch.parent().and_then(|packages| packages.strip_prefix(cache).ok());
    let packages = packages.with_context(|| format!("`{}` should lie in the cache", torch.display()))?;
    Ok(format!("../../../../{}\n", packages.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_requirements_or_another_python_are_another_environment() {
        let of = |version, text: &str| name(version, text.as_bytes());
        assert_eq!(of((3, 11), "numpy==2.4.6\n"), of((3, 11), "numpy==2.4.6\n"));
        assert_ne!(of((3, 11), "numpy==2.4.6\n"), of((3, 11), "numpy==2.4.5\n"));
        assert_ne!(of((3, 11), "numpy==2.4.6\n"), of((3, 12), "numpy==2.4.6\n"));
        // The first digits of the SHA-256 of an empty input, FIPS 180-4.
        assert_eq!(of((3, 11), ""), "python-3.11-e3b0c442");
    }

    #[test]
    fn an_environment_without_its_mark_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        assert!(!is_whole(folder.path()));
        fs::write(folder.path().join(COMPLETE), "").unwrap();
        assert!(is_whole(folder.path()));
    }

    #[test]
    fn the_link_leads_from_one_environment_to_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let packages = pip::packages_of(&folder.path().join("python-3.11-0a"), (3, 11));
        let torch = pip::packages_of(&folder.path().join("torch-2.11.0"), (3, 11)).join("torch");
        fs::create_dir_all(&packages).unwrap();
        fs::create_dir_all(&torch).unwrap();
        let line = link(folder.path(), &torch).unwrap();
        let reached = packages.join(line.trim_end()).join("torch");
        assert_eq!(fs::canonicalize(reached).unwrap(), fs::canonicalize(&torch).unwrap());
        assert!(link(Path::new("/elsewhere"), &torch).is_err());
    }

    #[test]
    fn every_requirement_is_pinned_to_one_version() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = fs::read_to_string(root.join(REQUIREMENTS)).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
        assert!(lines.len() > 100, "{} requirements", lines.len());
        for line in lines {
            let (name, version) = line.split_once("==").unwrap_or_else(|| panic!("`{line}` is not pinned"));
            assert!(!version.contains('*'), "`{line}` is not one version");
            let from_torch = ["torch", "triton"].contains(&name) || name.starts_with("nvidia-");
            assert!(!from_torch, "`{name}` comes with torch's own environment");
        }
    }
}
