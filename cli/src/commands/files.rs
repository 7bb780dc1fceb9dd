//! Finds the files that arguments name: themselves, or those in a folder and below.

use super::input::STDIN;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Standard input together with a name for it, which only makes sense if it is read.
pub(crate) fn contradiction(files: &[PathBuf], stdin_filename: Option<&PathBuf>) -> Option<&'static str> {
    let is_read = files.iter().any(|file| file == Path::new(STDIN));
    (stdin_filename.is_some() && !is_read)
        .then_some("`--stdin-filename` names standard input, which is read only for the file `-`")
}

/// All files to work on, each once. Of a folder these are the ones that end in `.aent`, in the order of their paths,
/// without hidden ones and without those that programs made, which have a `CACHEDIR.TAG` in their folder.
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
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let entries = entries.filter_entry(|entry| entry.depth() == 0 || !(is_hidden(entry) || is_cache(entry)));
    for entry in entries {
        let entry = entry.map_err(|error| format!("cannot look through `{}`: {error}", folder.display()))?;
        if !entry.file_type().is_dir() && entry.path().extension().is_some_and(|of| of == "aent") {
            let path = entry.into_path();
            files.push(path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_owned));
        }
    }
    if files.len() == before {
        return Err(format!("no file under `{}` ends in `.aent`", folder.display()));
    }
    Ok(())
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with('.')
}

/// Folders with this file are made by programs, such as cargo's `target`.
fn is_cache(entry: &DirEntry) -> bool {
    entry.path().join("CACHEDIR.TAG").is_file()
}
