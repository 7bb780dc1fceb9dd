//! Finds the files that arguments name: themselves, or those in a folder and below.

use super::input::STDIN;
use ignore::{DirEntry, WalkBuilder};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Standard input together with a name for it, which only makes sense if it is read.
pub(crate) fn contradiction(files: &[PathBuf], stdin_filename: Option<&PathBuf>) -> Option<&'static str> {
    let is_read = files.iter().any(|file| file == Path::new(STDIN));
    (stdin_filename.is_some() && !is_read)
        .then_some("`--stdin-filename` names standard input, which is read only for the file `-`")
}

/// All files to work on, each once. Of a folder these are the ones that end in `.aent`, in the order of their paths,
/// without hidden ones and without those that a `.gitignore` or `.ignore` leaves out.
pub(crate) fn expand(arguments: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for argument in arguments {
        if argument.is_dir() {
            walk(argument, &mut files)?;
        } else {
            files.push(argument.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let before = files.len();
    let entries = WalkBuilder::new(folder)
        .require_git(false)
        .sort_by_file_path(Path::cmp)
        .filter_entry(|entry| !is_cache(entry))
        .build();
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot look through `{}`: {error}", folder.display()))?;
        let is_file = entry.file_type().is_some_and(|kind| !kind.is_dir());
        if is_file && entry.path().extension().is_some_and(|of| of == "aent") {
            let path = entry.into_path();
            files.push(path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_owned));
        }
    }
    if files.len() == before {
        return Err(format!("no file under `{}` ends in `.aent`", folder.display()));
    }
    Ok(())
}

/// Folders with this file are made by programs, such as cargo's `target`.
fn is_cache(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.path().join("CACHEDIR.TAG").is_file()
}
