//! Checks that no file names a folder that exists on one machine only.

use super::Problem;
use super::tree::TextFile;

/// Folders with the files of one user or machine.
const OWN_FOLDERS: &[&str] = &["home", "root", "Users", "work", "mnt", "tmp"];

/// This file must name them.
const THIS_FILE: &str = "xtask/src/tidy/paths.rs";

/// Reports absolute paths into such folders.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.path != THIS_FILE) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(path) = own_path(line) {
                problems.push(Problem {
                    path: file.path.clone(),
                    line: index + 1,
                    message: format!("`{path}` exists on one machine only"),
                });
            }
        }
    }
    problems
}

/// The first absolute path in the line into one of the folders.
fn own_path(line: &str) -> Option<&str> {
    line.match_indices('/').find_map(|(start, _)| {
        // A path that continues something, as in `a/work/b` or `https://x`, is not absolute.
        let goes_on =
            line[..start].ends_with(|sign: char| sign.is_alphanumeric() || "/._-~})>*:".contains(sign));
        let path =
            line[start..].split(|sign: char| !(sign.is_alphanumeric() || "/._-".contains(sign))).next()?;
        let mut parts = path.split('/').skip(1);
        let own = OWN_FOLDERS.contains(&parts.next()?) && parts.next().is_some_and(|part| !part.is_empty());
        (own && !goes_on).then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_path_into_somebodys_folder_is_found() {
        assert_eq!(own_path("let file = \"/home/ann/a.txt\";"), Some("/home/ann/a.txt"));
        assert_eq!(own_path("see /work/main/src."), Some("/work/main/src."));
        assert_eq!(own_path("cd /tmp/x; ls"), Some("/tmp/x"));
    }

    #[test]
    fn other_paths_are_left_alone() {
        for line in [
            "use /usr/lib/libtorch.so",
            "a/work/b",
            "$HOME/work/b",
            "https://work/x",
            "../tmp/x",
            "1 /work",
            "~/work/x",
        ] {
            assert_eq!(own_path(line), None, "{line}");
        }
    }

    #[test]
    fn the_line_is_told() {
        let found = check(&[TextFile::new("docs/a.md", "fine\n/root/x\n")]);
        assert_eq!(found[0].to_string(), "docs/a.md:2: `/root/x` exists on one machine only");
    }
}
