//! Checks that a source file has at most 400 lines, or says why it has more.

use super::Problem;
use super::tree::TextFile;

const LIMIT: usize = 400;
const REASON: &str = "Longer than 400 lines because ";

/// Counts the lines of every Rust and Python file.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() || file.extension() == Some("py")) {
        let lines = file.text.lines().count();
        let reason =
            file.text.lines().find(|line| line.strip_prefix("//! ").unwrap_or(line).starts_with(REASON));
        if lines > LIMIT && reason.is_none() {
            problems.push(Problem {
                path: file.path.clone(),
                line: LIMIT,
                message: format!("expected at most {LIMIT} lines, found {lines}: cut it, or say why in a line `{REASON}...`"),
            });
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(first: &str, lines: usize) -> bool {
        is_refused_at("src/a.rs", first, lines)
    }

    fn is_refused_at(path: &str, first: &str, lines: usize) -> bool {
        !check(&[TextFile::new(path, format!("{first}\n{}", "\n".repeat(lines - 1)))]).is_empty()
    }

    #[test]
    fn a_file_may_have_400_lines() {
        assert!(!is_refused("//! A.", 400));
        assert!(is_refused("//! A.", 401));
    }

    #[test]
    fn a_reason_excuses_more() {
        assert!(!is_refused("//! Longer than 400 lines because a table has that many rows.", 900));
        assert!(is_refused("//! Longer than 400 lines.", 900));
    }

    #[test]
    fn python_is_a_source_and_a_document_is_none() {
        assert!(is_refused_at("python/a.py", "\"\"\"A.\"\"\"", 401));
        assert!(!is_refused_at(
            "python/a.py",
            "\"\"\"A.\n\nLonger than 400 lines because it is a table.\n",
            900
        ));
        assert!(!is_refused_at("docs/a.md", "# A", 900));
    }
}
