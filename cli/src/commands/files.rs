//! Finds the files that arguments name: themselves, or those in a folder and below.

use super::input::STDIN;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

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
    let found = aent_files::below(folder, "aent");
    let found = found.map_err(|error| format!("cannot look through `{}`: {error}", folder.display()))?;
    if found.is_empty() {
        return Err(format!("no file under `{}` ends in `.aent`", folder.display()));
    }
    files.extend(
        found.into_iter().map(|path| path.strip_prefix(".").map_or_else(|_| path.clone(), Path::to_owned)),
    );
    Ok(())
}
