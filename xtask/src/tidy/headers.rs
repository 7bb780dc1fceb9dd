//! Checks that the first line of every Rust file says what the file is for.

use super::Problem;
use super::tree::TextFile;

/// Checks line 1 of every Rust file.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let silent = files.iter().filter(|file| file.is_rust() && !says_its_purpose(&file.text));
    silent
        .map(|file| Problem {
            path: file.path.clone(),
            line: 1,
            message: "expected a sentence after `//!` that says what the file is for".to_owned(),
        })
        .collect()
}

fn says_its_purpose(text: &str) -> bool {
    let purpose = text.lines().next().and_then(|line| line.strip_prefix("//! "));
    purpose.is_some_and(|purpose| !purpose.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_must_say_something() {
        assert!(says_its_purpose("//! Spans of text.\n"));
        for text in ["", "//!\n//! Late.", "// Not a doc comment.", "\n//! Late.", "use std::fs;"] {
            assert!(!says_its_purpose(text), "{text:?}");
        }
    }

    #[test]
    fn only_rust_files_are_looked_at() {
        let files = [TextFile::new("README.md", "# aent"), TextFile::new("src/a.rs", "fn a() {}")];
        let paths: Vec<_> = check(&files).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["src/a.rs"]);
    }
}
