//! Finds the compiler NVRTC.

use std::path::PathBuf;

/// Loads NVRTC from the host's packages, so that later look-ups by name find it. If they have none, it may still be
/// installed system-wide.
#[cfg(target_os = "linux")]
pub(super) fn load(packages: Option<PathBuf>) {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};

    // Torch's packages have it in a folder next to theirs. It finds its builtins by name, so load them first.
    let Some(packages) = packages else { return };
    for name in ["libnvrtc-builtins.so.", "libnvrtc.so."] {
        let Some(path) = nvidia_library(&packages, name) else { return };
        // SAFETY: the compiler is a library of functions, and its initialisers need nothing from this process.
        if let Ok(library) = unsafe { Library::open(Some(&path), RTLD_LAZY | RTLD_GLOBAL) } {
            std::mem::forget(library);
        }
    }
}

/// On other systems, NVRTC is found by name alone.
#[cfg(not(target_os = "linux"))]
pub(super) fn load(_packages: Option<PathBuf>) {}

/// The library in a folder such as `nvidia/cu13/lib`.
#[cfg(target_os = "linux")]
fn nvidia_library(packages: &std::path::Path, name: &str) -> Option<PathBuf> {
    let folders = std::fs::read_dir(packages.join("nvidia")).ok()?;
    let mut files = folders
        .filter_map(|folder| std::fs::read_dir(folder.ok()?.path().join("lib")).ok())
        .flatten()
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)));
    files.next()
}
