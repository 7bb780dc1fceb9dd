//! The Python environments in the cache: one for each version of torch, and one for each list of packages.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::place::Place;
use super::torch::{TORCH, inspect};
use super::uv::{PYTHONS, Uv};
use crate::steps::ask;

const REQUIREMENTS: &str = "python/requirements.txt";

/// Bytes to download and on the disk. Linux's wheel brings CUDA's libraries, macOS's does not.
const TORCH_SIZES: [u64; 2] =
    if cfg!(target_os = "macos") { [150_000_000, 600_000_000] } else { [2_720_000_000, 4_700_000_000] };

const PACKAGES_SIZES: [u64; 2] = [350_000_000, 1_050_000_000];

/// The file that leads from an environment to another one's torch, written last.
const LINK: &str = "torch.pth";

/// A complete Python environment.
pub(crate) struct Environment {
    folder: PathBuf,
    /// The folder of the torch that its Python imports.
    pub(crate) torch: PathBuf,
}

impl Environment {
    /// The environment in a folder, if it is complete.
    fn at(folder: &Path) -> Option<Self> {
        let pythons = fs::read_dir(folder.join("lib")).ok()?.flatten();
        let mut packages = pythons.map(|python| python.path().join("site-packages"));
        let torch = packages.find_map(|packages| {
            let link = fs::read_to_string(packages.join(LINK)).unwrap_or_default();
            Some(packages.join(link.trim_end()).join("torch")).filter(|torch| torch.is_dir())
        })?;
        Some(Self { folder: folder.to_path_buf(), torch })
    }

    /// One of its programs, such as `python3`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }
}

/// The environment with a version of torch, installed if necessary.
pub(crate) fn torch_environment(version: &str) -> Result<Environment> {
    let place = Place::new(&format!("torch-{version}"), &format!("torch {version}"), TORCH_SIZES)?;
    // Rust links this version, so it also needs headers and libraries.
    let find = |folder: &Path| {
        Environment::at(folder).filter(|found| version != TORCH || inspect(&found.torch).is_ok())
    };
    place.find_or_fill(find, |folder, lock| {
        println!(
            "      another place: stop, and set the variable `AENT_CACHE`; torch of your own: `LIBTORCH`"
        );
        let torch = format!("torch=={version}");
        // Next to the tests' version, the package's environment has its own numpy.
        let packages = if version == TORCH { vec![torch.as_str()] } else { vec![torch.as_str(), "numpy"] };
        Uv::find_or_install()?.fill(folder, PYTHONS, &packages, lock)
    })
}

/// The environment of the Python package: the packages that this clone's requirements pin, installed if necessary.
///
/// Its torch is always the cache's, even if the clone uses another libtorch: other packages next to a user's own torch
/// would mix with the pinned versions, and might change between two runs.
pub(crate) fn package_environment(root: &Path) -> Result<Environment> {
    let requirements = root.join(REQUIREMENTS);
    let text = fs::read(&requirements).with_context(|| format!("`{REQUIREMENTS}` cannot be read"))?;
    let torch = torch_environment(TORCH)?;
    let python = torch.program("python3");
    let version = ask(&python, &["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).with_context(|| {
        format!(
            "`{}` does not start: the Python that it was made with may be gone\nremove `{}` and run the command again, which \
             installs torch anew",
            python.display(),
            torch.folder.display()
        )
    })?;
    let title = "the environment of the Python package";
    let place = Place::new(&name(&version, &text), title, PACKAGES_SIZES)?;
    let environment = place.find_or_fill(Environment::at, |folder, lock| {
        let list = requirements.to_string_lossy();
        // All is pinned, also what builds a package without a wheel; nothing else may be installed.
        let packages = ["--no-deps", "--requirement", &list, "--build-constraints", &list];
        Uv::find_or_install()?.fill(folder, &python.to_string_lossy(), &packages, lock)?;
        let packages = folder.join(format!("lib/python{version}/site-packages"));
        fs::write(packages.join(LINK), link(&version)).context("the environment cannot be linked to torch")
    })?;
    println!(
        "      Python {version} with torch, the frameworks and the tools: {}",
        environment.program("python3").display()
    );
    Ok(environment)
}

/// The name depends on the requirements and the Python, so that clones do not fight over one environment.
fn name(version: &str, requirements: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(requirements).into();
    let [a, b, c, d, ..] = digest;
    format!("python-{version}-{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// The line that adds the packages next to torch to an environment of the cache. It is relative to the environment's
/// own packages, so that the cache can be moved.
fn link(python: &str) -> String {
    format!("../../../../torch-{TORCH}/lib/python{python}/site-packages\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(environment: &Path) -> PathBuf {
        let packages = environment.join("lib/python3.11/site-packages");
        fs::create_dir_all(&packages).unwrap();
        packages
    }

    #[test]
    fn other_requirements_or_another_python_are_another_environment() {
        assert_ne!(name("3.11", b"numpy==2.4.6\n"), name("3.11", b"numpy==2.4.5\n"));
        assert_ne!(name("3.11", b"numpy==2.4.6\n"), name("3.12", b"numpy==2.4.6\n"));
        // The first digits of the SHA-256 of an empty input, FIPS 180-4.
        assert_eq!(name("3.11", b""), "python-3.11-e3b0c442");
    }

    #[test]
    fn an_environment_is_complete_once_it_has_or_links_torch() {
        let folder = tempfile::tempdir().unwrap();
        let (with_torch, other) =
            (folder.path().join(format!("torch-{TORCH}")), folder.path().join("python-3.11-0a"));
        let torch = packages(&with_torch).join("torch");
        assert!(Environment::at(&with_torch).is_none());
        fs::create_dir(&torch).unwrap();
        assert_eq!(Environment::at(&with_torch).unwrap().torch, torch);

        let packages = packages(&other);
        assert!(Environment::at(&other).is_none());
        fs::write(packages.join(LINK), link("3.11")).unwrap();
        let linked = Environment::at(&other).unwrap().torch;
        assert_eq!(fs::canonicalize(linked).unwrap(), fs::canonicalize(&torch).unwrap());
        fs::remove_dir(&torch).unwrap();
        assert!(Environment::at(&other).is_none(), "its torch is gone");
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
