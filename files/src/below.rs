//! Finds files in a folder and below.

use std::io;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The files in a folder and below whose names end in `.` and `ending`, in the order of their paths, without hidden ones
/// and without those that programs made, which have a `CACHEDIR.TAG` in their folder.
pub fn below(folder: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let entries = entries.filter_entry(|entry| entry.depth() == 0 || !(is_hidden(entry) || is_cache(entry)));
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !entry.file_type().is_dir() && entry.path().extension().is_some_and(|of| of == ending) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

/// Folders with this file are made by programs, such as cargo's `target`.
fn is_cache(entry: &DirEntry) -> bool {
    entry.path().join("CACHEDIR.TAG").is_file()
}
