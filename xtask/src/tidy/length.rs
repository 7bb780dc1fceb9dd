//! A Rust file has at most 400 lines, or says why it has more.

use super::Problem;
use super::tree::TextFile;

const LIMIT: usize = 400;
const REASON: &str = "//! Longer than 400 lines because ";

/// Counts the lines of every Rust file.
pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        let reason = file.text.lines().find_map(|line| line.strip_prefix(REASON));
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
        !check(&[TextFile::new("src/a.rs", format!("{first}\n{}", "\n".repeat(lines - 1)))]).is_empty()
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
}
